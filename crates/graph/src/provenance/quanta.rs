//! Blocks of `quanta`. Plain part: ids.

use pantler_core::{DataId, QuantumId};
use uuid::Uuid;

use super::{
    IN_BLOCK,
    header::{Header, ProvenanceTask},
    model::ProvenanceQuantum,
    rows,
};
use crate::{
    expression::ExecutionStatus,
    format::{
        GraphFileError,
        block::Block,
        codec::{Decoder, Encoder, Garbled},
        container::QUANTA,
    },
    graph::DatasetIndex,
    values::narrow,
};

/// A block that was read.
#[derive(Debug)]
pub(super) struct QuantaBlock {
    pub(super) quanta: Vec<BlockQuantum>,
}

#[derive(Debug)]
pub(super) struct BlockQuantum {
    pub(super) id: QuantumId,
    pub(super) data_id: DataId,
    pub(super) status: ExecutionStatus,
    /// How many inputs each connection has.
    pub(super) inputs: Vec<u32>,
    /// Where the inputs start in the list of all edges.
    pub(super) edges: u64,
    pub(super) outputs: Vec<DatasetIndex>,
}

/// Writes quanta of the task at position `task`, whose inputs start at `edges`.
pub(super) fn encode(task: usize, quanta: &[ProvenanceQuantum], edges: u64) -> Block {
    let plain = quanta.iter().flat_map(|quantum| *quantum.id.as_uuid().as_bytes()).collect();
    let mut encoder = Encoder::default();
    encoder.count(task);
    encoder.count(quanta.first().map_or(0, |first| first.index.get()));
    encoder.count(quanta.len());
    let width = quanta.first().map_or(0, |first| first.data_id.values().len());
    rows::encode(&mut encoder, width, &quanta.iter().map(|quantum| &quantum.data_id));
    encoder.numbers(quanta.iter().map(|quantum| status_code(quantum.status)));
    encoder.unsigned(edges);
    for connection in 0..quanta.first().map_or(0, |first| first.inputs.len()) {
        encoder.numbers(quanta.iter().map(|quantum| narrow(quantum.inputs[connection].len())));
    }
    for output in 0..quanta.first().map_or(0, |first| first.outputs.len()) {
        encoder.numbers(quanta.iter().map(|quantum| quantum.outputs[output].0));
    }
    Block { plain, data: encoder.bytes }
}

fn status_code(status: ExecutionStatus) -> u32 {
    narrow(ExecutionStatus::ALL.iter().position(|own| *own == status).unwrap_or(0))
}

/// Reads the block of quanta that starts at position `first`.
pub(super) fn decode(
    block: &Block,
    header: &Header,
    first: u32,
) -> Result<QuantaBlock, GraphFileError> {
    decode_parts(block, header, first)
        .map_err(|Garbled(reason)| GraphFileError::malformed(QUANTA, reason))
}

fn decode_parts(block: &Block, header: &Header, first: u32) -> Result<QuantaBlock, Garbled> {
    let fault = |what: &str| Garbled(what.to_owned());
    let mut decoder = Decoder::new(&block.data);
    let position = usize::try_from(decoder.unsigned()?).unwrap_or(usize::MAX);
    let task: &ProvenanceTask =
        header.tasks.get(position).ok_or_else(|| fault("a block is of no task"))?;
    let own = decoder.small()?;
    let count = decoder.count()?;
    let left = task.end().checked_sub(first.into()).filter(|left| *left > 0);
    let expected = left.map(|left| left.min(IN_BLOCK as u64));
    if own != first || first < task.first || Some(count as u64) != expected {
        return Err(fault("a block stands in another's place"));
    }
    if block.plain.len() != count * 16 {
        return Err(fault("a block has another number of ids"));
    }
    let data_ids = rows::decode(&mut decoder, &task.dimensions, &task.keys, count)?;
    let statuses = decoder.numbers(count, ExecutionStatus::ALL.len() as u64)?;
    let mut edges = decoder.unsigned()?;
    let mut inputs = Vec::with_capacity(task.inputs.len());
    for _ in &task.inputs {
        inputs.push(decoder.numbers(count, 1 << 32)?);
    }
    let mut outputs = Vec::with_capacity(task.outputs.len());
    for _ in &task.outputs {
        outputs.push(decoder.numbers(count, header.datasets().into())?);
    }
    decoder.end()?;
    let mut quanta = Vec::with_capacity(count);
    for (i, data_id) in data_ids.into_iter().enumerate() {
        let mut id = [0; 16];
        id.copy_from_slice(&block.plain[i * 16..(i + 1) * 16]);
        let inputs: Vec<u32> = inputs.iter().map(|counts| counts[i]).collect();
        let start = edges;
        edges += inputs.iter().map(|count| u64::from(*count)).sum::<u64>();
        if edges > header.input_edges {
            return Err(fault("a quantum has more inputs than there are"));
        }
        quanta.push(BlockQuantum {
            id: QuantumId::from_uuid(Uuid::from_bytes(id)),
            data_id,
            status: ExecutionStatus::ALL[statuses[i] as usize],
            inputs,
            edges: start,
            outputs: outputs.iter().map(|numbers| DatasetIndex(numbers[i])).collect(),
        });
    }
    Ok(QuantaBlock { quanta })
}
