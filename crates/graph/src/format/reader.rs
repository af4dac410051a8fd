//! Opening a graph file, and reading one quantum of it.

use std::{
    collections::HashMap,
    io::{Read, Seek},
    rc::Rc,
    sync::Arc,
};

use pantler_core::{DataId, IdSeed, QuantumId};
use serde::Deserialize as _;

use super::{
    GraphCounts, GraphFileError, address, block,
    container::{
        Container, HEADER, INPUT_DATASETS, Limits, PIPELINE, QUANTA, QUANTUM_DATASETS, Span,
    },
    header::{FORMAT, FormatOnly, FoundType, Header, HeaderV1, PipelineV1, VERSION},
    inputs::{self, InputBlock},
    quanta::{self, BlockDatasets, QuantaBlock},
};
use crate::{
    dataset::{DatasetOrigin, GraphDataset},
    graph::{GraphMetadata, QuantumIndex},
    pipeline::{ResolvedInput, ResolvedPipeline, ResolvedTask},
};

/// A graph file from which quanta are read one by one: each costs a few short reads,
/// whatever the size of the file.
#[derive(Debug)]
pub struct GraphReader<R> {
    file: R,
    header: HeaderV1,
    metadata: GraphMetadata,
    pipeline: Arc<ResolvedPipeline>,
    found: Vec<FoundType>,
    quanta: Span,
    blocks: Span,
    inputs: Span,
}

/// One quantum with everything that running it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredQuantum {
    /// Its position in the graph.
    pub index: QuantumIndex,
    /// Its id.
    pub id: QuantumId,
    /// Its task, a label of [`GraphReader::pipeline`].
    pub task: pantler_core::TaskLabel,
    /// Its data ID.
    pub data_id: DataId,
    /// What it reads, by connection name.
    pub inputs: Vec<StoredInputs>,
    /// What it writes; the last one is the log.
    pub outputs: Vec<StoredOutput>,
}

/// What a quantum reads through one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredInputs {
    /// The connection.
    pub name: String,
    /// The datasets in the order of their data IDs.
    pub datasets: Vec<GraphDataset>,
}

/// What a quantum writes through one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutput {
    /// The connection; [`ResolvedTask::LOG`] for the log.
    pub name: String,
    /// The dataset.
    pub dataset: GraphDataset,
}

/// Blocks that were read, by where they are, so that each is read once.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    quanta: HashMap<u64, Rc<QuantaBlock>>,
    inputs: HashMap<u64, Rc<InputBlock>>,
}

/// A graph file whose small members were read.
pub(super) struct Opened<R> {
    pub(super) container: Container<R>,
    pub(super) limits: Limits,
    pub(super) header: HeaderV1,
    pub(super) metadata: GraphMetadata,
    pub(super) pipeline: Arc<ResolvedPipeline>,
    pub(super) found: Vec<FoundType>,
    pub(super) quanta: Span,
    pub(super) blocks: Span,
    pub(super) inputs: Span,
}

/// Reads what a graph file is for, and no more of it than its directory and its header.
///
/// # Errors
/// [`GraphFileError`] if `reader` fails, or if what is read is damaged or of another version.
pub fn read_metadata<R: Read + Seek>(reader: R) -> Result<GraphMetadata, GraphFileError> {
    Ok(read_header(&mut Container::open(reader)?)?.metadata())
}

fn read_header<R: Read + Seek>(container: &mut Container<R>) -> Result<Header, GraphFileError> {
    // It has a fixed limit.
    let header: serde_json::Value = container.json(HEADER, Limits::new(0, 0))?;
    let malformed = |e: serde_json::Error| GraphFileError::malformed(HEADER, e.to_string());
    let FormatOnly { format, version } = FormatOnly::deserialize(&header).map_err(malformed)?;
    if format != FORMAT {
        return Err(GraphFileError::Format { found: format, expected: FORMAT });
    }
    if version == 0 || version > VERSION {
        return Err(GraphFileError::Version { found: version, supported: VERSION });
    }
    Header::read(version, &header).map_err(malformed)
}

