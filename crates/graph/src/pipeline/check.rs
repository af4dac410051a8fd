//! What can be said about a pipeline without a universe: producers, cycles,
//! placeholders.

use std::collections::{BTreeMap, BTreeSet};

use pantler_core::{DatasetTypeName, TaskLabel};
use petgraph::{
    Direction,
    algo::tarjan_scc,
    graph::{DiGraph, NodeIndex},
};

use super::{
    Fault, FaultKind, Pipeline, TaskBody, TaskDefinition, Template, TemplateError, init,
    template::Placeholder,
};

/// The faults of the whole; empty for a good pipeline.
pub(super) fn check(pipeline: &Pipeline) -> Vec<Fault> {
    let mut faults = producers(pipeline);
    faults.append(&mut prerequisites(pipeline));
    faults.append(&mut init::check_init_inputs(pipeline));
    for (label, task) in &pipeline.tasks {
        placeholders(pipeline, label, task, &mut faults);
    }
    if faults.is_empty()
        && let Some(fault) = cycle(pipeline)
    {
        faults.push(fault);
    }
    faults
}

/// The tasks, each after those whose outputs it reads; the labels decide where
/// nothing else does. Cycles were refused when the pipeline was read.
pub(super) fn order(pipeline: &Pipeline) -> Vec<&TaskLabel> {
    let graph = task_graph(pipeline);
    let mut waits: BTreeMap<NodeIndex, usize> = graph
        .node_indices()
        .map(|node| (node, graph.neighbors_directed(node, Direction::Incoming).count()))
        .collect();
    // Nodes were added by label, so the first ready node has the first label.
    let mut ready: BTreeSet<NodeIndex> =
        graph.node_indices().filter(|node| waits[node] == 0).collect();
    let mut order = Vec::with_capacity(graph.node_count());
    while let Some(node) = ready.pop_first() {
        order.push(graph[node]);
        for reader in graph.neighbors(node) {
            let wait = waits.get_mut(&reader).expect("every node waits");
            *wait -= 1;
            if *wait == 0 {
                ready.insert(reader);
            }
        }
    }
    order
}

/// An edge goes from the producer of a dataset type to each task that reads it.
fn task_graph(pipeline: &Pipeline) -> DiGraph<&TaskLabel, ()> {
    let mut graph = DiGraph::new();
    let mut nodes = BTreeMap::new();
    let mut producers: BTreeMap<DatasetTypeName, NodeIndex> = BTreeMap::new();
    for (label, task) in &pipeline.tasks {
        let node = graph.add_node(label);
        nodes.insert(label, node);
        producers.extend(task.outputs.values().map(|o| (o.dataset_type.clone(), node)));
        producers.insert(label.log_dataset_type(), node);
    }
    for (label, task) in &pipeline.tasks {
        for input in task.inputs.values() {
            if let Some(producer) = producers.get(&input.dataset_type) {
                graph.update_edge(*producer, nodes[label], ());
            }
        }
    }
    graph
}

fn cycle(pipeline: &Pipeline) -> Option<Fault> {
    let graph = task_graph(pipeline);
    let component = tarjan_scc(&graph).into_iter().find(|component| {
        component.len() > 1 || component.iter().any(|node| graph.contains_edge(*node, *node))
    })?;
    // Walks along producers inside the component until a task comes again.
    let mut path = vec![*component.iter().min()?];
    let tasks = loop {
        let last = *path.last()?;
        let next = graph
            .neighbors_directed(last, Direction::Incoming)
            .filter(|node| component.contains(node))
            .min()?;
        if let Some(start) = path.iter().position(|node| *node == next) {
            path.push(next);
            break path.split_off(start);
        }
        path.push(next);
    };
    let labels: Vec<_> = tasks.iter().map(|node| graph[*node].as_str()).collect();
    let first = graph[tasks[0]];
    let key = format!("tasks.{}", pipeline.tasks[first].init_of().unwrap_or(first));
    Some(fault(pipeline, key, FaultKind::Cycle { tasks: labels.join(" needs ") }))
}

