//! What can be wrong with a pipeline.

use std::fmt;

use camino::Utf8PathBuf;
use pantler_core::{
    DatasetTypeError, DatasetTypeName, NameError, TaskLabel, dimension::UniverseError,
};

use super::TemplateError;

/// A pipeline that cannot be used: every fault found, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineError {
    /// The faults, in the order of the file.
    pub faults: Vec<Fault>,
}

/// One thing wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The pipeline file.
    pub file: Utf8PathBuf,
    /// The line, from 1; 0 if it is not known.
    pub line: u32,
    /// The key, such as `tasks.daily.inputs.temperatures`; empty for the whole file.
    pub key: String,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong at a key of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// Not well-formed YAML or JSON.
    #[error("not well formed: {0}")]
    Syntax(String),
    /// Another format version.
    #[error("this program reads pipelines of version 1, not {found}; a newer pantler may read it")]
    Version {
        /// The version found.
        found: String,
    },
    /// A required field is not there.
    #[error("the field `{0}` is missing")]
    MissingField(&'static str),
    /// A field that does not exist.
    #[error("there is no such field; expected one of {known}")]
    UnknownField {
        /// The fields there are.
        known: String,
    },
    /// A key that stands twice.
    #[error("this key stands twice; remove one")]
    DuplicateKey,
    /// A value of the wrong type.
    #[error("expected {expected}, found {found}")]
    Type {
        /// What was expected.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A text that is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A connection, configuration or variable name that is not allowed.
    #[error("{what} names match {pattern}; rename {name:?}")]
    Identifier {
        /// Whose name.
        what: &'static str,
        /// The rule.
        pattern: &'static str,
        /// The name found.
        name: String,
    },
    /// An unknown storage class; the message says which there are.
    #[error("{0}")]
    StorageClass(String),
    /// A task without anything to run.
    #[error("the task has nothing to run; give it a `command` or a `task`")]
    NoBody,
    /// A task with two things to run.
    #[error("the task has both `command` and `task`; remove one")]
    TwoBodies,
    /// A command without a program.
    #[error("the command is empty; its first element is the program")]
    EmptyCommand,
    /// A pipeline that does nothing.
    #[error("the pipeline has no tasks")]
    NoTasks,
    /// An output named like a task's log.
    #[error("`{dataset_type}` is the log of task `{task}`; give the output another dataset type")]
    ReservedForLog {
        /// The dataset type.
        dataset_type: DatasetTypeName,
        /// The task whose log it is.
        task: TaskLabel,
    },
    /// A dataset type that two outputs make.
    #[error(
        "`{dataset_type}` is also made by {other}; a dataset type has one producer, rename one"
    )]
    TwoProducers {
        /// The dataset type.
        dataset_type: DatasetTypeName,
        /// The key of the other output.
        other: String,
    },
    /// Tasks that need each other's outputs.
    #[error("cycle: {tasks}; each needs an output of the next")]
    Cycle {
        /// The tasks, in order.
        tasks: String,
    },
    /// A placeholder that cannot be filled.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A dimension that the universe does not have.
    #[error(transparent)]
    Dimension(#[from] UniverseError),
    /// A dimension that stands twice in a list.
    #[error("dimension `{0}` stands twice; remove one")]
    DuplicateDimension(String),
    /// An output with dimensions of its own.
    #[error(
        "the output has dimensions {output}, its task {task}; they must be the same, remove `dimensions` here"
    )]
    OutputDimensions {
        /// The output's dimensions.
        output: String,
        /// The task's.
        task: String,
    },
    /// An input that needs `multiple`.
    #[error(
        "`{dataset_type}` has dimensions {input}, the task only {task}: several datasets per quantum; add `multiple: true`"
    )]
    NeedsMultiple {
        /// The dataset type.
        dataset_type: DatasetTypeName,
        /// Its dimensions.
        input: String,
        /// The task's.
        task: String,
    },
    /// An input that nothing makes.
    #[error(
        "no task makes `{dataset_type}` and no such dataset type is registered; ingest it first, or correct the name"
    )]
    MissingInput {
        /// The dataset type.
        dataset_type: DatasetTypeName,
    },
    /// An output whose dataset type is registered with another definition.
    #[error(transparent)]
    Registered(#[from] DatasetTypeError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file.as_str())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        self.kind.fmt(f)
    }
}

/// One line per fault.
impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for PipelineError {}
