//! What a storage is: [`Storage`] and the small traits that it hands out.

use std::{
    fmt,
    io::{Read, Seek, Write},
};

use camino::Utf8PathBuf;
use pantler_core::{ArtifactKey, Checksum};

use crate::StorageError;

/// A place for artifacts.
///
/// An artifact is *staged* (written in an unfinished form), then *published* under its
/// key. Both forms are found by [`walk`](Self::walk), and nothing is ever replaced.
/// Every method may be called from many threads at once.
///
/// `testing::conformance` holds what every implementation must do.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Begins the unfinished form of `key`. One that an earlier attempt left is replaced.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be created.
    fn stage(&self, key: &ArtifactKey) -> Result<Box<dyn StagedWrite + '_>, StorageError>;

    /// Makes the unfinished form of `key` the artifact.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] if there is an artifact, which stays as it is, and
    /// so does the unfinished form; [`StorageError::Missing`] if nothing was staged.
    fn publish(&self, key: &ArtifactKey) -> Result<(), StorageError>;

    /// Removes the unfinished form of `key`, and says whether there was one.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be removed.
    fn discard(&self, key: &ArtifactKey) -> Result<bool, StorageError>;

    /// Does [`discard`](Self::discard) for each key, and gives the results in their order. Most
    /// artifacts have no unfinished form: a storage that can see many at once need not ask for
    /// each.
    fn discard_each(&self, keys: &[&ArtifactKey]) -> Vec<Result<bool, StorageError>> {
        keys.iter().map(|key| self.discard(key)).collect()
    }

    /// Makes a finished local file the artifact at `key`; the file is gone afterwards.
    ///
    /// A local storage renames it if it can, and otherwise copies it.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] if there is an artifact, which stays as it is, and
    /// so does the file; [`StorageError::NotRegular`] for anything but a regular file;
    /// [`StorageError::Missing`] if there is no file.
    fn adopt(&self, file: &camino::Utf8Path, key: &ArtifactKey) -> Result<(), StorageError>;

    /// Makes the artifact at `key` a link to a regular file outside, in one step; if `source`
    /// is a symbolic link, what it leads to is linked. A symbolic link is made to the
    /// file's absolute path.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] if there is an artifact, which stays as it is;
    /// [`StorageError::NotRegular`] or [`StorageError::Missing`] about the file;
    /// [`StorageError::CrossesDevices`] for a hard link to another file system;
    /// [`StorageError::Unsupported`] if the storage has no links.
    fn link(
        &self,
        source: &camino::Utf8Path,
        key: &ArtifactKey,
        kind: LinkKind,
    ) -> Result<(), StorageError>;

    /// Opens an artifact to read it. An artifact that is a symbolic link is read where it
    /// leads to.
    ///
    /// # Errors
    /// [`StorageError::Missing`] if there is none, or it is a link that leads to nothing;
    /// [`StorageError::NotRegular`] if something else is in its place.
    fn open(&self, key: &ArtifactKey) -> Result<Box<dyn ReadSeek>, StorageError>;

    /// The size of an artifact in bytes, through a link as [`open`](Self::open); `None` if
    /// there is none.
    ///
    /// # Errors
    /// [`StorageError`] if that cannot be said.
    fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StorageError>;

    /// Deletes an artifact, and says whether there was one; of a link only the link. An object store is asked
    /// before, so there two that delete at once may both be told `true`.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be deleted.
    fn delete(&self, key: &ArtifactKey) -> Result<bool, StorageError>;

    /// Moves an artifact to another key, and says whether there was one. Local files move
    /// in one step; an object is copied and then deleted, so a crash may leave both: the
    /// same call again finishes that. Where nothing was moved, an interrupted earlier call
    /// may have done it.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] if something else is at `to`, which stays as it is,
    /// and so does the artifact; [`StorageError::NotRegular`] if `from` is a directory.
    fn rekey(&self, from: &ArtifactKey, to: &ArtifactKey) -> Result<bool, StorageError>;

    /// Shows everything below `prefix` (a path of whole parts; `None` for all), in no
    /// promised order: artifacts, unfinished forms, and what is neither. Things that
    /// vanish meanwhile are left out. A symbolic link that leads to a regular file is an
    /// artifact of that file's size; no other link is followed.
    ///
    /// # Errors
    /// The first of `visit`, or [`StorageError`] if the storage cannot be listed.
    fn walk(
        &self,
        prefix: Option<&str>,
        visit: &mut dyn FnMut(Entry) -> Result<(), StorageError>,
    ) -> Result<(), StorageError>;

    /// Removes empty directories below and including `prefix`, where there are
    /// directories. Never one that holds anything.
    ///
    /// # Errors
    /// [`StorageError`] if one cannot be removed.
    fn prune(&self, prefix: &str) -> Result<(), StorageError>;

    /// A handle to flush what is written from now on.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be opened.
    fn flusher(&self) -> Result<Box<dyn Flusher>, StorageError>;

    /// Where in the file system the artifact is (or would be), for commands that read
    /// files; `None` if it is not in one.
    fn local_path(&self, key: &ArtifactKey) -> Option<Utf8PathBuf>;
}

