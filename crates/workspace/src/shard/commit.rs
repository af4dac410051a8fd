//! Committing one shard.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use camino::Utf8Path;
use pantler_butler::transaction::{CommitContext, KindError, TransactionKind as _};
use pantler_core::{
    CollectionName, QuantumId,
    transaction::{Process, TransactionRow},
};
use pantler_direct::{
    ButlerError, CloseError, CloseOptions, DirectButler, TransactionFile, this_process,
};
use pantler_exec::{CloserLock, JournalState, LockError, RunnerState, declare_dead, runners};
use pantler_graph::QuantumGraph;

use super::{Shard, frozen};
use crate::{
    CloseNotice, WorkspaceClient, WorkspaceError, WorkspaceTransaction, client,
    create::name_of,
    kind::{
        commit::{enter, harvest_of, unfinished, verify},
        graph_source::{promised, store_logs},
    },
    layout,
};

/// What a commit of a shard did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardCommitted {
    /// It is committed now, with so many datasets.
    Now {
        /// How many.
        datasets: usize,
    },
    /// It was committed before, and nothing was done.
    Before,
}

/// How long a runner that begins may take to find the marker of a shard, and to begin again
/// without it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Enters the results of one shard into the repository; the workspace stays open. Waits for
/// other commits of shards. Again: succeeds and does nothing.
///
/// # Errors
/// [`WorkspaceError::ShardRuns`] if a runner is to run quanta of it;
/// [`WorkspaceError::Close`], where an unfinished or incomplete shard can be run on.
pub fn commit_shard(
    butler: &DirectButler,
    run: &CollectionName,
    shard: &Shard,
    options: CloseOptions,
    dead: &[u32],
    notice: &mut dyn CloseNotice,
) -> Result<ShardCommitted, WorkspaceError> {
    let (row, transaction) = open_row(butler, run)?;
    if transaction.shard_by.is_empty() {
        return Err(WorkspaceError::NoShards(run.clone()));
    }
    if transaction.committed.contains(shard) {
        return Ok(ShardCommitted::Before);
    }
    let root = butler.workspace_root(run, row.opening);
    let process = this_process();
    let now = butler.environment().clock.now();
    for runner in dead {
        declare_dead(&root, *runner, &butler.environment().process, now)?;
    }
    let _closers = closers_lock(&root, run, &process, notice)?;
    pantler_seam::step("shard.locked");
    if TransactionFile::read(&root)?.is_none_or(|file| file.opening != row.opening) {
        return Err(WorkspaceError::ClosedMeanwhile(run.clone()));
    }
    if layout::closing_marker(&root).exists() {
        return Err(WorkspaceError::Closing(run.clone()));
    }
    // Whoever had the lock may have committed it.
    let (row, transaction) = open_row(butler, run)?;
    if transaction.committed.contains(shard) {
        return Ok(ShardCommitted::Before);
    }
    if !layout::has_graph(&root) {
        return Err(WorkspaceError::NotBuilt(run.clone()));
    }
    let graph = client::read_graph(&root)?;
    if meant(&transaction, &graph, shard).all(|is_meant| !is_meant) {
        let (name, shard) = (run.clone(), shard.clone());
        return Err(WorkspaceError::EmptyShard { name, shard });
    }
    expect_no_runner(&root, &process, &transaction, &graph, shard)?;
    frozen::freeze(&root, shard)?;
    let work = Work { root: &root, shard, transaction: &transaction };
    let done = wait_for_new_runners(&root, &process, &transaction, &graph, shard)
        .and_then(|()| work.done(butler, &row, options));
    if done.as_ref().is_err_and(nothing_entered) {
        frozen::thaw(&root, shard);
    }
    done
}

/// The shards of an open workspace that are committed, as the database knows.
///
/// # Errors
/// [`WorkspaceError::ClosedMeanwhile`] if it is not open any more.
pub fn committed_shards(
    butler: &DirectButler,
    client: &WorkspaceClient,
) -> Result<BTreeSet<Shard>, WorkspaceError> {
    let run = &client.transaction().run;
    let (row, transaction) = open_row(butler, run)?;
    if row.opening != client.file().opening {
        return Err(WorkspaceError::ClosedMeanwhile(run.clone()));
    }
    Ok(transaction.committed)
}

fn open_row(
    butler: &DirectButler,
    run: &CollectionName,
) -> Result<(TransactionRow, WorkspaceTransaction), WorkspaceError> {
    let name = name_of(run);
    let row = butler.transaction(&name)?;
    let row = row.ok_or_else(|| WorkspaceError::NoWorkspace(run.to_string()))?;
    if row.kind != WorkspaceTransaction::KIND {
        return Err(WorkspaceError::NotAWorkspace { name, kind: row.kind });
    }
    let transaction = WorkspaceTransaction::decode(&row.data, &[])
        .map_err(|source| ButlerError::Decode { name, source })?;
    Ok((row, transaction))
}

/// Keeps others off that commit shards, close the workspace or change its quanta.
fn closers_lock(
    root: &Utf8Path,
    run: &CollectionName,
    process: &Process,
    notice: &mut dyn CloseNotice,
) -> Result<CloserLock, WorkspaceError> {
    let lock = match CloserLock::acquire(root, process, false) {
        Err(LockError::Closer { holder, .. }) => {
            notice.waiting_for(&holder);
            CloserLock::acquire(root, process, true)
        }
        lock => lock,
    };
    match lock {
        Err(_) if !root.is_dir() => Err(WorkspaceError::ClosedMeanwhile(run.clone())),
        lock => Ok(lock?),
    }
}

