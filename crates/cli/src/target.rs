//! A workspace as it is given: by its name, or by the folder of an external one.

use std::{fmt, str::FromStr};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{CollectionName, NameError};
use pantler_direct::{DirectButler, standalone::is_repository};
use pantler_registry::OpenOptions;
use pantler_workspace::{
    WorkspaceClient, WorkspaceError,
    external::{ExternalError, ExternalWorkspace, ParentUse},
    open_butler,
};

use crate::{
    commands::find_workspace,
    context::Context,
    error::{CommandError, Next, Status, activate_producer, quoted},
};

/// A workspace, by its name or its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkspaceTarget(String);

/// Where the parent of an external workspace is.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ParentArgs {
    /// Where the parent of an external workspace is [default: where it was]
    #[arg(long, value_name = "REPO")]
    parent: Option<Utf8PathBuf>,
}

impl ParentArgs {
    /// Where it is, if that was said.
    pub(crate) fn given(&self, context: &Context) -> Option<Utf8PathBuf> {
        self.parent.as_ref().map(|path| context.absolute(path))
    }

    /// Refuses a parent for a workspace that has none.
    pub(crate) fn expect_none(&self) -> Result<(), CommandError> {
        match self.parent {
            None => Ok(()),
            Some(_) => Err(only_external("--parent")),
        }
    }
}

/// An argument that says nothing about a workspace inside of a repository.
pub(crate) fn only_external(argument: &str) -> CommandError {
    CommandError::usage(format!(
        "{argument} is for external workspaces, which are named by their folder"
    ))
}

/// An argument that says nothing about an external workspace.
pub(crate) fn only_internal(argument: &str) -> CommandError {
    CommandError::usage(format!(
        "{argument} is for workspaces inside of a repository: an external one is closed as a whole"
    ))
}

impl FromStr for WorkspaceTarget {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if !is_path(text) && !Utf8Path::new(text).is_dir() {
            CollectionName::new(text)?;
        }
        Ok(Self(text.to_owned()))
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') || text == "." || text.starts_with("./") || text.starts_with("..")
}

impl fmt::Display for WorkspaceTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(&self.0))
    }
}

impl WorkspaceTarget {
    /// As it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder, if it names one that is or was an external workspace, or cannot be a name.
    pub(crate) fn folder(&self, context: &Context) -> Option<Utf8PathBuf> {
        let path = context.absolute(Utf8Path::new(&self.0));
        let is_folder = is_path(&self.0)
            || ExternalWorkspace::is_at(&path)
            || CollectionName::new(&self.0).is_err()
            || self.is_converted(&path, context);
        is_folder.then_some(path)
    }

    /// Whether it names a folder that was an external workspace and is a repository now, and
    /// no open workspace.
    fn is_converted(&self, path: &Utf8Path, context: &Context) -> bool {
        if !is_repository(path) || !path.join("pipeline").is_dir() {
            return false;
        }
        let (Ok(repository), Ok(name)) = (context.repository(), CollectionName::new(&self.0))
        else {
            return true;
        };
        !matches!(WorkspaceClient::find(repository, &name), Ok(Some(_)))
    }

    /// The name of a workspace in a repository, which there is.
    pub(crate) fn name(&self, context: &Context) -> Result<CollectionName, CommandError> {
        let name = CollectionName::new(&self.0).map_err(CommandError::usage)?;
        let looked = || {
            format!(
                "there is no external workspace in the folder {self}, so one of that name was looked for"
            )
        };
        context.repository().map_err(|error| error.state(looked()))?;
        Ok(name)
    }

    /// The folder of an external workspace, for what can be done with no other.
    pub(crate) fn expect_folder(
        &self,
        context: &Context,
        instead: impl FnOnce(&CollectionName) -> String,
    ) -> Result<Utf8PathBuf, CommandError> {
        if let Some(folder) = self.folder(context) {
            return Ok(folder);
        }
        let path = context.absolute(Utf8Path::new(&self.0));
        let (Ok(repository), Ok(name)) = (context.repository(), CollectionName::new(&self.0))
        else {
            return Ok(path);
        };
        match WorkspaceClient::find(repository, &name) {
            Ok(Some(_)) => Err(CommandError::usage(format!(
                "{name} is a workspace inside of a repository, and not the folder of an external one"
            ))
            .next(Next::command(instead(&name)))),
            _ => Ok(path),
        }
    }

