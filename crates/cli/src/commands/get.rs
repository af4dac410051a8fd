use std::{collections::BTreeMap, fs::OpenOptions, io::Write as _, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{
    CollectionName, DataId, DatasetId, DatasetType, DatasetTypeName, FileRecord, TransactionName,
};
use pantler_datastore::key;
use pantler_direct::DirectButler;
use pantler_registry::{DatasetQuery, DatasetRow, RegistryError};

use crate::{
    arguments::{Assignment, Collections, texts, values},
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    table::count,
};

/// Read datasets: their bytes, whole and with the checksum they were stored with
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With -d or --uri, several datasets: UUIDs, or all of a type that have the values given, of each data\n\
                  ID the one found first. Files are DIR/TYPE/DATA_ID.EXTENSION.\n\n\
                  Examples:\n  pantler get comparison --collections climate -o comparison.csv\n  \
                  pantler get daily city=oslo month=1 --collections climate\n  \
                  pantler get daily city=oslo --collections climate -d oslo\n  \
                  pantler get 0192a7e8-c000-7000-8000-00000000000a --uri"
)]
pub(crate) struct Args {
    /// UUIDs of datasets; or a dataset type and values of its dimensions
    #[arg(value_name = "UUID|DATASET_TYPE|KEY=VALUE", required_unless_present = "dataset_type")]
    terms: Vec<String>,

    /// The dataset type, if it is not the first word
    #[arg(long = "type", value_name = "DATASET_TYPE")]
    dataset_type: Option<DatasetTypeName>,

    #[command(flatten)]
    collections: Collections,

    /// Write to a file instead of standard output; one that is there is replaced
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["directory", "uri"])]
    output: Option<Utf8PathBuf>,

    /// Write each dataset to a file in this folder; those that are there are replaced
    #[arg(short, long, value_name = "DIR", conflicts_with = "uri")]
    directory: Option<Utf8PathBuf>,

    /// Print where the artifacts are instead of their bytes, a line each
    #[arg(long)]
    uri: bool,
}

/// What the arguments ask for.
enum Asked {
    Ids(Vec<DatasetId>),
    Type(DatasetTypeName, Vec<Assignment>),
}

/// The dataset cannot be read.
#[derive(Debug, thiserror::Error)]
enum GetError {
    #[error("there is no dataset with the id {0}")]
    NoId(DatasetId),
    #[error("there is no {dataset_type}{values} in {collections}")]
    NotFound { dataset_type: DatasetTypeName, values: String, collections: String },
    #[error("{0} is registered, but not stored")]
    NotStored(String),
    #[error("{dataset} is not stored yet: transaction {transaction} is open on its RUN")]
    Managed { dataset: String, transaction: TransactionName },
    #[error("{0} has no record that can be read")]
    NoRecord(String),
    #[error("cannot write to {path}")]
    Output { path: Utf8PathBuf, source: std::io::Error },
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open_to_read()?;
    let asked = asked(args)?;
    let many = args.directory.is_some() || args.uri;
    let rows = match asked {
        Asked::Ids(ids) => of_ids(&butler, &ids)?,
        Asked::Type(name, given) => of_type(&butler, args, name, &given, many)?,
    };
    for row in &rows {
        if row.records.is_empty() {
            return Err(not_stored(&butler, row)?);
        }
    }
    if let Some(directory) = &args.directory {
        return write_all(context, &butler, &rows, &context.absolute(directory));
    }
    for row in &rows {
        if args.uri {
            for record in row.records.iter().take(1) {
                context.output().line(&butler.datastore().uri_of(&record.location))?;
            }
            continue;
        }
        let bytes = read(&butler, row)?;
        match &args.output {
            None => context.output().bytes(&bytes)?,
            Some(path) => write(&context.absolute(path), &bytes)?,
        }
    }
    Ok(Status::Done)
}

fn asked(args: &Args) -> Result<Asked, CommandError> {
    let (mut ids, mut given) = (Vec::new(), Vec::new());
    let mut types: Vec<DatasetTypeName> = args.dataset_type.iter().cloned().collect();
    for term in &args.terms {
        if term.contains('=') {
            given.push(term.parse::<Assignment>().map_err(CommandError::usage)?);
        } else if let Ok(id) = term.parse::<DatasetId>() {
            if !ids.contains(&id) {
                ids.push(id);
            }
        } else {
            types.push(DatasetTypeName::new(term).map_err(CommandError::usage)?);
        }
    }
    let collections = &args.collections.collections;
    match (types.pop(), types.is_empty()) {
        (Some(name), true) if ids.is_empty() => {
            if collections.is_empty() {
                return Err(CommandError::usage("a dataset type needs --collections to look in")
                    .next(Next::command("query collections")));
            }
            Ok(Asked::Type(name, given))
        }
        (Some(_), true) => {
            Err(CommandError::usage("name datasets by UUID or by their type, not both"))
        }
        (Some(_), false) => Err(CommandError::usage("one dataset type at a time")),
        (None, _) if ids.is_empty() => {
            Err(CommandError::usage("values go with a dataset type and --collections"))
        }
        (None, _) => {
            if !given.is_empty() || !collections.is_empty() {
                return Err(CommandError::usage(
                    "a UUID says it all: values and --collections go with a dataset type",
                ));
            }
            if ids.len() > 1 && args.directory.is_none() && !args.uri {
                return Err(CommandError::usage(
                    "several datasets go into a folder: name it with -d DIR",
                ));
            }
            Ok(Asked::Ids(ids))
        }
    }
}

