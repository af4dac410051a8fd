//! Writing the unfinished form of a local artifact.

use std::{
    fs::File,
    io::{self, Write},
};

use camino::Utf8PathBuf;
use pantler_core::Checksum;
use pantler_seam::{Event, fallible, traced, write_in_halves};

use crate::{StagedWrite, StorageError, Written};

/// Writes of at least this many bytes are not gathered first.
const DIRECT: usize = 8 * 1024;
/// How many bytes of small writes are gathered.
const GATHERED: usize = 64 * 1024;

pub(super) struct LocalStagedWrite {
    file: File,
    path: Utf8PathBuf,
    hasher: blake3::Hasher,
    size: u64,
    /// Small writes, not yet in the file.
    pending: Vec<u8>,
    /// Once a write failed, nobody can say what the file holds.
    failed: Option<io::ErrorKind>,
}

impl LocalStagedWrite {
    pub(super) fn new(file: File, path: Utf8PathBuf) -> Self {
        Self {
            file,
            path,
            hasher: blake3::Hasher::new(),
            size: 0,
            pending: Vec::new(),
            failed: None,
        }
    }

    fn put(&mut self, data: &[u8]) -> Result<(), StorageError> {
        let written = match self.failed {
            Some(kind) => Err(kind.into()),
            None if self.size == 0 => self.put_first(data),
            None => traced(Event::Write(self.path.as_str()), || self.file.write_all(data)),
        };
        if let Err(error) = written {
            self.failed = Some(error.kind());
            return Err(StorageError::io("write", self.path.as_str(), error));
        }
        self.hasher.update(data);
        self.size += data.len() as u64;
        Ok(())
    }

    /// In two halves, so that the step between them finds half an artifact however
    /// small it is; next to creating the file the second call costs nothing.
    fn put_first(&mut self, data: &[u8]) -> io::Result<()> {
        write_in_halves("datastore.write.half", self.path.as_str(), &mut self.file, data)
    }

    fn put_pending(&mut self) -> Result<(), StorageError> {
        let mut pending = std::mem::take(&mut self.pending);
        let result = self.put(&pending);
        pending.clear();
        self.pending = pending;
        result
    }
}

impl Write for LocalStagedWrite {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.pending.is_empty() && data.len() >= DIRECT {
            self.put(data)?;
        } else {
            self.pending.extend_from_slice(data);
            if self.pending.len() >= GATHERED {
                self.put_pending()?;
            }
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.put_pending()?)
    }
}

impl StagedWrite for LocalStagedWrite {
    fn finish(mut self: Box<Self>) -> Result<Written, StorageError> {
        self.put_pending()?;
        fallible("datastore.write.done")
            .map_err(|error| StorageError::io("write", self.path.as_str(), error))?;
        let checksum = Checksum::from_bytes(*self.hasher.finalize().as_bytes());
        Ok(Written { size: self.size, checksum })
    }
}