fn producers(pipeline: &Pipeline) -> Vec<Fault> {
    let mut faults = Vec::new();
    let logs: BTreeMap<DatasetTypeName, &TaskLabel> =
        pipeline.tasks.keys().map(|label| (label.log_dataset_type(), label)).collect();
    let mut producers: BTreeMap<&DatasetTypeName, String> = BTreeMap::new();
    for (label, task) in &pipeline.tasks {
        for (name, output) in &task.outputs {
            let key = pipeline.key(label, "outputs", name);
            let dataset_type = &output.dataset_type;
            if let Some(task) = logs.get(dataset_type) {
                let kind = FaultKind::ReservedForLog {
                    dataset_type: dataset_type.clone(),
                    task: (*task).clone(),
                };
                faults.push(fault(pipeline, key, kind));
            } else if let Some(other) = producers.get(dataset_type) {
                let kind = FaultKind::TwoProducers {
                    dataset_type: dataset_type.clone(),
                    other: other.clone(),
                };
                faults.push(fault(pipeline, key, kind));
            } else {
                producers.insert(dataset_type, key);
            }
        }
    }
    faults
}

/// Prerequisites that a task of the pipeline makes.
fn prerequisites(pipeline: &Pipeline) -> Vec<Fault> {
    let mut makers: BTreeMap<DatasetTypeName, &TaskLabel> = BTreeMap::new();
    for (label, task) in &pipeline.tasks {
        makers.insert(label.log_dataset_type(), label);
        makers.extend(task.outputs.values().map(|output| (output.dataset_type.clone(), label)));
    }
    let mut faults = Vec::new();
    for (label, task) in &pipeline.tasks {
        for (name, input) in task.inputs.iter().filter(|(_, input)| input.prerequisite) {
            if let Some(maker) = makers.get(&input.dataset_type) {
                let kind = FaultKind::PrerequisiteIsMade {
                    dataset_type: input.dataset_type.clone(),
                    task: (*maker).clone(),
                };
                faults.push(fault(pipeline, pipeline.key(label, "inputs", name), kind));
            }
        }
    }
    faults
}

fn placeholders(
    pipeline: &Pipeline,
    label: &TaskLabel,
    task: &TaskDefinition,
    faults: &mut Vec<Fault>,
) {
    let mut templates: Vec<(String, &Template, bool)> = Vec::new();
    let command_key = pipeline.key(label, "command", "");
    if let TaskBody::Command(command) = &task.body {
        for (i, argument) in command.arguments().iter().enumerate() {
            templates.push((format!("{command_key}[{i}]"), argument, true));
        }
    }
    for (name, value) in &task.env {
        templates.push((format!("tasks.{label}.env.{name}"), value, false));
    }
    for (key, template, is_argument) in templates {
        for placeholder in template.placeholders() {
            let whole = is_argument && template.whole_input().is_some();
            if let Err(error) = check_placeholder(pipeline, task, placeholder, whole) {
                faults.push(fault(pipeline, key.clone(), error.into()));
            }
        }
    }
}

fn check_placeholder(
    pipeline: &Pipeline,
    task: &TaskDefinition,
    placeholder: &Placeholder,
    whole: bool,
) -> Result<(), TemplateError> {
    let no_such = |kind: &str, name: &str, what, known: Vec<&str>| {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(TemplateError::NoSuch { placeholder: format!("{kind}.{name}"), what, known })
    };
    match placeholder {
        Placeholder::Input(name) => match task.inputs.get(name) {
            Some(input) if input.multiple && !whole => Err(TemplateError::Several(name.clone())),
            Some(_) => Ok(()),
            None => no_such("inputs", name, "input", keys(&task.inputs)),
        },
        Placeholder::Output(name) if !task.outputs.contains_key(name) => {
            no_such("outputs", name, "output", keys(&task.outputs))
        }
        Placeholder::Config(key)
            if !task.config.contains_key(key) && !pipeline.config.contains_key(key) =>
        {
            let mut known = keys(&task.config);
            known.extend(keys(&pipeline.config));
            no_such("config", key, "configuration value", known)
        }
        // Dimensions need the universe: see `resolve`.
        _ => Ok(()),
    }
}

