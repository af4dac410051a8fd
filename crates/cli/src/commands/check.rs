use pantler_core::Durability;
use pantler_direct::{
    check::{CheckOptions, CheckReport, check_with},
    repair::{Action, ActionKind, RepairOptions, repair},
};

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    json,
    output::Output,
    table::{bytes, count},
};

/// Look whether database and storage agree, from outside; with --repair, put right what can be
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status 6 if something was found, or with --repair, if something is left.\n\n\
                  --repair moves what nobody owns to REPO/quarantine and never deletes it. Datasets whose\n\
                  artifact is missing or damaged lose their records: they are registered, but not stored.\n\n\
                  Examples:\n  pantler check --repo repo\n  pantler check --checksum\n  \
                  pantler check --repair --dry-run\n\n\
                  JSON: {findings: [{code, subject, message, next}], counts: {datasets, stored, registered_only,\n\
                  managed, artifacts, bytes, open_transactions},\n\
                  leftover_workspace_roots, durability}, and with --repair\n\
                  repair: {dry_run, quarantine, actions: [{action, subject, detail}]}"
)]
pub(crate) struct Args {
    /// Read every artifact in full, and compare its checksum
    #[arg(long)]
    checksum: bool,

    #[command(flatten)]
    repair: RepairArgs,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RepairArgs {
    /// Put right what can be put right without guessing
    #[arg(long)]
    repair: bool,

    /// With --repair: say what would be done, and do nothing
    #[arg(long, requires = "repair")]
    dry_run: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let options = CheckOptions { checksum: args.checksum };
    let output = context.output();
    let report = if args.repair.repair {
        run_repair(context, args, options)?
    } else {
        let report = check_with(&context.open_to_read()?, options)?;
        if args.json {
            output.json(&json::check(&report))?;
        }
        report
    };
    if !args.json {
        say(context, output, &report)?;
    }
    Ok(if report.is_clean() { Status::Done } else { Status::Findings })
}

fn run_repair(
    context: &Context,
    args: &Args,
    check: CheckOptions,
) -> Result<CheckReport, CommandError> {
    let dry_run = args.repair.dry_run;
    let butler = if dry_run { context.open_to_read()? } else { context.open()? };
    let options = RepairOptions { check, dry_run };
    let output = context.output();
    let mut said = |action: &Action| {
        if !args.json {
            output.say(&line(action, dry_run));
        }
    };
    let report = repair(&butler, &options, &mut said)?;
    if args.json {
        let mut document = json::check(&report.left);
        if let serde_json::Value::Object(fields) = &mut document {
            fields.insert("repair".to_owned(), json::repair(&report, dry_run));
        }
        output.json(&document)?;
    } else if report.actions.is_empty() {
        output.say("nothing to repair");
    } else if let Some(quarantine) = &report.quarantine {
        output.say(&format!("the quarantine is {quarantine}"));
    }
    Ok(report.left)
}

fn line(action: &Action, dry_run: bool) -> String {
    let Action { kind, subject, detail } = action;
    let verb = match (kind, dry_run) {
        (ActionKind::Quarantined, false) => "moved to the quarantine",
        (ActionKind::Quarantined, true) => "would move to the quarantine",
        (ActionKind::PutBack, false) => "moved back",
        (ActionKind::PutBack, true) => "would move back",
        (ActionKind::RecordsDropped, false) => "dropped the records of",
        (ActionKind::RecordsDropped, true) => "would drop the records of",
        (ActionKind::Skipped, _) => "left as it is:",
    };
    format!("{verb} {subject} ({detail})")
}

fn say(context: &Context, output: &Output, report: &CheckReport) -> Result<(), CommandError> {
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
            Next::command("vacuum").text(context.located())
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
