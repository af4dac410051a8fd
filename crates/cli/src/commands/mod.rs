//! One file per verb: its arguments and one short function.

mod check;
mod collection;
mod dataset_type;
mod get;
pub(crate) mod graph;
mod ingest;
mod init;
mod put;
mod put_each;
mod query;
mod record;
mod remove;
mod remove_run;
mod restore;
mod run;
mod transaction;
mod transfer;
mod vacuum;
mod workspace;

pub(crate) use workspace::find as find_workspace;

use camino::Utf8PathBuf;
use clap::{Parser, Subcommand};

use crate::{context::Context, error::CommandResult};

/// Runs pipelines in batches over a repository of datasets whose database and files never disagree.
#[derive(Debug, Parser)]
#[command(
    name = "pantler",
    version,
    arg_required_else_help = true,
    after_help = "Example:\n  pantler run climate\n  pantler query datasets --collections climate --find-first --repo climate/repo\n\n\
                  Exit status: 0 done; 1 failed, nothing changed (or, with --keep-going or put-each, not all stored); 2 wrong usage; 3 quanta failed, workspace open;\n\
                  4 a transaction was left open; 5 outcome unknown; 6 check found something; 130 stopped."
)]
pub(crate) struct Cli {
    #[arg(
        long,
        global = true,
        value_name = "REPO",
        help = "The repository [default: PANTLER_REPO, else the nearest repository or project upwards]"
    )]
    pub(crate) repo: Option<Utf8PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Args),
    Run(run::Args),
    Put(put::Args),
    PutEach(put_each::Args),
    Get(get::Args),
    Ingest(ingest::Args),
    Restore(restore::Args),
    Remove(remove::Args),
    RemoveRun(remove_run::Args),
    Transfer(transfer::Args),
    #[command(subcommand)]
    Query(query::Query),
    #[command(subcommand)]
    Collection(collection::Collection),
    #[command(subcommand)]
    DatasetType(dataset_type::DatasetType),
    #[command(subcommand)]
    Record(record::Record),
    #[command(subcommand)]
    Transaction(transaction::Transaction),
    #[command(subcommand)]
    Workspace(workspace::Workspace),
    #[command(subcommand)]
    Graph(graph::Graph),
    Check(check::Args),
    Vacuum(vacuum::Args),
}

impl Command {
    pub(crate) fn run(&self, context: &Context) -> CommandResult {
        match self {
            Self::Init(args) => init::run(context, args),
            Self::Run(args) => run::run(context, args),
            Self::Put(args) => put::run(context, args),
            Self::PutEach(args) => put_each::run(context, args),
            Self::Get(args) => get::run(context, args),
            Self::Ingest(args) => ingest::run(context, args),
            Self::Restore(args) => restore::run(context, args),
            Self::Remove(args) => remove::run(context, args),
            Self::RemoveRun(args) => remove_run::run(context, args),
            Self::Transfer(args) => transfer::run(context, args),
            Self::Query(query) => query.run(context),
            Self::Collection(collection) => collection.run(context),
            Self::DatasetType(dataset_type) => dataset_type.run(context),
            Self::Record(record) => record.run(context),
            Self::Transaction(transaction) => transaction.run(context),
            Self::Workspace(workspace) => workspace.run(context),
            Self::Graph(graph) => graph.run(context),
            Self::Check(args) => check::run(context, args),
            Self::Vacuum(args) => vacuum::run(context, args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example() {
        fn look(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let mut verbs = command.get_subcommands().peekable();
            if verbs.peek().is_none() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example"), "{path} has no example");
                assert!(command.get_about().is_some(), "{path} does not say what it does");
            }
            verbs.for_each(|verb| look(verb, &path));
        }
        look(&Cli::command(), "");
    }
}
