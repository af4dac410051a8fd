//! Committing one shard.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use camino::Utf8Path;
use pantler_butler::transaction::{CommitContext, KindError, TransactionKind as _};
use pantler_core::{
    CollectionName, QuantumId, Universe,
    transaction::{Process, TransactionRow},
};
use pantler_direct::{
    ButlerError, CloseError, CloseOptions, DirectButler, TransactionFile, this_process,
};
use pantler_exec::{CloserLock, JournalState, LockError, at_work, current_successes, declare_dead};
use pantler_graph::{QuantumGraph, QuantumIndex};

use super::{Frozen, Shard, SkippedShard, frozen, skipped::without_quanta};
use crate::{
    CloseNotice, WorkspaceClient, WorkspaceError, WorkspaceTransaction,
    activation::{expect_all_active, init_quanta},
    client,
    create::name_of,
    development::Development,
    kind::{
        commit::{enter, harvest_of, unfinished, verify},
        graph_source::{promised, store_logs},
    },
    layout,
    parts::Parts,
    provenance::{self, Subject},
};

/// What a commit of a shard did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardCommitted {
    /// It is committed now, with so many datasets.
    Now {
        /// How many, with logs and provenance.
        datasets: usize,
    },
    /// It was committed before, and nothing was done.
    Before,
    /// It has no quanta since these were skipped, and there is nothing to commit.
    Skipped(SkippedShard),
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
    let empty = || {
        let (name, shard) = (run.clone(), shard.clone());
        WorkspaceError::EmptyShard { name, shard }
    };
    let graph = ShardGraph::read(&root, shard, butler.universe())?.ok_or_else(empty)?;
    if graph.meant(&transaction).is_empty() {
        let parts = Parts::list(&root)?;
        let (by, universe) = (&transaction.shard_by, butler.universe());
        let skipped = without_quanta(&parts, shard, by, universe).ok_or_else(empty)?;
        return Ok(ShardCommitted::Skipped(skipped));
    }
    let mut runners = Runners::of(&root, &process);
    runners.expect_none(&transaction, &graph)?;
    // Before the shard: nothing is taken from below it while it is frozen.
    let init = Shard::of_init_steps();
    let has_init = graph.has_init_steps();
    if has_init {
        if !transaction.committed.contains(&init) {
            // Frozen before they have succeeded they could not be run any more.
            expect_all_active(&root, run, &graph.graph)?;
        }
        frozen::freeze(&root, &init)?;
    }
    frozen::freeze(&root, shard)?;
    let work = Work { root: &root, graph, transaction: &transaction };
    let done = runners
        .wait_for_new_ones(&transaction, &work.graph)
        .and_then(|()| work.done(butler, &row, options));
    if done.as_ref().is_err_and(nothing_entered) {
        frozen::thaw(&root, shard);
        if has_init && transaction.committed.is_empty() && !Frozen::read(&root)?.has_shards() {
            frozen::thaw(&root, &init);
        }
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
    let mut committed = transaction.committed;
    committed.retain(|shard| !shard.is_of_init_steps());
    Ok(committed)
}

/// The shards that are frozen and not committed: by a commit that is at work, or was killed, or
/// lost against another closing.
pub(crate) fn left_frozen(
    root: &Utf8Path,
    transaction: &WorkspaceTransaction,
) -> Result<Vec<Shard>, WorkspaceError> {
    let frozen = Frozen::read(root)?;
    Ok(frozen.into_shards().filter(|shard| !transaction.committed.contains(shard)).collect())
}

/// Takes the markers of shards away that are frozen and not committed. Whoever calls has
/// claimed the transaction: no commit that began before can succeed.
pub(crate) fn thaw_left(
    butler: &DirectButler,
    run: &CollectionName,
    root: &Utf8Path,
) -> Result<(), WorkspaceError> {
    let _closers = CloserLock::acquire(root, &this_process(), false)?;
    let (_, transaction) = open_row(butler, run)?;
    for shard in left_frozen(root, &transaction)? {
        frozen::thaw(root, &shard);
    }
    Ok(())
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

/// The parts of the graph that a shard needs, and which they are.
struct ShardGraph<'a> {
    shard: &'a Shard,
    parts: Vec<u32>,
    graph: QuantumGraph,
}

impl<'a> ShardGraph<'a> {
    /// `None` if no part was built for the shard.
    fn read(
        root: &Utf8Path,
        shard: &'a Shard,
        universe: &Universe,
    ) -> Result<Option<Self>, WorkspaceError> {
        let all = Parts::list(root)?;
        let parts = all.of_shards(&BTreeSet::from([shard.clone()]), universe);
        if parts.is_empty() {
            return Ok(None);
        }
        let graph = client::merged(root, all.read(&parts)?)?;
        Ok(Some(Self { shard, parts, graph }))
    }

    /// As it is now. Parts do not change, so it is the same if there are no others.
    fn read_again(self, root: &Utf8Path) -> Result<Self, WorkspaceError> {
        let all = Parts::list(root)?;
        let universe = self.graph.pipeline().universe();
        let parts = all.of_shards(&BTreeSet::from([self.shard.clone()]), universe);
        if parts == self.parts {
            return Ok(self);
        }
        let graph = client::merged(root, all.read(&parts)?)?;
        Ok(Self { shard: self.shard, parts, graph })
    }

    /// Whether tasks have init steps, which are of no shard.
    fn has_init_steps(&self) -> bool {
        init_quanta(&self.graph).next().is_some()
    }

