//! Blocks of `quantum_datasets`: quanta of one task with their data IDs and inputs.
//!
//! Existing inputs are numbers, with a small table of where their blocks are. Predicted
//! inputs are data IDs, of which only what the quantum's own does not say is stored.
//! Of a type that has both, each input is a number, 0 for a predicted one, and a data ID.
//! Ids and outputs follow from the data ID.

use std::{collections::BTreeSet, ops::Range};

use super::{
    GraphFileError,
    block::Block,
    codec::{Decoder, Encoder, Garbled},
    container::QUANTUM_DATASETS,
    dictionary::{Dictionary, DictionaryBuilder},
    header::FoundType,
};
use crate::{
    graph::{DatasetIndex, InputEdges, QuantumGraph},
    pipeline::ResolvedPipeline,
    values::{Rows, columns, narrow},
};

/// A block is cut after this many quanta …
const QUANTA: usize = 1024;
/// … or after about this many bytes, decompressed.
const BYTES: usize = 32 << 10;

/// A block of quanta of one task.
#[derive(Debug)]
pub(super) struct QuantaBlock {
    pub(super) task: usize,
    pub(super) first: u32,
    /// The required dimensions of the task.
    pub(super) columns: Vec<usize>,
    pub(super) dictionary: Dictionary,
    /// The data IDs of the quanta.
    pub(super) rows: Rows,
    pub(super) inputs: Vec<BlockInputs>,
    /// Number of the first dataset and offset of blocks of `input_datasets`.
    pub(super) input_blocks: Vec<(u32, u64)>,
}

/// What the quanta of a block read through one connection.
#[derive(Debug)]
pub(super) struct BlockInputs {
    /// For a multiple connection, where the inputs of each quantum start.
    offsets: Option<Vec<u32>>,
    pub(super) datasets: BlockDatasets,
}

#[derive(Debug)]
pub(super) enum BlockDatasets {
    /// Numbers of existing datasets.
    Existing(Vec<u32>),
    /// Data IDs of predicted ones.
    Predicted(Vec<usize>, Rows),
    /// Data IDs, and the number of each that exists.
    Mixed(Vec<Option<u32>>, Vec<usize>, Rows),
}

/// How a connection is written.
struct Plan {
    /// Whether some of its datasets may exist.
    existing: bool,
    /// Whether some may be predicted.
    predicted: bool,
    /// Whether the number of datasets is written.
    varies: bool,
    /// The dimensions of a predicted input: each either the quantum's at this position,
    /// or written.
    columns: Vec<(usize, Option<usize>)>,
}

fn plans(pipeline: &ResolvedPipeline, task: usize, is_found: impl Fn(usize) -> bool) -> Vec<Plan> {
    let universe = pipeline.universe();
    let task = &pipeline.tasks()[task];
    let own = columns(universe, task.dimensions.required());
    let plan = |input: &crate::pipeline::ResolvedInput| {
        let predicted = input.type_index >= pipeline.overall_inputs().len();
        let existing = !predicted || is_found(input.type_index);
        let columns = columns(universe, input.dataset_type.dimensions.required());
        let columns = columns.into_iter().map(|c| (c, own.iter().position(|o| *o == c)));
        Plan { existing, predicted, varies: input.varies(), columns: columns.collect() }
    };
    task.inputs.iter().map(plan).collect()
}

/// The dimensions that a block of quanta of a task has values for, ascending.
fn dimensions(own: &[usize], plans: &[Plan]) -> Vec<usize> {
    let mut all: BTreeSet<usize> = own.iter().copied().collect();
    for plan in plans.iter().filter(|plan| plan.predicted) {
        all.extend(plan.columns.iter().filter(|(_, own)| own.is_none()).map(|(c, _)| *c));
    }
    all.into_iter().collect()
}

/// Cuts the quanta of a task into blocks.
pub(super) fn cuts(graph: &QuantumGraph, task: usize) -> Vec<Range<usize>> {
    let nodes = &graph.tasks[task];
    let mut cuts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for quantum in 0..nodes.rows.len() {
        let inputs = nodes.inputs.iter().map(|edges| edges.of(quantum).len());
        let cost = nodes.columns.len() + 2 * inputs.sum::<usize>();
        if quantum > start && (quantum - start == QUANTA || bytes + cost > BYTES) {
            cuts.push(start..quantum);
            (start, bytes) = (quantum, 0);
        }
        bytes += cost;
    }
    if start < nodes.rows.len() {
        cuts.push(start..nodes.rows.len());
    }
    cuts
}

