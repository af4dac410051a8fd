use pantler_core::CollectionName;
use pantler_graph::Choices;
use pantler_workspace::{WorkspaceRequest, create, split_selection};

use crate::{
    choices::ChoiceArgs,
    commands::run::canonical,
    context::Context,
    error::{CommandResult, Next, Status},
};

/// Open a workspace: a new RUN, to be filled by a pipeline
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  pantler workspace create climate/trial --pipeline pipeline.yaml -i climate/raw --chain climate"
)]
pub(crate) struct Args {
    /// The name of the workspace and of the RUN that it makes
    #[arg(value_name = "NAME")]
    name: CollectionName,

    /// The pipeline; after a `#` some of its tasks and subsets
    #[arg(long, value_name = "FILE[#TASK,…]")]
    pipeline: String,

    /// Input collections, in search order
    #[arg(short, long, value_name = "COLLECTION", required = true, value_delimiter = ',', num_args = 1..)]
    input: Vec<CollectionName>,

    /// The chain that gets the RUN as its new head
    #[arg(long, value_name = "CHAIN")]
    chain: Option<CollectionName>,

    #[command(flatten)]
    choices: ChoiceArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let (pipeline, select) = split_selection(&context.absolute("".into()), &args.pipeline);
    let mut choices = Choices { select, ..Choices::default() };
    args.choices.add_to(context, &mut choices);
    let request = WorkspaceRequest {
        run: args.name.clone(),
        chain: args.chain.clone(),
        inputs: args.input.clone(),
        pipeline: canonical(&pipeline)?,
        choices,
        project: None,
    };
    let client = create(&butler, butler.environment().new_opening(), &request)?;
    let name = &args.name;
    let next = Next::command(format_args!("workspace build {name}")).text(context.located());
    context
        .output()
        .say(&format!("opened the workspace {name} in {}\nnext: {next}", client.root()));
    Ok(Status::Done)
}
