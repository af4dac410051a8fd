use pantler_core::CollectionName;
use pantler_workspace::list;

use crate::{
    context::Context,
    error::{CommandResult, Status},
    json,
    table::Table,
    time,
};

/// List the open workspaces, by name
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler workspace list --json\n\n\
                  JSON: an array of what `transaction list` has, with {chain, inputs, pipeline, root}")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open_to_read()?;
    let found = list(&butler)?;
    let environment = butler.environment();
    let now = environment.clock.now();
    if args.json {
        let rows: Vec<_> =
            found.iter().map(|info| json::workspace(environment, now, info)).collect();
        context.output().json(&rows)?;
        return Ok(Status::Done);
    }
    let mut table = Table::new(["name", "owner", "process", "age", "chain", "inputs"]);
    for info in &found {
        let process = &info.row.process;
        let liveness = json::liveness(environment, process);
        let inputs: Vec<_> = info.transaction.inputs.iter().map(CollectionName::as_str).collect();
        table.row([
            info.row.name.to_string(),
            info.row.owner.clone(),
            format!("{}/{} ({liveness})", process.host, process.pid),
            time::human(time::age(now, info.row.opened_at)),
            info.transaction.chain.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            inputs.join(", "),
        ]);
    }
    context.output().table(&table, "no open workspaces")?;
    Ok(Status::Done)
}