    /// The quanta of the shard.
    fn meant(&self, transaction: &WorkspaceTransaction) -> Vec<QuantumIndex> {
        let is_meant =
            |q: &QuantumIndex| transaction.shard_of(&self.graph, *q).as_ref() == Some(self.shard);
        self.graph.quanta().filter(is_meant).collect()
    }
}

/// The runners of the workspace, looked at again and again.
struct Runners<'a> {
    root: &'a Utf8Path,
    process: &'a Process,
    /// These will not come back.
    ended: BTreeSet<u32>,
}

impl<'a> Runners<'a> {
    fn of(root: &'a Utf8Path, process: &'a Process) -> Self {
        Self { root, process, ended: BTreeSet::new() }
    }

    /// Refuses while one that has not ended is to run quanta of the shard.
    fn expect_none(
        &mut self,
        transaction: &WorkspaceTransaction,
        graph: &ShardGraph<'_>,
    ) -> Result<(), WorkspaceError> {
        for header in at_work(self.root, self.process, &mut self.ended)? {
            let Some(selection) = header.selection else { continue };
            let selected = selection.known(&graph.graph);
            if graph.meant(transaction).iter().any(|quantum| selected[quantum.get()]) {
                let (shard, runner) = (graph.shard.clone(), header.runner);
                return Err(WorkspaceError::ShardRuns { shard, runner, process: header.process });
            }
        }
        Ok(())
    }

    /// Waits for runners that have begun just before the marker was there: each finds it, and
    /// begins again without the shard.
    fn wait_for_new_ones(
        &mut self,
        transaction: &WorkspaceTransaction,
        graph: &ShardGraph<'_>,
    ) -> Result<(), WorkspaceError> {
        const POLL: Duration = Duration::from_millis(10);
        let since = Instant::now();
        loop {
            match self.expect_none(transaction, graph) {
                Err(WorkspaceError::ShardRuns { .. }) if since.elapsed() < PATIENCE => {
                    std::thread::sleep(POLL);
                }
                other => return other,
            }
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
    graph: ShardGraph<'a>,
    transaction: &'a WorkspaceTransaction,
}

impl Work<'_> {
    fn done(
        self,
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

    /// Looks at what the shard has made, packs its logs, writes what happened, and collects its
    /// rows. Returns what
    /// the transaction is from then on, and the number of datasets.
    fn collect(self, context: &mut CommitContext<'_>) -> Result<(String, usize), KindError> {
        let Self { root, graph, transaction } = self;
        let unreadable = |e: Box<dyn std::error::Error + Send + Sync>| {
            KindError::Unreadable(format!("cannot read {root}"), e)
        };
        // Again, now that nothing is added to this shard.
        let now = graph.read_again(root).map_err(|e| unreadable(e.into()))?;
        let quanta = now.meant(transaction);
        let ShardGraph { shard, graph, .. } = now;
        let mut meant = vec![false; graph.len()];
        for quantum in &quanta {
            meant[quantum.get()] = true;
        }
        let steps: Vec<QuantumIndex> = init_quanta(&graph).collect();
        let init = Shard::of_init_steps();
        let with_init = !steps.is_empty() && !transaction.committed.contains(&init);
        if with_init {
            for step in &steps {
                meant[step.get()] = true;
            }
        }
        let total = meant.iter().filter(|is_meant| **is_meant).count();
        // What init steps have made says whether what was made from it counts.
        let own = graph.quanta().filter(|quantum| meant[quantum.get()]);
        let ids: Vec<QuantumId> =
            own.chain(steps.iter().copied()).map(|quantum| graph.quantum_id(quantum)).collect();
        let journal = JournalState::read_only(&layout::journal_dir(root), &ids)
            .map_err(|e| unreadable(e.into()))?;
        let harvest = harvest_of(&graph, &journal, &meant);
        if !context.facts().partial && harvest.succeeded < total {
            return Err(KindError::Unfinished(format!(
                "of shard {shard}, {}",
                unfinished(total, &harvest)
            )));
        }
        if with_init {
            // Others may be built from these still.
            let current = current_successes(&graph, &journal);
            let succeeded = steps.iter().filter(|step| current[step.get()].is_some()).count();
            if succeeded < steps.len() {
                let steps = steps.len();
                return Err(KindError::Unfinished(format!(
                    "{succeeded} of {steps} init steps succeeded, whose outputs enter with the first shard"
                )));
            }
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
        let mut stored: Vec<_> = harvest.outputs.into_iter().chain(logs).collect();
        let (made, mut count) = (stored.len(), stored.len());
        if Development::read(root).map_err(|e| unreadable(e.into()))?.is_none() {
            if !with_init && !steps.is_empty() {
                // What it reads and another shard has entered.
                let mut entered = vec![false; graph.len()];
                for step in &steps {
                    entered[step.get()] = true;
                }
                stored.extend(harvest_of(&graph, &journal, &entered).outputs);
            }
            let subject = Subject::shard(graph.pipeline().universe(), shard, &meant)?;
            let (dataset, record) =
                provenance::store(&subject, root, &graph, &journal, &stored, context)?;
            context.ensure_dataset_type(Arc::clone(&dataset.dataset_type));
            context.insert_datasets(vec![dataset]);
            context.insert_records(vec![record]);
            stored.truncate(made);
            count += 1;
        }
        enter(transaction, &graph, stored, context);
        let mut after = transaction.clone();
        after.committed.insert(shard.clone());
        if with_init {
            after.committed.insert(init);
        }
        Ok((super::data_of(&after), count))
    }
}
