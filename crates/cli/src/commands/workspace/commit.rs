use pantler_core::transaction::Closing;
use pantler_direct::CloseOptions;

use super::external::CommitArgs;
use crate::{
    close::{
        ClosingArgs, DeadArgs, VerifyArgs, close_workspace, commit_shards, commit_workspace_to_json,
    },
    context::Context,
    error::CommandResult,
    shard::ShardValues,
    target::{WorkspaceTarget, only_internal},
};

/// Enter the results of a workspace into the repository, and end it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same outcome: succeeds and does nothing. What Pantler made in the folder of an external\n\
                  workspace is removed afterwards: a call that was killed is finished by the same one; after one that\n\
                  succeeded the folder is gone, and the parent knows of the commit by the UUID that was printed\n\
                  (`pantler transaction show UUID`).\n\nExamples:\n  pantler workspace commit climate/20260102T030405.678Z\n  \
                  pantler workspace commit ../trial --transfer move\n\n\
                  JSON: {name, before, datasets}, where datasets is null if it was committed before; with --shard {name,\n\
                  shards}, an array of {shard, before, skipped, datasets}; of an external workspace {name, parent, transaction,\n\
                  before, datasets, bytes, resumed}"
)]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one, which goes to its parent
    #[arg(value_name = "NAME|DIR")]
    pub(super) target: WorkspaceTarget,

    /// Commit this shard only, such as city=oslo,month=3, and leave the workspace open; again for
    /// more shards, one after the other
    #[arg(long, value_name = "KEY=VALUE,…")]
    shard: Vec<ShardValues>,

    /// Commit what succeeded, and drop the rest
    #[arg(long)]
    partial: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    verify: VerifyArgs,

    #[command(flatten)]
    closing: ClosingArgs,

    #[command(flatten)]
    dead: DeadArgs,

    #[command(flatten)]
    external: CommitArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let Args { target, shard, partial, json, verify, closing, dead, external } = args;
    if let Some(root) = target.folder(context) {
        if !shard.is_empty() {
            return Err(only_internal("--shard"));
        }
        return super::external::commit(context, target, &root, *partial, external, closing, *json);
    }
    external.expect_none()?;
    let options = CloseOptions { verify: verify.verify(), ..closing.options(*partial) };
    if !shard.is_empty() {
        return commit_shards(context, &target.name(context)?, shard, options, dead, *json);
    }
    if *json {
        return commit_workspace_to_json(context, &target.name(context)?, options, dead);
    }
    close_workspace(context, &target.name(context)?, Closing::Commit, options, dead)
}
