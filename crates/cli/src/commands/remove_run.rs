use pantler_core::{CollectionName, changes::Change};
use serde_json::json;

use super::super::removing::{RemoveArgs, report_json, summary, watched};
use crate::{
    context::Context,
    error::{CommandError, CommandResult, Status},
    storing::name_of,
    table::count,
};

/// Remove a RUN with all of its datasets
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Datasets in TAGGED collections are refused, and so is a RUN that a chain names, unless --unlink takes\n\
                  it out of the chains first. Killed at any moment, the same command finishes it.\n\n\
                  Examples:\n  pantler remove-run climate/old --dry-run\n  pantler remove-run climate/old --unlink\n\n\
                  JSON: {dry_run, unlinked, datasets, artifacts, bytes, kept, resumed}; unlinked is an array of chains"
)]
pub(crate) struct Args {
    /// The RUN
    #[arg(value_name = "RUN")]
    run: CollectionName,

    /// First take it out of the chains that name it, in a change of its own
    #[arg(long)]
    unlink: bool,

    #[command(flatten)]
    remove: RemoveArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let run = &args.run;
    let name = name_of("remove-run", [run.as_str()])?;
    let output = context.output();
    let chains = if args.unlink {
        butler.registry().read(|reader| reader.chains_of(run))?
    } else {
        Vec::new()
    };
    if args.remove.dry_run {
        let report = butler.plan_run_removal(Some(&name), run, args.remove.force, args.unlink)?;
        if args.remove.json {
            let mut document = report_json(&report, true);
            document["unlinked"] = json!(chains);
            output.json(&document)?;
        } else {
            if !chains.is_empty() {
                output.line(&format!("would take {run} out of {}", names(&chains)))?;
            }
            output.line(&summary(&format!("would remove {run} with"), &report))?;
        }
        return Ok(Status::Done);
    }
    if !chains.is_empty() {
        // What refuses the removal must be found before the chains are changed.
        butler.plan_run_removal(Some(&name), run, args.remove.force, true)?;
        let now = butler.environment().clock.now();
        butler.registry().write(|writer| {
            for chain in writer.chains_of(run)? {
                let found = writer.collection(&chain)?;
                let mut children = found.map(|found| found.children).unwrap_or_default();
                children.retain(|child| child != run);
                writer.apply(&[Change::SetChain { chain, children }], now)?;
            }
            Ok::<_, CommandError>(())
        })?;
        output.note(&format!("took {run} out of {}", names(&chains)));
    }
    let removed = watched(context, || butler.remove_run(Some(&name), run, args.remove.force))?;
    let said = format!("{run} is out of {}", count(chains.len(), "chain"));
    let done = if chains.is_empty() { Vec::new() } else { vec![said.as_str()] };
    let report = removed.map_err(|error| CommandError::from(error).after(&done))?;
    if args.remove.json {
        let mut document = report_json(&report, false);
        document["unlinked"] = json!(chains);
        output.json(&document)?;
    } else {
        output.say(&summary(&format!("removed {run} with"), &report));
    }
    Ok(Status::Done)
}

fn names(chains: &[CollectionName]) -> String {
    chains.iter().map(CollectionName::as_str).collect::<Vec<_>>().join(", ")
}
