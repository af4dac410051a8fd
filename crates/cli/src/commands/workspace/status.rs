use pantler_direct::SystemClock;
use pantler_exec::{Failure, QuantumStatus, RunnerInfo, RunnerState, TaskStatus, WorkspaceStatus};
use pantler_graph::{QuantumGraph, QuantumView};
use pantler_workspace::{
    ShardStatus, TaskActivation, WorkspaceClient, committed_shards, has_quanta_of_tasks,
    kind::Source,
};
use serde_json::{Value, json};

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    json, summary,
    table::{Table, bytes, count},
    target::WorkspaceTarget,
    time,
    transitions::expression,
};

/// Say where the quanta of a workspace stand
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler workspace status climate/trial\n\n\
                  JSON: {name, root, built, complete, tasks, failures, accepted, development, runners}; tasks is an array of {task, total, built,\n\
                  started, succeeded, accepted, taken_over, failed, poisoned, blocked}, where succeeded counts accepted and taken over, and failed counts\n\
                  poisoned ones; failures and accepted of {task, data_id, quantum, attempt, reason}; development says whether the workspace is in that mode;\n\
                  runners of {runner,\n\
                  process, host, since, last_heartbeat, state}, where state is live, silent, ended, dead or taken over. Where tasks\n\
                  have init steps: init_steps of {task, active, status}, where status is null if it is not built. Of a workspace\n\
                  with shards: shards of {shard, total, succeeded, failed, state}, where state is open, frozen, committed or skipped (with skipped_in). Of a ledger:\n\
                  {name, root, ledger, runners}, where ledger is {done, bytes, begun, writers}. With --expr: {name,\n\
                  expression, quanta}; quanta is an array of {quantum, task, data_id, status}")]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one
    #[arg(value_name = "NAME|DIR")]
    name: WorkspaceTarget,

    /// List the quanta that an expression means, such as `blocked` or `daily@{city=oslo}..`
    #[arg(long, value_name = "EXPR")]
    expr: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let client = name.client(context)?;
    if client.transaction().source == Source::Ledger && args.expr.is_none() {
        return say_ledger(context, args, &client);
    }
    if let Some(text) = &args.expr {
        return list(context, args, &client, text);
    }
    let graph = client.graph_if_built()?;
    let activations = client.activations(graph.as_ref())?;
    let has_quanta = graph.as_ref().is_some_and(has_quanta_of_tasks);
    let journal = client.journal()?;
    let (status, failures, accepted) = match &graph {
        Some(graph) => (
            Some(WorkspaceStatus::of(graph, &journal)),
            pantler_exec::failures(graph, &journal),
            pantler_exec::accepted_failures(graph, &journal),
        ),
        None => (None, Vec::new(), Vec::new()),
    };
    drop(journal);
    let standing = graph.as_ref().zip(status.as_ref());
    let runners = client.runners(&SystemClock)?;
    let output = context.output();
    let development = client.is_development()?;
    if args.json {
        let root = client.root().as_str();
        let mut value = json::status(
            client.transaction().run.as_str(),
            root,
            status.as_ref(),
            &failures,
            &accepted,
        );
        value["development"] = development.into();
        value["closing"] = client.is_closing().into();
        value["runners"] = runners.iter().map(json_of).collect();
        if !activations.is_empty() {
            value["init_steps"] = activations.iter().map(json_of_activation).collect();
        }
        if let Some(shards) = shards_of(context, &client, standing)? {
            value["shards"] = shards.iter().map(ShardRow::json).collect();
        }
        output.json(&value)?;
        return Ok(Status::Done);
    }
    let next =
        |verb: &str| Next::command(format_args!("workspace {verb} {name}")).text(context.located());
    if development {
        output.line("in development mode: no provenance is stored")?;
    }
    if let Some(line) = line_of(&activations) {
        output.line(&line)?;
    }
    let Some(status) = &status else {
        output.line(&format!("{name} has no quantum graph yet\nnext: {}", next("build")))?;
        return Ok(Status::Done);
    };
    output.table(&table_of(status), "no quanta")?;
    let sum = |part: fn(&TaskStatus) -> usize| status.tasks().iter().map(part).sum::<usize>();
    for (number, text) in [
        (sum(|task| task.taken_over), "taken over from earlier RUNs"),
        (sum(|task| task.accepted), "counted as succeeded since accepted"),
        (sum(|task| task.poisoned), "counted as failed since poisoned"),
    ] {
        if number > 0 {
            output.line(&format!("{} {text}", count(number, "quantum")))?;
        }
    }
    let shards = shards_of(context, &client, standing)?;
    if let Some(shards) = &shards {
        say_shards(context, shards)?;
    }
    say_runners(context, &runners)?;
    for failure in &accepted {
        let Failure { task, data_id, reason, attempt, .. } = failure;
        output.line(&format!("accepted: {task} {data_id} (attempt {attempt}): {reason}"))?;
    }
    for failure in &failures {
        output.line(&summary::describe(failure, client.root()))?;
    }
    if client.is_closing() {
        output.line("a closing of it has begun: nothing runs in it")?;
        output.line(&format!(
            "next: {} (goes on with it)\n  or: {} (lets it be run on)",
            next("commit"),
            next("reopen")
        ))?;
    } else {
        let is_complete = status.is_complete()
            || shards.is_some_and(|shards| is_rest_complete(&shards, &activations));
        let verb = verb_after(is_complete, has_quanta, &activations);
        output.line(&format!("next: {}", next(verb)))?;
    }
    Ok(Status::Done)
}

