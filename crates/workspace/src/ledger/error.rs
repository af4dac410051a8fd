use std::io;

use camino::Utf8PathBuf;
use pantler_core::{
    CollectionName, DataId, DatasetId, DatasetTypeError, DatasetTypeName, OpeningId,
    transaction::Process,
};
use pantler_datastore::{DatastoreError, StorageError};
use pantler_exec::JournalError;
use pantler_registry::RegistryError;

/// A ledger cannot be written, read or committed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The workspace has a quantum graph.
    #[error("workspace {0} is filled by a pipeline: only what its quanta write gets into it")]
    NotALedger(CollectionName),
    /// The workspace has no quantum graph and never will.
    #[error("workspace {0} is filled by a ledger: it has no quanta")]
    IsALedger(CollectionName),
    /// `ledger.json` is not there.
    #[error("{path} is missing: the workspace was cut off when it was created")]
    NoTypes {
        /// The file.
        path: Utf8PathBuf,
    },
    /// The file system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line or file is not as it was written.
    #[error("{path}:{line}: the ledger is damaged: {reason}")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A format that this program does not know.
    #[error(
        "{path}: ledger format version {found}, but this program reads version {}: use the Pantler that wrote it",
        super::segment::VERSION
    )]
    Version {
        /// The file.
        path: Utf8PathBuf,
        /// The version found.
        found: u32,
    },
    /// A segment of another workspace.
    #[error("{path}: belongs to opening {found}, not {expected}")]
    OtherOpening {
        /// The segment.
        path: Utf8PathBuf,
        /// The opening it names.
        found: OpeningId,
        /// The opening expected.
        expected: OpeningId,
    },
    /// An earlier line was not written whole, and nothing may be appended after it.
    #[error("{path}: an earlier write failed; begin another writer")]
    Broken {
        /// The segment.
        path: Utf8PathBuf,
    },
    /// The ledger has the dataset with other content.
    #[error(
        "{dataset_type} {data_id} is in the ledger already, with other content (written by writer {writer}): a dataset never changes"
    )]
    Taken {
        /// The dataset type.
        dataset_type: DatasetTypeName,
        /// The data ID.
        data_id: DataId,
        /// The writer that was first.
        writer: u32,
        /// The dataset.
        dataset: DatasetId,
    },
    /// Somebody has declared this writer dead.
    #[error("writer {writer} was declared dead by {by}: it must not go on")]
    DeclaredDead {
        /// Its number.
        writer: u32,
        /// Who did.
        by: Process,
    },
    /// The dataset type is another one in the ledger.
    #[error(transparent)]
    OtherType(#[from] DatasetTypeError),
    /// Dataset types of what was written are not registered.
    #[error(
        "workspace {run} cannot be committed: {} not registered in the repository: {}",
        if .names.len() == 1 { "a dataset type is" } else { "dataset types are" },
        .names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    UnknownTypes {
        /// The workspace.
        run: CollectionName,
        /// The dataset types.
        names: Vec<DatasetTypeName>,
    },
    /// A dimension record that what was written needs is not there.
    #[error("workspace {run} cannot be committed")]
    MissingRecord {
        /// The workspace.
        run: CollectionName,
        /// Which record.
        #[source]
        source: Box<RegistryError>,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The artifact cannot be written.
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
    /// A file cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
