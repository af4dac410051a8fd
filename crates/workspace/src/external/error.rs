use std::fmt;

use camino::Utf8PathBuf;
use pantler_core::{CollectionName, DatasetId};
use pantler_direct::{CreateError, ReceiveError};
use uuid::Uuid;

use crate::WorkspaceError;

/// What a parent is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParentUse {
    /// To add to the graph.
    Build,
    /// To read this many inputs.
    Inputs(usize),
    /// To store what was made.
    Commit,
    /// To say whether a commit that was begun can be undone.
    Reopen,
}

impl fmt::Display for ParentUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build => f.write_str("its database says what there is to build"),
            Self::Inputs(1) => f.write_str("1 input is read from it"),
            Self::Inputs(count) => write!(f, "{count} inputs are read from it"),
            Self::Commit => f.write_str("it is to get what was made"),
            Self::Reopen => f.write_str("it knows how far a commit to it has come"),
        }
    }
}

/// An operation on an external workspace failed.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// Outputs are looked for in a RUN that the workspace does not know.
    #[error(
        "{run} is no input of the external workspace in {root}, and what exists in it cannot be read there"
    )]
    SkipNotAnInput {
        /// The folder.
        root: Utf8PathBuf,
        /// The RUN.
        run: CollectionName,
    },
    /// The folder is none.
    #[error("{0} is no external workspace: it has no external.json")]
    NoWorkspace(Utf8PathBuf),
    /// There is no such folder.
    #[error("{0} is no external workspace: there is no such folder")]
    NoFolder(Utf8PathBuf),
    /// The folder is a repository now.
    #[error("{0} is a repository, not a workspace")]
    IsRepository(Utf8PathBuf),
    /// What it made is in its parent, or was not wanted.
    #[error("{0} was committed or reverted, and some of its files are left")]
    IsCommitted(Utf8PathBuf),
    /// The place is taken.
    #[error(
        "{path} is not empty (it holds {entry:?}), and what is made there needs a folder of its own"
    )]
    NotEmpty {
        /// The folder.
        path: Utf8PathBuf,
        /// Something it holds.
        entry: String,
    },
    /// There is one already.
    #[error("{0} is an external workspace already")]
    Exists(Utf8PathBuf),
    /// The place is no folder.
    #[error("{0} is not a folder")]
    NotAFolder(Utf8PathBuf),
    /// The place lies in a repository.
    #[error(
        "{path} lies in the repository {repository}: an external workspace needs a place of its own"
    )]
    InsideRepository {
        /// The folder.
        path: Utf8PathBuf,
        /// The repository.
        repository: Utf8PathBuf,
    },
    /// More than is copied unasked.
    #[error("the pipeline's folder {folder} holds more than {files} files or {mebibytes} MiB")]
    PipelineFolder {
        /// The folder.
        folder: Utf8PathBuf,
        /// How many files are copied unasked.
        files: usize,
        /// How much.
        mebibytes: u64,
    },
    /// A file that commands could not find again.
    #[error("{path} is not below the pipeline's folder {folder}")]
    OutsidePipelineFolder {
        /// What was asked for.
        path: Utf8PathBuf,
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// A file of the workspace was made by a newer program.
    #[error(
        "{path} has format version {found}, this program knows {supported}: use a newer pantler"
    )]
    Version {
        /// The file.
        path: Utf8PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known.
        supported: u32,
    },
    /// A file of the workspace is not what Pantler writes.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot access {path}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The parent is not where it was.
    #[error("the parent repository {parent} of {root} is not there, and {needed}")]
    ParentGone {
        /// The workspace.
        root: Utf8PathBuf,
        /// Where its parent was.
        parent: Utf8PathBuf,
        /// What for.
        needed: ParentUse,
    },
    /// Another repository.
    #[error(
        "{given} is not the parent of {root}: it has the id {found}, and the parent {expected}"
    )]
    NotTheParent {
        /// The workspace.
        root: Utf8PathBuf,
        /// The repository.
        given: Utf8PathBuf,
        /// Its id.
        found: Uuid,
        /// The parent's id.
        expected: Uuid,
        /// What for.
        needed: ParentUse,
    },
    /// The dimensions differ.
    #[error("{given} has another universe than {root} was made with: {difference}")]
    OtherUniverse {
        /// The workspace.
        root: Utf8PathBuf,
        /// The repository.
        given: Utf8PathBuf,
        /// The first thing that differs.
        difference: String,
    },
    /// An input is not what the graph says.
    #[error("the input {dataset} ({place}) is not what it was when the graph was built")]
    InputChanged {
        /// The dataset.
        dataset: DatasetId,
        /// Where it is read.
        place: String,
    },
    /// Copying inputs ended early.
    #[error(
        "{copied} of {wanted} inputs are in {root} for certain, and at most {bytes} bytes are to come"
    )]
    NotTransferred {
        /// The workspace.
        root: Utf8PathBuf,
        /// How many have been copied and flushed.
        copied: usize,
        /// How many were to be copied.
        wanted: usize,
        /// The bytes of the others.
        bytes: u64,
        /// Why.
        source: Box<WorkspaceError>,
    },
    /// Not all quanta succeeded.
    #[error("workspace {name} is not finished: {what}")]
    Unfinished {
        /// The workspace.
        name: CollectionName,
        /// What is not.
        what: String,
    },
    /// There is nothing that it could have made.
    #[error(
        "workspace {0} is not finished: at most, only init steps are built, and no quanta of tasks"
    )]
    NoQuanta(CollectionName),
    /// Artifacts vanished or changed.
    #[error("{count} artifacts of {root} are missing or damaged: {first}")]
    Incomplete {
        /// The workspace.
        root: Utf8PathBuf,
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// A transfer into the parent is open.
    #[error("transaction {transaction} in {parent} is open: it transfers {root}")]
    TransferOpen {
        /// The workspace.
        root: Utf8PathBuf,
        /// The parent.
        parent: Utf8PathBuf,
        /// The transaction.
        transaction: String,
    },
    /// A commit of it has reached the parent, which cannot be undone.
    #[error("a commit of {root} to {parent} was {outcome} there, and cannot be undone")]
    InParent {
        /// The workspace.
        root: Utf8PathBuf,
        /// The parent.
        parent: Utf8PathBuf,
        /// How it ended.
        outcome: &'static str,
    },
    /// The repository could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The parent did not take it.
    #[error(transparent)]
    Receive(Box<ReceiveError>),
}

impl From<ReceiveError> for ExternalError {
    fn from(error: ReceiveError) -> Self {
        Self::Receive(Box::new(error))
    }
}

impl ExternalError {
    pub(crate) fn io(path: impl Into<Utf8PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
