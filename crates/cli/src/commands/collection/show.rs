use pantler_core::{Collection, CollectionName, CollectionType, DatasetTypeName, TransactionName};
use pantler_registry::{LockKind, Reader, RegistryError};
use serde_json::json;

use crate::{
    context::Context,
    error::{CommandResult, Status},
    table::count,
};

/// Show a collection: what is in it, where it is chained, which open transactions use it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler collection show climate\n\n\
                  JSON: {name, type, children, searched, chains, datasets, transactions}; searched is what a chain\n\
                  stands for, in search order; chains are those that name it; datasets is an array of\n\
                  {dataset_type, count}; transactions, of a RUN, an array of {name, lock}")]
pub(crate) struct Args {
    /// The collection
    #[arg(value_name = "NAME")]
    name: CollectionName,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// All there is to say.
struct Shown {
    collection: Collection,
    searched: Vec<CollectionName>,
    chains: Vec<CollectionName>,
    datasets: Vec<(DatasetTypeName, u64)>,
    transactions: Vec<(TransactionName, LockKind)>,
}

impl Shown {
    fn read(reader: &Reader, name: &CollectionName) -> Result<Self, RegistryError> {
        let collection = reader
            .collection(name)?
            .ok_or_else(|| RegistryError::UnknownCollection { name: name.clone() })?;
        let is_run = collection.collection_type == CollectionType::Run;
        let searched = reader.resolve(std::slice::from_ref(name))?;
        Ok(Self {
            searched: searched.into_iter().map(|found| found.name).collect(),
            chains: reader.chains_of(name)?,
            datasets: reader.count_datasets(name)?,
            transactions: if is_run { reader.locks_of_run(name)? } else { Vec::new() },
            collection,
        })
    }
}

pub(super) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open_to_read()?;
    let shown = butler.registry().read(|reader| Shown::read(reader, &args.name))?;
    let Shown { collection, searched, chains, datasets, transactions } = &shown;
    if args.json {
        let datasets: Vec<_> = datasets
            .iter()
            .map(|(dataset_type, count)| json!({"dataset_type": dataset_type, "count": count}))
            .collect();
        let transactions: Vec<_> = transactions
            .iter()
            .map(|(name, lock)| json!({"name": name, "lock": lock.to_string()}))
            .collect();
        context.output().json(&json!({
            "name": collection.name,
            "type": collection.collection_type,
            "children": collection.children,
            "searched": searched,
            "chains": chains,
            "datasets": datasets,
            "transactions": transactions,
        }))?;
        return Ok(Status::Done);
    }
    let mut lines = vec![format!("{} is {}", collection.name, collection.collection_type)];
    let mut names = |what: &str, names: &[CollectionName]| {
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(CollectionName::as_str).collect();
            lines.push(format!("  {what} {}", names.join(", ")));
        }
    };
    names("children:", &collection.children);
    if *searched != collection.children && collection.collection_type == CollectionType::Chained {
        names("searched:", searched);
    }
    names("in the chains:", chains);
    lines.extend(datasets.iter().map(|(dataset_type, number)| {
        let number = usize::try_from(*number).unwrap_or(usize::MAX);
        format!("  {} {dataset_type}", count(number, "dataset"))
    }));
    lines.extend(
        transactions.iter().map(|(name, lock)| format!("  {lock} by the open transaction {name}")),
    );
    context.output().line(&lines.join("\n"))?;
    Ok(Status::Done)
}
