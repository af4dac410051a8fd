//! Which quanta a task has: the natural join of what its inputs have, and of dimension
//! records for dimensions that no input has.

use std::{borrow::Cow, collections::BTreeMap};

use pantler_core::{TaskLabel, Universe};

use super::{
    BuildScope,
    prune::{EXAMPLES, PartialDataId, PruneReason, Pruned},
    relation::{Index, Relation, join, sorted},
};
use crate::{
    pipeline::{ResolvedInput, ResolvedPipeline, ResolvedTask},
    values::{ValueTable, columns},
};

/// Something that limits the quanta of a task.
struct Constraint<'a> {
    relation: Cow<'a, Relation>,
    source: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Input(&'a ResolvedInput),
    Records(usize),
}

/// What a task's quanta are found in.
pub(super) struct Surroundings<'a> {
    pub(super) pipeline: &'a ResolvedPipeline,
    /// The datasets of each type, as far as they are known.
    pub(super) types: &'a [Option<Relation>],
    pub(super) records: &'a BTreeMap<usize, Relation>,
    pub(super) values: &'a ValueTable,
}

/// The elements whose records a task needs because no input has the dimension.
pub(super) fn unconstrained(universe: &Universe, task: &ResolvedTask) -> Vec<usize> {
    let mut covered: Vec<usize> = task
        .inputs
        .iter()
        .filter(|input| input.constrains())
        .flat_map(|input| columns(universe, input.dataset_type.dimensions.names()))
        .collect();
    let mut elements = Vec::new();
    // From the last: a record of a dimension also has those that it requires.
    for element in columns(universe, task.dimensions.required()).into_iter().rev() {
        if !covered.contains(&element) {
            elements.push(element);
            let group = universe.group_of(&universe.elements()[element]);
            covered.extend(columns(universe, group.names()));
        }
    }
    elements
}

/// The quanta of `task` that are meant: required dimensions first, then implied ones;
/// sorted. What cannot run is appended to `pruned`.
pub(super) fn candidates(
    around: &Surroundings<'_>,
    task: &ResolvedTask,
    scope: &BuildScope<'_>,
    pruned: &mut Vec<Pruned>,
) -> Relation {
    let Surroundings { pipeline, types, records, values } = *around;
    let universe = &**pipeline.universe();
    let wanted = columns(universe, task.dimensions.names());
    let mut constraints = constraints(universe, task, &wanted, types, records);
    for constraint in &mut constraints {
        if let Some(meant) = scope.restrict(universe, values, &constraint.relation) {
            constraint.relation = Cow::Owned(meant);
        }
    }
    let mut pruner = Pruner { pipeline, task, values, found: Vec::new() };
    let mut all = Relation::unit();
    for (i, constraint) in constraints.iter().enumerate() {
        let joined = join(&all, &constraint.relation);
        // The row without columns says nothing about any quantum.
        if i > 0 && matches!(constraint.source, Source::Input(_)) {
            let reason = pruner.reason(constraint.source);
            for row in &joined.left_alone {
                pruner.add(&reason, &all.columns, all.rows.row(*row as usize));
            }
            if !joined.right_alone.is_empty() {
                let culprits = Culprits::new(&constraints[..i], &constraint.relation);
                for row in &joined.right_alone {
                    let row = constraint.relation.rows.row(*row as usize);
                    match culprits.of(row) {
                        // A value without a record is nobody's mistake.
                        Some(Source::Records(_)) => {}
                        Some(source) => {
                            let reason = pruner.reason(source);
                            pruner.add(&reason, &constraint.relation.columns, row);
                        }
                        None => pruner.add(
                            &PruneReason::NoCombination,
                            &constraint.relation.columns,
                            row,
                        ),
                    }
                }
            }
        }
        all = joined.joined;
    }
    if all.rows.len() == 0 && pruner.found.is_empty() {
        let empty = constraints.iter().find(|c| c.relation.rows.len() == 0);
        let reason = empty.map_or(PruneReason::NoCombination, |c| pruner.reason(c.source));
        pruner.add(&reason, &[], &[]);
    }
    let positions = all.positions(&wanted);
    let mut quanta = Relation::new(wanted);
    for row in all.rows.iter() {
        quanta.rows.push(positions.iter().map(|p| row[*p]));
    }
    let mut order = sorted(&quanta.rows);
    order.dedup_by(|a, b| quanta.rows.row(*a as usize) == quanta.rows.row(*b as usize));
    quanta.rows = quanta.rows.take(&order);
    if let Some(meant) = scope.restrict(universe, values, &quanta) {
        quanta = meant;
    }
    for input in task.inputs.iter().filter(|input| input.constrains() && input.minimum > 1) {
        enough(&mut quanta, input, around, scope, &mut pruner);
    }
    pruned.append(&mut pruner.found);
    quanta
}

