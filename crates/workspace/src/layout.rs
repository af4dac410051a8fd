//! The files of a workspace root.
//!
//! ```text
//! <repository>/workspaces/<name>/<opening id>/
//!   transaction.json        what a client needs without the database (written by `pantler-direct`)
//!   graph-1.qg              the predicted quantum graph: immutable, create-only (`build.rs`)
//!   closing                 made by a closer: nobody runs anything here any more (`kind/`)
//!   runner.lock             held by the processes that run quanta (`pantler-exec`)
//!   closer.lock             held by the one process that closes it or changes quanta (`pantler-exec`)
//!   journal/<runner>.jsonl  what happened to each quantum, one segment a runner (`pantler-exec`)
//!   logs/<runner>.log       what the quanta of that runner said (`pantler-exec`)
//!   scratch/                where commands work (`pantler-exec`)
//! ```
//!
//! `<name>` is the RUN's name as one percent-encoded path component.

use camino::{Utf8Path, Utf8PathBuf};

pub use pantler_exec::layout::{closing_marker, journal_dir, logs_dir, scratch_dir};

/// The quantum graph.
pub fn graph_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("graph-1.qg")
}
