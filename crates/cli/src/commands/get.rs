use std::{fs::OpenOptions, io::Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{DataId, DatasetId, DatasetTypeName, TransactionName};
use pantler_direct::DirectButler;
use pantler_registry::{DatasetQuery, DatasetRow, LockKind, RegistryError};

use crate::{
    arguments::{Assignment, Collections, texts},
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
};

/// Read a dataset: its bytes, whole and with the checksum they were stored with
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pantler get comparison --collections climate -o comparison.csv\n  \
                  pantler get daily city=oslo month=1 --collections climate\n  \
                  pantler get 0192a7e8-c000-7000-8000-00000000000a"
)]
pub(crate) struct Args {
    /// The UUID of a dataset, or a dataset type
    #[arg(value_name = "UUID|DATASET_TYPE")]
    dataset: String,

    /// The values of the dataset type's dimensions
    #[arg(value_name = "KEY=VALUE")]
    values: Vec<Assignment>,

    #[command(flatten)]
    collections: Collections,

    /// Write to a file instead of standard output; one that is there is replaced
    #[arg(short, long, value_name = "FILE")]
    output: Option<Utf8PathBuf>,
}

/// The dataset cannot be read.
#[derive(Debug, thiserror::Error)]
enum GetError {
    #[error("there is no dataset with the id {0}")]
    NoId(DatasetId),
    #[error("there is no {dataset_type} {data_id} in {collections}")]
    NotFound { dataset_type: DatasetTypeName, data_id: DataId, collections: String },
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
    let row = find(&butler, args)?;
    if row.records.is_empty() {
        return Err(not_stored(&butler, &row)?);
    }
    let Some(bytes) = butler.get(&row)? else {
        return Err(CommandError::failed(GetError::NoRecord(row.dataset.to_string())));
    };
    match &args.output {
        None => context.output().bytes(&bytes)?,
        Some(path) => write(&context.absolute(path), &bytes)?,
    }
    Ok(Status::Done)
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

fn find(butler: &DirectButler, args: &Args) -> Result<DatasetRow, CommandError> {
    if let Ok(id) = args.dataset.parse::<DatasetId>() {
        if !args.values.is_empty() || !args.collections.collections.is_empty() {
            return Err(CommandError::usage(
                "a UUID says it all: values and --collections go with a dataset type",
            ));
        }
        let row = butler.registry().read(|reader| reader.dataset(id))?;
        return row.ok_or_else(|| CommandError::failed(GetError::NoId(id)));
    }
    let name = DatasetTypeName::new(&args.dataset).map_err(CommandError::usage)?;
    let collections = &args.collections.collections;
    if collections.is_empty() {
        return Err(CommandError::usage("a dataset type needs --collections to look in")
            .next(Next::command("query collections")));
    }
    let dataset_type = butler
        .registry()
        .read(|reader| reader.dataset_type(&name))?
        .ok_or_else(|| RegistryError::UnknownDatasetType { name: name.clone() })?;
    let data_id =
        DataId::parse(butler.universe(), &dataset_type.dimensions, &texts(&args.values)?)?;
    let rows = butler.query_datasets(&DatasetQuery {
        dataset_types: Some(vec![name.clone()]),
        runs: Some(collections.clone()),
        data_id: data_id.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        find_first: true,
        ids: None,
    })?;
    rows.into_iter().next().ok_or_else(|| {
        let collections: Vec<_> = collections.iter().map(AsRef::<str>::as_ref).collect();
        let collections = collections.join(", ");
        let query = format!("query datasets {name} --collections {}", collections.replace(' ', ""));
        CommandError::failed(GetError::NotFound { dataset_type: name, data_id, collections })
            .next(Next::command(query))
    })
}

/// Why a registered dataset has no records.
fn not_stored(butler: &DirectButler, row: &DatasetRow) -> Result<CommandError, CommandError> {
    let locks = butler.registry().read(|reader| reader.locks_of_run(&row.dataset.run))?;
    let manager = locks.into_iter().find(|(_, kind)| *kind != LockKind::Input);
    let dataset = row.dataset.to_string();
    Ok(match manager {
        None => CommandError::failed(GetError::NotStored(dataset)),
        Some((transaction, _)) => {
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
