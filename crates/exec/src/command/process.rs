//! Starts programs in process groups of their own, and ends them.
//!
//! The group is what makes "the command has ended" mean something: whatever it
//! left behind in its group is killed before an output is looked at, so nothing
//! writes to a file any more when it becomes an artifact.

use std::{
    collections::HashMap,
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use pantler_seam::step;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid,
};

/// How long what was killed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// The process groups that run now, so that a stopping run can end them.
#[derive(Debug, Default)]
pub(crate) struct Children {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What each group gets that runs or starts from now on.
    signal: Option<Signal>,
    /// The groups, and whether they got it.
    groups: HashMap<i32, bool>,
}

impl Children {
    /// Sends `signal` to all groups, and to those that start later.
    pub(crate) fn signal_all(&self, signal: Signal) {
        let mut state = self.state();
        state.signal = Some(signal);
        for (group, signalled) in &mut state.groups {
            *signalled = true;
            send(*group, signal);
        }
    }

    fn add(&self, group: i32) {
        let mut state = self.state();
        let signal = state.signal;
        state.groups.insert(group, signal.is_some());
        if let Some(signal) = signal {
            send(group, signal);
        }
    }

    /// Returns whether the group was signalled.
    fn remove(&self, group: i32) -> bool {
        self.state().groups.remove(&group).unwrap_or(false)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a program ended; its group is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Because the run stops.
    Stopped,
    /// Its group (this one) cannot be ended.
    Leftover(i32),
}

/// Why there is no [`Exit`].
#[derive(Debug)]
pub(crate) enum ProcessError {
    /// The program did not start.
    Spawn(io::Error),
    /// It started, and the system does not say how it ended.
    Wait(io::Error),
}

/// Runs a program in a group of its own, until the whole group is gone.
pub(crate) fn run(command: &mut Command, children: &Children) -> Result<Exit, ProcessError> {
    step("exec.spawn");
    let mut child = command.process_group(0).spawn().map_err(ProcessError::Spawn)?;
    let pid = Pid::from_child(&child);
    let group = pid.as_raw_nonzero().get();
    children.add(group);
    // Not reaped yet: until it is, the group's number cannot belong to others.
    let ended = wait_unreaped(pid);
    step("exec.child.exited");
    let stopped = children.remove(group);
    send(group, Signal::KILL);
    let status = child.wait().map_err(ProcessError::Wait)?;
    ended.map_err(ProcessError::Wait)?;
    if !await_end(pid) {
        return Ok(Exit::Leftover(group));
    }
    Ok(match (stopped, status.code(), status.signal()) {
        // Also if it said 0: what it does about SIGTERM is not known.
        (true, _, _) => Exit::Stopped,
        (false, Some(code), _) => Exit::Code(code),
        (false, None, signal) => Exit::Signal(signal.unwrap_or(0)),
    })
}

fn wait_unreaped(pid: Pid) -> io::Result<()> {
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn send(group: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(group) {
        // Fails if all of the group have ended, which is what is wanted.
        let _gone: Result<(), rustix::io::Errno> = kill_process_group(pid, signal);
    }
}

/// Waits until nothing of a killed group runs.
fn await_end(group: Pid) -> bool {
    let since = Instant::now();
    let mut pause = Duration::from_micros(200);
    while test_kill_process_group(group) != Err(rustix::io::Errno::SRCH) {
        // Where nobody reaps orphans (many containers), the dead stay in the group.
        if !any_alive(group) {
            return true;
        }
        if since.elapsed() > GONE_WITHIN {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    true
}

/// Whether a process of the group lives, as far as the system tells.
#[cfg(target_os = "linux")]
fn any_alive(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    let group = group.as_raw_nonzero().to_string();
    processes.flatten().any(|process| {
        // Only processes have a stat; one that vanishes meanwhile is dead.
        let Ok(stat) = std::fs::read(process.path().join("stat")) else { return false };
        let stat = String::from_utf8_lossy(&stat);
        // pid (name) state parent group …, and a name may hold anything.
        let mut fields = stat.rsplit(')').next().unwrap_or("").split_ascii_whitespace();
        let state = fields.next();
        fields.nth(1) == Some(group.as_str()) && !matches!(state, Some("Z" | "X"))
    })
}

#[cfg(not(target_os = "linux"))]
fn any_alive(_: Pid) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    #[test]
    fn exits_are_told_apart() -> Result<(), String> {
        let children = Children::default();
        let exit = |script| run(&mut shell(script), &children).map_err(|e| format!("{e:?}"));
        assert_eq!(exit("exit 3")?, Exit::Code(3));
        assert_eq!(exit("kill -9 $$")?, Exit::Signal(9));
        let missing = run(&mut Command::new("/no/such/program"), &children);
        assert!(matches!(missing, Err(ProcessError::Spawn(_))), "{missing:?}");
        Ok(())
    }

    #[test]
    fn what_a_program_leaves_behind_is_ended() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let late = dir.path().join("late");
        let script = format!("(sleep 0.3; echo late > {}) & exit 0", late.display());
        let exit = run(&mut shell(&script), &Children::default());
        assert!(matches!(exit, Ok(Exit::Code(0))), "{exit:?}");
        std::thread::sleep(Duration::from_millis(600));
        assert!(!late.exists());
        Ok(())
    }

    #[test]
    fn what_starts_while_the_run_stops_is_ended_as_well() {
        let children = Children::default();
        children.signal_all(Signal::TERM);
        let since = Instant::now();
        let exit = run(&mut shell("sleep 60"), &children);
        assert!(matches!(exit, Ok(Exit::Stopped)), "{exit:?}");
        assert!(since.elapsed() < Duration::from_secs(30));
    }
}
