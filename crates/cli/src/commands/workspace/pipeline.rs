use pantler_core::CollectionName;
use pantler_direct::SystemClock;
use pantler_graph::Choices;
use pantler_workspace::split_selection;

use crate::{
    choices::ChoiceArgs,
    commands::run::canonical,
    context::Context,
    error::{CommandResult, Next, Status},
    table::count,
};

/// Replace the pipeline of a workspace in development mode
///
/// Quanta of tasks that have changed or are gone are reset, and their outputs deleted. What
/// other tasks have made stays; the graph has to be built again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same pipeline: finishes what was cut off, else does nothing.\n\n\
                  Example:\n  pantler workspace pipeline climate/trial --pipeline pipeline.yaml --set daily:deep=true"
)]
pub(crate) struct Args {
    /// The workspace
    #[arg(value_name = "NAME")]
    pub(super) name: CollectionName,

    /// The pipeline; after a `#` some of its tasks and subsets
    #[arg(long, value_name = "FILE[#TASK,…]")]
    pipeline: String,

    #[command(flatten)]
    choices: ChoiceArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let client = super::find(context, name)?;
    let butler = context.open()?;
    let (file, select) = split_selection(&context.absolute("".into()), &args.pipeline);
    let mut choices = Choices { select, ..Choices::default() };
    args.choices.add_to(context, &mut choices);
    let file = canonical(&file)?;
    let done = client.replace_pipeline(&butler, &file, &choices, &SystemClock)?;
    let labels: Vec<String> = done.changed.iter().map(ToString::to_string).collect();
    let next = Next::command(format_args!("workspace build {name}")).text(context.located());
    context.output().say(&if labels.is_empty() {
        format!("the pipeline of {name} is the same; no quantum was reset\nnext: {next}")
    } else {
        let (tasks, reset) = (labels.join(", "), count(done.reset, "quantum"));
        format!("replaced the pipeline of {name}: {tasks} changed, {reset} reset\nnext: {next}")
    });
    Ok(Status::Done)
}
