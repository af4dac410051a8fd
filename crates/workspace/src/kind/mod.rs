//! The kind `workspace`: outputs of a quantum graph become a RUN.
//!
//! | step | effect | a kill after it leaves |
//! | --- | --- | --- |
//! | open | RUN registered and locked, inputs noted, row | an open workspace without a root; the next client makes it |
//! | root, `transaction.json` | clients need no database | an open workspace |
//! | build | `graph-1.qg`, create-only | an open workspace that can be run |
//! | run | artifacts at their keys, then the journal | an open workspace; the next run goes on |
//! | accept, poison, reset | lines in the journal; a reset deletes artifacts | an open workspace; the same call finishes it ([`pantler_exec::transitions`]) |
//! | commit: claim | attempt + 1 | open; commit, revert or abandon finish it |
//! | commit: marker | `closing` in the root: no runner starts | the same |
//! | commit: delete | what no successful quantum wrote is gone | the same |
//! | commit: verify, logs | log packs below the RUN's prefix | the same; another commit deletes and writes them again |
//! | commit: `transaction.json` removed, rows | closed; the root is left | `workspace vacuum` removes the root |
//!
//! Revert and abandon read no file of the workspace: they delete everything below
//! the RUN's prefix that no record names, and the RUN if it holds nothing. A commit
//! that fails takes its marker away again, so that the workspace can be run on.

pub(crate) mod commit;
mod format;
pub(crate) mod log_pack;

use std::collections::BTreeSet;

use pantler_butler::{
    artifacts::Found,
    transaction::{
        ArtifactTransaction, CloseContext, CommitContext, DecodeError, KindError, OpenContext,
        RevertContext, TransactionKind,
    },
};
use pantler_core::{ArtifactKey, Checksum, CollectionName, transaction::RunLocks};
use pantler_datastore::StorageError;
use pantler_exec::RunnerLock;

use crate::layout;

/// An internal workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceTransaction {
    /// The RUN that it makes; also its name.
    pub run: CollectionName,
    /// The chain that gets the RUN as its new head.
    pub chain: Option<CollectionName>,
    /// The input collections, in search order.
    pub inputs: Vec<CollectionName>,
    /// The RUNs that those held when it was opened, or that own what they named.
    pub input_runs: Vec<CollectionName>,
    /// The RUNs and TAGGED collections that `inputs` stood for when it was opened, in
    /// search order.
    pub searched: Vec<CollectionName>,
    /// The pipeline's file when it was created; relative to the repository if that lies
    /// below the pipeline's folder.
    pub pipeline_file: String,
    /// What the pipeline does.
    pub pipeline_digest: Checksum,
    /// The project that it belongs to, if one made it.
    pub project: Option<String>,
}

impl ArtifactTransaction for WorkspaceTransaction {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn data(&self, _manifest: Option<&[u8]>) -> String {
        format::data(self)
    }

    fn locks(&self) -> RunLocks {
        RunLocks {
            modified: vec![self.run.clone()],
            insert_only: Vec::new(),
            inputs: self.input_runs.clone(),
        }
    }

    fn is_workspace(&self) -> bool {
        true
    }

    fn commit_deletes(&self) -> bool {
        true
    }

    fn begin(&self, context: &mut OpenContext) -> Result<(), KindError> {
        context.insert_run(self.run.clone());
        Ok(())
    }

    fn commit(&self, context: &mut CommitContext<'_>) -> Result<(), KindError> {
        commit::commit(self, context)
    }

    fn revert(&self, context: &mut RevertContext<'_>) -> Result<(), KindError> {
        self.drop_everything(context)
    }

    fn abandon(&self, context: &mut CloseContext<'_>) -> Result<(), KindError> {
        self.drop_everything(context)
    }
}

impl WorkspaceTransaction {
    /// Deletes what stands below the RUN's prefix and no record names, then the RUN
    /// if it holds nothing. Waits for a runner to end; lock and marker keep others off
    /// until the rows are in.
    fn drop_everything(&self, context: &mut CloseContext<'_>) -> Result<(), KindError> {
        let recorded: BTreeSet<ArtifactKey> = lock_out_others(context)?;
        let mut keys: Vec<ArtifactKey> = Vec::new();
        for found in context.artifacts().list(context.facts().run_prefix)? {
            match found {
                Found::Artifact { key, .. } if recorded.contains(&key) => {}
                Found::Artifact { key, .. } | Found::Unfinished { key } => keys.push(key),
                Found::Foreign { .. } => {}
            }
        }
        context.artifacts().unstore(&keys)?;
        context.artifacts().prune(context.facts().run_prefix)?;
        context.discard_run_if_unused(self.run.clone());
        Ok(())
    }
}

/// Takes the runner's lock, which also excludes other closers, until the rows are in;
/// confirms the claim under it; then sets the marker. Returns the recorded keys.
///
/// In this order: whoever waited for the lock while another closed the workspace finds
/// out before it deletes anything or touches the marker.
fn lock_out_others(context: &mut CloseContext<'_>) -> Result<BTreeSet<ArtifactKey>, KindError> {
    let Some(root) = context.facts().root.filter(|root| root.is_dir()) else {
        return Ok(context.confirm()?.into_iter().collect());
    };
    let unreadable =
        |e: Box<dyn std::error::Error + Send + Sync>| KindError::Unreadable(root.to_string(), e);
    match RunnerLock::acquire(root, &pantler_direct::this_process(), true) {
        Ok(lock) => context.hold(lock),
        // Another closer has removed the root: the claim will say so.
        Err(_) if !root.is_dir() => {}
        Err(e) => return Err(unreadable(e.into())),
    }
    pantler_seam::step("workspace.locked");
    let recorded = context.confirm()?.into_iter().collect();
    set_marker(root).map_err(|e| unreadable(e.into()))?;
    Ok(recorded)
}

fn set_marker(root: &camino::Utf8Path) -> Result<(), StorageError> {
    let text = format!("closed by process {}\n", std::process::id());
    match pantler_datastore::fs::write_new(&layout::closing_marker(root), text.as_bytes()) {
        Ok(()) | Err(StorageError::AlreadyExists { .. }) => {
            pantler_seam::step("workspace.marker.set");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

impl TransactionKind for WorkspaceTransaction {
    const KIND: &'static str = "workspace";

    fn decode(data: &str, _manifest: &[u8]) -> Result<Self, DecodeError> {
        format::decode(data)
    }
}
