//! Several graphs of one workspace as one.

use std::collections::{BTreeMap, BTreeSet};

use pantler_core::{CollectionName, DataId, DatasetId, DatasetTypeName, KeyValue};

use crate::{
    graph::{
        DatasetIndex, ExistingDataset, GraphMetadata, GraphParts, InputEdges, QuantumGraph,
        TooManyNodes, TypeNodes, TypeRows,
    },
    pipeline::{Pipeline, ResolvedPipeline, ResolvedTask},
    values::{Rows, ValueTable, columns, narrow},
};

/// Graphs that are not parts of one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is none.
    #[error("there is no graph")]
    Nothing,
    /// Another pipeline, RUN or opening.
    #[error("part {part} of the graph is of another {what} than the first")]
    Other {
        /// Which, from 1.
        part: usize,
        /// What is another one.
        what: &'static str,
    },
    /// Two parts read different datasets as the same input.
    #[error(
        "parts of the graph read different datasets as `{dataset_type}` {data_id}: {first} and {second}"
    )]
    Inputs {
        /// The type.
        dataset_type: DatasetTypeName,
        /// The data ID.
        data_id: Box<DataId>,
        /// One dataset.
        first: DatasetId,
        /// The other.
        second: DatasetId,
    },
    /// One part reads an existing dataset, and another one makes it.
    #[error("parts of the graph both find and make `{dataset_type}` {data_id}")]
    Both {
        /// The type.
        dataset_type: DatasetTypeName,
        /// The data ID.
        data_id: Box<DataId>,
    },
    /// A graph beyond 32-bit counts.
    #[error("the graph has too many quanta, datasets or edges (2^32 each at most)")]
    TooLarge,
}

impl QuantumGraph {
    /// All quanta of `base` and of a part that was built after it.
    ///
    /// # Errors
    /// [`MergeError`] if they do not belong together.
    pub fn merge_two(base: &Self, part: &Self) -> Result<Self, MergeError> {
        Self::merged(&[base, part])
    }

    /// All quanta of graphs that were built one after the other, each with what it reads.
    /// A quantum that is in several is as in the first.
    ///
    /// # Errors
    /// [`MergeError`] if they do not belong together.
    pub fn merge(mut parts: Vec<Self>) -> Result<Self, MergeError> {
        match parts.len() {
            0 => Err(MergeError::Nothing),
            1 => parts.pop().ok_or(MergeError::Nothing),
            _ => Self::merged(&parts.iter().collect::<Vec<_>>()),
        }
    }

