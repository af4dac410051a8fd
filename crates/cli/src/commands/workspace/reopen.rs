use crate::{
    context::Context,
    error::{CommandResult, Next, Status},
    target::{ParentArgs, WorkspaceTarget},
};

/// Undo a closing of a workspace that did not succeed, so that it can be run on
///
/// A closing that was killed leaves a marker, and nothing runs in the workspace any more.
/// This takes it away. A closing that is at work is left alone, and so is a revert or abandon
/// that has begun to delete: that can only be finished. So can the closing of an external
/// workspace when it is a repository, or when its parent knows of the commit.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again: succeeds and does nothing.\n\nExamples:\n  pantler workspace reopen climate/20260102T030405.678Z\n  pantler workspace reopen ../trial"
)]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one
    #[arg(value_name = "NAME|DIR")]
    pub(super) name: WorkspaceTarget,

    /// Do so although the process of the closing is not known to be dead
    #[arg(long)]
    take_over: bool,

    #[command(flatten)]
    parent: ParentArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let reopened = if let Some(root) = name.folder(context) {
        super::external::reopen(context, name, &root, &args.parent)?
    } else {
        args.parent.expect_none()?;
        let run = name.name(context)?;
        pantler_workspace::reopen(&context.open()?, &run, args.take_over)?
    };
    let next = Next::command(format_args!("workspace status {name}")).text(context.located());
    let did = if reopened {
        format!("workspace {name} is open again")
    } else {
        format!("no closing of workspace {name} has begun; nothing to do")
    };
    context.output().say(&format!("{did}\nnext: {next}"));
    Ok(Status::Done)
}
