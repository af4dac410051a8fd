//! What is said on top of a pipeline file when it is used.

use camino::Utf8PathBuf;

use super::{ConfigValue, FaultKind};

/// Which tasks of a pipeline file are meant, with which values.
///
/// Files with configuration values are applied before single values, each in the order
/// given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choices {
    /// Tasks, subsets and ranges (`a..b`) to use; empty for all tasks.
    pub select: Vec<String>,
    /// Values of parameters.
    pub parameters: Vec<ParameterChoice>,
    /// Files with configuration values of a task.
    pub files: Vec<ConfigFile>,
    /// Configuration values of tasks.
    pub values: Vec<ConfigChoice>,
}

/// A value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterChoice {
    /// Where it was said, for messages.
    pub said: String,
    /// The parameter.
    pub name: String,
    /// Its value.
    pub value: GivenValue,
}

/// A file with configuration values of a task: a map of keys and values.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigFile {
    /// Where it was said, for messages.
    pub said: String,
    /// The task.
    pub task: String,
    /// The file.
    pub file: Utf8PathBuf,
}

/// A configuration value of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigChoice {
    /// Where it was said, for messages.
    pub said: String,
    /// The task.
    pub task: String,
    /// The key.
    pub key: String,
    /// The value.
    pub value: GivenValue,
}

/// A value that was given.
#[derive(Debug, Clone, PartialEq)]
pub enum GivenValue {
    /// As a text that becomes what it replaces: a number, a boolean, or a text as it is.
    Text(String),
    /// As it is; it must be like what it replaces.
    Value(ConfigValue),
}

impl GivenValue {
    /// What stands in the place of `old`: a number for a number, a boolean for a boolean,
    /// a text for a text.
    pub(super) fn in_place_of(&self, old: &ConfigValue) -> Result<ConfigValue, FaultKind> {
        use ConfigValue::{Boolean, Float, Integer, String};
        let other = |found: std::string::String| {
            let expected = match old {
                Integer(_) | Float(_) => "a number",
                Boolean(_) => "true or false",
                String(_) => "a text",
            };
            Err(FaultKind::OtherType { expected, found })
        };
        match (self, old) {
            (Self::Text(text), String(_)) => Ok(String(text.clone())),
            (Self::Text(text), Boolean(_)) => {
                text.parse().map(Boolean).or_else(|_| other(format!("{text:?}")))
            }
            (Self::Text(text), Integer(_) | Float(_)) => {
                if let Ok(value) = text.parse() {
                    return Ok(Integer(value));
                }
                match text.parse::<f64>() {
                    Ok(value) if value.is_finite() => Ok(Float(value)),
                    _ => other(format!("{text:?}")),
                }
            }
            (Self::Value(value @ (Integer(_) | Float(_))), Integer(_) | Float(_))
            | (Self::Value(value @ Boolean(_)), Boolean(_))
            | (Self::Value(value @ String(_)), String(_)) => Ok(value.clone()),
            (Self::Value(value), _) => other(value.kind().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_what_it_replaces() {
        let given = |text: &str, old: &ConfigValue| {
            GivenValue::Text(text.to_owned()).in_place_of(old).map_err(|fault| fault.to_string())
        };
        let (number, text) = (ConfigValue::Integer(1), ConfigValue::String(String::new()));
        assert_eq!(given("5", &number), Ok(ConfigValue::Integer(5)));
        assert_eq!(given("5", &ConfigValue::Float(1.5)), Ok(ConfigValue::Integer(5)));
        assert_eq!(given("-2.5e1", &number), Ok(ConfigValue::Float(-25.0)));
        assert_eq!(given("5", &text), Ok(ConfigValue::String("5".to_owned())));
        assert_eq!(given("true", &text), Ok(ConfigValue::String("true".to_owned())));
        assert_eq!(given("true", &ConfigValue::Boolean(false)), Ok(ConfigValue::Boolean(true)));
        for bad in ["", "five", "inf", "NaN", "1e999"] {
            let expected = format!("expected a number, as in the pipeline, found {bad:?}");
            assert_eq!(given(bad, &number), Err(expected));
        }
        assert_eq!(
            given("yes", &ConfigValue::Boolean(false)),
            Err("expected true or false, as in the pipeline, found \"yes\"".to_owned())
        );
    }

    #[test]
    fn a_value_must_be_like_what_it_replaces() {
        let given = GivenValue::Value(ConfigValue::Integer(3));
        assert_eq!(given.in_place_of(&ConfigValue::Float(1.0)), Ok(ConfigValue::Integer(3)));
        assert_eq!(
            given.in_place_of(&ConfigValue::String(String::new())).unwrap_err().to_string(),
            "expected a text, as in the pipeline, found an integer"
        );
    }
}
