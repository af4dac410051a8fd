//! Text to steps. Written by hand: the grammar is small, and what was expected is said in
//! words.

use std::ops::Range;

use uuid::Uuid;

use super::{Action, ExpressionError, GivenValue, Selector, Step, state::StateWord};

/// How deep parentheses may stand in each other.
const MAX_DEPTH: usize = 64;

/// How long an expression may be, in bytes: enough for ten thousand UUIDs.
const MAX_LENGTH: usize = 512 << 10;

const ATOM: &str = "a UUID, a task or dataset type, a status or `(`";
const AFTER: &str = "`|`, `&`, `-`, `~`, `..` or the end";

pub(super) fn parse(text: &str) -> Result<Vec<Step>, ExpressionError> {
    if text.len() > MAX_LENGTH {
        let message =
            format!("the expression is too long: {} bytes, {MAX_LENGTH} at most", text.len());
        return Err(ExpressionError::new(text, 0..0, message));
    }
    let mut parser = Parser { text, position: 0, steps: Vec::new() };
    parser.set(0)?;
    parser.space();
    if parser.rest().is_empty() {
        Ok(parser.steps)
    } else if parser.peek() == Some(')') {
        Err(parser.wrong("this `)` has no `(`"))
    } else {
        Err(parser.expected(AFTER))
    }
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
    steps: Vec<Step>,
}

type Parsed<T> = Result<T, ExpressionError>;

impl<'a> Parser<'a> {
    fn set(&mut self, depth: usize) -> Parsed<()> {
        self.term(depth)?;
        loop {
            let at = self.space();
            let action = match self.peek() {
                Some('|') => Action::Union,
                Some('-' | '~') => Action::Subtract,
                _ => return Ok(()),
            };
            self.position += 1;
            self.term(depth)?;
            self.steps.push(Step { action, at: at..at + 1 });
        }
    }

    fn term(&mut self, depth: usize) -> Parsed<()> {
        self.part(depth)?;
        loop {
            let at = self.space();
            if self.peek() != Some('&') {
                return Ok(());
            }
            self.position += 1;
            self.part(depth)?;
            self.steps.push(Step { action: Action::Intersect, at: at..at + 1 });
        }
    }

    fn part(&mut self, depth: usize) -> Parsed<()> {
        let start = self.space();
        let mut is_complement = false;
        while self.peek() == Some('~') {
            is_complement = !is_complement;
            self.position += 1;
            self.space();
        }
        self.range(depth)?;
        if is_complement {
            self.steps.push(Step { action: Action::Complement, at: start..start + 1 });
        }
        Ok(())
    }

    fn range(&mut self, depth: usize) -> Parsed<()> {
        let first = self.space();
        if !self.dots() {
            self.atom(depth)?;
            let at = self.space();
            if !self.dots() {
                return Ok(());
            }
            self.steps.push(Step { action: Action::Downstream, at: at..at + 2 });
            if self.starts_atom() {
                self.atom(depth)?;
                self.steps.push(Step { action: Action::Upstream, at: at..at + 2 });
                self.steps.push(Step { action: Action::Intersect, at: at..at + 2 });
            }
        } else if self.starts_atom() {
            self.atom(depth)?;
            self.steps.push(Step { action: Action::Upstream, at: first..first + 2 });
        } else {
            return Err(self.expected(&format!("what the range ends at: {ATOM}")));
        }
        self.space();
        if self.rest().starts_with("..") {
            let message = "a range has two ends at most: put one into parentheses";
            let at = self.position;
            return Err(ExpressionError::new(self.text, at..at + 2, message));
        }
        Ok(())
    }

    fn dots(&mut self) -> bool {
        let found = self.rest().starts_with("..");
        if found {
            self.position += 2;
        }
        found
    }

    fn starts_atom(&mut self) -> bool {
        self.space();
        self.peek().is_some_and(|c| c == '(' || c == '"' || c == '\'' || is_word(c))
    }

