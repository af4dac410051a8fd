use pantler_registry::Reader;

use crate::{
    context::Context,
    error::{CommandResult, Status},
    json,
    table::Table,
};

/// List dataset types, by name
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler query dataset-types\n\n\
                  JSON: an array of {name, dimensions, implied, storage_class}")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    list(context, args.json)
}

/// What `dataset-type list` lists as well.
pub(crate) fn list(context: &Context, as_json: bool) -> CommandResult {
    let butler = context.open_to_read()?;
    let types = butler.registry().read(Reader::dataset_types)?;
    if as_json {
        let rows: Vec<_> = types.iter().map(|t| json::dataset_type(t)).collect();
        context.output().json(&rows)?;
        return Ok(Status::Done);
    }
    let mut table = Table::new(["name", "dimensions", "storage class"]);
    for dataset_type in &types {
        table.row([
            dataset_type.name.to_string(),
            dataset_type.dimensions.to_string(),
            dataset_type.storage_class.to_string(),
        ]);
    }
    context.output().table(&table, "no dataset types")?;
    Ok(Status::Done)
}
