use pantler_workspace::vacuum;

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Status},
    json,
    table::count,
};

/// Remove the roots of workspaces that are closed, which a kill can leave
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler workspace vacuum --dry-run\n\n\
                  JSON: an array of {root, removed, failure}")]
pub(crate) struct Args {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open_to_read()?;
    let found = vacuum(&butler, args.dry_run)?;
    let output = context.output();
    if args.json {
        let rows: Vec<_> = found.iter().map(|v| json::vacuumed(v, args.dry_run)).collect();
        output.json(&rows)?;
    } else {
        for vacuumed in found.iter().filter(|v| v.failure.is_none()) {
            let would = if args.dry_run { "would remove" } else { "removed" };
            output.say(&format!("{would} {}", vacuumed.root));
        }
        if found.is_empty() {
            output.say("nothing to remove");
        }
    }
    let left = found.iter().filter(|v| v.failure.is_some()).count();
    match found.into_iter().find_map(|v| v.failure) {
        None => Ok(Status::Done),
        Some(failure) => Err(CommandError::from(failure)
            .state(format!("{} left; all others are removed", count(left, "root")))),
    }
}
