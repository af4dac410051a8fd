use std::io::Read as _;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::request::{NewDataset, PutItem, PutRequest, StoreReport};
use pantler_core::{CollectionName, DataId, DatasetTypeName};
use pantler_direct::StoreError;
use pantler_registry::RegistryError;
use serde_json::json;

use crate::{
    arguments::{Assignment, texts},
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    storing::{StoreArgs, data_id_text, name_of, plan_json, watched},
};

/// Store a file as a dataset; the same content again is left
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Prints the UUID of the dataset, and only that. Again with the same content it prints the same UUID;\n\
                  other content for a data ID that the RUN has is refused: a dataset never changes. Killed at any\n\
                  moment, the same command finishes it.\n\n\
                  Examples:\n  pantler put oslo-01.csv daily city=oslo month=1 --run climate/raw\n  \
                  generate | pantler put - summary --run climate/notes\n\n\
                  JSON: {id, run, dataset_type, data_id, outcome}; outcome is stored, restored, repaired or there;\n\
                  with --dry-run as of `pantler ingest --dry-run`"
)]
pub(crate) struct Args {
    /// The content; `-` is standard input
    #[arg(value_name = "FILE|-")]
    file: Utf8PathBuf,

    /// The dataset type
    #[arg(value_name = "DATASET_TYPE")]
    dataset_type: DatasetTypeName,

    /// The data ID
    #[arg(value_name = "KEY=VALUE")]
    values: Vec<Assignment>,

    /// The RUN, which is made if it is missing
    #[arg(long, value_name = "RUN")]
    run: CollectionName,

    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let name = &args.dataset_type;
    let dataset_type = butler
        .registry()
        .read(|reader| reader.dataset_type(name))?
        .ok_or_else(|| RegistryError::UnknownDatasetType { name: name.clone() })?;
    let data_id =
        DataId::parse(butler.universe(), &dataset_type.dimensions, &texts(&args.values)?)?;
    let content = read(context, &args.file)?;
    let texts = [args.run.as_str(), name.as_str(), &data_id_text(&data_id)];
    let request = PutRequest {
        name: Some(name_of(&format!("put/{name}"), texts)?),
        run: args.run.clone(),
        items: vec![PutItem {
            dataset: NewDataset::new(dataset_type, data_id.clone()),
            content: content.into(),
        }],
        options: args.store.options(false),
    };
    let output = context.output();
    if args.store.dry_run {
        let plan = butler.plan_put(&request)?;
        if args.store.json {
            output.json(&plan_json(&plan))?;
            return Ok(Status::Done);
        }
        let run = &args.run;
        output.line(&if plan.skipped > 0 {
            format!("{name} {data_id} is in {run} already, with this content")
        } else if plan.repaired > 0 {
            format!("would store {name} {data_id} in {run} again: its artifact is lost")
        } else if plan.restored.is_empty() {
            format!("would store {name} {data_id} in {run}")
        } else {
            format!("would store {name} {data_id} in {run} again: it is registered only")
        })?;
        return Ok(Status::Done);
    }
    let report = watched(context, "put", |lines| butler.put_many(&request, lines))??;
    let Some(id) = report.ids.first() else {
        return Err(CommandError::failed(format!("{name} {data_id} got no UUID"))
            .next(Next::command("check")));
    };
    let outcome = outcome(&report);
    if args.store.json {
        output.json(&json!({
            "id": id,
            "run": args.run,
            "dataset_type": name,
            "data_id": data_id,
            "outcome": outcome,
        }))?;
        return Ok(Status::Done);
    }
    match outcome {
        "there" => output.note("there already, with this content"),
        "restored" => output.note("it was registered only, and is stored again"),
        "repaired" => output.note("its artifact was lost, and is stored again"),
        _ => {}
    }
    output.line(&id.to_string())?;
    Ok(Status::Done)
}

fn outcome(report: &StoreReport) -> &'static str {
    if report.repaired > 0 {
        "repaired"
    } else if report.restored > 0 {
        "restored"
    } else if report.stored > 0 {
        "stored"
    } else {
        "there"
    }
}

/// Reads a regular file, or all of standard input.
pub(super) fn read(context: &Context, file: &Utf8Path) -> Result<Vec<u8>, CommandError> {
    let failed =
        |path: Utf8PathBuf, source| CommandError::from(StoreError::Source { path, source });
    if file == "-" {
        let mut content = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut content)
            .map_err(|e| failed("standard input".into(), e))?;
        return Ok(content);
    }
    let path = context.absolute(file);
    let read = || {
        // A pipe would be waited for.
        if !std::fs::metadata(&path)?.is_file() {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        std::fs::read(&path)
    };
    read().map_err(|e| failed(path.clone(), e))
}
