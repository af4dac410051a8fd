use std::{collections::BTreeMap, sync::Arc};

use camino::Utf8PathBuf;
use pantler_butler::request::{
    IdScheme, IngestDataset, IngestFile, IngestRequest, NewDataset, Slice, TransferMode,
};
use pantler_core::{
    CollectionName, DataId, DatasetType, DatasetTypeName, ElementName, StorageClass,
    TransactionName,
};
use pantler_direct::{DirectButler, IndexRow, read_index};
use pantler_registry::{Reader, RegistryError};
use pantler_workspace::project::FilePattern;

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Next},
    storing::{StoreArgs, data_id_text, name_of, say_plan, say_report, watched},
};

/// Make datasets of files: all of them or none, unless --keep-going
#[derive(Debug, clap::Args)]
#[command(
    after_help = "In a PATTERN, {dimension} stands for a value and * for anything, inside of one part of the path; put it\n\
                  in quotes. An index (CSV with a header, or a JSON array of objects) has the columns file, one for\n\
                  each dimension, and if needed type, offset and size: several rows with one file are several\n\
                  datasets in it. Files of an index are relative to it.\n\n\
                  Files that are there already, with the same content, are left. Killed at any moment, the same\n\
                  command finishes it.\n\n\
                  Modes: auto (in place if the file lies in the storage, else copy), copy, move, hardlink, symlink,\n\
                  in-place, direct (the file stays where it is and is never deleted).\n\
                  Schemes: unique, dataid-type, dataid-type-run (the same id in every repository).\n\n\
                  Examples:\n  pantler ingest --type daily --run climate/raw 'data/{city}/{month}.csv'\n  \
                  pantler ingest --type daily --run climate/raw --register --dimensions city,month --storage-class Csv 'data/{city}/{month}.csv'\n  \
                  pantler ingest --type daily --run climate/raw --index files.csv --transfer move\n\n\
                  JSON: {dry_run, stored, restored, repaired, skipped, bytes, resumed, ids, failed: [{dataset, reason}],\n\
                  sources_left: [{path, reason}]}; with --dry-run {dry_run, new: [{dataset, source}], restored,\n\
                  repaired, skipped, bytes, records, resumes, failed}"
)]
pub(crate) struct Args {
    /// Where the files are, such as 'data/{city}/{month}.csv'
    #[arg(value_name = "PATTERN", required_unless_present = "index")]
    patterns: Vec<String>,

    /// A list of files instead of patterns: .csv or .json
    #[arg(long, value_name = "FILE", conflicts_with = "patterns")]
    index: Option<Utf8PathBuf>,

    /// The dataset type of what does not say its own
    #[arg(long = "type", value_name = "DATASET_TYPE", required_unless_present = "index")]
    dataset_type: Option<DatasetTypeName>,

    /// The RUN, which is made if it is missing
    #[arg(long, value_name = "RUN")]
    run: CollectionName,

    /// How a file becomes an artifact
    #[arg(long, value_name = "MODE", default_value = "auto")]
    transfer: TransferMode,

    /// How datasets get their UUIDs
    #[arg(long, value_name = "SCHEME", default_value = "unique")]
    ids: IdScheme,

    /// Store what can be stored, and list the rest
    #[arg(long)]
    keep_going: bool,

    /// First register the dataset type if it is missing, and records that are only keys
    #[arg(long)]
    register: bool,

    /// With --register: the dimensions of the type
    #[arg(long, value_name = "DIMENSION", value_delimiter = ',', requires = "register")]
    dimensions: Option<Vec<ElementName>>,

    /// With --register: what its datasets are: Bytes, Text, Json, Csv or Svg
    #[arg(long, value_name = "CLASS", requires = "register")]
    storage_class: Option<StorageClass>,

    /// The transaction's name [default: one that follows from RUN and data IDs]
    #[arg(long, value_name = "NAME")]
    name: Option<TransactionName>,

    #[command(flatten)]
    store: StoreArgs,
}

/// No file is as asked for.
#[derive(Debug, thiserror::Error)]
enum FilesError {
    #[error("no file fits {0:?}")]
    NoFiles(String),
    #[error("{0} names no file")]
    Empty(Utf8PathBuf),
    #[error("cannot list {path}")]
    List { path: Utf8PathBuf, source: std::io::Error },
    #[error("{index}: {place}: {reason}")]
    Row { index: Utf8PathBuf, place: String, reason: String },
    #[error("{path}: {reason}")]
    File { path: Utf8PathBuf, reason: String },
}

