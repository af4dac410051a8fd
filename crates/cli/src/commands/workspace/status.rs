use pantler_core::CollectionName;

use crate::{
    context::Context,
    error::{CommandResult, Next, Status},
    json, summary,
    table::Table,
};

/// Say where the quanta of a workspace stand
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler workspace status climate/trial\n\n\
                  JSON: {name, root, built, complete, tasks, failures}; tasks is an array of {task, total, built,\n\
                  started, succeeded, failed, blocked}, failures of {task, data_id, quantum, attempt, reason}")]
pub(crate) struct Args {
    /// The workspace
    #[arg(value_name = "NAME")]
    name: CollectionName,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let client = super::find(context, name)?;
    let (status, failures) = match client.graph_if_built()? {
        Some(graph) => (Some(client.status(&graph)?), client.failures(&graph)?),
        None => (None, Vec::new()),
    };
    let output = context.output();
    if args.json {
        let root = client.root().as_str();
        output.json(&json::status(name.as_str(), root, status.as_ref(), &failures))?;
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
    for failure in &failures {
        output.line(&summary::describe(failure, client.root()))?;
    }
    output.line(&format!("next: {}", next(if status.is_complete() { "commit" } else { "run" })))?;
    Ok(Status::Done)
}