pub(super) fn open<R: Read + Seek>(reader: R) -> Result<Opened<R>, GraphFileError> {
    let mut container = Container::open(reader)?;
    let header = read_header(&mut container)?;
    // The members read here have fixed limits.
    let before = Limits::new(0, 0);
    let pipeline = Arc::new(container.json::<PipelineV1>(PIPELINE, before)?.resolve()?);
    let found = header.found(&pipeline)?;
    let (metadata, header) = (header.metadata(), header.common);
    let quanta = container.span(QUANTA)?;
    let blocks = container.span(QUANTUM_DATASETS)?;
    let inputs = container.span(INPUT_DATASETS)?;
    if address::length(header.counts.quanta.into()) != Some(quanta.len) {
        return Err(GraphFileError::malformed(QUANTA, "its length is not that of all quanta"));
    }
    // Each existing dataset has an id and a checksum, 48 bytes.
    let GraphCounts { tasks, quanta: quantum_count, existing, .. } = header.counts;
    if u64::from(existing) > inputs.len / 48 || tasks as usize != pipeline.tasks().len() {
        return Err(GraphFileError::malformed(HEADER, "its counts are not those of the file"));
    }
    let limits = Limits::new(quantum_count, existing);
    Ok(Opened { container, limits, header, metadata, pipeline, found, quanta, blocks, inputs })
}

impl<R: Read + Seek> GraphReader<R> {
    /// Whether it has existing datasets of a type that a task makes.
    pub(super) fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    /// Reads the directory, the header and the pipeline of a graph file.
    ///
    /// # Errors
    /// [`GraphFileError`] if `reader` fails, or if what is read is damaged or of another
    /// version.
    pub fn open(reader: R) -> Result<Self, GraphFileError> {
        let Opened { container, header, metadata, pipeline, found, quanta, blocks, inputs, .. } =
            open(reader)?;
        let file = container.into_inner();
        Ok(Self { file, header, metadata, pipeline, found, quanta, blocks, inputs })
    }

    /// What the graph is for.
    pub fn metadata(&self) -> &GraphMetadata {
        &self.metadata
    }

    /// The pipeline that it runs.
    pub fn pipeline(&self) -> &Arc<ResolvedPipeline> {
        &self.pipeline
    }

    /// How much is in it.
    pub fn counts(&self) -> GraphCounts {
        self.header.counts
    }

    /// The program that wrote the file, such as `pantler 0.1.0`.
    pub fn producer(&self) -> &str {
        &self.header.producer
    }

    /// Reads one quantum; `None` if the graph does not have it.
    ///
    /// # Errors
    /// [`GraphFileError`] if the reader fails, or if what is read is damaged.
    pub fn quantum(&mut self, id: QuantumId) -> Result<Option<StoredQuantum>, GraphFileError> {
        self.quantum_from(id, &mut Blocks::default())
    }

    /// As [`Self::quantum`], without reading a block again.
    pub(super) fn quantum_from(
        &mut self,
        id: QuantumId,
        blocks: &mut Blocks,
    ) -> Result<Option<StoredQuantum>, GraphFileError> {
        let Some(found) = address::find(&mut self.file, &self.quanta, id)? else {
            return Ok(None);
        };
        let block = if let Some(block) = blocks.quanta.get(&found.offset) {
            Rc::clone(block)
        } else {
            let (block, _) = block::read(&mut self.file, &self.blocks, found.offset)?;
            let block =
                quanta::decode(&block, &self.pipeline, &self.found, self.header.counts.existing)?;
            Rc::clone(blocks.quanta.entry(found.offset).or_insert(Rc::new(block)))
        };
        let pipeline = Arc::clone(&self.pipeline);
        let task = &pipeline.tasks()[block.task];
        let local = found
            .index
            .checked_sub(block.first)
            .map(|i| i as usize)
            .filter(|i| *i < block.rows.len())
            .ok_or_else(|| GraphFileError::malformed(QUANTA, "a row names the wrong block"))?;
        let values = block.dictionary.row(&block.columns, block.rows.row(local));
        let data_id =
            DataId::from_values(&task.dimensions, values).expect("a row has a code per dimension");
        let seed = self.metadata.seed;
        if seed.quantum(task.label.as_str(), &data_id) != id {
            return Err(GraphFileError::malformed(QUANTA, "a row is of another quantum"));
        }
        let mut inputs = Vec::with_capacity(task.inputs.len());
        for (i, connection) in task.inputs.iter().enumerate() {
            let datasets = self.inputs_of(&block, i, local, connection, blocks)?;
            inputs.push(StoredInputs { name: connection.name.clone(), datasets });
        }
        let outputs = task.outputs.iter().map(|output| {
            let dataset = predicted(seed, &output.dataset_type, data_id.clone());
            StoredOutput { name: output.name.clone(), dataset }
        });
        let outputs = outputs.collect();
        let (index, task) = (QuantumIndex(found.index), task.label.clone());
        Ok(Some(StoredQuantum { index, id, task, data_id, inputs, outputs }))
    }

