//! Quanta that are not built since what they would make exists.
//!
//! A quantum is skipped if it would be built without this, and all that its task must make
//! is there. Those that read its outputs read what is there.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use pantler_core::{CollectionName, DataId, TaskLabel};

use super::{
    BuildError, BuildSource, InputDataset,
    load::{Interner, Runs},
    relation::{Relation, sorted},
};
use crate::{
    graph::{ExistingDataset, QuantumGraph},
    pipeline::{ResolvedOutput, ResolvedPipeline, ResolvedTask},
    values::{Rows, columns, narrow},
};

/// Outputs of one quantum that are there before the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingOutputs {
    /// Its data ID.
    pub data_id: DataId,
    /// Where they were found.
    pub collection: CollectionName,
    /// All that the task must make, or some of it.
    pub datasets: Vec<InputDataset>,
}

/// Quanta of a task of which one collection has outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The task.
    pub task: TaskLabel,
    /// The collection.
    pub collection: CollectionName,
    /// How many were not built, since all that they must make is there.
    pub quanta: usize,
    /// How many were built as a whole, since only some of it is there.
    pub incomplete: usize,
    /// Which of the source's existing outputs are those of quanta that were not built.
    pub(crate) positions: Vec<u32>,
}

/// `daily: 11 quanta skipped, 1 built whole …: outputs are in weather/1`.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, collection, quanta, incomplete, .. } = self;
        let noun = |n: usize| if n == 1 { "quantum" } else { "quanta" };
        write!(f, "{task}: ")?;
        if *quanta > 0 {
            write!(f, "{quanta} {} skipped: outputs are in {collection}", noun(*quanta))?;
        }
        if *incomplete > 0 {
            let and = if *quanta > 0 { "; " } else { "" };
            let noun = noun(*incomplete);
            write!(f, "{and}{incomplete} {noun} built whole: {collection} has some outputs only")?;
        }
        Ok(())
    }
}

/// The outputs that must be there for a quantum of `task` to be skipped. The log is one of
/// them only if a task reads it, or if there is nothing else.
pub fn needed_outputs<'a>(
    pipeline: &ResolvedPipeline,
    task: &'a ResolvedTask,
) -> impl Iterator<Item = &'a ResolvedOutput> {
    let is_read = |output: &ResolvedOutput| {
        let mut inputs = pipeline.tasks().iter().flat_map(|task| &task.inputs);
        inputs.any(|input| input.type_index == output.type_index)
    };
    let log = task.outputs.iter().find(|output| output.name == ResolvedTask::LOG);
    let needs_log = task.outputs.len() == 1 || log.is_some_and(is_read);
    task.outputs.iter().filter(move |output| output.name != ResolvedTask::LOG || needs_log)
}

/// What exists of the outputs of a task.
#[derive(Debug)]
pub(super) struct FoundQuanta {
    /// The data IDs, sorted.
    pub(super) rows: Rows,
    /// They go with the rows.
    pub(super) quanta: Vec<FoundQuantum>,
    /// Those that an earlier part has skipped: required dimensions first, then implied
    /// ones; sorted.
    pub(super) before: Relation,
}

#[derive(Debug, Clone)]
pub(super) struct FoundQuantum {
    pub(super) collection: CollectionName,
    /// For each output of the task.
    pub(super) datasets: Vec<Option<ExistingDataset>>,
    /// Whether all that the task must make is there.
    pub(super) is_whole: bool,
    /// Whether an earlier part reads some of it.
    is_before: bool,
    /// Where the source has it.
    position: Option<u32>,
}

/// What a task's quanta are cut into.
pub(super) struct Cut {
    /// Those to be built.
    pub(super) open: Relation,
    /// Those whose outputs are there.
    pub(super) skipped: Relation,
    /// By collection.
    pub(super) summary: Vec<Skipped>,
}

