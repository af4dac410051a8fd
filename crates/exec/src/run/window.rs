//! How many quanta are given to the pool ahead of its threads.

use std::time::{Duration, Instant};

/// Grows while quanta end faster than the queue-owning thread can follow, so that
/// their start lines are written together; goes back to one per thread when they
/// are slow, so that a crash finds few quanta started that did not run.
#[derive(Debug)]
pub(super) struct Window {
    jobs: usize,
    size: usize,
    last: Instant,
}

const FAST: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_micros(500);
const PER_JOB: usize = 128;

impl Window {
    pub(super) fn new(jobs: usize, now: Instant) -> Self {
        Self { jobs, size: jobs, last: now }
    }

    /// How many in-process quanta may be with the pool at a time.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// How long to leave the pool alone while `in_flight` quanta are with it: it then
    /// has enough to do for so long, and what ends meanwhile is taken together
    /// instead of waking the queue-owning thread each time.
    pub(super) fn pause(&self, in_flight: usize) -> Option<Duration> {
        (self.size > 4 * self.jobs && 2 * in_flight > self.size).then_some(PAUSE)
    }

    /// Takes notice that some quanta ended until `now`.
    pub(super) fn turn(&mut self, now: Instant) {
        let since = now.duration_since(self.last);
        self.last = now;
        if since < FAST {
            self.size = (self.size * 2).min(self.jobs * PER_JOB);
        } else if since > SLOW {
            self.size = self.jobs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_quanta_are_given_ahead_and_slow_ones_are_not() {
        let mut now = Instant::now();
        let mut window = Window::new(2, now);
        for _ in 0..20 {
            now += Duration::from_micros(100);
            window.turn(now);
        }
        assert_eq!(window.size(), 256);
        assert!(window.pause(200).is_some() && window.pause(100).is_none());
        window.turn(now + Duration::from_secs(1));
        assert_eq!(window.size(), 2);
        assert!(window.pause(2).is_none());
    }
}
