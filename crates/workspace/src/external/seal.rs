//! Before a closing: nothing runs any more, what no successful quantum wrote is deleted,
//! the rest is verified, and what quanta said is packed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use camino::Utf8Path;
use pantler_core::{
    ArtifactKey, Checksum, DatasetRef, DatasetType, FileRecord, StorageClass, WriteId,
};
use pantler_datastore::{Datastore, Depth, Entry, Verdict, key};
use pantler_direct::standalone::is_repository;
use pantler_exec::{JournalState, RunnerLock};
use pantler_graph::{DatasetIndex, QuantumGraph};

use super::{
    ExternalError, ExternalWorkspace, description_file,
    reopen::{Begun, marker},
};
use crate::{
    WorkspaceError,
    activation::has_quanta_of_tasks,
    client::read_graph,
    kind::{
        commit::{Harvest, expect_known, harvest, record, unfinished},
        log_pack::LogPack,
    },
    layout, provenance,
};

/// What a workspace in which nothing changes any more has made.
pub(super) struct Sealed {
    pub(super) graph: QuantumGraph,
    /// What it made.
    pub(super) outputs: Vec<(DatasetRef, FileRecord)>,
    /// Artifacts that several datasets share, with their size and checksum.
    pub(super) packs: HashMap<ArtifactKey, (u64, Checksum)>,
}

impl ExternalWorkspace {
    /// Does the `work` of a closing while nothing runs in it, under the runner's lock. If
    /// that fails, it can be run again, unless `stays_closed`.
    pub(super) fn sealed<T>(
        &self,
        closing: &Begun,
        partial: bool,
        depth: Depth,
        work: impl FnOnce(&Sealed) -> Result<T, WorkspaceError>,
        stays_closed: impl FnOnce() -> bool,
    ) -> Result<T, WorkspaceError> {
        let process = pantler_direct::this_process();
        let lock = RunnerLock::acquire(&self.root, &process, false)?;
        pantler_seam::step("external.locked");
        // Another process may have closed it while this one waited for nothing.
        if !description_file(&self.root).exists() || is_repository(&self.root) {
            return Err(WorkspaceError::ClosedMeanwhile(self.client.transaction().run.clone()));
        }
        // What one that was killed has left stays if its end is not known here.
        let stays = *closing == Begun::Convert
            && marker(&self.root)?.is_some_and(|before| before.begun != Some(Begun::Convert));
        let result = self.seal(closing, partial, depth).and_then(|sealed| work(&sealed));
        if result.is_err() && !is_repository(&self.root) && !stays && !stays_closed() {
            drop(std::fs::remove_file(layout::closing_marker(&self.root)));
        }
        drop(lock);
        result
    }

    fn seal(&self, closing: &Begun, partial: bool, depth: Depth) -> Result<Sealed, WorkspaceError> {
        let run = &self.client.transaction().run;
        if !layout::has_graph(&self.root) {
            return Err(WorkspaceError::NotBuilt(run.clone()));
        }
        closing.mark(&self.root)?;
        pantler_seam::step("external.marker.set");
        let graph = read_graph(&self.root)?;
        let journal = JournalState::read(&layout::journal_dir(&self.root))?;
        expect_known(&self.root, &graph, &journal)?;
        let harvest = harvest(&graph, &journal);
        if !has_quanta_of_tasks(&graph) {
            return Err(ExternalError::NoQuanta(run.clone()).into());
        }
        if harvest.succeeded == 0 || !partial && harvest.succeeded < graph.len() {
            let (name, what) = (run.clone(), unfinished(graph.len(), &harvest));
            return Err(ExternalError::Unfinished { name, what }.into());
        }
        self.clear_leftovers(&harvest, depth)?;
        let (outputs, packs) = self.keep(&graph, &journal, harvest)?;
        Ok(Sealed { graph, outputs, packs })
    }

    /// Deletes what no successful quantum wrote, and checks the rest.
    fn clear_leftovers(&self, harvest: &Harvest, depth: Depth) -> Result<(), WorkspaceError> {
        let (client, storage) = (&self.client, self.client.datastore());
        let prefix = key::run_prefix(&client.file().run, client.file().run_id);
        let mut missing: HashMap<&ArtifactKey, u64> = harvest
            .outputs
            .iter()
            .filter_map(|(_, record)| Some((record.location.key()?, record.size)))
            .collect();
        let known: HashSet<&ArtifactKey> = missing.keys().copied().collect();
        let (mut leftovers, mut unfinished) = (Vec::new(), Vec::new());
        for entry in storage.list(&prefix)? {
            match entry {
                Entry::Artifact { key, size } if known.contains(&key) => {
                    if missing.get(&key) == Some(&size) {
                        missing.remove(&key);
                    }
                }
                Entry::Unfinished { key, .. } => unfinished.push(key),
                // A file without a write id is nobody's output.
                Entry::Artifact { key, .. } if key.has_write_id() => leftovers.push(key),
                Entry::Artifact { .. } | Entry::Foreign { .. } => {}
            }
        }
        let mut keys: Vec<String> = missing.keys().map(ToString::to_string).collect();
        if depth == Depth::Full {
            for (_, record) in &harvest.outputs {
                if let Verdict::Corrupt { .. } = storage.verify_record(record, depth)? {
                    keys.push(record.location.to_string());
                }
            }
        }
        keys.sort();
        keys.dedup();
        if let Some(first) = keys.first() {
            let (root, first) = (self.root.clone(), first.clone());
            return Err(ExternalError::Incomplete { root, count: keys.len(), first }.into());
        }
        storage.discard_unfinished(&unfinished)?;
        storage.unstore_durably(&leftovers)?;
        pantler_seam::step("external.leftovers.deleted");
        Ok(())
    }

