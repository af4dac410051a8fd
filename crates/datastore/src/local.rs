//! Artifacts as files.
//!
//! ```text
//! <root>/<key>        an artifact, whole
//! <root>/<key>.tmp    its unfinished form
//! ```
//!
//! `object_store` has a local store too, but its lister hides what a crash leaves, so
//! the writer and the walk here are our own.

mod flush;
mod link;
mod staged;
mod unfinished;
mod walk;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
};

use camino::{Utf8Path, Utf8PathBuf};
pub(crate) use flush::NoFlush;
use pantler_core::{ArtifactKey, Durability};
use pantler_seam::{Event, around, look, make_directories, traced};
use rustix::{fs::OFlags, io::Errno};

use crate::{
    Entry, Flusher, LinkKind, ReadSeek, StagedWrite, Storage, StorageError,
    copy::{CopyError, copy, kind_name},
    error::is_absent,
    fs::rename_noreplace,
    storage::check_prefix,
};

/// How often a directory is made again that a clean-up removes at the same time.
const DIRECTORY_ATTEMPTS: u32 = 64;

/// Artifacts as files below a directory, which is made when it is first needed.
#[derive(Debug)]
pub struct LocalStorage {
    root: Utf8PathBuf,
    durability: Durability,
}

impl LocalStorage {
    /// Artifacts below `root`; with [`Durability::None`] flushing does nothing.
    pub fn new(root: impl Into<Utf8PathBuf>, durability: Durability) -> Self {
        Self { root: root.into(), durability }
    }

    /// The directory.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    fn path(&self, key: &ArtifactKey) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}/{key}", self.root))
    }

    fn unfinished_path(&self, key: &ArtifactKey) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}/{key}.tmp", self.root))
    }
}

impl Storage for LocalStorage {
    fn stage(&self, key: &ArtifactKey) -> Result<Box<dyn StagedWrite + '_>, StorageError> {
        let path = self.unfinished_path(key);
        let create = || match create_new(&path) {
            // What another attempt left. Removed, not truncated: it may be a link, or
            // another name of an artifact whose publishing was cut in two.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove_if_there(&path)?;
                create_new(&path)
            }
            result => result,
        };
        let file = around("datastore.stage", || in_directory(&path, create))
            .map_err(|error| StorageError::io("create", path.as_str(), error))?;
        Ok(Box::new(staged::LocalStagedWrite::new(file, path)))
    }

    fn publish(&self, key: &ArtifactKey) -> Result<(), StorageError> {
        let path = self.path(key);
        around("datastore.rename", || rename_noreplace(&self.unfinished_path(key), &path))
            .map_err(|error| StorageError::io("publish", path, error))
    }

    fn discard(&self, key: &ArtifactKey) -> Result<bool, StorageError> {
        let path = self.unfinished_path(key);
        around("datastore.discard", || remove_if_there(&path))
            .map_err(|error| StorageError::io("discard", path, error))
    }

    fn discard_each(&self, keys: &[&ArtifactKey]) -> Vec<Result<bool, StorageError>> {
        let absent = unfinished::seen_absent(&self.root, keys);
        let discard = |(key, absent): (&&ArtifactKey, bool)| {
            if absent { Ok(false) } else { self.discard(key) }
        };
        keys.iter().zip(absent).map(discard).collect()
    }

    fn adopt(&self, file: &Utf8Path, key: &ArtifactKey) -> Result<(), StorageError> {
        let failed = |error| StorageError::io("adopt", file.as_str(), error);
        let there = std::fs::symlink_metadata(file).map_err(failed)?;
        if !there.is_file() {
            let kind = kind_name(there.file_type());
            return Err(StorageError::NotRegular { path: file.to_string(), kind });
        }
        // A file with another name could still be changed under that one.
        if there.nlink() > 1 {
            return self.adopt_copy(file, key);
        }
        let path = self.path(key);
        let read_only = std::fs::Permissions::from_mode(there.mode() & READ_ONLY | 0o400);
        std::fs::set_permissions(file, read_only).map_err(failed)?;
        let renamed =
            around("datastore.adopt", || in_directory(&path, || rename_present(file, &path)));
        match renamed {
            Ok(true) => Ok(()),
            Ok(false) => Err(StorageError::Missing { path: file.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                self.adopt_copy(file, key)
            }
            Err(error) => Err(StorageError::io("publish", path, error)),
        }
    }

    fn link(
        &self,
        source: &Utf8Path,
        key: &ArtifactKey,
        kind: LinkKind,
    ) -> Result<(), StorageError> {
        link::make(source, &self.path(key), kind)
    }

    fn open(&self, key: &ArtifactKey) -> Result<Box<dyn ReadSeek>, StorageError> {
        let path = self.path(key);
        // A FIFO in the place of an artifact must not stop a check for ever.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let open = || OpenOptions::new().read(true).custom_flags(flags).open(&path);
        let file = match look("datastore.open").and_then(|()| open()) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => {
                return Err(StorageError::Missing { path: path.into_string() });
            }
            Err(error) if link::is_circle(&error) => return Err(not_regular(path, CIRCLE)),
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                return Err(not_regular(path, "socket"));
            }
            Err(error) => return Err(StorageError::io("open", path, error)),
        };
        let file_type = match file.metadata() {
            Ok(metadata) => metadata.file_type(),
            Err(error) => return Err(StorageError::io("open", path, error)),
        };
        if !file_type.is_file() {
            return Err(not_regular(path, kind_name(file_type)));
        }
        Ok(Box::new(file))
    }

    fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StorageError> {
        let path = self.path(key);
        match look("datastore.size").and_then(|()| std::fs::metadata(&path)) {
            Ok(there) if there.is_file() => Ok(Some(there.len())),
            Ok(there) => Err(not_regular(path, kind_name(there.file_type()))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) if link::is_circle(&error) => Err(not_regular(path, CIRCLE)),
            Err(error) => Err(StorageError::io("look at", path, error)),
        }
    }

    fn delete(&self, key: &ArtifactKey) -> Result<bool, StorageError> {
        let path = self.path(key);
        around("datastore.delete", || remove_if_there(&path))
            .map_err(|error| StorageError::io("delete", path, error))
    }

    fn rekey(&self, from: &ArtifactKey, to: &ArtifactKey) -> Result<bool, StorageError> {
        let (from, to) = (self.path(from), self.path(to));
        match std::fs::symlink_metadata(&from) {
            Ok(there) if there.is_dir() => {
                return Err(not_regular(from, kind_name(there.file_type())));
            }
            Ok(_) => {}
            Err(error) if is_absent(&error) => return Ok(false),
            Err(error) => return Err(StorageError::io("look at", from, error)),
        }
        around("datastore.rekey", || in_directory(&to, || rename_present(&from, &to)))
            .map_err(|error| StorageError::io("move an artifact to", to, error))
    }

    fn walk(
        &self,
        prefix: Option<&str>,
        visit: &mut dyn FnMut(Entry) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        prefix.map_or(Ok(()), check_prefix)?;
        walk::walk(&self.root, prefix, visit)
    }

    fn prune(&self, prefix: &str) -> Result<(), StorageError> {
        check_prefix(prefix)?;
        walk::prune(&self.root, prefix)
    }

    fn flusher(&self) -> Result<Box<dyn Flusher>, StorageError> {
        match self.durability {
            Durability::Flushed => {
                make_directories(&self.root)
                    .map_err(|error| StorageError::io("create", self.root.as_str(), error))?;
                Ok(Box::new(flush::LocalFlusher::open(self.root.clone())?))
            }
            Durability::None => Ok(Box::new(NoFlush)),
        }
    }

    fn local_path(&self, key: &ArtifactKey) -> Option<Utf8PathBuf> {
        Some(self.path(key))
    }
}

