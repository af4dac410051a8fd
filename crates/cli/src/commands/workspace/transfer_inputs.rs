use crate::{
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    table::{bytes, count},
    target::{ParentArgs, WorkspaceTarget},
};

/// Copy the inputs of an external workspace into its folder, so that it needs its parent no more
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Checksums are verified. Killed at any moment, the same command goes on; again, it does nothing.\n\n\
                  Example:\n  pantler workspace transfer-inputs ../trial"
)]
pub(crate) struct Args {
    /// The folder of the workspace
    #[arg(value_name = "DIR")]
    target: WorkspaceTarget,

    #[command(flatten)]
    parent: ParentArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let target = &args.target;
    let root = target.folder(context).unwrap_or_else(|| context.absolute(target.as_str().into()));
    let workspace = target.external(context, &root, Some(&args.parent))?;
    let done = workspace.transfer_inputs();
    let done = done.map_err(|error| -> CommandError { target.error(context, error) })?;
    let next = Next::command(format_args!("workspace run {target}")).text(None);
    context.output().say(&match done.copied {
        0 => format!("all {} were there already\nnext: {next}", count(done.count, "input")),
        copied => format!(
            "copied {} of {} ({})\nnext: {next}",
            copied,
            count(done.count, "input"),
            bytes(done.bytes)
        ),
    });
    Ok(Status::Done)
}