    /// What it made, with what its quanta said as one artifact a task.
    #[expect(clippy::type_complexity, reason = "a pair of collections")]
    fn keep(
        &self,
        graph: &QuantumGraph,
        journal: &JournalState,
        harvest: Harvest,
    ) -> Result<
        (Vec<(DatasetRef, FileRecord)>, HashMap<ArtifactKey, (u64, Checksum)>),
        WorkspaceError,
    > {
        let file = self.client.file();
        let prefix = key::run_prefix(&file.run, file.run_id);
        let write = WriteId::of_opening(file.opening, 1);
        let storage = self.client.datastore();
        let (logs, packs) = pack_logs(&self.root, storage, graph, &harvest, |label| {
            key::log_key(&prefix, label, &write, 0)
        })?;
        pantler_seam::step("external.logs.stored");
        let stored: Vec<_> = harvest.outputs.into_iter().chain(logs).collect();
        let path = layout::provenance_file(&self.root);
        let key = provenance::key_below(&prefix, &write);
        let provenance =
            store_provenance(&path, &self.root, storage, graph, journal, &stored, key)?;
        let outputs = stored.into_iter().map(|output| of_graph(graph, output));
        Ok((outputs.chain([provenance]).collect(), packs))
    }
}

/// Writes what happened in the workspace at `root` into a storage, by way of the file `path`.
pub(super) fn store_provenance(
    path: &Utf8Path,
    root: &Utf8Path,
    storage: &Datastore,
    graph: &QuantumGraph,
    journal: &JournalState,
    stored: &[(DatasetIndex, FileRecord)],
    key: ArtifactKey,
) -> Result<(DatasetRef, FileRecord), WorkspaceError> {
    provenance::prepare(path, root, graph, journal, stored).map_err(|error| match error {
        provenance::WriteError::Journal(error) => WorkspaceError::Journal(error),
        provenance::WriteError::Write { path, source } => WorkspaceError::Io { path, source },
    })?;
    let mut file = std::fs::File::open(path).map_err(ExternalError::io(path))?;
    let batch = storage.begin_batch()?;
    let written = batch.write(&key, &mut file)?;
    batch.publish()?;
    // It has been stored under its key; what stays is made again, or goes with the root.
    drop(std::fs::remove_file(path));
    Ok(provenance::row(graph, key, written.size, written.checksum))
}

/// The dataset types of what it made and read.
pub(super) fn types_of(graph: &QuantumGraph) -> Vec<Arc<DatasetType>> {
    let mut types = graph.pipeline().dataset_types().to_vec();
    types.push(provenance::dataset_type());
    types
}

/// An output as a row of its dataset.
pub(super) fn of_graph(
    graph: &QuantumGraph,
    (index, mut record): (DatasetIndex, FileRecord),
) -> (DatasetRef, FileRecord) {
    let node = graph.dataset(index);
    record.dataset = node.id;
    let dataset = DatasetRef {
        id: node.id,
        dataset_type: node.dataset_type,
        data_id: node.data_id,
        run: graph.output_run().clone(),
    };
    (dataset, record)
}

/// Writes what the quanta of a workspace said into a storage, one artifact a task.
#[expect(clippy::type_complexity, reason = "a pair of collections")]
pub(super) fn pack_logs(
    root: &Utf8Path,
    storage: &Datastore,
    graph: &QuantumGraph,
    harvest: &Harvest,
    key_of: impl Fn(&pantler_core::TaskLabel) -> ArtifactKey,
) -> Result<(Vec<(DatasetIndex, FileRecord)>, HashMap<ArtifactKey, (u64, Checksum)>), WorkspaceError>
{
    let tasks = graph.pipeline().tasks();
    let batch = storage.begin_batch()?;
    let (mut records, mut packs) = (Vec::new(), HashMap::new());
    for (position, slices) in &harvest.logs {
        let key = key_of(&tasks[*position].label);
        let pack = LogPack::new(root, slices.iter().map(|(_, slice)| *slice).collect());
        let written = batch.write(&key, &mut pack.reader())?;
        let mut offset = 0;
        for ((index, slice), checksum) in slices.iter().zip(pack.checksums()) {
            let size = slice.len;
            records.push((*index, record(&key, StorageClass::Bytes, Some(offset), size, checksum)));
            offset += size;
        }
        if offset != written.size {
            let path = layout::logs_dir(root);
            let reason = format!("{key}: a log was not read in full");
            return Err(ExternalError::Damaged { path, reason }.into());
        }
        packs.insert(key, (written.size, written.checksum));
    }
    batch.publish()?;
    Ok((records, packs))
}