impl From<FilesError> for CommandError {
    fn from(error: FilesError) -> Self {
        Self::failed(error).state("nothing has changed")
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let files = match &args.index {
        Some(index) => of_index(context, &butler, args, index)?,
        None => of_patterns(context, &butler, args)?,
    };
    let name = match &args.name {
        Some(name) => name.clone(),
        None => default_name(&args.run, &files)?,
    };
    let request = IngestRequest {
        name,
        run: args.run.clone(),
        files,
        mode: args.transfer,
        ids: args.ids,
        register: args.register,
        options: args.store.options(args.keep_going),
    };
    if args.store.dry_run {
        let plan = butler.plan_ingest(&request)?;
        return say_plan(context, args.store, "ingest", &plan);
    }
    let report = watched(context, "ingest", |lines| butler.ingest(&request, lines))??;
    say_report(context, args.store, "ingested", &report)
}

/// The same files under the same labels give the same name.
fn default_name(
    run: &CollectionName,
    files: &[IngestFile],
) -> Result<TransactionName, CommandError> {
    let datasets = files.iter().flat_map(|file| file.datasets.iter()).map(|d| &d.dataset);
    let mut texts: Vec<String> =
        datasets.map(|d| format!("{} {}", d.dataset_type.name, data_id_text(&d.data_id))).collect();
    texts.sort_unstable();
    name_of(
        &format!("ingest/{run}"),
        [run.as_str()].into_iter().chain(texts.iter().map(String::as_str)),
    )
}

/// The type of a name: as registered, or as it is to be registered.
fn dataset_type(
    butler: &DirectButler,
    args: &Args,
    name: &DatasetTypeName,
) -> Result<Arc<DatasetType>, CommandError> {
    let registered = butler.registry().read(|reader: &Reader| reader.dataset_type(name))?;
    let given = match (&args.dimensions, args.storage_class) {
        (Some(dimensions), Some(storage_class)) if args.register => {
            let dimensions = butler
                .universe()
                .group(dimensions.iter().map(ElementName::as_str))
                .map_err(CommandError::usage)?;
            Some(Arc::new(DatasetType { name: name.clone(), dimensions, storage_class }))
        }
        _ => None,
    };
    match (given, registered) {
        // If it is registered otherwise, registering it says so.
        (Some(given), _) => Ok(given),
        (None, Some(registered)) => Ok(registered),
        (None, None) if args.register => Err(CommandError::usage(format!(
            "there is no dataset type `{name}`, and to register it --dimensions and --storage-class are needed"
        ))),
        (None, None) => {
            Err(CommandError::from(RegistryError::UnknownDatasetType { name: name.clone() }).next(
                Next::one_of([
                    Next::command(format_args!(
                        "dataset-type register {name} --dimensions A,B --storage-class CLASS"
                    )),
                    Next::plain(
                        "the same command with --register --dimensions A,B --storage-class CLASS",
                    ),
                ]),
            ))
        }
    }
}

fn of_patterns(
    context: &Context,
    butler: &DirectButler,
    args: &Args,
) -> Result<Vec<IngestFile>, CommandError> {
    let Some(name) = &args.dataset_type else {
        return Err(CommandError::usage("patterns need a --type"));
    };
    let dataset_type = dataset_type(butler, args, name)?;
    let dimensions = &dataset_type.dimensions;
    let mut files = Vec::new();
    for text in &args.patterns {
        let pattern = FilePattern::parse(text, dimensions.required()).map_err(|reason| {
            CommandError::usage(format!(
                "the pattern {text:?} does not fit {name} {dimensions}: {reason}"
            ))
        })?;
        let found = pattern
            .find(&context.absolute("".into()))
            .map_err(|(path, source)| FilesError::List { path, source })?;
        if found.is_empty() {
            return Err(FilesError::NoFiles(text.clone()).into());
        }
        for file in found {
            let data_id = DataId::parse(butler.universe(), dimensions, &file.values)
                .map_err(|e| FilesError::File { path: file.path.clone(), reason: e.to_string() })?;
            files.push(IngestFile::one(Arc::clone(&dataset_type), data_id, file.path));
        }
    }
    Ok(files)
}

fn of_index(
    context: &Context,
    butler: &DirectButler,
    args: &Args,
    index: &Utf8PathBuf,
) -> Result<Vec<IngestFile>, CommandError> {
    let path = context.absolute(index);
    let rows = read_index(&path)?;
    if rows.is_empty() {
        return Err(FilesError::Empty(index.clone()).into());
    }
    let folder = path.parent().unwrap_or(&path);
    let mut types: BTreeMap<DatasetTypeName, Arc<DatasetType>> = BTreeMap::new();
    let mut positions: BTreeMap<Utf8PathBuf, usize> = BTreeMap::new();
    let mut files: Vec<IngestFile> = Vec::new();
    for row in rows {
        let IndexRow { place, file, dataset_type: own, values, slice } = row;
        let wrong = |reason: String| {
            CommandError::from(FilesError::Row {
                index: index.clone(),
                place: place.clone(),
                reason,
            })
        };
        let Some(name) = own.as_ref().or(args.dataset_type.as_ref()) else {
            return Err(wrong("it has no type, and there is no --type".to_owned()));
        };
        if !types.contains_key(name) {
            types.insert(name.clone(), dataset_type(butler, args, name)?);
        }
        let dataset_type = Arc::clone(&types[name]);
        let data_id = DataId::parse(butler.universe(), &dataset_type.dimensions, &values)
            .map_err(|e| wrong(e.to_string()))?;
        let dataset = IngestDataset {
            dataset: NewDataset::new(dataset_type, data_id),
            slice: slice.map(|(offset, size)| Slice { offset, size }),
        };
        let source = folder.join(file);
        if let Some(position) = positions.get(&source) {
            files[*position].datasets.push(dataset);
        } else {
            positions.insert(source.clone(), files.len());
            files.push(IngestFile { source, datasets: vec![dataset] });
        }
    }
    Ok(files)
}
