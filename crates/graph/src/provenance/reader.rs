//! Reading a provenance file node by node.

use std::{
    collections::BTreeMap,
    io::{Read, Seek, Write},
    sync::Arc,
};

use pantler_core::{CollectionName, DataId, IdSeed, QuantumId, Tai, Universe};
use serde::Deserialize as _;
use uuid::Uuid;

use super::{
    BLOCK_OFFSETS, DATASETS, EDGES, IN_BLOCK, LOGS, METADATA, NODES,
    cache::Cache,
    datasets::{self, DatasetsBlock},
    edges,
    header::{
        self, FORMAT, Header, HeaderV1, PipelineV1, ProvenanceTask, ProvenanceType, RunnerV1,
        VERSION,
    },
    logs,
    metadata::{self, ExecutionV1},
    model::{ProvenanceDataset, ProvenanceQuantum, QuantumExecution, Runner},
    offsets,
    quanta::{self, QuantaBlock},
};
use crate::{
    expression::{DatasetState, ExecutionStatus, GraphNode},
    format::{
        FormatOnly, GraphFileError, address,
        block::{self, Block},
        container::{Container, HEADER, Limits, PIPELINE, QUANTA, RUNNERS, Span},
    },
    graph::{DatasetIndex, QuantumIndex},
};

/// A provenance file from which quanta and datasets are read one by one: each costs a few
/// short reads, whatever the size of the file.
#[derive(Debug)]
pub struct ProvenanceReader<R> {
    file: R,
    header: Header,
    runners: BTreeMap<u32, Runner>,
    spans: Spans,
    quanta: Cache<QuantaBlock>,
    datasets: Cache<DatasetsBlock>,
    metadata: Cache<Vec<ExecutionV1>>,
    edges: Cache<Vec<u32>>,
    offsets: Cache<Vec<u64>>,
}

#[derive(Debug)]
struct Spans {
    logs: Span,
    metadata: Span,
    quanta: Span,
    datasets: Span,
    edges: Span,
    offsets: Span,
    nodes: Span,
}

/// How much is in a provenance file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenanceCounts {
    /// Quanta.
    pub quanta: u32,
    /// Datasets: inputs and outputs.
    pub datasets: u32,
}

impl<R: Read + Seek> ProvenanceReader<R> {
    /// Reads the directory and the small members of a provenance file.
    ///
    /// # Errors
    /// [`GraphFileError`] if `reader` fails, or if what is read is damaged or of another
    /// version.
    pub fn open(reader: R) -> Result<Self, GraphFileError> {
        let mut container = Container::open(reader)?;
        let limits = Limits::of_provenance();
        let header: serde_json::Value = container.json(HEADER, limits)?;
        let malformed = |e: serde_json::Error| GraphFileError::malformed(HEADER, e.to_string());
        let FormatOnly { format, version } = FormatOnly::deserialize(&header).map_err(malformed)?;
        if format != FORMAT {
            return Err(GraphFileError::Format { found: format, expected: FORMAT });
        }
        if version != VERSION {
            return Err(GraphFileError::Version { found: version, supported: VERSION });
        }
        let header = HeaderV1::deserialize(&header).map_err(malformed)?;
        let header = container.json::<PipelineV1>(PIPELINE, limits)?.with(header)?;
        let runners = header::runners(container.json::<Vec<RunnerV1>>(RUNNERS, limits)?);
        let spans = Spans {
            logs: container.span(LOGS)?,
            metadata: container.span(METADATA)?,
            quanta: container.span(QUANTA)?,
            datasets: container.span(DATASETS)?,
            edges: container.span(EDGES)?,
            offsets: container.span(BLOCK_OFFSETS)?,
            nodes: container.span(NODES)?,
        };
        let nodes = u64::from(header.quanta()) + u64::from(header.datasets());
        if address::length(nodes) != Some(spans.nodes.len) {
            return Err(GraphFileError::malformed(NODES, "its length is not that of all nodes"));
        }
        if header.all_blocks().and_then(offsets::length) != Some(spans.offsets.len) {
            let reason = "its length is not that of all blocks";
            return Err(GraphFileError::malformed(BLOCK_OFFSETS, reason));
        }
        let file = container.into_inner();
        Ok(Self {
            file,
            header,
            runners,
            spans,
            quanta: Cache::default(),
            datasets: Cache::default(),
            metadata: Cache::default(),
            edges: Cache::default(),
            offsets: Cache::default(),
        })
    }

