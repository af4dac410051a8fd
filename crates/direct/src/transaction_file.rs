//! `transaction.json` in the root of a workspace: all that a client of the
//! workspace needs without the database (DMTN-249 §3.3.3).
//!
//! Written after the transaction's row, removed just before the row goes. A client
//! that finds none asks the database and writes it again.

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{CollectionName, DatastoreConfig, OpeningId, RunId, Tai, TransactionName};
use pantler_datastore::StorageError;
use serde::{Deserialize, Serialize};

/// The file's name.
pub(crate) const FILE: &str = "transaction.json";

const VERSION: u32 = 1;

/// An open workspace transaction, as its root describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionFile {
    /// The transaction's name.
    pub name: TransactionName,
    /// Its kind.
    pub kind: String,
    /// Which opening.
    pub opening: OpeningId,
    /// When it was opened.
    pub opened_at: Tai,
    /// The RUN that it fills.
    pub run: CollectionName,
    /// That RUN's id, part of its artifacts' keys.
    pub run_id: RunId,
    /// The kind's description.
    pub data: String,
    /// The datastore configuration it was opened with.
    pub datastore: DatastoreConfig,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TransactionFileError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A newer program made the workspace.
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
    /// It is not what Pantler writes.
    #[error(
        "{path} is damaged: {reason}; remove it, and the next command writes it again from the database"
    )]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct FileV1 {
    version: u32,
    name: TransactionName,
    kind: String,
    opening: OpeningId,
    opened_at_tai_ns: Tai,
    run: CollectionName,
    run_id: RunId,
    datastore: DatastoreConfig,
    data: serde_json::Value,
}

impl TransactionFile {
    /// Reads the file in a workspace root; `None` if there is none.
    ///
    /// # Errors
    /// [`TransactionFileError`] if it is there and cannot be used.
    pub fn read(root: &Utf8Path) -> Result<Option<Self>, TransactionFileError> {
        let path = root.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(TransactionFileError::Io { path, source }),
        };
        Self::from_json(&text, &path).map(Some)
    }

    fn from_json(text: &str, path: &Utf8Path) -> Result<Self, TransactionFileError> {
        let damaged = |e: serde_json::Error| TransactionFileError::Damaged {
            path: path.to_owned(),
            reason: e.to_string(),
        };
        let VersionOnly { version } = serde_json::from_str(text).map_err(damaged)?;
        if version != VERSION {
            return Err(TransactionFileError::Version {
                path: path.to_owned(),
                found: version,
                supported: VERSION,
            });
        }
        let file: FileV1 = serde_json::from_str(text).map_err(damaged)?;
        Ok(Self {
            name: file.name,
            kind: file.kind,
            opening: file.opening,
            opened_at: file.opened_at_tai_ns,
            run: file.run,
            run_id: file.run_id,
            data: file.data.to_string(),
            datastore: file.datastore,
        })
    }

    /// Writes the file into `root`, which is made if it is missing. One that is
    /// there already is left: it says the same.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be written.
    pub(crate) fn write(&self, root: &Utf8Path) -> Result<(), StorageError> {
        let file = FileV1 {
            version: VERSION,
            name: self.name.clone(),
            kind: self.kind.clone(),
            opening: self.opening,
            opened_at_tai_ns: self.opened_at,
            run: self.run.clone(),
            run_id: self.run_id,
            datastore: self.datastore.clone(),
            data: serde_json::from_str(&self.data)
                .unwrap_or_else(|_| serde_json::Value::String(self.data.clone())),
        };
        let mut text = serde_json::to_string_pretty(&file).expect("names and numbers serialize");
        text.push('\n');
        match pantler_datastore::fs::write_new(&root.join(FILE), text.as_bytes()) {
            Err(StorageError::AlreadyExists { .. }) => Ok(()),
            other => other,
        }
    }

    /// Writes the file into the root of a workspace that no database knows.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be written.
    pub fn create(&self, root: &Utf8Path) -> Result<(), StorageError> {
        self.write(root)
    }

    /// Removes the file from `root`. Missing is fine.
    pub(crate) fn remove(root: &Utf8Path) -> std::io::Result<()> {
        match std::fs::remove_file(root.join(FILE)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}
