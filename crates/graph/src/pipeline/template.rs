//! Texts with placeholders: arguments of commands and values of environment variables.
//!
//! `{inputs.NAME}`, `{outputs.NAME}`, `{data_id.DIMENSION}`, `{config.KEY}`,
//! `{pipeline_dir}` and `{pantler}` are replaced; `{{` and `}}` are braces. An argument that
//! is nothing but `{inputs.NAME}` becomes one argument a file: none for an optional input
//! that is not there. Inside of a longer text and in `env` that is the empty text.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{DataId, ElementName};

use super::ConfigValue;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

/// The arguments of a command, the program first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTemplate {
    arguments: Vec<Template>,
}

/// What the placeholders of a quantum stand for.
#[derive(Debug, Clone)]
pub struct Bindings<'a> {
    /// The local paths of each input connection, in the order of their data IDs.
    pub inputs: &'a BTreeMap<String, Vec<Utf8PathBuf>>,
    /// The local path of each output connection.
    pub outputs: &'a BTreeMap<String, Utf8PathBuf>,
    /// The data ID of the quantum.
    pub data_id: &'a DataId,
    /// What [`super::Pipeline::config_of`] gives for the task.
    pub config: &'a BTreeMap<String, ConfigValue>,
    /// The directory of the pipeline file.
    pub pipeline_dir: &'a Utf8Path,
    /// The `pantler` program.
    pub pantler: &'a Utf8Path,
}

/// A placeholder that a pipeline cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace that is not part of a placeholder.
    #[error("`{brace}` without its other half in {text:?}; write `{brace}{brace}` for a brace")]
    Brace {
        /// The brace.
        brace: char,
        /// The whole text.
        text: String,
    },
    /// A placeholder that does not exist.
    #[error(
        "unknown placeholder `{{{0}}}`; there are {{inputs.NAME}}, {{outputs.NAME}}, {{data_id.DIMENSION}}, {{config.KEY}}, {{pipeline_dir}} and {{pantler}} (`{{{{` for a brace)"
    )]
    Unknown(String),
    /// A parameter where only configuration values are.
    #[error(
        "`{{{0}}}` can only stand in configuration values; give the task one, and write {{config.KEY}} here"
    )]
    Parameter(String),
    /// A placeholder for something that the task does not have.
    #[error("placeholder `{{{placeholder}}}`: the task has no such {what}; it has {known}")]
    NoSuch {
        /// The placeholder, without braces.
        placeholder: String,
        /// What it should name.
        what: &'static str,
        /// What there is.
        known: String,
    },
    /// Several files where one text is needed.
    #[error(
        "placeholder `{{inputs.{0}}}` stands for several files: it must be an argument of its own"
    )]
    Several(String),
}

/// Bindings that lack what a template needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A placeholder without a value.
    #[error("no value for placeholder `{{{0}}}`")]
    Unbound(String),
    /// Not exactly one path where one is needed.
    #[error("placeholder `{{inputs.{name}}}` stands for {count} files, and one is needed")]
    NotOne {
        /// The connection.
        name: String,
        /// The number of paths bound.
        count: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Placeholder(Placeholder),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Placeholder {
    Input(String),
    Output(String),
    DataId(ElementName),
    Config(String),
    PipelineDir,
    Pantler,
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// [`TemplateError::Brace`] or [`TemplateError::Unknown`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let brace = |brace| TemplateError::Brace { brace, text: text.to_owned() };
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let found = &rest[at..];
            if let Some(after) = found.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = found.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else if let Some(after) = found.strip_prefix('{') {
                let (name, after) = after.split_once('}').ok_or_else(|| brace('{'))?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Placeholder(Placeholder::parse(name)?));
                rest = after;
            } else {
                return Err(brace('}'));
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { source: text.to_owned(), parts })
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Replaces the placeholders; gives one text.
    ///
    /// # Errors
    /// [`ExpandError`] if `bindings` lack something that the template names.
    pub fn expand(&self, bindings: &Bindings<'_>) -> Result<String, ExpandError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Placeholder(placeholder) => placeholder.append(bindings, &mut text)?,
            }
        }
        Ok(text)
    }

    /// The template with `{pipeline_dir}` standing for `folder` below it, or for `folder`
    /// if that is absolute.
    pub(super) fn relocated(&self, folder: &Utf8Path) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for part in &self.parts {
            let text = match part {
                Part::Text(text) => text.clone(),
                Part::Placeholder(Placeholder::PipelineDir) if folder.is_absolute() => {
                    folder.to_string()
                }
                Part::Placeholder(Placeholder::PipelineDir) => {
                    parts.push(part.clone());
                    format!("/{folder}")
                }
                Part::Placeholder(_) => {
                    parts.push(part.clone());
                    continue;
                }
            };
            match parts.last_mut() {
                Some(Part::Text(before)) => before.push_str(&text),
                _ => parts.push(Part::Text(text)),
            }
        }
        let source = parts.iter().map(Part::source).collect();
        Self { source, parts }
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(super) fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(placeholder) => Some(placeholder),
            Part::Text(_) => None,
        })
    }

    /// The input that this template stands for as a whole.
    pub(super) fn whole_input(&self) -> Option<&str> {
        match &*self.parts {
            [Part::Placeholder(Placeholder::Input(name))] => Some(name),
            _ => None,
        }
    }
}

