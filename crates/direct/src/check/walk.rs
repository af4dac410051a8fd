//! The check's own look at directories: it shares nothing with the code that writes
//! artifacts, so that a fault there does not hide itself. Links to directories are
//! never followed.

use std::{
    fs::{FileType, Metadata},
    io::{self, ErrorKind},
    os::unix::fs::FileTypeExt as _,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::OpeningId;

use super::CheckError;

/// What lies below the storage root.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Regular files, as paths below the root.
    pub(crate) files: Vec<String>,
    /// Symbolic links, as paths below the root.
    pub(crate) links: Vec<String>,
    /// Everything else that is not a directory that can be read.
    pub(crate) oddities: Vec<Oddity>,
}

/// Something that no writer of artifacts makes.
#[derive(Debug)]
pub(crate) struct Oddity {
    /// Its path below the root; what is not UTF-8 is replaced.
    pub(crate) path: String,
    /// What it is.
    pub(crate) what: String,
}

/// What stands at a path; a symbolic link stands for what it leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing.
    Nothing,
    /// A symbolic link that leads nowhere.
    Dangling,
    /// A regular file of so many bytes.
    File(u64),
    /// Something else, in words.
    Other(&'static str),
}

/// Lists everything below `root`; nothing if there is no such directory.
pub(crate) fn list(root: &Utf8Path) -> Result<Listing, CheckError> {
    let mut listing = Listing::default();
    let mut pending = vec![String::new()];
    while let Some(directory) = pending.pop() {
        let at = if directory.is_empty() { root.to_owned() } else { root.join(&directory) };
        let entries = match std::fs::read_dir(&at) {
            Ok(entries) => entries,
            // Removed since it was listed, or nothing was ever stored.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(source) if directory.is_empty() => {
                return Err(CheckError::Storage { path: at, source });
            }
            Err(error) => {
                listing.oddity(directory, format!("a directory that cannot be read ({error})"));
                continue;
            }
        };
        for entry in entries {
            let entry = entry.map_err(|source| CheckError::Storage { path: at.clone(), source })?;
            let name = entry.file_name();
            let path = match (name.to_str(), directory.as_str()) {
                (Some(name), "") => name.to_owned(),
                (Some(name), directory) => format!("{directory}/{name}"),
                (None, _) => {
                    let path = format!("{directory}/{}", name.to_string_lossy());
                    listing.oddity(path, "a name that is not UTF-8".to_owned());
                    continue;
                }
            };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(path),
                Ok(kind) if kind.is_file() => listing.files.push(path),
                Ok(kind) if kind.is_symlink() => listing.links.push(path),
                Ok(kind) => listing.oddity(path, name_of(kind).to_owned()),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => listing.oddity(path, format!("cannot be looked at ({error})")),
            }
        }
    }
    Ok(listing)
}

impl Listing {
    fn oddity(&mut self, path: String, what: String) {
        self.oddities.push(Oddity { path, what });
    }
}

/// Looks at one path.
pub(crate) fn look_at(path: &Utf8Path) -> io::Result<Look> {
    let absent =
        |error: &io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    let of = |found: &Metadata| {
        if found.is_file() {
            Look::File(found.len())
        } else {
            Look::Other(name_of(found.file_type()))
        }
    };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => match std::fs::metadata(path) {
            Ok(found) => Ok(of(&found)),
            // A ring of links leads nowhere, too.
            Err(error)
                if absent(&error)
                    || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) =>
            {
                Ok(Look::Dangling)
            }
            Err(error) => Err(error),
        },
        Ok(found) => Ok(of(&found)),
        Err(error) if absent(&error) => Ok(Look::Nothing),
        Err(error) => Err(error),
    }
}

/// The roots of internal workspaces (`<name>/<opening>/`), with the opening that the
/// name of the folder says, by path.
pub(crate) fn workspace_roots(
    workspaces: &Utf8Path,
) -> Result<Vec<(Option<OpeningId>, Utf8PathBuf)>, CheckError> {
    let mut roots = Vec::new();
    for name in folders(workspaces)? {
        for root in folders(&name)? {
            roots.push((root.file_name().and_then(|name| name.parse().ok()), root));
        }
    }
    roots.sort_by(|(_, a), (_, b)| a.cmp(b));
    Ok(roots)
}

/// The directories in a directory; none if there is no such directory.
pub(crate) fn folders(path: &Utf8Path) -> Result<Vec<Utf8PathBuf>, CheckError> {
    let failed = |source| CheckError::Storage { path: path.to_owned(), source };
    let entries = match path.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => folders.push(entry.into_path()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(folders)
}

fn name_of(kind: FileType) -> &'static str {
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
