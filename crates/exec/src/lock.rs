//! The lock of the one process that runs quanta in a workspace.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::transaction::Process;
use rustix::fs::FlockOperation;

use crate::layout;

/// An exclusive lock on `runner.lock`, held while this value lives.
///
/// The kernel releases it when the process ends, however it ends, and child
/// processes do not get it (the file is closed when a program starts).
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct RunnerLock {
    root: Utf8PathBuf,
    file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{holder} runs quanta in {root}: wait for it, or end it")]
    Locked {
        /// The workspace.
        root: Utf8PathBuf,
        /// Who has it, as far as the file says.
        holder: String,
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
    /// Takes the lock of the workspace at `root` for `process`, or waits for it.
    ///
    /// # Errors
    /// [`LockError::Locked`] if another process has it and `wait` is not set.
    pub fn acquire(root: &Utf8Path, process: &Process, wait: bool) -> Result<Self, LockError> {
        let path = layout::lock_file(root);
        let failed = |source: io::Error| LockError::Io { path: path.clone(), source };
        // Not truncated: the file may name the process that holds it.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let operation = if wait {
            FlockOperation::LockExclusive
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(LockError::Locked {
                        root: root.to_owned(),
                        holder: holder(&mut file),
                    });
                }
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        // The text is for messages only; the lock itself is the kernel's.
        let text = format!("{} {}\n", process.pid, process.host);
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(failed)?;
        Ok(Self { root: root.to_owned(), file })
    }

    /// The workspace that is locked.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }
}

impl Drop for RunnerLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that another thread is just starting has
        // a copy of it until it runs its program, and would keep the lock that long.
        let _released = rustix::fs::flock(&self.file, FlockOperation::Unlock);
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
}
