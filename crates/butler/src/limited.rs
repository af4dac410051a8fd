//! [`LimitedButler`]: content of datasets by their id, and nothing that needs a query.

use std::{io::Write, sync::Arc};

use pantler_core::{DatasetId, DatasetRef, Universe};

/// Content of a dataset could not be had, or not be stored.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Nobody knows the dataset here.
    #[error("dataset {0} is not known here")]
    Unknown(DatasetId),
    /// It is known, and its content is not there (yet, or any more).
    #[error("dataset {0} is not stored")]
    NotStored(DatasetId),
    /// Not for this client.
    #[error("dataset {dataset}: {reason}")]
    Refused {
        /// The dataset.
        dataset: DatasetId,
        /// Why.
        reason: &'static str,
    },
    /// Database or storage failed, or the content is not what its record says.
    #[error("dataset {dataset}")]
    Failed {
        /// The dataset.
        dataset: DatasetId,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl AccessError {
    /// Wraps a failure about a dataset.
    pub fn failed(
        dataset: DatasetId,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { dataset, source: source.into() }
    }
}

/// A dataset that is read when it is asked for.
pub trait Deferred: Send + Sync {
    /// Its size in bytes, as recorded.
    fn size(&self) -> u64;

    /// Reads the whole, and checks it.
    ///
    /// # Errors
    /// [`AccessError`] if it is not there or not what its record says.
    fn read(&self) -> Result<Vec<u8>, AccessError>;

    /// Reads `length` bytes from `offset` on. They cannot be checked: the recorded
    /// checksum is that of the whole.
    ///
    /// # Errors
    /// [`AccessError`] if it is not there or has no such bytes.
    fn read_range(&self, offset: u64, length: u64) -> Result<Vec<u8>, AccessError>;

    /// Writes the whole to `out`, and checks it at the end: after an error, what was
    /// written must not be used.
    ///
    /// # Errors
    /// [`AccessError`] if it is not there, not what its record says, or `out` fails.
    fn copy_to(&self, out: &mut dyn Write) -> Result<u64, AccessError>;
}

/// The part of a butler that a task sees (DMTN-249 §3.1): what it needs is resolved
/// to ids, so that no database is asked. A repository, an open workspace and a running
/// quantum all are one.
pub trait LimitedButler: Send + Sync {
    /// The dimensions.
    fn universe(&self) -> &Arc<Universe>;

    /// Whether [`Self::put`] is possible at all.
    fn is_writeable(&self) -> bool;

    /// Reads a dataset, whole and with the checksum it was stored with, or not at all.
    ///
    /// # Errors
    /// [`AccessError`].
    fn get(&self, dataset: DatasetId) -> Result<Vec<u8>, AccessError>;

    /// Reads several datasets, in their order.
    ///
    /// # Errors
    /// [`AccessError`] for the first that cannot be read.
    fn get_many(&self, datasets: &[DatasetId]) -> Result<Vec<Vec<u8>>, AccessError> {
        datasets.iter().map(|dataset| self.get(*dataset)).collect()
    }

    /// A handle that reads a stored dataset on demand.
    ///
    /// # Errors
    /// [`AccessError`] if it is not stored.
    fn get_deferred(&self, dataset: DatasetId) -> Result<Box<dyn Deferred + '_>, AccessError>;

    /// Where a stored dataset is, as a URI.
    ///
    /// # Errors
    /// [`AccessError`] if it is not stored.
    fn get_uri(&self, dataset: DatasetId) -> Result<String, AccessError>;

    /// Where several stored datasets are, in their order.
    ///
    /// # Errors
    /// [`AccessError`] for the first that is not stored.
    fn get_uris(&self, datasets: &[DatasetId]) -> Result<Vec<String>, AccessError> {
        datasets.iter().map(|dataset| self.get_uri(*dataset)).collect()
    }

    /// Whether a dataset is known and all its content is there. The content is not read.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if that cannot be said.
    fn stored(&self, dataset: DatasetId) -> Result<bool, AccessError>;

    /// The same of several datasets, in their order.
    ///
    /// # Errors
    /// [`AccessError::Failed`] for the first of which that cannot be said.
    fn stored_many(&self, datasets: &[DatasetId]) -> Result<Vec<bool>, AccessError> {
        datasets.iter().map(|dataset| self.stored(*dataset)).collect()
    }

    /// Stores a dataset. A repository registers it; a quantum takes it as an output.
    ///
    /// # Errors
    /// [`AccessError`]; nothing was stored then, unless the error behind it says otherwise.
    fn put(&self, dataset: &DatasetRef, content: &[u8]) -> Result<(), AccessError>;
}
