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
    selected::Selected,
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
    write_selected(&Selected::all(graph), records, writer)
}

/// Writes what happened to those quanta of `graph` that `is_meant` says by position, with what
/// they read and wrote, as [`write_provenance`] writes all of it. What another quantum of the
/// graph made is there without it.
///
/// # Errors
/// [`GraphFileError::Io`] if `writer` or a log fails.
pub fn write_provenance_of<W: Write + Seek>(
    graph: &QuantumGraph,
    is_meant: &[bool],
    records: &mut dyn ExecutionRecords,
    writer: &mut W,
) -> Result<(), GraphFileError> {
    write_selected(&Selected::of(graph, is_meant), records, writer)
}

fn write_selected<W: Write + Seek>(
    selected: &Selected<'_>,
    records: &mut dyn ExecutionRecords,
    writer: &mut W,
) -> Result<(), GraphFileError> {
    let mut zip = ZipWriter::new(writer);
    let limits = Limits::of_provenance();
    write_json(&mut zip, PIPELINE, &PipelineV1::new(selected)?, limits)?;
    let runners: Vec<RunnerV1> = records.runners().into_iter().map(RunnerV1::new).collect();
    write_json(&mut zip, RUNNERS, &runners, limits)?;
    let logs = write_logs(selected, records, &mut zip)?;

    let mut all_offsets = write_metadata(selected, records, &logs, &mut zip)?;
    let quantum_blocks = write_quanta(selected, records, &mut zip)?;
    let dataset_blocks = write_datasets(selected, records, quantum_blocks.edges, &mut zip)?;
    all_offsets.extend(&quantum_blocks.offsets);
    all_offsets.extend(&dataset_blocks.offsets);
    all_offsets.extend(write_edges(selected, &mut zip)?);

    container::start(&mut zip, BLOCK_OFFSETS)?;
    for page in offsets::pages(&all_offsets) {
        zip.write_all(&page).map_err(GraphFileError::write)?;
    }
    write_nodes(selected, &quantum_blocks, &dataset_blocks, &mut zip)?;
    let header = HeaderV1::new(selected, quantum_blocks.edges, dataset_blocks.edges);
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
fn quanta_by_block(selected: &Selected<'_>) -> impl Iterator<Item = (usize, Vec<QuantumIndex>)> {
    let mut all = selected.quanta();
    selected.counts().enumerate().flat_map(move |(position, (_, count))| {
        let own: Vec<QuantumIndex> = all.by_ref().take(count).collect();
        let blocks: Vec<_> = own.chunks(IN_BLOCK).map(|b| (position, b.to_vec())).collect();
        blocks
    })
}

fn write_logs<W: Write + Seek>(
    selected: &Selected<'_>,
    records: &mut dyn ExecutionRecords,
    zip: &mut ZipWriter<W>,
) -> Result<Vec<Option<LogV1>>, GraphFileError> {
    container::start(zip, LOGS)?;
    let mut stream = LogStream::new(zip);
    let mut logs = Vec::with_capacity(selected.quantum_count());
    for index in selected.quanta() {
        let place = stream.place();
        records.copy_log(index, &mut stream).map_err(GraphFileError::write)?;
        let length = stream.length();
        logs.push((length > 0).then_some(LogV1 { length, ..place }));
    }
    stream.finish().map_err(GraphFileError::write)?;
    Ok(logs)
}

fn write_metadata<W: Write + Seek>(
    selected: &Selected<'_>,
    records: &dyn ExecutionRecords,
    logs: &[Option<LogV1>],
    zip: &mut ZipWriter<W>,
) -> Result<Vec<u64>, GraphFileError> {
    let mut member = Member::start(zip, METADATA)?;
    let mut offsets = Vec::new();
    let mut logs = logs.iter();
    for (_, block) in quanta_by_block(selected) {
        let entries: Vec<ExecutionV1> = block
            .into_iter()
            .zip(logs.by_ref())
            .map(|(index, log)| ExecutionV1::new(records.execution(index), *log))
            .collect();
        offsets.push(member.append(&metadata::encode(&entries)?)?);
    }
    Ok(offsets)
}

fn write_quanta<W: Write + Seek>(
    selected: &Selected<'_>,
    records: &dyn ExecutionRecords,
    zip: &mut ZipWriter<W>,
) -> Result<Blocks, GraphFileError> {
    let mut member = Member::start(zip, QUANTA)?;
    let mut blocks = Blocks { offsets: Vec::new(), firsts: Vec::new(), edges: 0 };
    let mut places = (0..).map(QuantumIndex);
    for (task, indices) in quanta_by_block(selected) {
        let entry = |(index, place): (&QuantumIndex, QuantumIndex)| {
            let view = selected.graph.quantum(*index);
            let inputs = view.inputs.iter().map(|inputs| selected.places(inputs.datasets));
            ProvenanceQuantum {
                index: place,
                id: view.id,
                task: view.task.label.clone(),
                data_id: view.data_id,
                status: records.status(*index),
                inputs: inputs.collect(),
                outputs: selected.places(&view.outputs),
            }
        };
        let entries: Vec<ProvenanceQuantum> =
            indices.iter().zip(places.by_ref()).map(entry).collect();
        blocks.firsts.extend(entries.first().map(|first| first.index.0));
        blocks.offsets.push(member.append(&quanta::encode(task, &entries, blocks.edges))?);
        let inputs = entries.iter().flat_map(|quantum| &quantum.inputs);
        blocks.edges += inputs.map(|datasets| datasets.len() as u64).sum::<u64>();
    }
    Ok(blocks)
}

fn write_datasets<W: Write + Seek>(
    selected: &Selected<'_>,
    records: &dyn ExecutionRecords,
    input_edges: u64,
    zip: &mut ZipWriter<W>,
) -> Result<Blocks, GraphFileError> {
    let mut member = Member::start(zip, DATASETS)?;
    let mut blocks = Blocks { offsets: Vec::new(), firsts: Vec::new(), edges: input_edges };
    let mut all = selected.datasets().zip((0..).map(DatasetIndex));
    for (type_index, (_, count)) in selected.dataset_counts().enumerate() {
        let mut left = count;
        while left > 0 {
            let taken = left.min(IN_BLOCK);
            left -= taken;
            let entry = |(index, place): (DatasetIndex, DatasetIndex)| {
                let readers = narrow(selected.readers(index).count());
                (dataset(selected, records, index, place), readers)
            };
            let entries: Vec<(ProvenanceDataset, u32)> =
                all.by_ref().take(taken).map(entry).collect();
            blocks.firsts.extend(entries.first().map(|(first, _)| first.index.0));
            let block = datasets::encode(type_index, &entries, blocks.edges);
            blocks.offsets.push(member.append(&block)?);
            blocks.edges += entries.iter().map(|(_, readers)| u64::from(*readers)).sum::<u64>();
        }
    }
    Ok(blocks)
}

fn dataset(
    selected: &Selected<'_>,
    records: &dyn ExecutionRecords,
    index: DatasetIndex,
    place: DatasetIndex,
) -> ProvenanceDataset {
    let graph = selected.graph;
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
    let producer = graph.producer(index).and_then(|producer| selected.quantum(producer));
    ProvenanceDataset { index: place, id, dataset_type, data_id, run, state, content, producer }
}

/// The inputs of all quanta, then the readers of all datasets.
fn write_edges<W: Write + Seek>(
    selected: &Selected<'_>,
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
    for index in selected.quanta() {
        for inputs in selected.graph.quantum(index).inputs {
            for input in selected.places(inputs.datasets) {
                push(&mut member, input.0)?;
            }
        }
    }
    for index in selected.datasets() {
        for reader in selected.readers(index) {
            push(&mut member, reader.0)?;
        }
    }
    if !pending.is_empty() {
        offsets.push(member.append(&edges::encode(&pending))?);
    }
    Ok(offsets)
}

fn write_nodes<W: Write + Seek>(
    selected: &Selected<'_>,
    quantum_blocks: &Blocks,
    dataset_blocks: &Blocks,
    zip: &mut ZipWriter<W>,
) -> Result<(), GraphFileError> {
    container::start(zip, NODES)?;
    let graph = selected.graph;
    let quanta = narrow(selected.quantum_count());
    let offset = |blocks: &Blocks, position: u32| {
        let block = blocks.firsts.partition_point(|first| *first <= position);
        block.checked_sub(1).map_or(0, |block| blocks.offsets[block])
    };
    let own = selected.quanta().zip(0..).map(|(index, place)| Address {
        id: graph.quantum_id(index),
        index: place,
        offset: offset(quantum_blocks, place),
    });
    let mut rows: Vec<Address> = own.collect();
    rows.extend(selected.datasets().zip(0..).map(|(index, place)| Address {
        id: pantler_core::QuantumId::from_uuid(*graph.dataset(index).id.as_uuid()),
        index: quanta + place,
        offset: offset(dataset_blocks, place),
    }));
    rows.sort_unstable_by_key(|row| row.id);
    for page in address::pages(rows.into_iter()) {
        zip.write_all(&page).map_err(GraphFileError::write)?;
    }
    Ok(())
}