    fn merged(parts: &[&Self]) -> Result<Self, MergeError> {
        check(parts)?;
        let (values, maps) = values(parts);
        let runs: BTreeSet<&CollectionName> = parts.iter().flat_map(|part| &part.runs).collect();
        let runs: Vec<CollectionName> = runs.into_iter().cloned().collect();
        let pipeline = parts[0].pipeline();
        let type_count = pipeline.dataset_types().len();

        // The rows of each task and each overall input, and where those of each part went.
        let task_rows: Vec<Union> = (0..pipeline.tasks().len())
            .map(|t| {
                let rows = parts.iter().map(|part| &part.tasks[t].rows);
                Union::of(rows, &maps, &parts[0].tasks[t].columns)
            })
            .collect();
        let (groups, existing) = existing(parts, &values, &maps, &runs)?;
        for Group { of, union } in &groups[pipeline.overall_inputs().len()..] {
            let dataset_type = &pipeline.dataset_types()[*of];
            let made = maker(pipeline, *of).map(|task| &task_rows[task].rows);
            if let Some(row) = union.rows.iter().find(|r| made.is_some_and(|m| m.find(r).is_some()))
            {
                let columns = columns(pipeline.universe(), dataset_type.dimensions.required());
                let data_id = values.data_id(&dataset_type.dimensions, &columns, row);
                let (dataset_type, data_id) = (dataset_type.name.clone(), Box::new(data_id));
                return Err(MergeError::Both { dataset_type, data_id });
            }
        }

        // Where the datasets of each group start, and those of each type that a task makes.
        let mut next = 0_usize;
        let mut start = |count: usize| {
            let first = u32::try_from(next).map_err(|_| MergeError::TooLarge);
            next += count;
            first
        };
        let mut found_firsts: Vec<Option<(usize, u32)>> = vec![None; type_count];
        for (position, Group { of, union }) in groups.iter().enumerate() {
            found_firsts[*of] = Some((position, start(union.rows.len())?));
        }
        let mut made_firsts: Vec<u32> = vec![0; type_count];
        for (task, union) in pipeline.tasks().iter().zip(&task_rows) {
            for output in &task.outputs {
                made_firsts[output.type_index] = start(union.rows.len())?;
            }
        }
        let place_of = |part: usize, dataset: DatasetIndex| {
            let (group, local) = parts[part].locate_dataset(dataset);
            let nodes = &parts[part].types[group];
            DatasetIndex(match (&nodes.nodes, found_firsts[nodes.dataset_type]) {
                (TypeRows::Made(task), _) => {
                    made_firsts[nodes.dataset_type] + task_rows[*task].places[part][local]
                }
                (TypeRows::Existing(_), Some((position, first))) => {
                    first + groups[position].union.places[part][local]
                }
                (TypeRows::Existing(_), None) => unreachable!("its type has a group"),
            })
        };
        let mut tasks = Vec::with_capacity(task_rows.len());
        for (t, (task, union)) in pipeline.tasks().iter().zip(&task_rows).enumerate() {
            let mut edges = Vec::with_capacity(task.inputs.len());
            for input in 0..task.inputs.len() {
                let of = |&(part, local): &(u32, u32)| {
                    let part = part as usize;
                    let own = parts[part].tasks[t].inputs[input].of(local as usize);
                    own.iter().map(move |dataset| place_of(part, *dataset))
                };
                edges.push(if task.inputs[input].varies() {
                    let mut offsets = vec![0];
                    let mut datasets = Vec::new();
                    for origin in &union.origins {
                        datasets.extend(of(origin));
                        let end = u32::try_from(datasets.len());
                        offsets.push(end.map_err(|_| MergeError::TooLarge)?);
                    }
                    InputEdges::Many { offsets, datasets }
                } else {
                    InputEdges::One(union.origins.iter().flat_map(of).collect())
                });
            }
            tasks.push(edges);
        }
        let metadata = GraphMetadata { scope: None, ..parts[0].metadata().clone() };
        let pruned = parts.iter().flat_map(|part| part.pruned()).cloned().collect();
        let skipped = parts.iter().flat_map(|part| part.skipped()).cloned().collect();
        let mut inputs: Vec<(usize, Rows)> =
            groups.into_iter().map(|group| (group.of, group.union.rows)).collect();
        let found = inputs.split_off(pipeline.overall_inputs().len());
        let rows = task_rows.into_iter().map(|union| union.rows);
        Self::assemble(GraphParts {
            pipeline: std::sync::Arc::clone(pipeline),
            metadata,
            values,
            tasks: rows.zip(tasks).collect(),
            inputs: inputs.into_iter().map(|(_, rows)| rows).collect(),
            found,
            existing,
            runs,
            pruned,
            skipped,
        })
        .map_err(|TooManyNodes| MergeError::TooLarge)
    }
}

fn check(parts: &[&QuantumGraph]) -> Result<(), MergeError> {
    let first = parts[0];
    let digest = |graph: &QuantumGraph| Pipeline::digest(graph.pipeline().pipeline());
    let wanted = digest(first);
    for (i, part) in parts.iter().enumerate().skip(1) {
        let other = |what| Err(MergeError::Other { part: i + 1, what });
        if digest(part) != wanted
            || part.pipeline().dataset_types() != first.pipeline().dataset_types()
        {
            return other("pipeline");
        }
        if part.output_run() != first.output_run() {
            return other("RUN");
        }
        if part.seed() != first.seed() {
            return other("opening");
        }
    }
    Ok(())
}

/// The values of all, and the new code of each code of each part.
fn values(parts: &[&QuantumGraph]) -> (ValueTable, Vec<Vec<Vec<u32>>>) {
    let dimensions = parts[0].values.columns.len();
    let mut values = ValueTable::default();
    let mut maps = vec![Vec::with_capacity(dimensions); parts.len()];
    for dimension in 0..dimensions {
        let all = parts.iter().flat_map(|part| &part.values.columns[dimension]);
        let all: BTreeSet<&KeyValue> = all.collect();
        let codes: BTreeMap<&KeyValue, u32> = all.iter().copied().zip(0..).collect();
        for (part, maps) in parts.iter().zip(&mut maps) {
            maps.push(part.values.columns[dimension].iter().map(|value| codes[value]).collect());
        }
        values.columns.push(all.into_iter().cloned().collect());
    }
    (values, maps)
}

/// Existing datasets of one type.
struct Group {
    /// Which of the pipeline's types.
    of: usize,
    union: Union,
}

