//! Reading a graph file whole. Everything is checked against everything else: a file that
//! is read gives the graph that was written, or an error.

use std::{
    collections::BTreeMap,
    io::{Read, Seek},
    sync::Arc,
};

use pantler_core::CollectionName;

use super::{
    GraphFileError, address, block,
    container::{
        DIMENSION_DATA, INIT_QUANTA, INPUT_DATASETS, QUANTA, QUANTUM_DATASETS, THIN_GRAPH,
    },
    header::{DimensionDataV1, FoundType},
    inputs,
    quanta::{self, BlockDatasets, QuantaBlock},
    reader::{Opened, open},
    thin::{ThinGraph, ThinGraphV1},
};
use crate::{
    graph::{DatasetIndex, ExistingDataset, GraphParts, QuantumGraph},
    pipeline::ResolvedPipeline,
    values::{Rows, ValueTable, columns, narrow},
};

/// Reads a whole graph file.
///
/// # Errors
/// [`GraphFileError`] if `reader` fails, or if the file is damaged, of another version, or
/// too large.
pub fn read<R: Read + Seek>(reader: R) -> Result<QuantumGraph, GraphFileError> {
    let Opened { mut container, limits, header, metadata, pipeline, found, quanta, blocks, inputs } =
        open(reader)?;
    let universe = pipeline.universe();
    let values = container.json::<DimensionDataV1>(DIMENSION_DATA, limits)?.table(universe)?;
    let init: Vec<serde::de::IgnoredAny> = container.json(INIT_QUANTA, limits)?;
    if !init.is_empty() {
        return Err(GraphFileError::malformed(INIT_QUANTA, "it has quanta"));
    }
    let thin = container.json::<ThinGraphV1>(THIN_GRAPH, limits)?;
    let counts = header.counts;
    let thin = thin.expand(&pipeline, counts, &found, limits.edges())?;
    let mut file = container.into_inner();

    let mut contents = Contents::new(&pipeline, &values, &found, thin);
    let mut offset = 0;
    while offset < inputs.len {
        let (block, next) = block::read(&mut file, &inputs, offset)?;
        contents.add_inputs(&block)?;
        offset = next;
    }
    contents.check_inputs(counts.existing)?;
    let mut offsets = Vec::new();
    offset = 0;
    while offset < blocks.len {
        let (block, next) = block::read(&mut file, &blocks, offset)?;
        let decoded = quanta::decode(&block, &pipeline, &found, counts.existing)?;
        offsets.push((decoded.first, offset));
        contents.add_quanta(&decoded)?;
        offset = next;
    }
    contents.check_found()?;
    let Contents { rows, groups, existing, runs, thin, .. } = contents;
    for (rows, (count, _)) in rows.iter().zip(&thin.tasks) {
        if rows.len() != *count as usize || !rows.is_sorted_set() {
            return Err(GraphFileError::malformed(
                QUANTUM_DATASETS,
                "quanta are missing or not in order",
            ));
        }
    }
    let mut inputs: Vec<_> = groups.into_iter().map(|group| (group.of, group.rows)).collect();
    let found = inputs.split_off(pipeline.overall_inputs().len());
    let tasks = rows.into_iter().zip(thin.tasks).map(|(rows, (_, edges))| (rows, edges));
    let graph = QuantumGraph::assemble(GraphParts {
        pipeline: Arc::clone(&pipeline),
        metadata,
        values,
        tasks: tasks.collect(),
        inputs: inputs.into_iter().map(|(_, rows)| rows).collect(),
        found,
        existing,
        runs,
        pruned: Vec::new(),
        skipped: Vec::new(),
    })
    .map_err(|_| GraphFileError::malformed(THIN_GRAPH, "it has too many nodes"))?;

    // The table is not needed here, but a reader of one quantum will need it.
    let mut expected = graph.by_id();
    for page in 0..address::page_count(&quanta) {
        for address in address::read_page(&mut file, &quanta, page)? {
            let block = offsets.partition_point(|(first, _)| *first <= address.index);
            let offset = block.checked_sub(1).map(|block| offsets[block].1);
            if expected.next() != Some((address.id, address.index))
                || offset != Some(address.offset)
            {
                return Err(GraphFileError::malformed(QUANTA, "a row is not that of a quantum"));
            }
        }
    }
    drop(expected);
    Ok(graph)
}

