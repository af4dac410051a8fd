//! What the commands that store artifacts share: arguments, signals, reports.

use std::fmt::Write as _;

use pantler_butler::request::{StoreOptions, StorePlan, StoreReport, name_digest};
use pantler_core::{DataId, TransactionName};
use serde_json::{Value, json};

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    interrupt::Interrupts,
    output::Output,
    progress::StoreLines,
    table::{bytes, count},
};

/// How many lines of a long list are shown.
const SHOWN: usize = 20;

/// How to store.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct StoreArgs {
    /// Say what would be done, or why it cannot be, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Go on with what another process holds that is not known to be dead
    #[arg(long)]
    take_over: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl StoreArgs {
    pub(crate) fn options(self, keep_going: bool) -> StoreOptions {
        StoreOptions { take_over: self.take_over, keep_going }
    }
}

/// Calls `work` with somebody to tell about progress. From now on the first request to
/// stop reverts what is being stored, and the second ends the process.
pub(crate) fn watched<T>(
    context: &Context,
    verb: &'static str,
    work: impl FnOnce(&StoreLines) -> T,
) -> Result<T, CommandError> {
    let again = Next::command("transaction list").text(context.located());
    let end = format!(
        "stopped\nnow: what was begun may be open; nothing that was stored is lost\nnext: {again}"
    );
    let first = "stopping, and undoing what was begun; once more ends at once";
    let interrupts = Interrupts::watch_work(first, end)?;
    let lines = StoreLines::new(verb, interrupts.stop().clone());
    Ok(work(&lines))
}

/// The name of a transaction that does one thing to one place: the same again finds it.
pub(crate) fn name_of<'t>(
    prefix: &str,
    texts: impl IntoIterator<Item = &'t str>,
) -> Result<TransactionName, CommandError> {
    let digest = name_digest(texts);
    // A RUN's name may be as long as that of a transaction.
    let prefix = prefix.get(..prefix.len().min(120)).unwrap_or_default();
    TransactionName::new(format!("{prefix}-{digest}")).map_err(CommandError::usage)
}

/// A data ID as one text, different for each.
pub(crate) fn data_id_text(data_id: &DataId) -> String {
    let mut text = String::new();
    for (name, value) in data_id.iter() {
        let value = value.to_string();
        let _ = write!(text, "{name}={}:{value},", value.len());
    }
    text
}

/// What storing did, as a document.
pub(crate) fn report_json(report: &StoreReport) -> Value {
    json!({
        "dry_run": false,
        "stored": report.stored,
        "restored": report.restored,
        "repaired": report.repaired,
        "skipped": report.skipped,
        "bytes": report.bytes,
        "resumed": report.resumed,
        "ids": report.ids,
        "failed": failed_json(&report.failed),
        "sources_left": report.sources_left.iter()
            .map(|(path, reason)| json!({"path": path, "reason": reason}))
            .collect::<Vec<_>>(),
    })
}

fn failed_json(failed: &[(String, String)]) -> Value {
    failed.iter().map(|(dataset, reason)| json!({"dataset": dataset, "reason": reason})).collect()
}

/// What storing would do, as a document.
pub(crate) fn plan_json(plan: &StorePlan) -> Value {
    json!({
        "dry_run": true,
        "new": plan.new.iter()
            .map(|(dataset, source)| json!({"dataset": dataset, "source": source}))
            .collect::<Vec<_>>(),
        "restored": plan.restored,
        "repaired": plan.repaired,
        "skipped": plan.skipped,
        "bytes": plan.bytes,
        "records": plan.records,
        "resumes": plan.resumes,
        "failed": failed_json(&plan.failed),
    })
}

/// Tells what storing several datasets did; an error if some could not be stored.
/// `verb` has its past form, such as `ingested`.
pub(crate) fn say_report(
    context: &Context,
    args: StoreArgs,
    done: &str,
    report: &StoreReport,
) -> CommandResult {
    let output = context.output();
    for (path, reason) in &report.sources_left {
        output.note(&format!("left {path}, which is stored: {reason}"));
    }
    if args.json {
        output.json(&report_json(report))?;
    } else {
        output.say(&summary(done, report));
    }
    let stored = report.stored;
    finish(
        output,
        &report.failed,
        &match stored {
            0 => "nothing else was stored".to_owned(),
            stored => format!("{} stored", count(stored, "other dataset")),
        },
    )
}

fn summary(done: &str, report: &StoreReport) -> String {
    let mut text = if report.stored == 0 {
        format!("{done} nothing new")
    } else {
        format!("{done} {} ({})", count(report.stored, "dataset"), bytes(report.bytes))
    };
    if report.restored > 0 {
        let _ = write!(text, ", {} of them registered before", report.restored);
    }
    if report.skipped > 0 {
        let _ = write!(text, ", {} there already", report.skipped);
    }
    text
}

/// Lists what failed, if anything did.
fn finish(output: &Output, failed: &[(String, String)], rest: &str) -> CommandResult {
    if failed.is_empty() {
        return Ok(Status::Done);
    }
    for (dataset, reason) in failed {
        output.note(&format!("failed: {dataset}: {reason}"));
    }
    let number = failed.len();
    Err(CommandError::failed(NotStored { number, what: count(number, "dataset") })
        .state(format!("{rest}; what failed is as it was before"))
        .next(Next::plain("the same command again, when the reasons are gone")))
}

/// Some datasets could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("{what} could not be stored")]
struct NotStored {
    number: usize,
    what: String,
}

/// Tells what storing would do. `would` is a verb, such as `ingest`.
pub(crate) fn say_plan(
    context: &Context,
    args: StoreArgs,
    would: &str,
    plan: &StorePlan,
) -> CommandResult {
    let output = context.output();
    if args.json {
        output.json(&plan_json(plan))?;
    } else {
        if plan.resumes {
            output.line("would go on with what an open transaction of the same name began")?;
        }
        let number = plan.new.len() + plan.restored.len();
        let size = bytes(plan.bytes);
        let mut line = match number {
            0 => format!("would {would} nothing new"),
            number => format!("would {would} {} ({size})", count(number, "dataset")),
        };
        if plan.skipped > 0 {
            let _ = write!(line, ", {} there already", plan.skipped);
        }
        output.line(&line)?;
        for (dataset, source) in plan.new.iter().take(SHOWN) {
            output.line(&format!("  {dataset}  <- {source}"))?;
        }
        for dataset in plan.restored.iter().take(SHOWN) {
            output.line(&format!("  {dataset}, which is registered"))?;
        }
        let shown = plan.new.len().min(SHOWN) + plan.restored.len().min(SHOWN);
        if number > shown {
            output.line(&format!("  and {} more", number - shown))?;
        }
        if plan.repaired > 0 {
            let repaired = count(plan.repaired, "dataset");
            output.line(&format!("{repaired} of these lost the artifact, or part of it"))?;
        }
        if plan.records > 0 {
            let records = count(plan.records, "dimension record");
            output.line(&format!("would make {records} from keys"))?;
        }
    }
    finish(output, &plan.failed, "nothing has changed")
}