    /// The RUN.
    pub fn run(&self) -> &CollectionName {
        &self.header.v1.run
    }

    /// When its graph was built.
    pub fn created_at(&self) -> Tai {
        self.header.v1.created_at
    }

    /// What its ids are derived from, but for those that were taken over.
    pub fn seed(&self) -> IdSeed {
        IdSeed { opening: self.header.v1.opening, generation: self.header.v1.generation }
    }

    /// The program that wrote the file, such as `pantler 0.1.0`.
    pub fn producer(&self) -> &str {
        &self.header.v1.producer
    }

    /// How much is in it.
    pub fn counts(&self) -> ProvenanceCounts {
        ProvenanceCounts { quanta: self.header.quanta(), datasets: self.header.datasets() }
    }

    /// The dimensions.
    pub fn universe(&self) -> &Universe {
        &self.header.universe
    }

    /// The text of the pipeline's file.
    pub fn pipeline_source(&self) -> &str {
        &self.header.pipeline_source
    }

    /// The tasks, in the order of their quanta.
    pub fn tasks(&self) -> &[ProvenanceTask] {
        &self.header.tasks
    }

    /// The dataset types, in the order of their datasets.
    pub fn dataset_types(&self) -> &[ProvenanceType] {
        &self.header.types
    }

    /// The RUNs that own inputs: its own only if other quanta of it made some.
    pub fn input_runs(&self) -> impl Iterator<Item = &CollectionName> {
        self.header.input_runs.iter()
    }

    /// A process that ran quanta.
    pub fn runner(&self, number: u32) -> Option<&Runner> {
        self.runners.get(&number)
    }

    /// The processes that ran quanta, by number.
    pub fn runners(&self) -> impl Iterator<Item = &Runner> {
        self.runners.values()
    }

    /// The quantum or dataset with this id; `None` if the RUN did not have it.
    ///
    /// # Errors
    /// [`GraphFileError`] if the reader fails, or if what is read is damaged; so with all
    /// others.
    pub fn find(&mut self, id: Uuid) -> Result<Option<GraphNode>, GraphFileError> {
        let wanted = QuantumId::from_uuid(id);
        let Some(found) = address::find(&mut self.file, &self.spans.nodes, wanted)? else {
            return Ok(None);
        };
        let node = match found.index.checked_sub(self.header.quanta()) {
            None => GraphNode::Quantum(QuantumIndex(found.index)),
            Some(index) => GraphNode::Dataset(DatasetIndex(index)),
        };
        let own = match node {
            GraphNode::Quantum(index) => {
                let (block, local) = self.quantum_block(index)?;
                *block.quanta[local].id.as_uuid()
            }
            GraphNode::Dataset(index) => {
                let (block, local) = self.dataset_block(index)?;
                *block.datasets[local].id.as_uuid()
            }
        };
        if own == id {
            Ok(Some(node))
        } else {
            Err(GraphFileError::malformed(NODES, "a row is of another node"))
        }
    }

    /// One quantum with its inputs and outputs.
    ///
    /// # Errors
    /// [`GraphFileError`].
    pub fn quantum(&mut self, index: QuantumIndex) -> Result<ProvenanceQuantum, GraphFileError> {
        let inputs = self.inputs(index)?;
        let (block, local) = self.quantum_block(index)?;
        let own = &block.quanta[local];
        let task = self.task_at(index)?;
        Ok(ProvenanceQuantum {
            index,
            id: own.id,
            task: self.header.tasks[task].label.clone(),
            data_id: own.data_id.clone(),
            status: own.status,
            inputs,
            outputs: own.outputs.clone(),
        })
    }

    /// The position of the task of a quantum in [`Self::tasks`].
    ///
    /// # Errors
    /// [`GraphFileError`] if there is no such quantum.
    pub fn task_at(&self, index: QuantumIndex) -> Result<usize, GraphFileError> {
        self.header.task_of(index.0).ok_or_else(|| out_of_range(QUANTA))
    }