fn keys<V>(map: &BTreeMap<String, V>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

fn fault(pipeline: &Pipeline, key: String, kind: FaultKind) -> Fault {
    pipeline.fault(key, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(tasks: &str) -> Vec<String> {
        let text = format!("version: 1\nconfig: {{c: 1}}\ntasks:\n{tasks}");
        match Pipeline::from_yaml(&text, "pipeline.yaml".into()) {
            Ok(_) => Vec::new(),
            Err(error) => error.faults.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn producers_are_unique() {
        assert_eq!(
            faults(
                "  a: {dimensions: [], task: x, outputs: {o: {type: t, storage_class: Csv}}}\n  \
                 b:\n    dimensions: []\n    task: x\n    outputs:\n      p: {type: t, storage_class: Csv}\n      \
                 q: {type: a_log, storage_class: Csv}\n"
            ),
            [
                "pipeline.yaml:9: tasks.b.outputs.p: `t` is also made by tasks.a.outputs.o; a dataset type has one producer, rename one",
                "pipeline.yaml:10: tasks.b.outputs.q: `a_log` is the log of task `a`; give the output another dataset type",
            ]
        );
    }

    #[test]
    fn no_task_makes_a_prerequisite() {
        let tasks = "  a: {dimensions: [], task: x, outputs: {o: {type: t, storage_class: Csv}}}\n  \
             b: {dimensions: [], task: x, inputs: {i: {type: t, prerequisite: true}}}\n  \
             c: {dimensions: [], task: x, inputs: {l: {type: b_log, prerequisite: true, multiple: true}, r: {type: raw, prerequisite: true}}}\n  \
             d: {dimensions: [], task: x, inputs: {r: raw}}\n";
        let way_on =
            "a prerequisite is there before any task has run; remove `prerequisite`, or run";
        assert_eq!(
            faults(tasks),
            [
                format!(
                    "pipeline.yaml:5: tasks.b.inputs.i: `t` is made by task `a`, and {way_on} `a` before, without this task"
                ),
                format!(
                    "pipeline.yaml:6: tasks.c.inputs.l: `b_log` is made by task `b`, and {way_on} `b` before, without this task"
                ),
            ]
        );
        let init = "  a:\n    dimensions: []\n    task: x\n    init_outputs: {s: {type: settings, storage_class: Json}}\n  \
             b: {dimensions: [], task: x, inputs: {s: {type: settings, prerequisite: true}}}\n";
        assert_eq!(
            faults(init),
            [format!(
                "pipeline.yaml:8: tasks.b.inputs.s: `settings` is made by task `a_init`, and {way_on} `a_init` before, without this task"
            )]
        );
    }

    #[test]
    fn cycles_name_their_tasks() {
        assert_eq!(
            faults(
                "  a: {dimensions: [], task: x, inputs: {i: tc}, outputs: {o: {type: ta, storage_class: Csv}}}\n  \
                 b: {dimensions: [], task: x, inputs: {i: ta}, outputs: {o: {type: tb, storage_class: Csv}}}\n  \
                 c: {dimensions: [], task: x, inputs: {i: tb}, outputs: {o: {type: tc, storage_class: Csv}}}\n  \
                 d: {dimensions: [], task: x, inputs: {i: tb}}\n"
            ),
            [
                "pipeline.yaml:4: tasks.a: cycle: a needs c needs b needs a; each needs an output of the next"
            ]
        );
        assert_eq!(
            faults("  a: {dimensions: [], task: x, inputs: {i: a_log}}\n"),
            ["pipeline.yaml:4: tasks.a: cycle: a needs a; each needs an output of the next"]
        );
    }

    #[test]
    fn placeholders_name_what_there_is() {
        let task = |arguments: &str| {
            faults(&format!(
                "  t:\n    dimensions: []\n    inputs: {{one: x, many: {{type: y, multiple: true}}}}\n    command: [sh, {arguments}]\n"
            ))
        };
        assert_eq!(task("'{inputs.many}', '-i{inputs.one}', '{config.c}'"), [""; 0]);
        assert_eq!(
            task("'{inputs.two}'"),
            [
                "pipeline.yaml:7: tasks.t.command[1]: placeholder `{inputs.two}`: the task has no such input; it has many, one"
            ]
        );
        assert_eq!(
            task("'{outputs.o}'"),
            [
                "pipeline.yaml:7: tasks.t.command[1]: placeholder `{outputs.o}`: the task has no such output; it has none"
            ]
        );
        assert_eq!(
            task("'a{inputs.many}'"),
            [
                "pipeline.yaml:7: tasks.t.command[1]: placeholder `{inputs.many}` stands for several files: it must be an argument of its own"
            ]
        );
        assert_eq!(
            task("'{config.d}'"),
            [
                "pipeline.yaml:7: tasks.t.command[1]: placeholder `{config.d}`: the task has no such configuration value; it has c"
            ]
        );
        assert_eq!(
            faults(
                "  t:\n    dimensions: []\n    task: x\n    inputs: {many: {type: y, multiple: true}}\n    env:\n      A: '{inputs.many}'\n"
            ),
            [
                "pipeline.yaml:9: tasks.t.env.A: placeholder `{inputs.many}` stands for several files: it must be an argument of its own"
            ]
        );
    }
}
