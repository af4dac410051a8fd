//! Doing what was planned.

use std::fs::File;

use pantler_core::{ArtifactKey, OpeningId, transaction::Process};
use pantler_datastore::Datastore;
use pantler_seam::step;

use super::{NamedQuantum, Transition, TransitionError, TransitionPlan, plan::Step};
use crate::{Clock, JournalError, JournalState, JournalWriter, RunnerLock, Verdict, layout};

/// What a planned transition is applied to.
#[derive(Debug)]
pub struct ApplyRequest<'a> {
    /// The lock of the workspace, held since before the journal was read; names its root.
    pub lock: &'a RunnerLock,
    /// The graph that was planned with.
    pub graph: &'a pantler_graph::QuantumGraph,
    /// The journal that was planned with.
    pub journal: &'a JournalState,
    /// Where outputs are.
    pub datastore: &'a Datastore,
    /// The opening of the workspace.
    pub opening: OpeningId,
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// This process.
    pub process: &'a Process,
}

/// Does what was planned; a plan without changes leaves no trace.
///
/// # Errors
/// [`TransitionError`], which says what state things are in.
pub fn apply(plan: &TransitionPlan, request: &ApplyRequest<'_>) -> Result<(), TransitionError> {
    if plan.changes.is_empty() {
        return Ok(());
    }
    let dir = layout::journal_dir(request.lock.root());
    flush_unsealed(&dir, request.journal).map_err(TransitionError::Begin)?;
    let mut writer = begin(&dir, request)?;
    flush_outputs(plan, request)?;
    for change in &plan.changes {
        let (quantum, attempt) = (change.quantum, change.attempt);
        match (change.step, plan.transition) {
            (Step::Verdict(number), Transition::Accept) => {
                let outputs = change.outputs.clone();
                writer.verdict(quantum, attempt, number, &Verdict::Accepted { outputs });
            }
            (Step::Verdict(number), _) => {
                writer.verdict(quantum, attempt, number, &Verdict::Poisoned);
            }
            (Step::Reset, _) => writer.reset(quantum, attempt, &change.keys),
            (Step::FinishReset, _) => {}
        }
    }
    step("exec.transition.append");
    write(&mut writer)?;
    step("exec.transition.appended");
    if plan.transition == Transition::Reset {
        let keys: Vec<ArtifactKey> =
            plan.changes.iter().flat_map(|change| &change.keys).cloned().collect();
        request.datastore.unstore_durably(&keys).map_err(TransitionError::Delete)?;
        step("exec.transition.deleted");
        for change in &plan.changes {
            writer.reset_done(change.quantum, change.attempt);
        }
        write(&mut writer)?;
        step("exec.transition.done");
    }
    writer.seal().map_err(TransitionError::Write)
}

fn begin(
    dir: &camino::Utf8Path,
    request: &ApplyRequest<'_>,
) -> Result<JournalWriter, TransitionError> {
    let started = request.clock.now();
    JournalWriter::create(dir, request.opening, request.process, started, None)
        .map_err(TransitionError::Begin)
}

fn write(writer: &mut JournalWriter) -> Result<(), TransitionError> {
    writer
        .append()
        .and_then(|()| writer.sync())
        .and_then(|sync| sync.sync())
        .map_err(TransitionError::Write)
}

/// Brings to stable storage what runners that died have written and not flushed: a line
/// about an attempt must not outlive the attempt's own.
fn flush_unsealed(dir: &camino::Utf8Path, journal: &JournalState) -> Result<(), JournalError> {
    for segment in journal.segments().iter().filter(|segment| !segment.sealed) {
        let path = dir.join(layout::segment_name(segment.runner));
        File::open(&path).and_then(|file| file.sync_all()).map_err(|source| JournalError::Io {
            action: "flush",
            path,
            source,
        })?;
    }
    Ok(())
}

fn flush_outputs(plan: &TransitionPlan, request: &ApplyRequest<'_>) -> Result<(), TransitionError> {
    for change in &plan.changes {
        let keys: Vec<ArtifactKey> =
            change.outputs.iter().map(|output| output.key.clone()).collect();
        if !keys.is_empty() {
            request.datastore.flush(&keys).map_err(|source| TransitionError::Outputs {
                quantum: NamedQuantum::of(request.graph, change.index),
                source,
            })?;
        }
    }
    Ok(())
}
