//! Building a quantum graph.
//!
//! Everything existing is read once and becomes relations over small integers (`load`).
//! Then, task by task from upstream, inputs are joined into quanta (`candidates`), whose
//! data IDs are those of their outputs, which the next tasks join. What has no partner is
//! pruned with a reason. At the end, datasets and values that no quantum uses are
//! dropped.

mod candidates;
mod explain;
#[cfg(test)]
mod explain_tests;
mod load;
mod prune;
mod relation;
mod scope;
#[cfg(test)]
mod scope_tests;
mod source;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use pantler_core::CollectionName;

pub use self::{
    explain::{Explanation, Finding, MissingInput, explain},
    prune::{PartialDataId, PruneReason, Pruned},
    scope::BuildScope,
    source::{BuildError, BuildSource, InputDataset},
};

use self::{
    candidates::Surroundings,
    load::Loaded,
    relation::{Index, Relation},
    scope::WithBase,
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
/// [`BuildError`] if the source fails or contradicts itself.
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
/// [`BuildError`] if the source fails or contradicts itself, or the restriction names a
/// dimension that the pipeline does not have.
pub fn build_part<S: BuildSource>(
    pipeline: &Arc<ResolvedPipeline>,
    source: &S,
    metadata: GraphMetadata,
    scope: &BuildScope<'_>,
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
    let Loaded { mut values, inputs, records, mut runs, built } =
        load::load(pipeline, source, &elements, scope.base)?;
    let mut existing = Vec::with_capacity(inputs.len());
    let mut types: Vec<Option<Relation>> = Vec::with_capacity(pipeline.dataset_types().len());
    for input in inputs {
        types.push(Some(input.relation));
        existing.push(input.datasets);
    }
    types.resize_with(pipeline.dataset_types().len(), || None);

    let mut pruned = Vec::new();
    let mut tasks: Vec<(Rows, Vec<InputEdges>)> = Vec::with_capacity(pipeline.tasks().len());
    for (task, built) in pipeline.tasks().iter().zip(&built) {
        let quanta = if scope.has(task) {
            let around =
                Surroundings { pipeline, types: &types, records: &records, values: &values };
            let mut quanta = candidates::candidates(&around, task, scope, &mut pruned);
            quanta.add(built);
            quanta
        } else {
            built.clone()
        };
        let edges =
            edges(universe, task, &quanta, &types, &values, scope).ok_or(BuildError::TooLarge)?;
        let rows = quanta.rows.narrowed(task.dimensions.required().len());
        // Only what other tasks read is needed as a relation.
        for output in &task.outputs {
            if is_read(pipeline, output.type_index) {
                types[output.type_index] = Some(quanta.clone());
            }
        }
        tasks.push((rows, edges));
    }
    if scope.base.is_some() {
        scope::keep_new(pipeline, &mut tasks, &built);
    }

    // From here on, an input's datasets are those that some quantum reads.
    let input_count = existing.len();
    let kept = used_inputs(pipeline, &tasks, &existing);
    let mut input_rows = Vec::with_capacity(input_count);
    let mut datasets = Vec::new();
    for ((own, kept), (relation, dataset_type)) in
        existing.into_iter().zip(&kept).zip(types.iter().zip(pipeline.overall_inputs()))
    {
        let relation = relation.as_ref().expect("overall inputs were loaded");
        let required = relation.rows.narrowed(dataset_type.dimensions.required().len());
        input_rows.push(required.take(kept));
        let mut next = kept.iter().peekable();
        for (i, dataset) in own.into_iter().enumerate() {
            if next.next_if(|kept| **kept as usize == i).is_some() {
                datasets.push(dataset);
            }
        }
    }
    drop(types);
    number_datasets(pipeline, &mut tasks, &input_rows, &kept).ok_or(BuildError::TooLarge)?;
    let mut all_rows = Vec::new();
    for (task, (rows, _)) in pipeline.tasks().iter().zip(&mut tasks) {
        all_rows.push((columns(universe, task.dimensions.required()), rows));
    }
    for (dataset_type, rows) in pipeline.overall_inputs().iter().zip(&mut input_rows) {
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
        existing: datasets,
        runs,
        pruned,
    })
    .map_err(|_| BuildError::TooLarge)
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
            let is_meant = |i: &&u32| meant.as_ref().is_none_or(|meant| meant[**i as usize]);
            let mut offsets = Vec::with_capacity(quanta.rows.len() + 1);
            let mut datasets: Vec<DatasetIndex> = Vec::new();
            offsets.push(0);
            for row in quanta.rows.iter() {
                key.clear();
                key.extend(positions.iter().map(|p| row[*p]));
                let found = index.get(&key).iter().filter(is_meant);
                datasets.extend(found.map(|i| DatasetIndex(*i)));
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
                let found = relation.rows.find(&key).expect("quanta were joined with this input");
                datasets.push(DatasetIndex(narrow(found)));
            }
            all.push(InputEdges::One(datasets));
        }
    }
    Some(all)
}

/// For each overall input, the numbers of the datasets that are read.
fn used_inputs<T>(
    pipeline: &ResolvedPipeline,
    tasks: &[(Rows, Vec<InputEdges>)],
    existing: &[Vec<T>],
) -> Vec<Vec<u32>> {
    let mut used: Vec<Vec<bool>> = existing.iter().map(|own| vec![false; own.len()]).collect();
    for (task, (_, edges)) in pipeline.tasks().iter().zip(tasks) {
        for (input, edges) in task.inputs.iter().zip(edges) {
            if let Some(used) = used.get_mut(input.type_index) {
                for dataset in edges.datasets() {
                    used[dataset.get()] = true;
                }
            }
        }
    }
    let numbers = |used: Vec<bool>| (0..narrow(used.len())).filter(|i| used[*i as usize]).collect();
    used.into_iter().map(numbers).collect()
}

/// From numbers inside each dataset type to numbers of the whole graph.
fn number_datasets(
    pipeline: &ResolvedPipeline,
    tasks: &mut [(Rows, Vec<InputEdges>)],
    inputs: &[Rows],
    kept: &[Vec<u32>],
) -> Option<()> {
    let mut firsts = Vec::with_capacity(pipeline.dataset_types().len());
    let mut next = 0_usize;
    let made = pipeline
        .tasks()
        .iter()
        .zip(&*tasks)
        .flat_map(|(task, (rows, _))| task.outputs.iter().map(|_| rows.len()));
    for count in inputs.iter().map(Rows::len).chain(made) {
        firsts.push(u32::try_from(next).ok()?);
        next += count;
    }
    u32::try_from(next).ok()?;
    for (task, (_, edges)) in pipeline.tasks().iter().zip(tasks) {
        for (input, edges) in task.inputs.iter().zip(edges) {
            let (InputEdges::One(datasets) | InputEdges::Many { datasets, .. }) = edges;
            let first = firsts[input.type_index];
            // `kept` is sorted, so a position in it is the new number.
            let kept = kept.get(input.type_index);
            let unchanged = kept
                .is_none_or(|kept| kept.last().is_none_or(|last| *last as usize + 1 == kept.len()));
            for dataset in datasets {
                let local = match kept {
                    Some(kept) if !unchanged => {
                        narrow(kept.binary_search(&dataset.0).expect("read datasets are kept"))
                    }
                    _ => dataset.0,
                };
                *dataset = DatasetIndex(first + local);
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
