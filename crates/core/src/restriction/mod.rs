//! Restrictions of data IDs: `visit > 10 AND (band IN ('g', 'r') OR night = 3)`.
//!
//! ```text
//! expression  a comparison; NOT e; e AND e; e OR e; (e)
//! comparison  dimension = value, and !=, <, <=, >, >=
//!             dimension [NOT] IN (value, 1..10, 1..10:3, …)   ranges include both ends
//! value       an integer, or a string in single quotes ('' is a quote inside)
//! ```
//!
//! Words are read in any case, `==` as `=`, `<>` as `!=`. An expression is kept as the
//! list of parts that `AND` joins: each part applies wherever all dimensions that it names
//! are known.

mod parse;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use crate::{ElementName, KeyType, KeyValue, Universe};

/// Which data IDs are meant; all of them if it is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restriction {
    parts: Vec<Part>,
}

/// One of the conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    dimensions: BTreeSet<ElementName>,
    condition: Condition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Compare(ElementName, Comparison, KeyValue),
    In(ElementName, Vec<Choice>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    One(KeyValue),
    Range { first: i64, last: i64, step: i64 },
}

/// A restriction that cannot be read. Its text shows the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}\n  {text}\n  {:>width$}", "^", width = .text[..*.at].chars().count() + 1)]
pub struct RestrictionError {
    /// What was to be read, in one line.
    pub text: String,
    /// Where it is wrong, in bytes.
    pub at: usize,
    /// What is wrong.
    pub reason: String,
}

impl Restriction {
    /// Reads an expression over the dimensions of `universe`.
    ///
    /// # Errors
    /// [`RestrictionError`] that shows the place.
    pub fn parse(text: &str, universe: &Universe) -> Result<Self, RestrictionError> {
        let condition = parse::parse(text, universe)?;
        let conditions = match condition {
            Condition::All(conditions) => conditions,
            one => vec![one],
        };
        Ok(Self { parts: conditions.into_iter().map(Part::of).collect() })
    }

    /// The data IDs that have these values.
    pub fn of_values(values: impl IntoIterator<Item = (ElementName, KeyValue)>) -> Self {
        let compare = |(name, value)| Part::of(Condition::Compare(name, Comparison::Equal, value));
        Self { parts: values.into_iter().map(compare).collect() }
    }

    /// Both at once.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    /// Whether everything is meant.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What must hold, each part by itself.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl Part {
    fn of(condition: Condition) -> Self {
        let mut dimensions = BTreeSet::new();
        condition.visit(&mut |name| {
            if !dimensions.contains(name) {
                dimensions.insert(name.clone());
            }
        });
        Self { dimensions, condition }
    }

    /// The dimensions whose values it needs.
    pub fn dimensions(&self) -> &BTreeSet<ElementName> {
        &self.dimensions
    }

    /// The dimension and its value, if that is all it asks for: `visit = 3`.
    pub fn equality(&self) -> Option<(&ElementName, &KeyValue)> {
        match &self.condition {
            Condition::Compare(name, Comparison::Equal, value) => Some((name, value)),
            _ => None,
        }
    }

    /// Whether it holds where `value` gives the values of its dimensions.
    pub fn holds<'v>(&self, value: &impl Fn(&ElementName) -> Option<&'v KeyValue>) -> bool {
        self.condition.holds(value)
    }
}

impl Condition {
    fn visit<'a>(&'a self, seen: &mut impl FnMut(&'a ElementName)) {
        let mut open = vec![self];
        while let Some(condition) = open.pop() {
            match condition {
                Self::Not(inner) => open.push(inner),
                Self::All(all) | Self::Any(all) => open.extend(all),
                Self::Compare(name, ..) | Self::In(name, _) => seen(name),
            }
        }
    }

    /// Nested as deep as the parser lets it be.
    fn holds<'v>(&self, value: &impl Fn(&ElementName) -> Option<&'v KeyValue>) -> bool {
        match self {
            Self::Not(inner) => !inner.holds(value),
            Self::All(all) => all.iter().all(|one| one.holds(value)),
            Self::Any(any) => any.iter().any(|one| one.holds(value)),
            Self::Compare(name, comparison, wanted) => {
                value(name).is_some_and(|found| comparison.holds(found, wanted))
            }
            Self::In(name, choices) => {
                value(name).is_some_and(|found| choices.iter().any(|choice| choice.has(found)))
            }
        }
    }
}

impl Comparison {
    fn holds(self, found: &KeyValue, wanted: &KeyValue) -> bool {
        match self {
            Self::Equal => found == wanted,
            Self::NotEqual => found != wanted,
            Self::Less => found < wanted,
            Self::LessOrEqual => found <= wanted,
            Self::Greater => found > wanted,
            Self::GreaterOrEqual => found >= wanted,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Choice {
    fn has(&self, found: &KeyValue) -> bool {
        match (self, found) {
            (Self::One(wanted), _) => found == wanted,
            (Self::Range { first, last, step }, KeyValue::Integer(i)) => {
                (first..=last).contains(&i) && i.wrapping_sub(*first).rem_euclid(*step) == 0
            }
            (Self::Range { .. }, KeyValue::String(_)) => false,
        }
    }
}

fn literal(value: &KeyValue, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        KeyValue::Integer(i) => write!(f, "{i}"),
        KeyValue::String(text) => write!(f, "'{}'", text.replace('\'', "''")),
    }
}

/// So that it reads as the same restriction.
impl fmt::Display for Restriction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.parts.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { " AND " })?;
            match &part.condition {
                any @ Condition::Any(_) => write!(f, "({any})")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Not(inner) => write!(f, "NOT ({inner})"),
            Self::All(all) | Self::Any(all) => {
                let word = if matches!(self, Self::All(_)) { " AND " } else { " OR " };
                for (i, one) in all.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { word })?;
                    match one {
                        Self::All(_) | Self::Any(_) => write!(f, "({one})")?,
                        _ => write!(f, "{one}")?,
                    }
                }
                Ok(())
            }
            Self::Compare(name, comparison, value) => {
                write!(f, "{name} {} ", comparison.text())?;
                literal(value, f)
            }
            Self::In(name, choices) => {
                write!(f, "{name} IN (")?;
                for (i, choice) in choices.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { ", " })?;
                    match choice {
                        Choice::One(value) => literal(value, f)?,
                        Choice::Range { first, last, step: 1 } => write!(f, "{first}..{last}")?,
                        Choice::Range { first, last, step } => write!(f, "{first}..{last}:{step}")?,
                    }
                }
                f.write_str(")")
            }
        }
    }
}

fn key_type(universe: &Universe, name: &str) -> Option<(ElementName, KeyType)> {
    let element = universe.element(name).ok()?;
    Some((element.name.clone(), element.key?))
}
