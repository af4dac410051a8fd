use pantler_core::CollectionName;

use crate::{
    context::Context,
    error::{CommandResult, Next, Status},
};

/// Undo a closing of a workspace that did not succeed, so that it can be run on
///
/// A closing that was killed leaves a marker, and nothing runs in the workspace any more.
/// This takes it away. A closing that is at work is left alone, and so is a revert or abandon
/// that has begun to delete: that can only be finished.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again: succeeds and does nothing.\n\nExample:\n  pantler workspace reopen climate/20260102T030405.678Z"
)]
pub(crate) struct Args {
    /// The workspace
    #[arg(value_name = "NAME")]
    pub(super) name: CollectionName,

    /// Do so although the process of the closing is not known to be dead
    #[arg(long)]
    take_over: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let butler = context.open()?;
    let reopened = pantler_workspace::reopen(&butler, name, args.take_over)?;
    let next = Next::command(format_args!("workspace status {name}")).text(context.located());
    let did = if reopened {
        format!("workspace {name} is open again")
    } else {
        format!("no closing of workspace {name} has begun; nothing to do")
    };
    context.output().say(&format!("{did}\nnext: {next}"));
    Ok(Status::Done)
}
