use std::{fmt, time::Duration};

use camino::Utf8PathBuf;
use pantler_core::{
    CollectionName, CollectionType, DataId, DatasetId, DatasetRef, DatasetTypeError,
    DatasetTypeName, ElementName, Location, OpeningId, TransactionName,
    transaction::{Closing, TransactionRow},
};

use crate::LockKind;

/// Why the registry did not do what it was asked for.
///
/// After an error from [`crate::Registry::write`] the database is as it was before,
/// except for [`Self::CommitUnknown`].
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No database file.
    #[error("there is no database file {path}")]
    Missing {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A database on a file system where SQLite's write-ahead log does not work.
    #[error(
        "{path} is on a network file system ({kind}), where an SQLite database is not safe: put the repository on a local disk; a repository that several machines share needs a PostgreSQL database, which this version does not have yet"
    )]
    NetworkFileSystem {
        /// The file.
        path: Utf8PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// A database without the tables of a registry.
    #[error(
        "{path} holds no registry: its creation did not finish, or it belongs to another program"
    )]
    NotARegistry {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A database that was made with another universe.
    #[error("{path} is there already, with another universe than the one given")]
    OtherUniverse {
        /// The file.
        path: Utf8PathBuf,
    },
    /// The database was written to for longer than the busy timeout.
    #[error(
        "the database {path} is busy: another process is writing to it (SQLite does not say which) and was not done after {:.1} s; try again",
        waited.as_secs_f64()
    )]
    Busy {
        /// The file.
        path: Utf8PathBuf,
        /// How long this process waited.
        waited: Duration,
    },
    /// What was read is not what is there any more; nothing was changed.
    #[error(
        "another database transaction changed in {path} what this one read; nothing was changed: try again"
    )]
    Serialization {
        /// The file.
        path: Utf8PathBuf,
    },
    /// No room for more rows.
    #[error(
        "no room to write to the database {path}: the disk is full or the database has reached its largest size"
    )]
    Full {
        /// The file.
        path: Utf8PathBuf,
    },
    /// Content that this program cannot have written.
    #[error("the database {path} is damaged: {detail}")]
    Corrupt {
        /// The file.
        path: Utf8PathBuf,
        /// What was found.
        detail: String,
    },
    /// A file that is not a SQLite database.
    #[error("{path} is not a SQLite database")]
    NotADatabase {
        /// The file.
        path: Utf8PathBuf,
    },
    /// Writing to what may only be read.
    #[error("the database {path} was opened for reading only, or its file may not be written to")]
    ReadOnly {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A schema that only a newer program knows.
    #[error(
        "the database has schema version {found}, and this program supports up to {supported}: use a newer pantler"
    )]
    NewerSchema {
        /// The version found.
        found: u32,
        /// The newest version that this program knows.
        supported: u32,
    },
    /// The commit broke off inside of the operating system, so that the rows may
    /// or may not be there: look before going on.
    #[error(
        "committing to the database {path} failed half-way; whether its rows are there is unknown"
    )]
    CommitUnknown {
        /// The file.
        path: Utf8PathBuf,
        /// What the database said.
        #[source]
        source: rusqlite::Error,
    },
    /// Everything else that the database may say.
    #[error("the database {path} reports an error")]
    Sql {
        /// The file.
        path: Utf8PathBuf,
        /// What it said.
        #[source]
        source: rusqlite::Error,
    },

    /// The attempt that this process holds is not the current one any more.
    #[error("attempt {attempt} at opening {opening} of {} is superseded: {now}", Named(.name.as_ref()))]
    Superseded {
        /// The transaction, if there is a row that names it.
        name: Option<TransactionName>,
        /// The opening.
        opening: OpeningId,
        /// The attempt that was held.
        attempt: u32,
        /// What holds now.
        now: Standing,
    },
    /// A transaction of that name is open.
    #[error(
        "transaction `{}` is open already, by {} ({}) since {}",
        row.name, row.owner, row.process, row.opened_at.utc()
    )]
    TransactionExists {
        /// The open one.
        row: Box<TransactionRow>,
    },
    /// A RUN is locked by another open transaction.
    #[error("run `{run}` is {lock} by the open transaction `{transaction}`")]
    RunLocked {
        /// The RUN.
        run: CollectionName,
        /// Who holds the lock.
        transaction: TransactionName,
        /// Which lock it is.
        lock: LockKind,
    },
    /// A dataset that is not stored, and whose RUN is being changed.
    #[error(
        "dataset {dataset} cannot be put into a collection: it is not stored, and the open transaction `{transaction}` is at work on its RUN"
    )]
    UnstoredInLockedRun {
        /// The dataset.
        dataset: Box<DatasetRef>,
        /// The transaction.
        transaction: TransactionName,
    },
    /// A dataset type that an open transaction may name.
    #[error(
        "dataset type `{name}` cannot be removed while transaction `{transaction}` is open, which may register datasets of it"
    )]
    TypeMayBeUsed {
        /// The dataset type.
        name: DatasetTypeName,
        /// The first open transaction by name.
        transaction: TransactionName,
    },
    /// The datastore configuration cannot change now.
    #[error("the datastore configuration cannot change while transaction `{transaction}` is open")]
    TransactionsOpen {
        /// The first open transaction by name.
        transaction: TransactionName,
    },
    /// A version of the datastore configuration that does not fit the stored one.
    #[error(
        "datastore configuration version {given} does not fit: the repository has version {current}"
    )]
    ConfigVersion {
        /// The version in the database.
        current: u32,
        /// The version given: of a transaction it must be the current one, of a new
        /// configuration the next one.
        given: u32,
    },

    /// A dataset of that type and data ID is in the RUN, or one with that id exists.
    #[error("dataset {wanted} cannot be inserted: there is {existing}")]
    Conflict {
        /// The dataset to be inserted.
        wanted: Box<DatasetRef>,
        /// The one that is there.
        existing: Box<DatasetRef>,
    },
    /// Another dataset of that type and data ID is in the TAGGED collection.
    #[error("dataset {wanted} cannot be put into `{collection}`: there is {existing}")]
    TagConflict {
        /// The TAGGED collection.
        collection: CollectionName,
        /// The dataset to be put into it.
        wanted: Box<DatasetRef>,
        /// The one that is there.
        existing: Box<DatasetRef>,
    },
    /// A dataset that cannot be removed, since a TAGGED collection names it.
    #[error("dataset {dataset} is in the TAGGED collection `{collection}`")]
    Tagged {
        /// The dataset.
        dataset: DatasetId,
        /// The collection, or the first found of several.
        collection: CollectionName,
    },
    /// A dataset that is not registered.
    #[error("dataset {dataset} is not registered")]
    UnknownDataset {
        /// Its id.
        dataset: DatasetId,
    },
    /// A dataset to be stored again that is stored, or being changed.
    #[error("dataset {dataset} is stored already")]
    Stored {
        /// Its id.
        dataset: DatasetId,
    },
    /// A place that another dataset has.
    #[error("{location} belongs to dataset {dataset} already")]
    LocationTaken {
        /// The place.
        location: Location,
        /// A dataset whose record names it.
        dataset: DatasetId,
    },
    /// A RUN that cannot be removed, since it holds datasets.
    #[error("run `{run}` holds datasets, such as {dataset}")]
    RunNotEmpty {
        /// The RUN.
        run: CollectionName,
        /// One of them.
        dataset: DatasetId,
    },
    /// A second datastore record of one component.
    #[error("dataset {dataset} has a datastore record{} already", OfComponent(.component))]
    RecordExists {
        /// The dataset.
        dataset: DatasetId,
        /// The component; empty for the whole dataset.
        component: String,
    },
    /// A data ID that names what is not there.
    #[error("there is no {element} record for {data_id}; insert it first")]
    MissingDimensionRecord {
        /// The element.
        element: ElementName,
        /// Its data ID.
        data_id: DataId,
    },
    /// A dimension record that is there with other content.
    #[error("the {element} record {data_id} exists with another value of `{field}`")]
    RecordConflict {
        /// The element.
        element: ElementName,
        /// Its data ID.
        data_id: DataId,
        /// The first field that differs.
        field: ElementName,
    },
    /// A dimension record that does not fit its element.
    #[error("the {element} record {data_id} is not valid: {reason}")]
    InvalidRecord {
        /// The element.
        element: ElementName,
        /// Its data ID.
        data_id: DataId,
        /// What is wrong.
        reason: String,
    },
    /// A data ID of other dimensions than what it is for.
    #[error("{subject} has the dimensions {expected}, and the data ID {data_id} has others")]
    WrongDimensions {
        /// The dataset type or element.
        subject: String,
        /// Its dimensions.
        expected: String,
        /// The data ID.
        data_id: DataId,
    },
    /// A dimension that none of the dataset types asked for has.
    #[error("none of the dataset types asked for has the dimension `{dimension}`")]
    UnusedDimension {
        /// The dimension.
        dimension: ElementName,
    },
    /// A name or value that does not fit the universe.
    #[error("{subject} does not fit the universe of this repository: {reason}")]
    UniverseMismatch {
        /// What was asked for.
        subject: String,
        /// What does not fit.
        reason: String,
    },
    /// No collection of that name.
    #[error("there is no collection `{name}`")]
    UnknownCollection {
        /// The name.
        name: CollectionName,
    },
    /// A collection that is to be new.
    #[error("collection `{name}` exists already ({collection_type})")]
    CollectionExists {
        /// The name.
        name: CollectionName,
        /// What it is.
        collection_type: CollectionType,
    },
    /// A collection of the wrong type.
    #[error("collection `{name}` is {found}, and {wanted} is needed here")]
    WrongCollectionType {
        /// The name.
        name: CollectionName,
        /// What it is.
        found: CollectionType,
        /// What is needed.
        wanted: CollectionType,
    },
    /// A collection that cannot be removed, since a chain names it.
    #[error("collection `{name}` is in the chain `{chain}`")]
    InChain {
        /// The collection.
        name: CollectionName,
        /// The first chain by name.
        chain: CollectionName,
    },
    /// A RUN, which cannot be removed by itself.
    #[error("`{name}` is a RUN: it owns its datasets and can only be removed together with them")]
    RemovesRun {
        /// The RUN.
        name: CollectionName,
    },
    /// A chain that would contain itself.
    #[error("chain `{chain}` cannot contain `{child}`, which is or contains the chain itself")]
    ChainCycle {
        /// The chain.
        chain: CollectionName,
        /// What should become its child.
        child: CollectionName,
    },
    /// No dataset type of that name.
    #[error("there is no dataset type `{name}`")]
    UnknownDatasetType {
        /// The name.
        name: DatasetTypeName,
    },
    /// A dataset type that cannot be removed.
    #[error("dataset type `{name}` has datasets, such as {dataset}")]
    TypeInUse {
        /// The dataset type.
        name: DatasetTypeName,
        /// One of its datasets.
        dataset: DatasetId,
    },
    /// Two definitions of one dataset type.
    #[error(transparent)]
    DatasetType(#[from] DatasetTypeError),
}

/// What holds for an opening whose attempt was superseded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is open, and this is the current attempt.
    Attempt(u32),
    /// It was closed.
    Closed(Closing),
    /// There is no trace of it.
    Gone,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempt(attempt) => write!(f, "another process took over with attempt {attempt}"),
            Self::Closed(closing) => write!(f, "it is {}", closing.outcome()),
            Self::Gone => f.write_str("the repository has never seen it, or it was not kept"),
        }
    }
}

struct Named<'a>(Option<&'a TransactionName>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "transaction `{name}`"),
            None => f.write_str("an unknown transaction"),
        }
    }
}

struct OfComponent<'a>(&'a str);

impl fmt::Display for OfComponent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " of component `{}`", self.0) }
    }
}
