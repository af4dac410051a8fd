use pantler_direct::vacuum::{Vacuumed, vacuum};

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Status},
    json,
    table::count,
};

/// Remove what a kill can leave and nobody needs: roots of closed workspaces, unfinished files
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What an open transaction owns is never touched, nor a file beside the artifacts that was\n\
                  written to within the last hour.\n\n\
                  Example:\n  pantler vacuum --dry-run\n\n\
                  JSON: an array of {kind, path, removed, failure}; kind is workspace-root,\n\
                  unfinished-artifact, unfinished-file or run-directory"
)]
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
    if args.json {
        let rows: Vec<_> = found.iter().map(|v| json::vacuumed(v, args.dry_run)).collect();
        context.output().json(&rows)?;
    } else {
        say(context, &found, args.dry_run);
    }
    finish(found)
}

/// Prints what was removed.
pub(crate) fn say(context: &Context, found: &[Vacuumed], dry_run: bool) {
    let output = context.output();
    for vacuumed in found.iter().filter(|v| v.failure.is_none()) {
        let would = if dry_run { "would remove" } else { "removed" };
        output.say(&format!("{would} {}", vacuumed.path));
    }
    if found.is_empty() {
        output.say("nothing to remove");
    }
}

/// An error if something could not be removed.
pub(crate) fn finish(found: Vec<Vacuumed>) -> CommandResult {
    let left = found.iter().filter(|v| v.failure.is_some()).count();
    match found.into_iter().find_map(|v| v.failure) {
        None => Ok(Status::Done),
        Some(failure) => Err(CommandError::from(failure)
            .state(format!("{} left; all others are removed", count(left, "leftover")))),
    }
}