/// The quanta `range` of a task; `input_blocks` says where all existing inputs are.
pub(super) fn encode(
    graph: &QuantumGraph,
    task: usize,
    range: &Range<usize>,
    input_blocks: &[(u32, u64)],
) -> Block {
    let nodes = &graph.tasks[task];
    let is_found = |of| graph.found().iter().any(|nodes| nodes.dataset_type == of);
    let plans = plans(&graph.pipeline, task, is_found);
    let mut encoder = Encoder::default();
    encoder.count(task);
    encoder.count(nodes.first as usize + range.start);
    encoder.count(range.len());
    encode_input_blocks(graph, task, range, input_blocks, &plans, &mut encoder);

    // Data IDs of predicted inputs, where the quantum's own does not give them.
    let stored = |edges: &InputEdges, position: usize| -> Vec<u32> {
        let datasets = range.clone().flat_map(|quantum| edges.of(quantum));
        datasets
            .map(|dataset| {
                let (group, local) = graph.locate_dataset(*dataset);
                graph.types[group].nodes.rows(&graph.tasks).row(local)[position]
            })
            .collect()
    };
    let mut dictionary = DictionaryBuilder::new(&dimensions(&nodes.columns, &plans));
    for quantum in range.clone() {
        for (column, code) in nodes.columns.iter().zip(nodes.rows.row(quantum)) {
            dictionary.add(*column, *code);
        }
    }
    let mut written = Vec::new();
    for (edges, plan) in nodes.inputs.iter().zip(&plans) {
        let mut columns = Vec::new();
        for (position, (column, own)) in plan.columns.iter().enumerate() {
            if plan.predicted && own.is_none() {
                let codes = stored(edges, position);
                for code in &codes {
                    dictionary.add(*column, *code);
                }
                columns.push((*column, codes));
            }
        }
        written.push(columns);
    }
    dictionary.finish(&graph.values, &mut encoder);
    for (position, column) in nodes.columns.iter().enumerate() {
        let codes = range.clone().map(|quantum| nodes.rows.row(quantum)[position]);
        encoder.numbers(codes.map(|code| dictionary.local(*column, code)));
    }
    for ((edges, plan), columns) in nodes.inputs.iter().zip(&plans).zip(written) {
        if plan.varies {
            encoder.numbers(range.clone().map(|quantum| narrow(edges.of(quantum).len())));
        }
        let datasets = range.clone().flat_map(|quantum| edges.of(quantum));
        if plan.existing && plan.predicted {
            let number = |dataset: &DatasetIndex| {
                if dataset.get() < graph.existing.len() { dataset.0 + 1 } else { 0 }
            };
            encoder.numbers(datasets.map(number));
        } else if plan.existing {
            encoder.numbers(datasets.map(|dataset| dataset.0));
        }
        for (column, codes) in columns {
            encoder.numbers(codes.iter().map(|code| dictionary.local(column, *code)));
        }
    }
    Block { plain: Vec::new(), data: encoder.bytes }
}

fn encode_input_blocks(
    graph: &QuantumGraph,
    task: usize,
    range: &Range<usize>,
    input_blocks: &[(u32, u64)],
    plans: &[Plan],
    encoder: &mut Encoder,
) {
    let mut used = BTreeSet::new();
    for (edges, _) in graph.tasks[task].inputs.iter().zip(plans).filter(|(_, p)| p.existing) {
        let datasets = range.clone().flat_map(|quantum| edges.of(quantum));
        for dataset in datasets.filter(|dataset| dataset.get() < graph.existing.len()) {
            used.insert(input_blocks.partition_point(|(first, _)| *first <= dataset.0) - 1);
        }
    }
    encoder.count(used.len());
    encoder.numbers(used.iter().map(|block| input_blocks[*block].0));
    let mut last = 0;
    for block in used {
        let offset = input_blocks[block].1;
        encoder.unsigned(offset - last);
        last = offset;
    }
}

pub(super) fn decode(
    block: &Block,
    pipeline: &ResolvedPipeline,
    found: &[FoundType],
    existing: u32,
) -> Result<QuantaBlock, GraphFileError> {
    decode_parts(block, pipeline, found, existing)
        .map_err(|Garbled(reason)| GraphFileError::malformed(QUANTUM_DATASETS, reason))
}