impl CommandTemplate {
    pub(super) fn new(arguments: Vec<Template>) -> Self {
        Self { arguments }
    }

    /// See [`Template::relocated`].
    pub(super) fn relocate(&mut self, folder: &Utf8Path) {
        for argument in &mut self.arguments {
            *argument = argument.relocated(folder);
        }
    }

    /// The arguments, the program first; at least one.
    pub fn arguments(&self) -> &[Template] {
        &self.arguments
    }

    /// Replaces the placeholders. An argument that is nothing but `{inputs.NAME}`
    /// becomes one argument per file.
    ///
    /// # Errors
    /// [`ExpandError`] if `bindings` lack something that the command names.
    pub fn expand(&self, bindings: &Bindings<'_>) -> Result<Vec<String>, ExpandError> {
        let mut expanded = Vec::with_capacity(self.arguments.len());
        for argument in &self.arguments {
            if let Some(name) = argument.whole_input() {
                let paths = bindings
                    .inputs
                    .get(name)
                    .ok_or_else(|| ExpandError::Unbound(format!("inputs.{name}")))?;
                expanded.extend(paths.iter().map(|path| path.as_str().to_owned()));
            } else {
                expanded.push(argument.expand(bindings)?);
            }
        }
        Ok(expanded)
    }
}

impl Part {
    /// As it stands in a template.
    fn source(&self) -> String {
        match self {
            Self::Text(text) => text.replace('{', "{{").replace('}', "}}"),
            Self::Placeholder(placeholder) => match placeholder {
                Placeholder::Input(name) => format!("{{inputs.{name}}}"),
                Placeholder::Output(name) => format!("{{outputs.{name}}}"),
                Placeholder::DataId(dimension) => format!("{{data_id.{dimension}}}"),
                Placeholder::Config(key) => format!("{{config.{key}}}"),
                Placeholder::PipelineDir => "{pipeline_dir}".to_owned(),
                Placeholder::Pantler => "{pantler}".to_owned(),
            },
        }
    }
}

