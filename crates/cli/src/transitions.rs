//! Accepting, poisoning and resetting quanta: what the three verbs share.

use pantler_core::{QuantumId, TaskLabel};
use pantler_direct::SystemClock;
use pantler_exec::transitions::{Change, Target, Transition};
use pantler_graph::{Expression, QuantumGraph};
use pantler_workspace::{Shard, Transitioned, WorkspaceClient};
use serde_json::{Value, json};

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    table::count,
    target::WorkspaceTarget,
};

/// How many quanta are listed one by one.
const LISTED: usize = 20;

/// Which workspace, and how to say what was done.
#[derive(Debug, clap::Args)]
pub(crate) struct TransitionArgs {
    /// The workspace; or the folder of an external one
    #[arg(value_name = "NAME|DIR")]
    pub(crate) name: WorkspaceTarget,

    /// Quanta
    #[arg(value_name = "UUID")]
    pub(crate) quanta: Vec<QuantumId>,

    /// All quanta of this task to which it can happen
    #[arg(long, value_name = "LABEL", conflicts_with = "quanta")]
    pub(crate) task: Option<TaskLabel>,

    /// All of the quanta that an expression means to which it can happen
    #[arg(long, value_name = "EXPR", conflicts_with_all = ["quanta", "task"])]
    pub(crate) expr: Option<String>,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Does it.
pub(crate) fn run(
    context: &Context,
    args: &TransitionArgs,
    failed: bool,
    transition: Transition,
    client: &WorkspaceClient,
) -> CommandResult {
    let chosen = target(args, failed)?;
    let graph = client.graph().map_err(|error| args.name.error(context, error))?;
    let target = match (&args.expr, chosen) {
        (Some(text), _) => Target::Among(client.select(&graph, &expression(text)?)?),
        (None, chosen) => chosen,
    };
    let done = if args.dry_run {
        client.plan_transition(&graph, transition, &target)
    } else {
        client.transition(&graph, transition, &target, &SystemClock)
    };
    let done = done.map_err(|error| args.name.error(context, error))?;
    if args.json {
        context.output().json(&as_json(&graph, args, transition, &done))?;
    } else {
        say(context, &graph, args, transition, &done)?;
    }
    Ok(Status::Done)
}

/// Reads an expression.
pub(crate) fn expression(text: &str) -> Result<Expression, CommandError> {
    Expression::parse(text).map_err(|error| CommandError::usage(error).state("nothing has changed"))
}

fn target(args: &TransitionArgs, failed: bool) -> Result<Target, CommandError> {
    if !args.quanta.is_empty() {
        return Ok(Target::Quanta(args.quanta.clone()));
    }
    if args.task.is_none() && args.expr.is_none() && !failed {
        let status = Next::command(format_args!("workspace status {} --json", args.name));
        return Err(CommandError::usage(
            "no quantum is named: give UUIDs, --task, --expr or --failed",
        )
        .state("nothing has changed")
        .next(status));
    }
    Ok(Target::Matching { task: args.task.clone(), failed })
}

fn say(
    context: &Context,
    graph: &QuantumGraph,
    args: &TransitionArgs,
    transition: Transition,
    done: &Transitioned,
) -> Result<(), CommandError> {
    let output = context.output();
    let changes = &done.plan.changes;
    let verb = match (transition, args.dry_run) {
        (_, true) => format!("would {}", transition.name()),
        (Transition::Accept, false) => "accepted".to_owned(),
        (Transition::Poison, false) => "poisoned".to_owned(),
        (Transition::Reset, false) => "reset".to_owned(),
    };
    if changes.is_empty() {
        output.line("nothing to do: no quantum changes")?;
    }
    if !done.frozen.is_empty() {
        let name = |shard: &Shard| {
            if shard.is_of_init_steps() {
                "the init steps".to_owned()
            } else {
                format!("shard {shard}")
            }
        };
        let frozen: Vec<String> = done.frozen.iter().map(name).collect();
        let frozen = frozen.join(", ");
        output.line(&format!("not changed, since committed or about to be: {frozen}"))?;
    }
    if !changes.is_empty() {
        output.line(&format!("{verb} {}", count(changes.len(), "quantum")))?;
    }
    for change in changes.iter().take(LISTED) {
        let view = graph.quantum(change.index);
        let remark = remark(transition, graph, change, args.dry_run);
        output.line(&format!(
            "  {} {} {} (was {}{remark})",
            change.quantum,
            view.task.label,
            view.data_id,
            change.from.name()
        ))?;
    }
    if changes.len() > LISTED {
        output.line(&format!("  and {} more; --json lists all", changes.len() - LISTED))?;
    }
    let next = if args.dry_run && !changes.is_empty() {
        Next::plain("the same without --dry-run")
    } else {
        let verb = if done.status.is_complete() { "commit" } else { "run" };
        Next::command(format_args!("workspace {verb} {}", args.name))
    };
    output.line(&format!("next: {}", next.text(context.located())))?;
    Ok(())
}

fn remark(transition: Transition, graph: &QuantumGraph, change: &Change, dry_run: bool) -> String {
    match transition {
        // The log is an output too, but no quantum makes it.
        Transition::Accept => {
            let outputs = graph.task_of(change.index).outputs.len().saturating_sub(1);
            format!("; {} of {} there", change.outputs.len(), count(outputs, "output"))
        }
        Transition::Poison if change.is_downstream => "; downstream".to_owned(),
        Transition::Poison => String::new(),
        Transition::Reset => {
            let deleted = if dry_run { "to delete" } else { "deleted" };
            format!("; {} {deleted}", count(change.keys.len(), "output"))
        }
    }
}

fn as_json(
    graph: &QuantumGraph,
    args: &TransitionArgs,
    transition: Transition,
    done: &Transitioned,
) -> Value {
    let change = |change: &Change| {
        let view = graph.quantum(change.index);
        let outputs = change.outputs.iter().map(|output| output.key.to_string());
        let keys = change.keys.iter().map(ToString::to_string);
        json!({
            "task": view.task.label,
            "data_id": view.data_id,
            "quantum": change.quantum,
            "attempt": change.attempt,
            "from": change.from.name(),
            "to": transition.to().name(),
            "downstream": change.is_downstream,
            "outputs": outputs.collect::<Vec<_>>(),
            "deleted": keys.collect::<Vec<_>>(),
        })
    };
    json!({
        "name": args.name.as_str(),
        "transition": transition.name(),
        "dry_run": args.dry_run,
        "changed": done.plan.changes.iter().map(change).collect::<Vec<_>>(),
        "unchanged": done.plan.unchanged,
        "frozen": done.frozen,
        "complete": done.status.is_complete(),
    })
}
