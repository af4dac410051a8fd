//! The datastore of a repository: a storage and how it is configured.

use std::{
    fs::Metadata,
    io::{self, Write},
    os::unix::fs::MetadataExt as _,
    sync::Arc,
};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use pantler_core::{ArtifactKey, Checksum, DatastoreConfig, FileRecord, Location};

use crate::{
    Corruption, DatastoreError, Entry, Flusher, LocalStorage, RunPrefix, Storage, StorageError,
    WriteBatch, Written,
    batch::discard_all,
    copy::{CopyError, HashingWriter, Links, copy, open_source},
    verify::Extent,
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
        let failed = |source| DatastoreError::Source { path: file.to_owned(), source };
        let mut opened = open_source(file, Links::Refuse)?;
        let before = opened.metadata().map_err(failed)?;
        let mut sink = io::sink();
        let mut hashing = HashingWriter::new(&mut sink);
        copy(&mut opened, &mut hashing).map_err(|error| match error {
            CopyError::Read(error) | CopyError::Write(error) => failed(error),
        })?;
        let written = hashing.written();
        let after = opened.metadata().map_err(failed)?;
        if state(&before) != state(&after) || after.len() != written.size {
            return Err(DatastoreError::Changed { path: file.to_owned() });
        }
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
        self.storage.size(key).map_err(|source| match source {
            StorageError::NotRegular { kind, .. } => DatastoreError::Corrupt {
                location: key.clone().into(),
                reason: Corruption::NotRegular { kind },
            },
            source => DatastoreError::Read { location: key.clone().into(), source },
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
        let mut unstored = Unstored::default();
        let (mut first, mut failed) = (None, 0);
        for key in keys {
            // Both, also if the first fails.
            let forms = (self.storage.delete(key), self.storage.discard(key));
            match forms {
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

/// What changes when somebody writes a file.
fn state(file: &Metadata) -> (u64, i64, i64) {
    (file.len(), file.mtime(), file.mtime_nsec())
}

#[cfg(test)]
mod tests;