    fn atom(&mut self, depth: usize) -> Parsed<()> {
        let start = self.space();
        match self.peek() {
            Some('(') => {
                if depth == MAX_DEPTH {
                    let message =
                        format!("parentheses stand in each other {MAX_DEPTH} times at most");
                    return Err(self.wrong(&message));
                }
                self.position += 1;
                self.set(depth + 1)?;
                self.space();
                if self.peek() != Some(')') {
                    return Err(self.expected("`)`, `|`, `&`, `-`, `~` or `..`"));
                }
                self.position += 1;
                return Ok(());
            }
            Some('"' | '\'') => {
                let pattern = self.quoted()?;
                return self.named(pattern, start);
            }
            Some(c) if is_word(c) => {}
            _ => return Err(self.expected(ATOM)),
        }
        if let Some(id) = self.uuid() {
            self.push(Selector::Id(id), start);
            return Ok(());
        }
        let word = self.word(is_word);
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            let at = start..self.position;
            let message =
                format!("`{word}` is neither a whole UUID nor the name of a task or dataset type");
            return Err(ExpressionError::new(self.text, at, message));
        }
        let selector = match word {
            "quanta" => Some(Selector::Quanta),
            "datasets" => Some(Selector::Datasets),
            _ => StateWord::parse(word).map(Selector::State),
        };
        match selector {
            Some(selector) => {
                self.push(selector, start);
                Ok(())
            }
            None => self.named(word.to_owned(), start),
        }
    }

    /// A UUID in its long form, which would else be read as names without each other.
    fn uuid(&mut self) -> Option<Uuid> {
        const LENGTH: usize = 36;
        let rest = self.rest();
        let id = Uuid::try_parse(rest.get(..LENGTH)?).ok()?;
        if rest[LENGTH..].starts_with(is_word) {
            return None;
        }
        self.position += LENGTH;
        Some(id)
    }

    /// What follows a name.
    fn named(&mut self, pattern: String, start: usize) -> Parsed<()> {
        let mut values: Vec<GivenValue> = Vec::new();
        let end = self.position;
        self.space();
        if self.peek() != Some('@') {
            self.position = end;
            self.push(Selector::Named { pattern, values }, start);
            return Ok(());
        }
        self.position += 1;
        self.space();
        if self.peek() != Some('{') {
            return Err(self.expected("`{` and values of dimensions, such as `{city=oslo}`"));
        }
        self.position += 1;
        self.space();
        while self.peek() != Some('}') {
            let value = self.value(values.is_empty())?;
            if values.iter().any(|other| other.dimension == value.dimension) {
                let message = format!("dimension `{}` has two values", value.dimension);
                return Err(ExpressionError::new(self.text, value.dimension_at, message));
            }
            values.push(value);
            self.space();
            match self.peek() {
                Some(',') => {
                    self.position += 1;
                    self.space();
                    if self.peek() == Some('}') {
                        return Err(self.expected("the name of a dimension"));
                    }
                }
                Some('}') => {}
                _ => return Err(self.expected("`,` or `}`")),
            }
        }
        self.position += 1;
        self.push(Selector::Named { pattern, values }, start);
        Ok(())
    }

    /// `dimension=value`.
    fn value(&mut self, is_first: bool) -> Parsed<GivenValue> {
        let start = self.position;
        let dimension = self.word(|c| is_word(c) && c != '*' && c != '?').to_owned();
        if dimension.is_empty() {
            let expected =
                if is_first { "the name of a dimension or `}`" } else { "the name of a dimension" };
            return Err(self.expected(expected));
        }
        let dimension_at = start..self.position;
        self.space();
        if self.peek() != Some('=') {
            return Err(self.expected("`=` and a value"));
        }
        self.position += 1;
        let start = self.space();
        let value = match self.peek() {
            Some('"' | '\'') => self.quoted()?,
            _ => self.word(|c| c.is_alphanumeric() || "_-.+:/".contains(c)).to_owned(),
        };
        if self.position == start {
            return Err(self.expected("a value; one with special characters stands in quotes"));
        }
        Ok(GivenValue { dimension, dimension_at, value, value_at: start..self.position })
    }

    /// A text in quotes; a backslash takes the next character as it is.
    fn quoted(&mut self) -> Parsed<String> {
        let start = self.position;
        let mut text = String::new();
        let mut characters = self.rest().char_indices();
        let quote = characters.next().map(|(_, c)| c);
        while let Some((at, c)) = characters.next() {
            if Some(c) == quote {
                self.position = start + at + c.len_utf8();
                return Ok(text);
            }
            match c {
                '\\' => text.extend(characters.next().map(|(_, c)| c)),
                c => text.push(c),
            }
        }
        Err(ExpressionError::new(self.text, start..start + 1, "this quote has no end"))
    }

    fn word(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.position..];
        let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.position += len;
        &rest[..len]
    }

    fn push(&mut self, selector: Selector, start: usize) {
        self.steps.push(Step { action: Action::Push(selector), at: start..self.position });
    }

    /// Skips white space; says where the parser is then.
    fn space(&mut self) -> usize {
        self.position = self.text.len() - self.rest().trim_start().len();
        self.position
    }

    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The character here.
    fn here(&self) -> Range<usize> {
        self.position..self.position + self.peek().map_or(0, char::len_utf8)
    }

    fn wrong(&self, message: &str) -> ExpressionError {
        ExpressionError::new(self.text, self.here(), message)
    }

    fn expected(&self, what: &str) -> ExpressionError {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(c) => format!("`{}`", c.escape_debug()),
        };
        self.wrong(&format!("expected {what}, found {found}"))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '*' | '?')
}
