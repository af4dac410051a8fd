//! Writing a provenance file.

use std::io::{Seek, Write};

use zip::ZipWriter;

use super::{
    BLOCK_OFFSETS, DATASETS, EDGES, IN_BLOCK, LOGS, METADATA, NODES, datasets, edges,
    header::{HeaderV1, PipelineV1, RunnerV1},
    logs::LogStream,
    metadata::{self, ExecutionV1, LogV1},
    model::{ExecutionRecords, ProvenanceDataset, ProvenanceQuantum},
    offsets, quanta,
};
use crate::{
    dataset::{DatasetOrigin, GraphDataset},
    expression::DatasetState,
    format::{
        GraphFileError,
        address::{self, Address, MAX_OFFSET},
        block::Block,
        container::{self, HEADER, Limits, PIPELINE, QUANTA, RUNNERS, write_json},
    },
    graph::{DatasetIndex, QuantumGraph, QuantumIndex},
    values::narrow,
};

/// Writes what happened to the quanta of `graph` as a provenance file of version 1.
/// Nothing is flushed to stable storage: that is the caller's, with the file.
///
/// # Errors
/// [`GraphFileError::Io`] if `writer` or a log fails.
pub fn write_provenance<W: Write + Seek>(
    graph: &QuantumGraph,
    records: &mut dyn ExecutionRecords,
    writer: &mut W,
) -> Result<(), GraphFileError> {
    let mut zip = ZipWriter::new(writer);
    let limits = Limits::of_provenance();
    write_json(&mut zip, PIPELINE, &PipelineV1::new(graph)?, limits)?;
    let runners: Vec<RunnerV1> = records.runners().into_iter().map(RunnerV1::new).collect();
    write_json(&mut zip, RUNNERS, &runners, limits)?;
    let logs = write_logs(graph, records, &mut zip)?;

    let mut all_offsets = write_metadata(graph, records, &logs, &mut zip)?;
    let quantum_blocks = write_quanta(graph, records, &mut zip)?;
    let dataset_blocks = write_datasets(graph, records, quantum_blocks.edges, &mut zip)?;
    all_offsets.extend(&quantum_blocks.offsets);
    all_offsets.extend(&dataset_blocks.offsets);
    all_offsets.extend(write_edges(graph, &mut zip)?);

    container::start(&mut zip, BLOCK_OFFSETS)?;
    for page in offsets::pages(&all_offsets) {
        zip.write_all(&page).map_err(GraphFileError::write)?;
    }
    write_nodes(graph, &quantum_blocks, &dataset_blocks, &mut zip)?;
    let header = HeaderV1::new(graph, quantum_blocks.edges, dataset_blocks.edges);
    write_json(&mut zip, HEADER, &header, limits)?;
    zip.finish().map_err(container::write_error)?;
    Ok(())
}

/// The blocks of a member.
struct Blocks {
    offsets: Vec<u64>,
    /// The position that each starts with.
    firsts: Vec<u32>,
    /// How many edges there are after it.
    edges: u64,
}

/// Appends blocks to a member of which it knows the length.
struct Member<'a, W: Write + Seek> {
    zip: &'a mut ZipWriter<W>,
    name: &'static str,
    len: u64,
}

impl<'a, W: Write + Seek> Member<'a, W> {
    fn start(zip: &'a mut ZipWriter<W>, name: &'static str) -> Result<Self, GraphFileError> {
        container::start(zip, name)?;
        Ok(Self { zip, name, len: 0 })
    }

    /// Gives the offset of the block.
    fn append(&mut self, block: &Block) -> Result<u64, GraphFileError> {
        let bytes = block.encode(self.name)?;
        self.zip.write_all(&bytes).map_err(GraphFileError::write)?;
        let offset = self.len;
        self.len += bytes.len() as u64;
        if self.len >= MAX_OFFSET {
            let (member, size, limit) = (self.name, self.len, MAX_OFFSET);
            return Err(GraphFileError::TooLarge { member, size, limit });
        }
        Ok(offset)
    }
}

