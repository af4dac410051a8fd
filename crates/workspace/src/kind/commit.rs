//! What committing a workspace does to storage, and the rows that it collects.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use camino::Utf8Path;
use pantler_butler::{
    artifacts::{Found, NewArtifact},
    transaction::{CommitContext, KindError},
};
use pantler_core::{ArtifactKey, DatasetId, DatasetRef, FileRecord, StorageClass, WriteId};
use pantler_datastore::{RunPrefix, key};
use pantler_exec::{Finish, JournalState, LogSlice, Standing, current_successes};
use pantler_graph::{DatasetIndex, QuantumGraph, ResolvedTask};

use super::{WorkspaceTransaction, lock_out_others, log_pack::LogPack};
use crate::{client, layout, provenance};

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
    let result = if layout::has_graph(&root) {
        commit_locked(transaction, &root, &recorded, context)
    } else {
        Err(not_built())
    };
    if result.is_err() {
        // While the lock is held: a runner that starts now sees a consistent root.
        drop(std::fs::remove_file(layout::closing_marker(&root)));
    }
    result
}

fn not_built() -> KindError {
    KindError::Unfinished("it has no quantum graph: build it, revert it or abandon it".to_owned())
}

fn commit_locked(
    transaction: &WorkspaceTransaction,
    root: &Utf8Path,
    recorded: &[FileRecord],
    context: &mut CommitContext<'_>,
) -> Result<(), KindError> {
    let unreadable = |e: Unreadable| KindError::Unreadable(format!("cannot read {root}"), e);
    let graph = client::read_graph(root).map_err(|e| unreadable(e.into()))?;
    let journal =
        JournalState::read(&layout::journal_dir(root)).map_err(|e| unreadable(e.into()))?;
    let is_open: Vec<bool> =
        graph.quanta().map(|quantum| !transaction.has_committed(&graph, quantum)).collect();
    let harvest = harvest_of(&graph, &journal, &is_open);
    let total = is_open.iter().filter(|is_open| **is_open).count();
    if !context.facts().partial && harvest.succeeded < total {
        return Err(KindError::Unfinished(unfinished(total, &harvest)));
    }
    clear_prefix(&harvest, &super::keys_of(recorded), context)?;
    let logs = store_logs(root, &graph, &harvest.logs, context)?;
    let mut stored: Vec<_> = harvest.outputs.into_iter().chain(logs).collect();
    let new = stored.len();
    stored.extend(entered_before(&graph, &is_open, recorded));
    let (provenance, provenance_record) =
        provenance::store(root, &graph, &journal, &stored, context)?;
    context.artifacts().prune(context.facts().run_prefix)?;
    stored.truncate(new);
    context.ensure_dataset_type(Arc::clone(&provenance.dataset_type));
    enter(transaction, &graph, stored, Some((provenance, provenance_record)), context);
    Ok(())
}

/// The outputs and logs of quanta of committed shards.
fn entered_before(
    graph: &QuantumGraph,
    is_open: &[bool],
    recorded: &[FileRecord],
) -> Vec<(DatasetIndex, FileRecord)> {
    if recorded.is_empty() {
        return Vec::new();
    }
    let recorded: HashMap<DatasetId, &FileRecord> =
        recorded.iter().map(|record| (record.dataset, record)).collect();
    let committed = graph.quanta().filter(|quantum| !is_open[quantum.get()]);
    let outputs = committed.flat_map(|quantum| graph.quantum(quantum).outputs);
    outputs
        .filter_map(|output| {
            let record = recorded.get(&graph.dataset(output).id)?;
            Some((output, (*record).clone()))
        })
        .collect()
}

/// Collects the rows of what is stored, and those of the chain.
pub(crate) fn enter(
    transaction: &WorkspaceTransaction,
    graph: &QuantumGraph,
    stored: Vec<(DatasetIndex, FileRecord)>,
    more: Option<(DatasetRef, FileRecord)>,
    context: &mut CommitContext<'_>,
) {
    let mut datasets = Vec::with_capacity(stored.len() + 1);
    let mut records = Vec::with_capacity(stored.len() + 1);
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
    if let Some((dataset, record)) = more {
        datasets.push(dataset);
        records.push(record);
    }
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

/// Deletes below the RUN's prefix what no successful quantum wrote (outputs that no
/// finish line names, log packs of a commit that was killed), and checks that all
/// the others are there with their size.
fn clear_prefix(
    harvest: &Harvest,
    recorded: &BTreeSet<ArtifactKey>,
    context: &CommitContext<'_>,
) -> Result<(), KindError> {
    let mut missing: HashMap<&ArtifactKey, u64> = harvest
        .outputs
        .iter()
        .filter_map(|(_, record)| Some((record.location.key()?, record.size)))
        .collect();
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
    pantler_seam::step("commit.leftovers.deleted");
    Ok(())
}

/// Writes what the quanta said as one artifact a task, shared by its log datasets.
pub(crate) fn store_logs(
    root: &Utf8Path,
    graph: &QuantumGraph,
    logs: &BTreeMap<usize, Vec<(DatasetIndex, LogSlice)>>,
    context: &CommitContext<'_>,
) -> Result<Vec<(DatasetIndex, FileRecord)>, KindError> {
    if logs.is_empty() {
        return Ok(Vec::new());
    }
    let facts = context.facts();
    let prefix =
        RunPrefix::parse(facts.run_prefix).map_err(|e| KindError::Invalid(e.to_string()))?;
    let write = WriteId::of_opening(facts.opening, facts.attempt);
    let tasks: Vec<&ResolvedTask> = graph.pipeline().tasks().iter().collect();
    let mut packs = Vec::new();
    let mut new = Vec::new();
    for (position, slices) in logs {
        let key = key::log_key(&prefix, &tasks[*position].label, &write, 0);
        let pack = LogPack::new(root, slices.iter().map(|(_, slice)| *slice).collect());
        new.push(NewArtifact { key: key.clone(), content: Box::new(pack.reader()) });
        packs.push((key, pack, slices));
    }
    context.artifacts().store(new)?;
    pantler_seam::step("commit.logs.stored");
    let mut records = Vec::new();
    for (key, pack, slices) in packs {
        let checksums = pack.checksums();
        if checksums.len() != slices.len() {
            return Err(KindError::Invalid(format!("{key}: a log was not read in full")));
        }
        let mut offset = 0;
        for ((index, slice), checksum) in slices.iter().zip(checksums) {
            let record = record(&key, StorageClass::Bytes, Some(offset), slice.len, checksum);
            records.push((*index, record));
            offset += slice.len;
        }
    }
    Ok(records)
}
