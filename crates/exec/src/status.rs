//! Where the quanta of a workspace stand, from its graph and journal.

use pantler_core::TaskLabel;
use pantler_graph::{QuantumGraph, QuantumIndex};

use crate::{Failure, JournalState, current_successes, journal::Outcome};

/// Where a quantum stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuantumStatus {
    /// It is in the graph, and nothing has happened to it that counts: it succeeded
    /// before at most, from inputs that have been made again since.
    Built,
    /// It was started, and did not end: it runs, or was cut off.
    Started,
    /// Its outputs are stored.
    Succeeded,
    /// Its last attempt failed.
    Failed,
    /// It has not succeeded, and something upstream of it failed.
    Blocked,
}

impl QuantumStatus {
    /// All, in the order of a table.
    pub const ALL: [Self; 5] =
        [Self::Built, Self::Started, Self::Succeeded, Self::Failed, Self::Blocked];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
        }
    }
}

/// Where all quanta of a workspace stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceStatus {
    quanta: Vec<QuantumStatus>,
    tasks: Vec<TaskStatus>,
}

/// How many quanta of a task stand where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStatus {
    /// The task.
    pub task: TaskLabel,
    /// All of its quanta.
    pub total: usize,
    /// Nothing has happened to these.
    pub built: usize,
    /// These run, or were cut off.
    pub started: usize,
    /// These succeeded.
    pub succeeded: usize,
    /// These failed.
    pub failed: usize,
    /// These wait in vain.
    pub blocked: usize,
}

/// The quanta whose last attempt failed, in the order of the graph.
pub fn failures(graph: &QuantumGraph, journal: &JournalState) -> Vec<Failure> {
    let mut failures = Vec::new();
    for index in graph.quanta() {
        let quantum = graph.quantum_id(index);
        let Some(finish) = journal.quantum(quantum).and_then(|history| history.last()) else {
            continue;
        };
        if let Outcome::Failed { reason } = &finish.outcome {
            let view = graph.quantum(index);
            failures.push(Failure {
                task: view.task.label.clone(),
                data_id: view.data_id,
                quantum,
                attempt: finish.attempt,
                reason: reason.clone(),
                log: finish.log,
            });
        }
    }
    failures
}

impl WorkspaceStatus {
    /// Puts graph and journal together.
    pub fn of(graph: &QuantumGraph, journal: &JournalState) -> Self {
        let current = current_successes(graph, journal);
        let mut quanta: Vec<QuantumStatus> = graph
            .quanta()
            .map(|index| match journal.quantum(graph.quantum_id(index)) {
                None => QuantumStatus::Built,
                Some(history) => match history.last().map(|finish| &finish.outcome) {
                    None => QuantumStatus::Started,
                    Some(Outcome::Succeeded { .. }) if current[index.get()].is_none() => {
                        QuantumStatus::Built
                    }
                    Some(Outcome::Succeeded { .. }) => QuantumStatus::Succeeded,
                    Some(Outcome::Failed { .. }) => QuantumStatus::Failed,
                },
            })
            .collect();
        let mut pending: Vec<QuantumIndex> =
            graph.quanta().filter(|q| quanta[q.get()] == QuantumStatus::Failed).collect();
        while let Some(q) = pending.pop() {
            for next in graph.downstream(q) {
                let status = &mut quanta[next.get()];
                if matches!(status, QuantumStatus::Built | QuantumStatus::Started) {
                    *status = QuantumStatus::Blocked;
                    pending.push(next);
                }
            }
        }
        let tasks = graph.tasks().map(|(task, indices)| {
            let mut counts = TaskStatus::new(task.label.clone());
            indices.for_each(|q| counts.add(quanta[q.get()]));
            counts
        });
        let tasks = tasks.collect();
        Self { quanta, tasks }
    }

    /// Where one quantum stands.
    pub fn quantum(&self, index: QuantumIndex) -> QuantumStatus {
        self.quanta[index.get()]
    }

    /// The table of tasks, in the order of the graph.
    pub fn tasks(&self) -> &[TaskStatus] {
        &self.tasks
    }

    /// Whether all quanta have succeeded.
    pub fn is_complete(&self) -> bool {
        self.quanta.iter().all(|status| *status == QuantumStatus::Succeeded)
    }
}

impl TaskStatus {
    fn new(task: TaskLabel) -> Self {
        Self { task, total: 0, built: 0, started: 0, succeeded: 0, failed: 0, blocked: 0 }
    }

    fn add(&mut self, status: QuantumStatus) {
        self.total += 1;
        *match status {
            QuantumStatus::Built => &mut self.built,
            QuantumStatus::Started => &mut self.started,
            QuantumStatus::Succeeded => &mut self.succeeded,
            QuantumStatus::Failed => &mut self.failed,
            QuantumStatus::Blocked => &mut self.blocked,
        } += 1;
    }
}