/// The quanta of each task in groups that make a block.
fn quanta_by_block(graph: &QuantumGraph) -> impl Iterator<Item = (usize, Vec<QuantumIndex>)> {
    graph.tasks().enumerate().flat_map(|(position, (_, quanta))| {
        let all: Vec<QuantumIndex> = quanta.collect();
        let blocks: Vec<_> = all.chunks(IN_BLOCK).map(|b| (position, b.to_vec())).collect();
        blocks
    })
}

fn write_logs<W: Write + Seek>(
    graph: &QuantumGraph,
    records: &mut dyn ExecutionRecords,
    zip: &mut ZipWriter<W>,
) -> Result<Vec<Option<LogV1>>, GraphFileError> {
    container::start(zip, LOGS)?;
    let mut stream = LogStream::new(zip);
    let mut logs = Vec::with_capacity(graph.len());
    for index in graph.quanta() {
        let place = stream.place();
        records.copy_log(index, &mut stream).map_err(GraphFileError::write)?;
        let length = stream.length();
        logs.push((length > 0).then_some(LogV1 { length, ..place }));
    }
    stream.finish().map_err(GraphFileError::write)?;
    Ok(logs)
}

fn write_metadata<W: Write + Seek>(
    graph: &QuantumGraph,
    records: &dyn ExecutionRecords,
    logs: &[Option<LogV1>],
    zip: &mut ZipWriter<W>,
) -> Result<Vec<u64>, GraphFileError> {
    let mut member = Member::start(zip, METADATA)?;
    let mut offsets = Vec::new();
    for (_, block) in quanta_by_block(graph) {
        let entries: Vec<ExecutionV1> = block
            .into_iter()
            .map(|index| ExecutionV1::new(records.execution(index), logs[index.get()]))
            .collect();
        offsets.push(member.append(&metadata::encode(&entries)?)?);
    }
    Ok(offsets)
}

fn write_quanta<W: Write + Seek>(
    graph: &QuantumGraph,
    records: &dyn ExecutionRecords,
    zip: &mut ZipWriter<W>,
) -> Result<Blocks, GraphFileError> {
    let mut member = Member::start(zip, QUANTA)?;
    let mut blocks = Blocks { offsets: Vec::new(), firsts: Vec::new(), edges: 0 };
    for (task, indices) in quanta_by_block(graph) {
        let entry = |index: &QuantumIndex| {
            let view = graph.quantum(*index);
            ProvenanceQuantum {
                index: *index,
                id: view.id,
                task: view.task.label.clone(),
                data_id: view.data_id,
                status: records.status(*index),
                inputs: view.inputs.iter().map(|inputs| inputs.datasets.to_vec()).collect(),
                outputs: view.outputs,
            }
        };
        let entries: Vec<ProvenanceQuantum> = indices.iter().map(entry).collect();
        blocks.firsts.extend(indices.first().map(|first| first.0));
        blocks.offsets.push(member.append(&quanta::encode(task, &entries, blocks.edges))?);
        let inputs = entries.iter().flat_map(|quantum| &quantum.inputs);
        blocks.edges += inputs.map(|datasets| datasets.len() as u64).sum::<u64>();
    }
    Ok(blocks)
}

