use pantler_workspace::{
    WorkspaceError,
    external::{ExternalError, ParentUse},
};

use crate::{
    context::Context,
    error::{CommandResult, Next, Status, quoted},
    table::{bytes, count},
    target::{ParentArgs, WorkspaceTarget, open_parent},
};

/// Copy the inputs of an external workspace into its folder, so that it needs its parent no more
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Checksums are verified. Killed at any moment, the same command goes on; again, it copies only what the graph\n\
                  reads since it was built on.\n\n\
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
    let root = target.expect_folder(context, |name| {
        format!("workspace export {} --to DIR --with-inputs", quoted(name.as_str()))
    })?;
    let workspace = target.external(context, &root, Some(&args.parent))?;
    let done = workspace.transfer_inputs();
    // What is not as it was may be missing from another repository in the parent's place.
    if done.as_ref().is_err_and(is_about_an_input)
        && let Ok(parent) = open_parent(context, &workspace, ParentUse::Inputs(1))
    {
        let is_parent = workspace.check_parent(&parent, ParentUse::Inputs(1));
        is_parent.map_err(|error| target.error(context, error))?;
    }
    let done = done.map_err(|error| target.error(context, error))?;
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

fn is_about_an_input(error: &WorkspaceError) -> bool {
    let WorkspaceError::External(error) = error else { return false };
    match &**error {
        ExternalError::InputChanged { .. } => true,
        ExternalError::NotTransferred { source, .. } => {
            matches!(**source, WorkspaceError::Datastore(_))
        }
        _ => false,
    }
}
