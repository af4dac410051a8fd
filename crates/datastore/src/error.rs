//! What can go wrong with storage, and with a datastore on it.

use std::{error::Error, io};

use camino::Utf8PathBuf;
use pantler_core::{ArtifactKey, Checksum, Location};

/// A failed operation of a [`Storage`](crate::Storage) or of [`crate::fs`].
///
/// Paths are those of the file system for local files, and keys in an object store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No space, or no quota, is left.
    #[error("cannot {operation} {path}: the storage is full")]
    Full {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The storage refuses this user.
    #[error("cannot {operation} {path}: permission denied")]
    Denied {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Something stands there already.
    #[error("{path} exists already and is not replaced")]
    AlreadyExists {
        /// Where.
        path: String,
    },
    /// Nothing is there.
    #[error("{path} does not exist")]
    Missing {
        /// Where.
        path: String,
    },
    /// Something else than a regular file is there.
    #[error("{path} is a {kind}, not a regular file")]
    NotRegular {
        /// Where.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A hard link that would have to lead to another file system.
    #[error("cannot {operation} {path}: it would be on another file system")]
    CrossesDevices {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: String,
    },
    /// What this storage, or its file system, cannot do.
    #[error("cannot {operation} {path}: the storage does not support that")]
    Unsupported {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: String,
    },
    /// A prefix that no key can be under.
    #[error("{prefix:?} is not a prefix of artifact keys")]
    InvalidPrefix {
        /// The prefix.
        prefix: String,
    },
    /// Another failure of the file system.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another failure of an object store.
    #[error("the object store cannot {operation} {path}")]
    Object {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StorageError {
    /// Sorts an I/O error; one that carries a `StorageError` inside gives it back.
    pub(crate) fn io(operation: &'static str, path: impl Into<String>, error: io::Error) -> Self {
        let source = match error.downcast::<Self>() {
            Ok(inner) => return inner,
            Err(error) => error,
        };
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { operation, path, source }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { operation, path, source }
            }
            io::ErrorKind::AlreadyExists => Self::AlreadyExists { path },
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::CrossesDevices => Self::CrossesDevices { operation, path },
            io::ErrorKind::Unsupported => Self::Unsupported { operation, path },
            _ => Self::Io { operation, path, source },
        }
    }

    /// Whether nothing can be there; as [`is_absent`].
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::Missing { .. } => true,
            Self::Io { source, .. } => is_absent(source),
            _ => false,
        }
    }

    /// The kind of the underlying error; what [`io::Write`] has to report.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Full { source, .. } | Self::Denied { source, .. } | Self::Io { source, .. } => {
                source.kind()
            }
            Self::AlreadyExists { .. } => io::ErrorKind::AlreadyExists,
            Self::Missing { .. } => io::ErrorKind::NotFound,
            Self::NotRegular { .. } | Self::InvalidPrefix { .. } => io::ErrorKind::InvalidInput,
            Self::CrossesDevices { .. } => io::ErrorKind::CrossesDevices,
            Self::Unsupported { .. } => io::ErrorKind::Unsupported,
            Self::Object { .. } => io::ErrorKind::Other,
        }
    }
}

