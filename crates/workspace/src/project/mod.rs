//! Projects: a folder with `project.yaml`, run in one go.

mod format;
mod job;
mod pattern;
mod plan;
mod records;
mod run;

use camino::Utf8PathBuf;
use pantler_core::{
    CollectionName,
    transaction::{Closing, Process},
};
use pantler_direct::{ButlerError, CloseError, CreateError, RecordFileError, StoreError};

pub use format::{FILE, IngestSpec, Project};
pub use job::Job;
pub use pattern::{FilePattern, MatchedFile};
pub use plan::{JobPlan, plan};
pub use records::read as read_records;
pub use run::{Ending, JobOptions, JobProgress, JobReport, Notice, run};

use crate::WorkspaceError;

/// A project could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No `project.yaml`.
    #[error("{0} is not a project: it has no project.yaml")]
    NoProject(Utf8PathBuf),
    /// Collections are to be reused in a repository that is not there yet.
    #[error("there is nothing to reuse: the repository {0} is not there yet")]
    NothingToReuse(Utf8PathBuf),
    /// Outputs are to be found in a repository that is not there yet.
    #[error("nothing exists that could be skipped: the repository {0} is not there yet")]
    NothingToSkip(Utf8PathBuf),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not well formed.
    #[error("{path}: {reason}")]
    Syntax {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A file was written for a newer program.
    #[error("{path} has version {found}, this program knows {supported}: use a newer pantler")]
    Version {
        /// The file.
        path: Utf8PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known.
        supported: u32,
    },
    /// A file says something that cannot be.
    #[error("{path}: {reason}")]
    Invalid {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of dimension records whose name does not say what it holds.
    #[error(transparent)]
    Record(RecordFileError),
    /// A pattern without files.
    #[error("no file fits {pattern:?} below {dir}")]
    NoFiles {
        /// The pattern.
        pattern: String,
        /// The project.
        dir: Utf8PathBuf,
    },
    /// The repository has another universe than the project.
    #[error("{repository} was made with another universe than {universe} describes")]
    OtherUniverse {
        /// The repository.
        repository: Utf8PathBuf,
        /// The universe file.
        universe: Utf8PathBuf,
    },
    /// An open workspace of this project is of other work.
    #[error("workspace {name} of this project is open, with another {what}")]
    OtherWork {
        /// The workspace.
        name: CollectionName,
        /// What differs: pipeline or inputs.
        what: &'static str,
    },
    /// Another process runs this project.
    #[error("{holder} runs the project {dir} already")]
    Running {
        /// The project.
        dir: Utf8PathBuf,
        /// Who.
        holder: String,
    },
    /// Another process works on an open workspace of this project.
    #[error("workspace {name} of this project is open and {process} is at work on it")]
    AtWork {
        /// The workspace.
        name: CollectionName,
        /// Who.
        process: Process,
    },
    /// A revert or abandon of an open workspace of this project began.
    #[error("a {} of workspace {name} of this project has begun and was not finished", .closing.verb())]
    ClosingBegan {
        /// The workspace.
        name: CollectionName,
        /// What began.
        closing: Closing,
    },
    /// The repository could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The files could not be ingested.
    #[error(transparent)]
    Ingest(#[from] StoreError),
    /// The workspace could not be created, built or run.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The workspace stays open: it could not be committed.
    #[error("the quanta of workspace {name} succeeded, but it could not be committed")]
    Commit {
        /// The workspace.
        name: CollectionName,
        /// Why.
        #[source]
        source: Box<CloseError>,
    },
}

impl From<ButlerError> for ProjectError {
    fn from(error: ButlerError) -> Self {
        Self::Workspace(error.into())
    }
}

impl From<pantler_registry::RegistryError> for ProjectError {
    fn from(error: pantler_registry::RegistryError) -> Self {
        Self::Workspace(error.into())
    }
}
