//! What committing a workspace does to storage, and the rows that it collects.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use camino::Utf8Path;
use pantler_butler::{
    artifacts::Found,
    transaction::{CommitContext, KindError, Verify},
};
use pantler_core::{ArtifactKey, DatasetId, DatasetRef, FileRecord, StorageClass};
use pantler_exec::{Finish, JournalState, LogSlice, Standing, current_successes};
use pantler_graph::{DatasetIndex, QuantumGraph};

use super::{
    ManifestSource, Promised, Source, WorkspaceTransaction, graph_source::GraphSource,
    ledger_source::LedgerSource, lock_out_others,
};
use crate::{WorkspaceError, development::Development, layout};

/// The attempt that the first closing claims; the opening is the one before.
const FIRST_CLAIM: u32 = 2;

type Unreadable = Box<dyn std::error::Error + Send + Sync>;

/// Commits, or takes the marker away again so that the workspace can be run on.
pub(super) fn commit(
    transaction: &WorkspaceTransaction,
    context: &mut CommitContext<'_>,
) -> Result<(), KindError> {
    // First, so that a workspace that another closer is removing is not taken for one
    // that was never built.
    let recorded = lock_out_others(context)?;
    let Some(root) = context.facts().root.filter(|root| root.is_dir()) else {
        return Err(not_built());
    };
    let root = root.to_owned();
    let result = source(transaction, &root, &recorded)
        .and_then(|source| commit_locked(transaction, source, &recorded, context));
    if result.is_err() {
        // While the lock is held: a runner that starts now sees a consistent root.
        drop(std::fs::remove_file(layout::closing_marker(&root)));
    }
    result
}

fn not_built() -> KindError {
    KindError::Unfinished("it has no quantum graph: build it, revert it or abandon it".to_owned())
}

/// What says which datasets there are to be.
fn source(
    transaction: &WorkspaceTransaction,
    root: &Utf8Path,
    recorded: &[FileRecord],
) -> Result<Box<dyn ManifestSource>, KindError> {
    let unreadable = |e: Unreadable| KindError::Unreadable(format!("cannot read {root}"), e);
    match transaction.source {
        Source::Graph if !layout::has_graph(root) => Err(not_built()),
        Source::Graph => {
            let source = GraphSource::read(root, transaction, recorded);
            Ok(Box::new(source.map_err(unreadable)?))
        }
        Source::Ledger => {
            let source = LedgerSource::read(root, &transaction.run);
            Ok(Box::new(source.map_err(|e| unreadable(e.into()))?))
        }
    }
}

fn commit_locked(
    transaction: &WorkspaceTransaction,
    mut source: Box<dyn ManifestSource>,
    recorded: &[FileRecord],
    context: &mut CommitContext<'_>,
) -> Result<(), KindError> {
    if !context.facts().partial
        && let Some(unfinished) = source.unfinished()
    {
        return Err(KindError::Unfinished(unfinished));
    }
    verify(source.promised(), context)?;
    clear_prefix(source.as_ref(), &super::keys_of(recorded), context)?;
    source.store_history(context)?;
    context.artifacts().prune(context.facts().run_prefix)?;
    for dataset_type in source.dataset_types() {
        context.ensure_dataset_type(dataset_type);
    }
    let (datasets, records) = source.datasets().unzip();
    enter_rows(transaction, datasets, records, context);
    Ok(())
}

/// Collects the rows of what is stored, and those of the chain.
pub(crate) fn enter(
    transaction: &WorkspaceTransaction,
    graph: &QuantumGraph,
    stored: Vec<(DatasetIndex, FileRecord)>,
    context: &mut CommitContext<'_>,
) {
    let mut datasets = Vec::with_capacity(stored.len());
    let mut records = Vec::with_capacity(stored.len());
    for (index, mut record) in stored {
        let node = graph.dataset(index);
        record.dataset = node.id;
        datasets.push(DatasetRef {
            id: node.id,
            dataset_type: node.dataset_type,
            data_id: node.data_id,
            run: transaction.run.clone(),
        });
        records.push(record);
    }
    for task in graph.pipeline().tasks() {
        for output in &task.outputs {
            context.ensure_dataset_type(Arc::clone(&output.dataset_type));
        }
    }
    enter_rows(transaction, datasets, records, context);
}

fn enter_rows(
    transaction: &WorkspaceTransaction,
    datasets: Vec<DatasetRef>,
    records: Vec<FileRecord>,
    context: &mut CommitContext<'_>,
) {
    context.insert_datasets(datasets);
    context.insert_records(records);
    if let Some(chain) = &transaction.chain {
        let inputs = transaction.inputs.iter().filter(|input| *input != chain).cloned().collect();
        context.extend_chain(chain.clone(), transaction.run.clone(), inputs);
    }
}

/// What the journal says is to be kept.
#[derive(Default)]
pub(crate) struct Harvest {
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
    /// Outputs of quanta that succeeded; the record's dataset id is set later.
    pub(crate) outputs: Vec<(DatasetIndex, FileRecord)>,
    /// What each finished quantum said, by position of its task.
    pub(crate) logs: BTreeMap<usize, Vec<(DatasetIndex, LogSlice)>>,
}

pub(crate) fn harvest(graph: &QuantumGraph, journal: &JournalState) -> Harvest {
    harvest_of(graph, journal, &vec![true; graph.len()])
}