fn of_ids(butler: &DirectButler, ids: &[DatasetId]) -> Result<Vec<DatasetRow>, CommandError> {
    butler.registry().read(|reader| {
        let row = |id: &DatasetId| {
            let row = reader.dataset(*id)?;
            row.ok_or_else(|| CommandError::failed(GetError::NoId(*id)))
        };
        ids.iter().map(row).collect()
    })
}

fn read(butler: &DirectButler, row: &DatasetRow) -> Result<Vec<u8>, CommandError> {
    let bytes = butler.get(row)?;
    bytes.ok_or_else(|| CommandError::failed(GetError::NoRecord(row.dataset.to_string())))
}

/// Writes each dataset to a file of its own; two for one file are found before the first
/// is written.
fn write_all(
    context: &Context,
    butler: &DirectButler,
    rows: &[DatasetRow],
    directory: &Utf8Path,
) -> CommandResult {
    let mut files: BTreeMap<Utf8PathBuf, &DatasetRow> = BTreeMap::new();
    for row in rows {
        let dataset = &row.dataset;
        let extension = row.records.first().map_or("", extension);
        let path = directory
            .join(dataset.dataset_type.name.as_str())
            .join(key::file_name(&dataset.data_id, extension));
        if let Some(other) = files.insert(path.clone(), row) {
            return Err(CommandError::usage(format!(
                "{} and {dataset} would both be {path}: write them to two folders",
                other.dataset
            )));
        }
    }
    for (path, row) in &files {
        let folder = path.parent().unwrap_or(directory);
        std::fs::create_dir_all(folder).map_err(|source| {
            CommandError::failed(GetError::Output { path: folder.to_owned(), source })
        })?;
        write(path, &read(butler, row)?)?;
    }
    context.output().say(&format!("wrote {} to {directory}", count(files.len(), "file")));
    Ok(Status::Done)
}

/// How the file of a dataset ends: as its artifact, if it has that for itself.
fn extension(record: &FileRecord) -> &str {
    let name = record.location.as_str();
    let name = name.rsplit('/').next().unwrap_or(name);
    match (record.offset, name.rsplit_once('~')) {
        (Some(_), _) => record.storage_class.extension(),
        (None, Some((_, written))) => written.split_once('.').map_or("", |(_, ending)| ending),
        (None, None) => Utf8Path::new(name).extension().unwrap_or_default(),
    }
}

/// Puts the bytes into a file as a whole. What is no regular file (a terminal,
/// `/dev/null`, a pipe) is written to; it must not be replaced.
fn write(path: &Utf8Path, bytes: &[u8]) -> Result<(), CommandError> {
    let failed = |source| CommandError::failed(GetError::Output { path: path.to_owned(), source });
    match std::fs::metadata(path) {
        Ok(there) if there.is_file() => {
            let target = path.canonicalize_utf8().map_err(failed)?;
            Ok(pantler_datastore::fs::replace(&target, bytes)?)
        }
        Ok(_) => {
            let mut file = OpenOptions::new().write(true).open(path).map_err(failed)?;
            file.write_all(bytes).map_err(failed)
        }
        Err(_) => Ok(pantler_datastore::fs::replace(path, bytes)?),
    }
}

/// The datasets of a type that have the values given: one, unless there may be `many`.
fn of_type(
    butler: &DirectButler,
    args: &Args,
    name: DatasetTypeName,
    given: &[Assignment],
    many: bool,
) -> Result<Vec<DatasetRow>, CommandError> {
    let collections = &args.collections.collections;
    let dataset_type: Arc<DatasetType> = butler
        .registry()
        .read(|reader| reader.dataset_type(&name))?
        .ok_or_else(|| RegistryError::UnknownDatasetType { name: name.clone() })?;
    let (constraint, wanted) = if many {
        let given_texts = given.iter().map(|a| format!(" {}={}", a.key, a.value));
        (values(butler.universe(), given)?, given_texts.collect::<Vec<_>>().concat())
    } else {
        let data_id = DataId::parse(butler.universe(), &dataset_type.dimensions, &texts(given)?)?;
        let values = data_id.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        (values, format!(" {data_id}"))
    };
    let rows = butler.query_datasets(&DatasetQuery {
        dataset_types: Some(vec![name.clone()]),
        runs: Some(collections.clone()),
        data_id: constraint,
        find_first: true,
        ids: None,
    })?;
    if rows.is_empty() {
        let names: Vec<_> = collections.iter().map(CollectionName::as_str).collect();
        let query = format!("query datasets {name} --collections {}", names.join(","));
        return Err(CommandError::failed(GetError::NotFound {
            dataset_type: name,
            values: wanted,
            collections: names.join(", "),
        })
        .next(Next::command(query)));
    }
    Ok(rows)
}

/// Why a registered dataset has no records.
fn not_stored(butler: &DirectButler, row: &DatasetRow) -> Result<CommandError, CommandError> {
    let query = DatasetQuery { ids: Some(vec![row.dataset.id]), ..DatasetQuery::default() };
    let (_, managers) = butler.query_datasets_and_managers(&query)?;
    let dataset = row.dataset.to_string();
    Ok(match managers.into_values().next() {
        None => CommandError::failed(GetError::NotStored(dataset)),
        Some(transaction) => {
            let next = Next::command(format_args!("transaction show {transaction}"));
            CommandError::failed(GetError::Managed { dataset, transaction }).next(next)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_and_devices_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let (file, link) = (root.join("file"), root.join("link"));
        write(&file, b"old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert!(link.is_symlink());

        let null = root.join("null");
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        write(&null, b"x").unwrap();
        assert!(null.is_symlink());
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
        let error = write(root, b"x").unwrap_err().report(None);
        assert!(error.starts_with("error: cannot write to"), "{error}");
    }
}