    fn inputs_of(
        &mut self,
        block: &QuantaBlock,
        connection_index: usize,
        quantum: usize,
        connection: &ResolvedInput,
        blocks: &mut Blocks,
    ) -> Result<Vec<GraphDataset>, GraphFileError> {
        let inputs = &block.inputs[connection_index];
        let range = inputs.range(quantum);
        let dataset_type = &connection.dataset_type;
        let mut datasets = Vec::with_capacity(range.len());
        for i in range {
            let (number, row) = match &inputs.datasets {
                BlockDatasets::Existing(numbers) => (Some(numbers[i]), None),
                BlockDatasets::Predicted(columns, rows) => (None, Some((columns, rows))),
                BlockDatasets::Mixed(numbers, columns, rows) => (numbers[i], Some((columns, rows))),
            };
            let data_id = row.map(|(columns, rows)| {
                let values = block.dictionary.row(columns, rows.row(i));
                DataId::from_values(&dataset_type.dimensions, values)
                    .expect("a row has a code per dimension")
            });
            let dataset = match (number, data_id) {
                (None, Some(data_id)) => predicted(self.metadata.seed, dataset_type, data_id),
                (Some(number), data_id) => {
                    let found = self.existing(block, number, blocks)?;
                    let found = found
                        .filter(|found| found.dataset_type.name == dataset_type.name)
                        .filter(|found| data_id.is_none_or(|own| own == found.data_id));
                    found.ok_or_else(lost)?
                }
                (None, None) => return Err(lost()),
            };
            datasets.push(dataset);
        }
        Ok(datasets)
    }

    /// The existing dataset with this number; `last` is the block that was read last.
    fn existing(
        &mut self,
        block: &QuantaBlock,
        number: u32,
        blocks: &mut Blocks,
    ) -> Result<Option<GraphDataset>, GraphFileError> {
        let at = block.input_blocks.partition_point(|(first, _)| *first <= number);
        let at = at.checked_sub(1).ok_or_else(lost)?;
        let offset = block.input_blocks[at].1;
        let inputs = if let Some(inputs) = blocks.inputs.get(&offset) {
            Rc::clone(inputs)
        } else {
            let (read, _) = block::read(&mut self.file, &self.inputs, offset)?;
            let inputs = inputs::decode(&read, &self.pipeline)?;
            Rc::clone(blocks.inputs.entry(offset).or_insert(Rc::new(inputs)))
        };
        Ok(inputs.dataset(&self.pipeline, number))
    }
}

fn lost() -> GraphFileError {
    GraphFileError::malformed(QUANTUM_DATASETS, "an input is in no block")
}

impl StoredQuantum {
    /// Its task in the pipeline of the file.
    pub fn task_in<'a>(&self, pipeline: &'a ResolvedPipeline) -> Option<&'a ResolvedTask> {
        pipeline.task(self.task.as_str())
    }
}

fn predicted(
    seed: IdSeed,
    dataset_type: &Arc<pantler_core::DatasetType>,
    data_id: DataId,
) -> GraphDataset {
    let id = seed.dataset(dataset_type.name.as_str(), &data_id);
    let dataset_type = Arc::clone(dataset_type);
    GraphDataset { id, dataset_type, data_id, origin: DatasetOrigin::Predicted }
}
