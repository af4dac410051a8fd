use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{
    ArtifactKey, Checksum, OpeningId, QuantumId, Tai, TaskLabel, transaction::Process,
};
use pantler_datastore::fs::{rename_noreplace, sync_dir};
use pantler_seam::step;
use rustix::fs::FlockOperation;

use super::{Finish, JournalError, SegmentHeader, Verdict, table::Lines, v3};
use crate::{Selection, layout};

/// Appends to a segment of its own.
///
/// Lines are collected until [`Self::append`] writes them. After a failed write
/// nothing is appended any more: what the file ends with is not known, and a line
/// after a cut one would be damage.
///
/// While it lives it holds a lock on the file, by which others on this machine know that
/// the process lives.
#[derive(Debug)]
pub struct JournalWriter {
    file: File,
    path: Utf8PathBuf,
    runner: u32,
    seq: u64,
    /// How long the file is, without `lines`.
    length: u64,
    lines: Vec<u8>,
    addresses: Lines,
    broken: bool,
}

/// Brings a segment to stable storage, also from another thread.
#[derive(Debug)]
pub struct JournalSync {
    file: File,
    path: Utf8PathBuf,
}

impl JournalWriter {
    /// Begins a segment in `dir`, with a number above all there are. Its header has
    /// reached stable storage. `selection` says which quanta it is to run; `None` if none.
    ///
    /// The file is prepared under another name, locked, and appears with its header in it:
    /// who finds it knows what its runner is to run and whether it lives. Numbers are
    /// therefore given in the order in which segments appear, so whoever has one sees the
    /// headers of all lower ones.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn create(
        dir: &Utf8Path,
        opening: OpeningId,
        process: &Process,
        started: Tai,
        selection: Option<&Selection>,
    ) -> Result<Self, JournalError> {
        Self::create_for(dir, opening, process, started, selection, &BTreeMap::new())
    }

    /// As [`Self::create`], of a process that runs these tasks, given by what they are.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn create_for(
        dir: &Utf8Path,
        opening: OpeningId,
        process: &Process,
        started: Tai,
        selection: Option<&Selection>,
        tasks: &BTreeMap<TaskLabel, Checksum>,
    ) -> Result<Self, JournalError> {
        let failed = |action, path: &Utf8Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { action, path, source }
        };
        // Not its parents: the root of a workspace that was closed must not come back.
        match std::fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("create", dir)(error));
            }
            _ => {}
        }
        let (file, prepared) = prepare(dir, process)?;
        let mut runner = 1 + highest_runner(dir).map_err(failed("list", dir))?;
        loop {
            let path = dir.join(layout::segment_name(runner));
            let process = process.clone();
            let selection = selection.cloned();
            let tasks = tasks.clone();
            let header = SegmentHeader { opening, runner, process, started, selection, tasks };
            let mut line = Vec::new();
            v3::write_header(&header, &mut line);
            let write = || {
                file.set_len(0)?;
                (&file).write_all(&line)?;
                file.sync_all()
            };
            write().map_err(failed("write", &prepared))?;
            step("exec.journal.create");
            match rename_noreplace(&prepared, &path) {
                Ok(()) => {
                    // The directory may be new: a lost `journal/` would count runners from 1
                    // again, and keys would repeat.
                    for folder in dir.ancestors().take(2) {
                        sync_dir(folder)
                            .map_err(|error| failed("flush", folder)(io::Error::other(error)))?;
                    }
                    step("exec.journal.created");
                    let (length, lines) = (line.len() as u64, Vec::new());
                    let (addresses, broken) = (Lines::default(), false);
                    return Ok(Self {
                        file,
                        path,
                        runner,
                        seq: 0,
                        length,
                        lines,
                        addresses,
                        broken,
                    });
                }
                // Another process began one since the directory was listed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => runner += 1,
                Err(error) => return Err(failed("create", &path)(error)),
            }
        }
    }

    /// The runner number.
    pub fn runner(&self) -> u32 {
        self.runner
    }

    /// Collects a start line.
    pub fn start(&mut self, quantum: QuantumId, attempt: u32) {
        self.seq += 1;
        self.note(quantum);
        v3::write_start(self.seq, quantum, attempt, &mut self.lines);
    }

    /// Collects a finish line.
    pub fn finish(&mut self, quantum: QuantumId, finish: &Finish) {
        self.seq += 1;
        self.note(quantum);
        v3::write_finish(self.seq, quantum, finish, &mut self.lines);
    }

    /// Collects the line of a verdict on an attempt.
    pub fn verdict(&mut self, quantum: QuantumId, attempt: u32, number: u32, verdict: &Verdict) {
        self.seq += 1;
        v3::write_verdict(self.seq, quantum, attempt, number, verdict, &mut self.lines);
    }

    /// Collects the line that says what a reset is about to delete.
    pub fn reset(&mut self, quantum: QuantumId, attempt: u32, keys: &[ArtifactKey]) {
        self.seq += 1;
        v3::write_reset(self.seq, quantum, attempt, keys, &mut self.lines);
    }

    /// Collects the line that says that a reset has deleted it.
    pub fn reset_done(&mut self, quantum: QuantumId, attempt: u32) {
        self.seq += 1;
        v3::write_reset_done(self.seq, quantum, attempt, &mut self.lines);
    }

    /// Writes the collected lines into the file.
    ///
    /// # Errors
    /// [`JournalError::Io`], and from then on [`JournalError::Broken`].
    pub fn append(&mut self) -> Result<(), JournalError> {
        if self.broken {
            return Err(JournalError::Broken { path: self.path.clone() });
        }
        let written = self.file.write_all(&self.lines);
        self.length += self.lines.len() as u64;
        self.lines.clear();
        written.map_err(|source| {
            self.broken = true;
            JournalError::Io { action: "append to", path: self.path.clone(), source }
        })
    }

    /// What brings the segment to stable storage.
    ///
    /// # Errors
    /// [`JournalError::Io`] if there are too many open files.
    pub fn sync(&self) -> Result<JournalSync, JournalError> {
        let path = self.path.clone();
        match self.file.try_clone() {
            Ok(file) => Ok(JournalSync { file, path }),
            Err(source) => Err(JournalError::Io { action: "open", path, source }),
        }
    }

    /// Ends the segment: nobody will append to it.
    ///
    /// # Errors
    /// [`JournalError::Io`] or [`JournalError::Broken`].
    pub fn seal(mut self) -> Result<(), JournalError> {
        self.seq += 1;
        v3::write_sealed(self.seq, &mut self.lines);
        step("exec.journal.seal");
        self.append()?;
        self.sync()?.sync()?;
        if let Some(table) = self.addresses.encode(self.length) {
            step("exec.journal.table");
            self.lines = table;
            self.append()?;
            self.sync()?.sync()?;
        }
        step("exec.journal.sealed");
        Ok(())
    }

    /// Notes where the line that is about to be collected stands.
    fn note(&mut self, quantum: QuantumId) {
        self.addresses.note(quantum, self.seq, self.length + self.lines.len() as u64);
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that another thread is just starting has
        // a copy of it until it runs its program.
        let _released = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

impl JournalSync {
    /// Returns when all that was appended has reached stable storage.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(|source| JournalError::Io {
            action: "flush",
            path: self.path.clone(),
            source,
        })
    }
}

/// A new file in `dir` that nobody else writes, locked.
fn prepare(dir: &Utf8Path, process: &Process) -> Result<(File, Utf8PathBuf), JournalError> {
    let mut number = 0_u32;
    loop {
        let path = dir.join(format!("begin-{}-{number}.tmp", process.pid));
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => {
                let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
                return match locked {
                    Ok(()) => Ok((file, path)),
                    Err(errno) => {
                        Err(JournalError::Io { action: "lock", path, source: errno.into() })
                    }
                };
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(source) => return Err(JournalError::Io { action: "create", path, source }),
        }
    }
}

fn highest_runner(dir: &Utf8Path) -> io::Result<u32> {
    let mut highest = 0;
    for entry in dir.read_dir_utf8()? {
        if let Some(runner) = layout::segment_runner(entry?.file_name()) {
            highest = highest.max(runner);
        }
    }
    Ok(highest)
}
