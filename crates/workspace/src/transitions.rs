//! Accept, poison and reset of quanta in an open workspace; needs no database.

use std::collections::BTreeSet;

use pantler_datastore::key::run_prefix;
use pantler_direct::{TransactionFile, this_process};
use pantler_exec::{
    CloserLock, JournalState, LockError, QuantumStatus, RunnerLock, WorkspaceStatus,
    transitions::{
        ApplyRequest, NamedQuantum, Target, Transition, TransitionPlan, apply, find_outputs, plan,
        select,
    },
};
use pantler_graph::{QuantumGraph, QuantumIndex};

use crate::{
    WorkspaceClient, WorkspaceError,
    client::ClockView,
    layout,
    shard::{Frozen, Shard},
};

/// What a transition has done, or would do.
#[derive(Debug)]
pub struct Transitioned {
    /// What changed.
    pub plan: TransitionPlan,
    /// Where all quanta stand then; as they are now for one that was not done.
    pub status: WorkspaceStatus,
    /// Shards, or the init steps, of which quanta were meant and stay as they are: they are
    /// committed, or about to be.
    pub frozen: BTreeSet<Shard>,
}

impl WorkspaceClient {
    /// Says what [`Self::transition`] would do. Takes no lock and writes nothing.
    ///
    /// # Errors
    /// [`WorkspaceError::Transition`] naming the quantum to which it cannot happen.
    pub fn plan_transition(
        &self,
        graph: &QuantumGraph,
        transition: Transition,
        target: &Target,
    ) -> Result<Transitioned, WorkspaceError> {
        let journal = JournalState::read(&layout::journal_dir(self.root()))?;
        let (plan, frozen) = self.planned(graph, &journal, transition, target)?;
        let status = WorkspaceStatus::of(graph, &journal);
        Ok(Transitioned { plan, status, frozen })
    }

    /// Accepts, poisons or resets quanta. Again with the same quanta: finishes what a
    /// crash has cut off, else does nothing.
    ///
    /// # Errors
    /// [`WorkspaceError::Lock`] if a process runs quanta here or closes the workspace,
    /// [`WorkspaceError::Running`] if it runs one of these, [`WorkspaceError::Closing`] if
    /// a closing began and was not finished.
    pub fn transition(
        &self,
        graph: &QuantumGraph,
        transition: Transition,
        target: &Target,
        clock: &dyn pantler_direct::Clock,
    ) -> Result<Transitioned, WorkspaceError> {
        let process = this_process();
        pantler_seam::step("workspace.transition.begin");
        let _closers = CloserLock::acquire(self.root(), &process, false)?;
        let lock = match RunnerLock::acquire(self.root(), &process, false) {
            Err(LockError::Locked { root, holder }) => {
                return Err(self.locked(
                    graph,
                    transition,
                    target,
                    LockError::Locked { root, holder },
                ));
            }
            lock => lock?,
        };
        // As for a run: what was read before the lock may be of a workspace that is
        // closed by now.
        if TransactionFile::read(self.root())?.is_none_or(|f| f.opening != self.file().opening) {
            return Err(WorkspaceError::ClosedMeanwhile(self.transaction().run.clone()));
        }
        self.transition_under(&lock, graph, transition, target, clock)
    }

    /// The same for a caller that has the locks and has seen that the workspace is open.
    pub(crate) fn transition_under(
        &self,
        lock: &RunnerLock,
        graph: &QuantumGraph,
        transition: Transition,
        target: &Target,
        clock: &dyn pantler_direct::Clock,
    ) -> Result<Transitioned, WorkspaceError> {
        let dir = layout::journal_dir(self.root());
        let journal = JournalState::read(&dir)?;
        let (plan, frozen) = self.planned(graph, &journal, transition, target)?;
        let (clock, process) = (ClockView(clock), this_process());
        let request = ApplyRequest {
            lock,
            graph,
            journal: &journal,
            datastore: self.datastore(),
            opening: self.file().opening,
            clock: &clock,
            process: &process,
        };
        apply(&plan, &request)?;
        let status = WorkspaceStatus::of(graph, &JournalState::read(&dir)?);
        Ok(Transitioned { plan, status, frozen })
    }

    fn planned(
        &self,
        graph: &QuantumGraph,
        journal: &JournalState,
        transition: Transition,
        target: &Target,
    ) -> Result<(TransitionPlan, BTreeSet<Shard>), WorkspaceError> {
        let marker = layout::closing_marker(self.root());
        let marked = marker.try_exists();
        if marked.map_err(|source| WorkspaceError::Io { path: marker, source })? {
            return Err(WorkspaceError::Closing(self.transaction().run.clone()));
        }
        let opening = self.file().opening;
        let mut quanta = select(graph, journal, transition, target)?;
        let frozen = Frozen::read(self.root())?;
        let mut left_out = BTreeSet::new();
        if !frozen.is_empty() {
            if !matches!(target, Target::Quanta(_)) {
                // It cannot happen to those.
                quanta.retain(|index| match self.transaction().shard_of(graph, *index) {
                    Some(shard) if frozen.has(&shard) => {
                        left_out.insert(shard);
                        false
                    }
                    _ => true,
                });
            }
            self.expect_not_frozen(graph, &frozen, quanta.iter().copied())?;
        }
        let mut plan = plan(graph, journal, transition, &quanta)?;
        let prefix = run_prefix(&self.file().run, self.file().run_id);
        find_outputs(&mut plan, graph, journal, self.datastore(), &prefix, opening)?;
        Ok((plan, left_out))
    }

    /// Why the lock was not taken: names a quantum that was meant and runs, if one does.
    fn locked(
        &self,
        graph: &QuantumGraph,
        transition: Transition,
        target: &Target,
        error: LockError,
    ) -> WorkspaceError {
        let LockError::Locked { holder, .. } = &error else { return error.into() };
        let running = || -> Option<QuantumIndex> {
            let journal = JournalState::read(&layout::journal_dir(self.root())).ok()?;
            let status = WorkspaceStatus::of(graph, &journal);
            let quanta = select(graph, &journal, transition, target).ok()?;
            quanta.into_iter().find(|q| status.quantum(*q) == QuantumStatus::Started)
        };
        match running() {
            Some(index) => WorkspaceError::Running {
                quantum: NamedQuantum::of(graph, index),
                holder: holder.clone(),
            },
            None => error.into(),
        }
    }
}
