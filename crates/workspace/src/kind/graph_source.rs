//! A quantum graph with its journal as [`ManifestSource`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::{
    artifacts::NewArtifact,
    transaction::{CommitContext, KindError},
};
use pantler_core::{DatasetId, DatasetRef, DatasetType, FileRecord, StorageClass, WriteId};
use pantler_datastore::{RunPrefix, key};
use pantler_exec::{JournalState, LogSlice};
use pantler_graph::{DatasetIndex, QuantumGraph, ResolvedTask};

use super::{
    WorkspaceTransaction,
    commit::{Harvest, expect_known, harvest_of, record, unfinished},
    log_pack::LogPack,
    manifest_source::{ManifestSource, Promised},
};
use crate::{
    activation::has_quanta_of_tasks, client, development::Development, layout, provenance,
};

pub(super) struct GraphSource {
    root: Utf8PathBuf,
    graph: QuantumGraph,
    journal: JournalState,
    harvest: Harvest,
    /// How many quanta are to be done.
    total: usize,
    /// What committed shards have entered.
    before: Vec<(DatasetIndex, FileRecord)>,
    /// In development mode nothing is said about how things were made.
    is_development: bool,
    provenance: Option<(DatasetRef, FileRecord)>,
}

impl GraphSource {
    /// Reads graph and journal in the root of a workspace.
    /// What committed shards have entered, `recorded`, is not entered again.
    pub(super) fn read(
        root: &Utf8Path,
        transaction: &WorkspaceTransaction,
        recorded: &[FileRecord],
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let graph = client::read_graph(root)?;
        let journal = JournalState::read(&layout::journal_dir(root))?;
        expect_known(root, &graph, &journal)?;
        let is_open: Vec<bool> =
            graph.quanta().map(|quantum| !transaction.has_committed(&graph, quantum)).collect();
        let harvest = harvest_of(&graph, &journal, &is_open);
        let total = is_open.iter().filter(|is_open| **is_open).count();
        let before = entered_before(&graph, &is_open, recorded);
        let is_development = Development::read(root)?.is_some();
        let (root, provenance) = (root.to_owned(), None);
        Ok(Self { root, graph, journal, harvest, total, before, is_development, provenance })
    }
}

impl ManifestSource for GraphSource {
    fn unfinished(&self) -> Option<String> {
        let Self { total, harvest, graph, .. } = self;
        if graph.is_empty() {
            return Some("no quanta are built: all that was asked for was skipped".to_owned());
        }
        if !has_quanta_of_tasks(graph) {
            return Some("only init steps are built, and no quanta of tasks".to_owned());
        }
        (harvest.succeeded < *total).then(|| unfinished(*total, harvest))
    }

    fn promised(&self) -> Box<dyn Iterator<Item = Promised<'_>> + '_> {
        Box::new(promised(&self.harvest))
    }

    fn store_history(&mut self, context: &CommitContext<'_>) -> Result<(), KindError> {
        let Self { root, graph, journal, harvest, before, is_development, provenance, .. } = self;
        let logs = store_logs(root, graph, &harvest.logs, context)?;
        harvest.outputs.extend(logs);
        if !*is_development {
            let new = harvest.outputs.len();
            harvest.outputs.append(before);
            let stored = &harvest.outputs;
            let subject = provenance::Subject::run();
            *provenance = Some(provenance::store(&subject, root, graph, journal, stored, context)?);
            harvest.outputs.truncate(new);
        }
        Ok(())
    }

    fn dataset_types(&self) -> Vec<Arc<DatasetType>> {
        let tasks = self.graph.pipeline().tasks();
        let outputs = tasks.iter().flat_map(|task| &task.outputs);
        let own = self.provenance.iter().map(|(dataset, _)| Arc::clone(&dataset.dataset_type));
        outputs.map(|output| Arc::clone(&output.dataset_type)).chain(own).collect()
    }

    fn datasets(self: Box<Self>) -> Box<dyn Iterator<Item = (DatasetRef, FileRecord)>> {
        let Self { graph, harvest, provenance, .. } = *self;
        let of_graph = move |(index, mut record): (DatasetIndex, FileRecord)| {
            let node = graph.dataset(index);
            record.dataset = node.id;
            let dataset = DatasetRef {
                id: node.id,
                dataset_type: node.dataset_type,
                data_id: node.data_id,
                run: graph.output_run().clone(),
            };
            (dataset, record)
        };
        Box::new(harvest.outputs.into_iter().map(of_graph).chain(provenance))
    }
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

/// The artifacts that quanta have made.
pub(crate) fn promised(harvest: &Harvest) -> impl Iterator<Item = Promised<'_>> {
    harvest.outputs.iter().filter_map(|(_, record)| {
        let key = record.location.key()?;
        Some(Promised { key, size: record.size, checksum: record.checksum })
    })
}
