//! Bringing local files to stable storage.
//!
//! On Linux, many artifacts take one `syncfs` for all, on a handle that was opened
//! before the first of them was written: it reports errors of writing back that came
//! after the opening, whoever caused the writing. A few artifacts are flushed one by
//! one, because `syncfs` also waits for what everybody else on the file system wrote.

use std::{collections::BTreeSet, fs::File, io};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::ArtifactKey;
use pantler_seam::{Event, around, traced};

use crate::{Flusher, StorageError, error::is_absent, fs::sync_dir};

/// Up to how many artifacts, or directories, are flushed one by one.
#[cfg(target_os = "linux")]
const FEW: usize = 16;

/// Flushes files below a root.
#[derive(Debug)]
pub(super) struct LocalFlusher {
    root: Utf8PathBuf,
    #[cfg(target_os = "linux")]
    handle: File,
}

impl LocalFlusher {
    pub(super) fn open(root: Utf8PathBuf) -> Result<Self, StorageError> {
        #[cfg(target_os = "linux")]
        let handle =
            File::open(&root).map_err(|error| StorageError::io("open", root.as_str(), error))?;
        Ok(Self {
            root,
            #[cfg(target_os = "linux")]
            handle,
        })
    }

    /// Flushes everything at once if that is possible and worth it; says whether it did.
    #[cfg(target_os = "linux")]
    fn flush_all(&self, count: usize) -> Result<bool, StorageError> {
        if count <= FEW {
            return Ok(false);
        }
        let event = Event::SyncFileSystem(self.root.as_str());
        traced(event, || rustix::fs::syncfs(&self.handle))
            .map_err(|error| StorageError::io("flush", self.root.as_str(), error.into()))?;
        Ok(true)
    }

    #[cfg(not(target_os = "linux"))]
    fn flush_all(&self, _count: usize) -> Result<bool, StorageError> {
        Ok(false)
    }

    fn sync_files(&self, keys: &[ArtifactKey]) -> Result<(), StorageError> {
        for key in keys {
            let path = self.root.join(key.as_str());
            let synced = match sync_file(path.as_str()) {
                Err(error) if is_absent(&error) => sync_file(&format!("{path}.tmp")),
                synced => synced,
            };
            synced.map_err(|error| StorageError::io("flush", path, error))?;
        }
        Ok(())
    }

    /// Every directory from those of the artifacts up to the one that holds the root:
    /// another process may have made them and died before it flushed them.
    fn sync_directories(&self, keys: &[ArtifactKey]) -> Result<(), StorageError> {
        let mut directories = BTreeSet::new();
        for key in keys {
            let below = Utf8Path::new(key.as_str()).ancestors().skip(1);
            for directory in below {
                if !directories.insert(directory) {
                    break;
                }
            }
        }
        // The deepest first: an entry is of use only when what it leads to is there.
        for directory in directories.into_iter().rev() {
            match directory.as_str() {
                "" => sync_dir(&self.root)?,
                below => sync_dir(&self.root.join(below))?,
            }
        }
        match self.root.parent() {
            Some(parent) if !keys.is_empty() && !parent.as_str().is_empty() => {
                // The user may be allowed to pass through it but not to list it.
                match sync_dir(parent) {
                    Err(StorageError::Denied { .. }) => Ok(()),
                    result => result,
                }
            }
            _ => Ok(()),
        }
    }

    /// What held the artifacts and is still there. Directories count, not artifacts: many
    /// that are deleted together are mostly in few.
    fn sync_remaining(&self, keys: &[ArtifactKey]) -> Result<(), StorageError> {
        let parent = |path: &'_ str| path.rfind('/').map_or(0, |end| end);
        let mut waiting: BTreeSet<&str> =
            keys.iter().map(|key| &key.as_str()[..parent(key.as_str())]).collect();
        if self.flush_all(waiting.len())? {
            return Ok(());
        }
        // From the end: a parent comes after what it held.
        while let Some(below) = waiting.pop_last() {
            let directory =
                if below.is_empty() { self.root.clone() } else { self.root.join(below) };
            match sync_dir(&directory) {
                // Without a root there is nothing to come back.
                Err(error) if error.is_absence() && below.is_empty() => {}
                // It was removed too, and that is an entry of its own.
                Err(error) if error.is_absence() => {
                    waiting.insert(&below[..parent(below)]);
                }
                result => result?,
            }
        }
        Ok(())
    }

    fn around(
        &self,
        step: &'static str,
        flush: impl FnOnce() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        around(step, || flush().map_err(io::Error::from))
            .map_err(|error| StorageError::io("flush", self.root.as_str(), error))
    }
}

fn sync_file(path: &str) -> io::Result<()> {
    let file = File::open(path)?;
    traced(Event::Sync(path), || file.sync_all())
}

impl Flusher for LocalFlusher {
    fn flush_data(&self, keys: &[ArtifactKey]) -> Result<(), StorageError> {
        self.around("datastore.flush.data", || {
            if self.flush_all(keys.len())? { Ok(()) } else { self.sync_files(keys) }
        })
    }

    fn flush_entries(&self, keys: &[ArtifactKey]) -> Result<(), StorageError> {
        self.around("datastore.flush.dirs", || {
            if self.flush_all(keys.len())? { Ok(()) } else { self.sync_directories(keys) }
        })
    }

    fn flush(&self, keys: &[ArtifactKey]) -> Result<(), StorageError> {
        self.around("datastore.flush", || {
            if self.flush_all(keys.len())? {
                return Ok(());
            }
            self.sync_files(keys)?;
            self.sync_directories(keys)
        })
    }

    fn flush_removals(&self, keys: &[ArtifactKey]) -> Result<(), StorageError> {
        self.around("datastore.flush.removals", || self.sync_remaining(keys))
    }
}

/// For repositories that were told not to flush, and for storages without anything
/// to flush.
#[derive(Debug)]
pub(crate) struct NoFlush;

impl Flusher for NoFlush {
    fn flush_data(&self, _keys: &[ArtifactKey]) -> Result<(), StorageError> {
        Ok(())
    }

    fn flush_entries(&self, _keys: &[ArtifactKey]) -> Result<(), StorageError> {
        Ok(())
    }

    fn flush(&self, _keys: &[ArtifactKey]) -> Result<(), StorageError> {
        Ok(())
    }

    fn flush_removals(&self, _keys: &[ArtifactKey]) -> Result<(), StorageError> {
        Ok(())
    }
}
