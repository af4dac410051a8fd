use pantler_core::CollectionName;
use pantler_registry::Reader;

use crate::{
    context::Context,
    error::{CommandResult, Status},
    json,
    table::Table,
};

/// List collections, by name
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler query collections --json\n\n\
                  JSON: an array of {name, type, children}; type is RUN, TAGGED or CHAINED")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    list(context, args.json)
}

/// What `collection list` lists as well.
pub(crate) fn list(context: &Context, as_json: bool) -> CommandResult {
    let butler = context.open_to_read()?;
    let collections = butler.registry().read(Reader::collections)?;
    if as_json {
        let rows: Vec<_> = collections.iter().map(json::collection).collect();
        context.output().json(&rows)?;
        return Ok(Status::Done);
    }
    let mut table = Table::new(["name", "type", "children"]);
    for collection in &collections {
        let children: Vec<_> = collection.children.iter().map(CollectionName::as_str).collect();
        table.row([
            collection.name.to_string(),
            collection.collection_type.to_string(),
            children.join(", "),
        ]);
    }
    context.output().table(&table, "no collections")?;
    Ok(Status::Done)
}
