use std::sync::Arc;

use camino::Utf8PathBuf;
use pantler_core::{CollectionName, DataId, DatasetType, DatasetTypeName};
use pantler_direct::SystemClock;
use pantler_registry::RegistryError;
use pantler_workspace::ledger::{LedgerError, LedgerWorkspace, PutOutcome};
use serde_json::json;

use crate::{
    arguments::{Assignment, texts},
    commands::put::read,
    context::Context,
    error::{CommandError, CommandResult, Status},
};

/// Write a file into a workspace that was created with --ledger; needs no database
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Prints the UUID that the dataset will have, and only that. Several may write at a time; the first that\n\
                  writes a dataset wins. The same content again prints the same UUID, other content is refused.\n\n\
                  Example:\n  pantler workspace put night/2026-03-01 frame.csv raw visit=12 detector=3\n\n\
                  JSON: {id, run, dataset_type, data_id, outcome}; outcome is stored or there"
)]
pub(crate) struct Args {
    /// The workspace
    #[arg(value_name = "NAME")]
    pub(super) name: CollectionName,

    /// The content; `-` is standard input
    #[arg(value_name = "FILE|-")]
    file: Utf8PathBuf,

    /// The dataset type
    #[arg(value_name = "DATASET_TYPE")]
    dataset_type: DatasetTypeName,

    /// The data ID
    #[arg(value_name = "KEY=VALUE")]
    values: Vec<Assignment>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let workspace = open(context, &args.name)?;
    let dataset_type = dataset_type(context, &workspace, &args.dataset_type)?;
    let texts = texts(&args.values)?;
    let data_id = DataId::parse(workspace.universe(), &dataset_type.dimensions, &texts)?;
    let content = read(context, &args.file)?;
    let mut writer = workspace.writer(&SystemClock)?;
    let put = writer.put(&dataset_type, &data_id, &content);
    let finished = writer.finish();
    // What went wrong first is what there is to say.
    let put = put?;
    finished?;
    let output = context.output();
    let (id, outcome) = match put {
        PutOutcome::Written(id) => (id, "stored"),
        PutOutcome::Present { dataset, writer } => {
            if !args.json {
                output.note(&format!("there already, with this content, by writer {writer}"));
            }
            (dataset, "there")
        }
    };
    if args.json {
        output.json(&json!({
            "id": id,
            "run": args.name,
            "dataset_type": args.dataset_type,
            "data_id": data_id,
            "outcome": outcome,
        }))?;
    } else {
        output.line(&id.to_string())?;
    }
    Ok(Status::Done)
}

/// Opens it from its root. Only if its creation was cut off is the database asked.
pub(super) fn open(
    context: &Context,
    name: &CollectionName,
) -> Result<LedgerWorkspace, CommandError> {
    let client = super::find(context, name)?;
    match LedgerWorkspace::open(client) {
        Err(LedgerError::NoTypes { .. }) => {
            let butler = context.open_to_read()?;
            Ok(LedgerWorkspace::restore(&butler, super::find(context, name)?)?)
        }
        opened => Ok(opened?),
    }
}

/// A dataset type as it was when the workspace was created. Only of one that came later is
/// the database asked.
fn dataset_type(
    context: &Context,
    workspace: &LedgerWorkspace,
    name: &DatasetTypeName,
) -> Result<Arc<DatasetType>, CommandError> {
    if let Some(known) = workspace.dataset_type(name) {
        return Ok(Arc::clone(known));
    }
    let butler = context.open_to_read()?;
    let found = butler.registry().read(|reader| reader.dataset_type(name))?;
    Ok(found.ok_or_else(|| RegistryError::UnknownDatasetType { name: name.clone() })?)
}
