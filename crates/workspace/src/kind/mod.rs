//! The kind `workspace`: what a [`ManifestSource`] promises becomes a RUN: the outputs of a
//! quantum graph, or the datasets of a ledger.
//!
//! | step | effect | a kill after it leaves |
//! | --- | --- | --- |
//! | open | RUN registered and locked, inputs noted, row | an open workspace without a root; the next client makes it |
//! | root, `transaction.json` | clients need no database | an open workspace |
//! | `pipeline.json` | building needs no file of the user's | an open workspace; a build writes it from the manifest |
//! | build | `graph-1.qg`, create-only | an open workspace that can be run |
//! | run | artifacts at their keys, then the journal | an open workspace; the next run goes on |
//! | accept, poison, reset | lines in the journal; a reset deletes artifacts | an open workspace; the same call finishes it ([`pantler_exec::transitions`]) |
//! | waiting for runners | marker `closing`: no runner starts | open; runs after `reopen`, or any closing |
//! | commit: claim | attempt + 1 | open; commit, revert or abandon finish it |
//! | commit: closers' lock, marker, no runner left | `closing` in the root | the same; `reopen` undoes it |
//! | commit: delete | what no successful quantum wrote is gone | the same |
//! | commit: verify, logs | log packs below the RUN's prefix | the same; another commit deletes and writes them again |
//! | commit: provenance | `provenance.zip` in the root, then its artifact below the RUN's prefix | the same |
//! | commit: `transaction.json` removed, rows | closed; the root is left | `workspace vacuum` removes the root |
//!
//! Revert and abandon read no file of the workspace: they delete everything below
//! the RUN's prefix that no record names, and the RUN if it holds nothing. A workspace of
//! which shards are committed ([`crate::shard`]) cannot be reverted; abandoning it keeps those. A commit
//! that fails takes its marker away again, so that the workspace can be run on.

pub(crate) mod commit;
mod format;
pub(crate) mod graph_source;
mod ledger_source;
pub(crate) mod log_pack;
mod manifest_source;

use std::collections::BTreeSet;

use pantler_butler::{
    artifacts::Found,
    transaction::{
        ArtifactTransaction, CloseContext, CommitContext, DecodeError, KindError, OpenContext,
        RevertContext, TransactionKind,
    },
};
use pantler_core::{
    ArtifactKey, Checksum, CollectionName, ElementName, FileRecord,
    transaction::{Closing, RunLocks},
};
use pantler_datastore::StorageError;
use pantler_exec::CloserLock;

use crate::{Shard, layout};

pub use manifest_source::{ManifestSource, Promised};

/// What says which datasets a workspace makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Source {
    /// A quantum graph, and the journal of those that ran it.
    #[default]
    Graph,
    /// A ledger that those who write datasets append to ([`crate::ledger`]).
    Ledger,
}

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
    /// What says which datasets it makes. A ledger has no pipeline.
    pub source: Source,
    /// The pipeline's file when it was created; relative to the repository if that lies
    /// below the pipeline's folder.
    pub pipeline_file: String,
    /// What the pipeline does.
    pub pipeline_digest: Checksum,
    /// The collections whose RUNs may have made what it would make, in search order.
    pub reuse: Vec<CollectionName>,
    /// The project that it belongs to, if one made it.
    pub project: Option<String>,
    /// The dimensions whose data IDs are its shards; none for a workspace that is committed
    /// as a whole.
    pub shard_by: Vec<ElementName>,
    /// The shards that have been committed.
    pub committed: BTreeSet<Shard>,
    /// The content of `pipeline.json` or `ledger.json`, where the workspace is being opened;
    /// it is not read back with the rest.
    pub pipeline: Option<Vec<u8>>,
}

impl ArtifactTransaction for WorkspaceTransaction {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn data(&self, _manifest: Option<&[u8]>) -> String {
        format::data(self)
    }

