use pantler_core::{DatasetTypeName, changes::Change};

use crate::{
    changes::DryRun,
    context::Context,
    error::{CommandResult, Status},
};

/// Remove a dataset type that has no datasets
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Refused while any transaction is open, since it may be about to register datasets of the type.\n\n\
                  Example:\n  pantler dataset-type remove daily"
)]
pub(crate) struct Args {
    /// The dataset type
    #[arg(value_name = "NAME")]
    name: DatasetTypeName,

    #[command(flatten)]
    dry_run: DryRun,
}

pub(super) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let now = butler.environment().clock.now();
    let change = Change::RemoveDatasetType(args.name.clone());
    args.dry_run.write(&butler, |writer| Ok(writer.apply(&[change], now)?))?;
    let removed = args.dry_run.either("removed", "would remove");
    context.output().say(&format!("{removed} dataset type {}", args.name));
    Ok(Status::Done)
}
