//! Closing a transaction of any kind by name: what `transaction` and `workspace` share.

use pantler_butler::transaction::{KindError, TransactionKind as _, Verify};
use pantler_core::{
    CollectionName, TransactionName,
    transaction::{Closing, TransactionRow},
};
use pantler_datastore::Depth;
use pantler_direct::{CloseError, CloseOptions, Closed, DirectButler};
use pantler_workspace::{
    CloseNotice, Shard, ShardCommitted, WorkspaceClient, WorkspaceError, WorkspaceTransaction,
    close_without, commit_shard, committed_shards, has_quanta_of_tasks, layout,
};
use serde_json::json;

use crate::{
    commands::find_workspace,
    context::Context,
    error::{CommandError, CommandResult, Next, Status, quoted},
    json,
    output::Output,
    shard::{ShardValues, shards, skipped_shard},
    table::count,
};

/// How to close.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClosingArgs {
    /// Close it although its process is not known to be dead
    #[arg(long)]
    take_over: bool,
}

impl ClosingArgs {
    pub(crate) fn options(&self, partial: bool) -> CloseOptions {
        CloseOptions { take_over: self.take_over, partial, ..CloseOptions::default() }
    }
}

/// How closely a commit looks.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct VerifyArgs {
    /// How closely to look at each artifact: `size`, or `full`, which reads it and compares the
    /// checksum that its writer computed
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Closeness::Size)]
    verify: Closeness,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Closeness {
    #[default]
    Size,
    Full,
}

impl VerifyArgs {
    pub(crate) fn depth(self) -> Depth {
        match self.verify {
            Closeness::Size => Depth::Presence,
            Closeness::Full => Depth::Full,
        }
    }

    pub(crate) fn verify(self) -> Verify {
        match self.verify {
            Closeness::Size => Verify::Size,
            Closeness::Full => Verify::Full,
        }
    }
}

/// Whom not to wait for.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct DeadArgs {
    /// Do not wait for this runner, which is dead; again for more. Refused while it gives
    /// signs of life (`pantler workspace status` lists runners)
    #[arg(long = "assume-dead", value_name = "RUNNER")]
    dead: Vec<u32>,
}

struct Waiting<'a>(&'a Output);

impl CloseNotice for Waiting<'_> {
    fn waiting_for(&mut self, holder: &str) {
        self.0.note(&format!(
            "waiting for {holder}, at work in the workspace (`pantler workspace status` shows when it was last heard of; with --assume-dead RUNNER it is not waited for)"
        ));
    }
}

/// Closes the transaction, whatever its kind is.
pub(crate) fn close(
    context: &Context,
    name: &TransactionName,
    closing: Closing,
    options: CloseOptions,
) -> CommandResult {
    let butler = context.open()?;
    let row = butler.transaction(name)?;
    if let Some(row) = &row {
        say_owner(context, row);
    }
    let is_workspace = row.is_some_and(|row| row.kind == WorkspaceTransaction::KIND);
    let closed = match CollectionName::new(name.as_str()) {
        Ok(run) if is_workspace => {
            close_workspace_of(context, &butler, &run, closing, options, &DeadArgs::default())?
        }
        _ => butler.close(name, closing, options)?,
    };
    say(context, "transaction", name.as_str(), closing, closed);
    Ok(Status::Done)
}

/// Closes the workspace; a transaction of another kind is refused.
pub(crate) fn close_workspace(
    context: &Context,
    run: &CollectionName,
    closing: Closing,
    options: CloseOptions,
    dead: &DeadArgs,
) -> CommandResult {
    let closed = closed_workspace(context, run, closing, options, dead)?;
    say(context, "workspace", run.as_str(), closing, closed);
    Ok(Status::Done)
}

/// Commits the workspace, and prints JSON.
pub(crate) fn commit_workspace_to_json(
    context: &Context,
    run: &CollectionName,
    options: CloseOptions,
    dead: &DeadArgs,
) -> CommandResult {
    let closed = closed_workspace(context, run, Closing::Commit, options, dead)?;
    context.output().json(&json::committed(run.as_str(), closed))?;
    Ok(Status::Done)
}

fn closed_workspace(
    context: &Context,
    run: &CollectionName,
    closing: Closing,
    options: CloseOptions,
    dead: &DeadArgs,
) -> Result<Closed, CommandError> {
    let butler = context.open()?;
    let name = transaction_name(run)?;
    if let Some(row) = butler.transaction(&name)? {
        if row.kind != WorkspaceTransaction::KIND {
            return Err(WorkspaceError::NotAWorkspace { name, kind: row.kind }.into());
        }
        say_owner(context, &row);
    }
    close_workspace_of(context, &butler, run, closing, options, dead)
}

