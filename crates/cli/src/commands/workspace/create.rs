use camino::Utf8PathBuf;
use pantler_core::{CollectionName, ElementName};
use pantler_direct::DirectButler;
use pantler_graph::Choices;
use pantler_workspace::{
    WorkspaceRequest, create,
    ledger::{self, LedgerRequest},
    split_selection,
};

use crate::{
    choices::ChoiceArgs,
    commands::run::canonical,
    context::Context,
    error::{CommandResult, Next, Status},
};

/// Open a workspace: a new RUN, to be filled by a pipeline, or by whoever makes datasets
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pantler workspace create climate/trial --pipeline pipeline.yaml -i climate/raw --chain climate\n  \
                  pantler workspace create climate/trial --pipeline pipeline.yaml -i climate/raw --external ../trial\n  \
                  pantler workspace create night/2026-03-01 --ledger --chain nights"
)]
pub(crate) struct Args {
    /// The name of the workspace and of the RUN that it makes
    #[arg(value_name = "NAME")]
    name: CollectionName,

    /// The pipeline; after a `#` some of its tasks and subsets
    #[arg(long, value_name = "FILE[#TASK,…]", required_unless_present = "ledger")]
    pipeline: Option<String>,

    /// Make a workspace without a pipeline: filled by `pantler workspace put`
    #[arg(long, conflicts_with_all = ["pipeline", "external", "ChoiceArgs"])]
    ledger: bool,

    /// Begin in development mode, as `pantler workspace dev` enters it
    #[arg(long, conflicts_with_all = ["external", "ledger"])]
    dev: bool,

    /// Input collections, in search order
    #[arg(short, long, value_name = "COLLECTION", required_unless_present = "ledger", value_delimiter = ',', num_args = 1..)]
    input: Vec<CollectionName>,

    /// The chain that gets the RUN as its new head
    #[arg(long, value_name = "CHAIN")]
    chain: Option<CollectionName>,

    /// Take over what a RUN of this collection has made already from the same inputs with the
    /// same tasks, instead of running it; again for more
    #[arg(long, value_name = "COLLECTION", value_delimiter = ',', conflicts_with = "external")]
    reuse: Vec<CollectionName>,

    #[command(flatten)]
    choices: ChoiceArgs,

    /// Make shards of the data IDs of these dimensions, which can be built, run and committed
    /// one by one; every task must have them
    #[arg(long, value_name = "DIMENSION", value_delimiter = ',', conflicts_with = "external")]
    shard_by: Vec<ElementName>,

    /// Make an external workspace: in this folder of its own, which is missing or empty
    #[arg(long, value_name = "DIR")]
    external: Option<Utf8PathBuf>,

    /// With --external: a file or folder beside the pipeline that commands need; again for more
    /// [default: all of the pipeline's folder, if that is little]
    #[arg(long, value_name = "PATH", requires = "external")]
    include: Vec<Utf8PathBuf>,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let name = &args.name;
    let Some(pipeline) = &args.pipeline else { return create_ledger(context, &butler, args) };
    let (pipeline, select) = split_selection(&context.absolute("".into()), pipeline);
    let mut choices = Choices { select, ..Choices::default() };
    args.choices.add_to(context, &mut choices);
    let request = WorkspaceRequest {
        run: args.name.clone(),
        chain: args.chain.clone(),
        inputs: args.input.clone(),
        pipeline: canonical(&pipeline)?,
        choices,
        reuse: args.reuse.clone(),
        project: None,
        shard_by: args.shard_by.clone(),
    };
    if let Some(folder) = &args.external {
        return super::external::make(context, &butler, &request, folder, &args.include);
    }
    let client = create(&butler, butler.environment().new_opening(), &request)?;
    if args.dev {
        client.enter_development()?;
    }
    let next = Next::command(format_args!("workspace build {name}")).text(context.located());
    context
        .output()
        .say(&format!("opened the workspace {name} in {}\nnext: {next}", client.root()));
    Ok(Status::Done)
}

fn create_ledger(context: &Context, butler: &DirectButler, args: &Args) -> CommandResult {
    let request = LedgerRequest {
        run: args.name.clone(),
        chain: args.chain.clone(),
        inputs: args.input.clone(),
    };
    let workspace = ledger::create(butler, butler.environment().new_opening(), &request)?;
    let (name, root) = (&args.name, workspace.client().root());
    let command = format_args!("workspace put {name} FILE DATASET_TYPE KEY=VALUE…");
    let next = Next::command(command).text(context.located());
    context.output().say(&format!("opened the workspace {name} in {root}\nnext: {next}"));
    Ok(Status::Done)
}
