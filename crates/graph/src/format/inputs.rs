//! Blocks of `input_datasets`: existing datasets with their artifacts. Each stands there
//! once, however many quanta read it. Plain part: ids, then checksums.

use std::sync::Arc;

use pantler_core::{Checksum, CollectionName, DataId, DatasetId, Location};
use uuid::Uuid;

use super::{
    GraphFileError,
    block::Block,
    codec::{Decoder, Encoder, Garbled},
    container::INPUT_DATASETS,
    dictionary::{Dictionary, DictionaryBuilder},
};
use crate::{
    dataset::{DatasetOrigin, GraphDataset, InputArtifact},
    graph::{ExistingDataset, QuantumGraph, TypeRows},
    pipeline::ResolvedPipeline,
    values::{Rows, columns, narrow},
};

/// Few, because a quantum's inputs may be spread over many blocks.
const DATASETS: usize = 64;

/// A block of datasets of one type.
#[derive(Debug)]
pub(super) struct InputBlock {
    pub(super) type_index: usize,
    pub(super) first: u32,
    pub(super) columns: Vec<usize>,
    pub(super) dictionary: Dictionary,
    pub(super) rows: Rows,
    /// `run` counts in `runs`.
    pub(super) datasets: Vec<ExistingDataset>,
    pub(super) runs: Vec<CollectionName>,
}

/// The blocks of a graph with the number of the first dataset of each.
pub(super) fn blocks(graph: &QuantumGraph) -> impl Iterator<Item = (u32, Block)> + '_ {
    graph.types.iter().enumerate().flat_map(move |(group, nodes)| {
        let count = match &nodes.nodes {
            TypeRows::Existing(rows) => rows.len(),
            TypeRows::Made(_) => 0,
        };
        (0..count).step_by(DATASETS).map(move |start| {
            let end = (start + DATASETS).min(count);
            (nodes.first + narrow(start), encode(graph, group, start, end))
        })
    })
}

fn encode(graph: &QuantumGraph, group: usize, start: usize, end: usize) -> Block {
    let nodes = &graph.types[group];
    let rows = nodes.nodes.rows(&graph.tasks);
    let first = nodes.first as usize;
    let datasets = &graph.existing[first + start..first + end];
    let mut plain = Vec::with_capacity(datasets.len() * 48);
    for dataset in datasets {
        plain.extend(dataset.id.as_uuid().as_bytes());
    }
    for dataset in datasets {
        plain.extend(dataset.artifact.checksum.as_bytes());
    }
    let mut encoder = Encoder::default();
    encoder.count(nodes.dataset_type);
    encoder.count(first + start);
    encoder.count(datasets.len());

    let mut dimensions = nodes.columns.clone();
    dimensions.sort_unstable();
    let mut dictionary = DictionaryBuilder::new(&dimensions);
    for i in start..end {
        for (column, code) in nodes.columns.iter().zip(rows.row(i)) {
            dictionary.add(*column, *code);
        }
    }
    dictionary.finish(&graph.values, &mut encoder);
    for (position, column) in nodes.columns.iter().enumerate() {
        encoder.numbers((start..end).map(|i| dictionary.local(*column, rows.row(i)[position])));
    }

    let mut runs: Vec<u32> = datasets.iter().map(|dataset| dataset.run).collect();
    runs.sort_unstable();
    runs.dedup();
    encoder.count(runs.len());
    encoder.texts(runs.iter().map(|run| graph.runs[*run as usize].as_str()));
    let local = |run: u32| runs.binary_search(&run).map_or(0, narrow);
    encoder.numbers(datasets.iter().map(|dataset| local(dataset.run)));
    for dataset in datasets {
        encoder.unsigned(dataset.artifact.size);
        match dataset.artifact.offset {
            None => encoder.unsigned(0),
            Some(offset) => {
                encoder.unsigned(1);
                encoder.unsigned(offset);
            }
        }
    }
    encoder.texts(datasets.iter().map(|dataset| dataset.artifact.location.as_str()));
    Block { plain, data: encoder.bytes }
}

