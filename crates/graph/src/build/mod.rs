//! Building a quantum graph.
//!
//! Everything existing is read once and becomes relations over small integers (`load`).
//! Then, task by task from upstream, inputs are joined into quanta (`candidates`), whose
//! data IDs are those of their outputs, which the next tasks join. What has no partner is
//! pruned with a reason, and what exists already is skipped (`skip`). At the end, datasets and values that no quantum uses are
//! dropped.

mod candidates;
mod explain;
#[cfg(test)]
mod explain_tests;
mod load;
mod prerequisites;
#[cfg(test)]
mod prerequisites_tests;
mod prune;
mod relation;
mod scope;
#[cfg(test)]
mod scope_tests;
mod skip;
#[cfg(test)]
mod skip_tests;
mod source;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use pantler_core::CollectionName;

pub use self::{
    explain::{Explanation, Finding, LackedInput, MissingInput, explain},
    prerequisites::MissingPrerequisite,
    prune::{PartialDataId, PruneReason, Pruned},
    scope::BuildScope,
    skip::{ExistingOutputs, Skipped, needed_outputs},
    source::{BuildError, BuildSource, InputDataset},
};

use self::{
    candidates::Surroundings,
    load::Loaded,
    prerequisites::Lacking,
    relation::{Index, Relation},
    scope::WithBase,
    skip::{Cut, Readable},
};
use crate::{
    graph::{DatasetIndex, ExistingDataset, GraphMetadata, GraphParts, InputEdges, QuantumGraph},
    pipeline::{ResolvedPipeline, ResolvedTask},
    values::{Rows, ValueTable, columns, narrow},
};

/// Builds the graph of all quanta of `pipeline` whose inputs `source` has. A graph
/// without quanta is not an error here: [`QuantumGraph::pruned`] says why.
///
/// # Errors
/// [`BuildError`] if the source fails or contradicts itself, or quanta lack prerequisites.
pub fn build<S: BuildSource>(
    pipeline: &Arc<ResolvedPipeline>,
    source: &S,
    metadata: GraphMetadata,
) -> Result<QuantumGraph, BuildError<S::Error>> {
    build_part(pipeline, source, metadata, &BuildScope::default())
}

/// Builds the quanta of a part of `pipeline` that are not built yet, and holds with them
/// the built ones whose outputs they read. A graph without quanta says that there is
/// nothing new.
///
/// # Errors
/// [`BuildError`] if the source fails or contradicts itself, quanta lack prerequisites, or the
/// restriction names a dimension that the pipeline does not have.
pub fn build_part<S: BuildSource>(
    pipeline: &Arc<ResolvedPipeline>,
    source: &S,
    metadata: GraphMetadata,
    scope: &BuildScope<'_>,
) -> Result<QuantumGraph, BuildError<S::Error>> {
    build_with(pipeline, source, metadata, scope, Lacking::Fails)
}

/// As [`build_part`], without the quanta that lack a prerequisite and those that need their
/// outputs: what [`explain`] says something about. It is not for running.
///
/// # Errors
/// Those of [`build_part`], but for prerequisites.
pub fn outline_part<S: BuildSource>(
    pipeline: &Arc<ResolvedPipeline>,
    source: &S,
    metadata: GraphMetadata,
    scope: &BuildScope<'_>,
) -> Result<QuantumGraph, BuildError<S::Error>> {
    build_with(pipeline, source, metadata, scope, Lacking::IsLeftOut)
}

