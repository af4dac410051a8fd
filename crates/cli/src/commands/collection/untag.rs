use pantler_core::{CollectionName, changes::Change};
use pantler_registry::RegistryError;

use crate::{
    changes::DryRun,
    context::Context,
    error::{CommandResult, Status},
    selection::{Selection, members},
    table::count,
};

/// Take datasets out of a TAGGED collection; they stay in their RUN
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --type and without --collections, datasets of that type in NAME itself are taken out.\n\n\
                  Examples:\n  pantler collection untag climate/good 0192a7e8-c000-7000-8000-00000000000a\n  \
                  pantler collection untag climate/good --type daily city=oslo"
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
        let datasets = args.selection.datasets(writer, Some(&collection), false)?;
        for id in &datasets {
            if writer.dataset(*id)?.is_none() {
                return Err(RegistryError::UnknownDataset { dataset: *id }.into());
            }
        }
        let before = members(writer, &collection, &datasets)?;
        let number = datasets.len();
        writer.apply(&[Change::Disassociate { collection, datasets }], now)?;
        Ok((number, before))
    })?;
    let took = args.dry_run.either("took", "would take");
    let rest = match number - before {
        0 => String::new(),
        others => format!("; {} not in it", count(others, "dataset")),
    };
    let gone = count(before, "dataset");
    context.output().say(&format!("{took} {gone} out of {}{rest}", args.name));
    Ok(Status::Done)
}
