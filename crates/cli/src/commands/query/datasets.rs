use pantler_registry::DatasetQuery;

use crate::{
    arguments::{Collections, Term, values},
    context::Context,
    error::{CommandResult, Status},
    json,
    state::State,
    table::{Table, bytes},
};

/// List datasets, by RUN, dataset type and data ID
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --collections all RUNs are listed. Implied dimensions constrain too.\n\n\
                  Examples:\n  pantler query datasets --collections climate --find-first\n  \
                  pantler query datasets daily city=oslo --json\n\n\
                  JSON: an array of {id, dataset_type, run, data_id, state, transaction, stored, uri, path, offset,\n\
                  size, checksum, storage_class, ingested_at}; state is stored, registered or managed, then by the open\n\
                  transaction; uri is relative to the storage root, path is absolute"
)]
pub(crate) struct Args {
    /// Dataset types, and values that data IDs must have
    #[arg(value_name = "TYPE|KEY=VALUE")]
    terms: Vec<Term>,

    #[command(flatten)]
    collections: Collections,

    /// Of several datasets with the same type and data ID, only the one found first
    #[arg(long, requires = "collections")]
    find_first: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open_to_read()?;
    let (mut types, mut given) = (Vec::new(), Vec::new());
    for term in &args.terms {
        match term {
            Term::Type(name) => types.push(name.clone()),
            Term::Value(assignment) => given.push(assignment.clone()),
        }
    }
    let collections = &args.collections.collections;
    let query = DatasetQuery {
        dataset_types: (!types.is_empty()).then_some(types),
        runs: (!collections.is_empty()).then(|| collections.clone()),
        data_id: values(butler.universe(), &given)?,
        find_first: args.find_first,
        ids: None,
    };
    let (rows, managers) = butler.query_datasets_and_managers(&query)?;
    if args.json {
        let document = |row| json::dataset(&butler, row, State::of(row, &managers));
        let rows: Vec<_> = rows.iter().map(document).collect();
        context.output().json(&rows)?;
        return Ok(Status::Done);
    }
    let mut table = Table::new(["type", "data ID", "RUN", "state", "size", "id"]).numbers([4]);
    for row in &rows {
        let size = row.records.first().map(|record| bytes(record.size)).unwrap_or_default();
        table.row([
            row.dataset.dataset_type.name.to_string(),
            row.dataset.data_id.to_string(),
            row.dataset.run.to_string(),
            State::of(row, &managers).name().to_owned(),
            size,
            row.dataset.id.to_string(),
        ]);
    }
    context.output().table(&table, "no datasets")?;
    Ok(Status::Done)
}
