//! What quanta of committed RUNs may be taken over for those of a workspace.
//!
//! A build asks the provenance of the collections that the workspace was created with, part by
//! part of the graph, and writes what it finds into `reuse-<n>.jsonl.zst` beside `graph-<n>.qg`.
//! A kill between the two leaves a part without it: its quanta run, or the next build looks
//! them up. Runs read these files and no database.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{Read, Seek},
};

use camino::Utf8Path;
use pantler_core::{Checksum, CollectionName, DataId, DatasetId, FileRecord, TaskLabel};
use pantler_datastore::StorageError;
use pantler_direct::DirectButler;
use pantler_exec::{TaskIdentity, task_identities};
use pantler_graph::{
    AttemptEnd, Candidate, DatasetIndex, DatasetOrigin, ExecutionStatus, GraphFileError,
    ProvenanceDataset, ProvenanceQuantum, ProvenanceReader, ProvenanceSource as _, QuantumGraph,
    QuantumIndex, QuantumView, ResolvedTask, ReusableArtifact, ReuseTable, TakenOver,
    inputs_digest,
};
use pantler_registry::DatasetQuery;

use crate::{WorkspaceClient, WorkspaceError, build::enter, layout, open_provenance, parts::Parts};

/// Of one quantum, so many candidates are kept that differ in what they read.
const MAX_CANDIDATES: usize = 16;
/// So many of those that do not: the first may be gone when it is wanted.
const MAX_ALIKE: usize = 2;

/// What may be taken over in a workspace.
#[derive(Debug, Default)]
pub struct Reusable {
    /// For how many quanta something may be; not all of it will fit.
    pub quanta: usize,
    /// RUNs of which nothing can be.
    pub unusable: Vec<UnusableRun>,
}

/// A RUN of which nothing can be taken over, since its provenance cannot be read.
#[derive(Debug)]
pub struct UnusableRun {
    /// The RUN.
    pub run: CollectionName,
    /// Why.
    pub reason: String,
}

/// Sees to it that for each of these parts of the graph there is a file of what may be taken over;
/// `None` if the workspace reuses nothing.
pub(crate) fn prepare(
    butler: &DirectButler,
    workspace: &WorkspaceClient,
    parts: &[u32],
) -> Result<Option<Reusable>, WorkspaceError> {
    let collections = &workspace.transaction().reuse;
    if collections.is_empty() {
        return Ok(None);
    }
    let root = workspace.root();
    let mut unusable = Vec::new();
    let is_missing = |part: &&u32| !layout::reuse_file(root, **part).exists();
    let missing: Vec<u32> = parts.iter().filter(is_missing).copied().collect();
    if !missing.is_empty() {
        let lock = enter(workspace)?;
        for (number, part) in missing.iter().zip(Parts::list(root)?.read(&missing)?) {
            unusable.clear();
            let found = Lookup::find(butler, workspace, &part, collections)?;
            unusable.extend(found.unusable);
            write(root, *number, &ReuseTable::new(found.entries))?;
        }
        drop(lock);
    }
    let quanta = read_parts(workspace, parts)?.map_or(0, |table| table.len());
    Ok(Some(Reusable { quanta, unusable }))
}

/// What may be taken over, of all parts; `None` if the workspace reuses nothing.
pub(crate) fn read(workspace: &WorkspaceClient) -> Result<Option<ReuseTable>, WorkspaceError> {
    if workspace.transaction().reuse.is_empty() {
        return Ok(None);
    }
    read_parts(workspace, &Parts::list(workspace.root())?.all())
}

/// What may be taken over, of these parts; `None` if the workspace reuses nothing.
pub(crate) fn read_parts(
    workspace: &WorkspaceClient,
    parts: &[u32],
) -> Result<Option<ReuseTable>, WorkspaceError> {
    if workspace.transaction().reuse.is_empty() {
        return Ok(None);
    }
    let root = workspace.root();
    let mut table = ReuseTable::default();
    for number in parts {
        let path = layout::reuse_file(root, *number);
        let failed = |source| WorkspaceError::ReuseFile { path: path.clone(), source };
        match File::open(&path) {
            Ok(file) => table = table.with(ReuseTable::read(file).map_err(failed)?),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(source.into())),
        }
    }
    Ok(Some(table))
}