pub(super) fn decode(
    block: &Block,
    pipeline: &ResolvedPipeline,
) -> Result<InputBlock, GraphFileError> {
    decode_parts(block, pipeline)
        .map_err(|Garbled(reason)| GraphFileError::malformed(INPUT_DATASETS, reason))
}

fn decode_parts(block: &Block, pipeline: &ResolvedPipeline) -> Result<InputBlock, Garbled> {
    let fault = |what: &str| Garbled(what.to_owned());
    let mut decoder = Decoder::new(&block.data);
    let type_index = usize::try_from(decoder.unsigned()?).unwrap_or(usize::MAX);
    let dataset_type = pipeline
        .dataset_types()
        .get(type_index)
        .ok_or_else(|| fault("a block is of no dataset type of the pipeline"))?;
    let first = decoder.small()?;
    let count = decoder.count()?;
    if block.plain.len() != count * 48 {
        return Err(fault("a block has another number of ids"));
    }
    let universe = pipeline.universe();
    let columns = columns(universe, dataset_type.dimensions.required());
    let mut dimensions = columns.clone();
    dimensions.sort_unstable();
    let dictionary = Dictionary::decode(&mut decoder, universe, &dimensions)?;
    let mut by_column = Vec::with_capacity(columns.len());
    for column in &columns {
        by_column.push(decoder.numbers(count, dictionary.len(*column))?);
    }
    let mut rows = Rows::new(columns.len());
    for i in 0..count {
        rows.push(by_column.iter().map(|codes| codes[i]));
    }
    let run_count = decoder.count()?;
    let mut runs = Vec::with_capacity(run_count);
    for name in decoder.texts(run_count)? {
        runs.push(CollectionName::new(name).map_err(|error| Garbled(error.to_string()))?);
    }
    let run_of = decoder.numbers(count, runs.len() as u64)?;
    let mut places = Vec::with_capacity(count);
    for _ in 0..count {
        let size = decoder.unsigned()?;
        let offset = match decoder.unsigned()? {
            0 => None,
            1 => Some(decoder.unsigned()?),
            _ => return Err(fault("an offset is neither there nor not")),
        };
        places.push((size, offset));
    }
    let keys = decoder.texts(count)?;
    decoder.end()?;
    let (ids, checksums) = block.plain.split_at(count * 16);
    let mut datasets = Vec::with_capacity(count);
    for (i, ((key, (size, offset)), run)) in keys.into_iter().zip(places).zip(run_of).enumerate() {
        let mut id = [0; 16];
        id.copy_from_slice(&ids[i * 16..(i + 1) * 16]);
        let mut checksum = [0; 32];
        checksum.copy_from_slice(&checksums[i * 32..(i + 1) * 32]);
        let location = Location::new(&key).map_err(|error| Garbled(error.to_string()))?;
        let checksum = Checksum::from_bytes(checksum);
        let id = DatasetId::from_uuid(Uuid::from_bytes(id));
        let artifact = InputArtifact { location, offset, size, checksum };
        datasets.push(ExistingDataset { id, run, artifact });
    }
    Ok(InputBlock { type_index, first, columns, dictionary, rows, datasets, runs })
}

impl InputBlock {
    /// The dataset with this number, if it is in the block.
    pub(super) fn dataset(&self, pipeline: &ResolvedPipeline, number: u32) -> Option<GraphDataset> {
        let i = number.checked_sub(self.first)? as usize;
        let existing = self.datasets.get(i)?;
        let dataset_type = Arc::clone(&pipeline.dataset_types()[self.type_index]);
        let values = self.dictionary.row(&self.columns, self.rows.row(i));
        let data_id = DataId::from_values(&dataset_type.dimensions, values)
            .expect("a row has a code per dimension");
        let origin = DatasetOrigin::Existing {
            run: self.runs[existing.run as usize].clone(),
            artifact: existing.artifact.clone(),
        };
        Some(GraphDataset { id: existing.id, dataset_type, data_id, origin })
    }
}
