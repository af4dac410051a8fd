//! Contracts: what the configurations of tasks have to agree on.
//!
//! ```text
//! isr.crosstalk == flat.crosstalk and (isr.bias or not flat.bias)
//!
//! or     := and { "or" and }
//! and    := not { "and" not }
//! not    := "not" not | compare
//! compare := value [ ("==" | "!=" | "<" | "<=" | ">" | ">=") value ]
//! value  := TASK "." KEY | number | 'text' | "text" | "true" | "false" | "(" or ")"
//! ```
//!
//! Numbers are compared with numbers, texts with texts, booleans with booleans; only
//! numbers have an order. Both sides of `and` and `or` are looked at, so that a
//! comparison that cannot be made is found whatever the other side says.

mod parse;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use pantler_core::TaskLabel;

use super::ConfigValue;

/// A contract that cannot be read or evaluated: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ContractError {
    /// The whole text.
    pub text: String,
    /// Where, in characters from the start.
    pub at: usize,
    /// What is wrong.
    pub reason: String,
}

/// The reason, then the text with a caret below the place.
impl fmt::Display for ContractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, at, reason } = self;
        write!(f, "{reason}\n    {text}\n    {:at$}^", "")
    }
}

/// A comparison over configuration values of tasks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contract {
    text: String,
    root: Term,
}

#[derive(Debug, Clone, PartialEq)]
struct Term {
    /// In characters from the start: of an operator, where it stands.
    at: usize,
    kind: TermKind,
}

