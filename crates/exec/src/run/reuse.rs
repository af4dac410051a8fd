//! Taking over what a quantum of another RUN made, instead of running one.
//!
//! All of it is copied into a scratch directory and compared with what was recorded first, so
//! nothing stands at a final key unless everything is there and right. From there it goes the
//! way of what a command has written: moved to keys, flushed, then journaled.

use std::{
    fs::{self, File},
    io,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{ArtifactKey, DatasetId, FileRecord, StorageClass};
use pantler_graph::{Candidate, QuantumView, ReusableArtifact, TakenOver};
use pantler_seam::step;
use uuid::Uuid;

use super::{context::RunContext, worker::Attempt};
use crate::{
    FailureReason,
    failure::chain,
    journal::{LogSlice, StoredOutput},
    plan::TaskPlan,
};

/// Takes over the outputs of the first candidate that fits and is there; `None` if there is
/// none, and the quantum has to run.
pub(super) fn take_over(
    context: &RunContext<'_>,
    q: u32,
    view: &QuantumView<'_>,
    attempt: u32,
) -> Option<(TakenOver, Attempt)> {
    let candidates = context.reuse?.candidates(view.id);
    if candidates.is_empty() || context.decided[q as usize] {
        return None;
    }
    let identity = context.identity(q)?;
    let inputs = context.made_inputs(view)?;
    let task = context.plan().task(q);
    let fits = |candidate: &&Candidate| {
        candidate.task == identity.fingerprint()
            && candidate.inputs == inputs
            && has_all_outputs(candidate, task)
    };
    let mut fitting = candidates.iter().filter(fits).peekable();
    if fitting.peek().is_none() || identity.has_changed() {
        return None;
    }
    for candidate in fitting {
        let Ok(scratch) = context.new_scratch() else { return None };
        step("exec.reuse.copy");
        if let Some((files, log)) = fetch(context, candidate, scratch.path()) {
            step("exec.reuse.copied");
            let attempted = keep(context, task, view, attempt, candidate, &files, log.as_deref());
            return Some((candidate.from.clone(), attempted));
        }
    }
    None
}

fn has_all_outputs(candidate: &Candidate, task: &TaskPlan<'_>) -> bool {
    let outputs = task.outputs().iter();
    outputs.map(|output| output.name.as_str()).eq(candidate.outputs.iter().map(|o| &*o.name))
}

/// Copies what a candidate made, and what it said, into `dir`; `None` if something is not
/// there any more, or not what was recorded.
fn fetch(
    context: &RunContext<'_>,
    candidate: &Candidate,
    dir: &Utf8Path,
) -> Option<(Vec<Utf8PathBuf>, Option<Utf8PathBuf>)> {
    let copy = |name: String, artifact: &ReusableArtifact| {
        let path = dir.join(name);
        let mut file = File::create_new(&path).ok()?;
        context.datastore().copy_to(&record(artifact), &mut file).ok()?;
        Some(path)
    };
    let mut files = Vec::with_capacity(candidate.outputs.len());
    for (n, output) in candidate.outputs.iter().enumerate() {
        files.push(copy(n.to_string(), output)?);
    }
    let log = match &candidate.log {
        Some(log) => Some(copy("log".to_owned(), log)?),
        None => None,
    };
    Some((files, log))
}

/// What is read does not depend on what it is said to be.
fn record(artifact: &ReusableArtifact) -> FileRecord {
    FileRecord {
        dataset: DatasetId::from_uuid(Uuid::nil()),
        component: Box::default(),
        location: artifact.location.clone(),
        offset: artifact.offset,
        formatter: StorageClass::Bytes.formatter().into(),
        storage_class: StorageClass::Bytes,
        size: artifact.size,
        checksum: artifact.checksum,
    }
}

/// Moves the copies to their keys.
fn keep(
    context: &RunContext<'_>,
    task: &TaskPlan<'_>,
    view: &QuantumView<'_>,
    attempt: u32,
    candidate: &Candidate,
    files: &[Utf8PathBuf],
    log: Option<&Utf8Path>,
) -> Attempt {
    let mut stored: Vec<StoredOutput> = Vec::with_capacity(files.len());
    let failed = |stored: Vec<StoredOutput>, message: String| {
        let keys: Vec<ArtifactKey> = stored.into_iter().map(|output| output.key).collect();
        context.unstore(&keys);
        Attempt::failed(FailureReason::Storage { message })
    };
    let log = match keep_log(context, log) {
        Ok(log) => log,
        Err(message) => return failed(stored, message),
    };
    for ((output, file), source) in task.outputs().iter().zip(files).zip(&candidate.outputs) {
        let key = context.key(output, &view.data_id, attempt);
        step("exec.reuse.move");
        let written = match context.datastore().adopt(file, &key) {
            Ok(written) => written,
            Err(error) => {
                drop(context.datastore().discard_unfinished(&[key]));
                return failed(stored, chain(&error));
            }
        };
        let (size, checksum) = (written.size, written.checksum);
        stored.push(StoredOutput { name: output.name.as_str().into(), key, size, checksum });
        if (size, checksum) != (source.size, source.checksum) {
            return failed(stored, format!("{file} was changed by somebody else"));
        }
    }
    step("exec.reuse.moved");
    Attempt { result: Ok(stored), exit: None, log }
}

fn keep_log(context: &RunContext<'_>, log: Option<&Utf8Path>) -> Result<Option<LogSlice>, String> {
    let Some(path) = log else { return Ok(None) };
    let failed = |error: io::Error| format!("{path}: {error}");
    let mut file = File::open(path).map_err(failed)?;
    let slice = context.log().append(&mut file).map_err(|error| chain(&error))?;
    fs::remove_file(path).map_err(failed)?;
    Ok(slice)
}
