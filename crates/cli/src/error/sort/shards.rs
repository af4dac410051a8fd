//! Shards of workspaces.

use pantler_core::CollectionName;
use pantler_workspace::{Shard, WorkspaceError, shard_list};

use super::{Next, Sorted, Status};
use crate::error::{UNCHANGED, quoted};

pub(super) fn shards(error: &WorkspaceError) -> Sorted {
    let unchanged = Sorted::unchanged();
    match error {
        WorkspaceError::TaskNotSharded { .. } | WorkspaceError::ShardBy { .. } => unchanged.then(
            Next::plain("take dimensions that all tasks have, or a workspace without --shard-by"),
        ),
        WorkspaceError::EmptyShard { name, shard } => unchanged
            .then(Next::command(format_args!("workspace build {name} --shard {}", quoted(&shard.to_string())))),
        WorkspaceError::NewInFrozen { name, committed, frozen, open } => {
            new_in_frozen(name, committed, frozen, open)
        }
        WorkspaceError::Frozen { name, shard } => unchanged.then(Next::one_of([
            Next::command(format_args!("workspace status {name}")),
            Next::command(format_args!("workspace commit {name} --shard {}", quoted(&shard.to_string()))),
            Next::plain(format!(
                "`pantler workspace reopen {name}`, if its commit failed and none is at work"
            )),
        ])),
        WorkspaceError::ShardRuns { runner, .. } => unchanged.then(Next::plain(format!(
            "the same command again when it has ended; or, if it is dead, with --assume-dead {runner}"
        ))),
        WorkspaceError::ShardsCommitted { name, .. } => Sorted {
            status: Status::LeftOpen,
            state: format!("workspace {name} is open; what is committed stays"),
            next: Some(Next::one_of(
                ["commit", "abandon"]
                    .map(|verb| Next::command(format_args!("workspace {verb} {name}"))),
            )),
        },
        _ => unchanged,
    }
}

/// What is left to a build that would add to frozen shards: the others, one by one.
fn new_in_frozen(
    name: &CollectionName,
    committed: &[Shard],
    frozen: &[Shard],
    open: &[Shard],
) -> Sorted {
    let on_shard = |verb: &str, shard: &Shard| {
        let shard = quoted(&shard.to_string());
        Next::command(format_args!("workspace {verb} {name} --shard {shard}"))
    };
    let mut state = UNCHANGED.to_owned();
    let mut ways = Vec::new();
    if let Some(first) = open.first() {
        let list = shard_list(open);
        state = format!("{state}; {list} can be built, each by a command of its own");
        ways.push(on_shard("build", first));
    }
    if let Some(first) = frozen.first() {
        // Finishes a commit that was cut off.
        ways.push(on_shard("commit", first));
    }
    if !committed.is_empty() && ways.is_empty() {
        ways.push(Next::plain(
            "a workspace of another name, for what has come since: what is committed stays as it is",
        ));
    }
    Sorted { state, ..Sorted::unchanged() }.then(Next::one_of(ways))
}
