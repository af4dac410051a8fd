//! What the commands that remove datasets share.

use std::fmt::Write as _;

use pantler_butler::request::RemoveReport;
use serde_json::{Value, json};

use crate::{
    context::Context,
    error::{CommandError, Next},
    interrupt::Interrupts,
    table::{bytes, count},
};

/// How to remove.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct RemoveArgs {
    /// Also what an open workspace reads
    #[arg(long)]
    pub(crate) force: bool,

    /// Say what would be done, or why it cannot be, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Calls `work`. Deleting is a one-way door: the first request to stop is too late, and the
/// second ends the process.
pub(crate) fn watched<T>(context: &Context, work: impl FnOnce() -> T) -> Result<T, CommandError> {
    let list = Next::command("transaction list").text(context.located());
    let end = format!(
        "stopped\nnow: the removal may be open; the same command goes on with it\nnext: {list}"
    );
    let first = "a removal that has begun goes on to its end; once more ends at once";
    let interrupts = Interrupts::watch_work(first, end)?;
    let done = work();
    drop(interrupts);
    Ok(done)
}

/// What a removal did, in words behind `verb`.
pub(crate) fn summary(verb: &str, report: &RemoveReport) -> String {
    let RemoveReport { datasets, artifacts, bytes: size, kept, resumed } = report;
    let mut text = format!(
        "{verb} {}: {} ({})",
        count(*datasets, "dataset"),
        count(*artifacts, "artifact"),
        bytes(*size)
    );
    if *kept > 0 {
        let kept = count(*kept, "artifact");
        let _ = write!(text, "; {kept} stay: other datasets need them, or they lie outside");
    }
    if *resumed {
        text.push_str("; an earlier call began it");
    }
    text
}

/// The same as a document.
pub(crate) fn report_json(report: &RemoveReport, dry_run: bool) -> Value {
    json!({
        "dry_run": dry_run,
        "datasets": report.datasets,
        "artifacts": report.artifacts,
        "bytes": report.bytes,
        "kept": report.kept,
        "resumed": report.resumed,
    })
}
