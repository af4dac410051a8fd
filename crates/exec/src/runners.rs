//! The runners of a workspace: who they are, and whether they live.
//!
//! Each holds a lock (flock) on its own segment while it runs. On the same machine that
//! tells for certain whether it lives; about a process on another one only its heartbeats
//! say something, and only a person can know.

use std::{collections::BTreeSet, fs::File};

use camino::Utf8Path;
use pantler_core::{Tai, transaction::Process};
use rustix::{fs::FlockOperation, io::Errno};

use crate::{
    JournalError, SegmentHeader, heartbeat,
    journal::{
        self,
        segment::{self, Segment},
    },
    layout, takeover,
};

/// What is known about whether a runner lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It sealed its segment.
    Ended,
    /// Somebody declared it dead.
    TakenOver,
    /// It is gone without an end.
    Dead,
    /// It is at work on this machine.
    Here,
    /// It is on another machine, and has not ended.
    Elsewhere,
}

impl Life {
    /// Whether something may still come from it.
    pub(crate) fn may_go_on(self) -> bool {
        matches!(self, Self::Here | Self::Elsewhere)
    }
}

/// Where a runner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunnerState {
    /// It is at work.
    Live,
    /// It has not ended, and not been heard of for a while.
    Silent,
    /// It ended in order.
    Ended,
    /// It was killed.
    Dead,
    /// It was declared dead: what it does from then on does not count.
    TakenOver,
}

impl RunnerState {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Silent => "silent",
            Self::Ended => "ended",
            Self::Dead => "dead",
            Self::TakenOver => "taken over",
        }
    }
}

/// A process that ran quanta in a workspace, or changed some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerInfo {
    /// Its number.
    pub runner: u32,
    /// Who it is; `None` if it died before it had said so.
    pub header: Option<SegmentHeader>,
    /// Where it stands.
    pub state: RunnerState,
    /// When it gave the last sign of life, by its own clock.
    pub last_heartbeat: Option<Tai>,
}

/// The runners of the workspace at `root`, by number. `here` is the process that asks, and
/// `now` its time. Reads the ends of segments only.
///
/// # Errors
/// [`JournalError`] if a file cannot be read.
pub fn runners(root: &Utf8Path, here: &Process, now: Tai) -> Result<Vec<RunnerInfo>, JournalError> {
    let dir = layout::journal_dir(root);
    let mut found = Vec::new();
    for runner in journal::runners(&dir)? {
        let segment = segment::peek(&dir.join(layout::segment_name(runner)), runner)?;
        let last_heartbeat = heartbeat::last(&dir, runner);
        let state = match life(&dir, &segment, here)? {
            Life::Ended => RunnerState::Ended,
            Life::TakenOver => RunnerState::TakenOver,
            Life::Dead => RunnerState::Dead,
            Life::Here | Life::Elsewhere => {
                let since = last_heartbeat.or(segment.header.as_ref().map(|h| h.started));
                let silent = i64::try_from(heartbeat::SILENT.as_nanos()).unwrap_or(i64::MAX);
                if since.is_some_and(|since| now.as_nanos() - since.as_nanos() > silent) {
                    RunnerState::Silent
                } else {
                    RunnerState::Live
                }
            }
        };
        found.push(RunnerInfo { runner, header: segment.header, state, last_heartbeat });
    }
    Ok(found)
}

/// Those runners of the workspace at `root` that may go on, with the headers of their
/// segments. `ended` holds numbers of runners that are known to have ended and are not looked
/// at; those that are found to have ended, or are dead, are added.
///
/// # Errors
/// [`JournalError`] if a file cannot be read.
pub fn at_work(
    root: &Utf8Path,
    here: &Process,
    ended: &mut BTreeSet<u32>,
) -> Result<Vec<SegmentHeader>, JournalError> {
    let dir = layout::journal_dir(root);
    let mut found = Vec::new();
    for runner in journal::runners(&dir)? {
        if ended.contains(&runner) {
            continue;
        }
        let segment = segment::peek(&dir.join(layout::segment_name(runner)), runner)?;
        if life(&dir, &segment, here)?.may_go_on() {
            found.extend(segment.header);
        } else {
            ended.insert(runner);
        }
    }
    Ok(found)
}

/// The processes that may go on in the workspace at `root`, with the numbers of their
/// runners. Damaged segments are passed over.
pub(crate) fn live(root: &Utf8Path, here: &Process) -> Vec<(u32, Process, Life)> {
    let dir = layout::journal_dir(root);
    let runners = journal::runners(&dir).unwrap_or_default().into_iter();
    let one = |runner| {
        let segment = segment::peek(&dir.join(layout::segment_name(runner)), runner).ok()?;
        let life = life(&dir, &segment, here).ok()?;
        let header = segment.header.filter(|_| life.may_go_on())?;
        Some((runner, header.process, life))
    };
    runners.filter_map(one).collect()
}

/// What is known about whether the runner of a segment lives, for a process that holds the
/// lock of the workspace: then runners before version 3, which were alone, are gone.
pub(crate) fn life(
    dir: &Utf8Path,
    segment: &Segment,
    here: &Process,
) -> Result<Life, JournalError> {
    if segment.sealed {
        return Ok(Life::Ended);
    }
    if takeover::lines_that_count(dir, segment.runner)?.is_some() {
        return Ok(Life::TakenOver);
    }
    let Some(header) = segment.header.as_ref().filter(|_| segment.is_shared()) else {
        return Ok(Life::Dead);
    };
    if header.process.host != here.host {
        return Ok(Life::Elsewhere);
    }
    if header.process.boot_id != here.boot_id {
        return Ok(Life::Dead);
    }
    let path = dir.join(layout::segment_name(segment.runner));
    let failed = |source| JournalError::Io { action: "look at", path: path.clone(), source };
    let file = File::open(&path).map_err(failed)?;
    loop {
        return match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            // Closing the file lets it go again.
            Ok(()) => Ok(Life::Dead),
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => Ok(Life::Here),
            Err(errno) => Err(failed(errno.into())),
        };
    }
}
