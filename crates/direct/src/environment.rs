//! Clock, ids, owner and process: everything that differs from one run of a
//! program to the next comes in as a value.

use std::{fmt, sync::Arc};

use pantler_core::{DatasetId, OpeningId, Tai, transaction::Process};
use uuid::{Timestamp, Uuid};

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Tai;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Tai {
        let unix = match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
        };
        Tai::from_unix_nanos(unix).unwrap_or(Tai::from_nanos(0))
    }
}

/// Who works, in which process, with which clock.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The user, as recorded with transactions.
    pub owner: String,
    /// This process.
    pub process: Process,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Environment {
    /// This process under the system clock.
    pub fn of_this_process(owner: impl Into<String>) -> Self {
        Self { owner: owner.into(), process: this_process(), clock: Arc::new(SystemClock) }
    }

    /// A new id for an opening.
    pub fn new_opening(&self) -> OpeningId {
        OpeningId::from_uuid(self.new_uuid())
    }

    /// A new id for a dataset.
    pub fn new_dataset(&self) -> DatasetId {
        DatasetId::from_uuid(self.new_uuid())
    }

    fn new_uuid(&self) -> Uuid {
        let unix = self.clock.now().to_unix_nanos().max(0);
        let seconds = u64::try_from(unix / 1_000_000_000).unwrap_or(0);
        let nanos = u32::try_from(unix % 1_000_000_000).unwrap_or(0);
        Uuid::new_v7(Timestamp::from_unix(uuid::NoContext, seconds, nanos))
    }

    /// What can be said from here about whether `process` lives.
    pub fn liveness(&self, process: &Process) -> Liveness {
        if *process == self.process {
            return Liveness::ThisProcess;
        }
        if process.host != self.process.host {
            return Liveness::Unknown;
        }
        if process.boot_id != self.process.boot_id || !pid_lives(process.pid) {
            return Liveness::Dead;
        }
        Liveness::Alive
    }
}

/// What is known about another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It is the one that asks.
    ThisProcess,
    /// It runs on this machine (or another that got its number does).
    Alive,
    /// It ran on this machine and has ended, or the machine was started again.
    Dead,
    /// It is on another machine.
    Unknown,
}

/// This process, as others can recognise it.
pub fn this_process() -> Process {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default();
    Process { host, boot_id, pid: std::process::id() }
}

/// Whether a process of that number runs; one that has ended and was not yet
/// waited for by its parent does not.
fn pid_lives(pid: u32) -> bool {
    let Some(pid_t) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    if rustix::process::test_kill_process(pid_t) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let ended = state
        .as_deref()
        .and_then(|stat| stat.rsplit_once(") "))
        .is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']));
    !ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_known_dead_only_on_its_own_host() {
        let here = Environment::of_this_process("me");
        let mut child = std::process::Command::new("true").spawn().expect("true runs");
        let mut process = Process { pid: child.id(), ..here.process.clone() };
        child.wait().expect("true ends");
        assert_eq!(here.liveness(&process), Liveness::Dead);
        process.host = "elsewhere".to_owned();
        assert_eq!(here.liveness(&process), Liveness::Unknown);
        let parent = Process { pid: std::os::unix::process::parent_id(), ..here.process.clone() };
        assert_eq!(here.liveness(&parent), Liveness::Alive);
        let earlier = Process { boot_id: "another".to_owned(), ..parent };
        assert_eq!(here.liveness(&earlier), Liveness::Dead);
        assert_eq!(here.liveness(&here.process), Liveness::ThisProcess);
    }
}