impl LocalStorage {
    /// Adopts a file that cannot be renamed.
    fn adopt_copy(&self, file: &Utf8Path, key: &ArtifactKey) -> Result<(), StorageError> {
        let mut source =
            File::open(file).map_err(|error| StorageError::io("open", file.as_str(), error))?;
        let mut staged = self.stage(key)?;
        let copied = copy(&mut source, &mut staged)
            .map_err(|error| match error {
                CopyError::Read(error) => StorageError::io("read", file.as_str(), error),
                CopyError::Write(error) => {
                    StorageError::io("write", self.unfinished_path(key), error)
                }
            })
            .and_then(|_| staged.finish())
            .and_then(|_| self.publish(key));
        if let Err(error) = copied {
            // Made here under our own key; if this fails too, a walk still finds it.
            drop(self.discard(key));
            return Err(error);
        }
        let remove = || traced(Event::Unlink(file.as_str()), || std::fs::remove_file(file));
        match around("datastore.adopt.copied", remove) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::io("remove", file.as_str(), error))
            }
            _ => Ok(()),
        }
    }
}

/// What to call links that lead to each other.
const CIRCLE: &str = "circle of symbolic links";

/// The permissions of an artifact.
const READ_ONLY: u32 = 0o444;

fn create_new(path: &Utf8Path) -> io::Result<File> {
    // Exclusive creation follows no link. Read-only for everybody, so that a task cannot
    // change an input that it was given the path of; this handle still writes.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(READ_ONLY);
    traced(Event::Write(path.as_str()), || options.open(path))
}

/// Does `action`, which makes something at `path`; if its directory is missing, makes
/// that and tries again. Asking first would cost a system call for every file.
fn in_directory<T>(path: &Utf8Path, mut action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    for _ in 0..DIRECTORY_ATTEMPTS {
        match action() {
            Err(error) if missing(&error) => {}
            result => return result,
        }
        if let Some(directory) = path.parent() {
            match make_directories(directory) {
                Err(error) if !missing(&error) => return Err(error),
                _ => {}
            }
        }
    }
    action()
}

/// Renames what is at `from`; `false` if nothing is.
fn rename_present(from: &Utf8Path, to: &Utf8Path) -> io::Result<bool> {
    match rename_noreplace(from, to) {
        // What is missing: the directory of the new name, or the file?
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if std::fs::symlink_metadata(from).is_ok() { Err(error) } else { Ok(false) }
        }
        result => result.map(|()| true),
    }
}

fn remove_if_there(path: &Utf8Path) -> io::Result<bool> {
    match traced(Event::Unlink(path.as_str()), || std::fs::remove_file(path)) {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn not_regular(path: Utf8PathBuf, kind: &'static str) -> StorageError {
    StorageError::NotRegular { path: path.into_string(), kind }
}

#[cfg(test)]
mod tests;
