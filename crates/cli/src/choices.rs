//! What can be said on top of a pipeline file in a command line.

use std::str::FromStr;

use camino::Utf8PathBuf;
use pantler_graph::{Choices, ConfigChoice, ConfigFile, GivenValue, ParameterChoice};

use crate::{context::Context, error::quoted};

/// Values of parameters and configuration values.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ChoiceArgs {
    /// The value of a parameter of the pipeline; again for more
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<ParameterArg>,

    /// A configuration value of a task; again for more
    #[arg(long = "set", value_name = "TASK:KEY=VALUE")]
    values: Vec<ValueArg>,

    /// A YAML file with configuration values of a task, applied before --set; again for more
    #[arg(long = "set-file", value_name = "TASK:FILE")]
    files: Vec<FileArg>,
}

/// `NAME=VALUE`
#[derive(Debug, Clone)]
struct ParameterArg {
    name: String,
    value: String,
}

/// `TASK:KEY=VALUE`
#[derive(Debug, Clone)]
struct ValueArg {
    task: String,
    key: String,
    value: String,
}

/// `TASK:FILE`
#[derive(Debug, Clone)]
struct FileArg {
    task: String,
    file: Utf8PathBuf,
}

impl ChoiceArgs {
    /// Adds what was said to `choices`.
    pub(crate) fn add_to(&self, context: &Context, choices: &mut Choices) {
        for argument in &self.parameters {
            let ParameterArg { name, value } = argument.clone();
            let said = format!("--parameter {name}={value}");
            choices.parameters.push(ParameterChoice { said, name, value: GivenValue::Text(value) });
        }
        for FileArg { task, file } in &self.files {
            let said = format!("--set-file {task}:{file}");
            let file = context.absolute(file);
            choices.files.push(ConfigFile { said, task: task.clone(), file });
        }
        for argument in &self.values {
            let ValueArg { task, key, value } = argument.clone();
            let said = format!("--set {task}:{key}={value}");
            choices.values.push(ConfigChoice { said, task, key, value: GivenValue::Text(value) });
        }
    }

    /// The same arguments once more, with a space before each.
    pub(crate) fn again(&self) -> String {
        let mut text = String::new();
        let mut add = |option: &str, value: String| {
            for part in [" ", option, " ", &quoted(&value)] {
                text.push_str(part);
            }
        };
        for ParameterArg { name, value } in &self.parameters {
            add("--parameter", format!("{name}={value}"));
        }
        for FileArg { task, file } in &self.files {
            add("--set-file", format!("{task}:{file}"));
        }
        for ValueArg { task, key, value } in &self.values {
            add("--set", format!("{task}:{key}={value}"));
        }
        text
    }
}

/// A text of another form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub(crate) struct FormError(&'static str);

impl FromStr for ParameterArg {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err(FormError("NAME=VALUE, such as window=5")),
        }
    }
}

impl FromStr for ValueArg {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        let parts = text.split_once('=').and_then(|(name, value)| {
            let (task, key) = name.split_once(':')?;
            Some((task, key, value)).filter(|(task, key, _)| !task.is_empty() && !key.is_empty())
        });
        let (task, key, value) =
            parts.ok_or(FormError("TASK:KEY=VALUE, such as daily:decimals=2"))?;
        Ok(Self { task: task.to_owned(), key: key.to_owned(), value: value.to_owned() })
    }
}

impl FromStr for FileArg {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        match text.split_once(':') {
            Some((task, file)) if !task.is_empty() && !file.is_empty() => {
                Ok(Self { task: task.to_owned(), file: file.into() })
            }
            _ => Err(FormError("TASK:FILE, such as daily:fine.yaml")),
        }
    }
}
