//! The provenance of several RUNs as one graph.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io::{Read, Seek, Write},
};

use pantler_core::{CollectionName, DataId, DatasetId, ElementName, KeyValue, QuantumId};
use uuid::Uuid;

use super::{
    files::Runs,
    model::{ProvenanceDataset, ProvenanceQuantum, QuantumExecution, Runner},
    reader::ProvenanceReader,
};
use crate::{
    expression::{
        self, Constraints, DatasetState, ExecutionStatus, ExpressionGraph, GraphNode, NodeGroup,
        NodeKind,
    },
    format::GraphFileError,
    graph::{DatasetIndex, QuantumIndex},
    values::narrow,
};

/// How many files are open at once.
const OPEN: usize = 32;

/// Where the files are.
pub trait ProvenanceSource {
    /// A file.
    type Reader: Read + Seek;

    /// The RUN of each file. A RUN has one for all of it, or one for each of several parts
    /// that have no quantum in common.
    fn runs(&self) -> &[CollectionName];

    /// What a file is about if it is about a part of its RUN: all its quanta with these
    /// dimensions have these values, and so has what they read and made.
    fn part(&self, file: usize) -> Option<&DataId> {
        let _ = file;
        None
    }

    /// Opens a file, by its position in [`runs`](Self::runs); it may be asked for again.
    ///
    /// # Errors
    /// Why it cannot be opened.
    fn open(
        &mut self,
        file: usize,
    ) -> Result<Self::Reader, Box<dyn std::error::Error + Send + Sync>>;
}

/// The provenance of a RUN cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProvenanceError {
    /// It cannot be opened.
    #[error("cannot open the provenance of {run}")]
    Open {
        /// The RUN.
        run: CollectionName,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It cannot be read.
    #[error("cannot use the provenance of {run}")]
    File {
        /// The RUN.
        run: CollectionName,
        /// What is wrong.
        source: GraphFileError,
    },
}

/// A quantum or dataset in the provenance of several RUNs. A dataset that several of them
/// know stands for itself in the file that has the quantum that made it, else in the first of
/// its RUN, else in the first that read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunNode {
    file: u32,
    node: GraphNode,
}

/// The provenance of several RUNs as one graph: what one made and another read is one
/// dataset. Files are opened when something in them is asked for.
#[derive(Debug)]
pub struct ProvenanceGraph<S: ProvenanceSource> {
    source: S,
    files: Vec<CollectionName>,
    runs: Runs,
    /// The RUNs of inputs that each file names, of those that were opened.
    input_runs: Vec<Option<BTreeSet<CollectionName>>>,
    /// The last ones used, first.
    open: VecDeque<(u32, ProvenanceReader<S::Reader>)>,
    groups: Vec<(u32, NodeKind, usize)>,
    /// Of datasets that a file knows without the quantum that made them.
    homes: HashMap<(u32, DatasetIndex), RunNode>,
    /// The same by id, of RUNs with several files.
    homes_by_id: HashMap<DatasetId, RunNode>,
}

/// A quantum with the ids of its inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedQuantum {
    /// The RUN that it is of.
    pub run: CollectionName,
    /// What is known of it; positions are those of that RUN.
    pub quantum: ProvenanceQuantum,
    /// How it was executed.
    pub execution: QuantumExecution,
    /// Whether there is a log.
    pub has_log: bool,
    /// The processes of its attempts.
    pub runners: Vec<Runner>,
    /// What it read, by connection.
    pub inputs: Vec<(String, Vec<DatasetId>)>,
    /// What it made, or was to make, by connection; the last one is the log.
    pub outputs: Vec<(String, DatasetId)>,
}

/// A dataset with the id of what made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedDataset {
    /// What is known of it; positions are those of the RUN whose provenance was asked.
    pub dataset: ProvenanceDataset,
    /// The quantum that made it, or was to.
    pub producer: Option<QuantumId>,
}

