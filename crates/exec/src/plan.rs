//! A graph as the runner wants it: quanta as numbers, tasks with what runs them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use pantler_core::{QuantumId, TaskLabel};
use pantler_graph::{
    CommandTemplate, ConfigValue, QuantumGraph, QuantumIndex, QuantumView, ResolvedOutput,
    ResolvedTask, TaskBody, config_json,
};

use crate::{QuantumContext, RunError, Task, TaskError, TaskRegistry};

/// A graph, with what runs its tasks looked up.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    graph: &'a QuantumGraph,
    indices: Vec<QuantumIndex>,
    /// The task of each quantum.
    task_of: Vec<u32>,
    tasks: Vec<TaskPlan<'a>>,
}

/// A task, and what runs it.
#[derive(Debug)]
pub(crate) struct TaskPlan<'a> {
    pub(crate) task: &'a ResolvedTask,
    pub(crate) body: Body<'a>,
    pub(crate) config: BTreeMap<String, ConfigValue>,
    pub(crate) quanta: usize,
}

/// What runs a task.
#[derive(Clone)]
pub(crate) enum Body<'a> {
    Command(&'a CommandTemplate),
    Rust(Arc<dyn Task>),
}

impl<'a> Plan<'a> {
    pub(crate) fn new(graph: &'a QuantumGraph, registry: &TaskRegistry) -> Result<Self, RunError> {
        let pipeline = graph.pipeline().pipeline();
        let mut tasks = Vec::new();
        let mut task_of = vec![0; graph.len()];
        for (number, (task, quanta)) in (0_u32..).zip(graph.tasks()) {
            let mut count = 0;
            for index in quanta {
                task_of[index.get()] = number;
                count += 1;
            }
            let config = pipeline.config_of(&task.definition);
            let body = match &task.definition.body {
                TaskBody::Command(command) => Body::Command(command),
                TaskBody::Rust(name) => {
                    Body::Rust(registry.get(name).ok_or_else(|| RunError::UnknownTask {
                        task: task.label.clone(),
                        name: name.clone(),
                        known: registry.known(),
                    })?)
                }
                TaskBody::Configuration => Body::Rust(Arc::new(write_configuration(task, &config))),
            };
            tasks.push(TaskPlan { task, body, config, quanta: count });
        }
        Ok(Self { graph, indices: graph.quanta().collect(), task_of, tasks })
    }

    pub(crate) fn graph(&self) -> &'a QuantumGraph {
        self.graph
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.indices.len()).expect("a graph counts its quanta with 32 bits")
    }

    pub(crate) fn tasks(&self) -> &[TaskPlan<'a>] {
        &self.tasks
    }

    pub(crate) fn task_number(&self, q: u32) -> usize {
        self.task_of[q as usize] as usize
    }

    pub(crate) fn task(&self, q: u32) -> &TaskPlan<'a> {
        &self.tasks[self.task_number(q)]
    }

    pub(crate) fn is_command(&self, q: u32) -> bool {
        matches!(self.task(q).body, Body::Command(_))
    }

    pub(crate) fn label(&self, q: u32) -> &'a TaskLabel {
        &self.task(q).task.label
    }

    /// Where it stands in the graph.
    pub(crate) fn index(&self, q: u32) -> QuantumIndex {
        self.indices[q as usize]
    }

    /// The number of what stands there in the graph.
    pub(crate) fn number(&self, index: QuantumIndex) -> Option<u32> {
        let q = self.indices.binary_search(&index).ok()?;
        u32::try_from(q).ok()
    }

    pub(crate) fn id(&self, q: u32) -> QuantumId {
        self.graph.quantum_id(self.indices[q as usize])
    }

    pub(crate) fn quantum(&self, q: u32) -> QuantumView<'a> {
        self.graph.quantum(self.indices[q as usize])
    }

    /// All edges `(upstream, downstream)`, each once.
    pub(crate) fn edges(&self) -> Vec<(u32, u32)> {
        let mut edges = Vec::new();
        for (q, index) in (0_u32..).zip(&self.indices) {
            for next in self.graph.downstream(*index) {
                let next = u32::try_from(next.get()).expect("a graph counts with 32 bits");
                edges.push((q, next));
            }
        }
        edges
    }
}

impl<'a> TaskPlan<'a> {
    /// What it writes, without its log: that is stored when the workspace commits.
    pub(crate) fn outputs(&self) -> &'a [ResolvedOutput] {
        outputs(self.task)
    }
}

/// Writes the configuration as each output.
fn write_configuration(
    task: &ResolvedTask,
    config: &BTreeMap<String, ConfigValue>,
) -> impl Task + use<> {
    let content = config_json(config);
    let names: Vec<String> = outputs(task).iter().map(|output| output.name.clone()).collect();
    move |quantum: &mut QuantumContext<'_>| -> Result<(), TaskError> {
        for name in &names {
            quantum.write(name, &content)?;
        }
        Ok(())
    }
}

/// What a task writes, without its log.
pub(crate) fn outputs(task: &ResolvedTask) -> &[ResolvedOutput] {
    match task.outputs.split_last() {
        Some((log, outputs)) if log.name == ResolvedTask::LOG => outputs,
        _ => &task.outputs,
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => f.debug_tuple("Command").field(command).finish(),
            Self::Rust(_) => f.debug_tuple("Rust").finish_non_exhaustive(),
        }
    }
}