impl FoundQuanta {
    /// Reads what the source has of the outputs of `task`, and what of them `base` reads;
    /// codes are provisional, and rows in no order.
    pub(super) fn read<S: BuildSource>(
        pipeline: &ResolvedPipeline,
        source: &S,
        task: &ResolvedTask,
        base: Option<&QuantumGraph>,
        interner: &mut Interner,
        runs: &mut Runs,
    ) -> Result<Self, BuildError<S::Error>> {
        let columns = columns(pipeline.universe(), task.dimensions.required());
        let found = source
            .existing_outputs(task)
            .map_err(|source| BuildError::Outputs { task: task.label.clone(), source })?;
        let mut quanta: HashMap<Vec<u32>, FoundQuantum> = HashMap::with_capacity(found.len());
        for (position, own) in (0..).zip(found) {
            let ExistingOutputs { data_id, collection, datasets: there } = own;
            let mut datasets = vec![None; task.outputs.len()];
            for dataset in there {
                let run = runs.index(&dataset.run);
                let of = |output: &ResolvedOutput| output.dataset_type.name == dataset.dataset_type;
                if let Some(at) = task.outputs.iter().position(of) {
                    let (id, artifact) = (dataset.id, dataset.artifact);
                    datasets[at] = Some(ExistingDataset { id, run, artifact });
                }
            }
            let row = columns.iter().zip(data_id.values());
            let row = row.map(|(column, value)| interner.code(*column, value)).collect();
            let (is_whole, is_before) = (is_whole(pipeline, task, &datasets), false);
            let position = Some(position);
            let own = FoundQuantum { collection, datasets, is_whole, is_before, position };
            quanta.entry(row).or_insert(own);
        }
        for (at, output) in task.outputs.iter().enumerate() {
            let Some(base) = base else { break };
            let Some(nodes) = base.found().iter().find(|n| n.dataset_type == output.type_index)
            else {
                continue;
            };
            for (local, row) in nodes.nodes.rows(&base.tasks).iter().enumerate() {
                let codes = nodes.columns.iter().zip(row);
                let row: Vec<u32> = codes
                    .map(|(c, code)| interner.code(*c, base.values.value(*c, *code)))
                    .collect();
                let dataset = &base.existing[nodes.first as usize + local];
                let run = &base.runs[dataset.run as usize];
                let quantum = quanta.entry(row).or_insert_with(|| FoundQuantum {
                    collection: run.clone(),
                    datasets: vec![None; task.outputs.len()],
                    is_whole: true,
                    is_before: true,
                    position: None,
                });
                (quantum.is_whole, quantum.is_before) = (true, true);
                let run = runs.index(run);
                quantum.datasets[at] = Some(ExistingDataset { run, ..dataset.clone() });
            }
        }
        let mut rows = Rows::new(columns.len());
        let mut all = Vec::with_capacity(quanta.len());
        for (row, quantum) in quanta {
            rows.push(row);
            all.push(quantum);
        }
        Ok(Self { rows, quanta: all, before: Relation::new(columns) })
    }

    /// Puts all in order; `recode` gives rows their final codes.
    pub(super) fn sort(&mut self, recode: impl Fn(&mut Relation)) {
        let columns = std::mem::take(&mut self.before.columns);
        let rows = std::mem::take(&mut self.rows);
        let mut all = Relation { columns, rows };
        recode(&mut all);
        let order = sorted(&all.rows);
        self.rows = all.rows.take(&order);
        let mut quanta: Vec<_> = self.quanta.drain(..).map(Some).collect();
        self.quanta = order.iter().filter_map(|i| quanta[*i as usize].take()).collect();
        let before: Vec<u32> =
            (0..narrow(self.quanta.len())).filter(|i| self.quanta[*i as usize].is_before).collect();
        self.before = Relation { columns: all.columns, rows: self.rows.take(&before) };
    }

    /// Whether anything may be skipped.
    pub(super) fn has_whole(&self) -> bool {
        self.quanta.iter().any(|quantum| quantum.is_whole)
    }