fn decode_parts(
    block: &Block,
    pipeline: &ResolvedPipeline,
    found: &[FoundType],
    existing: u32,
) -> Result<QuantaBlock, Garbled> {
    let fault = |what: &str| Garbled(what.to_owned());
    let universe = pipeline.universe();
    let mut decoder = Decoder::new(&block.data);
    let task = usize::try_from(decoder.unsigned()?).unwrap_or(usize::MAX);
    let definition =
        pipeline.tasks().get(task).ok_or_else(|| fault("a block is of no task of the pipeline"))?;
    let first = decoder.small()?;
    let count = decoder.count()?;
    let columns = columns(universe, definition.dimensions.required());
    if !block.plain.is_empty() || count == 0 || (columns.is_empty() && count > 1) {
        return Err(fault("a block has an impossible number of quanta"));
    }
    first.checked_add(narrow(count)).ok_or_else(|| fault("a block is out of range"))?;

    let blocks = decoder.count()?;
    let firsts = decoder.numbers(blocks, existing.into())?;
    let mut input_blocks = Vec::with_capacity(blocks);
    let mut offset = 0_u64;
    for number in firsts {
        offset = offset
            .checked_add(decoder.unsigned()?)
            .ok_or_else(|| fault("an offset is out of range"))?;
        input_blocks.push((number, offset));
    }

    let is_found = |of| found.iter().any(|own| own.dataset_type == of);
    let plans = plans(pipeline, task, is_found);
    let dictionary = Dictionary::decode(&mut decoder, universe, &dimensions(&columns, &plans))?;
    let mut by_column = Vec::with_capacity(columns.len());
    for column in &columns {
        by_column.push(decoder.numbers(count, dictionary.len(*column))?);
    }
    let mut rows = Rows::new(columns.len());
    for i in 0..count {
        rows.push(by_column.iter().map(|codes| codes[i]));
    }
    let mut inputs = Vec::with_capacity(plans.len());
    for plan in plans {
        inputs.push(decode_inputs(&mut decoder, plan, &dictionary, &rows, existing)?);
    }
    decoder.end()?;
    Ok(QuantaBlock { task, first, columns, dictionary, rows, inputs, input_blocks })
}

fn decode_inputs(
    decoder: &mut Decoder<'_>,
    plan: Plan,
    dictionary: &Dictionary,
    rows: &Rows,
    existing: u32,
) -> Result<BlockInputs, Garbled> {
    let fault = |what: &str| Garbled(what.to_owned());
    let mut total = rows.len();
    let mut offsets = None;
    if plan.varies {
        let mut starts = Vec::with_capacity(rows.len() + 1);
        let mut end = 0_u32;
        starts.push(0);
        // Without a written column, all inputs of a quantum would be the same one.
        let written = !plan.predicted || plan.columns.iter().any(|(_, own)| own.is_none());
        for length in decoder.numbers(rows.len(), 1 << 32)? {
            if !written && length > 1 {
                return Err(fault("a quantum has an input twice"));
            }
            end = end.checked_add(length).ok_or_else(|| fault("there are too many inputs"))?;
            starts.push(end);
        }
        total = end as usize;
        offsets = Some(starts);
    }
    let mut numbers = None;
    if plan.existing && plan.predicted {
        let all = decoder.numbers(total, u64::from(existing) + 1)?;
        numbers = Some(all.into_iter().map(|number| number.checked_sub(1)).collect());
    } else if plan.existing {
        let datasets = BlockDatasets::Existing(decoder.numbers(total, existing.into())?);
        return Ok(BlockInputs { offsets, datasets });
    }
    let mut written = Vec::with_capacity(plan.columns.len());
    for (column, own) in &plan.columns {
        written.push(match own {
            Some(_) => Vec::new(),
            None => decoder.numbers(total, dictionary.len(*column))?,
        });
    }
    let mut ids = Rows::new(plan.columns.len());
    for quantum in 0..rows.len() {
        let range = match &offsets {
            Some(offsets) => offsets[quantum] as usize..offsets[quantum + 1] as usize,
            None => quantum..quantum + 1,
        };
        for i in range {
            let codes = plan.columns.iter().zip(&written).map(|((_, own), written)| match own {
                Some(position) => rows.row(quantum)[*position],
                None => written[i],
            });
            ids.push(codes);
        }
    }
    let columns = plan.columns.into_iter().map(|(column, _)| column).collect();
    let datasets = match numbers {
        Some(numbers) => BlockDatasets::Mixed(numbers, columns, ids),
        None => BlockDatasets::Predicted(columns, ids),
    };
    Ok(BlockInputs { offsets, datasets })
}

impl BlockInputs {
    /// Which of `datasets` the quantum at position `i` of the block reads.
    pub(super) fn range(&self, i: usize) -> Range<usize> {
        match &self.offsets {
            Some(offsets) => offsets[i] as usize..offsets[i + 1] as usize,
            None => i..i + 1,
        }
    }
}