impl RunNode {
    /// Quantum or dataset.
    pub const fn kind(self) -> NodeKind {
        match self.node {
            GraphNode::Quantum(_) => NodeKind::Quantum,
            GraphNode::Dataset(_) => NodeKind::Dataset,
        }
    }
}

type Found<T> = Result<T, ProvenanceError>;

impl<S: ProvenanceSource> ProvenanceGraph<S> {
    /// The provenance of all RUNs of a source.
    pub fn new(source: S) -> Self {
        let files = source.runs().to_vec();
        let runs = Runs::new(&files, |file| source.part(file));
        let input_runs = vec![None; files.len()];
        let (open, groups) = (VecDeque::new(), Vec::new());
        let (homes, homes_by_id) = (HashMap::new(), HashMap::new());
        Self { source, files, runs, input_runs, open, groups, homes, homes_by_id }
    }

    /// Where the files are.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The same, without what was read.
    pub fn into_source(self) -> S {
        self.source
    }

    /// The quantum with this id.
    ///
    /// # Errors
    /// [`ProvenanceError`] if a file cannot be read.
    pub fn find_quantum(&mut self, id: QuantumId) -> Found<Option<RunNode>> {
        let found = ExpressionGraph::find(self, *id.as_uuid())?;
        Ok(found.filter(|node| node.kind() == NodeKind::Quantum))
    }

    /// Describes a quantum; `None` for a dataset.
    ///
    /// # Errors
    /// [`ProvenanceError`] if a file cannot be read.
    pub fn quantum(&mut self, node: RunNode) -> Found<Option<DescribedQuantum>> {
        let GraphNode::Quantum(index) = node.node else { return Ok(None) };
        self.with(node.file, |reader| {
            let quantum = reader.quantum(index)?;
            let execution = reader.execution(index)?;
            let has_log = reader.has_log(index)?;
            let task = reader.tasks()[reader.task_at(index)?].clone();
            let mut inputs = Vec::with_capacity(quantum.inputs.len());
            for ((name, _), datasets) in task.inputs.into_iter().zip(&quantum.inputs) {
                let mut ids = Vec::with_capacity(datasets.len());
                for dataset in datasets {
                    ids.push(reader.dataset(*dataset)?.id);
                }
                inputs.push((name, ids));
            }
            let mut outputs = Vec::with_capacity(quantum.outputs.len());
            for ((name, _), dataset) in task.outputs.into_iter().zip(&quantum.outputs) {
                outputs.push((name, reader.dataset(*dataset)?.id));
            }
            let mut numbers: Vec<u32> = execution.attempts.iter().map(|a| a.runner).collect();
            numbers.sort_unstable();
            numbers.dedup();
            let runners = numbers.iter().filter_map(|number| reader.runner(*number).cloned());
            let (runners, run) = (runners.collect(), reader.run().clone());
            Ok(DescribedQuantum { run, quantum, execution, has_log, runners, inputs, outputs })
        })
        .map(Some)
    }

    /// Describes a dataset; `None` for a quantum.
    ///
    /// # Errors
    /// [`ProvenanceError`] if a file cannot be read.
    pub fn dataset(&mut self, node: RunNode) -> Found<Option<DescribedDataset>> {
        let GraphNode::Dataset(index) = node.node else { return Ok(None) };
        self.with(node.file, |reader| {
            let dataset = reader.dataset(index)?;
            let producer = match dataset.producer {
                Some(producer) => Some(reader.quantum_id(producer)?),
                None => None,
            };
            Ok(DescribedDataset { dataset, producer })
        })
        .map(Some)
    }

    /// Writes what a quantum said at its last attempt to `out`; nothing for a dataset.
    ///
    /// # Errors
    /// [`ProvenanceError`] if a file cannot be read, or `out` fails.
    pub fn copy_log(&mut self, node: RunNode, out: &mut dyn Write) -> Found<()> {
        let GraphNode::Quantum(index) = node.node else { return Ok(()) };
        self.with(node.file, |reader| reader.copy_log(index, out))
    }

