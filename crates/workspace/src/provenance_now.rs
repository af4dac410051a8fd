//! The provenance of an open workspace, as things stand.

use camino::Utf8PathBuf;
use pantler_core::DataId;
use pantler_exec::JournalState;
use pantler_graph::{ProvenanceGraph, RUN_PROVENANCE};

use crate::{
    RunProvenances, WorkspaceClient, WorkspaceError,
    kind::commit::harvest,
    layout,
    provenance::{WriteError, prepare},
};

impl WorkspaceClient {
    /// What was made from what in it so far, as its commit would store it: each quantum with
    /// its attempts and what it said, each dataset with its state. Needs no database.
    ///
    /// # Errors
    /// [`WorkspaceError::NotBuilt`]; [`WorkspaceError::Journal`] if the journal cannot be used;
    /// [`WorkspaceError::Io`] if a log cannot be read, or there is no room for the answer in
    /// the directory for temporary files.
    pub fn provenance_now(&self) -> Result<ProvenanceGraph<RunProvenances>, WorkspaceError> {
        let run = &self.transaction().run;
        let graph = self.graph()?;
        let journal = JournalState::read(&layout::journal_dir(self.root()))?;
        let outputs = harvest(&graph, &journal).outputs;
        let failed = |path: Utf8PathBuf| move |source| WorkspaceError::Io { path, source };
        let place = tempfile::Builder::new().prefix("pantler-provenance").tempdir();
        let place = place.map_err(failed("the directory for temporary files".into()))?;
        let path = Utf8PathBuf::try_from(place.path().join("now.zip"))
            .map_err(|e| failed(self.root().to_owned())(std::io::Error::other(e)))?;
        prepare(&path, self.root(), &graph, &journal, &outputs).map_err(|error| match error {
            WriteError::Journal(error) => WorkspaceError::Journal(error),
            WriteError::Write { path, source } => WorkspaceError::Io { path, source },
        })?;
        let id = graph.seed().dataset(RUN_PROVENANCE, &DataId::empty());
        let found = RunProvenances::of_one(run.clone(), id, path, place);
        Ok(ProvenanceGraph::new(found))
    }
}
