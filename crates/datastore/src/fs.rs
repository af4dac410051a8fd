//! Small files that are either whole or not there: what other crates write beside the
//! artifacts (`pantler.yaml`, `transaction.json`, graphs, markers).
//!
//! The one place that writes such files. A file `<name>` is prepared as `<name>.<n>.tmp`
//! (the first `n` that is free, so that what a dead process left does no harm), flushed,
//! renamed, and its directory flushed.

mod noreplace;

use std::{fs::OpenOptions, io, os::unix::fs::OpenOptionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
pub use noreplace::rename_noreplace;
use pantler_seam::{Event, around, fallible, traced, write_in_halves};
use rustix::fs::OFlags;

use crate::StorageError;

/// How often a directory is emptied again into which others still write.
const EMPTYINGS: u32 = 5;

/// Writes a new file: afterwards it is whole and on stable storage.
///
/// # Errors
/// [`StorageError::AlreadyExists`] if something is there, which stays as it is. After
/// another error the file is either not there, or whole but perhaps not yet flushed.
pub fn write_new(path: &Utf8Path, bytes: &[u8]) -> Result<(), StorageError> {
    let unfinished = write_unfinished(path, bytes)?;
    if let Err(error) = around("fs.write_new.tmp", || rename_noreplace(&unfinished, path)) {
        remove_unfinished(&unfinished);
        return Err(StorageError::io("create", path.as_str(), error));
    }
    fallible("fs.write_new.renamed")
        .map_err(|error| StorageError::io("flush directory", parent(path).as_str(), error))?;
    sync_dir(parent(path))
}

/// Writes a file, in place of the one that is there, if any: whoever opens it sees the
/// old content or the new, also after a crash.
///
/// # Errors
/// [`StorageError`]; the file then has the old content, or the new but perhaps not yet flushed.
pub fn replace(path: &Utf8Path, bytes: &[u8]) -> Result<(), StorageError> {
    let unfinished = write_unfinished(path, bytes)?;
    let event = Event::Rename(unfinished.as_str(), path.as_str());
    let rename = || traced(event, || std::fs::rename(&unfinished, path));
    if let Err(error) = around("fs.replace.tmp", rename) {
        remove_unfinished(&unfinished);
        return Err(StorageError::io("replace", path.as_str(), error));
    }
    fallible("fs.replace.renamed")
        .map_err(|error| StorageError::io("flush directory", parent(path).as_str(), error))?;
    sync_dir(parent(path))
}

/// Flushes the entries of a directory, so that what was created, renamed or removed in
/// it survives power loss.
///
/// # Errors
/// [`StorageError`] if that cannot be said.
pub fn sync_dir(path: &Utf8Path) -> Result<(), StorageError> {
    // To open a FIFO would mean to wait for its other end.
    let flags = OFlags::DIRECTORY.bits().cast_signed();
    OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .and_then(|directory| traced(Event::SyncDirectory(path.as_str()), || directory.sync_all()))
        .map_err(|error| StorageError::io("flush directory", path.as_str(), error))
}

/// Removes a directory with everything in it. If there is none, that is fine; a symbolic
/// link is removed, never followed.
///
/// # Errors
/// [`StorageError`] with the first thing that could not be removed, or if others keep
/// writing into the directory.
pub fn remove_tree(path: &Utf8Path) -> Result<(), StorageError> {
    let failed = |error| StorageError::io("remove", path.as_str(), error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(there) if there.is_symlink() => return missing_is_fine(remove_entry(path)),
        Ok(_) => {}
    }
    for _ in 1..EMPTYINGS {
        match remove_once(path) {
            Err(StorageError::Io { source, .. })
                if source.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            result => return result,
        }
    }
    remove_once(path)
}

fn remove_once(path: &Utf8Path) -> Result<(), StorageError> {
    let failed = |error| StorageError::io("list", path.as_str(), error);
    let entries = match path.read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    // In order of names, so that a test can stop at one.
    let mut children = entries
        .map(|e| e.map(camino::Utf8DirEntry::into_path))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    children.sort();
    for child in children {
        remove_entry(&child)?;
    }
    let remove = || traced(Event::RemoveDirectory(path.as_str()), || std::fs::remove_dir(path));
    missing_is_fine(
        around("fs.remove_tree.root", remove)
            .map_err(|error| StorageError::io("remove", path.as_str(), error)),
    )
}

/// Removes a file, a link, or a directory with everything in it.
fn remove_entry(path: &Utf8Path) -> Result<(), StorageError> {
    let remove = || match std::fs::symlink_metadata(path) {
        // Of the standard library: holds directory handles, so that one that is replaced
        // by a link meanwhile is not followed.
        Ok(there) if there.is_dir() => {
            traced(Event::RemoveDirectory(path.as_str()), || std::fs::remove_dir_all(path))
        }
        Ok(_) => traced(Event::Unlink(path.as_str()), || std::fs::remove_file(path)),
        Err(error) => Err(error),
    };
    let removed = around("fs.remove_tree", remove);
    missing_is_fine(removed.map_err(|error| StorageError::io("remove", path.as_str(), error)))
}

fn missing_is_fine(result: Result<(), StorageError>) -> Result<(), StorageError> {
    match result {
        Err(StorageError::Missing { .. }) => Ok(()),
        result => result,
    }
}

/// Writes and flushes the unfinished form of `path`.
fn write_unfinished(path: &Utf8Path, bytes: &[u8]) -> Result<Utf8PathBuf, StorageError> {
    let mut n = 0_u32;
    let (unfinished, mut file) = loop {
        let unfinished = Utf8PathBuf::from(format!("{path}.{n}.tmp"));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        match traced(Event::Write(unfinished.as_str()), || options.open(&unfinished)) {
            Ok(file) => break (unfinished, file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => n += 1,
            Err(error) => return Err(StorageError::io("create", unfinished, error)),
        }
    };
    let written = write_in_halves("fs.write.half", unfinished.as_str(), &mut file, bytes)
        .and_then(|()| traced(Event::Sync(unfinished.as_str()), || file.sync_all()));
    if let Err(error) = written {
        remove_unfinished(&unfinished);
        return Err(StorageError::io("write", unfinished, error));
    }
    Ok(unfinished)
}

/// After an error that is reported already; what stays is never taken for the file.
fn remove_unfinished(path: &Utf8Path) {
    drop(traced(Event::Unlink(path.as_str()), || std::fs::remove_file(path)));
}

fn parent(path: &Utf8Path) -> &Utf8Path {
    match path.parent() {
        Some(parent) if parent.as_str().is_empty() => Utf8Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().to_owned();
        (directory, path)
    }

    fn names(path: &Utf8Path) -> Vec<String> {
        let mut names: Vec<_> =
            path.read_dir_utf8().unwrap().map(|e| e.unwrap().file_name().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_never_replaces() {
        let (_keep, dir) = scratch();
        let path = dir.join("a.json");
        write_new(&path, b"first").unwrap();
        assert!(matches!(write_new(&path, b"second"), Err(StorageError::AlreadyExists { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(names(&dir), ["a.json"]);
        replace(&path, b"third").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"third");
        assert_eq!(names(&dir), ["a.json"]);
    }

    #[test]
    fn a_dangling_link_is_something_that_exists() {
        let (_keep, dir) = scratch();
        std::os::unix::fs::symlink("nowhere", dir.join("a")).unwrap();
        assert!(matches!(write_new(&dir.join("a"), b""), Err(StorageError::AlreadyExists { .. })));
        assert_eq!(names(&dir), ["a"]);
    }

    #[test]
    fn leftovers_of_the_dead_do_no_harm() {
        let (_keep, dir) = scratch();
        File::create(dir.join("a.0.tmp")).unwrap();
        write_new(&dir.join("a"), b"x").unwrap();
        assert_eq!(names(&dir), ["a", "a.0.tmp"]);
    }

    #[test]
    fn errors_name_the_path() {
        let (_keep, dir) = scratch();
        let error = write_new(&dir.join("no/a"), b"x").unwrap_err();
        assert!(error.to_string().contains("/no/a.0.tmp does not exist"), "{error}");
    }

    #[test]
    fn trees_are_removed_without_following_links() {
        let (_keep, dir) = scratch();
        let (kept, tree) = (dir.join("kept"), dir.join("tree"));
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::create_dir(&kept).unwrap();
        write_new(&kept.join("file"), b"x").unwrap();
        write_new(&tree.join("a/b/file"), b"x").unwrap();
        std::os::unix::fs::symlink(&kept, tree.join("a/link")).unwrap();
        std::os::unix::fs::symlink(&kept, tree.join("link")).unwrap();
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        std::os::unix::fs::symlink(&kept, dir.join("link")).unwrap();
        remove_tree(&dir.join("link")).unwrap();
        assert_eq!(names(&dir), ["kept"]);
        assert_eq!(names(&kept), ["file"]);
        assert!(remove_tree(&kept.join("file")).is_err(), "it is no directory");
    }
}
