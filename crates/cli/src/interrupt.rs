//! Ctrl-C and SIGTERM in commands that run quanta.
//!
//! While quanta run, the first request lets the run end in order, the second kills the
//! commands. Before that (an ingest, a build) and after it (a commit that takes long)
//! the process just ends: every step survives a kill, and the same command goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use pantler_exec::{
    StopFlag,
    signals::{SignalGuard, stop_at_signals},
};

use crate::{
    error::{CommandError, Status},
    output::Output,
};

const BEFORE: u8 = 0;
const RUNNING: u8 = 1;
const AFTER: u8 = 2;

/// How far the run is; shared with the thread that looks at requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Phase(Arc<AtomicU8>);

impl Phase {
    /// Quanta run from now on: they end in order.
    pub(crate) fn running(&self) {
        self.0.store(RUNNING, Ordering::SeqCst);
    }

    /// No quantum runs any more.
    pub(crate) fn after(&self) {
        self.0.store(AFTER, Ordering::SeqCst);
    }
}

/// What is said about requests.
#[derive(Debug)]
struct Messages {
    first: Option<&'static str>,
    end: String,
}

/// Watches for requests to stop while it lives.
#[derive(Debug)]
pub(crate) struct Interrupts {
    stop: StopFlag,
    phase: Phase,
    done: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
    _signals: SignalGuard,
}

impl Interrupts {
    /// Installs the handlers. `message` is said when the process ends at once.
    pub(crate) fn watch(message: String) -> Result<Self, CommandError> {
        Self::watch_from(Phase::default(), Messages { first: None, end: message })
    }

    /// The same for work that only a second request breaks off; `first` is said at the
    /// first.
    pub(crate) fn watch_work(first: &'static str, end: String) -> Result<Self, CommandError> {
        let phase = Phase::default();
        phase.after();
        Self::watch_from(phase, Messages { first: Some(first), end })
    }

    fn watch_from(phase: Phase, messages: Messages) -> Result<Self, CommandError> {
        let stop = StopFlag::new();
        let done = Arc::new(AtomicBool::new(false));
        let failed = |source| CommandError::failed(InterruptError(source));
        let signals = stop_at_signals(&stop).map_err(failed)?;
        let watcher = {
            let (stop, phase, done) = (stop.clone(), phase.clone(), Arc::clone(&done));
            std::thread::Builder::new()
                .name("interrupts".to_owned())
                .spawn(move || watch(&stop, &phase, &done, messages))
                .map_err(failed)?
        };
        Ok(Self { stop, phase, done, watcher: Some(watcher), _signals: signals })
    }

    /// The flag that the signals set.
    pub(crate) fn stop(&self) -> &StopFlag {
        &self.stop
    }

    /// To say how far the run is.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.clone()
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        if let Some(watcher) = self.watcher.take() {
            watcher.thread().unpark();
            drop(watcher.join());
        }
    }
}

/// Signals cannot be handled.
#[derive(Debug, thiserror::Error)]
#[error("cannot handle signals")]
struct InterruptError(#[source] std::io::Error);

#[expect(
    clippy::exit,
    reason = "what the main thread does cannot be told to stop, and survives a kill"
)]
fn watch(stop: &StopFlag, phase: &Phase, done: &AtomicBool, messages: Messages) {
    let Messages { mut first, end } = messages;
    while !done.load(Ordering::SeqCst) {
        if stop.is_set()
            && let Some(first) = first.take()
        {
            Output::default().note(first);
        }
        if ends_now(phase.0.load(Ordering::SeqCst), stop.requests()) {
            Output::default().note(&end);
            std::process::exit(i32::from(Status::Stopped.code()));
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Whether so many requests end the process at once. A request that came while quanta
/// ran is not one to break off the commit after them.
fn ends_now(phase: u8, requests: u32) -> bool {
    match phase {
        BEFORE => requests >= 1,
        RUNNING => false,
        _ => requests >= 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_quanta_are_waited_for() {
        assert!(!ends_now(BEFORE, 0));
        assert!(ends_now(BEFORE, 1));
        assert!(!ends_now(RUNNING, 2));
        assert!(!ends_now(AFTER, 1));
        assert!(ends_now(AFTER, 2));
    }
}
