use camino::Utf8PathBuf;
use pantler_butler::request::{RestoreContent, RestoreItem};
use pantler_core::DatasetId;

use super::put::read;
use crate::{
    context::Context,
    error::{CommandResult, Status},
    storing::{StoreArgs, name_of, report_json, say_plan, watched},
    table::bytes,
};

/// Store content again for a dataset that is registered only
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The content may be another than before: what the dataset was is not known any more.\n\
                  Killed at any moment, the same command finishes it.\n\n\
                  Example:\n  pantler restore 0192a7e8-c000-7000-8000-00000000000a oslo-01.csv\n\n\
                  JSON: as of `pantler ingest`"
)]
pub(crate) struct Args {
    /// The dataset
    #[arg(value_name = "UUID")]
    dataset: DatasetId,

    /// The content; `-` is standard input
    #[arg(value_name = "FILE|-")]
    file: Utf8PathBuf,

    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let id = args.dataset.to_string();
    let content = if args.file == "-" {
        RestoreContent::Bytes(read(context, &args.file)?.into())
    } else {
        RestoreContent::File(context.absolute(&args.file))
    };
    let items = [RestoreItem { dataset: args.dataset, content }];
    let name = name_of("restore", [id.as_str()])?;
    let options = args.store.options(false);
    if args.store.dry_run {
        let plan = butler.plan_restore(Some(&name), &items)?;
        return say_plan(context, args.store, "restore", &plan);
    }
    let report =
        watched(context, "restore", |lines| butler.restore(Some(&name), &items, options, lines))??;
    if args.store.json {
        context.output().json(&report_json(&report))?;
    } else {
        let said = if report.stored == 0 {
            format!("{id} is stored already, with that content")
        } else {
            format!("restored {id} ({})", bytes(report.bytes))
        };
        context.output().say(&said);
    }
    Ok(Status::Done)
}
