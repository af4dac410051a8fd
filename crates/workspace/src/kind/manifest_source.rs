//! What says which datasets a workspace makes, seen from a closing.

use std::sync::Arc;

use pantler_butler::transaction::{CommitContext, KindError};
use pantler_core::{ArtifactKey, Checksum, DatasetRef, DatasetType, FileRecord};

/// An artifact that is to become stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promised<'a> {
    /// Its key.
    pub key: &'a ArtifactKey,
    /// Its size in bytes.
    pub size: u64,
    /// The checksum that its writer computed.
    pub checksum: Checksum,
}

/// What a committing workspace needs to know of what was made in it. It is read from the
/// root of the workspace after everybody who could change it has been locked out.
///
/// Everything else below the prefix of the RUN may lie around and is deleted: what was
/// begun and not done, what failed, what a commit that was killed has left.
pub trait ManifestSource {
    /// What is not done yet, if that stands in the way of a commit of everything.
    fn unfinished(&self) -> Option<String>;

    /// The artifacts that are to be stored. Those are on stable storage.
    fn promised(&self) -> Box<dyn Iterator<Item = Promised<'_>> + '_>;

    /// Stores what it tells about the work itself, such as logs and provenance. Comes once
    /// what was promised is known to be there and the rest is deleted.
    ///
    /// # Errors
    /// [`KindError`] if it cannot be stored; the workspace stays open.
    fn store_history(&mut self, context: &CommitContext<'_>) -> Result<(), KindError>;

    /// The dataset types that are registered with the rest if they are not yet.
    fn dataset_types(&self) -> Vec<Arc<DatasetType>>;

    /// All datasets with their records: what was promised, and the history.
    fn datasets(self: Box<Self>) -> Box<dyn Iterator<Item = (DatasetRef, FileRecord)>>;
}
