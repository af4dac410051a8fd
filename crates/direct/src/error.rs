//! What can go wrong when a repository is opened, read or changed.

use camino::Utf8PathBuf;
use pantler_butler::transaction::{DecodeError, DoorError, KindError};
use pantler_core::{
    Tai, TransactionName,
    transaction::{Closing, Process},
};
use pantler_datastore::DatastoreError;
use pantler_registry::RegistryError;

/// An operation on a repository failed.
#[derive(Debug, thiserror::Error)]
pub enum ButlerError {
    /// No `pantler.yaml`.
    #[error("{0} is not a Pantler repository: it has no pantler.yaml")]
    NotARepository(Utf8PathBuf),
    /// Made by a newer program.
    #[error(
        "{path} has format version {found}, this program knows {supported}: use a newer pantler"
    )]
    NewerRepository {
        /// The file.
        path: Utf8PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known.
        supported: u32,
    },
    /// `pantler.yaml` is not well formed.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of the repository cannot be read or written.
    #[error("cannot access {path}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The artifact storage.
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
    /// A file of the datastore crate's `fs`.
    #[error(transparent)]
    Storage(#[from] pantler_datastore::StorageError),
    /// A stored transaction that this program cannot decode.
    #[error("transaction {name}")]
    Decode {
        /// The transaction.
        name: TransactionName,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// No open transaction of that name.
    #[error("no open transaction is called {0}")]
    NoTransaction(TransactionName),
    /// The name is in use for something else.
    #[error(
        "transaction {name} is open already, by {owner} ({process}) since {}, for something else: close it first or take another name",
        .opened_at.utc()
    )]
    NameInUse {
        /// The name.
        name: TransactionName,
        /// Who opened it.
        owner: String,
        /// Which process holds it.
        process: Process,
        /// When it was opened.
        opened_at: Tai,
    },
    /// Another process holds the transaction and may still be writing.
    #[error(
        "transaction {name} is held by {process}, which may still be at work: wait for it, or take it over with --take-over if it is gone"
    )]
    Held {
        /// The transaction.
        name: TransactionName,
        /// Who holds it.
        process: Process,
    },
    /// A closing began, so that nobody can write for it any more.
    #[error("a {} of transaction {name} has begun: finish it", .closing.verb())]
    ClosingBegan {
        /// The transaction.
        name: TransactionName,
        /// What began.
        closing: Closing,
    },
    /// The database did not say whether the transaction was opened. Nothing was
    /// written for it.
    #[error("it is not known whether transaction {name} was opened")]
    OpenUnknown {
        /// The transaction.
        name: TransactionName,
        /// What the database said.
        #[source]
        source: RegistryError,
    },
    /// The transaction is open, but its workspace root could not be made. The next
    /// command makes it.
    #[error("transaction {name} is open, but its root could not be made")]
    RootNotMade {
        /// The transaction.
        name: TransactionName,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// The kind refused to begin.
    #[error("cannot open transaction {name}")]
    Begin {
        /// The transaction.
        name: TransactionName,
        /// Why.
        #[source]
        source: KindError,
    },
}

/// A closing did not happen, or it is not known whether it did.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// Neither open nor in the closed log.
    #[error("no transaction is called {0}")]
    NoTransaction(TransactionName),
    /// It was closed otherwise before.
    #[error("transaction {name} was {} already", .closing.outcome())]
    AlreadyClosed {
        /// The transaction.
        name: TransactionName,
        /// How it was closed.
        closing: Closing,
    },
    /// Another process holds it and may still be at work.
    #[error(
        "transaction {name} is held by {process}, which may still be at work; it stays open: wait for that process, or use --take-over if it is gone"
    )]
    Held {
        /// The transaction.
        name: TransactionName,
        /// Who holds it.
        process: Process,
    },
    /// An earlier closing rules this one out.
    #[error("transaction {name} stays open")]
    Door {
        /// The transaction.
        name: TransactionName,
        /// Why.
        #[source]
        source: DoorError,
    },
    /// This program cannot decode it.
    #[error("transaction {name} stays open")]
    Decode {
        /// The transaction.
        name: TransactionName,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// The storage work could not be done.
    #[error("transaction {name} stays open: it could not be {}", .closing.outcome())]
    StillOpen {
        /// The transaction.
        name: TransactionName,
        /// What was tried.
        closing: Closing,
        /// Whether it is a workspace, whose quanta can be run again.
        workspace: bool,
        /// Why.
        #[source]
        source: KindError,
    },
    /// The database refused the rows.
    #[error("transaction {name} stays open: it could not be {}", .closing.outcome())]
    Rows {
        /// The transaction.
        name: TransactionName,
        /// What was tried.
        closing: Closing,
        /// Why.
        #[source]
        source: RegistryError,
    },
    /// Another process claimed it meanwhile.
    #[error("another process has taken over the closing of transaction {0}")]
    Superseded(TransactionName),
    /// The database did not say whether the closing happened. Nothing was deleted
    /// because of that.
    #[error("it is not known whether transaction {name} was {}", .closing.outcome())]
    Unknown {
        /// The transaction.
        name: TransactionName,
        /// What was tried.
        closing: Closing,
        /// What the database said.
        #[source]
        source: RegistryError,
    },
    /// Something around the closing of an open transaction failed.
    #[error("transaction {name} stays open: it could not be {}", .closing.outcome())]
    Around {
        /// The transaction.
        name: TransactionName,
        /// What was tried.
        closing: Closing,
        /// Why.
        #[source]
        source: Box<ButlerError>,
    },
    /// It could not even be looked for.
    #[error(transparent)]
    Butler(#[from] ButlerError),
}

impl From<RegistryError> for CloseError {
    fn from(error: RegistryError) -> Self {
        Self::Butler(error.into())
    }
}

impl CloseError {
    /// The same about an open transaction that is known by name.
    pub(crate) fn around(self, name: &TransactionName, closing: Closing) -> Self {
        match self {
            Self::Butler(source) => {
                Self::Around { name: name.clone(), closing, source: Box::new(source) }
            }
            other => other,
        }
    }

    /// Whether the transaction is known to be still open.
    pub fn stays_open(&self) -> bool {
        matches!(
            self,
            Self::Held { .. }
                | Self::Door { .. }
                | Self::Decode { .. }
                | Self::StillOpen { .. }
                | Self::Rows { .. }
                | Self::Around { .. }
                | Self::Butler(_)
        )
    }
}
