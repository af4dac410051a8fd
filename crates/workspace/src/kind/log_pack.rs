//! The logs of a task's quanta, one after the other: the content of one artifact.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::Checksum;
use pantler_exec::LogSlice;

use crate::layout;

/// Slices of the runners' log files.
#[derive(Debug)]
pub(crate) struct LogPack {
    root: Utf8PathBuf,
    slices: Vec<LogSlice>,
    checksums: Arc<Mutex<Vec<Checksum>>>,
}

impl LogPack {
    pub(crate) fn new(root: &Utf8Path, slices: Vec<LogSlice>) -> Self {
        Self { root: root.to_owned(), slices, checksums: Arc::default() }
    }

    /// Reads all slices in order, and notes the checksum of each as it ends.
    pub(crate) fn reader(&self) -> impl Read + Send + use<> {
        SliceReader {
            root: self.root.clone(),
            slices: self.slices.clone().into_iter(),
            open: None,
            current: None,
            checksums: Arc::clone(&self.checksums),
        }
    }

    /// The checksums of the slices that were read to their end.
    pub(crate) fn checksums(&self) -> Vec<Checksum> {
        self.checksums.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct SliceReader {
    root: Utf8PathBuf,
    slices: std::vec::IntoIter<LogSlice>,
    open: Option<(u32, File)>,
    current: Option<Current>,
    checksums: Arc<Mutex<Vec<Checksum>>>,
}

struct Current {
    slice: LogSlice,
    read: u64,
    hasher: pantler_core::ChecksumHasher,
}

impl SliceReader {
    fn file(&mut self, runner: u32) -> io::Result<&File> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != runner) {
            let path = layout::logs_dir(&self.root).join(format!("{runner}.log"));
            let file = File::open(&path)
                .map_err(|e| io::Error::new(e.kind(), format!("cannot read {path}: {e}")))?;
            self.open = Some((runner, file));
        }
        self.open.as_ref().map(|(_, file)| file).ok_or_else(|| io::Error::other("no log file"))
    }
}

impl Read for SliceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.current.is_none() {
                let Some(slice) = self.slices.next() else { return Ok(0) };
                self.current =
                    Some(Current { slice, read: 0, hasher: pantler_core::ChecksumHasher::new() });
            }
            let Some(mut current) = self.current.take() else { continue };
            let left = current.slice.len - current.read;
            if left == 0 {
                self.checksums
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(current.hasher.finish());
                continue;
            }
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let at = current.slice.offset + current.read;
            let read = self.file(current.slice.runner)?.read_at(&mut buffer[..want], at)?;
            if read == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("log of runner {} ends early", current.slice.runner),
                ));
            }
            current.hasher.update(&buffer[..read]);
            current.read += read as u64;
            self.current = Some(current);
            return Ok(read);
        }
    }
}