    fn with<T>(
        &mut self,
        file: u32,
        ask: impl FnOnce(&mut ProvenanceReader<S::Reader>) -> Result<T, GraphFileError>,
    ) -> Found<T> {
        let run = &self.files[file as usize];
        let failed = |source| ProvenanceError::File { run: run.clone(), source };
        match self.open.iter().position(|(own, _)| *own == file) {
            Some(0) => {}
            Some(at) => {
                if let Some(used) = self.open.remove(at) {
                    self.open.push_front(used);
                }
            }
            None => {
                let opened = self.source.open(file as usize);
                let opened =
                    opened.map_err(|source| ProvenanceError::Open { run: run.clone(), source })?;
                let reader = ProvenanceReader::open(opened).map_err(failed)?;
                if reader.run() != run {
                    let reason = format!("it is the provenance of {}", reader.run());
                    let member = crate::format::container::HEADER;
                    return Err(failed(GraphFileError::malformed(member, reason)));
                }
                self.input_runs[file as usize]
                    .get_or_insert_with(|| reader.input_runs().cloned().collect());
                self.open.truncate(OPEN - 1);
                self.open.push_front((file, reader));
            }
        }
        ask(&mut self.open[0].1).map_err(failed)
    }

    fn reads_run(&mut self, file: u32, run: &CollectionName) -> Found<bool> {
        if self.input_runs[file as usize].is_none() {
            self.with(file, |_| Ok(()))?;
        }
        Ok(self.input_runs[file as usize].as_ref().is_some_and(|runs| runs.contains(run)))
    }

    fn find_dataset(&mut self, file: u32, id: DatasetId) -> Found<Option<DatasetIndex>> {
        Ok(match self.with(file, |reader| reader.find(*id.as_uuid()))? {
            Some(GraphNode::Dataset(index)) => Some(index),
            _ => None,
        })
    }

    /// The node that stands for a dataset of a file.
    fn home(&mut self, file: u32, index: DatasetIndex) -> Found<RunNode> {
        let own = RunNode { file, node: GraphNode::Dataset(index) };
        let dataset = self.with(file, |reader| reader.dataset(index))?;
        if dataset.producer.is_some() {
            return Ok(own);
        }
        if let Some(known) = self.homes.get(&(file, index)) {
            return Ok(*known);
        }
        let has_several = self.runs.has_several(&dataset.run);
        if has_several && let Some(known) = self.homes_by_id.get(&dataset.id) {
            return Ok(*known);
        }
        let mut found = None;
        for other in self.runs.files_of(&dataset.run, &dataset.data_id) {
            if let Some(there) = self.find_dataset(other, dataset.id)? {
                let made = self.with(other, |reader| reader.dataset(there))?.producer.is_some();
                if made || found.is_none() {
                    found = Some((other, there));
                }
                if made {
                    break;
                }
            }
        }
        if found.is_none() {
            for other in self.runs.files(&dataset.data_id).into_iter().filter(|o| *o < file) {
                if self.reads_run(other, &dataset.run)?
                    && let Some(there) = self.find_dataset(other, dataset.id)?
                {
                    found = Some((other, there));
                    break;
                }
            }
        }
        let home =
            found.map_or(own, |(file, index)| RunNode { file, node: GraphNode::Dataset(index) });
        self.homes.insert((file, index), home);
        if has_several {
            self.homes_by_id.insert(dataset.id, home);
        }
        Ok(home)
    }

    /// The quanta of one file that read a dataset.
    fn readers(&mut self, file: u32, index: DatasetIndex, found: &mut Vec<RunNode>) -> Found<()> {
        let quanta = self.with(file, |reader| reader.readers(index))?;
        found.extend(quanta.into_iter().map(|q| RunNode { file, node: GraphNode::Quantum(q) }));
        Ok(())
    }

