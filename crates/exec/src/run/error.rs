use std::io;

use camino::Utf8PathBuf;
use pantler_core::{TaskLabel, transaction::Process};
use pantler_datastore::{DatastoreError, StorageError};

use crate::{JournalError, LogError, SelectionError, TakeOverError};

/// Why a run did not begin, or broke off. What it had journaled stays true, and
/// the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The workspace is being closed.
    #[error("the workspace {root} is being closed: nothing runs in it any more")]
    Closing {
        /// The workspace.
        root: Utf8PathBuf,
    },
    /// A shard was frozen while it was decided what to run; nothing has run.
    #[error("a shard of the workspace {root} is being committed: nothing of it runs any more")]
    Frozen {
        /// The workspace.
        root: Utf8PathBuf,
    },
    /// Somebody has declared this runner dead while it ran.
    #[error(
        "{by} has taken over from this runner ({runner}): what it does does not count any more"
    )]
    TakenOver {
        /// Its number.
        runner: u32,
        /// Who did.
        by: Process,
    },
    /// Somebody has declared this runner dead, and closed the workspace.
    #[error("the workspace {root} was closed while this runner was assumed to be dead")]
    Gone {
        /// The workspace.
        root: Utf8PathBuf,
    },
    /// Another runner is not to be declared dead.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// A task of the pipeline that this program does not have.
    #[error(
        "task `{task}` runs the Rust task {name:?}, which is not registered; there are: {known}"
    )]
    UnknownTask {
        /// The task's label.
        task: TaskLabel,
        /// The name it asks for.
        name: String,
        /// The registered names.
        known: String,
    },
    /// What is to run is not in the graph.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// The journal cannot be read or written.
    #[error("cannot use the journal of the workspace {root}")]
    Journal {
        /// The workspace.
        root: Utf8PathBuf,
        /// Why.
        #[source]
        source: JournalError,
    },
    /// What earlier runs stored could not be listed.
    #[error("cannot look for the outputs of earlier runs")]
    List {
        /// Why.
        #[source]
        source: DatastoreError,
    },
    /// Outputs did not reach stable storage. Their quanta are not journaled as
    /// finished, and run again next time.
    #[error("cannot flush {quanta} finished quanta to stable storage")]
    Flush {
        /// How many quanta wait for it.
        quanta: usize,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// Logs did not reach stable storage.
    #[error("cannot flush what the quanta said")]
    Log {
        /// Why.
        #[source]
        source: LogError,
    },
    /// A file or directory of the workspace.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gives no threads.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