    /// Opens the workspace without the database.
    pub(crate) fn client(&self, context: &Context) -> Result<WorkspaceClient, CommandError> {
        self.client_with(context, None)
    }

    /// The same, of one whose parent may be elsewhere now.
    pub(crate) fn client_with(
        &self,
        context: &Context,
        parent: Option<&ParentArgs>,
    ) -> Result<WorkspaceClient, CommandError> {
        if let Some(root) = self.folder(context) {
            return Ok(self.external(context, &root, parent)?.into_client());
        }
        if let Some(parent) = parent {
            parent.expect_none()?;
        }
        find_workspace(context, &self.name(context)?)
    }

    /// Opens the external workspace in a folder.
    pub(crate) fn external(
        &self,
        context: &Context,
        root: &Utf8Path,
        parent: Option<&ParentArgs>,
    ) -> Result<ExternalWorkspace, CommandError> {
        let parent = parent.and_then(|args| args.given(context));
        ExternalWorkspace::open(root, parent.as_deref()).map_err(|error| self.error(context, error))
    }

    /// What an error means for this workspace.
    pub(crate) fn error(&self, context: &Context, error: WorkspaceError) -> CommandError {
        let Some(root) = self.folder(context) else { return error.into() };
        let next = |verb: &str| Next::command(format_args!("workspace {verb} {self}"));
        let open = |error: WorkspaceError, state: &str, next: Next| {
            CommandError::new(Status::LeftOpen, error).state(state).next(next)
        };
        let is_refusal = matches!(&error, WorkspaceError::External(external)
            if matches!(**external, ExternalError::IsRepository(_) | ExternalError::IsCommitted(_)));
        if !is_refusal && ExternalWorkspace::is_closed(&root) {
            let state = "what it made is where it was to go; some of its files are left";
            return open(error, state, next("commit"));
        }
        if !is_refusal && is_repository(&root) {
            let state = "it is a repository; some files that only a workspace needs are left";
            return open(error, state, next("convert"));
        }
        match &error {
            WorkspaceError::NotBuilt(_) => CommandError::from(error).next(next("build")),
            WorkspaceError::NotActive { .. } => CommandError::from(error).next(next("activate")),
            WorkspaceError::MissingInitInput(missing) => match missing.producer.clone() {
                Some(producer) => {
                    CommandError::from(error).next(activate_producer(self, &producer))
                }
                None => error.into(),
            },
            WorkspaceError::Closing(_) => open(
                error,
                "nothing is lost; reopen undoes the closing",
                Next::one_of([next("convert"), next("commit"), next("reopen")]),
            ),
            WorkspaceError::OtherPipeline { .. } | WorkspaceError::InputsGrew { .. } => {
                open(error, "the workspace is open and has no graph yet", next("revert"))
            }
            WorkspaceError::External(external) => match &**external {
                ExternalError::IsRepository(root) => {
                    let next = Next::command(format_args!("query datasets --repo {root}"));
                    CommandError::from(error).next(next)
                }
                ExternalError::IsCommitted(_) => CommandError::from(error).next(next("commit")),
                ExternalError::NoQuanta(_) => CommandError::new(Status::QuantaFailed, error)
                    .state("the workspace is open")
                    .next(Next::one_of([next("build"), next("revert")])),
                ExternalError::Unfinished { .. } => CommandError::new(Status::QuantaFailed, error)
                    .state("the workspace is open; what succeeded is kept")
                    .next(Next::one_of([next("run"), next("status")])),
                _ => error.into(),
            },
            _ => error.into(),
        }
    }
}

/// Opens the parent of an external workspace.
pub(crate) fn open_parent(
    context: &Context,
    workspace: &ExternalWorkspace,
    needed: ParentUse,
) -> Result<DirectButler, CommandError> {
    workspace.expect_parent(needed).map_err(WorkspaceError::from)?;
    let read_only = needed != ParentUse::Commit;
    let options = OpenOptions { read_only, ..OpenOptions::default() };
    Ok(open_butler(workspace.parent(), context.butler_environment(), &options)?)
}
