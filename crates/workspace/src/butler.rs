//! What a repository's client can do with workspaces.

use pantler_core::CollectionName;
use pantler_direct::{ButlerError, DirectButler, vacuum::Vacuumed};

use crate::{WorkspaceClient, WorkspaceError, list};

/// Workspaces of a repository, asked for through its butler (DMTN-249 §3.3.3).
pub trait Workspaces {
    /// A client of an open workspace, which needs no database. Its root is made again
    /// from the database if a kill left none.
    ///
    /// # Errors
    /// [`WorkspaceError::NoWorkspace`] if no workspace of that name is open.
    fn make_workspace_client(
        &self,
        name: &CollectionName,
    ) -> Result<WorkspaceClient, WorkspaceError>;

    /// Removes the roots of closed workspaces; with `dry_run` only says which.
    ///
    /// # Errors
    /// [`ButlerError`] if something cannot be listed or the database does not answer.
    fn vacuum_workspaces(&self, dry_run: bool) -> Result<Vec<Vacuumed>, ButlerError>;
}

impl Workspaces for DirectButler {
    fn make_workspace_client(
        &self,
        name: &CollectionName,
    ) -> Result<WorkspaceClient, WorkspaceError> {
        let mut open = list(self)?.into_iter().filter(|info| info.transaction.run == *name);
        let info = open.next().ok_or_else(|| WorkspaceError::NoWorkspace(name.to_string()))?;
        let (root, file) = self.workspace_file(&info.row)?;
        WorkspaceClient::new(root, file, self.root())
    }

    fn vacuum_workspaces(&self, dry_run: bool) -> Result<Vec<Vacuumed>, ButlerError> {
        pantler_direct::vacuum::vacuum_workspaces(self, dry_run)
    }
}