#[derive(Debug, Clone, PartialEq)]
enum TermKind {
    Literal(ConfigValue),
    Config(TaskLabel, String),
    Not(Box<Term>),
    Both(Box<Term>, Box<Term>),
    Either(Box<Term>, Box<Term>),
    Compare(Operator, Box<Term>, Box<Term>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// How many characters a contract may have: what looks at its terms calls itself.
const LENGTH: usize = 4000;

type Configs<'a> = dyn Fn(&TaskLabel) -> BTreeMap<String, ConfigValue> + 'a;

impl Contract {
    /// Parses a text.
    pub(super) fn parse(text: &str) -> Result<Self, ContractError> {
        // A text over several lines is one line with a caret below.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = text.trim_end().to_owned();
        if text.chars().count() > LENGTH {
            let reason = format!("longer than {LENGTH} characters; make several contracts of it");
            return Err(ContractError { text: text.chars().take(60).collect(), at: 0, reason });
        }
        match parse::parse(&text) {
            Ok(root) => Ok(Self { text, root }),
            Err((at, reason)) => Err(ContractError { text, at, reason }),
        }
    }

    /// The text it was made from.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The tasks that it names.
    pub(super) fn tasks(&self) -> BTreeSet<&TaskLabel> {
        let mut references = BTreeSet::new();
        self.root.references(&mut references);
        references.into_iter().map(|(task, _)| task).collect()
    }

    /// Whether it holds for the configurations that `configs` gives; all tasks that it
    /// names must be there.
    pub(super) fn holds(&self, configs: &Configs<'_>) -> Result<bool, ContractError> {
        let fail = |(at, reason)| ContractError { text: self.text.clone(), at, reason };
        let value = self.root.value(configs).map_err(fail)?;
        boolean(&self.root, &value).map_err(fail)
    }

    /// The values that it names, in words: `isr.crosstalk is true, …`.
    pub(super) fn values(&self, configs: &Configs<'_>) -> String {
        let mut references = BTreeSet::new();
        self.root.references(&mut references);
        let values: Vec<String> = references
            .into_iter()
            .filter_map(|(task, key)| {
                let value = configs(task).remove(key)?;
                Some(match value {
                    ConfigValue::String(text) => format!("{task}.{key} is {text:?}"),
                    other => format!("{task}.{key} is {other}"),
                })
            })
            .collect();
        values.join(", ")
    }
}

type Wrong = (usize, String);

impl Term {
    fn references<'a>(&'a self, into: &mut BTreeSet<(&'a TaskLabel, &'a str)>) {
        match &self.kind {
            TermKind::Literal(_) => {}
            TermKind::Config(task, key) => {
                into.insert((task, key));
            }
            TermKind::Not(term) => term.references(into),
            TermKind::Both(a, b) | TermKind::Either(a, b) | TermKind::Compare(_, a, b) => {
                a.references(into);
                b.references(into);
            }
        }
    }

    fn value(&self, configs: &Configs<'_>) -> Result<ConfigValue, Wrong> {
        let truth = |term: &Self| boolean(term, &term.value(configs)?);
        Ok(ConfigValue::Boolean(match &self.kind {
            TermKind::Literal(value) => return Ok(value.clone()),
            TermKind::Config(task, key) => {
                let config = configs(task);
                return config.get(key).cloned().ok_or_else(|| {
                    let known: Vec<_> = config.keys().map(String::as_str).collect();
                    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                    let reason =
                        format!("task `{task}` has no configuration value `{key}`; it has {known}");
                    (self.at, reason)
                });
            }
            TermKind::Not(term) => !truth(term)?,
            TermKind::Both(a, b) => {
                let (a, b) = (truth(a)?, truth(b)?);
                a && b
            }
            TermKind::Either(a, b) => {
                let (a, b) = (truth(a)?, truth(b)?);
                a || b
            }
            TermKind::Compare(operator, a, b) => {
                let (a, b) = (a.value(configs)?, b.value(configs)?);
                compare(*operator, &a, &b).map_err(|reason| (self.at, reason))?
            }
        }))
    }
}

fn boolean(term: &Term, value: &ConfigValue) -> Result<bool, Wrong> {
    match value {
        ConfigValue::Boolean(value) => Ok(*value),
        other => Err((term.at, format!("expected true or false, found {}", other.kind()))),
    }
}

fn compare(operator: Operator, a: &ConfigValue, b: &ConfigValue) -> Result<bool, String> {
    use ConfigValue::{Boolean, Float, Integer, String};
    let ordering = match (a, b) {
        (Integer(a), Integer(b)) => a.cmp(b),
        (Float(a), Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Integer(a), Float(b)) => mixed(*a, *b),
        (Float(a), Integer(b)) => mixed(*b, *a).reverse(),
        (String(a), String(b)) => a.cmp(b),
        (Boolean(a), Boolean(b)) => a.cmp(b),
        (a, b) => return Err(format!("{} cannot be compared with {}", a.kind(), b.kind())),
    };
    let is_ordered = matches!(a, Integer(_) | Float(_));
    if !is_ordered && !matches!(operator, Operator::Equal | Operator::NotEqual) {
        return Err(format!("only numbers have an order, and this is {}", a.kind()));
    }
    Ok(match operator {
        Operator::Equal => ordering.is_eq(),
        Operator::NotEqual => ordering.is_ne(),
        Operator::Less => ordering.is_lt(),
        Operator::LessOrEqual => ordering.is_le(),
        Operator::Greater => ordering.is_gt(),
        Operator::GreaterOrEqual => ordering.is_ge(),
    })
}

/// An integer against a finite number, exactly.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "where the rounded values are equal, the number is an integer and is compared as one"
)]
fn mixed(integer: i64, float: f64) -> Ordering {
    match (integer as f64).partial_cmp(&float) {
        Some(Ordering::Equal) | None => i128::from(integer).cmp(&(float as i128)),
        Some(other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> Result<bool, String> {
        let contract = Contract::parse(text).map_err(|error| error.to_string())?;
        let configs = |task: &TaskLabel| {
            let values: &[(&str, ConfigValue)] = if task.as_str() == "isr" {
                &[
                    ("on", ConfigValue::Boolean(true)),
                    ("width", ConfigValue::Integer(3)),
                    ("name", ConfigValue::String("x y".to_owned())),
                ]
            } else {
                &[("on", ConfigValue::Boolean(false)), ("width", ConfigValue::Float(2.5))]
            };
            values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        contract.holds(&configs).map_err(|error| error.to_string())
    }

    #[test]
    fn comparisons_are_evaluated() {
        for (text, expected) in [
            ("isr.on", true),
            ("not isr.on", false),
            ("not not isr.on", true),
            ("isr.on == flat.on", false),
            ("isr.on != flat.on", true),
            ("isr.width > flat.width", true),
            ("flat.width >= isr.width", false),
            ("flat.width <= 2.5 and isr.width < 4", true),
            ("isr.width == 3.0", true),
            ("isr.width == 3e0 and -1 < isr.width", true),
            ("isr.name == 'x y'", true),
            ("isr.name != \"x y\"", false),
            ("flat.on or isr.on and flat.on", false),
            ("isr.on or isr.on and flat.on", true),
            ("(isr.on or isr.on) and flat.on", false),
            ("(isr.width == 3) == true", true),
            ("9007199254740993 == 9007199254740992.0", false),
            ("9223372036854775807 < 9223372036854775808.0", true),
        ] {
            assert_eq!(holds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_has_a_caret() {
        for (text, expected) in [
            (
                "isr.on == == flat.on",
                "expected a value, found `==`\n    isr.on == == flat.on\n              ^",
            ),
            ("isr.on =", "expected `==`\n    isr.on =\n           ^"),
            ("isr.on ==", "expected a value, found the end\n    isr.on ==\n             ^"),
            ("isr", "a configuration value is TASK.KEY\n    isr\n    ^"),
            ("isr.", "expected a configuration key after the dot\n    isr.\n        ^"),
            (
                "isr.on flat.on",
                "expected an operator or the end, found `flat`\n    isr.on flat.on\n           ^",
            ),
            ("(isr.on", "expected `)`, found the end\n    (isr.on\n           ^"),
            ("isr.name == 'é", "this text has no end\n    isr.name == 'é\n                ^"),
            ("'é' == $", "`$` is not understood\n    'é' == $\n           ^"),
            ("1 < 2 < 3", "expected an operator or the end, found `<`\n    1 < 2 < 3\n          ^"),
            ("1.2.3 == 1", "1.2.3 is not a number\n    1.2.3 == 1\n    ^"),
            ("Isr.on", "`I` is not understood\n    Isr.on\n    ^"),
            ("", "expected a value, found the end\n    \n    ^"),
        ] {
            assert_eq!(holds(text), Err(expected.to_owned()), "{text}");
        }
        let deep = "(".repeat(900);
        assert!(holds(&deep).is_err_and(|error| error.starts_with("too deeply nested")));
        let deep = "not ".repeat(900);
        assert!(holds(&deep).is_err_and(|error| error.starts_with("too deeply nested")));
        let long = "isr.on or ".repeat(500);
        assert!(holds(&long).is_err_and(|error| error.starts_with("longer than 4000")));
    }

    #[test]
    fn what_cannot_be_compared_has_a_caret() {
        for (text, expected) in [
            (
                "isr.on == isr.width",
                "a boolean cannot be compared with an integer\n    isr.on == isr.width\n           ^",
            ),
            (
                "isr.name < 'z'",
                "only numbers have an order, and this is a text\n    isr.name < 'z'\n             ^",
            ),
            (
                "isr.on or isr.width",
                "expected true or false, found an integer\n    isr.on or isr.width\n              ^",
            ),
            (
                "isr.on or isr.lenght == 1",
                "task `isr` has no configuration value `lenght`; it has name, on, width\n    isr.on or isr.lenght == 1\n              ^",
            ),
            ("3", "expected true or false, found an integer\n    3\n    ^"),
        ] {
            assert_eq!(holds(text), Err(expected.to_owned()), "{text}");
        }
    }
}
