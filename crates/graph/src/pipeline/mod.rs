//! Pipelines: tasks wired by dataset types.
//!
//! A file becomes a tree of nodes with lines (`node`), the tree becomes the sections of
//! a file (`parse`, `sections`), which are put together with those of the files that it
//! imports (`files`, `part`). What a person said on top of the file ([`Choices`]) is
//! applied (`effective`, `parameters`, `select`): that gives a [`Pipeline`], which gets the
//! init steps of its tasks (`init`), is checked as a whole (`check`), and meets a universe
//! and the registered dataset types, and its contracts (`resolve`, `contract`).
//!
//! The JSON in graph files and workspaces is that of the effective pipeline: tasks and
//! configuration values only. It has the fields of the YAML and goes through the same
//! checks (`json`).

mod check;
mod choices;
mod contract;
mod effective;
mod error;
mod files;
mod fingerprint;
mod init;
mod json;
mod node;
mod parameters;
mod parse;
mod part;
mod place;
mod resolve;
mod sections;
mod select;
mod template;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{DatasetTypeName, ElementName, StorageClass, TaskLabel};

pub use self::{
    choices::{Choices, ConfigChoice, ConfigFile, GivenValue, ParameterChoice},
    contract::ContractError,
    error::{Fault, FaultKind, PipelineError},
    fingerprint::{named_files, task_fingerprint},
    init::{InitDefinition, config_json},
    resolve::{ResolvedInput, ResolvedOutput, ResolvedPipeline, ResolvedTask},
    template::{Bindings, CommandTemplate, ExpandError, Template, TemplateError},
};
use self::{part::StandingContract, place::Places};

/// A set of tasks wired by dataset types, as its file describes it.
///
/// - no dataset type has two producers, and no task needs its own outputs, also not
///   through others;
/// - no task makes a prerequisite;
/// - every placeholder names an input, output or configuration value that there is.
#[derive(Debug, Clone)]
pub struct Pipeline {
    file: Utf8PathBuf,
    source: String,
    config: BTreeMap<String, ConfigValue>,
    tasks: BTreeMap<TaskLabel, TaskDefinition>,
    contracts: Vec<StandingContract>,
    /// What tasks make that are in the files and were not selected.
    left_out: BTreeMap<DatasetTypeName, TaskLabel>,
    /// Where each key stands in the files, for faults found later; empty for a
    /// pipeline that was read from JSON.
    places: Places,
}

/// The text of a file that a pipeline is read from.
#[derive(Debug, Clone)]
pub struct PipelineText {
    /// The file, named so that two names of one file are the same.
    pub identity: Utf8PathBuf,
    /// Its text.
    pub text: String,
}

/// Reads a file that a pipeline names: an import, or one with configuration values.
pub type ReadFile<'a> = dyn Fn(&Utf8Path) -> io::Result<PipelineText> + 'a;

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
    /// What its file calls the version of what runs: another one is another task.
    pub version: Option<String>,
    /// What runs.
    pub body: TaskBody,
    /// What is needed and made before any quantum.
    pub init: InitDefinition,
    /// See [`Self::init_of`].
    init_of: Option<TaskLabel>,
}

/// A connection of a task to what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputDefinition {
    /// The dataset type.
    pub dataset_type: DatasetTypeName,
    /// Whether a quantum takes all datasets that agree with its data ID, instead of one.
    pub multiple: bool,
    /// How many of them there must be: 0 for an optional input, else at least 1.
    pub minimum: u32,
    /// Whether it says nothing about which quanta there are, and building fails where it is
    /// missing. No task of the pipeline makes it.
    pub prerequisite: bool,
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
    /// Each output is the configuration as JSON.
    Configuration,
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
    /// Reads a pipeline file (`version: 1`) that imports nothing, as it is; `file` is the
    /// name in messages, and its directory is `{pipeline_dir}`.
    ///
    /// # Errors
    /// [`PipelineError`] with every fault found, each with file, line and key.
    pub fn from_yaml(text: &str, file: &Utf8Path) -> Result<Self, PipelineError> {
        let root = PipelineText { identity: file.to_owned(), text: text.to_owned() };
        let refuse = |_: &Utf8Path| Err(io::Error::other("only this file is read here"));
        Self::from_files(file, &root, &Choices::default(), &refuse)
    }

    /// Reads a pipeline file (`version: 1`) and what it imports, and applies what was
    /// said on top of it. `file` is its name in messages and `root` its text; its
    /// directory is `{pipeline_dir}`, and imports are relative to it.
    ///
    /// # Errors
    /// [`PipelineError`] with every fault found, each with file, line and key.
    pub fn from_files(
        file: &Utf8Path,
        root: &PipelineText,
        choices: &Choices,
        read: &ReadFile<'_>,
    ) -> Result<Self, PipelineError> {
        let part = files::read(file, root, read)?;
        effective::apply(&part, file, &root.text, choices, read)
    }

    /// The file it was read from.
    pub fn file(&self) -> &Utf8Path {
        &self.file
    }

    /// The text of that file, without those that it imports.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Configuration values of the whole pipeline.
    pub fn config(&self) -> &BTreeMap<String, ConfigValue> {
        &self.config
    }

    /// The tasks by label, init steps among them.
    pub fn tasks(&self) -> &BTreeMap<TaskLabel, TaskDefinition> {
        &self.tasks
    }

    /// The configuration values that `task` sees: its own, else the pipeline's.
    pub fn config_of(&self, task: &TaskDefinition) -> BTreeMap<String, ConfigValue> {
        let mut merged = self.config.clone();
        merged.extend(task.config.clone());
        merged
    }

    /// A fault at `key`, or at the nearest key above it that a file has.
    fn fault(&self, key: String, kind: FaultKind) -> Fault {
        self.places.fault(&self.file, key, kind)
    }
}

impl ConfigValue {
    /// What it is, for messages.
    fn kind(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a text",
        }
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
