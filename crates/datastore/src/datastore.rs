//! The datastore of a repository: a storage and how it is configured.

use std::{io::Write, sync::Arc};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use pantler_core::{ArtifactKey, Checksum, DatastoreConfig, FileRecord, Location};

use crate::{
    Corruption, DatastoreError, Entry, Flusher, LocalStorage, RunPrefix, Storage, StorageError,
    WriteBatch, Written, batch::discard_all, copy::Links, source::HashedFile, verify::Extent,
};

/// Writes, reads, verifies and deletes artifacts. Cheap to clone; clones share the storage.
#[derive(Debug, Clone)]
pub struct Datastore {
    storage: Arc<dyn Storage>,
    config: DatastoreConfig,
}

/// How many artifacts were deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unstored {
    /// Of which there was something: the artifact or its unfinished form.
    pub deleted: usize,
    /// Of which there was nothing.
    pub missing: usize,
}

impl Datastore {
    /// The datastore of the repository at `repository_root`, in local files below
    /// `config.root`. Nothing is created until something is written.
    ///
    /// # Errors
    /// [`DatastoreError::Root`] if the configured root is not a path inside the repository.
    pub fn local(
        repository_root: &Utf8Path,
        config: &DatastoreConfig,
    ) -> Result<Self, DatastoreError> {
        let root = Utf8Path::new(&config.root);
        let inside = root.components().all(|part| matches!(part, Utf8Component::Normal(_)));
        if config.root.is_empty() || config.root.contains('\0') || !inside {
            return Err(DatastoreError::Root { root: config.root.clone() });
        }
        let storage = LocalStorage::new(repository_root.join(root), config.durability);
        Ok(Self::with_storage(Arc::new(storage), config.clone()))
    }

    /// A datastore on any storage.
    pub fn with_storage(storage: Arc<dyn Storage>, config: DatastoreConfig) -> Self {
        Self { storage, config }
    }

    /// The storage.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The configuration.
    pub fn config(&self) -> &DatastoreConfig {
        &self.config
    }

    /// Where a dataset's bytes are in the file system, for commands that read files.
    pub fn local_path_of(&self, location: &Location) -> Option<Utf8PathBuf> {
        match location {
            Location::Artifact(key) => self.local_path(key),
            Location::Direct(uri) => Some(uri.path().into()),
        }
    }

    /// Where a dataset's bytes are, as a URI: `file://` and an absolute path if they are in
    /// a file, otherwise the key in the object store. Nothing is percent-encoded.
    pub fn uri_of(&self, location: &Location) -> String {
        match self.local_path_of(location) {
            // The root of the repository may have been given as a relative path.
            Some(path) => format!("file://{}", camino::absolute_utf8(&path).unwrap_or(path)),
            None => location.to_string(),
        }
    }

    /// Where an artifact is in the file system, for commands that read files.
    pub fn local_path(&self, key: &ArtifactKey) -> Option<Utf8PathBuf> {
        self.storage.local_path(key)
    }
}

/// Writing.
impl Datastore {
    /// Begins to write artifacts that are published, and flushed, together.
    ///
    /// # Errors
    /// [`DatastoreError::Flush`] if the storage gives no handle to flush it.
    pub fn begin_batch(&self) -> Result<WriteBatch<'_>, DatastoreError> {
        WriteBatch::begin(&*self.storage)
    }

    /// A handle to flush what [`write`](Self::write) and [`adopt`](Self::adopt) store from
    /// now on.
    ///
    /// # Errors
    /// [`DatastoreError::Flush`] if the storage gives none.
    pub fn flusher(&self) -> Result<Box<dyn Flusher>, DatastoreError> {
        self.storage.flusher().map_err(|source| DatastoreError::Flush { source })
    }

    /// Flushes artifacts that are there already, as after a take-over.
    ///
    /// # Errors
    /// [`DatastoreError::Flush`] if that cannot be said.
    pub fn flush(&self, keys: &[ArtifactKey]) -> Result<(), DatastoreError> {
        self.flusher()?.flush(keys).map_err(|source| DatastoreError::Flush { source })
    }

    /// Writes and publishes one artifact, not yet flushed.
    ///
    /// # Errors
    /// [`DatastoreError::Write`]; what stood at the key before still does.
    pub fn write(&self, key: &ArtifactKey, content: &[u8]) -> Result<Written, DatastoreError> {
        let written = self.storage.stage(key).and_then(|mut staged| {
            staged
                .write_all(content)
                .map_err(|error| StorageError::io("write", key.as_str(), error))?;
            let written = staged.finish()?;
            self.storage.publish(key)?;
            Ok(written)
        });
        written.map_err(|source| {
            // Ours, under our own key. If this fails too, a walk still finds it.
            drop(self.storage.discard(key));
            DatastoreError::Write { key: key.clone(), source }
        })
    }

    /// Makes a finished file the artifact at `key`, not yet flushed; the file is gone
    /// afterwards. Its checksum is read from it before it moves.
    ///
    /// # Errors
    /// [`DatastoreError::NotRegular`] for a symbolic link, FIFO or directory,
    /// [`DatastoreError::Source`] if it is missing or cannot be read,
    /// [`DatastoreError::Changed`] if somebody still writes it, and
    /// [`DatastoreError::Write`] if it cannot be moved; it then stays where it is.
    pub fn adopt(&self, file: &Utf8Path, key: &ArtifactKey) -> Result<Written, DatastoreError> {
        let written = HashedFile::read(file, Links::Refuse)?.unchanged()?;
        self.storage
            .adopt(file, key)
            .map_err(|source| DatastoreError::Write { key: key.clone(), source })?;
        Ok(written)
    }
}

