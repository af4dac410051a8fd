use pantler_core::Durability;
use pantler_direct::check::{CheckReport, check};

use crate::{
    context::Context,
    error::{CommandResult, Next, Status},
    json,
    output::Output,
    table::{bytes, count},
};

/// Look whether database and storage agree, from outside; changes nothing
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status 6 if something was found.\n\nExample:\n  pantler check --repo repo\n\n\
                  JSON: {findings: [{code, subject, message, next}], counts: {datasets, stored, registered_only,\n\
                  managed, artifacts, bytes, open_transactions},\n\
                  leftover_workspace_roots, durability}"
)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open_to_read()?;
    let report = check(&butler)?;
    if args.json {
        context.output().json(&json::check(&report))?;
    } else {
        say(context, context.output(), &report)?;
    }
    Ok(if report.is_clean() { Status::Done } else { Status::Findings })
}

fn say(
    context: &Context,
    output: &Output,
    report: &CheckReport,
) -> Result<(), crate::error::CommandError> {
    let counts = &report.counts;
    output.line(&format!(
        "{}: {} stored, {} registered only, {} managed by open transactions",
        count(counts.datasets, "dataset"),
        counts.stored,
        counts.registered_only,
        counts.managed
    ))?;
    output.line(&format!(
        "{} ({}), {}",
        count(counts.artifacts, "artifact"),
        bytes(counts.bytes),
        count(counts.open_transactions, "open transaction")
    ))?;
    if report.durability == Durability::None {
        output.line("durability is none: a power loss can lose what is stored here")?;
    }
    if !report.leftover_roots.is_empty() {
        output.line(&format!(
            "{} of closed workspaces left over, which is no fault; remove with: {}",
            count(report.leftover_roots.len(), "root"),
            Next::command("workspace vacuum").text(context.located())
        ))?;
    }
    for finding in &report.findings {
        // Findings name commands as they are without a repository.
        let next = match finding.next.strip_prefix("pantler ") {
            Some(command) => Next::command(command).text(context.located()),
            None => finding.next.clone(),
        };
        output.line(&format!(
            "\n{}: {}\n  {}\n  next: {next}",
            finding.code, finding.subject, finding.message
        ))?;
    }
    let found = report.findings.len();
    output.line(&if found == 0 {
        "nothing found".to_owned()
    } else {
        format!("\n{} found", count(found, "fault"))
    })
}
