use pantler_butler::request::RemoveRequest;
use pantler_core::DatasetId;

use crate::{
    context::Context,
    error::{CommandResult, Status},
    removing::{RemoveArgs, report_json, summary, watched},
    selection::Selection,
    storing::name_of,
};

/// Remove the artifacts of datasets, and with --purge, the datasets
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --purge the datasets stay registered: their UUIDs and data IDs are known, and\n\
                  `pantler restore` and `pantler put` can store them again. An artifact that other datasets need\n\
                  stays, and so does a file outside of the repository. Killed at any moment, the same command\n\
                  finishes it.\n\n\
                  Examples:\n  pantler remove 0192a7e8-c000-7000-8000-00000000000a\n  \
                  pantler remove --type daily --collections climate/raw city=oslo --purge --dry-run\n\n\
                  JSON: {dry_run, datasets, artifacts, bytes, kept, resumed}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Forget the datasets too, which must not be in a TAGGED collection
    #[arg(long)]
    purge: bool,

    #[command(flatten)]
    remove: RemoveArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let datasets = butler.registry().read(|reader| args.selection.datasets(reader, None, false))?;
    let mut texts: Vec<String> = datasets.iter().map(DatasetId::to_string).collect();
    texts.sort_unstable();
    texts.push(args.purge.to_string());
    let request = RemoveRequest {
        name: Some(name_of("remove", texts.iter().map(String::as_str))?),
        datasets,
        purge: args.purge,
        force: args.remove.force,
    };
    let output = context.output();
    if args.remove.dry_run {
        let report = butler.plan_removal(&request)?;
        if args.remove.json {
            output.json(&report_json(&report, true))?;
        } else {
            let verb = if args.purge { "would purge" } else { "would unstore" };
            output.line(&summary(verb, &report))?;
        }
        return Ok(Status::Done);
    }
    let report = watched(context, || butler.remove_datasets(&request))??;
    if args.remove.json {
        output.json(&report_json(&report, false))?;
        return Ok(Status::Done);
    }
    output.say(&summary(if args.purge { "purged" } else { "unstored" }, &report));
    if !args.purge {
        output.note(
            "they stay registered; --purge forgets them, `pantler restore` stores them again",
        );
    }
    Ok(Status::Done)
}
