//! An external workspace becomes a repository, in place.

use std::{collections::HashMap, sync::Arc};

use camino::Utf8Path;
use pantler_core::{DatasetRef, Tai};
use pantler_datastore::{Depth, key};
use pantler_direct::standalone::{self, Contents};
use pantler_exec::RunnerLock;

use super::{
    ExternalError, ExternalWorkspace, INPUTS, cleanup,
    description::chain_of,
    description_file,
    inputs::{TransferredFile, stored},
    reopen::Begun,
    rows::{Rows, run_of},
    rows_file,
    seal::{Sealed, types_of},
};
use crate::WorkspaceError;

/// What converting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Converted {
    /// It is a repository now.
    Now {
        /// Its datasets that quanta made.
        outputs: usize,
        /// Those that were inputs.
        inputs: usize,
        /// Of the inputs, those that are stored.
        stored: usize,
    },
    /// It was one before.
    Before,
}

impl ExternalWorkspace {
    /// Makes a repository of the folder `root`, if it is not one already: its outputs are
    /// stored, its inputs too if they were transferred, else registered only. `depth` says how
    /// closely outputs are looked at before.
    ///
    /// # Errors
    /// [`ExternalError::Unfinished`] if quanta have not succeeded, unless that is fine
    /// (`partial`); it is a workspace then, and after most other errors, too.
    pub fn convert(
        root: &Utf8Path,
        partial: bool,
        depth: Depth,
        now: Tai,
    ) -> Result<Converted, WorkspaceError> {
        if standalone::is_repository(root) {
            // What a killed call has left.
            if description_file(root).exists() {
                let lock = RunnerLock::acquire(root, &pantler_direct::this_process(), false)?;
                cleanup::of_repository(root)?;
                drop(lock);
            }
            return Ok(Converted::Before);
        }
        let workspace = Self::open(root, None)?;
        let make = |sealed: &Sealed| workspace.make(sealed, now);
        workspace.sealed(&Begun::Convert, partial, depth, make, || false)
    }

    fn make(&self, sealed: &Sealed, now: Tai) -> Result<Converted, WorkspaceError> {
        let description = &self.description;
        let rows = Rows::read(&rows_file(&self.root), &description.universe)?;
        let rows = rows.restricted_to(&sealed.graph);
        let transferred: HashMap<_, _> = match TransferredFile::read(&self.root)? {
            Some(file) => file.inputs.into_iter().map(|input| (input.id, input)).collect(),
            None => HashMap::new(),
        };
        // What a transfer that did not end has left.
        let kept = transferred.values().map(|input| &input.key).collect();
        cleanup::remove_inputs(&self.root, self.client.datastore(), description, &kept)?;
        if !transferred.is_empty() {
            self.take_inputs()?;
        }
        let Sealed { graph, outputs, .. } = sealed;
        let (mut datasets, mut files): (Vec<_>, Vec<_>) = outputs.iter().cloned().unzip();
        let made = datasets.len();
        for index in graph.overall_inputs() {
            let node = graph.dataset(index);
            let Some(run) = run_of(&node.origin).cloned() else { continue };
            files.extend(transferred.get(&node.id).map(|input| stored(&node, input)));
            let (dataset_type, data_id) = (Arc::clone(&node.dataset_type), node.data_id);
            datasets.push(DatasetRef { id: node.id, dataset_type, data_id, run });
        }
        let counts = Converted::Now {
            outputs: made,
            inputs: datasets.len() - made,
            stored: transferred.len(),
        };
        let collections = description.others(&rows);
        let contents = Contents {
            universe: &description.universe,
            datastore: self.client.datastore().config(),
            runs: &description.runs,
            collections: &collections,
            chain: chain_of(self.client.transaction()),
            dataset_types: &types_of(graph),
            records: rows.records,
            datasets,
            files,
        };
        standalone::make(&self.root, contents, now).map_err(ExternalError::from)?;
        pantler_seam::step("external.converted");
        cleanup::of_repository(&self.root)?;
        Ok(counts)
    }

    /// Moves transferred inputs, RUN by RUN, to where a repository has its artifacts.
    fn take_inputs(&self) -> Result<(), WorkspaceError> {
        let artifacts = self.root.join(&self.client.datastore().config().root);
        let inputs = self.root.join(INPUTS);
        for run in &self.description.runs {
            let Some(id) = self.description.run_id(run) else { continue };
            let prefix = key::run_prefix(run, id);
            let (from, to) = (inputs.join(prefix.as_str()), artifacts.join(prefix.as_str()));
            if from.exists() {
                pantler_seam::around("external.inputs.take", || {
                    pantler_datastore::fs::rename_noreplace(&from, &to)
                })
                .map_err(ExternalError::io(&to))?;
                pantler_datastore::fs::sync_dir(&inputs)?;
            }
        }
        pantler_datastore::fs::sync_dir(&artifacts)?;
        pantler_seam::step("external.inputs.taken");
        Ok(())
    }
}
