use pantler_exec::{Failure, TaskStatus};

use crate::{
    context::Context,
    error::{CommandResult, Next, Status},
    json, summary,
    table::{Table, count},
    target::WorkspaceTarget,
};

/// Say where the quanta of a workspace stand
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler workspace status climate/trial\n\n\
                  JSON: {name, root, built, complete, tasks, failures, accepted}; tasks is an array of {task, total, built,\n\
                  started, succeeded, accepted, failed, poisoned, blocked}, where succeeded counts accepted and failed counts\n\
                  poisoned ones; failures and accepted of {task, data_id, quantum, attempt, reason}")]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one
    #[arg(value_name = "NAME|DIR")]
    name: WorkspaceTarget,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let client = name.client(context)?;
    let (status, failures, accepted) = match client.graph_if_built()? {
        Some(graph) => (
            Some(client.status(&graph)?),
            client.failures(&graph)?,
            client.accepted_failures(&graph)?,
        ),
        None => (None, Vec::new(), Vec::new()),
    };
    let output = context.output();
    if args.json {
        let root = client.root().as_str();
        output.json(&json::status(
            client.transaction().run.as_str(),
            root,
            status.as_ref(),
            &failures,
            &accepted,
        ))?;
        return Ok(Status::Done);
    }
    let next =
        |verb: &str| Next::command(format_args!("workspace {verb} {name}")).text(context.located());
    let Some(status) = status else {
        output.line(&format!("{name} has no quantum graph yet\nnext: {}", next("build")))?;
        return Ok(Status::Done);
    };
    let mut table =
        Table::new(["task", "quanta", "succeeded", "failed", "blocked", "started", "built"])
            .numbers([1, 2, 3, 4, 5, 6]);
    for task in status.tasks() {
        let numbers =
            [task.total, task.succeeded, task.failed, task.blocked, task.started, task.built];
        let [total, succeeded, failed, blocked, started, built] = numbers.map(|n| n.to_string());
        table.row([task.task.to_string(), total, succeeded, failed, blocked, started, built]);
    }
    output.table(&table, "no quanta")?;
    let sum = |part: fn(&TaskStatus) -> usize| status.tasks().iter().map(part).sum::<usize>();
    for (number, text) in [
        (sum(|task| task.accepted), "counted as succeeded since accepted"),
        (sum(|task| task.poisoned), "counted as failed since poisoned"),
    ] {
        if number > 0 {
            output.line(&format!("{} {text}", count(number, "quantum")))?;
        }
    }
    for failure in &accepted {
        let Failure { task, data_id, reason, attempt, .. } = failure;
        output.line(&format!("accepted: {task} {data_id} (attempt {attempt}): {reason}"))?;
    }
    for failure in &failures {
        output.line(&summary::describe(failure, client.root()))?;
    }
    output.line(&format!("next: {}", next(if status.is_complete() { "commit" } else { "run" })))?;
    Ok(Status::Done)
}
