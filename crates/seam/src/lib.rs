//! Named steps at which tests kill or pause a Pantler process.
//!
//! Each effect that a crash could cut in two (a database commit, a write, a
//! rename, a flush, a delete, a spawn) calls [`step`] with a name of its own
//! before it happens, and after it where that is another state. In an ordinary
//! build `step` is empty. With the feature `armed`, which only the root package's
//! dev-dependencies switch on:
//!
//! - `PANTLER_CRASH=name:n` kills the process with SIGKILL at the n-th time (from 1)
//!   that it comes to the step `name`;
//! - `PANTLER_PAUSE=name:n` stops it there with SIGSTOP, until somebody sends SIGCONT;
//! - `PANTLER_CRASH_LOG=file` appends the name of every step reached to `file`.

#[cfg(feature = "armed")]
mod armed;

/// Marks a step; see the crate's documentation.
#[inline]
pub fn step(name: &'static str) {
    #[cfg(feature = "armed")]
    armed::step(name);
    #[cfg(not(feature = "armed"))]
    let _: &'static str = name;
}
