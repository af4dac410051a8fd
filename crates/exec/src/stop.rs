//! Asking a run to stop.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

type Waker = Box<dyn Fn() + Send>;

#[derive(Default)]
struct Inner {
    requests: AtomicU32,
    waker: Mutex<Option<Waker>>,
}

/// A flag that asks a run to stop; its clones are the same flag.
///
/// After the first request no quantum starts any more and commands get SIGTERM;
/// what still runs 5 s later, or at the second request, gets SIGKILL.
#[derive(Clone, Default)]
pub struct StopFlag(Arc<Inner>);

impl StopFlag {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop (again), and wakes the run.
    pub fn request(&self) {
        self.0.requests.fetch_add(1, Ordering::SeqCst);
        if let Some(wake) = &*self.0.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            wake();
        }
    }

    /// How often it was asked for.
    pub fn requests(&self) -> u32 {
        self.0.requests.load(Ordering::SeqCst)
    }

    /// Whether it was asked for.
    pub fn is_set(&self) -> bool {
        self.requests() > 0
    }

    /// Calls `waker` at each request from now on; `None` for nobody.
    pub(crate) fn wake(&self, waker: Option<Waker>) {
        *self.0.waker.lock().unwrap_or_else(PoisonError::into_inner) = waker;
    }
}

impl fmt::Debug for StopFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopFlag").field("requests", &self.requests()).finish_non_exhaustive()
    }
}
