//! Files of the user's own: linked instead of copied, or removed after they were moved.

use std::{
    fs::{File, Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::ArtifactKey;
use pantler_seam::{Event, around, traced};

use crate::{
    Datastore, DatastoreError, LinkKind, StorageError, Written,
    copy::{CopyError, HashingWriter, Links, copy, kind_name, open_source},
    error::is_absent,
};

/// The permissions that an artifact may have.
const READ_ONLY: u32 = 0o444;

/// By what one sees whether somebody changed, or exchanged, a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceState {
    /// In bytes.
    pub size: u64,
    /// When the content was last written: nanoseconds since 1970 by the file system's clock.
    pub modified: i64,
    /// Which file of its file system it is; `None` where that was not noted.
    pub inode: Option<u64>,
}

impl SourceState {
    /// Looks at a file that is to be moved into the storage.
    ///
    /// # Errors
    /// [`DatastoreError::NotRegular`] for anything but a regular file, symbolic links
    /// included, because moving one would leave what it leads to;
    /// [`DatastoreError::Source`] if it is missing or cannot be looked at.
    pub fn of(path: &Utf8Path) -> Result<Self, DatastoreError> {
        let there = std::fs::symlink_metadata(path)
            .map_err(|source| DatastoreError::Source { path: path.to_owned(), source })?;
        if there.is_file() {
            return Ok(Self::of_metadata(&there));
        }
        let kind = kind_name(there.file_type());
        Err(DatastoreError::NotRegular { path: path.to_owned(), kind })
    }

    pub(crate) fn of_metadata(there: &Metadata) -> Self {
        const SECOND: i64 = 1_000_000_000;
        let modified = there.mtime().saturating_mul(SECOND).saturating_add(there.mtime_nsec());
        Self { size: there.len(), modified, inode: Some(there.ino()) }
    }

    /// Whether a file that is in the state `now` may be the one that was in this.
    fn allows(&self, now: &Self) -> bool {
        let same_inode = self.inode.is_none() || now.inode.is_none() || self.inode == now.inode;
        same_inode && (self.size, self.modified) == (now.size, now.modified)
    }
}

/// A file whose content was read and hashed.
pub(crate) struct HashedFile {
    path: Utf8PathBuf,
    file: File,
    state: SourceState,
    written: Written,
}

impl HashedFile {
    /// Opens a regular file and reads it in full.
    pub(crate) fn read(path: &Utf8Path, links: Links) -> Result<Self, DatastoreError> {
        let failed = |source| DatastoreError::Source { path: path.to_owned(), source };
        let mut file = open_source(path, links)?;
        let state = SourceState::of_metadata(&file.metadata().map_err(failed)?);
        let mut sink = io::sink();
        let mut hashing = HashingWriter::new(&mut sink);
        copy(&mut file, &mut hashing).map_err(|error| match error {
            CopyError::Read(error) | CopyError::Write(error) => failed(error),
        })?;
        let written = hashing.written();
        Ok(Self { path: path.to_owned(), file, state, written })
    }

    /// What was read, if nobody wrote the file since.
    pub(crate) fn unchanged(&self) -> Result<Written, DatastoreError> {
        let failed = |source| DatastoreError::Source { path: self.path.clone(), source };
        let now = SourceState::of_metadata(&self.file.metadata().map_err(failed)?);
        if now == self.state && now.size == self.written.size {
            Ok(self.written)
        } else {
            Err(self.changed())
        }
    }

    fn changed(&self) -> DatastoreError {
        DatastoreError::Changed { path: self.path.clone() }
    }
}

/// What became of a file that was moved into the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceRemoval {
    /// It was removed.
    Removed,
    /// Nothing was there any more.
    Missing,
    /// Something else is there, or the file was changed; it stays.
    Changed,
    /// The artifact is that very file, or a symbolic link to it, or does not hold its
    /// content; it stays.
    Needed,
}

