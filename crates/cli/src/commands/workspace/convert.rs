use pantler_direct::{Clock as _, SystemClock};
use pantler_workspace::external::{Converted, ExternalWorkspace};

use crate::{
    close::VerifyArgs,
    context::Context,
    error::{CommandResult, Next, Status, quoted},
    table::count,
    target::WorkspaceTarget,
};

/// Make a repository of an external workspace, in its folder
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Inputs that were not transferred are registered only. Killed at any moment, it is a workspace or a repository,\n\
                  and the same command finishes it.\n\n\
                  Example:\n  pantler workspace convert ../trial"
)]
pub(crate) struct Args {
    /// The folder of the workspace
    #[arg(value_name = "DIR")]
    target: WorkspaceTarget,

    /// Keep what succeeded, and drop the rest
    #[arg(long)]
    partial: bool,

    #[command(flatten)]
    verify: VerifyArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let target = &args.target;
    let root = target.expect_folder(context, |name| {
        format!("workspace export {} --to DIR", quoted(name.as_str()))
    })?;
    let converted =
        ExternalWorkspace::convert(&root, args.partial, args.verify.depth(), SystemClock.now());
    let converted = converted.map_err(|error| target.error(context, error))?;
    let next = Next::command("query datasets").text(Some(&root));
    context.output().say(&match converted {
        Converted::Before => format!("{target} is a repository already\nnext: {next}"),
        Converted::Now { outputs, inputs, stored } => format!(
            "{target} is a repository: {} and {} ({stored} stored)\nnext: {next}",
            count(outputs, "output"),
            count(inputs, "input"),
        ),
    });
    Ok(Status::Done)
}