/// Leaves out the quanta that have fewer datasets of an input than its minimum.
fn enough(
    quanta: &mut Relation,
    input: &ResolvedInput,
    around: &Surroundings<'_>,
    scope: &BuildScope<'_>,
    pruner: &mut Pruner<'_>,
) {
    let all = around.types[input.type_index].as_ref().expect("upstream tasks come first");
    let meant = scope.restrict(around.pipeline.universe(), around.values, all);
    let relation = meant.as_ref().unwrap_or(all);
    let shared = quanta.shared(relation);
    let positions = quanta.positions(&shared);
    let index = Index::new(relation, &shared);
    let reason = PruneReason::TooFew {
        input: input.name.clone(),
        dataset_type: input.dataset_type.name.clone(),
        minimum: input.minimum,
    };
    let mut kept = Vec::with_capacity(quanta.rows.len());
    for (number, row) in (0_u32..).zip(quanta.rows.iter()) {
        let key: Vec<_> = positions.iter().map(|p| row[*p]).collect();
        if index.get(&key).len() >= input.minimum as usize {
            kept.push(number);
        } else {
            pruner.add(&reason, &quanta.columns, row);
        }
    }
    quanta.rows = quanta.rows.take(&kept);
}

/// The constraints in the order to join them: the one with most columns first, and then
/// always the one that shares most with those before, so that products come last.
fn constraints<'a>(
    universe: &Universe,
    task: &'a ResolvedTask,
    wanted: &[usize],
    types: &'a [Option<Relation>],
    records: &'a BTreeMap<usize, Relation>,
) -> Vec<Constraint<'a>> {
    let mut open: Vec<Constraint<'a>> = Vec::new();
    for input in task.inputs.iter().filter(|input| input.constrains()) {
        let relation = types[input.type_index].as_ref().expect("upstream tasks come first");
        let relation = if input.multiple {
            let shared: Vec<_> =
                relation.columns.iter().copied().filter(|c| wanted.contains(c)).collect();
            Cow::Owned(relation.project(&shared))
        } else {
            Cow::Borrowed(relation)
        };
        open.push(Constraint { relation, source: Source::Input(input) });
    }
    for element in unconstrained(universe, task) {
        let relation = Cow::Borrowed(&records[&element]);
        open.push(Constraint { relation, source: Source::Records(element) });
    }
    let mut ordered: Vec<Constraint<'a>> = Vec::with_capacity(open.len());
    let mut known: Vec<usize> = Vec::new();
    while !open.is_empty() {
        let rank = |c: &Constraint<'_>| {
            let columns = &c.relation.columns;
            let shared = columns.iter().filter(|c| known.contains(c)).count();
            (shared, columns.len())
        };
        // `max_by_key` takes the last of equals, so the first connection is taken by
        // going backwards.
        let (next, _) = open
            .iter()
            .enumerate()
            .rev()
            .max_by_key(|(_, c)| rank(c))
            .expect("the list is not empty");
        let next = open.remove(next);
        known.extend(&next.relation.columns);
        ordered.push(next);
    }
    ordered
}

/// Which of the constraints before keeps a row of a relation from having a partner.
struct Culprits<'a> {
    tests: Vec<(Source<'a>, Vec<usize>, Index)>,
}

impl<'a> Culprits<'a> {
    fn new(before: &[Constraint<'a>], relation: &Relation) -> Self {
        let tests = before.iter().map(|constraint| {
            let shared = relation.shared(&constraint.relation);
            let index = Index::new(&constraint.relation, &shared);
            (constraint.source, relation.positions(&shared), index)
        });
        Self { tests: tests.collect() }
    }

    fn of(&self, row: &[u32]) -> Option<Source<'a>> {
        self.tests.iter().find_map(|(source, positions, index)| {
            let key: Vec<_> = positions.iter().map(|p| row[*p]).collect();
            index.get(&key).is_empty().then_some(*source)
        })
    }
}

struct Pruner<'a> {
    pipeline: &'a ResolvedPipeline,
    task: &'a ResolvedTask,
    values: &'a ValueTable,
    found: Vec<Pruned>,
}

impl Pruner<'_> {
    fn reason(&self, source: Source<'_>) -> PruneReason {
        match source {
            Source::Input(input) => PruneReason::MissingInput {
                input: input.name.clone(),
                dataset_type: input.dataset_type.name.clone(),
                producer: self.producer(input.type_index),
            },
            Source::Records(element) => PruneReason::NoRecords {
                element: self.pipeline.universe().elements()[element].name.clone(),
            },
        }
    }

    fn producer(&self, type_index: usize) -> Option<TaskLabel> {
        let makes = |task: &&ResolvedTask| task.outputs.iter().any(|o| o.type_index == type_index);
        self.pipeline.tasks().iter().find(makes).map(|task| task.label.clone())
    }

    fn add(&mut self, reason: &PruneReason, columns: &[usize], row: &[u32]) {
        let known = self.found.iter().position(|pruned| pruned.reason == *reason);
        let at = known.unwrap_or_else(|| {
            let (task, reason) = (self.task.label.clone(), reason.clone());
            self.found.push(Pruned { task, reason, count: 0, examples: Vec::new() });
            self.found.len() - 1
        });
        let found = &mut self.found[at];
        found.count += 1;
        if found.examples.len() < EXAMPLES {
            let elements = self.pipeline.universe().elements();
            // Implied values say nothing new where the required ones are known.
            let known = columns
                .iter()
                .zip(row)
                .filter(|(c, _)| self.task.dimensions.required().contains(&elements[**c].name));
            let values = known
                .map(|(c, code)| (elements[*c].name.clone(), self.values.value(*c, *code).clone()));
            found.examples.push(PartialDataId(values.collect()));
        }
    }
}