/// Reading.
impl Datastore {
    /// Reads what a record names, and checks it.
    ///
    /// # Errors
    /// [`DatastoreError::Missing`], [`DatastoreError::Corrupt`], or
    /// [`DatastoreError::Read`] if the storage does not answer.
    pub fn read(&self, record: &FileRecord) -> Result<Vec<u8>, DatastoreError> {
        let extent = Extent { offset: record.offset, size: record.size };
        let mut content = Vec::new();
        self.read_extent(&record.location, extent, Some(&record.checksum), &mut content)?;
        Ok(content)
    }

    /// Reads `size` bytes of an artifact from `offset` on, or all of it, and checks them.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_key(
        &self,
        key: &ArtifactKey,
        offset: Option<u64>,
        size: u64,
        checksum: &Checksum,
    ) -> Result<Vec<u8>, DatastoreError> {
        let mut content = Vec::new();
        let location = key.clone().into();
        self.read_extent(&location, Extent { offset, size }, Some(checksum), &mut content)?;
        Ok(content)
    }

    /// Writes what a record names to `out`, and checks it at the end: after an error, what
    /// was written must not be used.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`DatastoreError::Output`] if `out` fails.
    pub fn copy_to(
        &self,
        record: &FileRecord,
        out: &mut dyn Write,
    ) -> Result<Written, DatastoreError> {
        let extent = Extent { offset: record.offset, size: record.size };
        self.read_extent(&record.location, extent, Some(&record.checksum), out)
    }

    /// The size of an artifact in bytes; `None` if there is none.
    ///
    /// # Errors
    /// [`DatastoreError::Corrupt`] if it is no file, [`DatastoreError::Read`] if the
    /// storage does not answer.
    pub fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, DatastoreError> {
        self.size_at(&key.clone().into())
    }

    /// The size of what is at a location, in bytes; `None` if nothing is there.
    ///
    /// # Errors
    /// As [`size`](Self::size).
    pub fn size_at(&self, location: &Location) -> Result<Option<u64>, DatastoreError> {
        self.look_at(location).map_err(|source| match source {
            StorageError::NotRegular { kind, .. } => DatastoreError::Corrupt {
                location: location.clone(),
                reason: Corruption::NotRegular { kind },
            },
            source => DatastoreError::Read { location: location.clone(), source },
        })
    }

    /// Everything below the prefix of a RUN.
    ///
    /// # Errors
    /// [`DatastoreError::List`] if the storage cannot be listed.
    pub fn list(&self, prefix: &RunPrefix) -> Result<Vec<Entry>, DatastoreError> {
        let mut entries = Vec::new();
        let mut push = |entry| {
            entries.push(entry);
            Ok(())
        };
        self.storage
            .walk(Some(prefix.as_str()), &mut push)
            .map_err(|source| DatastoreError::List { prefix: Some(prefix.to_string()), source })?;
        Ok(entries)
    }

    /// Shows everything in the storage, one by one.
    ///
    /// # Errors
    /// [`DatastoreError::List`] with the first error of `visit` or of the storage.
    pub fn walk_all(
        &self,
        visit: &mut dyn FnMut(Entry) -> Result<(), StorageError>,
    ) -> Result<(), DatastoreError> {
        let listed = self.storage.walk(None, visit);
        listed.map_err(|source| DatastoreError::List { prefix: None, source })
    }
}