/// Whether nothing is left to run since what has not succeeded is of frozen shards.
fn is_rest_complete(shards: &[ShardRow], activations: &[TaskActivation]) -> bool {
    let is_left = |row: &ShardRow| {
        let ShardStatus { succeeded, total, is_frozen, .. } = row.status;
        !is_frozen && succeeded < total
    };
    activations.iter().all(TaskActivation::is_active) && !shards.iter().any(is_left)
}

/// What comes next in a workspace with a graph.
fn verb_after(is_complete: bool, has_quanta: bool, activations: &[TaskActivation]) -> &'static str {
    match is_complete {
        _ if !has_quanta && activations.iter().all(TaskActivation::is_active) => "build",
        _ if !has_quanta => "activate",
        true => "commit",
        false => "run",
    }
}

/// Says which tasks are active, if any need be.
fn line_of(activations: &[TaskActivation]) -> Option<String> {
    if activations.is_empty() {
        return None;
    }
    let names = |is_active: bool| {
        let of = activations.iter().filter(|one| one.is_active() == is_active);
        let word = |one: &TaskActivation| match one.status {
            Some(status) if !is_active => format!("{} ({})", one.task, status.name()),
            _ => one.task.to_string(),
        };
        let names: Vec<String> = of.map(word).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let mut line = format!("active: {}", names(true));
    if activations.iter().any(|one| !one.is_active()) {
        line = format!("{line}; not active: {}", names(false));
    }
    Some(line)
}

fn json_of_activation(one: &TaskActivation) -> Value {
    json!({
        "task": one.task,
        "active": one.is_active(),
        "status": one.status.map(QuantumStatus::name),
    })
}

fn table_of(status: &WorkspaceStatus) -> Table {
    let mut table =
        Table::new(["task", "quanta", "succeeded", "failed", "blocked", "started", "built"])
            .numbers([1, 2, 3, 4, 5, 6]);
    for task in status.tasks() {
        let numbers =
            [task.total, task.succeeded, task.failed, task.blocked, task.started, task.built];
        let [total, succeeded, failed, blocked, started, built] = numbers.map(|n| n.to_string());
        table.row([task.task.to_string(), total, succeeded, failed, blocked, started, built]);
    }
    table
}

/// Says how much is in a ledger.
fn say_ledger(context: &Context, args: &Args, client: &WorkspaceClient) -> CommandResult {
    let workspace = super::put::open(context, &client.transaction().run)?;
    let counts = workspace.counts()?;
    let runners = client.runners(&SystemClock)?;
    let output = context.output();
    let name = &args.name;
    if args.json {
        output.json(&json!({
            "name": client.transaction().run,
            "root": client.root(),
            "ledger": {
                "done": counts.done,
                "bytes": counts.bytes,
                "begun": counts.begun,
                "writers": counts.writers,
            },
            "runners": runners.iter().map(json_of).collect::<Vec<_>>(),
        }))?;
        return Ok(Status::Done);
    }
    let (done, size) = (count(counts.done, "dataset"), bytes(counts.bytes));
    output.line(&format!("{name} has {done} ({size}), by {}", count(counts.writers, "writer")))?;
    if counts.begun > 0 {
        let begun = count(counts.begun, "artifact");
        output.line(&format!("{begun} begun and not done, which a commit deletes"))?;
    }
    say_runners(context, &runners)?;
    let next = Next::command(format_args!("workspace commit {name}")).text(context.located());
    output.line(&format!("next: {next}"))?;
    Ok(Status::Done)
}

/// A shard, and what became of it.
struct ShardRow {
    status: ShardStatus,
    state: &'static str,
}

impl ShardRow {
    fn json(&self) -> Value {
        let ShardStatus { shard, total, succeeded, failed, skipped_in, .. } = &self.status;
        let mut row = json!({
            "shard": shard, "total": total, "succeeded": succeeded, "failed": failed,
            "state": self.state,
        });
        if !skipped_in.is_empty() {
            row["skipped_in"] = json!(skipped_in);
        }
        row
    }
}

/// The shards of a workspace that has some. The database alone knows which are committed.
fn shards_of(
    context: &Context,
    client: &WorkspaceClient,
    standing: Option<(&QuantumGraph, &WorkspaceStatus)>,
) -> Result<Option<Vec<ShardRow>>, CommandError> {
    if client.transaction().shard_by.is_empty() {
        return Ok(None);
    }
    let found = standing.map(|(graph, status)| client.shards(graph, status)).transpose()?;
    let committed = committed_shards(&context.open_to_read()?, client)?;
    let row = |status: ShardStatus| {
        let state = match status.is_frozen {
            _ if committed.contains(&status.shard) => "committed",
            true => "frozen",
            false if !status.skipped_in.is_empty() => "skipped",
            false => "open",
        };
        ShardRow { status, state }
    };
    Ok(Some(found.unwrap_or_default().into_iter().map(row).collect()))
}

fn say_shards(context: &Context, shards: &[ShardRow]) -> Result<(), CommandError> {
    let mut table =
        Table::new(["shard", "quanta", "succeeded", "failed", "state"]).numbers([1, 2, 3]);
    for ShardRow { status, state } in shards {
        let numbers = [status.total, status.succeeded, status.failed];
        let [total, succeeded, failed] = numbers.map(|n| n.to_string());
        table.row([status.shard.to_string(), total, succeeded, failed, (*state).to_owned()]);
    }
    context.output().line("")?;
    context.output().table(&table, "no shards")
}

/// Says where each of the quanta stands that an expression means.
fn list(context: &Context, args: &Args, client: &WorkspaceClient, text: &str) -> CommandResult {
    let expression = expression(text)?;
    let graph = client.graph()?;
    let quanta = client.select(&graph, &expression)?;
    let statuses = client.execution_statuses(&graph)?;
    let found = quanta.iter().filter_map(|id| graph.find(*id));
    let views = found.map(|index| (graph.quantum(index), statuses[index.get()].name()));
    let output = context.output();
    if args.json {
        let quantum = |(view, status): (QuantumView<'_>, &str)| {
            json!({
                "quantum": view.id, "task": view.task.label, "data_id": view.data_id, "status": status,
            })
        };
        let quanta: Vec<_> = views.map(quantum).collect();
        output.json(
            &json!({"name": client.transaction().run, "expression": text, "quanta": quanta}),
        )?;
        return Ok(Status::Done);
    }
    let mut table = Table::new(["quantum", "task", "data ID", "status"]);
    for (view, status) in views {
        table.row([
            view.id.to_string(),
            view.task.label.to_string(),
            view.data_id.to_string(),
            status.to_owned(),
        ]);
    }
    output.table(&table, "no quanta")?;
    Ok(Status::Done)
}

/// Lists those that have not ended; the others are history.
fn say_runners(context: &Context, runners: &[RunnerInfo]) -> Result<(), CommandError> {
    let mut table =
        Table::new(["runner", "process", "since", "last heartbeat", "state"]).numbers([0]);
    let mut any = false;
    for one in runners.iter().filter(|one| one.state != RunnerState::Ended) {
        any = true;
        let header = one.header.as_ref();
        table.row([
            one.runner.to_string(),
            header.map_or_else(String::new, |h| format!("{}/{}", h.process.host, h.process.pid)),
            header.map_or_else(String::new, |h| time::utc(h.started)),
            one.last_heartbeat.map_or_else(String::new, time::utc),
            one.state.name().to_owned(),
        ]);
    }
    if any {
        context.output().line("")?;
        context.output().table(&table, "")?;
    }
    Ok(())
}

fn json_of(one: &RunnerInfo) -> Value {
    let header = one.header.as_ref();
    json!({
        "runner": one.runner,
        "process": header.map(|header| header.process.pid),
        "host": header.map(|header| &header.process.host),
        "since": header.map(|header| time::utc_exact(header.started)),
        "last_heartbeat": one.last_heartbeat.map(time::utc_exact),
        "state": one.state.name(),
    })
}
