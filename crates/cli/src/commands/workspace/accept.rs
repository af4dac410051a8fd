use pantler_exec::transitions::Transition;

use crate::{
    context::Context,
    error::CommandResult,
    transitions::{self, TransitionArgs},
};

/// Count failed quanta as successes: what is downstream runs without what they did not make
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same quanta: does nothing. The failure stays known.\n\nExamples:\n  pantler workspace accept climate/trial --failed\n  pantler workspace accept climate/trial --task daily --dry-run\n\n\
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
    transitions::run(context, &args.transition, args.failed, Transition::Accept, &client)
}
