use pantler_core::{CollectionName, changes::Change};

use crate::{
    changes::DryRun,
    context::Context,
    error::{CommandResult, Status},
    selection::{Selection, members},
    table::count,
};

/// Put datasets into a TAGGED collection; those that are there already stay
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Of several datasets with one data ID in --collections, the one found first is taken.\n\n\
                  Examples:\n  pantler collection tag climate/good 0192a7e8-c000-7000-8000-00000000000a\n  \
                  pantler collection tag climate/good --type daily --collections climate city=oslo"
)]
pub(crate) struct Args {
    /// The TAGGED collection
    #[arg(value_name = "NAME")]
    name: CollectionName,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    dry_run: DryRun,
}

pub(super) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let now = butler.environment().clock.now();
    let collection = args.name.clone();
    let (number, before) = args.dry_run.write(&butler, |writer| {
        let datasets = args.selection.datasets(writer, None, true)?;
        let before = members(writer, &collection, &datasets)?;
        let number = datasets.len();
        writer.apply(&[Change::Associate { collection, datasets }], now)?;
        Ok((number, before))
    })?;
    let put = args.dry_run.either("put", "would put");
    let rest = match before {
        0 => String::new(),
        before => format!("; {} there already", count(before, "dataset")),
    };
    let new = count(number - before, "dataset");
    context.output().say(&format!("{put} {new} into {}{rest}", args.name));
    Ok(Status::Done)
}
