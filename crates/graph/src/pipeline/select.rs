//! Which tasks of a pipeline are meant: labels, subsets and ranges.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use pantler_core::{DatasetTypeName, TaskLabel};

use super::{Fault, FaultKind, part::Part};

/// The tasks that `names` stand for; all tasks if there are none.
///
/// A name is a task, a subset, or a range: `a..` is `a` and what needs its outputs, also
/// through others; `..b` is `b` and what it needs; `a..b` is what is in both. The ends of a
/// range may be subsets.
pub(super) fn select(
    part: &Part,
    file: &Utf8Path,
    names: &[String],
    faults: &mut Vec<Fault>,
) -> BTreeSet<TaskLabel> {
    if names.is_empty() {
        return part.tasks.keys().cloned().collect();
    }
    let mut selected = BTreeSet::new();
    for name in names {
        match one(part, name) {
            Ok(labels) => selected.extend(labels),
            Err(kind) => {
                let key = format!("#{name}");
                faults.push(Fault { file: file.to_owned(), line: 0, key, kind });
            }
        }
    }
    selected
}

fn one(part: &Part, name: &str) -> Result<BTreeSet<TaskLabel>, FaultKind> {
    let named = |name: &str| part.named(name).ok_or_else(|| part.no_such(name));
    match name.split_once("..") {
        None => named(name),
        Some(("", "")) => Err(part.no_such(name)),
        Some((from, "")) => Ok(reached(named(from)?, &edges(part, false))),
        Some(("", to)) => Ok(reached(named(to)?, &edges(part, true))),
        Some((from, to)) => {
            let down = reached(named(from)?, &edges(part, false));
            let up = reached(named(to)?, &edges(part, true));
            let between: BTreeSet<TaskLabel> = down.intersection(&up).cloned().collect();
            if between.is_empty() { Err(FaultKind::EmptyRange) } else { Ok(between) }
        }
    }
}

type Edges<'a> = BTreeMap<&'a TaskLabel, BTreeSet<&'a TaskLabel>>;

/// Which tasks read what a task makes; `up`: the other way round.
fn edges(part: &Part, up: bool) -> Edges<'_> {
    let mut producers: BTreeMap<DatasetTypeName, BTreeSet<&TaskLabel>> = BTreeMap::new();
    for (label, task) in &part.tasks {
        let outputs = task.definition.outputs.values().chain(task.definition.init.outputs.values());
        let made = outputs.map(|output| output.dataset_type.clone());
        for dataset_type in made.chain([label.log_dataset_type()]) {
            producers.entry(dataset_type).or_default().insert(label);
        }
    }
    let mut edges = Edges::new();
    for (reader, task) in &part.tasks {
        let inputs = task.definition.inputs.values().map(|input| &input.dataset_type);
        for dataset_type in inputs.chain(task.definition.init.inputs.values()) {
            for producer in producers.get(dataset_type).into_iter().flatten() {
                let (from, to) = if up { (reader, *producer) } else { (*producer, reader) };
                edges.entry(from).or_default().insert(to);
            }
        }
    }
    edges
}

fn reached(start: BTreeSet<TaskLabel>, edges: &Edges<'_>) -> BTreeSet<TaskLabel> {
    let mut pending: Vec<TaskLabel> = start.iter().cloned().collect();
    let mut reached = start;
    while let Some(label) = pending.pop() {
        for next in edges.get(&label).into_iter().flatten() {
            if reached.insert((*next).clone()) {
                pending.push((*next).clone());
            }
        }
    }
    reached
}
