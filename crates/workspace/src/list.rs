//! Open workspaces.

use camino::Utf8PathBuf;
use pantler_butler::transaction::TransactionKind as _;
use pantler_core::transaction::TransactionRow;
use pantler_direct::{ButlerError, DirectButler};

use crate::{WorkspaceError, WorkspaceTransaction};

/// An open workspace.
#[derive(Debug, Clone)]
pub struct WorkspaceInfo {
    /// Its transaction.
    pub row: TransactionRow,
    /// What it is for.
    pub transaction: WorkspaceTransaction,
    /// Its root, which may not exist yet.
    pub root: Utf8PathBuf,
}

/// Lists the open workspaces, by name.
///
/// # Errors
/// [`WorkspaceError`] if the database does not answer or a row is damaged.
pub fn list(butler: &DirectButler) -> Result<Vec<WorkspaceInfo>, WorkspaceError> {
    let mut found = Vec::new();
    for row in butler.list_transactions()? {
        if row.kind == WorkspaceTransaction::KIND {
            let transaction = WorkspaceTransaction::decode(&row.data, &[])
                .map_err(|source| ButlerError::Decode { name: row.name.clone(), source })?;
            let root = butler.workspace_root(&transaction.run, row.opening);
            found.push(WorkspaceInfo { row, transaction, root });
        }
    }
    Ok(found)
}
