mod abandon;
mod accept;
mod build;
mod commit;
mod convert;
mod create;
mod dev;
mod export;
mod external;
mod list;
mod pipeline;
mod poison;
mod put;
mod reopen;
mod reset;
mod revert;
mod run;
mod status;
mod transfer_inputs;
mod vacuum;

use pantler_core::CollectionName;
use pantler_workspace::{WorkspaceClient, WorkspaceError, WorkspaceTransaction};

use crate::{
    close::transaction_name,
    context::Context,
    error::{CommandError, CommandResult},
};

/// Make, run and close workspaces: RUNs under construction
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Workspace {
    Create(create::Args),
    Dev(dev::Args),
    Pipeline(pipeline::Args),
    Build(build::Args),
    Run(run::Args),
    Put(put::Args),
    Status(status::Args),
    Accept(accept::Args),
    Poison(poison::Args),
    Reset(reset::Args),
    Commit(commit::Args),
    Revert(revert::Args),
    Abandon(abandon::Args),
    Reopen(reopen::Args),
    List(list::Args),
    Vacuum(vacuum::Args),
    TransferInputs(transfer_inputs::Args),
    Convert(convert::Args),
    Export(export::Args),
}

impl Workspace {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        self.dispatch(context).map_err(|error| match self.workspace() {
            Some(name) => error.of_workspace(&name),
            None => error,
        })
    }

    /// The open workspace that it is about.
    fn workspace(&self) -> Option<String> {
        Some(match self {
            Self::Dev(args) => args.name.to_string(),
            Self::Pipeline(args) => args.name.to_string(),
            Self::Build(args) => args.name.to_string(),
            Self::Run(args) => args.name.to_string(),
            Self::Put(args) => args.name.to_string(),
            Self::Accept(args) => args.transition.name.to_string(),
            Self::Poison(args) => args.transition.name.to_string(),
            Self::Reset(args) => args.transition.name.to_string(),
            Self::Commit(args) => args.target.to_string(),
            Self::Revert(args) => args.target.to_string(),
            Self::Abandon(args) => args.target.to_string(),
            Self::Reopen(args) => args.name.to_string(),
            _ => return None,
        })
    }

    fn dispatch(&self, context: &Context) -> CommandResult {
        match self {
            Self::Create(args) => create::run(context, args),
            Self::Dev(args) => dev::run(context, args),
            Self::Pipeline(args) => pipeline::run(context, args),
            Self::Build(args) => build::run(context, args),
            Self::Run(args) => run::run(context, args),
            Self::Put(args) => put::run(context, args),
            Self::Status(args) => status::run(context, args),
            Self::Accept(args) => accept::run(context, args),
            Self::Poison(args) => poison::run(context, args),
            Self::Reset(args) => reset::run(context, args),
            Self::Commit(args) => commit::run(context, args),
            Self::Revert(args) => revert::run(context, args),
            Self::Abandon(args) => abandon::run(context, args),
            Self::Reopen(args) => reopen::run(context, args),
            Self::List(args) => list::run(context, args),
            Self::Vacuum(args) => vacuum::run(context, args),
            Self::TransferInputs(args) => transfer_inputs::run(context, args),
            Self::Convert(args) => convert::run(context, args),
            Self::Export(args) => export::run(context, args),
        }
    }
}

/// Finds an open workspace from its root. Only if there is no root that can be used is
/// the database asked, which then makes one.
pub(crate) fn find(
    context: &Context,
    name: &CollectionName,
) -> Result<WorkspaceClient, CommandError> {
    use pantler_butler::transaction::TransactionKind as _;
    let repository = context.repository()?;
    if let Some(client) = WorkspaceClient::find(repository, name)? {
        return Ok(client);
    }
    let butler = context.open()?;
    let missing = || WorkspaceError::NoWorkspace(name.to_string());
    let row = butler.transaction(&transaction_name(name)?)?.ok_or_else(missing)?;
    if row.kind != WorkspaceTransaction::KIND {
        return Err(WorkspaceError::NotAWorkspace { name: row.name, kind: row.kind }.into());
    }
    butler.workspace_file(&row)?;
    Ok(WorkspaceClient::find(repository, name)?.ok_or_else(missing)?)
}