    /// A member of a group by its whole data ID, if its id is derived as usual.
    fn derived(&mut self, group: usize, constraints: &Constraints) -> Found<Option<RunNode>> {
        let (file, kind, position) = self.groups[group];
        let mut values: Vec<(usize, KeyValue)> = constraints.to_vec();
        values.sort_by_key(|(at, _)| *at);
        let values: Vec<KeyValue> = values.into_iter().map(|(_, value)| value).collect();
        let found = self.with(file, |reader| {
            let seed = reader.seed();
            let (dimensions, id) = match kind {
                NodeKind::Quantum => {
                    let task = &reader.tasks()[position];
                    let data_id = DataId::from_values(&task.dimensions, values).ok();
                    let id = data_id.map(|id| *seed.quantum(task.label.as_str(), &id).as_uuid());
                    (task.dimensions.required().len(), id)
                }
                NodeKind::Dataset => {
                    let own = &reader.dataset_types()[position].dataset_type;
                    let data_id = DataId::from_values(&own.dimensions, values).ok();
                    let id = data_id.map(|id| *seed.dataset(own.name.as_str(), &id).as_uuid());
                    (own.dimensions.required().len(), id)
                }
            };
            match id {
                Some(id) if dimensions > 0 => reader.find(id),
                _ => Ok(None),
            }
        })?;
        match found {
            Some(GraphNode::Dataset(index)) => self.home(file, index).map(Some),
            found => Ok(found.map(|node| RunNode { file, node })),
        }
    }

    /// Whether nothing of a file can have these values of dimensions.
    fn is_elsewhere(&self, file: u32, names: &[ElementName], constraints: &Constraints) -> bool {
        let Some(part) = self.source.part(file as usize) else { return false };
        constraints.iter().any(|(at, value)| {
            let own = names.get(*at).and_then(|name| part.get(name.as_str()));
            own.is_some_and(|own| own != value)
        })
    }
}

impl<S: ProvenanceSource> ExpressionGraph for ProvenanceGraph<S> {
    type Node = RunNode;
    type Error = ProvenanceError;

    fn groups(&mut self) -> Found<Vec<NodeGroup>> {
        let mut groups = Vec::new();
        self.groups.clear();
        for file in 0..narrow(self.files.len()) {
            let own = self.with(file, |reader| {
                let universe = reader.universe();
                let tasks = reader.tasks().iter().map(|task| NodeGroup {
                    kind: NodeKind::Quantum,
                    name: task.label.to_string(),
                    dimensions: expression::dimensions(universe, &task.dimensions),
                });
                let types = reader.dataset_types().iter().map(|own| NodeGroup {
                    kind: NodeKind::Dataset,
                    name: own.dataset_type.name.to_string(),
                    dimensions: expression::dimensions(universe, &own.dataset_type.dimensions),
                });
                let first_type = reader.tasks().len();
                Ok((tasks.chain(types).collect::<Vec<_>>(), first_type))
            })?;
            let (own, first_type) = own;
            for (position, group) in own.into_iter().enumerate() {
                let place = position.checked_sub(first_type).unwrap_or(position);
                self.groups.push((file, group.kind, place));
                groups.push(group);
            }
        }
        Ok(groups)
    }

