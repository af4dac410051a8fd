use pantler_butler::{puts::PutSession, transaction::TransactionKind as _};
use pantler_core::{
    CollectionName, TransactionName,
    transaction::{ClosedRow, Closing, RunLocks, TransactionRow},
};
use pantler_direct::ButlerError;
use pantler_registry::RegistryError;
use serde_json::{Value, json as document};

use crate::{
    context::Context,
    error::{CommandResult, Next, Status},
    json, time,
};

/// Show a transaction: what it is for, which RUNs it locks, how earlier ones of its name ended
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler transaction show climate/raw/ingest\n\n\
                  JSON: {name, open, locks, data, history}; open is null if none of that name is open, else as in\n\
                  `transaction list`; locks is {modified, insert_only, inputs}; history is an array of\n\
                  {opening_id, outcome, at}, the newest first")]
pub(crate) struct Args {
    /// The transaction
    #[arg(value_name = "NAME")]
    name: TransactionName,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open_to_read()?;
    let name = &args.name;
    let (row, locks, history) = butler.registry().read(|reader| {
        let row = reader.transaction(name)?;
        Ok::<_, RegistryError>((row, reader.run_locks(name)?, reader.closed_named(name)?))
    })?;
    if row.is_none() && history.is_empty() {
        return Err(ButlerError::NoTransaction(name.clone()).into());
    }
    let environment = butler.environment();
    let now = environment.clock.now();
    if args.json {
        let data = row.as_ref().map(|row| {
            serde_json::from_str(&row.data).unwrap_or_else(|_| Value::String(row.data.clone()))
        });
        context.output().json(&document!({
            "name": name,
            "open": row.as_ref().map(|row| json::transaction(environment, now, row)),
            "locks": {
                "modified": locks.modified,
                "insert_only": locks.insert_only,
                "inputs": locks.inputs,
            },
            "data": data,
            "history": history.iter().map(json::closed).collect::<Vec<_>>(),
        }))?;
        return Ok(Status::Done);
    }
    let mut lines = Vec::new();
    match &row {
        Some(row) => {
            let liveness = json::liveness(environment, &row.process);
            lines.push(format!("{name} is open: {}", row.kind));
            let age = time::human(time::age(now, row.opened_at));
            lines.push(format!(
                "  opened by {} at {} ({age} ago)",
                row.owner,
                time::utc(row.opened_at)
            ));
            lines.push(format!("  held by {} ({liveness}), attempt {}", row.process, row.attempt));
            if let Some(closing) = row.closing {
                lines.push(format!("  a {} of it has begun", closing.verb()));
            }
            lines.extend(lock_lines(&locks));
            lines.push(format!("  data: {}", row.data));
            lines.push(format!("next: {}", next(row, name).text(context.located())));
        }
        None => lines.push(format!("{name} is not open")),
    }
    lines.extend(history.iter().map(|ClosedRow { closing, at, opening, .. }| {
        format!("  {} at {} (opening {opening})", closing.outcome(), time::utc(*at))
    }));
    context.output().line(&lines.join("\n"))?;
    Ok(Status::Done)
}

/// The closing that goes on from here, or the one that has begun.
fn next(row: &TransactionRow, name: &TransactionName) -> Next {
    let verb = match row.closing {
        Some(closing @ (Closing::Revert | Closing::Abandon)) => closing.verb(),
        // Its puts are committed already.
        Some(Closing::Commit) | None if row.kind == PutSession::KIND => "commit",
        Some(Closing::Commit) | None => "commit|revert|abandon",
    };
    Next::command(format!("transaction {verb} {name}"))
}

fn lock_lines(locks: &RunLocks) -> Vec<String> {
    let RunLocks { modified, insert_only, inputs } = locks;
    [("modifies", modified), ("inserts into", insert_only), ("reads", inputs)]
        .into_iter()
        .filter(|(_, runs)| !runs.is_empty())
        .map(|(does, runs)| {
            let runs: Vec<_> = runs.iter().map(CollectionName::as_str).collect();
            format!("  {does} {}", runs.join(", "))
        })
        .collect()
}