impl From<StorageError> for io::Error {
    fn from(error: StorageError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// Whether an error of a path look-up says that nothing can be there.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

/// Why an artifact is not what its record says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Corruption {
    /// Another size.
    #[error("expected {expected} bytes, found {found}")]
    Size {
        /// In bytes; of a shared artifact, the least that it must have.
        expected: u64,
        /// In bytes.
        found: u64,
    },
    /// Other content.
    #[error("expected checksum {expected}, found {found}")]
    Checksum {
        /// The recorded one.
        expected: Checksum,
        /// That of the content.
        found: Checksum,
    },
    /// Not a file.
    #[error("it is a {kind}, not a regular file")]
    NotRegular {
        /// What it is.
        kind: &'static str,
    },
}

/// A failed operation of a [`Datastore`](crate::Datastore).
#[derive(Debug, thiserror::Error)]
pub enum DatastoreError {
    /// The configured storage root is not a relative path that stays in the repository.
    #[error("the storage root {root:?} is not a relative path inside the repository")]
    Root {
        /// As configured.
        root: String,
    },
    /// A batch could not be begun, or its storage could not be flushed.
    #[error("cannot flush artifacts to stable storage")]
    Flush {
        /// The cause.
        #[source]
        source: StorageError,
    },
    /// An artifact could not be written; nothing stands at its key that was not there.
    #[error("cannot write artifact {key}")]
    Write {
        /// Its key.
        key: ArtifactKey,
        /// The cause.
        #[source]
        source: StorageError,
    },
    /// A key was staged twice in one batch.
    #[error("artifact {key} is written twice in one batch")]
    WrittenTwice {
        /// The key.
        key: ArtifactKey,
    },
    /// A batch was published in part; what was published stands, the rest is unfinished.
    #[error("only {published} of {total} artifacts were published")]
    Publish {
        /// How many were.
        published: usize,
        /// Of how many.
        total: usize,
        /// The cause.
        #[source]
        source: StorageError,
    },
    /// A file to be stored could not be read.
    #[error("cannot read {path}")]
    Source {
        /// Its path.
        path: Utf8PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A stream to be stored could not be read.
    #[error("cannot read the content for artifact {key}")]
    Content {
        /// The key of the artifact.
        key: ArtifactKey,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// What was to be stored is not a regular file.
    #[error("{path} is a {kind}; only regular files can be stored")]
    NotRegular {
        /// Its path.
        path: Utf8PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A file was written to while it was being stored.
    #[error("{path} changed while it was being stored")]
    Changed {
        /// Its path.
        path: Utf8PathBuf,
    },
    /// A file that was moved into the storage could not be removed.
    #[error("cannot remove {path}, which was moved into the storage")]
    RemoveSource {
        /// Its path.
        path: Utf8PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// An artifact is not there.
    #[error("artifact {location} is missing")]
    Missing {
        /// Where it is, or should be.
        location: Location,
    },
    /// An artifact is not what its record says.
    #[error("artifact {location} is corrupt")]
    Corrupt {
        /// Where it is, or should be.
        location: Location,
        /// Why.
        #[source]
        reason: Corruption,
    },
    /// An artifact could not be read.
    #[error("cannot read artifact {location}")]
    Read {
        /// Where it is, or should be.
        location: Location,
        /// The cause.
        #[source]
        source: StorageError,
    },
    /// A part was asked for that a dataset does not have.
    #[error("the dataset at {location} has {size} bytes; there are no {length} from {offset} on")]
    Range {
        /// Where it is.
        location: Location,
        /// In bytes, from the dataset's first.
        offset: u64,
        /// In bytes.
        length: u64,
        /// In bytes.
        size: u64,
    },
    /// What an artifact holds could not be written where it was asked for.
    #[error("cannot write out the content of artifact {location}")]
    Output {
        /// Where it is, or should be.
        location: Location,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Not all artifacts could be deleted; the others were.
    #[error("cannot delete artifact {key} ({failed} of {total} could not be deleted)")]
    Delete {
        /// The first that could not.
        key: ArtifactKey,
        /// How many could not.
        failed: usize,
        /// How many were to be.
        total: usize,
        /// Why the first could not.
        #[source]
        source: StorageError,
    },
    /// An artifact could not be moved to another key.
    #[error("cannot move artifact {from} to {to}")]
    Rekey {
        /// Its key.
        from: ArtifactKey,
        /// The key that it was to get.
        to: ArtifactKey,
        /// The cause.
        #[source]
        source: StorageError,
    },
    /// Artifacts could not be listed, or empty directories not be removed.
    #[error("cannot list artifacts{}", .prefix.as_deref().map(|p| format!(" below {p}")).unwrap_or_default())]
    List {
        /// Below which prefix; `None` for all.
        prefix: Option<String>,
        /// The cause.
        #[source]
        source: StorageError,
    },
}

impl DatastoreError {
    /// The failure of the storage behind this, where there is one.
    pub const fn storage(&self) -> Option<&StorageError> {
        match self {
            Self::Flush { source }
            | Self::Write { source, .. }
            | Self::Publish { source, .. }
            | Self::Read { source, .. }
            | Self::Delete { source, .. }
            | Self::Rekey { source, .. }
            | Self::List { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Whether a hard link was asked for that would have led to another file system.
    pub const fn crosses_devices(&self) -> bool {
        matches!(self.storage(), Some(StorageError::CrossesDevices { .. }))
    }

    /// Whether the storage, or its file system, has no such thing as was asked for.
    pub const fn is_unsupported(&self) -> bool {
        matches!(self.storage(), Some(StorageError::Unsupported { .. }))
    }

    /// Whether no space was left on the storage.
    pub const fn is_full(&self) -> bool {
        matches!(self.storage(), Some(StorageError::Full { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_and_survive_io_write() {
        let full = StorageError::io("write", "a/b", io::ErrorKind::StorageFull.into());
        assert!(matches!(&full, StorageError::Full { path, .. } if path == "a/b"));
        let carried = io::Error::from(full);
        assert_eq!(carried.kind(), io::ErrorKind::StorageFull);
        let back = StorageError::io("finish", "other", carried);
        assert!(
            matches!(&back, StorageError::Full { path, operation: "write", .. } if path == "a/b")
        );
        let denied = StorageError::io("open", "x", io::ErrorKind::PermissionDenied.into());
        assert_eq!(denied.to_string(), "cannot open x: permission denied");
    }
}
