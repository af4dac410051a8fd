//! Prerequisites: inputs that say nothing about which quanta there are, and must be there for
//! each quantum that there is.
//!
//! They are looked up when the quanta of a task are known: those that lack another input are
//! gone then, and those whose outputs exist are not asked. What a restriction leaves out
//! counts, too: a calibration of another month is read by those that need it.

use std::fmt;

use pantler_core::{DatasetTypeName, TaskLabel};

use super::{
    candidates::Surroundings,
    prune::{EXAMPLES, PartialDataId},
    relation::{Index, Relation},
};
use crate::{
    pipeline::{ResolvedInput, ResolvedTask},
    values::{Rows, narrow},
};

/// What happens where a prerequisite is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lacking {
    /// Nothing is built.
    Fails,
    /// The quanta are left out, as if an input were missing.
    IsLeftOut,
}

/// Quanta of a task that lack one prerequisite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPrerequisite {
    /// The task.
    pub task: TaskLabel,
    /// The connection.
    pub input: String,
    /// Its dataset type.
    pub dataset_type: DatasetTypeName,
    /// How many datasets each of them must have.
    pub minimum: u32,
    /// How many quanta there are.
    pub count: usize,
    /// The first few.
    pub examples: Vec<PartialDataId>,
}

/// Finds the quanta, of those that are not `built`, that lack a prerequisite. With
/// [`Lacking::IsLeftOut`] they are taken out of `quanta`.
pub(super) fn look_up(
    around: &Surroundings<'_>,
    task: &ResolvedTask,
    quanta: &mut Relation,
    built: &Rows,
    lacking: Lacking,
) -> Vec<MissingPrerequisite> {
    let mut missing = Vec::new();
    for input in task.inputs.iter().filter(|input| input.prerequisite && input.minimum > 0) {
        let (kept, alone) = split(around, task, quanta, built, input);
        if alone.is_empty() {
            continue;
        }
        let example = |row: &u32| data_id(around, task, quanta, quanta.rows.row(*row as usize));
        missing.push(MissingPrerequisite {
            task: task.label.clone(),
            input: input.name.clone(),
            dataset_type: input.dataset_type.name.clone(),
            minimum: input.minimum,
            count: alone.len(),
            examples: alone.iter().take(EXAMPLES).map(example).collect(),
        });
        if lacking == Lacking::IsLeftOut {
            quanta.rows = quanta.rows.take(&kept);
        }
    }
    missing
}

/// The numbers of the quanta that have the datasets of an input, and of those that do not.
fn split(
    around: &Surroundings<'_>,
    task: &ResolvedTask,
    quanta: &Relation,
    built: &Rows,
    input: &ResolvedInput,
) -> (Vec<u32>, Vec<u32>) {
    let all = around.types[input.type_index].as_ref().expect("no task makes a prerequisite");
    let shared = quanta.shared(all);
    let positions = quanta.positions(&shared);
    let index = Index::new(all, &shared);
    let required = task.dimensions.required().len();
    let mut key = Vec::with_capacity(positions.len());
    (0..narrow(quanta.rows.len())).partition(|number| {
        let row = quanta.rows.row(*number as usize);
        key.clear();
        key.extend(positions.iter().map(|p| row[*p]));
        index.get(&key).len() >= input.minimum as usize || built.find(&row[..required]).is_some()
    })
}

fn data_id(
    around: &Surroundings<'_>,
    task: &ResolvedTask,
    quanta: &Relation,
    row: &[u32],
) -> PartialDataId {
    let elements = around.pipeline.universe().elements();
    let known = quanta.columns.iter().zip(row);
    let known = known.filter(|(c, _)| task.dimensions.required().contains(&elements[**c].name));
    let values =
        known.map(|(c, code)| (elements[*c].name.clone(), around.values.value(*c, *code).clone()));
    PartialDataId(values.collect())
}

/// `daily: 7 quanta have no dataset of type `station` for prerequisite `station` (city=oslo month=1, … and 2 more)`.
impl fmt::Display for MissingPrerequisite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, input, dataset_type, minimum, count, examples } = self;
        let quanta = if *count == 1 { "quantum has" } else { "quanta have" };
        let what = match minimum {
            1 => "no dataset".to_owned(),
            minimum => format!("fewer than {minimum} datasets"),
        };
        write!(
            f,
            "{task}: {count} {quanta} {what} of type `{dataset_type}` for prerequisite `{input}`: "
        )?;
        for (i, example) in examples.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{example}")?;
        }
        match count - examples.len() {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

/// One line each.
pub(super) fn lines(missing: &[MissingPrerequisite]) -> String {
    let lines: Vec<_> = missing.iter().map(|one| format!("\n  {one}")).collect();
    lines.concat()
}
