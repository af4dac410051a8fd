use pantler_core::transaction::Closing;

use crate::{
    context::Context,
    error::{CommandResult, Status},
    json,
    table::Table,
    time,
};

/// List the open transactions, by name
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler transaction list --json\n\n\
                  JSON: an array of {name, kind, owner, host, pid, process, opened_at, age_seconds, closing, attempt,\n\
                  opening_id, config_version}; process is alive, dead or unknown")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open_to_read()?;
    let rows = butler.list_transactions()?;
    let environment = butler.environment();
    let now = environment.clock.now();
    if args.json {
        let rows: Vec<_> =
            rows.iter().map(|row| json::transaction(environment, now, row)).collect();
        context.output().json(&rows)?;
        return Ok(Status::Done);
    }
    let header = ["name", "kind", "owner", "process", "age", "closing", "attempt"];
    let mut table = Table::new(header).numbers([6]);
    for row in &rows {
        let process = &row.process;
        let liveness = json::liveness(environment, process);
        table.row([
            row.name.to_string(),
            row.kind.clone(),
            row.owner.clone(),
            format!("{}/{} ({liveness})", process.host, process.pid),
            time::human(time::age(now, row.opened_at)),
            row.closing.map_or("-", Closing::verb).to_owned(),
            row.attempt.to_string(),
        ]);
    }
    context.output().table(&table, "no open transactions")?;
    Ok(Status::Done)
}