fn write(root: &Utf8Path, number: u32, table: &ReuseTable) -> Result<(), WorkspaceError> {
    let path = layout::reuse_file(root, number);
    let mut bytes = Vec::new();
    table
        .write(&mut bytes)
        .map_err(|source| WorkspaceError::ReuseFile { path: path.clone(), source })?;
    pantler_seam::step("build.reuse.write");
    match pantler_datastore::fs::write_new(&path, &bytes) {
        // Another build has looked them up meanwhile.
        Ok(()) | Err(StorageError::AlreadyExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    pantler_seam::step("build.reuse.written");
    Ok(())
}

/// The candidates of the quanta of a part of a graph.
struct Lookup<'a> {
    graph: &'a QuantumGraph,
    /// What the tasks are now; a run looks again.
    identities: BTreeMap<TaskLabel, TaskIdentity>,
    /// By task, the quanta that there are.
    wanted: BTreeMap<TaskLabel, HashMap<DataId, QuantumIndex>>,
    found: HashMap<QuantumIndex, Vec<Candidate>>,
}

struct Found {
    entries: Vec<(pantler_core::QuantumId, Vec<Candidate>)>,
    unusable: Vec<UnusableRun>,
}

impl<'a> Lookup<'a> {
    fn find(
        butler: &DirectButler,
        workspace: &WorkspaceClient,
        graph: &'a QuantumGraph,
        collections: &[CollectionName],
    ) -> Result<Found, WorkspaceError> {
        let folder = workspace.pipeline().parent().unwrap_or(workspace.pipeline());
        let identities = task_identities(graph.pipeline(), folder);
        let mut wanted = BTreeMap::new();
        for (task, quanta) in graph.tasks() {
            if identities.contains_key(&task.label) {
                let by_data_id = quanta.map(|index| (graph.quantum(index).data_id, index));
                wanted.insert(task.label.clone(), by_data_id.collect());
            }
        }
        let mut lookup = Self { graph, identities, wanted, found: HashMap::new() };
        let mut unusable = Vec::new();
        let provenances = open_provenance(butler, collections)?;
        let mut source = provenances.into_source();
        let mut of_run: Option<(CollectionName, HashMap<DatasetId, FileRecord>)> = None;
        // The first collection comes last there.
        let runs = source.runs().to_vec();
        for (file, run) in runs.into_iter().enumerate().rev() {
            let reader = match source.open(file) {
                Ok(file) => ProvenanceReader::open(file).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let looked = match reader {
                Ok(mut reader) if lookup.is_worth_reading(&reader) => {
                    let stored = match of_run.take() {
                        Some((own, stored)) if own == run => stored,
                        _ => stored(butler, &run)?,
                    };
                    let looked = lookup.look_into(&run, &mut reader, &stored);
                    of_run = Some((run.clone(), stored));
                    looked.map_err(|e| e.to_string())
                }
                Ok(_) => Ok(()),
                Err(reason) => Err(reason),
            };
            let is_known = |one: &UnusableRun| one.run == run;
            if let Err(reason) = looked
                && !unusable.last().is_some_and(is_known)
            {
                unusable.push(UnusableRun { run, reason });
            }
        }
        let found = std::mem::take(&mut lookup.found).into_iter();
        let entries = found.map(|(index, list)| (graph.quantum_id(index), list)).collect();
        Ok(Found { entries, unusable })
    }

    /// Whether a runner of that RUN had a task that is here what it was there.
    fn is_worth_reading<R: Read + Seek>(&self, reader: &ProvenanceReader<R>) -> bool {
        self.identities.iter().any(|(label, identity)| {
            reader.runners().any(|one| one.tasks.get(label) == Some(&identity.fingerprint()))
        })
    }

    fn look_into<R: Read + Seek>(
        &mut self,
        run: &CollectionName,
        reader: &mut ProvenanceReader<R>,
        stored: &HashMap<DatasetId, FileRecord>,
    ) -> Result<(), GraphFileError> {
        for there in reader.tasks().to_vec() {
            let Some(identity) = self.identities.get(&there.label) else { continue };
            let fingerprint = identity.fingerprint();
            let Some(wanted) = self.wanted.get(&there.label) else { continue };
            for index in there.indices() {
                let quantum = reader.quantum(index)?;
                let Some(own) = wanted.get(&quantum.data_id) else { continue };
                if quantum.status != ExecutionStatus::Succeeded
                    || !was_made_by(reader, &quantum, fingerprint)?
                {
                    continue;
                }
                let names: Vec<&str> = there.inputs.iter().map(|(name, _)| &**name).collect();
                let view = self.graph.quantum(*own);
                let Some(inputs) = self.inputs(reader, &view, &names, &quantum)? else { continue };
                let names: Vec<&str> = there.outputs.iter().map(|(name, _)| &**name).collect();
                let Some(Made { outputs, log }) =
                    outputs(reader, view.task, &names, &quantum, stored)?
                else {
                    continue;
                };
                let from = TakenOver { run: run.clone(), quantum: quantum.id };
                let candidate = Candidate { from, task: fingerprint, inputs, outputs, log };
                let list = self.found.entry(*own).or_default();
                let alike = list.iter().filter(|other| other.inputs == candidate.inputs).count();
                if alike < MAX_ALIKE && list.len() < MAX_CANDIDATES {
                    list.push(candidate);
                }
            }
        }
        Ok(())
    }

    /// The digest of what must have been made by then for the quantum here to read the same
    /// as the one there; `None` if it does not.
    fn inputs<R: Read + Seek>(
        &self,
        reader: &mut ProvenanceReader<R>,
        view: &QuantumView<'_>,
        names: &[&str],
        quantum: &ProvenanceQuantum,
    ) -> Result<Option<Checksum>, GraphFileError> {
        if view.inputs.len() != names.len() {
            return Ok(None);
        }
        let mut made = Vec::new();
        for input in &view.inputs {
            let at = names.iter().position(|name| *name == input.connection.name);
            let Some(there) = at.and_then(|at| quantum.inputs.get(at)) else { return Ok(None) };
            if there.len() != input.datasets.len() {
                return Ok(None);
            }
            let mut by_data_id: HashMap<DataId, ProvenanceDataset> = HashMap::new();
            for index in there {
                let dataset = reader.dataset(*index)?;
                by_data_id.insert(dataset.data_id.clone(), dataset);
            }
            for index in input.datasets {
                let own = self.graph.dataset(*index);
                let same = by_data_id.get(&own.data_id);
                let Some((dataset, (_, checksum))) =
                    same.and_then(|dataset| Some((dataset, dataset.content?)))
                else {
                    return Ok(None);
                };
                match own.origin {
                    DatasetOrigin::Existing { artifact, .. } => {
                        if dataset.id != own.id || checksum != artifact.checksum {
                            return Ok(None);
                        }
                    }
                    DatasetOrigin::Predicted => made.push(checksum),
                }
            }
        }
        Ok(Some(inputs_digest(made)))
    }
}

/// Whether the attempt that counts was one at that task.
fn was_made_by<R: Read + Seek>(
    reader: &mut ProvenanceReader<R>,
    quantum: &ProvenanceQuantum,
    fingerprint: Checksum,
) -> Result<bool, GraphFileError> {
    let execution = reader.execution(quantum.index)?;
    let Some(last) = execution.attempts.last() else { return Ok(false) };
    let runner = reader.runner(last.runner);
    let task = runner.and_then(|runner| runner.tasks.get(&quantum.task));
    Ok(last.end == AttemptEnd::Succeeded && !last.task_changed && task == Some(&fingerprint))
}

/// What a quantum made and said.
struct Made {
    outputs: Vec<ReusableArtifact>,
    log: Option<ReusableArtifact>,
}

/// What a quantum made and said, in the order of the task here; `None` if not all that it made
/// is stored.
fn outputs<R: Read + Seek>(
    reader: &mut ProvenanceReader<R>,
    task: &ResolvedTask,
    names: &[&str],
    quantum: &ProvenanceQuantum,
    stored: &HashMap<DatasetId, FileRecord>,
) -> Result<Option<Made>, GraphFileError> {
    let (mut outputs, mut log) = (Vec::new(), None);
    for output in &task.outputs {
        let at = names.iter().position(|name| *name == output.name);
        let dataset = match at.and_then(|at| quantum.outputs.get(at)) {
            Some(index) => artifact(reader, &output.name, *index, stored)?,
            None => None,
        };
        if output.name == ResolvedTask::LOG {
            log = dataset;
        } else {
            let Some(dataset) = dataset else { return Ok(None) };
            outputs.push(dataset);
        }
    }
    Ok(Some(Made { outputs, log }))
}

fn artifact<R: Read + Seek>(
    reader: &mut ProvenanceReader<R>,
    name: &str,
    index: DatasetIndex,
    stored: &HashMap<DatasetId, FileRecord>,
) -> Result<Option<ReusableArtifact>, GraphFileError> {
    let dataset = reader.dataset(index)?;
    let Some((size, checksum)) = dataset.content else { return Ok(None) };
    let Some(record) = stored.get(&dataset.id) else { return Ok(None) };
    if (record.size, record.checksum) != (size, checksum) {
        return Ok(None);
    }
    let (location, offset) = (record.location.clone(), record.offset);
    Ok(Some(ReusableArtifact { name: name.into(), location, offset, size, checksum }))
}

/// Where the datasets of a RUN lie.
fn stored(
    butler: &DirectButler,
    run: &CollectionName,
) -> Result<HashMap<DatasetId, FileRecord>, WorkspaceError> {
    let query = DatasetQuery { runs: Some(vec![run.clone()]), ..DatasetQuery::default() };
    let rows = butler.registry().read(|reader| reader.datasets(&query))?;
    let mut stored = HashMap::new();
    for row in rows {
        if let Ok([record]) = <[FileRecord; 1]>::try_from(row.records) {
            stored.insert(row.dataset.id, record);
        }
    }
    Ok(stored)
}
