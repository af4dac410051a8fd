//! The expression language: which quanta and datasets of a graph are meant.
//!
//! ```text
//! set     := term (("|" | "-" | "~") term)*      union; without; left to right
//! term    := part ("&" part)*                    in both; binds tighter
//! part    := "~"* range                          all but
//! range   := atom | [atom] ".." [atom]           ancestors, descendants, what lies between
//! atom    := "(" set ")" | UUID | word | name ["@" "{" [dim "=" value ("," dim "=" value)*] "}"]
//! word    := quanta | datasets | succeeded | accepted | failed | poisoned | blocked | started
//!          | built | present | predicted | invalidated
//! name    := a task label or dataset type name, `*` and `?` stand for any characters
//! ```
//!
//! A name in quotes is never a word; a value with other characters than letters, digits and
//! `_ - . + : /` stands in quotes. `..a` is `a` with everything upstream of it, `a..` with
//! everything downstream, `a..b` what is in both. `docs/provenance.md` explains it to users.
//!
//! [`Expression`] is parsed once, into a list of steps for a machine with a stack, so that
//! neither evaluating nor dropping a long one goes deep. It is evaluated over an
//! [`ExpressionGraph`], which a predicted graph ([`PredictedGraph`]) and provenance
//! ([`ProvenanceGraph`](crate::ProvenanceGraph)) both are.

mod error;
mod evaluate;
mod names;
mod parse;
mod predicted;
mod state;
#[cfg(test)]
mod tests;

use std::{ops::Range, str::FromStr};

use uuid::Uuid;

pub(crate) use self::predicted::dimensions;
use self::state::StateWord;
pub use self::{
    error::{EvaluateError, ExpressionError},
    evaluate::{Constraints, ExpressionGraph, NodeGroup, NodeKind},
    predicted::{GraphNode, PredictedGraph},
    state::{DatasetState, ExecutionStatus},
};

/// Which quanta and datasets are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    text: Box<str>,
    steps: Vec<Step>,
}

/// A step, and the piece of the text that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    action: Action,
    at: Range<usize>,
}

/// What happens to the stack of sets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Push(Selector),
    Union,
    Intersect,
    Subtract,
    Complement,
    /// The top with all of its ancestors.
    Upstream,
    /// The top with all of its descendants.
    Downstream,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Selector {
    Id(Uuid),
    Quanta,
    Datasets,
    State(StateWord),
    Named { pattern: String, values: Vec<GivenValue> },
}

/// A value for a dimension, with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GivenValue {
    dimension: String,
    dimension_at: Range<usize>,
    value: String,
    value_at: Range<usize>,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`ExpressionError`], which shows the text with a mark where something else was
    /// expected.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let steps = parse::parse(text)?;
        Ok(Self { text: text.into(), steps })
    }

    /// The text that it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        Self::parse(text)
    }
}
