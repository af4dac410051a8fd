//! Closing a workspace by name, and undoing a closing that did not succeed.
//!
//! | step | effect | a kill after it leaves |
//! | --- | --- | --- |
//! | 1. runners are declared dead, if told so | `journal/<runner>.over` | a runner taken over; the workspace runs on |
//! | 2. closers' lock | none | nothing |
//! | 3. marker | no runner starts | an open workspace that [`reopen`] opens, or any closing closes |
//! | 4. no runner left | none | the same |
//! | 5. claim, and what [`kind`](crate::kind) does: closers' lock and marker again | | |

use std::time::{Duration, Instant};

use camino::Utf8Path;
use pantler_butler::transaction::TransactionKind as _;
use pantler_core::{
    CollectionName, Tai, TransactionName,
    transaction::{Closing, Process, TransactionRow},
};
use pantler_direct::{ButlerError, CloseOptions, Closed, DirectButler, Liveness, this_process};
use pantler_exec::{CloserLock, LockError, RunnerLock, RunnerState, declare_dead, runners};

use crate::{
    WorkspaceClient, WorkspaceError, WorkspaceTransaction,
    create::name_of,
    kind::{Source, set_marker},
    layout, ledger,
    shard::{left_frozen, thaw_left},
};

/// Told what a closing waits for.
pub trait CloseNotice {
    /// Processes run quanta in the workspace, or one closes it; the closing waits until
    /// they end.
    fn waiting_for(&mut self, holder: &str);
}

/// Waits without a word.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNotice;

impl CloseNotice for NoNotice {
    fn waiting_for(&mut self, _: &str) {}
}

/// Commits, reverts or abandons a workspace. Lets no new process run quanta in it and
/// waits for those that do. Again with the same outcome: succeeds and does nothing.
///
/// # Errors
/// [`WorkspaceError::Close`], which says whether the workspace is still open;
/// [`WorkspaceError::Lock`] about a runner that only a person can know to be dead.
pub fn close(
    butler: &DirectButler,
    run: &CollectionName,
    closing: Closing,
    options: CloseOptions,
    notice: &mut dyn CloseNotice,
) -> Result<Closed, WorkspaceError> {
    close_without(butler, run, closing, options, &[], notice)
}

/// As [`close`], and does not wait for the runners with these numbers, which the caller
/// declares dead.
///
/// # Errors
/// Those of [`close`]; [`WorkspaceError::TakeOver`] about one that gives signs of life.
pub fn close_without(
    butler: &DirectButler,
    run: &CollectionName,
    closing: Closing,
    options: CloseOptions,
    dead: &[u32],
    notice: &mut dyn CloseNotice,
) -> Result<Closed, WorkspaceError> {
    let name = name_of(run);
    let mut marked = None;
    if let Some(row) = butler.transaction(&name)? {
        let root = butler.workspace_root(run, row.opening);
        expect_revertible(run, &row, closing)?;
        if root.is_dir() && row.kind == WorkspaceTransaction::KIND {
            let now = butler.environment().clock.now();
            for runner in dead {
                declare_dead(&root, *runner, &butler.environment().process, now)?;
            }
            if let Some(made) = wait_for_runners(&root, notice)? {
                marked = made.then(|| root.clone());
                wait_for_its_end(butler, &row);
            }
            if closing == Closing::Commit
                && let Err(error) = expect_ready(butler, &row, &root)
            {
                if let Some(root) = marked {
                    take_marker_back(butler, &name, &root)?;
                }
                return Err(error);
            }
        }
    }
    let closed = butler.close(&name, closing, options);
    if closed.is_err()
        && let Some(root) = marked
    {
        take_marker_back(butler, &name, &root)?;
    }
    Ok(closed?)
}

/// Removes the marker that was set here and is of no use: a closing that began has its own.
fn take_marker_back(
    butler: &DirectButler,
    name: &TransactionName,
    root: &Utf8Path,
) -> Result<(), WorkspaceError> {
    if let Ok(lock) = CloserLock::acquire(root, &this_process(), false) {
        let undone = |row: TransactionRow| row.closing.is_none_or(|c| c == Closing::Commit);
        if butler.transaction(name)?.is_some_and(undone) {
            drop(std::fs::remove_file(layout::closing_marker(root)));
        }
        drop(lock);
    }
    Ok(())
}

