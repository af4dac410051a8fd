//! Declaring a runner dead that cannot be known to be.
//!
//! `journal/<runner>.over` says how many lines of its segment count. It is made once and
//! never changed: whoever comes second takes the first one's word. From then on nobody
//! waits for the runner, its unfinished quanta are free, and lines that it appends after
//! those do not count; it breaks off when it finds the file.
//!
//! | step | a crash after it leaves |
//! | --- | --- |
//! | 1. the runner has not beaten for a while | nothing |
//! | 2. its segment is flushed: what is built on its lines must not outlive them | nothing |
//! | 3. its whole lines are counted, and the file is made and flushed | a runner taken over, for whoever comes next |

use std::{
    fs::File,
    io,
    time::{Duration, Instant},
};

use camino::Utf8Path;
use pantler_core::{Tai, transaction::Process};
use pantler_datastore::StorageError;
use pantler_seam::step;
use serde::{Deserialize, Serialize};

use crate::{
    JournalError,
    heartbeat::{self, SILENT},
    journal::{
        self,
        segment::{self, Segment},
    },
    layout,
    runners::{Life, life},
};

const POLL: Duration = Duration::from_millis(100);

/// A runner cannot be declared dead.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// There is none of that number.
    #[error("there is no runner {runner} in this workspace; {known}")]
    NoRunner {
        /// The number.
        runner: u32,
        /// Which ones there are, in words.
        known: String,
    },
    /// It is at work.
    #[error("runner {runner} ({process}) is alive: it was heard of just now")]
    Alive {
        /// The number.
        runner: u32,
        /// Its process.
        process: Process,
    },
    /// Its segment cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It cannot be written down.
    #[error("cannot declare runner {runner} dead")]
    Write {
        /// The number.
        runner: u32,
        /// Why.
        #[source]
        source: StorageError,
    },
}

/// Declares a runner of the workspace at `root` dead, unless it has ended or is known to
/// be dead anyway. Waits some seconds for a sign of life.
///
/// # Errors
/// [`TakeOverError::Alive`] if there is one.
pub fn declare_dead(
    root: &Utf8Path,
    runner: u32,
    here: &Process,
    now: Tai,
) -> Result<(), TakeOverError> {
    let dir = layout::journal_dir(root);
    let path = dir.join(layout::segment_name(runner));
    let known = journal::runners(&dir)?;
    if !known.contains(&runner) {
        let numbers: Vec<String> = known.iter().map(ToString::to_string).collect();
        let known = match &numbers[..] {
            [] => "nobody has run anything in it".to_owned(),
            numbers => format!("there are: {}", numbers.join(", ")),
        };
        return Err(TakeOverError::NoRunner { runner, known });
    }
    let segment = segment::peek(&path, runner)?;
    let process = match (life(&dir, &segment, here)?, &segment.header) {
        (Life::Here | Life::Elsewhere, Some(header)) => header.process.clone(),
        _ => return Ok(()),
    };
    await_silence(&dir, runner, &process, now)?;
    let failed = |source| JournalError::Io { action: "flush", path: path.clone(), source };
    step("exec.takeover.flush");
    File::open(&path).and_then(|file| file.sync_all()).map_err(failed)?;
    let mut segment = Segment::new(runner);
    segment.read_on(&path, |_| ())?;
    let over = TakenOver { version: 1, runner, lines: segment.lines, by: here.clone(), at: now };
    let mut line = Vec::new();
    journal::write_frame(&over, &mut line);
    step("exec.takeover.write");
    match pantler_datastore::fs::write_new(&dir.join(layout::over_name(runner)), &line) {
        Ok(()) | Err(StorageError::AlreadyExists { .. }) => {
            step("exec.takeover.written");
            Ok(())
        }
        Err(source) => Err(TakeOverError::Write { runner, source }),
    }
}

/// Returns when the runner has been silent for long enough.
fn await_silence(
    dir: &Utf8Path,
    runner: u32,
    process: &Process,
    now: Tai,
) -> Result<(), TakeOverError> {
    let first = heartbeat::last(dir, runner);
    if heartbeat::is_old(dir, runner, now) {
        return Ok(());
    }
    let since = Instant::now();
    while since.elapsed() < SILENT {
        if heartbeat::last(dir, runner) != first {
            return Err(TakeOverError::Alive { runner, process: process.clone() });
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// How many lines of a runner's segment count; `None` for all.
pub(crate) fn lines_that_count(dir: &Utf8Path, runner: u32) -> Result<Option<u64>, JournalError> {
    Ok(read(dir, runner)?.map(|over| over.lines))
}

/// Who has declared a runner of the workspace at `root` dead, if somebody has.
///
/// # Errors
/// [`JournalError`] if that cannot be read.
pub fn declared_dead_by(root: &Utf8Path, runner: u32) -> Result<Option<Process>, JournalError> {
    by(&layout::journal_dir(root), runner)
}

/// Who has declared a runner dead, if somebody has.
pub(crate) fn by(dir: &Utf8Path, runner: u32) -> Result<Option<Process>, JournalError> {
    Ok(read(dir, runner)?.map(|over| over.by))
}

fn read(dir: &Utf8Path, runner: u32) -> Result<Option<TakenOver>, JournalError> {
    let path = dir.join(layout::over_name(runner));
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(JournalError::Io { action: "read", path, source }),
    };
    let damaged = |reason: String| JournalError::Damaged { path: path.clone(), line: 1, reason };
    let event = journal::read_frame(&text).map_err(damaged)?;
    let over: TakenOver = serde_json::from_slice(event).map_err(|e| damaged(e.to_string()))?;
    if over.version != 1 {
        return Err(JournalError::Version { path, found: over.version.to_string() });
    }
    if over.runner != runner {
        return Err(damaged(format!("it is about runner {}", over.runner)));
    }
    Ok(Some(over))
}

#[derive(Serialize, Deserialize)]
struct TakenOver {
    version: u32,
    runner: u32,
    lines: u64,
    by: Process,
    at: Tai,
}
