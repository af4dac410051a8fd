mod export;
mod show;
pub(in crate::commands) mod sink;

use std::{fs::File, io::BufReader};

use camino::Utf8Path;
use pantler_butler::transaction::TransactionKind as _;
use pantler_core::CollectionName;
use pantler_graph::{GraphFileError, QuantumGraph};
use pantler_workspace::{
    WorkspaceClient, WorkspaceError, WorkspaceTransaction, external::ExternalWorkspace,
};

use crate::{
    close::transaction_name,
    context::Context,
    error::{CommandError, CommandResult, Next},
};

/// Look at quantum graphs and draw them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Graph {
    Show(show::Args),
    Export(export::Args),
}

impl Graph {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        match self {
            Self::Show(args) => show::run(context, args),
            Self::Export(args) => export::run(context, args),
        }
    }
}

/// The argument names no graph.
#[derive(Debug, thiserror::Error)]
enum GraphError {
    #[error("there is no file {0:?}, and no open workspace has that name")]
    Neither(String),
    #[error("there is no file {file:?}, and no workspace can have that name")]
    NoName { file: String, source: pantler_core::NameError },
    #[error("{0} is not a file")]
    NotAFile(camino::Utf8PathBuf),
}

/// Reads the graph that an argument names: a file, if it ends in `.qg` or is there, else
/// that of an open workspace. Changes nothing, and asks the database only about a
/// workspace that has no root.
fn read(context: &Context, argument: &str) -> Result<QuantumGraph, CommandError> {
    let path = context.absolute(Utf8Path::new(argument));
    let metadata = std::fs::metadata(&path);
    let is_there = metadata.as_ref().is_ok_and(|there| !there.is_dir());
    if is_there || path.extension() == Some("qg") {
        return match metadata {
            Ok(there) if !there.is_file() => Err(CommandError::failed(GraphError::NotAFile(path))),
            _ => read_file(&path),
        };
    }
    if ExternalWorkspace::is_at(&path) {
        let workspace = ExternalWorkspace::open(&path, None)?;
        return Ok(workspace.client().graph()?);
    }
    let name = CollectionName::new(argument).map_err(|source| {
        CommandError::usage(GraphError::NoName { file: argument.to_owned(), source })
    })?;
    let missing = || {
        // What a committed RUN was made by is in its provenance.
        CommandError::failed(GraphError::Neither(argument.to_owned())).next(Next::one_of([
            Next::command("workspace list"),
            Next::command(format_args!("query provenance quanta --collections {argument}")),
        ]))
    };
    let looked = || format!("{argument} is no file, so a workspace of that name was looked for");
    let repository = context.repository().map_err(|error| error.state(looked()))?;
    if let Some(client) = WorkspaceClient::find(repository, &name)? {
        return Ok(client.graph()?);
    }
    let butler = context.open_to_read()?;
    let row = butler.transaction(&transaction_name(&name)?)?.ok_or_else(missing)?;
    if row.kind != WorkspaceTransaction::KIND {
        return Err(WorkspaceError::NotAWorkspace { name: row.name, kind: row.kind }.into());
    }
    Err(WorkspaceError::NotBuilt(name).into())
}

fn read_file(path: &Utf8Path) -> Result<QuantumGraph, CommandError> {
    let failed = |source| WorkspaceError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    pantler_graph::read(BufReader::new(file)).map_err(|source| {
        let is_provenance = matches!(
            &source,
            GraphFileError::Format { found, .. } if found == pantler_graph::PROVENANCE_FORMAT
        );
        let error = WorkspaceError::GraphFile { path: path.to_owned(), source };
        let error = CommandError::from(error);
        if !is_provenance {
            return error;
        }
        let next =
            Next::plain("it is the provenance of a RUN: `pantler query provenance` reads it");
        error.next(next)
    })
}
