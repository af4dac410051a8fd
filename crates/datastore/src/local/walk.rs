//! Walking over local files, and removing directories that are empty.

use std::io;

use camino::Utf8Path;
use pantler_core::ArtifactKey;
use pantler_seam::{Event, around, look, traced};

use super::link;
use crate::{Entry, StorageError, error::is_absent};

/// Shows everything below `root`/`prefix`. A directory's own files come before what is
/// in its directories, each in order of names.
pub(super) fn walk(
    root: &Utf8Path,
    prefix: Option<&str>,
    visit: &mut dyn FnMut(Entry) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    match prefix.map(|prefix| find(root, prefix)).transpose()? {
        None | Some(Found::Directory) => {}
        Some(Found::Nothing) => return Ok(()),
        Some(Found::Other(path)) => return visit(Entry::Foreign { path }),
    }
    let mut waiting = vec![prefix.unwrap_or_default().to_owned()];
    while let Some(directory) = waiting.pop() {
        let mut inside = Vec::new();
        for Listed { path, kind } in list(root, &directory)? {
            match kind {
                Kind::Directory => inside.push(path),
                Kind::File { size } => visit(classify(path, size))?,
                Kind::Link => visit(classify_link(root, path)?)?,
                Kind::Other => visit(Entry::Foreign { path })?,
            }
        }
        waiting.extend(inside.into_iter().rev());
    }
    Ok(())
}

/// Removes the empty directories below and including `root`/`prefix`.
pub(super) fn prune(root: &Utf8Path, prefix: &str) -> Result<(), StorageError> {
    if !matches!(find(root, prefix)?, Found::Directory) {
        return Ok(());
    }
    let mut directories = vec![prefix.to_owned()];
    let mut next = 0;
    while next < directories.len() {
        let found = list(root, &directories[next])?;
        directories.extend(
            found.into_iter().filter(|f| matches!(f.kind, Kind::Directory)).map(|f| f.path),
        );
        next += 1;
    }
    // What is inside a directory comes after it.
    for directory in directories.into_iter().rev() {
        let path = root.join(directory);
        let event = Event::RemoveDirectory(path.as_str());
        match around("datastore.prune", || traced(event, || std::fs::remove_dir(&path))) {
            Err(error)
                if !is_absent(&error)
                    && !matches!(
                        error.kind(),
                        // Systems differ in which they say of one that holds something.
                        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                    ) =>
            {
                return Err(StorageError::io("remove", path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What stands at a prefix.
enum Found {
    Directory,
    Nothing,
    /// Something else stands there, or where a directory above it should be.
    Other(String),
}

/// Looks at each part, so that no link on the way is followed.
fn find(root: &Utf8Path, prefix: &str) -> Result<Found, StorageError> {
    let ends = prefix.match_indices('/').map(|(i, _)| i).chain([prefix.len()]);
    for part in ends.map(|end| &prefix[..end]) {
        let path = root.join(part);
        match std::fs::symlink_metadata(&path) {
            Ok(there) if there.is_dir() => {}
            Ok(_) => return Ok(Found::Other(part.to_owned())),
            Err(error) if is_absent(&error) => return Ok(Found::Nothing),
            Err(error) => return Err(StorageError::io("look at", path, error)),
        }
    }
    Ok(Found::Directory)
}

/// One entry of a directory; its path is relative to the root.
struct Listed {
    path: String,
    kind: Kind,
}

enum Kind {
    Directory,
    File { size: u64 },
    Link,
    Other,
}

/// Reads one directory as a whole, so that none stays open and those who visit may
/// delete; one that vanished is empty.
fn list(root: &Utf8Path, directory: &str) -> Result<Vec<Listed>, StorageError> {
    // Joining an empty path would add a slash, which does no harm but looks odd.
    let path = if directory.is_empty() { root.to_owned() } else { root.join(directory) };
    let failed = |error| StorageError::io("list", path.as_str(), error);
    let entries = match look("datastore.walk").and_then(|()| std::fs::read_dir(&path)) {
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if is_absent(&error) => break,
            Err(error) => return Err(failed(error)),
        };
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        // Of the entry itself, not of what a link leads to.
        let there = match entry.metadata() {
            Ok(there) => there,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(StorageError::io("look at", path.join(&*shown), error)),
        };
        let kind = if name.to_str().is_none() {
            Kind::Other
        } else if there.is_dir() {
            Kind::Directory
        } else if there.is_file() {
            Kind::File { size: there.len() }
        } else if there.is_symlink() {
            Kind::Link
        } else {
            Kind::Other
        };
        let path =
            if directory.is_empty() { shown.into_owned() } else { format!("{directory}/{shown}") };
        found.push(Listed { path, kind });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn classify(path: String, size: u64) -> Entry {
    let (key, finished) = match path.strip_suffix(".tmp") {
        Some(key) => (ArtifactKey::new(key), false),
        None => (ArtifactKey::new(path.as_str()), true),
    };
    match key {
        Ok(key) if finished => Entry::Artifact { key, size },
        Ok(key) => Entry::Unfinished { key, size },
        Err(_) => Entry::Foreign { path },
    }
}

/// Only an artifact may be a link, and only to a regular file; nothing unfinished is one.
fn classify_link(root: &Utf8Path, path: String) -> Result<Entry, StorageError> {
    if let Some(there) = link::target(&root.join(&path))?
        && there.is_file()
        && let artifact @ Entry::Artifact { .. } = classify(path.clone(), there.len())
    {
        return Ok(artifact);
    }
    Ok(Entry::Foreign { path })
}
