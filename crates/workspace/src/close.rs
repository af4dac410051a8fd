//! Closing a workspace by name.

use std::time::{Duration, Instant};

use pantler_core::{
    CollectionName,
    transaction::{Closing, TransactionRow},
};
use pantler_direct::{CloseOptions, Closed, DirectButler, Liveness, this_process};
use pantler_exec::{LockError, RunnerLock};

use crate::{WorkspaceError, create::name_of};

/// Told what a closing waits for.
pub trait CloseNotice {
    /// A process runs quanta in the workspace; the closing waits until it ends.
    fn waiting_for(&mut self, holder: &str);
}

/// Commits, reverts or abandons a workspace. Waits for a process that runs quanta
/// in it. Again with the same outcome: succeeds and does nothing.
///
/// # Errors
/// [`WorkspaceError::Close`], which says whether the workspace is still open.
pub fn close(
    butler: &DirectButler,
    run: &CollectionName,
    closing: Closing,
    options: CloseOptions,
    notice: &mut dyn CloseNotice,
) -> Result<Closed, WorkspaceError> {
    let name = name_of(run);
    if let Some(row) = butler.transaction(&name)? {
        let root = butler.workspace_root(run, row.opening);
        if root.is_dir() {
            let process = this_process();
            match RunnerLock::acquire(&root, &process, false) {
                Err(LockError::Locked { holder, .. }) => {
                    notice.waiting_for(&holder);
                    drop(RunnerLock::acquire(&root, &process, true)?);
                    wait_for_its_end(butler, &row);
                }
                Err(error) => return Err(error.into()),
                Ok(lock) => drop(lock),
            }
        }
    }
    Ok(butler.close(&name, closing, options)?)
}

/// A runner lets its lock go some milliseconds before its process ends. If it also
/// holds the transaction, closing before that would be refused.
fn wait_for_its_end(butler: &DirectButler, row: &TransactionRow) {
    const BACKOFF: Duration = Duration::from_millis(10);
    let until = Instant::now() + Duration::from_secs(2);
    while butler.environment().liveness(&row.process) == Liveness::Alive && Instant::now() < until {
        std::thread::sleep(BACKOFF);
    }
}
