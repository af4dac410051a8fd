//! Open workspaces, and roots that nobody owns.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use pantler_butler::transaction::TransactionKind as _;
use pantler_core::{OpeningId, transaction::TransactionRow};
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

/// A root that was removed, or that could not be.
#[derive(Debug)]
pub struct Vacuumed {
    /// The root.
    pub root: Utf8PathBuf,
    /// Why it is still there; `None` if it is gone.
    pub failure: Option<pantler_datastore::StorageError>,
}

/// Removes workspace roots that no open transaction owns: what a kill between the
/// closing rows and the removal of the root leaves.
///
/// Roots are listed before the open transactions are read, so a workspace that is
/// opened meanwhile is never touched. With `dry_run` nothing is removed.
///
/// # Errors
/// [`WorkspaceError`] if the roots cannot be listed or the database does not answer.
pub fn vacuum(butler: &DirectButler, dry_run: bool) -> Result<Vec<Vacuumed>, WorkspaceError> {
    let roots = roots(butler)?;
    let open: BTreeSet<OpeningId> =
        butler.list_transactions()?.into_iter().map(|row| row.opening).collect();
    let mut vacuumed = Vec::new();
    for (opening, root) in roots {
        if open.contains(&opening) {
            continue;
        }
        let failure = if dry_run { None } else { pantler_datastore::fs::remove_tree(&root).err() };
        if let (None, false, Some(parent)) = (&failure, dry_run, root.parent()) {
            // Fails while another opening of the same name has its root there.
            drop(std::fs::remove_dir(parent));
        }
        vacuumed.push(Vacuumed { root, failure });
    }
    Ok(vacuumed)
}

/// All roots, with the opening that their name says. Folders with other names are
/// not Pantler's.
fn roots(butler: &DirectButler) -> Result<Vec<(OpeningId, Utf8PathBuf)>, WorkspaceError> {
    let top = butler.config().workspaces_dir(butler.root());
    let mut roots = Vec::new();
    for name in folders(&top)? {
        for root in folders(&name)? {
            if let Some(opening) = root.file_name().and_then(|name| name.parse().ok()) {
                roots.push((opening, root));
            }
        }
    }
    roots.sort();
    Ok(roots)
}

fn folders(path: &Utf8PathBuf) -> Result<Vec<Utf8PathBuf>, WorkspaceError> {
    let failed = |source| WorkspaceError::Io { path: path.clone(), source };
    let entries = match path.read_dir_utf8() {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            folders.push(entry.into_path());
        }
    }
    Ok(folders)
}