/// The unfinished form of an artifact while its content is written.
///
/// If it is dropped without [`finish`](Self::finish), what was written stays until it
/// is discarded or staged again.
pub trait StagedWrite: Write {
    /// Hands the content to the storage (not yet to stable storage).
    ///
    /// # Errors
    /// [`StorageError`] if not everything was written.
    fn finish(self: Box<Self>) -> Result<Written, StorageError>;
}

/// Brings artifacts to stable storage.
///
/// It is opened before the first write of a batch, so that it sees the errors of that
/// batch's writes also if the system tried to write them back on its own.
pub trait Flusher: fmt::Debug + Send + Sync {
    /// Flushes the content of these artifacts: of the published form if there is one,
    /// else of the unfinished one.
    ///
    /// # Errors
    /// [`StorageError`] if that cannot be said; then nothing may refer to them.
    fn flush_data(&self, keys: &[ArtifactKey]) -> Result<(), StorageError>;

    /// Flushes the directory entries of these artifacts, up to the storage root.
    ///
    /// # Errors
    /// [`StorageError`] if that cannot be said; then nothing may refer to them.
    fn flush_entries(&self, keys: &[ArtifactKey]) -> Result<(), StorageError>;

    /// Flushes the removal of these artifacts: the directories that held them, or, where
    /// such a directory is gone too, the nearest one that is there.
    ///
    /// # Errors
    /// [`StorageError`] if that cannot be said; then power loss may bring them back.
    fn flush_removals(&self, keys: &[ArtifactKey]) -> Result<(), StorageError>;

    /// Flushes the content and the directory entries of these artifacts.
    ///
    /// # Errors
    /// [`StorageError`] if that cannot be said; then nothing may refer to them.
    fn flush(&self, keys: &[ArtifactKey]) -> Result<(), StorageError>;
}

/// Bytes that can be read from anywhere.
pub trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// How an artifact leads to a file outside of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// It is another name of the file.
    Hard,
    /// It holds the file's path.
    Symbolic,
}

/// What was written: computed while writing, not read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// In bytes.
    pub size: u64,
    /// Of the whole.
    pub checksum: Checksum,
}

impl Written {
    /// What writing `content` gives.
    pub fn of(content: &[u8]) -> Self {
        Self { size: content.len() as u64, checksum: Checksum::of(content) }
    }
}

/// Something found in a storage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// An artifact.
    Artifact {
        /// Its key.
        key: ArtifactKey,
        /// In bytes.
        size: u64,
    },
    /// The unfinished form of an artifact.
    Unfinished {
        /// The key of the artifact that it would become.
        key: ArtifactKey,
        /// In bytes.
        size: u64,
    },
    /// What no writer of artifacts makes: links that lead to no file, devices, names that
    /// are no keys.
    Foreign {
        /// Its path below the root; characters that are not UTF-8 are replaced.
        path: String,
    },
}

/// Refuses prefixes that could lead out of a storage.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), StorageError> {
    let sound = prefix.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !prefix.contains(['\0', '\\']);
    if sound { Ok(()) } else { Err(StorageError::InvalidPrefix { prefix: prefix.to_owned() }) }
}
