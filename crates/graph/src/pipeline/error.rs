//! What can be wrong with a pipeline.

use std::fmt;

use camino::Utf8PathBuf;
use pantler_core::{
    DatasetTypeError, DatasetTypeName, NameError, StorageClass, TaskLabel, dimension::UniverseError,
};

use super::{ContractError, TemplateError};

/// A pipeline that cannot be used: every fault found, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineError {
    /// The faults, in the order of the file.
    pub faults: Vec<Fault>,
}

/// One thing wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The pipeline file or one that it imports, or the option that a choice was said in.
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
    /// A number that cannot be a minimum.
    #[error("at least 1 dataset, not {0}; for an input that may be missing write `optional: true`")]
    Minimum(i64),
    /// A minimum of an input that is one dataset.
    #[error(
        "`minimum` goes with `multiple: true`; an input that may be missing is `optional: true`"
    )]
    MinimumOfOne,
    /// An input that may be missing and may not.
    #[error("an optional input has no minimum; remove `minimum` or `optional`")]
    MinimumOfOptional,
    /// A task without anything to run.
    #[error("the task has nothing to run; give it a `command` or a `task`")]
    NoBody,
    /// A task with two things to run.
    #[error("the task has both `{command}` and `{task}`; remove one")]
    TwoBodies {
        /// The one field.
        command: &'static str,
        /// The other.
        task: &'static str,
    },
    /// An init step that nothing is known of.
    #[error("there are no `init_inputs` and no `init_outputs`: nothing would run it; remove it")]
    NothingToInit,
    /// An init-output that nothing makes.
    #[error(
        "an init-output is the configuration as Json unless an `init_command` (or `init_task`) makes it; this one is {0}: add that, or write `storage_class: Json`"
    )]
    NoInitBody(StorageClass),
    /// An init-output with dimensions.
    #[error("an init-output is made once and has no dimensions; remove them, or make it an output")]
    InitOutputDimensions,
    /// An init-input with dimensions.
    #[error(
        "an init-input is read once and has no dimensions, but `{dataset_type}` has {dimensions}; make it an input"
    )]
    InitInputDimensions {
        /// The dataset type.
        dataset_type: DatasetTypeName,
        /// Its dimensions.
        dimensions: String,
    },
    /// An init-input that is there only when quanta have run.
    #[error(
        "`{dataset_type}` is made by quanta of task `{task}`, which run after the init steps; make it an init-output there, or an input here"
    )]
    InitInputOfQuanta {
        /// The dataset type.
        dataset_type: DatasetTypeName,
        /// The task.
        task: TaskLabel,
    },
    /// A connection that stands twice among what quanta read.
    #[error(
        "quanta read init-inputs and init-outputs as their inputs, and there is another `{0}`; rename one"
    )]
    InitConnection(String),
    /// A task that has the label of an init step.
    #[error("this is the label of the init step of task `{0}`; give the task another")]
    InitLabel(TaskLabel),
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
    /// A prerequisite that is not there when the graph is built.
    #[error(
        "`{dataset_type}` is made by task `{task}`, and a prerequisite is there before any task has run; remove `prerequisite`, or run `{task}` before, without this task"
    )]
    PrerequisiteIsMade {
        /// The dataset type.
        dataset_type: DatasetTypeName,
        /// The task that makes it.
        task: TaskLabel,
    },
    /// An input that only a task makes that was not selected.
    #[error(
        "`{dataset_type}` is made by task `{task}`, which was not selected, and no such dataset type is registered; select it too, or run it first"
    )]
    LeftOut {
        /// The dataset type.
        dataset_type: DatasetTypeName,
        /// The task.
        task: TaskLabel,
    },
    /// A file that cannot be imported.
    #[error("cannot read {file}: {reason}")]
    Unreadable {
        /// The file.
        file: Utf8PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Files that import each other.
    #[error("cycle of imports: {files}; remove one of them")]
    ImportCycle {
        /// The files, in order.
        files: String,
    },
    /// Files that import others that import others …
    #[error("imports are more than {0} deep")]
    ImportDepth(usize),
    /// An import with `include` and `exclude`.
    #[error("the import has both `include` and `exclude`; remove one")]
    TwoFilters,
    /// A task, parameter, … that two imported files have.
    #[error("{what} `{name}` comes from {first} and from {second}, and they differ; {way_on}")]
    ImportedTwice {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// The file that it came from first.
        first: Utf8PathBuf,
        /// The other file.
        second: Utf8PathBuf,
        /// What to do.
        way_on: &'static str,
    },
    /// A name of something that is not there.
    #[error("there is no {what} `{name}`; there is {known}")]
    NoSuch {
        /// What kind of thing.
        what: &'static str,
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A range that has nothing in it.
    #[error("no task is in this range: the end needs nothing of what the start makes")]
    EmptyRange,
    /// A subset named like a task.
    #[error("there is a task of that name; give the subset another")]
    SubsetIsTask,
    /// A subset without tasks.
    #[error("the subset names no task")]
    EmptySubset,
    /// A parameter that no configuration value uses.
    #[error(
        "no configuration value uses this parameter (as `{{parameters.{0}}}`); remove it, or use it"
    )]
    UnusedParameter(String),
    /// A place for a parameter that has no end or no name.
    #[error("`{{parameters.` without a name and `}}` in {0:?}")]
    ParameterSyntax(String),
    /// A task that was chosen for but not selected.
    #[error("task `{0}` is not selected; select it too, or leave this out")]
    NotSelected(TaskLabel),
    /// A configuration value that a task does not have.
    #[error("task `{task}` has no configuration value `{key}`; it has {known}")]
    NoSuchConfig {
        /// The task.
        task: TaskLabel,
        /// The key.
        key: String,
        /// The keys there are.
        known: String,
    },
    /// A value that cannot stand for another.
    #[error("expected {expected}, as in the pipeline, found {found}")]
    OtherType {
        /// What the pipeline has.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// A contract that cannot be read or evaluated.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// A contract that does not hold.
    #[error("{}the contract `{contract}` does not hold: {values}", .message.as_ref().map(|m| format!("{m}: ")).unwrap_or_default())]
    Broken {
        /// The contract.
        contract: String,
        /// What its author says.
        message: Option<String>,
        /// The values that it names.
        values: String,
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

impl PipelineError {
    /// The faults in the order of their files.
    pub(super) fn sorted(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Self { faults }
    }
}

/// One line per fault; more for one with a place inside of a text.
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
