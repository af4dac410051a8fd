//! Artifacts that are links to files of somebody else.

use std::{fs::Metadata, io, os::unix::fs::symlink};

use camino::Utf8Path;
use pantler_seam::{Event, around, traced};
use rustix::io::Errno;

use super::{in_directory, not_regular};
use crate::{LinkKind, StorageError, copy::kind_name, error::is_absent};

/// Makes a link at `path` to the regular file that `source` leads to.
pub(super) fn make(source: &Utf8Path, path: &Utf8Path, kind: LinkKind) -> Result<(), StorageError> {
    let failed = |error| StorageError::io("link to", source.as_str(), error);
    // Whole and without links, so that neither another working directory nor another
    // link on the way leads elsewhere later.
    let target = source.canonicalize_utf8().map_err(failed)?;
    let there = std::fs::symlink_metadata(&target).map_err(failed)?;
    if !there.is_file() {
        return Err(not_regular(source.to_owned(), kind_name(there.file_type())));
    }
    let link = || match kind {
        LinkKind::Hard => std::fs::hard_link(&target, path),
        LinkKind::Symbolic => symlink(&target, path),
    };
    let link_present = || {
        match traced(Event::Link(target.as_str(), path.as_str()), link) {
            // What is missing: the directory of the link, or the file?
            Err(error) if error.kind() == io::ErrorKind::NotFound && target.exists() => Err(error),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            result => result.map(|()| true),
        }
    };
    match around("datastore.link", || in_directory(path, link_present)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(StorageError::Missing { path: source.to_string() }),
        Err(error) => Err(StorageError::io("make a link at", path.as_str(), error)),
    }
}

/// What a link at `path` leads to; `None` if that is nothing, or nothing that this user
/// may look at.
pub(super) fn target(path: &Utf8Path) -> Result<Option<Metadata>, StorageError> {
    match std::fs::metadata(path) {
        Ok(there) => Ok(Some(there)),
        Err(error)
            if is_absent(&error)
                || is_circle(&error)
                || error.kind() == io::ErrorKind::PermissionDenied =>
        {
            Ok(None)
        }
        Err(error) => Err(StorageError::io("look at", path.as_str(), error)),
    }
}

/// Whether links lead to each other.
pub(super) fn is_circle(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}