struct Contents<'a> {
    pipeline: &'a ResolvedPipeline,
    values: &'a ValueTable,
    thin: ThinGraph,
    /// The quanta of each task.
    rows: Vec<Rows>,
    quanta: u32,
    /// The existing datasets of each type that has some.
    groups: Vec<Group>,
    existing: Vec<ExistingDataset>,
    runs: Vec<CollectionName>,
    run_index: BTreeMap<CollectionName, u32>,
    /// The task that makes each type, and where what it makes starts.
    makers: Vec<Option<(usize, u32)>>,
}

/// Existing datasets of a type.
struct Group {
    of: usize,
    start: u32,
    count: u32,
    rows: Rows,
}

impl<'a> Contents<'a> {
    fn new(
        pipeline: &'a ResolvedPipeline,
        values: &'a ValueTable,
        found: &[FoundType],
        thin: ThinGraph,
    ) -> Self {
        let universe = pipeline.universe();
        let width =
            |group: &pantler_core::DimensionGroup| columns(universe, group.required()).len();
        let found = found.iter().map(|own| (own.dataset_type, own.datasets));
        let mut groups = Vec::new();
        let mut next = 0;
        for (of, count) in thin.inputs.iter().copied().enumerate().chain(found) {
            let rows = Rows::new(width(&pipeline.dataset_types()[of].dimensions));
            groups.push(Group { of, start: next, count, rows });
            next += count;
        }
        let mut makers = vec![None; pipeline.dataset_types().len()];
        for (i, (task, (count, _))) in pipeline.tasks().iter().zip(&thin.tasks).enumerate() {
            for output in &task.outputs {
                makers[output.type_index] = Some((i, next));
                next += count;
            }
        }
        Self {
            pipeline,
            values,
            rows: pipeline.tasks().iter().map(|t| Rows::new(width(&t.dimensions))).collect(),
            quanta: 0,
            groups,
            existing: Vec::new(),
            runs: Vec::new(),
            run_index: BTreeMap::new(),
            thin,
            makers,
        }
    }

    fn add_inputs(&mut self, block: &block::Block) -> Result<(), GraphFileError> {
        let malformed = |reason: &str| GraphFileError::malformed(INPUT_DATASETS, reason);
        let block = inputs::decode(block, self.pipeline)?;
        let group = self.groups.iter_mut().find(|group| group.of == block.type_index);
        let Group { rows, start, .. } =
            group.ok_or_else(|| malformed("a block is of a type without existing datasets"))?;
        let expected = *start as usize + rows.len();
        if block.first as usize != self.existing.len() || expected != self.existing.len() {
            return Err(malformed("blocks are not in order"));
        }
        let codes = block
            .dictionary
            .codes(self.values)
            .ok_or_else(|| malformed("a value is not in `dimension_data`"))?;
        let maps: Vec<&[u32]> = block.columns.iter().map(|c| &*codes[c]).collect();
        for row in block.rows.iter() {
            rows.push(row.iter().zip(&maps).map(|(code, map)| map[*code as usize]));
        }
        let mut run_map = Vec::with_capacity(block.runs.len());
        for run in block.runs {
            let next = narrow(self.runs.len());
            let index = *self.run_index.entry(run.clone()).or_insert(next);
            if index == next {
                self.runs.push(run);
            }
            run_map.push(index);
        }
        for mut dataset in block.datasets {
            dataset.run = run_map[dataset.run as usize];
            self.existing.push(dataset);
        }
        Ok(())
    }

    fn check_inputs(&mut self, existing: u32) -> Result<(), GraphFileError> {
        let mut groups = self.groups.iter();
        let right = groups
            .all(|group| group.rows.len() == group.count as usize && group.rows.is_sorted_set());
        if !right || self.existing.len() != existing as usize {
            return Err(GraphFileError::malformed(
                INPUT_DATASETS,
                "datasets are missing or not in order",
            ));
        }
        // In the order of their names, as building leaves them.
        let mut map = vec![0; self.runs.len()];
        for (new, old) in self.run_index.values().enumerate() {
            map[*old as usize] = narrow(new);
        }
        self.runs.sort_unstable();
        for dataset in &mut self.existing {
            dataset.run = map[dataset.run as usize];
        }
        Ok(())
    }