fn build_with<S: BuildSource>(
    pipeline: &Arc<ResolvedPipeline>,
    source: &S,
    metadata: GraphMetadata,
    scope: &BuildScope<'_>,
    lacking: Lacking,
) -> Result<QuantumGraph, BuildError<S::Error>> {
    let universe = &**pipeline.universe();
    if source.universe() != universe {
        return Err(BuildError::Universe {
            pipeline: universe.name().clone(),
            source_name: source.universe().name().clone(),
        });
    }
    if let Some(dimension) = scope.unknown(pipeline) {
        return Err(BuildError::NoSuchDimension { dimension });
    }
    let source = &WithBase { source, base: scope.base };
    let elements: BTreeSet<usize> = pipeline
        .tasks()
        .iter()
        .flat_map(|task| candidates::unconstrained(universe, task))
        .collect();
    let Loaded { values, inputs, records, runs, built, found } =
        load::load(pipeline, source, &elements, scope.base)?;
    let type_count = pipeline.dataset_types().len();
    let mut types: Vec<Option<Relation>> = Vec::with_capacity(type_count);
    let mut existing = Existing::default();
    for (input, dataset_type) in inputs.into_iter().zip(pipeline.overall_inputs()) {
        let rows = input.relation.rows.narrowed(dataset_type.dimensions.required().len());
        existing.types.push((rows, input.datasets));
        types.push(Some(input.relation));
    }
    types.resize_with(type_count, || None);
    existing.types.resize_with(type_count, || (Rows::new(0), Vec::new()));
    existing.places.resize_with(type_count, || None);

    let wanted = scope.with_upstream(pipeline);
    let (mut pruned, mut skipped) = (Vec::new(), Vec::new());
    let mut missing = Vec::new();
    let mut tasks: Vec<(Rows, Vec<InputEdges>)> = Vec::with_capacity(pipeline.tasks().len());
    for (((task, built), found), is_wanted) in
        pipeline.tasks().iter().zip(&built).zip(&found).zip(wanted)
    {
        let mut quanta = built.clone();
        let mut there = found.before.clone();
        if scope.has(task) || is_wanted && found.has_whole() {
            let around =
                Surroundings { pipeline, types: &types, records: &records, values: &values };
            let mut own = Vec::new();
            let all = candidates::candidates(&around, task, scope, &mut own);
            let cut = found.cut(task, all, built, scope.has(task));
            let Cut { mut open, skipped: now, summary } = cut;
            there.add(&now);
            skipped.extend(summary);
            if scope.has(task) {
                pruned.append(&mut own);
                let own = prerequisites::look_up(&around, task, &mut open, &built.rows, lacking);
                missing.extend(own);
                quanta = open;
                quanta.add(built);
            }
        }
        let edges = if missing.is_empty() || lacking == Lacking::IsLeftOut {
            edges(universe, task, &quanta, &types, &existing, &values, scope)
                .ok_or(BuildError::TooLarge)?
        } else {
            // Only asked for what else is missing.
            Vec::new()
        };
        let rows = quanta.rows.narrowed(task.dimensions.required().len());
        // Only what other tasks read is needed as a relation.
        for (position, output) in task.outputs.iter().enumerate() {
            if !is_read(pipeline, output.type_index) {
                continue;
            }
            if there.rows.len() == 0 {
                types[output.type_index] = Some(quanta.clone());
                continue;
            }
            let Readable { relation, places, rows, datasets } =
                Readable::new(found, position, &quanta, &there);
            types[output.type_index] = Some(relation);
            existing.types[output.type_index] = (rows, datasets);
            existing.places[output.type_index] = Some(places);
        }
        tasks.push((rows, edges));
    }
    if lacking == Lacking::Fails && !missing.is_empty() {
        return Err(BuildError::Prerequisites(missing));
    }
    if scope.base.is_some() {
        scope::keep_new(pipeline, &mut tasks, &built, &existing.counts());
    }

    drop(types);
    let parts = Parts { metadata, values, tasks, existing, runs, pruned, skipped };
    assemble(pipeline, parts).ok_or(BuildError::TooLarge)
}

/// What a graph is made from, before what no quantum needs is dropped.
struct Parts {
    metadata: GraphMetadata,
    values: ValueTable,
    tasks: Vec<(Rows, Vec<InputEdges>)>,
    existing: Existing,
    runs: Vec<CollectionName>,
    pruned: Vec<Pruned>,
    skipped: Vec<Skipped>,
}

