//! What an external workspace made goes to its parent.

use std::{collections::HashMap, ops::Not as _};

use camino::Utf8Path;
use pantler_butler::request::{StoreOptions, StoreProgress, StoreReport, TransferMode};
use pantler_core::{
    ArtifactKey, CollectionName, DatasetId, DatasetRef, FileRecord, TransactionName,
};
use pantler_datastore::Depth;
use pantler_direct::{DirectButler, Receive, Received, ReceivedArtifact, Slice};
use pantler_exec::RunnerLock;
use pantler_graph::RUN_PROVENANCE;

use super::{
    ExternalError, ExternalWorkspace, ParentUse, cleanup,
    description::chain_of,
    description_file, done_file,
    reopen::Begun,
    rows::Rows,
    rows_file,
    seal::{Sealed, types_of},
};
use crate::WorkspaceError;

/// How to commit.
#[derive(Debug, Clone, Copy)]
pub struct CommitExternal {
    /// Copy, hardlink or move.
    pub mode: TransferMode,
    /// Whether what succeeded is enough.
    pub partial: bool,
    /// Whether another repository than the parent will do.
    pub any_repository: bool,
    /// Choices.
    pub options: StoreOptions,
}

/// What committing did.
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// It is in the parent now.
    Now {
        /// The RUN.
        run: CollectionName,
        /// What was stored.
        report: StoreReport,
    },
    /// It was committed before; what was left of it is gone now.
    Before,
}

impl ExternalWorkspace {
    /// Removes what a killed commit has left of a workspace that its parent has; `false` if
    /// the folder is no such thing.
    ///
    /// # Errors
    /// [`WorkspaceError`] if something cannot be removed.
    pub fn finish_commit(root: &Utf8Path) -> Result<bool, WorkspaceError> {
        if !Self::is_closed(root) {
            return Ok(false);
        }
        let lock = RunnerLock::acquire(root, &pantler_direct::this_process(), false)?;
        cleanup::of_committed(root)?;
        drop(lock);
        Ok(true)
    }

    /// Stores what it made in `parent`, then removes what Pantler made in its root. Killed
    /// at any moment, the same call finishes it.
    ///
    /// # Errors
    /// [`ExternalError::NotTheParent`], [`ExternalError::Receive`] and others; the workspace
    /// is then as before, unless a transaction is open in the parent, which the error names.
    pub fn commit(
        &self,
        parent: &DirectButler,
        request: CommitExternal,
        progress: &dyn StoreProgress,
    ) -> Result<Committed, WorkspaceError> {
        if !request.any_repository {
            let expected = self.description.parent.repository;
            self.check_repository(parent, expected, ParentUse::Commit)?;
        }
        self.check_universe(parent)?;
        let repository = parent.registry().repository()?;
        let closing = Begun::Commit { repository, path: parent.root().to_owned() };
        // If it cannot be said whether a transaction is open in the parent, it may be.
        let stays_closed =
            || parent.transaction(&self.transfer_name()).is_ok_and(|row| row.is_none()).not();
        let work = |sealed: &Sealed| self.transfer(sealed, parent, request, progress);
        // What is copied is compared with its checksum on the way.
        self.sealed(&closing, request.partial, Depth::Presence, work, stays_closed)
    }

    /// The name of the transaction in the parent.
    pub fn transfer_name(&self) -> TransactionName {
        let opening = self.client.file().opening.to_string();
        TransactionName::new(opening).expect("a UUID is a name")
    }

    fn transfer(
        &self,
        sealed: &Sealed,
        parent: &DirectButler,
        request: CommitExternal,
        progress: &dyn StoreProgress,
    ) -> Result<Committed, WorkspaceError> {
        let transaction = self.client.transaction();
        let rows = Rows::read(&rows_file(&self.root), &self.description.universe)?;
        let graph = &sealed.graph;
        let inputs: Vec<DatasetId> =
            graph.overall_inputs().map(|index| graph.dataset(index).id).collect();
        let artifacts = artifacts(sealed);
        let name = self.transfer_name();
        let receive = Receive {
            name: &name,
            run: &transaction.run,
            from: self.client.datastore(),
            artifacts: &artifacts,
            dataset_types: &types_of(graph),
            records: &rows.records,
            inputs: &inputs,
            chain: chain_of(transaction),
            mode: request.mode,
            options: request.options,
        };
        let received = parent.receive(&receive, progress).map_err(ExternalError::from)?;
        pantler_seam::step("external.committed");
        self.note_done()?;
        cleanup::of_committed(&self.root)?;
        Ok(match received {
            Received::Now(report) => Committed::Now { run: transaction.run.clone(), report },
            Received::Before => Committed::Before,
        })
    }
}

/// The outputs by the artifact that holds them.
fn artifacts(sealed: &Sealed) -> Vec<ReceivedArtifact> {
    let mut at: HashMap<&ArtifactKey, usize> = HashMap::new();
    let mut artifacts: Vec<ReceivedArtifact> = Vec::new();
    for (dataset, record) in &sealed.outputs {
        let Some(key) = record.location.key() else { continue };
        let part: (DatasetRef, Option<Slice>) = (dataset.clone(), slice(record));
        if let Some(at) = at.get(key) {
            artifacts[*at].datasets.push(part);
            continue;
        }
        let (size, checksum) =
            sealed.packs.get(key).copied().unwrap_or((record.size, record.checksum));
        at.insert(key, artifacts.len());
        let is_account = dataset.dataset_type.name.as_str() == RUN_PROVENANCE;
        let (key, datasets) = (key.clone(), vec![part]);
        artifacts.push(ReceivedArtifact { key, size, checksum, datasets, is_account });
    }
    artifacts
}

fn slice(record: &FileRecord) -> Option<Slice> {
    let offset = record.offset?;
    Some(Slice { offset, size: record.size, checksum: record.checksum })
}

impl ExternalWorkspace {
    /// Removes what Pantler made in its root; nothing of it is kept anywhere. `parent`, if
    /// it can be asked, says whether a commit of it is open.
    ///
    /// # Errors
    /// [`ExternalError::TransferOpen`]; [`WorkspaceError::Lock`] if a process is at work here.
    pub fn discard(self, parent: Option<&DirectButler>) -> Result<(), WorkspaceError> {
        let lock = RunnerLock::acquire(&self.root, &pantler_direct::this_process(), false)?;
        let name = self.transfer_name();
        if let Some(parent) = parent
            && parent.transaction(&name)?.is_some()
        {
            let (root, parent) = (self.root.clone(), parent.root().to_owned());
            let transaction = name.to_string();
            return Err(ExternalError::TransferOpen { root, parent, transaction }.into());
        }
        pantler_seam::step("external.discard.begin");
        self.note_done()?;
        cleanup::of_committed(&self.root)?;
        drop(lock);
        Ok(())
    }

    /// From now on the folder is no workspace.
    fn note_done(&self) -> Result<(), WorkspaceError> {
        let (from, to) = (description_file(&self.root), done_file(&self.root));
        pantler_seam::around("external.commit.note", || std::fs::rename(&from, &to))
            .map_err(ExternalError::io(&to))?;
        pantler_datastore::fs::sync_dir(&self.root)?;
        pantler_seam::step("external.commit.noted");
        Ok(())
    }
}
