//! What of a pipeline is built, and what is there already.

use std::collections::{BTreeMap, BTreeSet};

use pantler_core::{
    DatasetTypeName, DimensionRecord, ElementName, KeyValue, Restriction, TaskLabel, Universe,
    restriction::Part,
};

use super::{BuildSource, ExistingOutputs, InputDataset, relation::Relation};
use crate::{
    dataset::DatasetOrigin,
    graph::{DatasetIndex, InputEdges, QuantumGraph},
    pipeline::{ResolvedPipeline, ResolvedTask},
    values::{Rows, ValueTable, narrow},
};

/// The part of a pipeline that is built; by default all of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildScope<'a> {
    /// The tasks; `None` for all. Others have the quanta that they have in `base`.
    pub tasks: Option<&'a BTreeSet<TaskLabel>>,
    /// The data IDs; `None` for all. A part of it applies to each task, and to each input,
    /// that has all dimensions which it names.
    pub restriction: Option<&'a Restriction>,
    /// What is built already: it is not built again, and not changed. Where the source has
    /// another dataset than the one that it reads, its own counts.
    pub base: Option<&'a QuantumGraph>,
}

impl BuildScope<'_> {
    pub(super) fn has(&self, task: &ResolvedTask) -> bool {
        self.tasks.is_none_or(|tasks| tasks.contains(&task.label))
    }

    /// For each task, whether it is one of those, or upstream of one.
    pub(super) fn with_upstream(&self, pipeline: &ResolvedPipeline) -> Vec<bool> {
        let mut wanted: Vec<bool> = pipeline.tasks().iter().map(|task| self.has(task)).collect();
        let mut read: BTreeSet<usize> = BTreeSet::new();
        for (task, wanted) in pipeline.tasks().iter().zip(&mut wanted).rev() {
            *wanted |= task.outputs.iter().any(|output| read.contains(&output.type_index));
            if *wanted {
                read.extend(task.inputs.iter().map(|input| input.type_index));
            }
        }
        wanted
    }

    /// A dimension that the restriction names and neither a task nor an input has.
    pub fn unknown(&self, pipeline: &ResolvedPipeline) -> Option<ElementName> {
        let named = self.restriction?.parts().iter().flat_map(Part::dimensions);
        let groups: Vec<_> = pipeline
            .tasks()
            .iter()
            .map(|task| &task.dimensions)
            .chain(pipeline.overall_inputs().iter().map(|t| &t.dimensions))
            .collect();
        let mut named = named.filter(|name| !groups.iter().any(|g| g.contains(name.as_str())));
        named.next().cloned()
    }

    /// Which rows of a relation are meant; `None` for all.
    pub(super) fn meant(
        &self,
        universe: &Universe,
        values: &ValueTable,
        columns: &[usize],
        rows: &Rows,
    ) -> Option<Vec<bool>> {
        let position =
            |name: &ElementName| columns.iter().position(|c| universe.elements()[*c].name == *name);
        let applies = |part: &&Part| part.dimensions().iter().all(|name| position(name).is_some());
        let parts: Vec<&Part> = self.restriction?.parts().iter().filter(applies).collect();
        if parts.is_empty() {
            return None;
        }
        let holds = |row: &[u32]| {
            let value =
                |name: &ElementName| position(name).map(|p| values.value(columns[p], row[p]));
            parts.iter().all(|part| part.holds(&value))
        };
        Some(rows.iter().map(holds).collect())
    }

    /// The rows of a relation that are meant.
    pub(super) fn restrict(
        &self,
        universe: &Universe,
        values: &ValueTable,
        relation: &Relation,
    ) -> Option<Relation> {
        let meant = self.meant(universe, values, &relation.columns, &relation.rows)?;
        let kept = numbers(&meant);
        Some(Relation { columns: relation.columns.clone(), rows: relation.rows.take(&kept) })
    }
}

/// The numbers of what is flagged.
fn numbers(flags: &[bool]) -> Vec<u32> {
    (0..narrow(flags.len())).filter(|i| flags[*i as usize]).collect()
}

/// A source, and the datasets that an earlier graph reads.
pub(super) struct WithBase<'a, S> {
    pub(super) source: &'a S,
    pub(super) base: Option<&'a QuantumGraph>,
}

