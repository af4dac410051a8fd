//! A quantum graph with its journal as [`ManifestSource`].

use std::{collections::BTreeMap, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::{
    artifacts::NewArtifact,
    transaction::{CommitContext, KindError},
};
use pantler_core::{DatasetRef, DatasetType, FileRecord, StorageClass, WriteId};
use pantler_datastore::{RunPrefix, key};
use pantler_exec::{JournalState, LogSlice};
use pantler_graph::{DatasetIndex, QuantumGraph, ResolvedTask};

use super::{
    commit::{Harvest, harvest, record, unfinished},
    log_pack::LogPack,
    manifest_source::{ManifestSource, Promised},
};
use crate::{client, development::Development, layout, provenance};

pub(super) struct GraphSource {
    root: Utf8PathBuf,
    graph: QuantumGraph,
    journal: JournalState,
    harvest: Harvest,
    /// In development mode nothing is said about how things were made.
    is_development: bool,
    provenance: Option<(DatasetRef, FileRecord)>,
}

impl GraphSource {
    /// Reads graph and journal in the root of a workspace.
    pub(super) fn read(root: &Utf8Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let graph = client::read_graph(root)?;
        let journal = JournalState::read(&layout::journal_dir(root))?;
        let harvest = harvest(&graph, &journal);
        let is_development = Development::read(root)?.is_some();
        let (root, provenance) = (root.to_owned(), None);
        Ok(Self { root, graph, journal, harvest, is_development, provenance })
    }
}

impl ManifestSource for GraphSource {
    fn unfinished(&self) -> Option<String> {
        let Self { graph, harvest, .. } = self;
        (harvest.succeeded < graph.len()).then(|| unfinished(graph, harvest))
    }

    fn promised(&self) -> Box<dyn Iterator<Item = Promised<'_>> + '_> {
        let outputs = self.harvest.outputs.iter();
        Box::new(outputs.filter_map(|(_, record)| {
            Some(Promised { key: record.location.key()?, size: record.size })
        }))
    }

    fn store_history(&mut self, context: &CommitContext<'_>) -> Result<(), KindError> {
        let Self { root, graph, journal, harvest, is_development, provenance } = self;
        let logs = store_logs(root, graph, &harvest.logs, context)?;
        harvest.outputs.extend(logs);
        if !*is_development {
            let stored = &harvest.outputs;
            *provenance = Some(provenance::store(root, graph, journal, stored, context)?);
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

/// Writes what the quanta said as one artifact a task, shared by its log datasets.
fn store_logs(
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