impl Datastore {
    /// Makes a link to a regular file the artifact at `key`, not yet flushed; the checksum
    /// is read from the file before. If `source` is a symbolic link, what it leads to is
    /// linked. The content remains the user's: who writes the file later changes the
    /// artifact, which then no longer has its checksum; and like a file that is read where
    /// it is, what a symbolic link leads to on another file system is not flushed.
    ///
    /// # Errors
    /// [`DatastoreError::NotRegular`] or [`DatastoreError::Source`] about the file,
    /// [`DatastoreError::Changed`] if somebody writes or replaces it meanwhile (the link is
    /// gone again), and [`DatastoreError::Write`] if no link can be made; see
    /// [`crosses_devices`](DatastoreError::crosses_devices) and
    /// [`is_unsupported`](DatastoreError::is_unsupported).
    pub fn link(
        &self,
        source: &Utf8Path,
        key: &ArtifactKey,
        kind: LinkKind,
    ) -> Result<Written, DatastoreError> {
        let hashed = HashedFile::read(source, Links::Follow)?;
        self.storage()
            .link(source, key, kind)
            .map_err(|source| DatastoreError::Write { key: key.clone(), source })?;
        self.confirm_link(&hashed, key)
    }

    /// Whether the link just made leads to what was read; takes it away otherwise.
    fn confirm_link(
        &self,
        hashed: &HashedFile,
        key: &ArtifactKey,
    ) -> Result<Written, DatastoreError> {
        let same = hashed.unchanged().and_then(|written| {
            if self.leads_to(key, &hashed.file) { Ok(written) } else { Err(hashed.changed()) }
        });
        if same.is_err() {
            // Made a moment ago, under our own key. If this fails, a walk still finds it.
            drop(self.storage().delete(key));
        }
        same
    }

    /// Removes a file that was moved into the storage and whose artifact is recorded by
    /// now, if it is as it was when it was looked at, and says what became of it. An
    /// artifact that is another name of the file is made read-only first.
    ///
    /// Between the last look and the removal somebody could still write the file.
    ///
    /// # Errors
    /// [`DatastoreError::RemoveSource`] if it cannot be looked at or removed,
    /// [`DatastoreError::Write`] if the artifact cannot be made read-only, or as
    /// [`size`](Self::size); the file then stays.
    pub fn remove_source(
        &self,
        path: &Utf8Path,
        expected: &SourceState,
        artifact: &ArtifactKey,
    ) -> Result<SourceRemoval, DatastoreError> {
        let failed = |source| DatastoreError::RemoveSource { path: path.to_owned(), source };
        let there = match std::fs::symlink_metadata(path) {
            Err(error) if is_absent(&error) => return Ok(SourceRemoval::Missing),
            there => there.map_err(failed)?,
        };
        if !there.is_file() || !expected.allows(&SourceState::of_metadata(&there)) {
            return Ok(SourceRemoval::Changed);
        }
        if self.size(artifact)? != Some(expected.size) {
            return Ok(SourceRemoval::Needed);
        }
        if let Some(kept) = self.local_path(artifact) {
            // Also through a link, whose target must not go.
            let stored = std::fs::metadata(&kept).map_err(failed)?;
            if same_file(&stored, &there) {
                let own = std::fs::symlink_metadata(&kept).map_err(failed)?;
                let only_name = there.nlink() < 2
                    || path.canonicalize_utf8().map_err(failed)?
                        == kept.canonicalize_utf8().map_err(failed)?;
                if own.is_symlink() || only_name {
                    return Ok(SourceRemoval::Needed);
                }
                let read_only = Permissions::from_mode(own.mode() & READ_ONLY | 0o400);
                std::fs::set_permissions(&kept, read_only).map_err(|error| {
                    let source = StorageError::io("make read-only", kept, error);
                    DatastoreError::Write { key: artifact.clone(), source }
                })?;
            }
        }
        let remove = || traced(Event::Unlink(path.as_str()), || std::fs::remove_file(path));
        match around("datastore.source.remove", remove) {
            Ok(()) => Ok(SourceRemoval::Removed),
            Err(error) if is_absent(&error) => Ok(SourceRemoval::Missing),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether the artifact is, where files can be compared, the opened one.
    fn leads_to(&self, key: &ArtifactKey, opened: &File) -> bool {
        let Some(path) = self.local_path(key) else { return true };
        match (std::fs::metadata(path), opened.metadata()) {
            (Ok(there), Ok(opened)) => same_file(&there, &opened),
            _ => false,
        }
    }
}

fn same_file(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(test)]
mod tests;
