use clap::ValueEnum;
use pantler_core::{CollectionName, CollectionType, changes::Change};

use crate::{
    changes::DryRun,
    context::Context,
    error::{CommandResult, Status},
};

/// Make a collection; one that is there with the same type is left
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pantler collection create climate/good\n  pantler collection create climate/all --type chained"
)]
pub(crate) struct Args {
    /// Its name
    #[arg(value_name = "NAME")]
    name: CollectionName,

    /// What it is
    #[arg(long = "type", value_name = "TYPE", default_value = "tagged")]
    collection_type: Type,

    #[command(flatten)]
    dry_run: DryRun,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Type {
    /// Names datasets of RUNs, at most one of each dataset type and data ID
    Tagged,
    /// An ordered list of other collections
    Chained,
    /// Owns datasets
    Run,
}

pub(super) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let collection_type = match args.collection_type {
        Type::Tagged => CollectionType::Tagged,
        Type::Chained => CollectionType::Chained,
        Type::Run => CollectionType::Run,
    };
    let name = args.name.clone();
    let now = butler.environment().clock.now();
    let existed = args.dry_run.write(&butler, |writer| {
        let existed = writer.collection(&name)?.is_some();
        writer.apply(&[Change::EnsureCollection { name, collection_type }], now)?;
        Ok(existed)
    })?;
    let name = &args.name;
    context.output().say(&if existed {
        format!("the {collection_type} collection {name} is there already")
    } else {
        let made = args.dry_run.either("made", "would make");
        format!("{made} the {collection_type} collection {name}")
    });
    Ok(Status::Done)
}
