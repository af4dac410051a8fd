use std::{fmt, ops::Range};

/// Characters of the text that are shown before and after the place.
const SHOWN: usize = 60;

/// An expression that cannot be read, or that names what the graph does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    message: String,
    text: Box<str>,
    at: Range<usize>,
}

impl ExpressionError {
    pub(super) fn new(text: &str, at: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), text: text.into(), at }
    }

    /// What is wrong, without the text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The bytes of the text that are wrong; empty where something is missing.
    pub fn place(&self) -> Range<usize> {
        self.at.clone()
    }
}

impl std::error::Error for ExpressionError {}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before: Vec<char> = self.text[..self.at.start].chars().collect();
        let wrong = self.text[self.at.clone()].chars().count().max(1);
        let mut line = String::new();
        let skipped = before.len().saturating_sub(SHOWN);
        if skipped > 0 {
            line.push('…');
        }
        // One column for each character, whatever it is.
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        line.extend(before[skipped..].iter().copied().map(shown));
        let column = line.chars().count();
        let mut rest = self.text[self.at.start..].chars();
        line.extend(rest.by_ref().take(wrong.min(SHOWN) + SHOWN).map(shown));
        if rest.next().is_some() {
            line.push('…');
        }
        let marks = "^".repeat(wrong.min(SHOWN));
        write!(f, "{}\n  {line}\n  {}{marks}", self.message, " ".repeat(column))
    }
}

/// An expression could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError<E: std::error::Error + 'static> {
    /// It names what the graph does not have.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// The graph could not be read.
    #[error("cannot evaluate the expression")]
    Graph(#[source] E),
}