    fn manifest(&self) -> Option<Vec<u8>> {
        self.pipeline.clone()
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

    fn has_entered(&self) -> bool {
        !self.committed.is_empty()
    }

    fn expect_closing(&self, closing: Closing) -> Result<(), KindError> {
        if closing == Closing::Revert && self.has_entered() {
            let count = self.committed_shards();
            return Err(KindError::Invalid(format!(
                "{count} of its shards are committed: commit or abandon it"
            )));
        }
        Ok(())
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
    /// if it holds nothing. Waits for runners to end; lock and marker keep others off
    /// until the rows are in.
    fn drop_everything(&self, context: &mut CloseContext<'_>) -> Result<(), KindError> {
        let recorded = keys_of(&lock_out_others(context)?);
        let prefix = context.facts().run_prefix;
        let mut keys: Vec<ArtifactKey> = Vec::new();
        for found in context.artifacts().list(prefix)? {
            match found {
                Found::Artifact { key, .. } if recorded.contains(&key) => {}
                Found::Artifact { key, .. } | Found::Unfinished { key } => keys.push(key),
                Found::Foreign { .. } => {}
            }
        }
        context.artifacts().unstore(&keys)?;
        context.artifacts().prune(prefix)?;
        // What a closer deleted that was killed before it flushed that is not listed.
        let recorded: Vec<_> = recorded.into_iter().collect();
        context.artifacts().flush_removals(prefix, &recorded)?;
        context.discard_run_if_unused(self.run.clone());
        Ok(())
    }
}

/// Takes the closers' lock, which it keeps until the rows are in; confirms the claim under
/// it; sets the marker, so that no runner starts; then waits until none is left. Returns
/// the records of the RUN.
///
/// In this order: whoever waited for the lock while another closed the workspace finds
/// out before it deletes anything or touches the marker.
fn lock_out_others(context: &mut CloseContext<'_>) -> Result<Vec<FileRecord>, KindError> {
    let Some(root) = context.facts().root.filter(|root| root.is_dir()) else {
        return context.confirm();
    };
    let unreadable =
        |e: Box<dyn std::error::Error + Send + Sync>| KindError::Unreadable(root.to_string(), e);
    let process = pantler_direct::this_process();
    let closer = match CloserLock::acquire(root, &process, true) {
        Ok(lock) => Some(lock),
        // Another closer has removed the root: the claim will say so.
        Err(_) if !root.is_dir() => None,
        Err(e) => return Err(unreadable(e.into())),
    };
    pantler_seam::step("workspace.locked");
    let recorded = context.confirm()?;
    set_marker(root).map_err(|e| unreadable(e.into()))?;
    if let Some(closer) = closer {
        // Who closes has been told for whom it waits before.
        let runners = closer.wait_for_runners(&process, &mut |_| ());
        context.hold((closer, runners.map_err(|e| unreadable(e.into()))?));
        pantler_seam::step("workspace.alone");
    }
    Ok(recorded)
}

fn keys_of(records: &[FileRecord]) -> BTreeSet<ArtifactKey> {
    records.iter().filter_map(|record| record.location.key().cloned()).collect()
}

/// Sets the marker of a closer; returns whether it was not there.
pub(crate) fn set_marker(root: &camino::Utf8Path) -> Result<bool, StorageError> {
    let text = format!("closed by {}\n", pantler_direct::this_process());
    let is_new =
        match pantler_datastore::fs::write_new(&layout::closing_marker(root), text.as_bytes()) {
            Ok(()) => true,
            Err(StorageError::AlreadyExists { .. }) => false,
            Err(error) => return Err(error),
        };
    pantler_seam::step("workspace.marker.set");
    Ok(is_new)
}

impl TransactionKind for WorkspaceTransaction {
    const KIND: &'static str = "workspace";

    fn decode(data: &str, _manifest: &[u8]) -> Result<Self, DecodeError> {
        format::decode(data)
    }
}
