//! The files of a workspace root.
//!
//! ```text
//! <repository>/workspaces/<name>/<opening id>/
//!   transaction.json        what a client needs without the database (written by `pantler-direct`)
//!   pipeline.json           the pipeline as it was at the creation: create-only (`pipeline_file.rs`)
//!   development.json        in development mode: perhaps with another pipeline (`development.rs`)
//!   ledger.json             instead of a pipeline: what writers of a ledger need to know (`ledger/`)
//!   ledger.lock             held by the one writer of a ledger that says what is done
//!   ledger/<writer>.jsonl   what was written, one segment a writer
//!   graph-<n>.qg            the predicted quantum graph, part by part: immutable, create-only (`build.rs`)
//!   shards/<part>-<shard>   empty: that part was built for that shard only (`parts.rs`)
//!   frozen/<shard>.json     made by the commit of a shard: nothing of it changes any more (`shard/`)
//!   freeze.lock             held while a shard is frozen, or a part of the graph of a workspace with shards written
//!   reuse-<n>.jsonl.zst     what may be taken over for the quanta of a part: create-only (`reuse.rs`)
//!   closing                 made by a closer: nobody runs anything here any more (`kind/`)
//!   runner.lock             held by the processes that run quanta (`pantler-exec`)
//!   closer.lock             held by the one process that closes it or changes quanta (`pantler-exec`)
//!   journal/<runner>.jsonl  what happened to each quantum, one segment a runner (`pantler-exec`)
//!   logs/<runner>.log       what the quanta of that runner said (`pantler-exec`)
//!   provenance.zip          made by a commit on its way into the storage (`provenance.rs`)
//!   scratch/                where commands work (`pantler-exec`)
//! ```
//!
//! `<name>` is the RUN's name as one percent-encoded path component.

use camino::{Utf8Path, Utf8PathBuf};

pub use pantler_exec::layout::{closing_marker, frozen_dir, journal_dir, logs_dir, scratch_dir};

/// The effective pipeline.
pub fn pipeline_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("pipeline.json")
}

/// A part of the quantum graph; they count from 1.
pub fn graph_file(root: &Utf8Path, part: u32) -> Utf8PathBuf {
    root.join(format!("graph-{part}.qg"))
}

/// The notes of which parts were built for one shard only.
pub fn shard_parts_dir(root: &Utf8Path) -> Utf8PathBuf {
    root.join("shards")
}

/// What may be taken over for the quanta of a part of the graph.
pub fn reuse_file(root: &Utf8Path, part: u32) -> Utf8PathBuf {
    root.join(format!("reuse-{part}.jsonl.zst"))
}

/// The parts of the quantum graph that there are, in the order in which they were built.
pub fn graph_files(root: &Utf8Path) -> Vec<Utf8PathBuf> {
    // Each was made when those before it were there.
    (1..=u32::MAX).map(|part| graph_file(root, part)).take_while(|path| path.exists()).collect()
}

/// Whether a quantum graph has been built.
pub fn has_graph(root: &Utf8Path) -> bool {
    graph_file(root, 1).exists()
}

/// Says that a workspace is in development mode, and its pipeline if that was replaced.
pub fn development_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("development.json")
}

/// What writers of a ledger need to know.
pub fn ledger_types_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("ledger.json")
}

/// The segments of a ledger.
pub fn ledger_dir(root: &Utf8Path) -> Utf8PathBuf {
    root.join("ledger")
}

/// The segment of one writer.
pub fn ledger_segment(root: &Utf8Path, writer: u32) -> Utf8PathBuf {
    ledger_dir(root).join(format!("{writer}.jsonl"))
}

/// The writer whose segment has this file name; `None` for other files.
pub(crate) fn ledger_writer(name: &str) -> Option<u32> {
    let writer: u32 = name.strip_suffix(".jsonl")?.parse().ok()?;
    // `+1` and `01` parse as well.
    (format!("{writer}.jsonl") == name).then_some(writer)
}

/// The lock of the one writer of a ledger that says what is done.
pub(crate) fn ledger_lock_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("ledger.lock")
}

/// What happened here, before it is stored.
pub(crate) fn provenance_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("provenance.zip")
}
