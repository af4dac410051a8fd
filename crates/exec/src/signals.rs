//! SIGINT and SIGTERM as requests to stop. Only the program installs these.

use std::io;

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::{Handle, Signals},
};

use crate::StopFlag;

/// Sets `stop` at each SIGINT and SIGTERM from now on, until the guard is dropped.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn stop_at_signals(stop: &StopFlag) -> io::Result<SignalGuard> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let handle = signals.handle();
    let stop = stop.clone();
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            stop.request();
        }
    })?;
    Ok(SignalGuard { handle, thread: Some(thread) })
}

/// Keeps the signal handlers.
#[derive(Debug)]
#[must_use = "signals are not handled any more when this is dropped"]
pub struct SignalGuard {
    handle: Handle,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was printed; dropping must not panic as well.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_signal_sets_the_flag() -> Result<(), Box<dyn std::error::Error>> {
        let stop = StopFlag::new();
        let guard = stop_at_signals(&stop)?;
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, rustix::process::Signal::TERM)?;
        let since = Instant::now();
        while !stop.is_set() && since.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(stop.requests(), 1);
        drop(guard);
        Ok(())
    }
}
