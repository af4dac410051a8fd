use pantler_exec::transitions::Transition;

use crate::{
    context::Context,
    error::CommandResult,
    transitions::{self, TransitionArgs},
};

/// Delete what quanta made, so that they run again
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same quanta: finishes what was cut off, else does nothing. What is downstream runs again too.\n\nExamples:\n  pantler workspace reset climate/trial --failed\n  pantler workspace reset climate/trial --task daily\n\n\
                  JSON: {name, transition, dry_run, changed, unchanged, frozen, complete}; frozen is an array of shards that were left out,\n\
                  {} for the init steps; changed is an array of {task, data_id,\n\
                  quantum, attempt, from, to, downstream, outputs, deleted}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) transition: TransitionArgs,

    /// All failed quanta; with --task, those of that task
    #[arg(long, conflicts_with_all = ["quanta", "expr"])]
    failed: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let client = args.transition.name.client(context)?;
    transitions::run(context, &args.transition, args.failed, Transition::Reset, &client)
}
