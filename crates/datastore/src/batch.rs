//! Writing many artifacts with two flushes in all.
//!
//! Stage as many as wanted, from as many threads as wanted; then [`publish`] flushes
//! their content, gives each its name, and flushes the names. A crash in between leaves
//! unfinished forms, and perhaps artifacts that nothing refers to yet; all of them lie
//! at keys that the caller knows.
//!
//! [`publish`]: WriteBatch::publish

use std::{
    collections::BTreeSet,
    io::Read,
    sync::{Mutex, PoisonError},
};

use camino::Utf8Path;
use pantler_core::ArtifactKey;

use crate::{
    DatastoreError, Flusher, Storage, StorageError, Written,
    copy::{CopyError, Links, copy, open_source},
};

/// Artifacts that are being written together.
///
/// Dropped without an ending, it leaves what it staged in unfinished form.
#[derive(Debug)]
#[must_use = "what was staged is neither published nor discarded"]
pub struct WriteBatch<'a> {
    storage: &'a dyn Storage,
    flusher: Box<dyn Flusher>,
    /// In order of keys, so that directories are filled one after the other.
    staged: Mutex<BTreeSet<ArtifactKey>>,
    /// Those of them that are not whole, or not wanted: they are never published.
    withdrawn: Mutex<BTreeSet<ArtifactKey>>,
}

impl<'a> WriteBatch<'a> {
    /// Begins a batch; errors of writing back from now on are seen by its flushes.
    pub(crate) fn begin(storage: &'a dyn Storage) -> Result<Self, DatastoreError> {
        let flusher = storage.flusher().map_err(|source| DatastoreError::Flush { source })?;
        Ok(Self { storage, flusher, staged: Mutex::default(), withdrawn: Mutex::default() })
    }

    /// Stages a copy of a regular file; a symbolic link is followed.
    ///
    /// # Errors
    /// [`DatastoreError::Source`] or [`DatastoreError::NotRegular`] about the file,
    /// [`DatastoreError::Write`] or [`DatastoreError::WrittenTwice`] about the artifact.
    pub fn copy_file(
        &self,
        source: &Utf8Path,
        key: &ArtifactKey,
    ) -> Result<Written, DatastoreError> {
        let mut file = open_source(source, Links::Follow)?;
        self.stage(key, &mut file, |error| DatastoreError::Source {
            path: source.to_owned(),
            source: error,
        })
    }

    /// Stages what `content` gives.
    ///
    /// # Errors
    /// [`DatastoreError::Content`] if it cannot be read, [`DatastoreError::Write`] or
    /// [`DatastoreError::WrittenTwice`] about the artifact.
    pub fn write(
        &self,
        key: &ArtifactKey,
        content: &mut dyn Read,
    ) -> Result<Written, DatastoreError> {
        self.stage(key, content, |source| DatastoreError::Content { key: key.clone(), source })
    }

    /// Keeps an artifact that was staged from being published. What could not be staged
    /// in full is withdrawn already.
    pub fn withdraw(&self, key: &ArtifactKey) {
        self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
    }

    /// How many artifacts were staged.
    pub fn len(&self) -> usize {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing was staged.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Publishes everything: when this returns, it is on stable storage. What was
    /// withdrawn stays in unfinished form.
    ///
    /// # Errors
    /// [`DatastoreError::Flush`] or [`DatastoreError::Publish`]: some artifacts may then
    /// stand at their keys, others in unfinished form; nothing may refer to them.
    pub fn publish(self) -> Result<(), DatastoreError> {
        let Parts { storage, flusher, mut keys, withdrawn } = self.into_parts();
        keys.retain(|key| !withdrawn.contains(key));
        if keys.is_empty() {
            return Ok(());
        }
        flusher.flush_data(&keys).map_err(|source| DatastoreError::Flush { source })?;
        for (published, key) in keys.iter().enumerate() {
            storage.publish(key).map_err(|source| DatastoreError::Publish {
                published,
                total: keys.len(),
                source,
            })?;
        }
        flusher.flush_entries(&keys).map_err(|source| DatastoreError::Flush { source })
    }

    /// Removes what was staged. Goes on after a failure and reports the first.
    ///
    /// # Errors
    /// [`DatastoreError::Delete`] with the first that could not be removed.
    pub fn discard(self) -> Result<(), DatastoreError> {
        let Parts { storage, keys, .. } = self.into_parts();
        discard_all(storage, &keys)
    }

    fn stage(
        &self,
        key: &ArtifactKey,
        content: &mut dyn Read,
        unreadable: impl FnOnce(std::io::Error) -> DatastoreError,
    ) -> Result<Written, DatastoreError> {
        // Before it is staged: what fails half-way is discarded with the rest.
        if !self.staged.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            return Err(DatastoreError::WrittenTwice { key: key.clone() });
        }
        let written = self.write_unfinished(key, content, unreadable);
        if written.is_err() {
            self.withdraw(key);
        }
        written
    }

    fn write_unfinished(
        &self,
        key: &ArtifactKey,
        content: &mut dyn Read,
        unreadable: impl FnOnce(std::io::Error) -> DatastoreError,
    ) -> Result<Written, DatastoreError> {
        let failed = |source| DatastoreError::Write { key: key.clone(), source };
        let mut staged = self.storage.stage(key).map_err(failed)?;
        copy(content, &mut staged).map_err(|error| match error {
            CopyError::Read(error) => unreadable(error),
            CopyError::Write(error) => failed(StorageError::io("write", key.as_str(), error)),
        })?;
        staged.finish().map_err(failed)
    }

    fn into_parts(self) -> Parts<'a> {
        let keys = self.staged.into_inner().unwrap_or_else(PoisonError::into_inner);
        let withdrawn = self.withdrawn.into_inner().unwrap_or_else(PoisonError::into_inner);
        let keys = keys.into_iter().collect();
        Parts { storage: self.storage, flusher: self.flusher, keys, withdrawn }
    }
}

struct Parts<'a> {
    storage: &'a dyn Storage,
    flusher: Box<dyn Flusher>,
    keys: Vec<ArtifactKey>,
    withdrawn: BTreeSet<ArtifactKey>,
}

/// Removes the unfinished forms of `keys`.
pub(crate) fn discard_all(
    storage: &dyn Storage,
    keys: &[ArtifactKey],
) -> Result<(), DatastoreError> {
    let mut first = None;
    let mut failed = 0;
    let results = storage.discard_each(&keys.iter().collect::<Vec<_>>());
    for (key, result) in keys.iter().zip(results) {
        if let Err(source) = result {
            failed += 1;
            first.get_or_insert((key, source));
        }
    }
    match first {
        None => Ok(()),
        Some((key, source)) => {
            Err(DatastoreError::Delete { key: key.clone(), failed, total: keys.len(), source })
        }
    }
}
