//! Signs of life: `journal/<runner>.alive`, written again every few seconds, so that
//! others, also on other machines, can tell a dead runner from a slow one.
//!
//! The file holds the time of the runner's clock, in nanoseconds TAI, as twenty digits. It
//! is not flushed: after a loss of power nobody is alive. Whether a runner is silent is
//! judged by whether the text changes, so that clocks need not agree.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, UNIX_EPOCH},
};

use camino::Utf8Path;
use pantler_core::Tai;

use crate::{Clock, layout};

/// How often a runner gives a sign of life.
pub(crate) const BEAT: Duration = Duration::from_secs(2);
/// How long without one a runner looks dead.
pub(crate) const SILENT: Duration = Duration::from_secs(10);

/// Beats for `runner` until the other end of `ended` is dropped; calls `also` at each beat.
pub(crate) fn beat(
    dir: &Utf8Path,
    runner: u32,
    clock: &dyn Clock,
    ended: &Receiver<()>,
    mut also: impl FnMut(),
) {
    let path = dir.join(layout::alive_name(runner));
    let mut file: Option<File> = None;
    loop {
        if file.is_none() {
            file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).ok();
        }
        if let Some(open) = &file {
            let text = format!("{:020}\n", clock.now().as_nanos());
            // A beat that fails is a beat missed, and says what it should.
            if open.write_all_at(text.as_bytes(), 0).is_err() {
                file = None;
            }
        }
        also();
        match ended.recv_timeout(BEAT) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Takes the file away: the runner has ended.
pub(crate) fn end(dir: &Utf8Path, runner: u32) {
    // What stays says nothing about a sealed segment.
    drop(std::fs::remove_file(dir.join(layout::alive_name(runner))));
}

/// When the runner beat last by its own clock; `None` if it has not.
pub(crate) fn last(dir: &Utf8Path, runner: u32) -> Option<Tai> {
    let text = std::fs::read_to_string(dir.join(layout::alive_name(runner))).ok()?;
    text.trim_end().parse().ok().map(Tai::from_nanos)
}

/// Whether the file says that at the time `now` of this machine the last beat was long ago.
/// With a file system whose clock runs differently it may not know.
pub(crate) fn is_old(dir: &Utf8Path, runner: u32, now: Tai) -> bool {
    let modified = || {
        let metadata = std::fs::metadata(dir.join(layout::alive_name(runner))).ok()?;
        let since_epoch = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Tai::from_unix_nanos(i128::try_from(since_epoch.as_nanos()).ok()?).ok()
    };
    let old = i64::try_from(3 * SILENT.as_nanos()).unwrap_or(i64::MAX);
    modified().is_some_and(|at| now.as_nanos().saturating_sub(at.as_nanos()) > old)
}
