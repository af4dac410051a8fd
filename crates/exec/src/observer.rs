//! Following a run while it runs.

use std::time::Duration;

use pantler_core::{DataId, QuantumId, TaskLabel, transaction::Process};

use crate::{FailureReason, TaskCounts, plan::Plan};

/// Is told what happens, from the thread that called [`crate::run`].
pub trait Observer {
    /// The run begins: what there is per task, with what is skipped.
    fn on_start(&mut self, tasks: &[TaskCounts]) {
        let _: &[TaskCounts] = tasks;
    }

    /// A quantum was given to a thread.
    fn quantum_started(&mut self, quantum: &ObservedQuantum<'_>) {
        let _: &ObservedQuantum<'_> = quantum;
    }

    /// A quantum ended: `failure` says why it failed, or is `None`. It is in the
    /// journal up to a second later.
    fn quantum_finished(&mut self, quantum: &ObservedQuantum<'_>, failure: Option<&FailureReason>) {
        let _: (&ObservedQuantum<'_>, Option<&FailureReason>) = (quantum, failure);
    }

    /// Nothing can run here until others have made what it reads; told again when that
    /// changes.
    fn waiting(&mut self, waiting: &Waiting) {
        let _: &Waiting = waiting;
    }
}

/// What a run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// How many quanta of others.
    pub quanta: usize,
    /// The runner that is to run the first of them: its number and process. `None` if none
    /// does yet.
    pub runner: Option<(u32, Process)>,
    /// How long it waits at most without hearing anything.
    pub limit: Duration,
}

/// A quantum that something happens to.
#[derive(Debug)]
pub struct ObservedQuantum<'a> {
    plan: &'a Plan<'a>,
    q: u32,
}

impl<'a> ObservedQuantum<'a> {
    pub(crate) fn new(plan: &'a Plan<'a>, q: u32) -> Self {
        Self { plan, q }
    }

    /// Its task.
    pub fn task(&self) -> &'a TaskLabel {
        self.plan.label(self.q)
    }

    /// Its id.
    pub fn id(&self) -> QuantumId {
        self.plan.id(self.q)
    }

    /// Its data ID, made when asked for.
    pub fn data_id(&self) -> DataId {
        self.plan.quantum(self.q).data_id
    }
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}