    /// The quantum with this data ID, which may be followed by implied values.
    pub(super) fn get(&self, row: &[u32]) -> Option<&FoundQuantum> {
        let found = self.rows.find(&row[..self.rows.width()])?;
        self.quanta.get(found)
    }

    /// Cuts the quanta that a task would have into those to be built and others; what is
    /// `built` is not skipped any more. Nothing is said about quanta that are not `meant` to
    /// be built.
    pub(super) fn cut(
        &self,
        task: &ResolvedTask,
        all: Relation,
        built: &Relation,
        is_meant: bool,
    ) -> Cut {
        if self.quanta.is_empty() {
            let skipped = Relation::new(all.columns.clone());
            return Cut { open: all, skipped, summary: Vec::new() };
        }
        let (mut open, mut skipped) = (Vec::new(), Vec::new());
        let mut summary: BTreeMap<&CollectionName, Skipped> = BTreeMap::new();
        let width = self.rows.width();
        for (number, row) in (0_u32..).zip(all.rows.iter()) {
            let is_built = built.rows.find(&row[..width]).is_some();
            let Some(found) = self.get(row).filter(|_| !is_built) else {
                open.push(number);
                continue;
            };
            let own = summary.entry(&found.collection).or_insert_with(|| Skipped {
                task: task.label.clone(),
                collection: found.collection.clone(),
                quanta: 0,
                incomplete: 0,
                positions: Vec::new(),
            });
            if found.is_whole {
                skipped.push(number);
                own.quanta += 1;
                own.positions.extend(found.position);
            } else {
                open.push(number);
                own.incomplete += usize::from(is_meant);
            }
        }
        let mut summary: Vec<Skipped> = summary.into_values().collect();
        summary.retain(|own| own.quanta + own.incomplete > 0);
        for own in &mut summary {
            own.positions.sort_unstable();
        }
        let of = |numbers: &[u32]| Relation {
            columns: all.columns.clone(),
            rows: all.rows.take(numbers),
        };
        Cut { open: of(&open), skipped: of(&skipped), summary }
    }
}

fn is_whole(
    pipeline: &ResolvedPipeline,
    task: &ResolvedTask,
    datasets: &[Option<ExistingDataset>],
) -> bool {
    needed_outputs(pipeline, task).all(|needed| {
        let at = task.outputs.iter().position(|output| output.name == needed.name);
        at.is_some_and(|at| datasets[at].is_some())
    })
}

/// What there is of a type that a task makes: the quanta's, and what was found.
#[derive(Debug)]
pub(super) struct Readable {
    pub(super) relation: Relation,
    /// For each row of the relation, the number of the dataset: found ones come first.
    pub(super) places: Vec<u32>,
    /// The data IDs of those that were found.
    pub(super) rows: Rows,
    /// They go with the rows.
    pub(super) datasets: Vec<ExistingDataset>,
}

impl Readable {
    /// The datasets of the `output`-th output of the task; both relations are sorted.
    pub(super) fn new(
        found: &FoundQuanta,
        output: usize,
        quanta: &Relation,
        skipped: &Relation,
    ) -> Self {
        let width = found.rows.width();
        let mut all = quanta.rows.clone();
        let mut datasets = Vec::new();
        let mut rows = Rows::new(width);
        for row in skipped.rows.iter() {
            let dataset = found.get(row).and_then(|quantum| quantum.datasets[output].clone());
            if let Some(dataset) = dataset {
                all.push(row.iter().copied());
                rows.push(row[..width].iter().copied());
                datasets.push(dataset);
            }
        }
        let order = sorted(&all);
        let (made, there) = (narrow(quanta.rows.len()), narrow(datasets.len()));
        let place = |i: &u32| if *i < made { there + i } else { i - made };
        let relation = Relation { columns: quanta.columns.clone(), rows: all.take(&order) };
        Self { relation, places: order.iter().map(place).collect(), rows, datasets }
    }
}
