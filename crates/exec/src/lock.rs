//! Locks of a workspace: who may run quanta in it, and who may change what they made.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{Tai, transaction::Process};
use rustix::fs::FlockOperation;

use crate::{
    heartbeat::{self, SILENT},
    layout,
    runners::{Life, live},
};

/// How often a closer looks whether the runners have ended.
const POLL: Duration = Duration::from_millis(20);

/// A lock on `runner.lock`, held while this value lives: shared by processes that run
/// quanta, alone by one that lets nobody run any.
///
/// The kernel releases it when the process ends, however it ends, and child
/// processes do not get it (the file is closed when a program starts).
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct RunnerLock {
    root: Utf8PathBuf,
    _file: Held,
}

/// A lock on `closer.lock`, held alone by a process that closes a workspace or changes
/// its quanta, while this value lives.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct CloserLock {
    root: Utf8PathBuf,
    _file: Held,
}

/// A lock on `freeze.lock`, held alone and shortly: by whoever freezes a shard, and by
/// whoever adds to the graph of a workspace with shards. So a part of the graph is there
/// before a shard is frozen, or made in knowledge of that.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct FreezeLock {
    _file: Held,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{holder} runs quanta in {root}: wait for it, or end it")]
    Locked {
        /// The workspace.
        root: Utf8PathBuf,
        /// Who has it, as far as the files say.
        holder: String,
    },
    /// Another process closes the workspace or changes its quanta.
    #[error("{holder} closes the workspace {root} or changes its quanta: wait for it, or end it")]
    Closer {
        /// The workspace.
        root: Utf8PathBuf,
        /// Who has it, as far as the file says.
        holder: String,
    },
    /// A runner on another machine has not ended, and gives no sign of life.
    #[error(
        "runner {runner} ({process}) has not ended and was not heard of for a while; only you can know whether it is dead"
    )]
    Unknown {
        /// Its number.
        runner: u32,
        /// Its process.
        process: Process,
    },
    /// The file system refused.
    #[error("cannot lock {path}")]
    Io {
        /// The lock file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl RunnerLock {
    /// Takes the lock of the workspace at `root` alone for `process`, or waits for it.
    ///
    /// # Errors
    /// [`LockError::Locked`] if another process has it and `wait` is not set.
    pub fn acquire(root: &Utf8Path, process: &Process, wait: bool) -> Result<Self, LockError> {
        Self::lock(root, process, if wait { Wait::Alone } else { Wait::AloneNow })
    }

    /// Takes the lock of the workspace at `root` for `process` beside others that run
    /// quanta.
    ///
    /// # Errors
    /// [`LockError::Locked`] if a process has it alone.
    pub fn share(root: &Utf8Path, process: &Process) -> Result<Self, LockError> {
        Self::lock(root, process, Wait::SharedNow)
    }

    /// The workspace that is locked.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    fn lock(root: &Utf8Path, process: &Process, wait: Wait) -> Result<Self, LockError> {
        match Held::lock(&layout::lock_file(root), process, wait)? {
            Ok(file) => Ok(Self { root: root.to_owned(), _file: file }),
            Err(last) => {
                let holder = running(root, process).unwrap_or(last);
                Err(LockError::Locked { root: root.to_owned(), holder })
            }
        }
    }
}

impl FreezeLock {
    /// Waits for the lock of the workspace at `root`, for `process`.
    ///
    /// # Errors
    /// [`LockError::Io`].
    pub fn acquire(root: &Utf8Path, process: &Process) -> Result<Self, LockError> {
        match Held::lock(&layout::freeze_lock_file(root), process, Wait::Alone)? {
            Ok(file) => Ok(Self { _file: file }),
            // Not said to one that waits.
            Err(holder) => Err(LockError::Closer { root: root.to_owned(), holder }),
        }
    }
}

impl CloserLock {
    /// Takes the lock of the workspace at `root` for `process`, or waits for it.
    ///
    /// # Errors
    /// [`LockError::Closer`] if another process has it and `wait` is not set.
    pub fn acquire(root: &Utf8Path, process: &Process, wait: bool) -> Result<Self, LockError> {
        let wait = if wait { Wait::Alone } else { Wait::AloneNow };
        match Held::lock(&layout::closer_lock_file(root), process, wait)? {
            Ok(file) => Ok(Self { root: root.to_owned(), _file: file }),
            Err(holder) => Err(LockError::Closer { root: root.to_owned(), holder }),
        }
    }

