use pantler_direct::vacuum::vacuum_workspaces;

use crate::{commands::vacuum, context::Context, error::CommandResult, json};

/// Remove the roots of workspaces that are closed, which a kill can leave
#[derive(Debug, clap::Args)]
#[command(after_help = "`pantler vacuum` removes other leftovers, too.\n\n\
                  Example:\n  pantler workspace vacuum --dry-run\n\n\
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
    let found = vacuum_workspaces(&butler, args.dry_run)?;
    if args.json {
        let rows: Vec<_> = found.iter().map(|v| json::vacuumed_root(v, args.dry_run)).collect();
        context.output().json(&rows)?;
    } else {
        vacuum::say(context, &found, args.dry_run);
    }
    vacuum::finish(found)
}
