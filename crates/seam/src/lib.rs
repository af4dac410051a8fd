//! Named steps at which tests kill, pause or fail a Pantler process.
//!
//! Each effect that a crash could cut in two (a database commit, a write, a
//! rename, a flush, a delete, a spawn) calls [`step`] with a name of its own
//! before it happens, and after it where that is another state. An effect that can
//! fail is handed to [`around`], [`fallible`], [`look`], [`write_in_halves`] or
//! [`fault`] instead, and [`traced`] notes what was done to files. In an ordinary
//! build all of these do the effect and nothing else. With the feature `armed`,
//! which only the root package's dev-dependencies switch on:
//!
//! - `PANTLER_CRASH=name:n` kills the process with SIGKILL at the n-th time (from 1)
//!   that it comes to the step `name`;
//! - `PANTLER_PAUSE=name:n` stops it there with SIGSTOP, until somebody sends SIGCONT;
//! - `PANTLER_CRASH_LOG=file` appends the name of every step reached to `file`;
//! - `PANTLER_FAULT=name:n:how` makes the n-th call of `name` fail, `name:n+:how` the n-th
//!   and all later ones. The name `*` stands for all, counted together, and passes over
//!   those at which `how` makes no sense. Several are separated by commas. What `how` may
//!   be, says [`How`];
//! - `PANTLER_FAULT_LOG=file` appends a line for every call that can fail: its name, a
//!   space, and the hows that make sense there, separated by commas. The n-th line is what
//!   `*:n:how` fails;
//! - `PANTLER_TRACE=file` appends a line for every change of files and every flush that
//!   succeeded; see [`Event`]. What is traced happens one after the other, and no step
//!   kills in between: after a kill, the trace tells exactly what was done, and whatever
//!   was not flushed can be taken back, as a loss of power would.
//!
//! [`rules`] is for what fails in process: the doubles of storage and database.

#[cfg(feature = "armed")]
mod armed;
mod event;
mod how;
pub mod rules;

use std::{
    io::{self, Write},
    path::Path,
};

pub use event::Event;
pub use how::How;

/// Marks a step; see the crate's documentation.
#[inline]
pub fn step(name: &'static str) {
    #[cfg(feature = "armed")]
    if let Some(plan) = armed::plan() {
        plan.step(name);
    }
    #[cfg(not(feature = "armed"))]
    let _: &'static str = name;
}

/// Does an effect that may change something: a [`step`] that can fail before the effect,
/// or after it, with its answer lost.
///
/// # Errors
/// Those of the effect, and the planned one.
#[inline]
pub fn around<T, E: From<io::Error>>(
    name: &'static str,
    effect: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    step(name);
    match fault(name, how::CHANGE) {
        None => effect(),
        Some(How::Lost) => {
            drop(effect()?);
            Err(How::Lost.error().into())
        }
        Some(how) => Err(how.error().into()),
    }
}

/// A [`step`] that can fail.
///
/// # Errors
/// The planned one.
#[inline]
pub fn fallible(name: &'static str) -> io::Result<()> {
    step(name);
    fault(name, how::BEFORE).map_or(Ok(()), |how| Err(how.error()))
}

/// Comes before something is read. It can fail, and is no step: nothing changes here.
///
/// # Errors
/// The planned one.
#[inline]
pub fn look(name: &'static str) -> io::Result<()> {
    fault(name, how::LOOK).map_or(Ok(()), |how| Err(how.error()))
}

/// Writes `data` to the file `path`, in two halves with a [`step`] between them, so that
/// a kill there leaves half of the data however small it is. It can fail before, between
/// and after them.
///
/// # Errors
/// Those of `out`, and the planned one.
#[inline]
pub fn write_in_halves(
    name: &'static str,
    path: &str,
    out: &mut impl Write,
    data: &[u8],
) -> io::Result<()> {
    let fault = fault(name, how::WRITE);
    if let Some(how) = fault
        && !matches!(how, How::Partial | How::Lost)
    {
        return Err(how.error());
    }
    let (first, second) = data.split_at(data.len() / 2);
    traced(Event::Write(path), || out.write_all(first))?;
    step(name);
    if fault == Some(How::Partial) {
        return Err(How::Partial.error());
    }
    traced(Event::Write(path), || out.write_all(second))?;
    fault.map_or(Ok(()), |how| Err(how.error()))
}

/// How what comes next must fail, for callers with errors of their own; one of `hows`.
/// `None`, always so in an ordinary build: not at all. [`How::Slow`] is dealt with here.
///
/// It is no [`step`]: those who need one call that, too.
#[inline]
#[must_use]
pub fn fault(name: &'static str, hows: &'static [How]) -> Option<How> {
    #[cfg(feature = "armed")]
    {
        armed::plan().and_then(|plan| plan.fault(name, hows))
    }
    #[cfg(not(feature = "armed"))]
    {
        let (_, _) = (name, hows);
        None
    }
}

/// Does one thing to files, and traces it if that succeeded. No step may be inside.
///
/// # Errors
/// Those of `action`.
#[inline]
pub fn traced<T, E>(event: Event<'_>, action: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    #[cfg(feature = "armed")]
    if let Some(trace) = armed::plan().and_then(|plan| plan.trace()) {
        return trace.around(event, action);
    }
    #[cfg(not(feature = "armed"))]
    let _: Event<'_> = event;
    action()
}

/// [`std::fs::create_dir_all`], traced.
///
/// # Errors
/// Those of the file system.
#[inline]
pub fn make_directories(path: impl AsRef<Path>) -> io::Result<()> {
    #[cfg(feature = "armed")]
    if let Some(trace) = armed::plan().and_then(|plan| plan.trace()) {
        return trace.make_directories(path.as_ref());
    }
    std::fs::create_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is planned in the process of these tests, armed or not.
    #[test]
    fn without_a_plan_only_the_effects_are_left() {
        step("t.step");
        let around = around("t.around", || Ok::<_, io::Error>(7));
        assert_eq!(around.unwrap(), 7);
        fallible("t.fallible").unwrap();
        look("t.look").unwrap();
        assert_eq!(fault("t.fault", &[How::Locked]), None);
        let mut out = Vec::new();
        write_in_halves("t.write", "/x", &mut out, b"odd").unwrap();
        write_in_halves("t.write", "/x", &mut out, b"").unwrap();
        assert_eq!(out, b"odd");
        assert_eq!(traced(Event::Commit, || Err::<(), _>("as it is")), Err("as it is"));
        let scratch = tempfile::tempdir().unwrap();
        make_directories(scratch.path().join("a/b")).unwrap();
        assert!(scratch.path().join("a/b").is_dir());
    }
}
