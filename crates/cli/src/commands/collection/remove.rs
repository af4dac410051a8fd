use pantler_core::{CollectionName, changes::Change};
use pantler_registry::RegistryError;

use crate::{
    changes::DryRun,
    context::Context,
    error::{CommandResult, Status},
};

/// Remove a TAGGED or CHAINED collection; the datasets that it names stay
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler collection remove climate/good")]
pub(crate) struct Args {
    /// The collection
    #[arg(value_name = "NAME")]
    name: CollectionName,

    #[command(flatten)]
    dry_run: DryRun,
}

pub(super) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let now = butler.environment().clock.now();
    let name = &args.name;
    let removed = args.dry_run.write(&butler, |writer| {
        let collection = writer
            .collection(name)?
            .ok_or_else(|| RegistryError::UnknownCollection { name: name.clone() })?;
        writer.apply(&[Change::RemoveCollection(name.clone())], now)?;
        Ok(collection.collection_type)
    })?;
    let verb = args.dry_run.either("removed", "would remove");
    context.output().say(&format!("{verb} the {removed} collection {name}"));
    Ok(Status::Done)
}