/// The graph without datasets and values that no quantum uses; `None` if it is too large.
fn assemble(pipeline: &Arc<ResolvedPipeline>, parts: Parts) -> Option<QuantumGraph> {
    let Parts { metadata, mut values, mut tasks, existing, mut runs, pruned, skipped } = parts;
    let universe = &**pipeline.universe();
    let counts = existing.counts();
    let kept = used(pipeline, &tasks, &counts);
    let mut rows = Vec::with_capacity(counts.len());
    let mut datasets = Vec::new();
    for ((own_rows, own), kept) in existing.types.into_iter().zip(&kept) {
        rows.push(own_rows.take(kept));
        let mut next = kept.iter().peekable();
        for (i, dataset) in own.into_iter().enumerate() {
            if next.next_if(|kept| **kept as usize == i).is_some() {
                datasets.push(dataset);
            }
        }
    }
    number_datasets(pipeline, &mut tasks, &counts, &kept)?;
    let found_rows = rows.split_off(pipeline.overall_inputs().len());
    let mut input_rows = rows;
    let mut found_rows: Vec<(usize, Rows)> =
        (input_rows.len()..).zip(found_rows).filter(|(_, rows)| rows.len() > 0).collect();
    let mut all_rows = Vec::new();
    for (task, (rows, _)) in pipeline.tasks().iter().zip(&mut tasks) {
        all_rows.push((columns(universe, task.dimensions.required()), rows));
    }
    let found = found_rows.iter_mut().map(|(of, rows)| (*of, rows));
    for (of, rows) in (0..).zip(&mut input_rows).chain(found) {
        let dataset_type = &pipeline.dataset_types()[of];
        all_rows.push((columns(universe, dataset_type.dimensions.required()), rows));
    }
    compact_values(&mut values, &mut all_rows);
    compact_runs(&mut runs, &mut datasets);
    QuantumGraph::assemble(GraphParts {
        pipeline: Arc::clone(pipeline),
        metadata,
        values,
        tasks,
        inputs: input_rows,
        found: found_rows,
        existing: datasets,
        runs,
        pruned,
        skipped,
    })
    .ok()
}

/// Existing datasets by type: overall inputs, and what was found of what tasks make.
#[derive(Default)]
struct Existing {
    /// The data IDs, sorted, and the datasets.
    types: Vec<(Rows, Vec<ExistingDataset>)>,
    /// For each row of the relation of a type that has found and predicted datasets, the
    /// number of the dataset: found ones come first.
    places: Vec<Option<Vec<u32>>>,
}

impl Existing {
    fn counts(&self) -> Vec<usize> {
        self.types.iter().map(|(rows, _)| rows.len()).collect()
    }

    /// The dataset of a row of a type's relation.
    fn dataset(&self, type_index: usize, row: u32) -> DatasetIndex {
        let places = self.places[type_index].as_ref();
        DatasetIndex(places.map_or(row, |places| places[row as usize]))
    }
}

fn is_read(pipeline: &ResolvedPipeline, type_index: usize) -> bool {
    pipeline.tasks().iter().any(|task| task.inputs.iter().any(|i| i.type_index == type_index))
}

/// The inputs of the quanta of a task, counted inside each dataset type; `None` if a
/// connection has too many.
fn edges(
    universe: &pantler_core::Universe,
    task: &ResolvedTask,
    quanta: &Relation,
    types: &[Option<Relation>],
    existing: &Existing,
    values: &ValueTable,
    scope: &BuildScope<'_>,
) -> Option<Vec<InputEdges>> {
    let mut all = Vec::with_capacity(task.inputs.len());
    for input in &task.inputs {
        let relation = types[input.type_index].as_ref().expect("upstream tasks come first");
        let mut key = Vec::new();
        if input.varies() {
            let shared = quanta.shared(relation);
            let positions = quanta.positions(&shared);
            let index = Index::new(relation, &shared);
            let meant = scope.meant(universe, values, &relation.columns, &relation.rows);
            let meant = meant.filter(|_| !input.prerequisite);
            let is_meant = |i: &&u32| meant.as_ref().is_none_or(|meant| meant[**i as usize]);
            let mut offsets = Vec::with_capacity(quanta.rows.len() + 1);
            let mut datasets: Vec<DatasetIndex> = Vec::new();
            offsets.push(0);
            for row in quanta.rows.iter() {
                key.clear();
                key.extend(positions.iter().map(|p| row[*p]));
                let found = index.get(&key).iter().filter(is_meant);
                datasets.extend(found.map(|i| existing.dataset(input.type_index, *i)));
                offsets.push(u32::try_from(datasets.len()).ok()?);
            }
            all.push(InputEdges::Many { offsets, datasets });
        } else {
            let required = columns(universe, input.dataset_type.dimensions.required());
            let positions = quanta.positions(&required);
            let mut datasets = Vec::with_capacity(quanta.rows.len());
            for row in quanta.rows.iter() {
                key.clear();
                key.extend(positions.iter().map(|p| row[*p]));
                let found = relation.rows.find(&key).expect("quanta were found with this input");
                datasets.push(existing.dataset(input.type_index, narrow(found)));
            }
            all.push(InputEdges::One(datasets));
        }
    }
    Some(all)
}

