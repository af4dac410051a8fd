//! From a text to terms: a lexer and a parser by recursive descent.

use pantler_core::TaskLabel;

use super::{Operator, Term, TermKind, Wrong};
use crate::pipeline::ConfigValue;

/// How deep parentheses and `not` may nest.
const DEPTH: u32 = 100;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Literal(ConfigValue, String),
    Dot,
    Open,
    Close,
    Operator(Operator),
    End,
}

pub(super) fn parse(text: &str) -> Result<Term, Wrong> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, next: 0, depth: 0 };
    let term = parser.either()?;
    match parser.peek() {
        (_, Token::End) => Ok(term),
        (at, other) => {
            Err((*at, format!("expected an operator or the end, found {}", name(other))))
        }
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: u32,
}

impl Parser {
    fn peek(&self) -> &(usize, Token) {
        // The last token is `End` and is never taken.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> (usize, Token) {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn is_word(&self, word: &str) -> bool {
        let is_reference = matches!(self.tokens.get(self.next + 1), Some((_, Token::Dot)));
        !is_reference && matches!(self.peek(), (_, Token::Word(found)) if found == word)
    }

    fn either(&mut self) -> Result<Term, Wrong> {
        let mut left = self.both()?;
        while self.is_word("or") {
            let (at, _) = self.take();
            let kind = TermKind::Either(Box::new(left), Box::new(self.both()?));
            left = Term { at, kind };
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Term, Wrong> {
        let mut left = self.not()?;
        while self.is_word("and") {
            let (at, _) = self.take();
            let kind = TermKind::Both(Box::new(left), Box::new(self.not()?));
            left = Term { at, kind };
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Term, Wrong> {
        if !self.is_word("not") {
            return self.compare();
        }
        let (at, _) = self.take();
        let term = self.deeper(at, Self::not)?;
        Ok(Term { at, kind: TermKind::Not(Box::new(term)) })
    }

    fn compare(&mut self) -> Result<Term, Wrong> {
        let left = self.value()?;
        let (at, Token::Operator(operator)) = *self.peek() else { return Ok(left) };
        self.take();
        let kind = TermKind::Compare(operator, Box::new(left), Box::new(self.value()?));
        Ok(Term { at, kind })
    }

    fn value(&mut self) -> Result<Term, Wrong> {
        let (at, token) = self.take();
        let kind = match token {
            Token::Literal(value, _) => TermKind::Literal(value),
            Token::Open => {
                let term = self.deeper(at, Self::either)?;
                let (at, token) = self.take();
                if token != Token::Close {
                    return Err((at, format!("expected `)`, found {}", name(&token))));
                }
                return Ok(term);
            }
            Token::Word(word) if self.peek().1 == Token::Dot => {
                self.take();
                let task = TaskLabel::new(&word).map_err(|error| (at, error.to_string()))?;
                let (at, token) = self.take();
                let Token::Word(key) = token else {
                    return Err((at, "expected a configuration key after the dot".to_owned()));
                };
                TermKind::Config(task, key)
            }
            Token::Word(word) if word == "true" => TermKind::Literal(ConfigValue::Boolean(true)),
            Token::Word(word) if word == "false" => TermKind::Literal(ConfigValue::Boolean(false)),
            Token::Word(word) if !matches!(&*word, "and" | "or" | "not") => {
                return Err((at, "a configuration value is TASK.KEY".to_owned()));
            }
            other => return Err((at, format!("expected a value, found {}", name(&other)))),
        };
        Ok(Term { at, kind })
    }

    fn deeper(
        &mut self,
        at: usize,
        inner: impl FnOnce(&mut Self) -> Result<Term, Wrong>,
    ) -> Result<Term, Wrong> {
        if self.depth == DEPTH {
            return Err((at, "too deeply nested".to_owned()));
        }
        self.depth += 1;
        let term = inner(self)?;
        self.depth -= 1;
        Ok(term)
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Wrong> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let length =
            |take: &dyn Fn(char) -> bool| chars[at..].iter().take_while(|c| take(**c)).count();
        let is_next = |next| chars.get(at + 1) == Some(&next);
        let (token, length) = match c {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            'a'..='z' => {
                let length = length(&|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
                (Token::Word(chars[at..at + length].iter().collect()), length)
            }
            '0'..='9' | '-' => {
                let length = 1 + chars[at + 1..]
                    .iter()
                    .zip(&chars[at..])
                    .take_while(|(c, before)| {
                        c.is_ascii_alphanumeric()
                            || **c == '.'
                            || (matches!(c, '+' | '-') && matches!(before, 'e' | 'E'))
                    })
                    .count();
                let text: String = chars[at..at + length].iter().collect();
                (number(&text).ok_or_else(|| (at, format!("{text} is not a number")))?, length)
            }
            '\'' | '"' => {
                let Some(inner) = chars[at + 1..].iter().position(|other| *other == c) else {
                    return Err((at, "this text has no end".to_owned()));
                };
                let inside: String = chars[at + 1..=at + inner].iter().collect();
                let shown = format!("{c}{inside}{c}");
                (Token::Literal(ConfigValue::String(inside), shown), inner + 2)
            }
            '.' => (Token::Dot, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '=' if is_next('=') => (Token::Operator(Operator::Equal), 2),
            '=' => return Err((at, "expected `==`".to_owned())),
            '!' if is_next('=') => (Token::Operator(Operator::NotEqual), 2),
            '!' => return Err((at, "expected `!=`, or `not`".to_owned())),
            '<' if is_next('=') => (Token::Operator(Operator::LessOrEqual), 2),
            '<' => (Token::Operator(Operator::Less), 1),
            '>' if is_next('=') => (Token::Operator(Operator::GreaterOrEqual), 2),
            '>' => (Token::Operator(Operator::Greater), 1),
            other => return Err((at, format!("`{other}` is not understood"))),
        };
        tokens.push((at, token));
        at += length;
    }
    tokens.push((chars.len(), Token::End));
    Ok(tokens)
}

fn number(text: &str) -> Option<Token> {
    let value = if text.contains(['.', 'e', 'E']) {
        ConfigValue::Float(text.parse().ok().filter(|value: &f64| value.is_finite())?)
    } else {
        ConfigValue::Integer(text.parse().ok()?)
    };
    Some(Token::Literal(value, text.to_owned()))
}

fn name(token: &Token) -> String {
    let text = match token {
        Token::Word(text) | Token::Literal(_, text) => text,
        Token::Dot => ".",
        Token::Open => "(",
        Token::Close => ")",
        Token::Operator(operator) => match operator {
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
        },
        Token::End => return "the end".to_owned(),
    };
    format!("`{text}`")
}