/// The task that makes a type, by position.
fn maker(pipeline: &ResolvedPipeline, dataset_type: usize) -> Option<usize> {
    let makes = |task: &ResolvedTask| task.outputs.iter().any(|o| o.type_index == dataset_type);
    pipeline.tasks().iter().position(makes)
}

/// The existing datasets of all: the rows of each type, overall inputs first, and all
/// datasets.
fn existing(
    parts: &[&QuantumGraph],
    values: &ValueTable,
    maps: &[Vec<Vec<u32>>],
    runs: &[CollectionName],
) -> Result<(Vec<Group>, Vec<ExistingDataset>), MergeError> {
    let pipeline = parts[0].pipeline();
    let found: BTreeSet<usize> =
        parts.iter().flat_map(|part| part.found()).map(|nodes| nodes.dataset_type).collect();
    let mut groups = Vec::with_capacity(pipeline.overall_inputs().len() + found.len());
    let mut existing = Vec::new();
    let none = Rows::new(0);
    for of in (0..pipeline.overall_inputs().len()).chain(found) {
        let dataset_type = &pipeline.dataset_types()[of];
        let columns = columns(pipeline.universe(), dataset_type.dimensions.required());
        let nodes: Vec<Option<&TypeNodes>> = parts.iter().map(|part| group(part, of)).collect();
        let rows = parts
            .iter()
            .zip(&nodes)
            .map(|(part, nodes)| nodes.map_or(&none, |nodes| nodes.nodes.rows(&part.tasks)));
        let union = Union::of(rows, maps, &columns);
        let mut datasets: Vec<Option<ExistingDataset>> = vec![None; union.rows.len()];
        for ((part, nodes), places) in parts.iter().zip(&nodes).zip(&union.places) {
            let first = nodes.map_or(0, |nodes| nodes.first as usize);
            for (local, place) in places.iter().enumerate() {
                let own = &part.existing[first + local];
                match &datasets[*place as usize] {
                    Some(before) if before.id == own.id => {}
                    Some(before) => {
                        let row = union.rows.row(*place as usize);
                        let data_id = values.data_id(&dataset_type.dimensions, &columns, row);
                        return Err(MergeError::Inputs {
                            dataset_type: dataset_type.name.clone(),
                            data_id: Box::new(data_id),
                            first: before.id,
                            second: own.id,
                        });
                    }
                    None => {
                        let run = runs.binary_search(&part.runs[own.run as usize]);
                        let run = run.map_or(0, narrow);
                        datasets[*place as usize] = Some(ExistingDataset { run, ..own.clone() });
                    }
                }
            }
        }
        existing.extend(datasets.into_iter().flatten());
        groups.push(Group { of, union });
    }
    Ok((groups, existing))
}

/// The existing datasets of a type in one part.
fn group(part: &QuantumGraph, of: usize) -> Option<&TypeNodes> {
    part.types[..part.existing_types()].iter().find(|nodes| nodes.dataset_type == of)
}

/// The distinct rows of all parts, sorted.
struct Union {
    rows: Rows,
    /// For each row, the first part that has it, and where.
    origins: Vec<(u32, u32)>,
    /// For each part, where its rows went.
    places: Vec<Vec<u32>>,
}

impl Union {
    fn of<'a>(
        parts: impl Iterator<Item = &'a Rows>,
        maps: &[Vec<Vec<u32>>],
        columns: &[usize],
    ) -> Self {
        let mut all = Rows::new(columns.len());
        let mut origins = Vec::new();
        let mut places = Vec::new();
        for (part, (rows, maps)) in (0..).zip(parts.zip(maps)) {
            for (local, row) in (0..).zip(rows.iter()) {
                all.push(columns.iter().zip(row).map(|(c, code)| maps[*c][*code as usize]));
                origins.push((part, local));
            }
            places.push(vec![0; rows.len()]);
        }
        let mut order: Vec<u32> = (0..narrow(all.len())).collect();
        // Stable, so that the first part that has a row comes first.
        order.sort_by(|a, b| all.row(*a as usize).cmp(all.row(*b as usize)));
        let mut kept: Vec<u32> = Vec::new();
        for number in order {
            let same = |last: &u32| all.row(*last as usize) == all.row(number as usize);
            if !kept.last().is_some_and(same) {
                kept.push(number);
            }
            let (part, local): (u32, u32) = origins[number as usize];
            places[part as usize][local as usize] = narrow(kept.len() - 1);
        }
        let origins = kept.iter().map(|number| origins[*number as usize]).collect();
        Self { rows: all.take(&kept), origins, places }
    }
}