fn write_datasets<W: Write + Seek>(
    graph: &QuantumGraph,
    records: &dyn ExecutionRecords,
    input_edges: u64,
    zip: &mut ZipWriter<W>,
) -> Result<Blocks, GraphFileError> {
    let mut member = Member::start(zip, DATASETS)?;
    let mut blocks = Blocks { offsets: Vec::new(), firsts: Vec::new(), edges: input_edges };
    let mut all = graph.datasets();
    for (type_index, (_, count)) in graph.dataset_counts().enumerate() {
        let mut left = count;
        while left > 0 {
            let taken = left.min(IN_BLOCK);
            left -= taken;
            let indices: Vec<DatasetIndex> = all.by_ref().take(taken).collect();
            let entry = |index: &DatasetIndex| {
                let readers = narrow(graph.consumers(*index).count());
                (dataset(graph, records, *index), readers)
            };
            let entries: Vec<(ProvenanceDataset, u32)> = indices.iter().map(entry).collect();
            blocks.firsts.extend(indices.first().map(|first| first.0));
            let block = datasets::encode(type_index, &entries, blocks.edges);
            blocks.offsets.push(member.append(&block)?);
            blocks.edges += entries.iter().map(|(_, readers)| u64::from(*readers)).sum::<u64>();
        }
    }
    Ok(blocks)
}

fn dataset(
    graph: &QuantumGraph,
    records: &dyn ExecutionRecords,
    index: DatasetIndex,
) -> ProvenanceDataset {
    let GraphDataset { id, dataset_type, data_id, origin } = graph.dataset(index);
    let (run, state, content) = match origin {
        DatasetOrigin::Existing { run, artifact } => {
            (run, DatasetState::Present, Some((artifact.size, artifact.checksum)))
        }
        DatasetOrigin::Predicted => {
            let (state, content) = records.output(index);
            (graph.output_run().clone(), state, content)
        }
    };
    let producer = graph.producer(index);
    ProvenanceDataset { index, id, dataset_type, data_id, run, state, content, producer }
}

/// The inputs of all quanta, then the readers of all datasets.
fn write_edges<W: Write + Seek>(
    graph: &QuantumGraph,
    zip: &mut ZipWriter<W>,
) -> Result<Vec<u64>, GraphFileError> {
    let mut member = Member::start(zip, EDGES)?;
    let mut offsets = Vec::new();
    let full = usize::try_from(edges::IN_BLOCK).unwrap_or(usize::MAX);
    let mut pending: Vec<u32> = Vec::with_capacity(full);
    let mut push = |member: &mut Member<'_, W>, position: u32| {
        pending.push(position);
        if pending.len() == full {
            offsets.push(member.append(&edges::encode(&pending))?);
            pending.clear();
        }
        Ok::<(), GraphFileError>(())
    };
    for index in graph.quanta() {
        for inputs in graph.quantum(index).inputs {
            for input in inputs.datasets {
                push(&mut member, input.0)?;
            }
        }
    }
    for index in graph.datasets() {
        for reader in graph.consumers(index) {
            push(&mut member, reader.0)?;
        }
    }
    if !pending.is_empty() {
        offsets.push(member.append(&edges::encode(&pending))?);
    }
    Ok(offsets)
}

fn write_nodes<W: Write + Seek>(
    graph: &QuantumGraph,
    quantum_blocks: &Blocks,
    dataset_blocks: &Blocks,
    zip: &mut ZipWriter<W>,
) -> Result<(), GraphFileError> {
    container::start(zip, NODES)?;
    let quanta = narrow(graph.len());
    let offset = |blocks: &Blocks, position: u32| {
        let block = blocks.firsts.partition_point(|first| *first <= position);
        block.checked_sub(1).map_or(0, |block| blocks.offsets[block])
    };
    let own = graph.quanta().map(|index| Address {
        id: graph.quantum_id(index),
        index: index.0,
        offset: offset(quantum_blocks, index.0),
    });
    let mut rows: Vec<Address> = own.collect();
    rows.extend(graph.datasets().map(|index| Address {
        id: pantler_core::QuantumId::from_uuid(*graph.dataset(index).id.as_uuid()),
        index: quanta + index.0,
        offset: offset(dataset_blocks, index.0),
    }));
    rows.sort_unstable_by_key(|row| row.id);
    for page in address::pages(rows.into_iter()) {
        zip.write_all(&page).map_err(GraphFileError::write)?;
    }
    Ok(())
}
