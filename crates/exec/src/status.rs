//! Where the quanta of a workspace stand, from its graph and journal.

use pantler_core::TaskLabel;
use pantler_graph::{QuantumGraph, QuantumIndex};

use crate::{
    Failure, FailureReason, JournalState, Success, current_successes,
    journal::{Finish, Outcome, Standing},
};

/// Where a quantum stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuantumStatus {
    /// It is in the graph, and nothing has happened to it that counts: it was reset, or
    /// succeeded from inputs that have been made again or taken away since.
    Built,
    /// It was started, and did not end: it runs, or was cut off.
    Started,
    /// Its outputs are stored, or it failed and was accepted.
    Succeeded,
    /// Its last attempt failed, or succeeded and was poisoned.
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
    /// These succeeded, or failed and were accepted.
    pub succeeded: usize,
    /// These of them failed and were accepted.
    pub accepted: usize,
    /// Of these of them, outputs of other RUNs were taken over.
    pub taken_over: usize,
    /// These failed, or succeeded and were poisoned.
    pub failed: usize,
    /// These of them succeeded and were poisoned.
    pub poisoned: usize,
    /// These wait in vain.
    pub blocked: usize,
}

/// The quanta whose last attempt failed and was not accepted, or succeeded and was
/// poisoned, in the order of the graph.
pub fn failures(graph: &QuantumGraph, journal: &JournalState) -> Vec<Failure> {
    failures_where(graph, journal, |standing| match standing {
        Standing::Failed { finish } | Standing::Poisoned { finish } => Some(finish),
        _ => None,
    })
}

/// The failures that count as successes since they were accepted, in the order of the
/// graph.
pub fn accepted_failures(graph: &QuantumGraph, journal: &JournalState) -> Vec<Failure> {
    failures_where(graph, journal, |standing| match standing {
        Standing::Accepted { finish, .. } => Some(finish),
        _ => None,
    })
}

fn failures_where(
    graph: &QuantumGraph,
    journal: &JournalState,
    pick: impl for<'j> Fn(Standing<'j>) -> Option<&'j Finish>,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    for index in graph.quanta() {
        let quantum = graph.quantum_id(index);
        let Some(finish) = journal.quantum(quantum).and_then(|history| pick(history.standing()))
        else {
            continue;
        };
        let reason = match &finish.outcome {
            Outcome::Failed { reason } => reason.clone(),
            Outcome::Succeeded { .. } => FailureReason::Poisoned,
        };
        let view = graph.quantum(index);
        failures.push(Failure {
            task: view.task.label.clone(),
            data_id: view.data_id,
            quantum,
            attempt: finish.attempt,
            reason,
            log: finish.log,
        });
    }
    failures
}

impl WorkspaceStatus {
    /// Puts graph and journal together.
    pub fn of(graph: &QuantumGraph, journal: &JournalState) -> Self {
        let current = current_successes(graph, journal);
        let standing =
            |index| journal.quantum(graph.quantum_id(index)).map(|history| history.standing());
        let mut quanta: Vec<QuantumStatus> = graph
            .quanta()
            .map(|index| match standing(index) {
                None | Some(Standing::Reset) => QuantumStatus::Built,
                Some(Standing::Started) => QuantumStatus::Started,
                Some(Standing::Succeeded { .. } | Standing::Accepted { .. }) => {
                    match current[index.get()] {
                        Some(_) => QuantumStatus::Succeeded,
                        None => QuantumStatus::Built,
                    }
                }
                Some(Standing::Failed { .. } | Standing::Poisoned { .. }) => QuantumStatus::Failed,
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
            for q in indices {
                counts.add(quanta[q.get()]);
                counts.accepted += usize::from(current[q.get()].is_some_and(Success::is_accepted));
                let finish = current[q.get()].and_then(Success::finish);
                counts.taken_over +=
                    usize::from(finish.is_some_and(|finish| finish.taken_over.is_some()));
                let poisoned = matches!(standing(q), Some(Standing::Poisoned { .. }));
                counts.poisoned += usize::from(poisoned);
            }
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
        Self {
            task,
            total: 0,
            built: 0,
            started: 0,
            succeeded: 0,
            accepted: 0,
            taken_over: 0,
            failed: 0,
            poisoned: 0,
            blocked: 0,
        }
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
