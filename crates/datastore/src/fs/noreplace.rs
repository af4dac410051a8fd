//! Renaming a file to a name that must be free.

use std::io;

use camino::Utf8Path;
use pantler_seam::{Event, around, traced};

/// Renames `from` to `to`, and fails with [`io::ErrorKind::AlreadyExists`] if something
/// is there, in one step that no other process can come between. Flushes nothing.
///
/// # Errors
/// What the system says.
pub fn rename_noreplace(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };
        let rename = || renameat_with(CWD, from.as_str(), CWD, to.as_str(), RenameFlags::NOREPLACE);
        match traced(Event::Rename(from.as_str(), to.as_str()), rename) {
            // Not every file system has it: NFS says INVAL.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            result => return result.map_err(io::Error::from),
        }
    }
    link_and_unlink(from, to)
}

/// A hard link never replaces. Until the old name is gone, both are there: whoever
/// finds that after a crash sees a whole file and a leftover.
fn link_and_unlink(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    let event = Event::Link(from.as_str(), to.as_str());
    if let Err(error) = traced(event, || std::fs::hard_link(from, to)) {
        // A file server that repeats a request whose answer was lost says that the name
        // exists, which it made itself.
        if error.kind() != io::ErrorKind::AlreadyExists || !same_file(from, to)? {
            return Err(error);
        }
    }
    around("fs.linked", || traced(Event::Unlink(from.as_str()), || std::fs::remove_file(from)))
}

fn same_file(a: &Utf8Path, b: &Utf8Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let (a, b) = (std::fs::symlink_metadata(a)?, std::fs::symlink_metadata(b)?);
    Ok((a.dev(), a.ino()) == (b.dev(), b.ino()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn both_ways_do_the_same() {
        for rename in [rename_noreplace, link_and_unlink] {
            let scratch = tempfile::tempdir().unwrap();
            let dir = Utf8Path::from_path(scratch.path()).unwrap();
            let (a, b) = (dir.join("a"), dir.join("b"));
            let missing = rename(&a, &b).map_err(|e| e.kind());
            assert_eq!(missing, Err(io::ErrorKind::NotFound));
            let create = |text: &[u8]| {
                std::fs::File::create(&a).and_then(|mut file| file.write_all(text)).unwrap();
            };
            create(b"first");
            rename(&a, &b).unwrap();
            assert!(!a.exists());
            create(b"second");
            let exists = rename(&a, &b).map_err(|e| e.kind());
            assert_eq!(exists, Err(io::ErrorKind::AlreadyExists));
            assert_eq!(std::fs::read(&b).unwrap(), b"first");
            assert_eq!(std::fs::read(&a).unwrap(), b"second");
        }
    }

    #[test]
    fn a_repeated_link_is_finished() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(scratch.path()).unwrap();
        std::fs::File::create(dir.join("a")).unwrap();
        std::fs::hard_link(dir.join("a"), dir.join("b")).unwrap();
        link_and_unlink(&dir.join("a"), &dir.join("b")).unwrap();
        assert!(!dir.join("a").exists() && dir.join("b").exists());
    }
}