/// Refuses a graph that lacks quanta of which the journal tells. Only in development mode, where
/// graphs are dropped, there may be such.
pub(crate) fn expect_known(
    root: &Utf8Path,
    graph: &QuantumGraph,
    journal: &JournalState,
) -> Result<(), WorkspaceError> {
    if Development::read(root)?.is_some() {
        return Ok(());
    }
    let told = journal.quanta().map(|(quantum, _)| quantum);
    match told.filter(|quantum| graph.find(*quantum).is_none()).min() {
        None => Ok(()),
        Some(quantum) => Err(WorkspaceError::GraphLacks { root: root.to_owned(), quantum }),
    }
}

/// What the journal says is to be kept of these quanta, by position.
pub(crate) fn harvest_of(graph: &QuantumGraph, journal: &JournalState, meant: &[bool]) -> Harvest {
    let mut harvest = Harvest::default();
    let current = current_successes(graph, journal);
    for (position, (task, quanta)) in graph.tasks().enumerate() {
        for index in quanta.filter(|index| meant[index.get()]) {
            let Some(history) = journal.quantum(graph.quantum_id(index)) else { continue };
            let view = graph.quantum(index);
            let finish = match (history.standing(), current[index.get()]) {
                (
                    Standing::Succeeded { finish, outputs }
                    | Standing::Accepted { finish, outputs },
                    Some(_),
                ) => {
                    harvest.succeeded += 1;
                    for stored in outputs {
                        let Some(at) = task.outputs.iter().position(|o| *o.name == *stored.name)
                        else {
                            continue;
                        };
                        let class = task.outputs[at].dataset_type.storage_class;
                        let record = record(&stored.key, class, None, stored.size, stored.checksum);
                        harvest.outputs.push((view.outputs[at], record));
                    }
                    finish
                }
                (Standing::Failed { finish } | Standing::Poisoned { finish }, _) => {
                    harvest.failed += 1;
                    finish
                }
                // Nothing came of it, or it was made from inputs that have been made again or
                // taken away since.
                _ => continue,
            };
            if let (Some(slice), Some(log)) = (log_of(finish), view.outputs.last()) {
                harvest.logs.entry(position).or_default().push((*log, slice));
            }
        }
    }
    harvest
}

/// What a quantum said at its last attempt; one that said nothing has no log dataset.
fn log_of(finish: &Finish) -> Option<LogSlice> {
    finish.log.filter(|slice| slice.len > 0)
}

pub(crate) fn record(
    key: &ArtifactKey,
    storage_class: StorageClass,
    offset: Option<u64>,
    size: u64,
    checksum: pantler_core::Checksum,
) -> FileRecord {
    FileRecord {
        dataset: DatasetId::from_uuid(uuid::Uuid::nil()),
        component: Box::default(),
        location: key.clone().into(),
        offset,
        formatter: storage_class.formatter().into(),
        storage_class,
        size,
        checksum,
    }
}

pub(crate) fn unfinished(total: usize, harvest: &Harvest) -> String {
    let waiting = total - harvest.succeeded - harvest.failed;
    format!(
        "{} of {total} quanta succeeded, {} failed and {waiting} did not run",
        harvest.succeeded, harvest.failed
    )
}

/// Reads what was promised, if it is to be looked at so closely: what has changed since it was
/// written does not become stored.
pub(crate) fn verify<'p>(
    promised: impl Iterator<Item = Promised<'p>>,
    context: &CommitContext<'_>,
) -> Result<(), KindError> {
    if context.facts().verify == Verify::Size {
        return Ok(());
    }
    let mut changed = Vec::new();
    for promised in promised {
        let found = context.artifacts().measure(promised.key)?;
        // What is missing is found with the sizes.
        if found.is_some_and(|found| found.checksum != promised.checksum) {
            changed.push(promised.key.to_string());
        }
    }
    if changed.is_empty() { Ok(()) } else { Err(KindError::Changed(changed)) }
}

/// Deletes below the RUN's prefix what was not promised (outputs that no finish line
/// names, log packs of a commit that was killed), and checks that all that was is there
/// with its size.
fn clear_prefix(
    source: &dyn ManifestSource,
    recorded: &BTreeSet<ArtifactKey>,
    context: &CommitContext<'_>,
) -> Result<(), KindError> {
    let mut missing: HashMap<&ArtifactKey, u64> =
        source.promised().map(|promised| (promised.key, promised.size)).collect();
    let mut leftovers = Vec::new();
    for found in context.artifacts().list(context.facts().run_prefix)? {
        match found {
            Found::Artifact { key, size } => match missing.get(&key) {
                Some(expected) => {
                    if *expected == size {
                        missing.remove(&key);
                    }
                }
                None if recorded.contains(&key) => {}
                None => leftovers.push(key),
            },
            Found::Unfinished { key } if missing.contains_key(&key) => {
                context.artifacts().discard_unfinished(&[key])?;
            }
            Found::Unfinished { key } => leftovers.push(key),
            Found::Foreign { .. } => {}
        }
    }
    if !missing.is_empty() {
        let mut keys: Vec<_> = missing.keys().map(ToString::to_string).collect();
        keys.sort();
        return Err(KindError::Incomplete(keys));
    }
    context.artifacts().unstore(&leftovers)?;
    if context.facts().attempt > FIRST_CLAIM {
        // Another closer may have deleted something, and been killed before it flushed that.
        let prefix = context.facts().run_prefix;
        let promised = source.promised().map(|promised| promised.key);
        let kept: Vec<_> = promised.chain(recorded).cloned().collect();
        context.artifacts().prune(prefix)?;
        context.artifacts().flush_removals(prefix, &kept)?;
    }
    pantler_seam::step("commit.leftovers.deleted");
    Ok(())
}
