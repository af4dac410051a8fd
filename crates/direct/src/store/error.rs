//! What can go wrong when datasets are stored.

use camino::Utf8PathBuf;
use pantler_butler::request::TransferMode;
use pantler_core::{
    ArtifactKey, CollectionName, DatasetId, TransactionName, transaction::TransactionRow,
};
use pantler_registry::RegistryError;

use crate::{ButlerError, CloseError};

/// Storing failed. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Source {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file without a dataset.
    #[error("{path} holds no dataset")]
    NoDataset {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A file that should lie in the storage.
    #[error("{path} does not lie in the storage {root}: copy, move or link it instead")]
    NotInPlace {
        /// The file.
        path: Utf8PathBuf,
        /// The storage.
        root: Utf8PathBuf,
    },
    /// A file that cannot be ingested where it lies.
    #[error(
        "{path} is an artifact, or lies in the directory of a RUN: copy it, or put it elsewhere in the storage"
    )]
    OfARun {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A file of the repository that should be taken away or leaned on.
    #[error(
        "{path} lies in the repository, which may need or remove it: it cannot be ingested by {mode}; copy it"
    )]
    InTheRepository {
        /// The file.
        path: Utf8PathBuf,
        /// How it was to be ingested.
        mode: TransferMode,
    },
    /// Two datasets with the same bytes of a file.
    #[error("in {path}, the bytes of {first} and {second} overlap")]
    Overlap {
        /// The file.
        path: Utf8PathBuf,
        /// A dataset.
        first: String,
        /// Another.
        second: String,
    },
    /// A file that an open transaction has to do with.
    #[error("{key} belongs to the open transaction {transaction}")]
    KeyTaken {
        /// The file's key.
        key: ArtifactKey,
        /// The transaction.
        transaction: TransactionName,
    },
    /// Artifacts that had vanished or changed are unstored, and were not stored again.
    #[error("{what} failed; {count} datasets whose artifacts were lost are registered only now")]
    Unstored {
        /// What failed.
        what: &'static str,
        /// How many datasets.
        count: usize,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// Another process committed the transaction, and not all of it.
    #[error("another process committed {what}, without {missing} of its datasets")]
    ClosedWithout {
        /// What it was.
        what: &'static str,
        /// How many datasets are not stored.
        missing: usize,
    },
    /// Two files for one dataset.
    #[error("{first} and {second} are both {dataset}")]
    Twice {
        /// The dataset.
        dataset: String,
        /// Where its content comes from.
        first: String,
        /// Where else.
        second: String,
    },
    /// The RUN has other bytes for this data ID.
    #[error(
        "{source_name} differs from what {run} has as {dataset} ({existing}): a dataset never changes"
    )]
    Differs {
        /// Where the content comes from.
        source_name: String,
        /// The RUN.
        run: CollectionName,
        /// The dataset.
        dataset: String,
        /// The id of what is there.
        existing: DatasetId,
    },
    /// The RUN has this data ID under another id.
    #[error("{run} has {dataset} as {existing}, and it cannot also be {wanted}")]
    OtherId {
        /// The RUN.
        run: CollectionName,
        /// The dataset.
        dataset: String,
        /// The id of what is there.
        existing: DatasetId,
        /// The id asked for.
        wanted: DatasetId,
    },
    /// An open transaction manages the dataset.
    #[error(
        "{run} has {dataset} ({existing}) registered but not stored: transaction {transaction} is open on it"
    )]
    Managed {
        /// The RUN.
        run: CollectionName,
        /// The dataset.
        dataset: String,
        /// Its id.
        existing: DatasetId,
        /// The open transaction.
        transaction: TransactionName,
    },
    /// Some datasets of a file are there, and others are not.
    #[error(
        "{source_name} holds several datasets, and {run} has {dataset} already, but not all of them in the same state"
    )]
    Mixed {
        /// The file.
        source_name: String,
        /// The RUN.
        run: CollectionName,
        /// One that is there.
        dataset: String,
    },
    /// A dimension record is missing that cannot be made from its key.
    #[error(
        "{path} needs the record {element} {data_id}, which has required metadata: insert it first, or name a record file in the project"
    )]
    MissingRecord {
        /// A file that needs it.
        path: Utf8PathBuf,
        /// The element.
        element: String,
        /// The data ID.
        data_id: String,
    },
    /// A transaction of that name is open, of other content.
    #[error(
        "transaction {} is open, by {} ({}) since {}, and stores something else than this: close it first",
        row.name, row.owner, row.process, row.opened_at.utc()
    )]
    OtherWork {
        /// The open transaction.
        row: Box<TransactionRow>,
    },
    /// It failed and was reverted: the repository is as before.
    #[error("{what} failed and was undone")]
    Undone {
        /// What failed.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was asked to stop, and was reverted: the repository is as before.
    #[error("{what} was stopped and undone")]
    Stopped {
        /// What was stopped.
        what: &'static str,
    },
    /// It failed and could not be undone: its transaction is open.
    #[error("{what} failed, and transaction {name} stays open: {failure}")]
    LeftOpen {
        /// What failed.
        what: &'static str,
        /// The open transaction.
        name: TransactionName,
        /// Why it failed.
        failure: String,
        /// Why it could not be undone.
        #[source]
        source: Box<CloseError>,
    },
    /// The artifacts were written, and the transaction is not this process's any more, or
    /// it is not known whether it was committed. Nothing was deleted because of that.
    #[error("the artifacts were written, but {what} was not closed")]
    NotClosed {
        /// What was not closed.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<CloseError>,
    },
    /// Another process ended the put session.
    #[error("put session {name} was ended by another process: what is put now is not stored")]
    SessionEnded {
        /// The session.
        name: TransactionName,
    },
    /// A put session could not be ended. What was put is stored.
    #[error("put session {name} could not be ended; what was put is stored")]
    SessionOpen {
        /// The session.
        name: TransactionName,
        /// Why.
        #[source]
        source: Box<CloseError>,
    },
    /// A put session does not store again what is registered.
    #[error(
        "{run} has {dataset} ({existing}), {}: put session {name} only adds datasets",
        if *.lost { "and its artifact is lost" } else { "registered but not stored" }
    )]
    OnlyAdds {
        /// The session.
        name: TransactionName,
        /// The RUN.
        run: CollectionName,
        /// The dataset.
        dataset: String,
        /// Its id.
        existing: DatasetId,
        /// Whether it should be stored.
        lost: bool,
    },
    /// The database did not say whether a dataset of a put session is registered.
    #[error("it is not known whether {dataset} was stored in put session {name}")]
    PutUnknown {
        /// The session.
        name: TransactionName,
        /// The dataset.
        dataset: String,
        /// What the database said.
        #[source]
        source: Box<RegistryError>,
    },
    /// The repository could not be read, or the transaction not be opened.
    #[error(transparent)]
    Butler(#[from] ButlerError),
}

impl From<RegistryError> for StoreError {
    fn from(error: RegistryError) -> Self {
        Self::Butler(error.into())
    }
}