    /// Waits until nobody runs quanta any more: each runner has ended, is known to be dead
    /// or was declared dead. The marker of a closer was set before, so that no new one
    /// starts. `waiting` is told for whom it waits, each time that this changes.
    ///
    /// Returns the runners' lock, unless runners that were declared dead hold it: those
    /// find out when they wake up.
    ///
    /// # Errors
    /// [`LockError::Unknown`] about a runner on another machine that gives no sign of life.
    pub fn wait_for_runners(
        &self,
        process: &Process,
        waiting: &mut dyn FnMut(&str),
    ) -> Result<Option<RunnerLock>, LockError> {
        let mut told = None;
        let mut silent: Option<(Vec<Option<Tai>>, Instant)> = None;
        loop {
            // Before those that live are looked at: who starts later finds the marker.
            let lock = match RunnerLock::acquire(&self.root, process, false) {
                Ok(lock) => Some(lock),
                Err(LockError::Locked { .. }) => None,
                Err(error) => return Err(error),
            };
            let live = live(&self.root, process);
            // With the lock, whoever seems to live on this machine has let go of it.
            let live: Vec<_> = live
                .into_iter()
                .filter(|(_, _, life)| lock.is_none() || *life == Life::Elsewhere)
                .collect();
            if live.is_empty() && (lock.is_some() || self.has_taken_over()) {
                return Ok(lock);
            }
            let names = if live.is_empty() { "another process".to_owned() } else { list(&live) };
            if told.as_ref() != Some(&names) {
                waiting(&names);
                told = Some(names);
            }
            if lock.is_some() {
                let dir = layout::journal_dir(&self.root);
                let beats: Vec<_> = live.iter().map(|(r, ..)| heartbeat::last(&dir, *r)).collect();
                match &silent {
                    Some((before, since)) if *before == beats => {
                        if since.elapsed() >= SILENT
                            && let Some((runner, process, _)) = live.into_iter().next()
                        {
                            return Err(LockError::Unknown { runner, process });
                        }
                    }
                    _ => silent = Some((beats, Instant::now())),
                }
            }
            drop(lock);
            std::thread::sleep(POLL);
        }
    }

    /// Whether a runner was declared dead, which may hold its lock for ever.
    fn has_taken_over(&self) -> bool {
        let entries = layout::journal_dir(&self.root).read_dir_utf8();
        let is_over = |name: &str| name.strip_suffix(".over").is_some();
        entries.is_ok_and(|entries| entries.flatten().any(|entry| is_over(entry.file_name())))
    }
}

/// Names those that run quanta at `root`, as far as the segments say.
fn running(root: &Utf8Path, process: &Process) -> Option<String> {
    let live = live(root, process);
    (!live.is_empty()).then(|| list(&live))
}

fn list(live: &[(u32, Process, Life)]) -> String {
    let names: Vec<String> = live.iter().map(|(_, process, _)| process.to_string()).collect();
    names.join(", ")
}

/// How a lock is asked for.
#[derive(Debug, Clone, Copy)]
enum Wait {
    Alone,
    AloneNow,
    SharedNow,
}

/// A lock on a file.
#[derive(Debug)]
struct Held(File);

impl Held {
    /// Takes it; else says who has it, as far as the file says.
    fn lock(
        path: &Utf8Path,
        process: &Process,
        wait: Wait,
    ) -> Result<Result<Self, String>, LockError> {
        let failed = |source: io::Error| LockError::Io { path: path.to_owned(), source };
        // Not truncated: the file may name the process that holds it.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let operation = match wait {
            Wait::Alone => FlockOperation::LockExclusive,
            Wait::AloneNow => FlockOperation::NonBlockingLockExclusive,
            Wait::SharedNow => FlockOperation::NonBlockingLockShared,
        };
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Err(holder(&mut file))),
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        let held = Self(file);
        // The text is for messages only; the lock itself is the kernel's.
        let text = format!("{} {}\n", process.pid, process.host);
        let mut file = &held.0;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(failed)?;
        Ok(Ok(held))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that another thread is just starting has
        // a copy of it until it runs its program, and would keep the lock that long.
        let _released = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // A holder that is about to write its name leaves it empty for a moment.
    if file.take(4096).read_to_string(&mut text).is_ok()
        && let Some((pid, host)) = text.trim_end().split_once(' ')
    {
        format!("process {pid} on {host}")
    } else {
        "another process".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> Process {
        Process { host: "here".to_owned(), boot_id: "b".to_owned(), pid }
    }

    #[test]
    fn one_at_a_time() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let root = Utf8Path::from_path(dir.path()).ok_or("a UTF-8 path")?;
        let first = RunnerLock::acquire(root, &process(17), false)?;
        let second = RunnerLock::acquire(root, &process(18), false);
        assert_eq!(
            second.map(|_| ()).map_err(|e| e.to_string()),
            Err(format!("process 17 on here runs quanta in {root}: wait for it, or end it"))
        );
        let waiting = std::thread::spawn({
            let root = root.to_owned();
            move || RunnerLock::acquire(&root, &process(19), true).map(|_| ())
        });
        drop(first);
        waiting.join().map_err(|_| "it panicked")??;
        Ok(())
    }

    #[test]
    fn many_run_and_one_closes() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let root = Utf8Path::from_path(dir.path()).ok_or("a UTF-8 path")?;
        let runners =
            [RunnerLock::share(root, &process(1))?, RunnerLock::share(root, &process(2))?];
        assert!(RunnerLock::acquire(root, &process(3), false).is_err());
        let closer = CloserLock::acquire(root, &process(3), false)?;
        let other = CloserLock::acquire(root, &process(4), false);
        assert!(matches!(other, Err(LockError::Closer { holder, .. }) if holder.contains('3')));
        let (told, heard) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            let lock = closer.wait_for_runners(&process(3), &mut |who| {
                let _unheard = told.send(who.to_owned());
            });
            lock.map(|lock| lock.is_some())
        });
        assert_eq!(heard.recv()?, "another process", "they have no segments");
        drop(runners);
        assert!(waiting.join().map_err(|_| "it panicked")??);
        Ok(())
    }
}