    /// What a quantum read, by connection.
    ///
    /// # Errors
    /// [`GraphFileError`].
    pub fn inputs(
        &mut self,
        index: QuantumIndex,
    ) -> Result<Vec<Vec<DatasetIndex>>, GraphFileError> {
        let (block, local) = self.quantum_block(index)?;
        let own = &block.quanta[local];
        let mut start = own.edges;
        let mut inputs = Vec::with_capacity(own.inputs.len());
        for count in &own.inputs {
            let positions = self.edges(start, (*count).into())?;
            start += u64::from(*count);
            if positions.iter().any(|position| *position >= self.header.datasets()) {
                return Err(out_of_range(EDGES));
            }
            inputs.push(positions.into_iter().map(DatasetIndex).collect());
        }
        Ok(inputs)
    }

    /// The id of a quantum.
    ///
    /// # Errors
    /// [`GraphFileError`].
    pub fn quantum_id(&mut self, index: QuantumIndex) -> Result<QuantumId, GraphFileError> {
        let (block, local) = self.quantum_block(index)?;
        Ok(block.quanta[local].id)
    }

    /// The data ID of a quantum.
    ///
    /// # Errors
    /// [`GraphFileError`].
    pub fn quantum_data_id(&mut self, index: QuantumIndex) -> Result<DataId, GraphFileError> {
        let (block, local) = self.quantum_block(index)?;
        Ok(block.quanta[local].data_id.clone())
    }

    /// Where a quantum stands.
    ///
    /// # Errors
    /// [`GraphFileError`].
    pub fn status(&mut self, index: QuantumIndex) -> Result<ExecutionStatus, GraphFileError> {
        let (block, local) = self.quantum_block(index)?;
        Ok(block.quanta[local].status)
    }

    /// What a quantum made, or was to make.
    ///
    /// # Errors
    /// [`GraphFileError`].
    pub fn outputs(&mut self, index: QuantumIndex) -> Result<Vec<DatasetIndex>, GraphFileError> {
        let (block, local) = self.quantum_block(index)?;
        Ok(block.quanta[local].outputs.clone())
    }

    /// One dataset.
    ///
    /// # Errors
    /// [`GraphFileError`].
    pub fn dataset(&mut self, index: DatasetIndex) -> Result<ProvenanceDataset, GraphFileError> {
        let (block, local) = self.dataset_block(index)?;
        let own = &block.datasets[local];
        let type_index = self.header.type_of(index.0).ok_or_else(|| out_of_range(DATASETS))?;
        Ok(ProvenanceDataset {
            index,
            id: own.id,
            dataset_type: Arc::clone(&self.header.types[type_index].dataset_type),
            data_id: own.data_id.clone(),
            run: own.run.clone(),
            state: own.state,
            content: own.content,
            producer: own.producer,
        })
    }

    /// What became of a dataset.
    ///
    /// # Errors
    /// [`GraphFileError`].
    pub fn state(&mut self, index: DatasetIndex) -> Result<DatasetState, GraphFileError> {
        let (block, local) = self.dataset_block(index)?;
        Ok(block.datasets[local].state)
    }

    /// The quanta that read a dataset, in order.
    ///
    /// # Errors
    /// [`GraphFileError`].
    pub fn readers(&mut self, index: DatasetIndex) -> Result<Vec<QuantumIndex>, GraphFileError> {
        let (block, local) = self.dataset_block(index)?;
        let own = &block.datasets[local];
        let positions = self.edges(own.edges, own.readers.into())?;
        if positions.iter().any(|position| *position >= self.header.quanta()) {
            return Err(out_of_range(EDGES));
        }
        Ok(positions.into_iter().map(QuantumIndex).collect())
    }

    /// How a quantum was executed.
    ///
    /// # Errors
    /// [`GraphFileError`].
    pub fn execution(&mut self, index: QuantumIndex) -> Result<QuantumExecution, GraphFileError> {
        let (block, local) = self.metadata_block(index)?;
        Ok(block[local].execution())
    }

    /// Whether a quantum said something.
    ///
    /// # Errors
    /// [`GraphFileError`].
    pub fn has_log(&mut self, index: QuantumIndex) -> Result<bool, GraphFileError> {
        let (block, local) = self.metadata_block(index)?;
        Ok(block[local].log.is_some())
    }

    /// Writes what a quantum said at its last attempt to `out`.
    ///
    /// # Errors
    /// [`GraphFileError`], also if `out` fails.
    pub fn copy_log(
        &mut self,
        index: QuantumIndex,
        out: &mut dyn Write,
    ) -> Result<(), GraphFileError> {
        let (block, local) = self.metadata_block(index)?;
        match block[local].log {
            Some(log) => logs::copy(&mut self.file, &self.spans.logs, log, out),
            None => Ok(()),
        }
    }

