//! Blocks of `datasets`. Plain part: ids, then the checksums of those that have content.

use pantler_core::{Checksum, CollectionName, DataId, DatasetId};
use uuid::Uuid;

use super::{DATASETS, IN_BLOCK, header::Header, model::ProvenanceDataset, rows};
use crate::{
    expression::DatasetState,
    format::{
        GraphFileError,
        block::Block,
        codec::{Decoder, Encoder, Garbled},
    },
    graph::QuantumIndex,
    values::narrow,
};

/// A block that was read.
#[derive(Debug)]
pub(super) struct DatasetsBlock {
    pub(super) datasets: Vec<BlockDataset>,
}

#[derive(Debug)]
pub(super) struct BlockDataset {
    pub(super) id: DatasetId,
    pub(super) data_id: DataId,
    pub(super) run: CollectionName,
    pub(super) state: DatasetState,
    pub(super) content: Option<(u64, Checksum)>,
    pub(super) producer: Option<QuantumIndex>,
    /// How many quanta read it.
    pub(super) readers: u32,
    /// Where those start in the list of all edges.
    pub(super) edges: u64,
}

/// Writes datasets of the type at position `type_index`, each with its number of readers;
/// those start at `edges`.
pub(super) fn encode(
    type_index: usize,
    datasets: &[(ProvenanceDataset, u32)],
    edges: u64,
) -> Block {
    let all = || datasets.iter().map(|(dataset, _)| dataset);
    let contents = || all().filter_map(|dataset| dataset.content);
    let mut plain: Vec<u8> = all().flat_map(|d| *d.id.as_uuid().as_bytes()).collect();
    plain.extend(contents().flat_map(|(_, checksum)| *checksum.as_bytes()));
    let mut encoder = Encoder::default();
    encoder.count(type_index);
    encoder.count(all().next().map_or(0, |first| first.index.get()));
    encoder.count(datasets.len());
    let width = all().next().map_or(0, |first| first.data_id.values().len());
    rows::encode(&mut encoder, width, &all().map(|dataset| &dataset.data_id));
    encoder.numbers(all().map(|dataset| state_code(dataset.state)));
    let mut runs: Vec<&str> = all().map(|dataset| dataset.run.as_str()).collect();
    runs.sort_unstable();
    runs.dedup();
    encoder.count(runs.len());
    encoder.texts(runs.iter().copied());
    let local = |run: &str| narrow(runs.binary_search(&run).unwrap_or(0));
    encoder.numbers(all().map(|dataset| local(dataset.run.as_str())));
    encoder.numbers(all().map(|dataset| u32::from(dataset.content.is_some())));
    contents().for_each(|(size, _)| encoder.unsigned(size));
    // 0 for none.
    encoder.numbers(all().map(|dataset| dataset.producer.map_or(0, |quantum| quantum.0 + 1)));
    encoder.unsigned(edges);
    encoder.numbers(datasets.iter().map(|(_, readers)| *readers));
    Block { plain, data: encoder.bytes }
}

fn state_code(state: DatasetState) -> u32 {
    narrow(DatasetState::ALL.iter().position(|own| *own == state).unwrap_or(0))
}

/// Reads the block of datasets that starts at position `first`.
pub(super) fn decode(
    block: &Block,
    header: &Header,
    first: u32,
) -> Result<DatasetsBlock, GraphFileError> {
    decode_parts(block, header, first)
        .map_err(|Garbled(reason)| GraphFileError::malformed(DATASETS, reason))
}

fn decode_parts(block: &Block, header: &Header, first: u32) -> Result<DatasetsBlock, Garbled> {
    let fault = |what: &str| Garbled(what.to_owned());
    let mut decoder = Decoder::new(&block.data);
    let position = usize::try_from(decoder.unsigned()?).unwrap_or(usize::MAX);
    let own_type = header.types.get(position).ok_or_else(|| fault("a block is of no type"))?;
    let own = decoder.small()?;
    let count = decoder.count()?;
    let left = own_type.end().checked_sub(first.into()).filter(|left| *left > 0);
    let expected = left.map(|left| left.min(IN_BLOCK as u64));
    if own != first || first < own_type.first || Some(count as u64) != expected {
        return Err(fault("a block stands in another's place"));
    }
    let group = &own_type.dataset_type.dimensions;
    let data_ids = rows::decode(&mut decoder, group, &own_type.keys, count)?;
    let states = decoder.numbers(count, DatasetState::ALL.len() as u64)?;
    let run_count = decoder.count()?;
    let mut runs = Vec::with_capacity(run_count);
    for name in decoder.texts(run_count)? {
        runs.push(CollectionName::new(name).map_err(|error| Garbled(error.to_string()))?);
    }
    let run_of = decoder.numbers(count, runs.len() as u64)?;
    let has_content = decoder.numbers(count, 2)?;
    let contents = has_content.iter().filter(|has| **has == 1).count();
    if block.plain.len() != count * 16 + contents * 32 {
        return Err(fault("a block has another number of ids"));
    }
    let (ids, checksums) = block.plain.split_at(count * 16);
    let mut checksums = checksums.chunks_exact(32);
    let mut content = Vec::with_capacity(count);
    for has in has_content {
        let sum = if has == 1 { checksums.next() } else { None };
        content.push(match sum {
            Some(bytes) => {
                let mut sum = [0; 32];
                sum.copy_from_slice(bytes);
                Some((decoder.unsigned()?, Checksum::from_bytes(sum)))
            }
            None => None,
        });
    }
    let producers = decoder.numbers(count, u64::from(header.quanta()) + 1)?;
    let mut edges = decoder.unsigned()?;
    let readers = decoder.numbers(count, u64::from(header.quanta()) + 1)?;
    decoder.end()?;
    let mut datasets = Vec::with_capacity(count);
    for (i, (data_id, content)) in data_ids.into_iter().zip(content).enumerate() {
        let mut id = [0; 16];
        id.copy_from_slice(&ids[i * 16..(i + 1) * 16]);
        let start = edges;
        edges = edges.saturating_add(readers[i].into());
        if edges > header.edges || start < header.input_edges {
            return Err(fault("a dataset has more readers than there are"));
        }
        datasets.push(BlockDataset {
            id: DatasetId::from_uuid(Uuid::from_bytes(id)),
            data_id,
            run: runs[run_of[i] as usize].clone(),
            state: DatasetState::ALL[states[i] as usize],
            content,
            producer: producers[i].checked_sub(1).map(QuantumIndex),
            readers: readers[i],
            edges: start,
        });
    }
    Ok(DatasetsBlock { datasets })
}
