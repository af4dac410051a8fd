use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{ArtifactKey, OpeningId, QuantumId, Tai, transaction::Process};
use pantler_seam::step;

use super::{Finish, JournalError, SegmentHeader, Verdict, v2};
use crate::layout;

/// Appends to a segment of its own.
///
/// Lines are collected until [`Self::append`] writes them. After a failed write
/// nothing is appended any more: what the file ends with is not known, and a line
/// after a cut one would be damage.
#[derive(Debug)]
pub struct JournalWriter {
    file: File,
    path: Utf8PathBuf,
    runner: u32,
    seq: u64,
    lines: Vec<u8>,
    broken: bool,
}

/// Brings a segment to stable storage, also from another thread.
#[derive(Debug)]
pub struct JournalSync {
    file: File,
    path: Utf8PathBuf,
}

impl JournalWriter {
    /// Begins a segment in `dir`, with a number above all there are. Its
    /// header has reached stable storage.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn create(
        dir: &Utf8Path,
        opening: OpeningId,
        process: &Process,
        started: Tai,
    ) -> Result<Self, JournalError> {
        let failed = |action, path: &Utf8Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { action, path, source }
        };
        std::fs::create_dir_all(dir).map_err(failed("create", dir))?;
        let mut runner = 1 + highest_runner(dir).map_err(failed("list", dir))?;
        loop {
            let path = dir.join(layout::segment_name(runner));
            step("exec.journal.create");
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => {
                    let mut writer =
                        Self { file, path, runner, seq: 0, lines: Vec::new(), broken: false };
                    let header =
                        SegmentHeader { opening, runner, process: process.clone(), started };
                    v2::write_header(&header, &mut writer.lines);
                    writer.append()?;
                    writer.sync()?.sync()?;
                    // The directory may be new: a lost `journal/` would count runners from 1
                    // again, and keys would repeat.
                    for folder in dir.ancestors().take(2) {
                        File::open(folder)
                            .and_then(|folder| folder.sync_all())
                            .map_err(failed("flush", folder))?;
                    }
                    step("exec.journal.created");
                    return Ok(writer);
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
        v2::write_start(self.seq, quantum, attempt, &mut self.lines);
    }

    /// Collects a finish line.
    pub fn finish(&mut self, quantum: QuantumId, finish: &Finish) {
        self.seq += 1;
        v2::write_finish(self.seq, quantum, finish, &mut self.lines);
    }

    /// Collects the line of a verdict on an attempt.
    pub fn verdict(&mut self, quantum: QuantumId, attempt: u32, number: u32, verdict: &Verdict) {
        self.seq += 1;
        v2::write_verdict(self.seq, quantum, attempt, number, verdict, &mut self.lines);
    }

    /// Collects the line that says what a reset is about to delete.
    pub fn reset(&mut self, quantum: QuantumId, attempt: u32, keys: &[ArtifactKey]) {
        self.seq += 1;
        v2::write_reset(self.seq, quantum, attempt, keys, &mut self.lines);
    }

    /// Collects the line that says that a reset has deleted it.
    pub fn reset_done(&mut self, quantum: QuantumId, attempt: u32) {
        self.seq += 1;
        v2::write_reset_done(self.seq, quantum, attempt, &mut self.lines);
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
        v2::write_sealed(self.seq, &mut self.lines);
        step("exec.journal.seal");
        self.append()?;
        self.sync()?.sync()?;
        step("exec.journal.sealed");
        Ok(())
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

fn highest_runner(dir: &Utf8Path) -> io::Result<u32> {
    let mut highest = 0;
    for entry in dir.read_dir_utf8()? {
        if let Some(runner) = layout::segment_runner(entry?.file_name()) {
            highest = highest.max(runner);
        }
    }
    Ok(highest)
}