/// Deleting.
impl Datastore {
    /// Deletes artifacts and their unfinished forms. Missing is fine. Goes on after a
    /// failure and reports the first.
    ///
    /// # Errors
    /// [`DatastoreError::Delete`] with the first that could not be deleted.
    pub fn unstore<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k ArtifactKey>,
    ) -> Result<Unstored, DatastoreError> {
        let keys: Vec<&ArtifactKey> = keys.into_iter().collect();
        let mut unstored = Unstored::default();
        let (mut first, mut failed) = (None, 0);
        // Both forms, also if the first fails.
        let artifacts: Vec<_> = keys.iter().map(|key| self.storage.delete(key)).collect();
        let unfinished = self.storage.discard_each(&keys);
        for ((key, artifact), unfinished) in keys.into_iter().zip(artifacts).zip(unfinished) {
            match (artifact, unfinished) {
                (Ok(false), Ok(false)) => unstored.missing += 1,
                (Ok(_), Ok(_)) => unstored.deleted += 1,
                (Err(source), _) | (_, Err(source)) => {
                    failed += 1;
                    first.get_or_insert((key, source));
                }
            }
        }
        match first {
            None => Ok(unstored),
            Some((key, source)) => Err(DatastoreError::Delete {
                key: key.clone(),
                failed,
                total: failed + unstored.deleted + unstored.missing,
                source,
            }),
        }
    }

    /// Deletes artifacts as [`unstore`](Self::unstore) does, and flushes the directories
    /// that held them: power loss does not bring them back after others were told that
    /// they are gone. With no keys it does nothing.
    ///
    /// # Errors
    /// [`DatastoreError::Delete`] with the first that could not be deleted, or
    /// [`DatastoreError::Flush`].
    pub fn unstore_durably(&self, keys: &[ArtifactKey]) -> Result<Unstored, DatastoreError> {
        if keys.is_empty() {
            return Ok(Unstored::default());
        }
        let flusher = self.flusher()?;
        let unstored = self.unstore(keys)?;
        // Also if all were missing: who deleted them may have died before it flushed.
        flusher.flush_removals(keys).map_err(|source| DatastoreError::Flush { source })?;
        Ok(unstored)
    }

    /// Deletes unfinished forms, never artifacts. Missing is fine. Goes on after a failure
    /// and reports the first.
    ///
    /// # Errors
    /// [`DatastoreError::Delete`] with the first that could not be deleted.
    pub fn discard_unfinished(&self, keys: &[ArtifactKey]) -> Result<(), DatastoreError> {
        discard_all(&*self.storage, keys)
    }

    /// Removes empty directories below and including the prefix of a RUN, where the
    /// storage has directories.
    ///
    /// # Errors
    /// [`DatastoreError::List`] if one cannot be removed.
    pub fn prune(&self, prefix: &RunPrefix) -> Result<(), DatastoreError> {
        self.storage
            .prune(prefix.as_str())
            .map_err(|source| DatastoreError::List { prefix: Some(prefix.to_string()), source })
    }
}

/// Moving to other keys.
impl Datastore {
    /// Moves artifacts from one key to another, in order, and flushes the directories; on
    /// stable storage when this returns. `false` stands for each that had nothing to move:
    /// after an interruption it may be at its new key already. Nothing is ever replaced.
    ///
    /// # Errors
    /// [`DatastoreError::Rekey`] with the first that could not be moved, those before it
    /// are, not yet flushed; or [`DatastoreError::Flush`].
    pub fn rekey_all(
        &self,
        moves: &[(ArtifactKey, ArtifactKey)],
    ) -> Result<Vec<bool>, DatastoreError> {
        if moves.is_empty() {
            return Ok(Vec::new());
        }
        let flusher = self.flusher()?;
        let mut moved = Vec::with_capacity(moves.len());
        let mut arrived = Vec::with_capacity(moves.len());
        for (from, to) in moves {
            let failed =
                |source| DatastoreError::Rekey { from: from.clone(), to: to.clone(), source };
            let here = self.storage.rekey(from, to).map_err(failed)?;
            // One that was moved before may not have been flushed.
            if here || self.storage.size(to).is_ok_and(|size| size.is_some()) {
                arrived.push(to.clone());
            }
            moved.push(here);
        }
        let left: Vec<_> = moves.iter().map(|(from, _)| from.clone()).collect();
        flusher
            .flush_entries(&arrived)
            .and_then(|()| flusher.flush_removals(&left))
            .map_err(|source| DatastoreError::Flush { source })?;
        Ok(moved)
    }

    /// Moves one artifact as [`rekey_all`](Self::rekey_all) does.
    ///
    /// # Errors
    /// As [`rekey_all`](Self::rekey_all).
    pub fn rekey(&self, from: &ArtifactKey, to: &ArtifactKey) -> Result<bool, DatastoreError> {
        Ok(self.rekey_all(&[(from.clone(), to.clone())])?.contains(&true))
    }
}

#[cfg(test)]
mod tests;