/// For each type, the numbers of the existing datasets that are read; there are so many.
fn used(
    pipeline: &ResolvedPipeline,
    tasks: &[(Rows, Vec<InputEdges>)],
    existing: &[usize],
) -> Vec<Vec<u32>> {
    let mut used: Vec<Vec<bool>> = existing.iter().map(|count| vec![false; *count]).collect();
    for (task, (_, edges)) in pipeline.tasks().iter().zip(tasks) {
        for (input, edges) in task.inputs.iter().zip(edges) {
            let used = &mut used[input.type_index];
            for dataset in edges.datasets() {
                if let Some(used) = used.get_mut(dataset.get()) {
                    *used = true;
                }
            }
        }
    }
    let numbers = |used: Vec<bool>| (0..narrow(used.len())).filter(|i| used[*i as usize]).collect();
    used.into_iter().map(numbers).collect()
}

/// From numbers inside each dataset type to numbers of the whole graph. Of each type, the
/// first `existing` ones were there, of which those that are `kept` stay.
fn number_datasets(
    pipeline: &ResolvedPipeline,
    tasks: &mut [(Rows, Vec<InputEdges>)],
    existing: &[usize],
    kept: &[Vec<u32>],
) -> Option<()> {
    let mut next = 0_usize;
    let mut start = |count: usize| {
        let first = u32::try_from(next).ok();
        next += count;
        first
    };
    let mut firsts = Vec::with_capacity(kept.len());
    for kept in kept {
        firsts.push(start(kept.len())?);
    }
    let mut made_firsts = vec![0; kept.len()];
    for (task, (rows, _)) in pipeline.tasks().iter().zip(&*tasks) {
        for output in &task.outputs {
            made_firsts[output.type_index] = start(rows.len())?;
        }
    }
    u32::try_from(next).ok()?;
    for (task, (_, edges)) in pipeline.tasks().iter().zip(tasks) {
        for (input, edges) in task.inputs.iter().zip(edges) {
            let (InputEdges::One(datasets) | InputEdges::Many { datasets, .. }) = edges;
            let of = input.type_index;
            let there = narrow(existing[of]);
            // `kept` is sorted, so a position in it is the new number.
            let unchanged = kept[of].len() == existing[of];
            for dataset in datasets {
                let number = match dataset.0.checked_sub(there) {
                    Some(made) => made_firsts[of] + made,
                    None if unchanged => firsts[of] + dataset.0,
                    None => {
                        let place = kept[of].binary_search(&dataset.0);
                        firsts[of] + narrow(place.expect("read datasets are kept"))
                    }
                };
                *dataset = DatasetIndex(number);
            }
        }
    }
    Some(())
}

/// Drops values that no row has.
fn compact_values(values: &mut ValueTable, all_rows: &mut [(Vec<usize>, &mut Rows)]) {
    let mut used: Vec<Vec<bool>> = values.columns.iter().map(|v| vec![false; v.len()]).collect();
    for (columns, rows) in &*all_rows {
        for row in rows.iter() {
            for (column, code) in columns.iter().zip(row) {
                used[*column][*code as usize] = true;
            }
        }
    }
    let maps: Vec<Vec<u32>> = used.iter().map(|used| renumber(used)).collect();
    for (column, used) in values.columns.iter_mut().zip(&used) {
        let mut used = used.iter();
        column.retain(|_| *used.next().expect("one flag per value"));
    }
    for (columns, rows) in all_rows {
        let maps: Vec<&[u32]> = columns.iter().map(|c| &*maps[*c]).collect();
        rows.recode(&maps);
    }
}

/// Drops runs that own no dataset, and puts the others in order, so that the order in
/// which a source gives its datasets does not matter.
fn compact_runs(runs: &mut Vec<CollectionName>, datasets: &mut [ExistingDataset]) {
    let used: BTreeSet<&CollectionName> =
        datasets.iter().map(|dataset| &runs[dataset.run as usize]).collect();
    let kept: Vec<CollectionName> = used.into_iter().cloned().collect();
    let map: Vec<u32> = runs.iter().map(|run| kept.binary_search(run).map_or(0, narrow)).collect();
    for dataset in datasets {
        dataset.run = map[dataset.run as usize];
    }
    *runs = kept;
}

/// The new number of each used element.
fn renumber(used: &[bool]) -> Vec<u32> {
    let mut next = 0;
    used.iter()
        .map(|used| {
            let number = next;
            next += u32::from(*used);
            number
        })
        .collect()
}
