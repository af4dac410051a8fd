use pantler_exec::transitions::Transition;

use crate::{
    context::Context,
    error::CommandResult,
    transitions::{self, TransitionArgs},
};

/// Count quanta that succeeded as failures, with everything downstream of them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same quanta: does nothing. Outputs are kept until the workspace is closed, and not committed;\n`workspace accept` takes it back, `workspace run` makes them again.\n\nExamples:\n  pantler workspace poison climate/trial --task daily\n\n\
                  JSON: {name, transition, dry_run, changed, unchanged, frozen, complete}; frozen is an array of shards that were left out,\n\
                  {} for the init steps; changed is an array of {task, data_id,\n\
                  quantum, attempt, from, to, downstream, outputs, deleted}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) transition: TransitionArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let client = args.transition.name.client(context)?;
    transitions::run(context, &args.transition, false, Transition::Poison, &client)
}