impl Placeholder {
    fn parse(name: &str) -> Result<Self, TemplateError> {
        let unknown = || TemplateError::Unknown(name.to_owned());
        match name {
            "pipeline_dir" => return Ok(Self::PipelineDir),
            "pantler" => return Ok(Self::Pantler),
            _ => {}
        }
        let (kind, rest) = name.split_once('.').ok_or_else(unknown)?;
        match kind {
            "inputs" => Ok(Self::Input(rest.to_owned())),
            "outputs" => Ok(Self::Output(rest.to_owned())),
            "config" => Ok(Self::Config(rest.to_owned())),
            "parameters" => Err(TemplateError::Parameter(name.to_owned())),
            "data_id" => ElementName::new(rest).map(Self::DataId).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }

    fn append(&self, bindings: &Bindings<'_>, text: &mut String) -> Result<(), ExpandError> {
        let unbound = |kind: &str, name: &str| ExpandError::Unbound(format!("{kind}.{name}"));
        match self {
            Self::Input(name) => match bindings.inputs.get(name).map(Vec::as_slice) {
                Some([path]) => text.push_str(path.as_str()),
                // Only an optional input has none.
                Some([]) => {}
                Some(paths) => {
                    return Err(ExpandError::NotOne { name: name.clone(), count: paths.len() });
                }
                None => return Err(unbound("inputs", name)),
            },
            Self::Output(name) => text.push_str(
                bindings.outputs.get(name).ok_or_else(|| unbound("outputs", name))?.as_str(),
            ),
            Self::DataId(dimension) => {
                let value = bindings
                    .data_id
                    .get(dimension.as_str())
                    .ok_or_else(|| unbound("data_id", dimension.as_str()))?;
                text.push_str(&value.to_string());
            }
            Self::Config(key) => {
                let value = bindings.config.get(key).ok_or_else(|| unbound("config", key))?;
                text.push_str(&value.to_string());
            }
            Self::PipelineDir => text.push_str(bindings.pipeline_dir.as_str()),
            Self::Pantler => text.push_str(bindings.pantler.as_str()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(arguments: &[&str]) -> Result<Vec<String>, ExpandError> {
        let inputs = BTreeMap::from([
            ("days".to_owned(), vec!["/in/1.csv".into(), "/in/2.csv".into()]),
            ("one".to_owned(), vec!["/in/one.csv".into()]),
            ("absent".to_owned(), Vec::new()),
        ]);
        let outputs = BTreeMap::from([("table".to_owned(), "/out/table.csv".into())]);
        let config = BTreeMap::from([("width".to_owned(), ConfigValue::Integer(900))]);
        let bindings = Bindings {
            inputs: &inputs,
            outputs: &outputs,
            data_id: &DataId::empty(),
            config: &config,
            pipeline_dir: "/p".into(),
            pantler: "/bin/pantler".into(),
        };
        let arguments = arguments.iter().map(|a| Template::parse(a).expect("a template")).collect();
        CommandTemplate::new(arguments).expand(&bindings)
    }

    #[test]
    fn placeholders_are_replaced() {
        let expanded = expand(&[
            "sh",
            "{pipeline_dir}/t.sh",
            "{inputs.days}",
            "--in={inputs.one}",
            "{inputs.absent}",
            "a={inputs.absent}",
            "{outputs.table}",
            "w={config.width} {{print $1}}",
            "{pantler}",
            "",
        ]);
        assert_eq!(
            expanded.expect("bound").join("|"),
            "sh|/p/t.sh|/in/1.csv|/in/2.csv|--in=/in/one.csv|a=|/out/table.csv|w=900 {print $1}|/bin/pantler|"
        );
    }

    #[test]
    fn several_files_in_one_argument_and_unbound_names_are_refused() {
        assert_eq!(
            expand(&["x{inputs.days}"]),
            Err(ExpandError::NotOne { name: "days".to_owned(), count: 2 })
        );
        assert_eq!(expand(&["{config.no}"]), Err(ExpandError::Unbound("config.no".to_owned())));
        assert_eq!(expand(&["{data_id.d}"]), Err(ExpandError::Unbound("data_id.d".to_owned())));
    }

    #[test]
    fn the_folder_of_an_imported_file_is_below_or_elsewhere() {
        let template = Template::parse("{{a}}{pipeline_dir}/t.sh:{config.x}").expect("a template");
        let moved = |folder: &str| {
            let moved = template.relocated(folder.into());
            assert_eq!(Template::parse(moved.source()), Ok(moved.clone()));
            moved.source().to_owned()
        };
        assert_eq!(moved("../b"), "{{a}}{pipeline_dir}/../b/t.sh:{config.x}");
        assert_eq!(moved("/abs/{1}"), "{{a}}/abs/{{1}}/t.sh:{config.x}");
    }

    #[test]
    fn odd_braces_are_refused() {
        for bad in
            ["{", "a}b", "{inputs.x", "{}", "{input.x}", "{data_id.X}", "{{}", "{parameters.n}"]
        {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Template::parse("{{a}}").map(|t| t.parts), Ok(vec![Part::Text("{a}".into())]));
    }
}
