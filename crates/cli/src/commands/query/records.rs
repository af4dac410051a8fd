use pantler_core::{ElementName, MetadataValue};

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Status},
    json,
    table::Table,
};

/// List the records of a dimension element, by data ID
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler query records city\n\n\
                  JSON: an array of {element, data_id, implied, metadata}")]
pub(crate) struct Args {
    /// The element
    #[arg(value_name = "ELEMENT")]
    element: ElementName,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    list(context, &args.element, args.json)
}

/// What `record list` lists as well.
pub(crate) fn list(context: &Context, element: &ElementName, as_json: bool) -> CommandResult {
    let butler = context.open_to_read()?;
    let element = butler.universe().element(element.as_str()).map_err(CommandError::failed)?;
    let records = butler.registry().read(|reader| reader.dimension_records(element))?;
    if as_json {
        let rows: Vec<_> = records.iter().map(json::record).collect();
        context.output().json(&rows)?;
        return Ok(Status::Done);
    }
    let mut table = Table::new(["data ID", "implied", "metadata"]);
    for record in &records {
        let implied: Vec<_> = record.implied.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let metadata: Vec<_> =
            record.metadata.iter().map(|(k, v)| format!("{k}={}", text(v))).collect();
        table.row([record.data_id.to_string(), implied.join(" "), metadata.join(" ")]);
    }
    context.output().table(&table, "no records")?;
    Ok(Status::Done)
}

fn text(value: &MetadataValue) -> String {
    match value {
        MetadataValue::Boolean(value) => value.to_string(),
        MetadataValue::Integer(value) => value.to_string(),
        MetadataValue::Float(value) => value.to_string(),
        MetadataValue::String(value) => format!("{value:?}"),
        MetadataValue::Null => "null".to_owned(),
    }
}
