use camino::Utf8PathBuf;
use pantler_butler::request::{TransferMode, TransferRequest};
use pantler_core::{DatasetId, TransactionName};
use pantler_registry::OpenOptions;
use pantler_workspace::open_butler;

use crate::{
    context::Context,
    error::CommandResult,
    selection::Selection,
    storing::{StoreArgs, name_of, say_plan, say_report, watched},
};

/// Bring datasets of another repository into this one, with their UUIDs and RUNs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "RUNs, dataset types and dimension records that are missing come along. What is there already, with\n\
                  the same UUID and content, is left. Killed at any moment, the same command finishes it.\n\n\
                  Examples:\n  pantler transfer ../other/repo 0192a7e8-c000-7000-8000-00000000000a --repo repo\n  \
                  pantler transfer ../other/repo --type daily --collections climate/raw city=oslo --repo repo\n\n\
                  JSON: as of `pantler ingest`"
)]
pub(crate) struct Args {
    /// The other repository
    #[arg(value_name = "SOURCE_REPO")]
    source: Utf8PathBuf,

    #[command(flatten)]
    selection: Selection,

    /// copy, hardlink, symlink, or direct: leave the artifacts there, and only name them here
    #[arg(long, value_name = "MODE", default_value = "copy")]
    mode: TransferMode,

    /// The transaction's name [default: one that follows from the datasets]
    #[arg(long, value_name = "NAME")]
    name: Option<TransactionName>,

    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    let source =
        open_butler(&context.absolute(&args.source), context.butler_environment(), &options)?;
    let datasets = source.registry().read(|reader| args.selection.datasets(reader, None, true))?;
    let name = if let Some(name) = &args.name {
        name.clone()
    } else {
        let mut texts: Vec<String> = datasets.iter().map(DatasetId::to_string).collect();
        texts.sort_unstable();
        name_of("transfer", texts.iter().map(String::as_str).chain([args.mode.name()]))?
    };
    let request = TransferRequest {
        name: Some(name),
        datasets,
        mode: args.mode,
        options: args.store.options(false),
    };
    if args.store.dry_run {
        let plan = butler.plan_transfer(&source, &request)?;
        return say_plan(context, args.store, "transfer", &plan);
    }
    let report =
        watched(context, "transfer", |lines| butler.transfer_from(&source, &request, lines))??;
    say_report(context, args.store, "transferred", &report)
}