impl<S: BuildSource> BuildSource for WithBase<'_, S> {
    type Error = S::Error;

    fn universe(&self) -> &Universe {
        self.source.universe()
    }

    fn datasets(&self, dataset_type: &DatasetTypeName) -> Result<Vec<InputDataset>, S::Error> {
        let found = self.source.datasets(dataset_type)?;
        let Some(base) = self.base else { return Ok(found) };
        let mut own: BTreeMap<Vec<KeyValue>, InputDataset> = BTreeMap::new();
        for index in base.overall_inputs() {
            let dataset = base.dataset(index);
            if dataset.dataset_type.name != *dataset_type {
                continue;
            }
            if let DatasetOrigin::Existing { run, artifact } = dataset.origin {
                let (id, data_id) = (dataset.id, dataset.data_id);
                let dataset_type = dataset_type.clone();
                let values = data_id.values().to_vec();
                own.insert(values, InputDataset { id, run, dataset_type, data_id, artifact });
            }
        }
        let others = found.into_iter().filter(|found| !own.contains_key(found.data_id.values()));
        let mut all: Vec<InputDataset> = others.collect();
        all.extend(own.into_values());
        Ok(all)
    }

    fn dimension_records(&self, element: &ElementName) -> Result<Vec<DimensionRecord>, S::Error> {
        self.source.dimension_records(element)
    }

    fn existing_outputs(&self, task: &ResolvedTask) -> Result<Vec<ExistingOutputs>, S::Error> {
        self.source.existing_outputs(task)
    }
}

/// Drops the quanta that are neither new nor upstream of a new one. `built` are those of
/// each task that are not new. Inputs are counted inside of each dataset type; of one that a
/// task makes, the first `existing` ones were there before.
pub(super) fn keep_new(
    pipeline: &ResolvedPipeline,
    tasks: &mut [(Rows, Vec<InputEdges>)],
    built: &[Relation],
    existing: &[usize],
) {
    let makers: BTreeMap<usize, usize> = pipeline
        .tasks()
        .iter()
        .enumerate()
        .flat_map(|(i, task)| task.outputs.iter().map(move |output| (output.type_index, i)))
        .collect();
    let mut keep: Vec<Vec<bool>> = tasks
        .iter()
        .zip(built)
        .map(|((rows, _), built)| rows.iter().map(|r| built.rows.find(r).is_none()).collect())
        .collect();
    // From downstream, so that what is kept for others is known when a task's turn comes.
    for t in (0..tasks.len()).rev() {
        for (input, edges) in pipeline.tasks()[t].inputs.iter().zip(&tasks[t].1) {
            let Some(&maker) = makers.get(&input.type_index) else { continue };
            for quantum in 0..tasks[t].0.len() {
                if keep[t][quantum] {
                    for dataset in edges.of(quantum) {
                        if let Some(made) = dataset.get().checked_sub(existing[input.type_index]) {
                            keep[maker][made] = true;
                        }
                    }
                }
            }
        }
    }
    let places: Vec<Vec<u32>> = keep.iter().map(|keep| super::renumber(keep)).collect();
    let moved = |type_index: usize, maker: usize, dataset: DatasetIndex| {
        let there = existing[type_index];
        match dataset.get().checked_sub(there) {
            Some(made) => DatasetIndex(narrow(there) + places[maker][made]),
            None => dataset,
        }
    };
    for (t, (rows, edges)) in tasks.iter_mut().enumerate() {
        let kept = numbers(&keep[t]);
        if kept.len() == rows.len() {
            for (input, edges) in pipeline.tasks()[t].inputs.iter().zip(edges) {
                if let Some(&maker) = makers.get(&input.type_index) {
                    let (InputEdges::One(datasets) | InputEdges::Many { datasets, .. }) = edges;
                    for dataset in datasets {
                        *dataset = moved(input.type_index, maker, *dataset);
                    }
                }
            }
            continue;
        }
        *rows = rows.take(&kept);
        for (input, edges) in pipeline.tasks()[t].inputs.iter().zip(edges) {
            let maker = makers.get(&input.type_index);
            *edges = edges.taken(&kept, |dataset| {
                maker.map_or(*dataset, |maker| moved(input.type_index, *maker, *dataset))
            });
        }
    }
}