/// Whether each quantum is of the shard, by position.
fn meant(
    transaction: &WorkspaceTransaction,
    graph: &QuantumGraph,
    shard: &Shard,
) -> impl Iterator<Item = bool> {
    graph.quanta().map(move |q| transaction.shard_of(graph, q).as_ref() == Some(shard))
}

/// Refuses while a runner that has not ended is to run quanta of the shard.
fn expect_no_runner(
    root: &Utf8Path,
    process: &Process,
    transaction: &WorkspaceTransaction,
    graph: &QuantumGraph,
    shard: &Shard,
) -> Result<(), WorkspaceError> {
    let now = pantler_core::Tai::from_nanos(0);
    for one in runners(root, process, now)? {
        if !matches!(one.state, RunnerState::Live | RunnerState::Silent) {
            continue;
        }
        let Some(header) = one.header else { continue };
        let Some(selection) = header.selection else { continue };
        let selected = selection.known(graph);
        let mut both = meant(transaction, graph, shard).zip(selected);
        if both.any(|(is_meant, is_selected)| is_meant && is_selected) {
            return Err(WorkspaceError::ShardRuns {
                shard: shard.clone(),
                runner: one.runner,
                process: header.process,
            });
        }
    }
    Ok(())
}

/// Waits for runners that have begun just before the marker was there: each finds it, and
/// begins again without the shard.
fn wait_for_new_runners(
    root: &Utf8Path,
    process: &Process,
    transaction: &WorkspaceTransaction,
    graph: &QuantumGraph,
    shard: &Shard,
) -> Result<(), WorkspaceError> {
    const POLL: Duration = Duration::from_millis(10);
    let since = Instant::now();
    loop {
        match expect_no_runner(root, process, transaction, graph, shard) {
            Err(WorkspaceError::ShardRuns { .. }) if since.elapsed() < PATIENCE => {
                std::thread::sleep(POLL);
            }
            other => return other,
        }
    }
}

/// Whether it is known that no row of the shard is in, and none will be.
fn nothing_entered(error: &WorkspaceError) -> bool {
    match error {
        // Another one is at work, perhaps on this shard.
        WorkspaceError::Close(CloseError::Held { .. }) => false,
        WorkspaceError::Close(error) => error.stays_open(),
        _ => true,
    }
}

/// What is to be committed.
struct Work<'a> {
    root: &'a Utf8Path,
    shard: &'a Shard,
    transaction: &'a WorkspaceTransaction,
}

impl Work<'_> {
    fn done(
        &self,
        butler: &DirectButler,
        row: &TransactionRow,
        options: CloseOptions,
    ) -> Result<ShardCommitted, WorkspaceError> {
        let mut datasets = 0;
        butler.commit_part(row, self.transaction, options, |context| {
            let (data, count) = self.collect(context)?;
            datasets = count;
            Ok(data)
        })?;
        Ok(ShardCommitted::Now { datasets })
    }

    /// Looks at what the shard has made, packs its logs, and collects its rows. Returns what
    /// the transaction is from then on, and the number of datasets.
    fn collect(&self, context: &mut CommitContext<'_>) -> Result<(String, usize), KindError> {
        let root = self.root;
        let unreadable = |e: Box<dyn std::error::Error + Send + Sync>| {
            KindError::Unreadable(format!("cannot read {root}"), e)
        };
        // Again, now that nothing is added to this shard.
        let graph = client::read_graph(root).map_err(|e| unreadable(e.into()))?;
        let meant: Vec<bool> = meant(self.transaction, &graph, self.shard).collect();
        let ids: Vec<QuantumId> = graph
            .quanta()
            .filter(|quantum| meant[quantum.get()])
            .map(|quantum| graph.quantum_id(quantum))
            .collect();
        let journal = JournalState::read_only(&layout::journal_dir(root), &ids)
            .map_err(|e| unreadable(e.into()))?;
        let harvest = harvest_of(&graph, &journal, &meant);
        if !context.facts().partial && harvest.succeeded < ids.len() {
            return Err(KindError::Unfinished(format!(
                "of shard {}, {}",
                self.shard,
                unfinished(ids.len(), &harvest)
            )));
        }
        verify(promised(&harvest), context)?;
        let mut missing = Vec::new();
        for (_, record) in &harvest.outputs {
            let Some(key) = record.location.key() else { continue };
            if context.artifacts().size(key)? != Some(record.size) {
                missing.push(key.to_string());
            }
        }
        if !missing.is_empty() {
            missing.sort();
            return Err(KindError::Incomplete(missing));
        }
        let logs = store_logs(root, &graph, &harvest.logs, context)?;
        let stored: Vec<_> = harvest.outputs.into_iter().chain(logs).collect();
        let count = stored.len();
        enter(self.transaction, &graph, stored, context);
        let mut after = self.transaction.clone();
        after.committed.insert(self.shard.clone());
        Ok((super::data_of(&after), count))
    }
}
