//! Pipelines: tasks wired by dataset types.
//!
//! A file becomes a tree of nodes with lines (`node`), the tree is checked and
//! becomes a [`Pipeline`] (`parse`, `check`), and that meets a universe and the
//! registered dataset types (`resolve`). The JSON in graph files has the same
//! fields as the YAML and goes through the same checks (`json`).

mod check;
mod error;
mod json;
mod node;
mod parse;
mod resolve;
mod template;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{DatasetTypeName, ElementName, StorageClass, TaskLabel};

pub use self::{
    error::{Fault, FaultKind, PipelineError},
    resolve::{ResolvedInput, ResolvedOutput, ResolvedPipeline, ResolvedTask},
    template::{Bindings, CommandTemplate, ExpandError, Template, TemplateError},
};

/// A set of tasks wired by dataset types, as its file describes it.
///
/// - no dataset type has two producers, and no task needs its own outputs, also not
///   through others;
/// - every placeholder names an input, output or configuration value that there is.
#[derive(Debug, Clone)]
pub struct Pipeline {
    file: Utf8PathBuf,
    source: String,
    config: BTreeMap<String, ConfigValue>,
    tasks: BTreeMap<TaskLabel, TaskDefinition>,
    /// Where each key stands in the file, for faults found later; empty for a
    /// pipeline that was read from JSON.
    lines: BTreeMap<String, u32>,
}

/// A task as its file describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDefinition {
    /// The dimensions of its quanta.
    pub dimensions: BTreeSet<ElementName>,
    /// What it reads, by connection name.
    pub inputs: BTreeMap<String, InputDefinition>,
    /// What it writes, by connection name; its log comes on top.
    pub outputs: BTreeMap<String, OutputDefinition>,
    /// Its own configuration values; the pipeline's apply where it has none.
    pub config: BTreeMap<String, ConfigValue>,
    /// Environment variables to set.
    pub env: BTreeMap<String, Template>,
    /// Environment variables to pass on from the process that runs it.
    pub pass_env: Vec<String>,
    /// What runs.
    pub body: TaskBody,
}

/// A connection of a task to what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputDefinition {
    /// The dataset type.
    pub dataset_type: DatasetTypeName,
    /// Whether a quantum takes all datasets that agree with its data ID, at least
    /// one, instead of exactly one.
    pub multiple: bool,
}

/// A connection of a task to what it writes: one dataset per quantum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputDefinition {
    /// The dataset type.
    pub dataset_type: DatasetTypeName,
    /// What its datasets are.
    pub storage_class: StorageClass,
    /// Its dimensions, where the file repeats them; they must be the task's.
    pub dimensions: Option<BTreeSet<ElementName>>,
}

/// What runs for a quantum.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskBody {
    /// A program per quantum.
    Command(CommandTemplate),
    /// A Rust task, registered under this name.
    Rust(String),
}

/// A configuration value.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigValue {
    /// `true` or `false`.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A floating point number.
    Float(f64),
    /// A text.
    String(String),
}

impl Pipeline {
    /// Reads a pipeline file (`version: 1`); `file` is the name in messages, and its
    /// directory is `{pipeline_dir}`.
    ///
    /// # Errors
    /// [`PipelineError`] with every fault found, each with file, line and key.
    pub fn from_yaml(text: &str, file: &Utf8Path) -> Result<Self, PipelineError> {
        parse::from_yaml(text, file)
    }

    /// The file it was read from.
    pub fn file(&self) -> &Utf8Path {
        &self.file
    }

    /// The text of that file.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Configuration values of the whole pipeline.
    pub fn config(&self) -> &BTreeMap<String, ConfigValue> {
        &self.config
    }

    /// The tasks by label.
    pub fn tasks(&self) -> &BTreeMap<TaskLabel, TaskDefinition> {
        &self.tasks
    }

    /// The configuration values that `task` sees: its own, else the pipeline's.
    pub fn config_of(&self, task: &TaskDefinition) -> BTreeMap<String, ConfigValue> {
        let mut merged = self.config.clone();
        merged.extend(task.config.clone());
        merged
    }

    /// The line of `key`, or of the nearest key above it; 0 if unknown.
    fn line_of(&self, key: &str) -> u32 {
        line_of(&self.lines, key)
    }
}

/// Two pipelines are equal if they do the same: comments, files and lines do not count.
impl PartialEq for Pipeline {
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config && self.tasks == other.tasks
    }
}

/// As it stands in a command line.
impl fmt::Display for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::String(value) => f.pad(value),
        }
    }
}

fn line_of(lines: &BTreeMap<String, u32>, key: &str) -> u32 {
    let mut key = key;
    loop {
        if let Some(line) = lines.get(key) {
            return *line;
        }
        match key.rfind(['.', '[']) {
            Some(end) => key = &key[..end],
            None => return lines.get("").copied().unwrap_or(0),
        }
    }
}
