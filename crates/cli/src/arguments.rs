//! Arguments that several commands share, checked as they are read.

use std::{collections::BTreeMap, str::FromStr};

use pantler_core::{
    CollectionName, DatasetTypeName, ElementName, KeyValue, Universe, dimension::UniverseError,
};

/// `key=value`: the value of a dimension, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The dimension.
    pub(crate) key: ElementName,
    /// Its value, of the type that the universe will say.
    pub(crate) value: String,
}

/// A text that is not `key=value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssignmentError {
    /// No equals sign.
    #[error("expected key=value, such as city=oslo")]
    NoEquals,
    /// A key that cannot be a dimension.
    #[error(transparent)]
    Key(#[from] pantler_core::NameError),
    /// Nothing behind the equals sign.
    #[error("there is no value after `{0}=`")]
    NoValue(ElementName),
}

impl FromStr for Assignment {
    type Err = AssignmentError;

    fn from_str(text: &str) -> Result<Self, AssignmentError> {
        let (key, value) = text.split_once('=').ok_or(AssignmentError::NoEquals)?;
        let key = ElementName::new(key)?;
        if value.is_empty() {
            return Err(AssignmentError::NoValue(key));
        }
        Ok(Self { key, value: value.to_owned() })
    }
}

/// A dataset type or a constraint on data IDs, as `query datasets` takes them mixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Term {
    /// A dataset type.
    Type(DatasetTypeName),
    /// A value of a dimension.
    Value(Assignment),
}

impl FromStr for Term {
    type Err = AssignmentError;

    fn from_str(text: &str) -> Result<Self, AssignmentError> {
        if text.contains('=') {
            text.parse().map(Self::Value)
        } else {
            Ok(Self::Type(DatasetTypeName::new(text)?))
        }
    }
}

/// Values of dimensions that cannot be what was meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValuesError {
    /// A key that was given twice.
    #[error("`{0}` was given twice")]
    Twice(ElementName),
    /// A key that is not a dimension of the repository.
    #[error(transparent)]
    Dimension(#[from] UniverseError),
    /// A value of the wrong type.
    #[error("dimension `{dimension}`: {reason}")]
    Value {
        /// The dimension.
        dimension: ElementName,
        /// What was expected.
        reason: String,
    },
}

/// The texts by key.
pub(crate) fn texts(given: &[Assignment]) -> Result<BTreeMap<String, String>, ValuesError> {
    let mut texts = BTreeMap::new();
    for Assignment { key, value } in given {
        if texts.insert(key.to_string(), value.clone()).is_some() {
            return Err(ValuesError::Twice(key.clone()));
        }
    }
    Ok(texts)
}

/// The values by dimension, with the types that the universe gives them.
pub(crate) fn values(
    universe: &Universe,
    given: &[Assignment],
) -> Result<BTreeMap<ElementName, KeyValue>, ValuesError> {
    let mut values = BTreeMap::new();
    for (name, text) in texts(given)? {
        let element = universe.element(&name)?;
        let dimension = element.name.clone();
        let key_type =
            element.key.ok_or_else(|| UniverseError::NotADimension(dimension.clone()))?;
        let value = KeyValue::parse(&text, key_type)
            .map_err(|reason| ValuesError::Value { dimension: dimension.clone(), reason })?;
        values.insert(dimension, value);
    }
    Ok(values)
}

/// `--collections A,B`, in search order.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Collections {
    /// Where to look, in search order; chains stand for what they contain
    #[arg(long, value_name = "COLLECTION", value_delimiter = ',')]
    pub(crate) collections: Vec<CollectionName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn universe() -> Universe {
        let text = "version: 1\nname: w\nelements:\n  city: {key: string}\n  month: {key: integer}\n  \
                    both: {requires: [city, month]}\n";
        Universe::from_yaml(text).unwrap()
    }

    fn parse(texts: &[&str]) -> Vec<Assignment> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn assignments_are_split_at_the_first_equals_sign() {
        let Assignment { key, value } = "city=a=b c".parse().unwrap();
        assert_eq!((key.as_str(), value.as_str()), ("city", "a=b c"));
    }

    #[test]
    fn what_is_no_assignment_is_refused() {
        assert_eq!("city".parse::<Assignment>(), Err(AssignmentError::NoEquals));
        assert!(matches!("City=x".parse::<Assignment>(), Err(AssignmentError::Key(_))));
        assert!(matches!("=x".parse::<Assignment>(), Err(AssignmentError::Key(_))));
        assert!(matches!("city=".parse::<Assignment>(), Err(AssignmentError::NoValue(_))));
    }

    #[test]
    fn terms_are_types_or_values() {
        assert_eq!("daily".parse(), Ok(Term::Type(DatasetTypeName::new("daily").unwrap())));
        assert!(matches!("city=oslo".parse(), Ok(Term::Value(_))));
        assert!("Daily".parse::<Term>().is_err());
    }

    #[test]
    fn values_get_the_type_of_their_dimension() {
        let found = values(&universe(), &parse(&["month=01", "city=7"])).unwrap();
        assert_eq!(found["month"], KeyValue::Integer(1));
        assert_eq!(found["city"], KeyValue::from("7"));
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        let refused = |texts: &[&str]| values(&universe(), &parse(texts)).unwrap_err().to_string();
        assert_eq!(refused(&["month=x"]), "dimension `month`: expected an integer, found \"x\"");
        assert_eq!(refused(&["city=a", "city=b"]), "`city` was given twice");
        assert!(refused(&["town=a"]).contains("it has city, month, both"));
        assert!(refused(&["both=a"]).contains("not a dimension"));
    }
}