    fn quantum_block(
        &mut self,
        index: QuantumIndex,
    ) -> Result<(Arc<QuantaBlock>, usize), GraphFileError> {
        let (number, first, local) = self.quantum_place(index)?;
        if let Some(block) = self.quanta.get(number) {
            return Ok((block, local));
        }
        let block = self.block(self.spans.quanta, self.header.quantum_blocks + number)?;
        let block = quanta::decode(&block, &self.header, first)?;
        Ok((self.quanta.put(number, block), local))
    }

    fn metadata_block(
        &mut self,
        index: QuantumIndex,
    ) -> Result<(Arc<Vec<ExecutionV1>>, usize), GraphFileError> {
        let (number, first, local) = self.quantum_place(index)?;
        if let Some(block) = self.metadata.get(number) {
            return Ok((block, local));
        }
        let task = &self.header.tasks[self.task_at(index)?];
        let rest = usize::try_from(task.end() - u64::from(first)).unwrap_or(usize::MAX);
        let block = self.block(self.spans.metadata, number)?;
        let block = metadata::decode(&block, rest.min(IN_BLOCK))?;
        Ok((self.metadata.put(number, block), local))
    }

    fn dataset_block(
        &mut self,
        index: DatasetIndex,
    ) -> Result<(Arc<DatasetsBlock>, usize), GraphFileError> {
        let type_index = self.header.type_of(index.0).ok_or_else(|| out_of_range(DATASETS))?;
        let own = &self.header.types[type_index];
        let (blocks, local) = split(index.0 - own.first);
        let (number, first) = (own.first_block + u64::from(blocks), index.0 - local);
        if let Some(block) = self.datasets.get(number) {
            return Ok((block, local as usize));
        }
        let block = self.block(self.spans.datasets, self.header.quantum_blocks * 2 + number)?;
        let block = datasets::decode(&block, &self.header, first)?;
        Ok((self.datasets.put(number, block), local as usize))
    }

    /// The number of the block, the position it starts with, and the place in it.
    fn quantum_place(&self, index: QuantumIndex) -> Result<(u64, u32, usize), GraphFileError> {
        let task = &self.header.tasks[self.task_at(index)?];
        let (blocks, local) = split(index.0 - task.first);
        Ok((task.first_block + u64::from(blocks), index.0 - local, local as usize))
    }

    fn edges(&mut self, start: u64, count: u64) -> Result<Vec<u32>, GraphFileError> {
        let end = start.checked_add(count).filter(|end| *end <= self.header.edges);
        let end = end.ok_or_else(|| out_of_range(EDGES))?;
        let before = self.header.quantum_blocks * 2 + self.header.dataset_blocks;
        let mut found = Vec::new();
        let mut at = start;
        while at < end {
            let number = at / edges::IN_BLOCK;
            let first = number * edges::IN_BLOCK;
            let block = if let Some(block) = self.edges.get(number) {
                block
            } else {
                let block = self.block(self.spans.edges, before + number)?;
                let expected = edges::IN_BLOCK.min(self.header.edges - first);
                self.edges.put(number, edges::decode(&block, expected)?)
            };
            let upto = end.min(first + edges::IN_BLOCK);
            let local = |position: u64| usize::try_from(position - first).unwrap_or(usize::MAX);
            found.extend_from_slice(&block[local(at)..local(upto)]);
            at = upto;
        }
        Ok(found)
    }

    /// Reads a block by its row in the table of offsets.
    fn block(&mut self, span: Span, row: u64) -> Result<Block, GraphFileError> {
        let (page, local) = offsets::place(row);
        let rows = if let Some(rows) = self.offsets.get(page) {
            rows
        } else {
            let rows = offsets::read_page(&mut self.file, &self.spans.offsets, page)?;
            self.offsets.put(page, rows)
        };
        let offset = rows.get(local).ok_or_else(|| out_of_range(BLOCK_OFFSETS))?;
        Ok(block::read(&mut self.file, &span, *offset)?.0)
    }
}

/// The number of whole blocks before, and the place in the block.
fn split(position: u32) -> (u32, u32) {
    let in_block = crate::values::narrow(IN_BLOCK);
    (position / in_block, position % in_block)
}

fn out_of_range(member: &'static str) -> GraphFileError {
    GraphFileError::malformed(member, "a position is out of range")
}
