//! Moving bytes from a reader to a writer, and hashing them.

use std::{
    cell::Cell,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
};

use camino::Utf8Path;
use pantler_core::Checksum;
use rustix::fs::OFlags;

use crate::{DatastoreError, Written};

/// Large enough that most small files are one read and one write.
const BUFFER: usize = 256 * 1024;

thread_local! {
    /// One buffer a thread: allocating (and zeroing) it for each of many small files
    /// costs more than copying them.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Which side of a copy failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    /// The reader.
    Read(io::Error),
    /// The writer.
    Write(io::Error),
}

/// Copies everything, and returns how many bytes that was.
pub(crate) fn copy(from: &mut dyn Read, to: &mut dyn Write) -> Result<u64, CopyError> {
    // Taken out, not borrowed: a reader may itself be one that copies.
    let mut buffer = SPARE.take();
    buffer.resize(BUFFER, 0);
    let result = copy_with(&mut buffer, from, to);
    SPARE.set(buffer);
    result
}

fn copy_with(buffer: &mut [u8], from: &mut dyn Read, to: &mut dyn Write) -> Result<u64, CopyError> {
    let mut total = 0;
    loop {
        let n = match from.read(buffer) {
            Ok(0) => return Ok(total),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        to.write_all(&buffer[..n]).map_err(CopyError::Write)?;
        total += n as u64;
    }
}

/// Hashes and counts what passes through to another writer.
pub(crate) struct HashingWriter<'a> {
    out: &'a mut dyn Write,
    hasher: blake3::Hasher,
    size: u64,
}

impl<'a> HashingWriter<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, hasher: blake3::Hasher::new(), size: 0 }
    }

    pub(crate) fn written(&self) -> Written {
        let checksum = Checksum::from_bytes(*self.hasher.finalize().as_bytes());
        Written { size: self.size, checksum }
    }
}

impl Write for HashingWriter<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.out.write(data)?;
        self.hasher.update(&data[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether a symbolic link at the place of a source file is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// The file that it leads to is meant.
    Follow,
    /// It is an error.
    Refuse,
}

/// Opens a regular file that is to be stored; never waits for the other end of a FIFO.
pub(crate) fn open_source(path: &Utf8Path, links: Links) -> Result<File, DatastoreError> {
    let failed = |source| DatastoreError::Source { path: path.to_owned(), source };
    let not_regular = |kind| DatastoreError::NotRegular { path: path.to_owned(), kind };
    let mut flags = OFlags::NONBLOCK;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            // A link under NOFOLLOW or a socket fails with a number that says little.
            return Err(match std::fs::symlink_metadata(path) {
                Ok(there) if there.is_symlink() && links == Links::Refuse => {
                    not_regular("symbolic link")
                }
                Ok(there) if there.file_type().is_socket() => not_regular("socket"),
                _ => failed(error),
            });
        }
    };
    let file_type = file.metadata().map_err(failed)?.file_type();
    if file_type.is_file() { Ok(file) } else { Err(not_regular(kind_name(file_type))) }
}

/// What to call something that is not a regular file.
pub(crate) fn kind_name(file_type: std::fs::FileType) -> &'static str {
    if file_type.is_symlink() {
        "symbolic link"
    } else if file_type.is_dir() {
        "directory"
    } else if file_type.is_fifo() {
        "FIFO"
    } else if file_type.is_socket() {
        "socket"
    } else {
        "device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_hashes() {
        let content: Vec<u8> = (0..700_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let mut out = Vec::new();
        let mut hashing = HashingWriter::new(&mut out);
        assert_eq!(copy(&mut &content[..], &mut hashing).unwrap(), 700_000);
        assert_eq!(hashing.written(), Written::of(&content));
        assert_eq!(out, content);
    }

    #[test]
    fn says_which_side_failed() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::InvalidData.into())
            }
        }
        let read = copy(&mut Broken, &mut Vec::new());
        assert!(matches!(read, Err(CopyError::Read(_))));
        let mut small = [0_u8; 4];
        let write = copy(&mut &b"too long"[..], &mut &mut small[..]);
        assert!(matches!(write, Err(CopyError::Write(_))));
    }
}