    fn add_quanta(&mut self, block: &QuantaBlock) -> Result<(), GraphFileError> {
        let malformed = |reason: &str| GraphFileError::malformed(QUANTUM_DATASETS, reason);
        let done: u32 = self.thin.tasks[..block.task].iter().map(|(count, _)| count).sum();
        let start = self.rows[block.task].len();
        if block.first != self.quanta
            || done as usize + start != self.quanta as usize
            || start + block.rows.len() > self.thin.tasks[block.task].0 as usize
        {
            return Err(malformed("blocks are not in order"));
        }
        let codes = block
            .dictionary
            .codes(self.values)
            .ok_or_else(|| malformed("a value is not in `dimension_data`"))?;
        let maps: Vec<&[u32]> = block.columns.iter().map(|c| &*codes[c]).collect();
        for row in block.rows.iter() {
            self.rows[block.task]
                .push(row.iter().zip(&maps).map(|(code, map)| map[*code as usize]));
        }
        self.quanta += narrow(block.rows.len());

        // The thin graph and the blocks say the same about inputs.
        let edges = &self.thin.tasks[block.task].1;
        for (i, (inputs, edges)) in block.inputs.iter().zip(edges).enumerate() {
            let maps: Vec<&[u32]> = match &inputs.datasets {
                BlockDatasets::Existing(_) => Vec::new(),
                BlockDatasets::Predicted(columns, _) | BlockDatasets::Mixed(_, columns, _) => {
                    columns.iter().map(|c| &*codes[c]).collect()
                }
            };
            let type_index = self.pipeline.tasks()[block.task].inputs[i].type_index;
            let data_id = |rows: &Rows, i: usize| -> Vec<u32> {
                rows.row(i).iter().zip(&maps).map(|(code, map)| map[*code as usize]).collect()
            };
            for quantum in 0..block.rows.len() {
                let thin = edges.of(start + quantum);
                let range = inputs.range(quantum);
                let is_in_order = match &inputs.datasets {
                    // Those that exist stand between the others.
                    BlockDatasets::Mixed(_, _, rows) => {
                        range.clone().map(|i| data_id(rows, i)).is_sorted_by(|a, b| a < b)
                    }
                    BlockDatasets::Existing(_) | BlockDatasets::Predicted(..) => {
                        thin.is_sorted_by(|a, b| a < b)
                    }
                };
                let same = range.len() == thin.len()
                    && is_in_order
                    && range.zip(thin).all(|(i, dataset)| match &inputs.datasets {
                        BlockDatasets::Existing(numbers) => numbers[i] == dataset.0,
                        BlockDatasets::Predicted(_, rows) => {
                            let row = rows.row(i).iter().zip(&maps);
                            self.is_row(type_index, *dataset, row.map(|(c, m)| m[*c as usize]))
                        }
                        BlockDatasets::Mixed(numbers, _, rows) => match numbers[i] {
                            Some(number) => {
                                number == dataset.0
                                    && self.is_found(type_index, *dataset, &data_id(rows, i))
                            }
                            None => self.is_row(type_index, *dataset, data_id(rows, i).into_iter()),
                        },
                    });
                if !same {
                    return Err(malformed("inputs are not those of the thin graph"));
                }
            }
        }
        Ok(())
    }

    /// Refuses datasets that exist and are predicted, too.
    fn check_found(&self) -> Result<(), GraphFileError> {
        for group in &self.groups {
            let Some((task, _)) = self.makers[group.of] else { continue };
            if group.rows.iter().any(|row| self.rows[task].find(row).is_some()) {
                let reason = "a dataset exists and is predicted";
                return Err(GraphFileError::malformed(INPUT_DATASETS, reason));
            }
        }
        Ok(())
    }

    /// Whether the existing dataset has this data ID.
    fn is_found(&self, type_index: usize, dataset: DatasetIndex, row: &[u32]) -> bool {
        let group = self.groups.iter().find(|group| group.of == type_index);
        group.is_some_and(|Group { start, rows, .. }| {
            let local = dataset.0.wrapping_sub(*start) as usize;
            local < rows.len() && rows.row(local) == row
        })
    }

    /// Whether the predicted dataset has this data ID.
    fn is_row(
        &self,
        type_index: usize,
        dataset: DatasetIndex,
        row: impl Iterator<Item = u32>,
    ) -> bool {
        let Some((task, start)) = self.makers[type_index] else { return false };
        let local = dataset.0.wrapping_sub(start) as usize;
        let rows = &self.rows[task];
        local < rows.len() && rows.row(local).iter().copied().eq(row)
    }
}