/// Commits shards of a workspace, one after the other; as text or as JSON.
pub(crate) fn commit_shards(
    context: &Context,
    run: &CollectionName,
    given: &[ShardValues],
    options: CloseOptions,
    dead: &DeadArgs,
    as_json: bool,
) -> CommandResult {
    let client = find_workspace(context, run)?;
    let butler = context.open()?;
    let output = context.output();
    let mut documents = Vec::new();
    for shard in shards(given, &client, butler.universe())? {
        let mut notice = Waiting(output);
        let done = commit_shard(&butler, run, &shard, options, &dead.dead, &mut notice);
        let done = done.map_err(|error| unfinished_shard(error, run, &shard))?;
        if as_json {
            documents.push(json::committed_shard(&shard, &done));
            continue;
        }
        output.say(&match done {
            ShardCommitted::Now { datasets } => {
                format!(
                    "shard {shard} of workspace {run} committed: {}",
                    count(datasets, "dataset")
                )
            }
            ShardCommitted::Skipped(skipped) => {
                format!("workspace {run}: {}", skipped_shard(&shard, &skipped))
            }
            ShardCommitted::Before => {
                format!("shard {shard} of workspace {run} was committed before; nothing to do")
            }
        });
    }
    if as_json {
        output.json(&json!({"name": run, "shards": documents}))?;
    }
    Ok(Status::Done)
}

/// The ways on if quanta of a shard have not succeeded are those of the shard.
fn unfinished_shard(error: WorkspaceError, run: &CollectionName, shard: &Shard) -> CommandError {
    let is_unfinished = matches!(
        error,
        WorkspaceError::Close(CloseError::StillOpen { source: KindError::Unfinished(_), .. })
    );
    let error = CommandError::from(error);
    if !is_unfinished {
        return error;
    }
    let shard = quoted(&shard.to_string());
    error.next(Next::one_of([
        Next::command(format_args!("workspace run {run} --shard {shard}")),
        Next::command(format_args!("workspace commit {run} --shard {shard} --partial")),
    ]))
}

/// The name of the transaction of a workspace.
pub(crate) fn transaction_name(run: &CollectionName) -> Result<TransactionName, CommandError> {
    TransactionName::new(run.as_str()).map_err(CommandError::usage)
}

fn close_workspace_of(
    context: &Context,
    butler: &DirectButler,
    run: &CollectionName,
    closing: Closing,
    options: CloseOptions,
    dead: &DeadArgs,
) -> Result<Closed, CommandError> {
    let mut notice = Waiting(context.output());
    match close_without(butler, run, closing, options, &dead.dead, &mut notice) {
        Err(WorkspaceError::Close(
            error @ CloseError::StillOpen { source: KindError::Unfinished(_), .. },
        )) => {
            let has_shards = has_committed_shards(context, butler, run)?;
            let away = if has_shards { "abandon" } else { "revert" };
            let ways =
                ["build", away].map(|verb| Next::command(format_args!("workspace {verb} {run}")));
            Err(match quanta_in(context, run)? {
                Quanta::OfTasks if has_shards => {
                    CommandError::from(error).next(ways_on_after_shards(run))
                }
                Quanta::OfTasks => error.into(),
                Quanta::None => CommandError::from(error).next(Next::one_of(ways)),
                Quanta::NotBuilt => CommandError::new(Status::LeftOpen, error)
                    .state(format!("workspace {run} is open"))
                    .next(Next::command(format_args!("workspace build {run}"))),
            })
        }
        closed => Ok(closed?),
    }
}

/// What there is that could be unfinished.
enum Quanta {
    NotBuilt,
    /// But perhaps of init steps.
    None,
    OfTasks,
}

fn quanta_in(context: &Context, run: &CollectionName) -> Result<Quanta, CommandError> {
    let client = WorkspaceClient::find(context.repository()?, run)?;
    let Some(client) = client.filter(|client| layout::has_graph(client.root())) else {
        return Ok(Quanta::NotBuilt);
    };
    let has_quanta = client.graph_if_built()?.is_some_and(|graph| has_quanta_of_tasks(&graph));
    Ok(if has_quanta { Quanta::OfTasks } else { Quanta::None })
}

/// Whether shards of it are committed: then it cannot be reverted.
fn has_committed_shards(
    context: &Context,
    butler: &DirectButler,
    run: &CollectionName,
) -> Result<bool, CommandError> {
    let Some(client) = WorkspaceClient::find(context.repository()?, run)? else {
        return Ok(false);
    };
    Ok(!committed_shards(butler, &client)?.is_empty())
}

/// What can become of a workspace with failed quanta of which shards are committed.
fn ways_on_after_shards(run: &CollectionName) -> Next {
    let verbs = ["run", "accept", "reset", "commit", "abandon"];
    let flags = ["", " --failed", " --failed", " --partial", ""];
    let ways = verbs.into_iter().zip(flags);
    Next::one_of(
        ways.map(|(verb, flag)| Next::command(format_args!("workspace {verb} {run}{flag}"))),
    )
}

/// Anybody may close what is open; whose it is, is said.
fn say_owner(context: &Context, row: &TransactionRow) {
    if row.owner != context.environment().owner {
        context.output().note(&format!("{} was opened by {}", row.name, row.owner));
    }
}

fn say(context: &Context, what: &str, name: &str, closing: Closing, closed: Closed) {
    let outcome = closing.outcome();
    context.output().say(&match closed {
        // What other closings leave stored was so before, or is what they are not for.
        Closed::Now { stored } if closing == Closing::Commit && stored > 0 => {
            format!("{what} {name} {outcome}: {}", count(stored, "dataset"))
        }
        Closed::Now { .. } => format!("{what} {name} {outcome}"),
        Closed::Before => format!("{what} {name} was {outcome} before; nothing to do"),
    });
}
