//! Writing a graph file.

use std::io::{Seek, Write};

use zip::ZipWriter;

use super::{
    GraphFileError,
    address::{self, Address, MAX_OFFSET},
    block::Block,
    container::{
        self, DIMENSION_DATA, HEADER, INIT_QUANTA, INPUT_DATASETS, Limits, PIPELINE, QUANTA,
        QUANTUM_DATASETS, THIN_GRAPH, write_json,
    },
    header::{DimensionDataV1, Header, PipelineV1},
    inputs, quanta,
    thin::ThinGraphV1,
};
use crate::graph::QuantumGraph;

/// Writes `graph` as a graph file: of version 1, 2 if it is a part, or 3 if quanta were skipped. The
/// same graph gives the same bytes.
/// Nothing is flushed to stable storage: that is the caller's, with the file.
///
/// # Errors
/// [`GraphFileError::Io`] if `writer` fails; [`GraphFileError::TooLarge`] if a quantum
/// has more inputs than a block holds (64 MiB of data IDs), or all quanta together have
/// more than 64 Mi and 256 for each quantum and existing dataset.
pub fn write<W: Write + Seek>(graph: &QuantumGraph, writer: &mut W) -> Result<(), GraphFileError> {
    let header = Header::new(graph);
    let counts = header.common.counts;
    let limits = Limits::new(counts.quanta, counts.existing);
    let inputs = graph.tasks.iter().flat_map(|nodes| &nodes.inputs);
    let edges = inputs.map(|edges| edges.datasets().len() as u64).sum();
    if edges > limits.edges() {
        let (member, limit) = (THIN_GRAPH, limits.edges());
        return Err(GraphFileError::TooLarge { member, size: edges, limit });
    }
    let mut zip = ZipWriter::new(writer);
    write_json(&mut zip, HEADER, &header.to_json(), limits)?;
    write_json(&mut zip, PIPELINE, &PipelineV1::new(graph.pipeline()), limits)?;
    let universe = graph.pipeline().universe();
    write_json(&mut zip, DIMENSION_DATA, &DimensionDataV1::new(universe, &graph.values), limits)?;
    write_json(&mut zip, THIN_GRAPH, &ThinGraphV1::new(graph), limits)?;
    // Tasks have nothing to do before their first quantum yet: the list is part of the
    // format, and empty.
    write_json(&mut zip, INIT_QUANTA, &[(); 0], limits)?;

    container::start(&mut zip, INPUT_DATASETS)?;
    let mut input_blocks = Vec::new();
    let mut offset = 0;
    for (first, block) in inputs::blocks(graph) {
        input_blocks.push((first, offset));
        offset += append(&mut zip, INPUT_DATASETS, &block)?;
    }

    container::start(&mut zip, QUANTUM_DATASETS)?;
    let mut offsets: Vec<(u32, u64)> = Vec::new();
    offset = 0;
    for (task, nodes) in graph.tasks.iter().enumerate() {
        for range in quanta::cuts(graph, task) {
            let first = nodes.first + crate::values::narrow(range.start);
            offsets.push((first, offset));
            let block = quanta::encode(graph, task, &range, &input_blocks);
            offset += append(&mut zip, QUANTUM_DATASETS, &block)?;
        }
    }
    if offset >= MAX_OFFSET {
        let (member, limit) = (QUANTUM_DATASETS, MAX_OFFSET);
        return Err(GraphFileError::TooLarge { member, size: offset, limit });
    }

    container::start(&mut zip, QUANTA)?;
    let rows = graph.by_id().map(|(id, index)| {
        let block = offsets.partition_point(|(first, _)| *first <= index) - 1;
        Address { id, index, offset: offsets[block].1 }
    });
    for page in address::pages(rows) {
        zip.write_all(&page).map_err(GraphFileError::write)?;
    }
    zip.finish().map_err(container::write_error)?;
    Ok(())
}

fn append<W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    member: &'static str,
    block: &Block,
) -> Result<u64, GraphFileError> {
    let bytes = block.encode(member)?;
    zip.write_all(&bytes).map_err(GraphFileError::write)?;
    Ok(bytes.len() as u64)
}