    fn members(&mut self, group: usize, constraints: &Constraints) -> Found<Vec<RunNode>> {
        let (file, kind, position) = self.groups[group];
        if self.source.part(file as usize).is_some() && !constraints.is_empty() {
            let names = self.with(file, |reader| {
                let dimensions = match kind {
                    NodeKind::Quantum => &reader.tasks()[position].dimensions,
                    NodeKind::Dataset => &reader.dataset_types()[position].dataset_type.dimensions,
                };
                Ok(dimensions.required().to_vec())
            })?;
            if self.is_elsewhere(file, &names, constraints) {
                return Ok(Vec::new());
            }
        }
        if !constraints.is_empty()
            && let Some(node) = self.derived(group, constraints)?
        {
            return Ok(vec![node]);
        }
        let fits = |data_id: &DataId| {
            constraints.iter().all(|(at, value)| data_id.values().get(*at) == Some(value))
        };
        match kind {
            NodeKind::Quantum => self.with(file, |reader| {
                let mut found = Vec::new();
                for index in reader.tasks()[position].indices() {
                    if constraints.is_empty() || fits(&reader.quantum_data_id(index)?) {
                        found.push(RunNode { file, node: GraphNode::Quantum(index) });
                    }
                }
                Ok(found)
            }),
            NodeKind::Dataset => {
                let (own, is_input) = self.with(file, |reader| {
                    let mut found = Vec::new();
                    let mut is_input = false;
                    for index in reader.dataset_types()[position].indices() {
                        let dataset = reader.dataset(index)?;
                        if fits(&dataset.data_id) {
                            is_input |= dataset.producer.is_none();
                            found.push(index);
                        }
                    }
                    Ok((found, is_input))
                })?;
                let node = |index| RunNode { file, node: GraphNode::Dataset(index) };
                if is_input {
                    own.into_iter().map(|index| self.home(file, index)).collect()
                } else {
                    Ok(own.into_iter().map(node).collect())
                }
            }
        }
    }

    fn find(&mut self, id: Uuid) -> Found<Option<RunNode>> {
        for file in 0..narrow(self.files.len()) {
            match self.with(file, |reader| reader.find(id))? {
                None => {}
                Some(GraphNode::Dataset(index)) => return self.home(file, index).map(Some),
                Some(node) => return Ok(Some(RunNode { file, node })),
            }
        }
        Ok(None)
    }

    fn with_status(&mut self, statuses: &[ExecutionStatus]) -> Found<Vec<RunNode>> {
        let mut found = Vec::new();
        for file in 0..narrow(self.files.len()) {
            self.with(file, |reader| {
                for index in (0..reader.counts().quanta).map(QuantumIndex) {
                    if statuses.contains(&reader.status(index)?) {
                        found.push(RunNode { file, node: GraphNode::Quantum(index) });
                    }
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn with_state(&mut self, state: DatasetState) -> Found<Vec<RunNode>> {
        let mut found = Vec::new();
        for file in 0..narrow(self.files.len()) {
            let own = self.with(file, |reader| {
                let mut own = Vec::new();
                for index in (0..reader.counts().datasets).map(DatasetIndex) {
                    if reader.state(index)? == state {
                        own.push(index);
                    }
                }
                Ok(own)
            })?;
            for index in own {
                found.push(self.home(file, index)?);
            }
        }
        Ok(found)
    }

    fn upstream(&mut self, node: RunNode, found: &mut Vec<RunNode>) -> Found<()> {
        let file = node.file;
        match node.node {
            GraphNode::Quantum(index) => {
                for input in self.with(file, |reader| reader.inputs(index))?.into_iter().flatten() {
                    found.push(self.home(file, input)?);
                }
            }
            GraphNode::Dataset(index) => {
                let dataset = self.with(file, |reader| reader.dataset(index))?;
                let quantum = |index| RunNode { file, node: GraphNode::Quantum(index) };
                found.extend(dataset.producer.map(quantum));
            }
        }
        Ok(())
    }

    fn downstream(&mut self, node: RunNode, found: &mut Vec<RunNode>) -> Found<()> {
        let file = node.file;
        match node.node {
            GraphNode::Quantum(index) => {
                for output in self.with(file, |reader| reader.outputs(index))? {
                    found.push(self.home(file, output)?);
                }
            }
            GraphNode::Dataset(index) => {
                self.readers(file, index, found)?;
                let dataset = self.with(file, |reader| reader.dataset(index))?;
                for other in self.runs.files(&dataset.data_id) {
                    if other != file
                        && self.reads_run(other, &dataset.run)?
                        && let Some(there) = self.find_dataset(other, dataset.id)?
                    {
                        self.readers(other, there, found)?;
                    }
                }
            }
        }
        Ok(())
    }
}
