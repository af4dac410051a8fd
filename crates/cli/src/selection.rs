//! Which datasets a command is about.

use std::str::FromStr;

use pantler_core::{CollectionName, DatasetId, DatasetTypeName};
use pantler_registry::{DatasetQuery, Reader};

use crate::{
    arguments::{Assignment, Collections, values},
    error::{CommandError, Next},
};

/// Which datasets are meant.
#[derive(Debug, clap::Args)]
pub(crate) struct Selection {
    /// The datasets; with --type, values that their data IDs must have
    #[arg(value_name = "UUID|KEY=VALUE")]
    terms: Vec<Term>,

    /// Datasets of this type
    #[arg(long = "type", value_name = "DATASET_TYPE")]
    dataset_type: Option<DatasetTypeName>,

    #[command(flatten)]
    collections: Collections,
}

#[derive(Debug, Clone)]
enum Term {
    Id(DatasetId),
    Value(Assignment),
}

impl FromStr for Term {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('=') {
            text.parse()
                .map(Self::Value)
                .map_err(|e: crate::arguments::AssignmentError| e.to_string())
        } else {
            let id = text.parse::<DatasetId>();
            id.map(Self::Id)
                .map_err(|e| format!("expected the UUID of a dataset or key=value: {e}"))
        }
    }
}

/// No dataset is as asked for.
#[derive(Debug, thiserror::Error)]
#[error("there is no {dataset_type}{values} in {collections}")]
struct NoneFound {
    dataset_type: DatasetTypeName,
    values: String,
    collections: String,
}

impl Selection {
    /// The datasets, each once. Without `--collections`, those of a type are looked for in
    /// `fallback`; of several with one data ID, only the first is taken if `find_first`.
    pub(crate) fn datasets(
        &self,
        reader: &Reader,
        fallback: Option<&CollectionName>,
        find_first: bool,
    ) -> Result<Vec<DatasetId>, CommandError> {
        let (mut ids, mut given) = (Vec::new(), Vec::new());
        for term in &self.terms {
            match term {
                Term::Id(id) if !ids.contains(id) => ids.push(*id),
                Term::Id(_) => {}
                Term::Value(assignment) => given.push(assignment.clone()),
            }
        }
        let collections = &self.collections.collections;
        let Some(dataset_type) = &self.dataset_type else {
            if !given.is_empty() || !collections.is_empty() {
                return Err(CommandError::usage("values and --collections go with --type"));
            }
            if ids.is_empty() {
                return Err(CommandError::usage("no dataset is named")
                    .next(Next::plain("name UUIDs, or a --type with --collections")));
            }
            return Ok(ids);
        };
        if !ids.is_empty() {
            return Err(CommandError::usage("name datasets by UUID or by --type, not both"));
        }
        let searched = match (collections.as_slice(), fallback) {
            ([], Some(fallback)) => vec![fallback.clone()],
            ([], None) => {
                return Err(CommandError::usage("a --type needs --collections to look in")
                    .next(Next::command("query collections")));
            }
            (collections, _) => collections.to_vec(),
        };
        let rows = reader.datasets(&DatasetQuery {
            dataset_types: Some(vec![dataset_type.clone()]),
            runs: Some(searched.clone()),
            data_id: values(reader.universe(), &given)?,
            find_first,
            ids: None,
        })?;
        if rows.is_empty() {
            let names: Vec<_> = searched.iter().map(CollectionName::as_str).collect();
            let query = format!("query datasets {dataset_type} --collections {}", names.join(","));
            let values = given.iter().map(|a| format!(" {}={}", a.key, a.value));
            return Err(CommandError::failed(NoneFound {
                dataset_type: dataset_type.clone(),
                values: values.collect::<Vec<_>>().concat(),
                collections: names.join(", "),
            })
            .state("nothing has changed")
            .next(Next::command(query)));
        }
        Ok(rows.into_iter().map(|row| row.dataset.id).collect())
    }
}

/// How many of the datasets are in a collection.
pub(crate) fn members(
    reader: &Reader,
    collection: &CollectionName,
    datasets: &[DatasetId],
) -> Result<usize, CommandError> {
    let query = DatasetQuery {
        runs: Some(vec![collection.clone()]),
        ids: Some(datasets.to_vec()),
        ..DatasetQuery::default()
    };
    Ok(reader.datasets(&query)?.len())
}
