use std::sync::Arc;

use pantler_core::{DatasetType, DatasetTypeName, ElementName, StorageClass, changes::Change};

use crate::{
    changes::DryRun,
    context::Context,
    error::{CommandError, CommandResult, Status},
};

/// Register a dataset type; the same again is left
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  pantler dataset-type register daily --dimensions city,month --storage-class Csv"
)]
pub(crate) struct Args {
    /// Its name
    #[arg(value_name = "NAME")]
    name: DatasetTypeName,

    /// The dimensions of its data IDs; without any, a RUN has one dataset of it
    #[arg(long, value_name = "DIMENSION", value_delimiter = ',')]
    dimensions: Vec<ElementName>,

    /// What its datasets are: Bytes, Text, Json, Csv or Svg
    #[arg(long, value_name = "CLASS")]
    storage_class: StorageClass,

    #[command(flatten)]
    dry_run: DryRun,
}

pub(super) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let dimensions = butler
        .universe()
        .group(args.dimensions.iter().map(ElementName::as_str))
        .map_err(CommandError::usage)?;
    let wanted = Arc::new(DatasetType {
        name: args.name.clone(),
        dimensions,
        storage_class: args.storage_class,
    });
    let now = butler.environment().clock.now();
    let existed = args.dry_run.write(&butler, |writer| {
        let existed = writer.dataset_type(&wanted.name)?.is_some();
        writer.apply(&[Change::EnsureDatasetType(Arc::clone(&wanted))], now)?;
        Ok(existed)
    })?;
    let DatasetType { name, dimensions, storage_class } = &*wanted;
    context.output().say(&if existed {
        format!("dataset type {name} {dimensions} {storage_class} is registered already")
    } else {
        let registered = args.dry_run.either("registered", "would register");
        format!("{registered} dataset type {name} {dimensions} {storage_class}")
    });
    Ok(Status::Done)
}