/// Refuses a commit that the database would refuse, while nothing is claimed.
fn expect_ready(
    butler: &DirectButler,
    row: &TransactionRow,
    root: &Utf8Path,
) -> Result<(), WorkspaceError> {
    let transaction = WorkspaceTransaction::decode(&row.data, &[])
        .map_err(|source| ButlerError::Decode { name: row.name.clone(), source })?;
    match transaction.source {
        Source::Graph => Ok(()),
        Source::Ledger => ledger::expect_ready(butler, &transaction.run, root),
    }
}

/// Refuses to revert what is committed in part, before anything is done.
fn expect_revertible(
    run: &CollectionName,
    row: &TransactionRow,
    closing: Closing,
) -> Result<(), WorkspaceError> {
    if closing == Closing::Revert
        && row.kind == WorkspaceTransaction::KIND
        && let Ok(transaction) = WorkspaceTransaction::decode(&row.data, &[])
        && !transaction.committed.is_empty()
    {
        let (name, committed) = (run.clone(), transaction.committed_shards());
        return Err(WorkspaceError::ShardsCommitted { name, committed });
    }
    Ok(())
}

/// Lets no new runner start, and waits until none is left, if there is any. Returns whether
/// the marker is new; `None` if there was nobody to wait for.
fn wait_for_runners(
    root: &Utf8Path,
    notice: &mut dyn CloseNotice,
) -> Result<Option<bool>, WorkspaceError> {
    let process = this_process();
    let closer = match CloserLock::acquire(root, &process, false) {
        Err(LockError::Closer { holder, .. }) => {
            notice.waiting_for(&holder);
            match CloserLock::acquire(root, &process, true) {
                // It has closed the workspace meanwhile.
                Err(_) if !root.is_dir() => return Ok(None),
                lock => lock?,
            }
        }
        Err(_) if !root.is_dir() => return Ok(None),
        lock => lock?,
    };
    let is_idle = match RunnerLock::acquire(root, &process, false) {
        Ok(lock) => {
            let is_idle = !is_anyone_left(root, &process);
            // What comes next has a lock of its own, which this one would keep it from.
            drop(lock);
            is_idle
        }
        Err(LockError::Locked { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    if is_idle {
        return Ok(None);
    }
    let made = set_marker(root)?;
    let waited = closer.wait_for_runners(&process, &mut |holder| notice.waiting_for(holder));
    if waited.is_err() && made {
        drop(std::fs::remove_file(layout::closing_marker(root)));
    }
    drop(waited?);
    Ok(Some(made))
}

/// Whether a runner may be at work on another machine, whose locks do not show here.
fn is_anyone_left(root: &Utf8Path, process: &Process) -> bool {
    let runners = runners(root, process, Tai::from_nanos(0)).unwrap_or_default();
    runners.iter().any(|one| matches!(one.state, RunnerState::Live | RunnerState::Silent))
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

/// Undoes a closing that did not succeed: claims the transaction, so that it cannot succeed
/// any more, and takes its marker away. Returns whether there was anything to undo; again:
/// does nothing.
///
/// Killed after the claim, the marker is there still, and the same call takes it away. So are the
/// markers of shards whose commit did not succeed, and did not take them away itself.
///
/// # Errors
/// [`ButlerError::Held`] or [`WorkspaceError::Lock`] if a closing is at work, and
/// [`ButlerError::ClosingBegan`] after a revert or abandon has begun to delete.
pub fn reopen(
    butler: &DirectButler,
    run: &CollectionName,
    take_over: bool,
) -> Result<bool, WorkspaceError> {
    let name = name_of(run);
    let row = butler.transaction(&name)?;
    let row = row.ok_or_else(|| WorkspaceError::NoWorkspace(run.to_string()))?;
    if row.kind != WorkspaceTransaction::KIND {
        return Err(WorkspaceError::NotAWorkspace { name, kind: row.kind });
    }
    let root = butler.workspace_root(run, row.opening);
    let transaction = WorkspaceTransaction::decode(&row.data, &[])
        .map_err(|source| ButlerError::Decode { name: row.name.clone(), source })?;
    let has_frozen = !left_frozen(&root, &transaction)?.is_empty();
    if row.closing.is_none() && !layout::closing_marker(&root).exists() && !has_frozen {
        return Ok(false);
    }
    // Before the claim: one that works must not be cut off by it.
    if root.is_dir() {
        drop(CloserLock::acquire(&root, &this_process(), false)?);
    }
    drop(butler.take_over(&row, transaction, take_over)?);
    let (root, file) = butler.workspace_file(&row)?;
    let client = WorkspaceClient::new(root, file, butler.root())?;
    // The marker goes last: it tells that this is not done.
    if has_frozen {
        thaw_left(butler, run, client.root())?;
    }
    client.take_marker_away()?;
    Ok(true)
}
