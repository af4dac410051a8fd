//! What a closing may do to storage, as an interface passed in.

use std::io::Read;

use pantler_core::{ArtifactKey, Checksum, Location};

/// A failure of the storage, with the key or prefix in its message.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct ArtifactError {
    context: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl ArtifactError {
    /// Wraps what the storage reported; `context` says what was being done to what.
    pub fn new(
        context: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { context: context.into(), source: source.into() }
    }
}

/// Size in bytes and checksum of an artifact's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Size in bytes.
    pub size: u64,
    /// Checksum of the whole.
    pub checksum: Checksum,
}

/// An entry found below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A whole artifact.
    Artifact {
        /// Its key.
        key: ArtifactKey,
        /// Its size in bytes.
        size: u64,
    },
    /// The unfinished form of an artifact.
    Unfinished {
        /// The key it would have got.
        key: ArtifactKey,
    },
    /// Something that no writer of artifacts makes; left alone, and `check` names it.
    Foreign {
        /// Its path below the storage root.
        path: String,
    },
}

/// A new artifact to be written during a closing.
pub struct NewArtifact<'a> {
    /// Where to.
    pub key: ArtifactKey,
    /// What.
    pub content: Box<dyn Read + Send + 'a>,
}

impl std::fmt::Debug for NewArtifact<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewArtifact").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Storage as the contexts of a closing see it. Every operation may be repeated.
pub trait Artifacts {
    /// The size of an artifact; `None` if it is missing.
    ///
    /// # Errors
    /// [`ArtifactError`] if the storage does not answer.
    fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, ArtifactError>;

    /// Reads an artifact in full; `None` if it is missing.
    ///
    /// # Errors
    /// [`ArtifactError`] if the storage does not answer.
    fn measure(&self, key: &ArtifactKey) -> Result<Option<Content>, ArtifactError>;

    /// The size of what is at a location, in bytes; `None` if nothing is there.
    ///
    /// # Errors
    /// [`ArtifactError`] if the storage, or the file system, does not answer.
    fn size_at(&self, location: &Location) -> Result<Option<u64>, ArtifactError>;

    /// Reads what is at a location in full; `None` if nothing is there.
    ///
    /// # Errors
    /// [`ArtifactError`] if the storage, or the file system, does not answer.
    fn measure_at(&self, location: &Location) -> Result<Option<Content>, ArtifactError>;

    /// Lists everything below the prefix of a RUN.
    ///
    /// # Errors
    /// [`ArtifactError`] if the storage does not answer.
    fn list(&self, prefix: &str) -> Result<Vec<Found>, ArtifactError>;

    /// Writes artifacts, whole and flushed when this returns.
    ///
    /// # Errors
    /// [`ArtifactError`] with the first that could not be written.
    fn store(&self, new: Vec<NewArtifact<'_>>) -> Result<Vec<Content>, ArtifactError>;

    /// Makes sure that these artifacts are on stable storage.
    ///
    /// # Errors
    /// [`ArtifactError`] if that cannot be said.
    fn flush(&self, keys: &[ArtifactKey]) -> Result<(), ArtifactError>;

    /// Moves artifacts from one key to another; each move happens or does not, and all of
    /// them are on stable storage when this returns. `false` stands for each that had
    /// nothing to move: after an interruption it may be at its new key already. Nothing
    /// is ever replaced. Stops at the first failure.
    ///
    /// # Errors
    /// [`ArtifactError`] with the first that could not be moved.
    fn rekey(&self, moves: &[(ArtifactKey, ArtifactKey)]) -> Result<Vec<bool>, ArtifactError>;

    /// Deletes artifacts and their unfinished forms, so that power loss does not bring
    /// them back. Missing is fine. Goes on after a failure and reports the first.
    ///
    /// # Errors
    /// [`ArtifactError`] with the first that could not be deleted.
    fn unstore(&self, keys: &[ArtifactKey]) -> Result<(), ArtifactError>;

    /// Deletes the unfinished forms of artifacts, never the artifacts. Missing is fine.
    ///
    /// # Errors
    /// [`ArtifactError`] with the first that could not be deleted.
    fn discard_unfinished(&self, keys: &[ArtifactKey]) -> Result<(), ArtifactError>;

    /// Makes sure that power loss brings nothing back that anybody has deleted from the
    /// directories of these artifacts, or right below the prefix of a RUN.
    ///
    /// # Errors
    /// [`ArtifactError`] if that cannot be said.
    fn flush_removals(&self, prefix: &str, beside: &[ArtifactKey]) -> Result<(), ArtifactError>;

    /// Removes empty directories below a prefix, where the storage has directories.
    ///
    /// # Errors
    /// [`ArtifactError`] if the storage does not answer.
    fn prune(&self, prefix: &str) -> Result<(), ArtifactError>;
}
