//! The files of a workspace root that this crate owns.
//!
//! ```text
//! <root>/
//!   runner.lock            held (flock) by those that run quanta here, alone by whoever changes some
//!   closer.lock            held (flock) by the one process that closes, accepts, poisons or resets
//!   freeze.lock            held (flock) while a shard is frozen, or a part of the graph written
//!   frozen/<shard>.json    made by a commit of a shard: nothing of it changes any more
//!   closing                made by a closer: nobody runs anything here any more
//!   journal/<runner>.jsonl one append-only segment per process that runs or changes quanta
//!   journal/<runner>.alive when that runner gave its last sign of life
//!   journal/<runner>.over  somebody has declared that runner dead
//!   logs/<runner>.log      what the quanta of that runner said, byte for byte
//!   scratch/<runner>-<n>/  one attempt of a command: out/, work/, tmp/, in/, log
//! ```

use camino::{Utf8Path, Utf8PathBuf};

/// The journal's segments.
pub fn journal_dir(root: &Utf8Path) -> Utf8PathBuf {
    root.join("journal")
}

/// The segment of one runner, inside of [`journal_dir`].
pub(crate) fn segment_name(runner: u32) -> String {
    format!("{runner}.jsonl")
}

/// The runner whose segment has this file name; `None` for other files.
pub(crate) fn segment_runner(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".jsonl")?;
    let runner = digits.parse().ok()?;
    // `+1` and `01` parse as well, and would make two files of one runner.
    (segment_name(runner) == name).then_some(runner)
}

/// The signs of life of one runner, inside of [`journal_dir`].
pub(crate) fn alive_name(runner: u32) -> String {
    format!("{runner}.alive")
}

/// What says that a runner was declared dead, inside of [`journal_dir`].
pub(crate) fn over_name(runner: u32) -> String {
    format!("{runner}.over")
}

/// What the quanta said, of all runners.
pub fn logs_dir(root: &Utf8Path) -> Utf8PathBuf {
    root.join("logs")
}

/// What the quanta of one runner said.
pub fn log_file(root: &Utf8Path, runner: u32) -> Utf8PathBuf {
    logs_dir(root).join(format!("{runner}.log"))
}

/// Where attempts work.
pub fn scratch_dir(root: &Utf8Path) -> Utf8PathBuf {
    root.join("scratch")
}

/// The lock of the one process that changes what others run.
pub fn closer_lock_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("closer.lock")
}

/// The lock of the processes that run quanta.
pub fn lock_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("runner.lock")
}

/// The lock of one that freezes a shard, or adds to the graph.
pub fn freeze_lock_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("freeze.lock")
}

/// The markers of frozen shards.
pub fn frozen_dir(root: &Utf8Path) -> Utf8PathBuf {
    root.join("frozen")
}

/// The marker of a closer.
pub fn closing_marker(root: &Utf8Path) -> Utf8PathBuf {
    root.join("closing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_segments_have_a_runner() {
        assert_eq!(segment_runner("12.jsonl"), Some(12));
        for other in ["+1.jsonl", "01.jsonl", "1.jsonl.tmp", "x.jsonl", ".jsonl", "1", "-1.jsonl"] {
            assert_eq!(segment_runner(other), None, "{other}");
        }
    }
}
