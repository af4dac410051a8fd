//! From text to conditions, by recursive descent.

use crate::{ElementName, KeyType, KeyValue, Universe};

use super::{Choice, Comparison, Condition, RestrictionError, key_type};

/// How deep parentheses and `NOT` may nest: what nests deeper was not written by a person.
const DEPTH: usize = 64;

pub(super) fn parse(text: &str, universe: &Universe) -> Result<Condition, RestrictionError> {
    // In one line, so that the place can be shown below it.
    let text: String =
        text.chars().map(|c| if c.is_whitespace() || c.is_control() { ' ' } else { c }).collect();
    let mut parser = Parser { text: &text, at: 0, universe, depth: 0 };
    let condition = parser.any()?;
    match parser.next()? {
        (_, Token::End) => Ok(condition),
        (at, _) => Err(parser.error(at, "expected AND, OR or the end here".to_owned())),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    universe: &'a Universe,
    depth: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Integer(i64),
    String(String),
    Sign(&'static str),
    End,
}

const SIGNS: [&str; 13] = ["..", "==", "!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", ":"];

impl<'a> Parser<'a> {
    fn error(&self, at: usize, reason: String) -> RestrictionError {
        RestrictionError { text: self.text.to_owned(), at, reason }
    }

    /// The next token and where it starts.
    fn next(&mut self) -> Result<(usize, Token<'a>), RestrictionError> {
        let rest = self.text[self.at..].trim_start();
        let start = self.text.len() - rest.len();
        let mut end = start;
        let Some(first) = rest.chars().next() else {
            self.at = self.text.len();
            return Ok((self.at, Token::End));
        };
        let take = |accept: fn(char) -> bool| rest.find(|c| !accept(c)).unwrap_or(rest.len());
        let token = if first == '\'' {
            let mut text = String::new();
            let mut chars = rest.char_indices().skip(1).peekable();
            loop {
                match chars.next() {
                    None => {
                        return Err(self.error(start, "this string has no end".to_owned()));
                    }
                    Some((_, '\'')) if chars.next_if(|(_, c)| *c == '\'').is_some() => {
                        text.push('\'');
                    }
                    Some((i, '\'')) => {
                        end += i + 1;
                        break;
                    }
                    Some((_, c)) => text.push(c),
                }
            }
            Token::String(text)
        } else if first.is_ascii_digit() || (first == '-' || first == '+') {
            let digits =
                1 + rest[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - 1);
            end += digits;
            let number = rest[..digits].parse();
            Token::Integer(number.map_err(|_| self.error(start, "expected a number".to_owned()))?)
        } else if first.is_alphabetic() || first == '_' {
            end += take(|c| c.is_alphanumeric() || c == '_' || c == '.');
            Token::Word(&self.text[start..end])
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            end += sign.len();
            Token::Sign(sign)
        } else {
            return Err(self.error(start, format!("`{first}` means nothing here")));
        };
        self.at = end;
        Ok((start, token))
    }

    /// Takes the next token if it is this word or sign.
    fn next_if(&mut self, wanted: &str) -> Result<bool, RestrictionError> {
        let before = self.at;
        let is_it = match self.next()?.1 {
            Token::Word(word) => word.eq_ignore_ascii_case(wanted),
            Token::Sign(sign) => sign == wanted,
            _ => false,
        };
        if !is_it {
            self.at = before;
        }
        Ok(is_it)
    }

    fn any(&mut self) -> Result<Condition, RestrictionError> {
        let mut any = vec![self.all()?];
        while self.next_if("or")? {
            any.push(self.all()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Condition::Any(any) })
    }

    fn all(&mut self) -> Result<Condition, RestrictionError> {
        let mut all = Vec::new();
        loop {
            match self.one()? {
                Condition::All(inner) => all.extend(inner),
                one => all.push(one),
            }
            if !self.next_if("and")? {
                return Ok(if all.len() == 1 { all.remove(0) } else { Condition::All(all) });
            }
        }
    }

    fn one(&mut self) -> Result<Condition, RestrictionError> {
        let start = self.at;
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.error(start, format!("this nests deeper than {DEPTH}")));
        }
        let condition = if self.next_if("not")? {
            Condition::Not(Box::new(self.one()?))
        } else if self.next_if("(")? {
            let inner = self.any()?;
            if !self.next_if(")")? {
                let (at, _) = self.next()?;
                return Err(self.error(at, "expected `)`, AND or OR here".to_owned()));
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn comparison(&mut self) -> Result<Condition, RestrictionError> {
        let (at, token) = self.next()?;
        let Token::Word(word) = token else {
            return Err(self.error(at, "expected the name of a dimension here".to_owned()));
        };
        let Some((name, key)) = key_type(self.universe, word) else {
            let elements = self.universe.elements().iter().filter(|e| e.is_dimension());
            let known: Vec<_> = elements.map(|e| e.name.as_str()).collect();
            let reason = format!("no dimension is called `{word}`; there are {}", known.join(", "));
            return Err(self.error(at, reason));
        };
        let negated = self.next_if("not")?;
        let (at, token) = self.next()?;
        match token {
            Token::Word(word) if word.eq_ignore_ascii_case("in") => {
                let choices = self.choices(&name, key)?;
                let within = Condition::In(name, choices);
                return Ok(if negated { Condition::Not(Box::new(within)) } else { within });
            }
            Token::Sign(sign) if !negated => {
                let comparison = match sign {
                    "=" | "==" => Some(Comparison::Equal),
                    "!=" | "<>" => Some(Comparison::NotEqual),
                    "<" => Some(Comparison::Less),
                    "<=" => Some(Comparison::LessOrEqual),
                    ">" => Some(Comparison::Greater),
                    ">=" => Some(Comparison::GreaterOrEqual),
                    _ => None,
                };
                if let Some(comparison) = comparison {
                    let value = self.value(&name, key)?;
                    return Ok(Condition::Compare(name, comparison, value));
                }
            }
            _ => {}
        }
        let wanted = if negated { "IN" } else { "a comparison (=, !=, <, <=, >, >=) or IN" };
        Err(self.error(at, format!("expected {wanted} here")))
    }

    fn value(&mut self, name: &ElementName, key: KeyType) -> Result<KeyValue, RestrictionError> {
        let (at, token) = self.next()?;
        let value = match token {
            Token::Integer(i) => KeyValue::Integer(i),
            Token::String(text) => KeyValue::String(text.into()),
            Token::Word(word) if key == KeyType::String => {
                let reason = format!("put quotes around it: '{word}'");
                return Err(self.error(at, reason));
            }
            _ => {
                return Err(self.error(at, format!("expected a value of `{name}` here")));
            }
        };
        value.checked(key).map_err(|reason| self.error(at, format!("`{name}`: {reason}")))
    }

    fn choices(
        &mut self,
        name: &ElementName,
        key: KeyType,
    ) -> Result<Vec<Choice>, RestrictionError> {
        if !self.next_if("(")? {
            let (at, _) = self.next()?;
            return Err(self.error(at, "expected `(` after IN".to_owned()));
        }
        let mut choices = Vec::new();
        loop {
            let first = self.value(name, key)?;
            let start = self.at;
            choices.push(match first {
                KeyValue::Integer(first) if self.next_if("..")? => {
                    let (at, last) = self.integer()?;
                    if last < first {
                        let reason = format!("the range ends before it begins, at {first}");
                        return Err(self.error(at, reason));
                    }
                    let mut step = 1;
                    if self.next_if(":")? {
                        let (at, given) = self.integer()?;
                        if given < 1 {
                            return Err(self.error(at, "a step is at least 1".to_owned()));
                        }
                        step = given;
                    }
                    Choice::Range { first, last, step }
                }
                one => {
                    self.at = start;
                    Choice::One(one)
                }
            });
            if self.next_if(")")? {
                return Ok(choices);
            }
            if !self.next_if(",")? {
                let (at, _) = self.next()?;
                return Err(self.error(at, "expected `,` or `)` here".to_owned()));
            }
        }
    }

    fn integer(&mut self) -> Result<(usize, i64), RestrictionError> {
        match self.next()? {
            (at, Token::Integer(i)) => Ok((at, i)),
            (at, _) => Err(self.error(at, "expected a number here".to_owned())),
        }
    }
}
