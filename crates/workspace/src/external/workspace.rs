//! An external workspace, opened from its root alone.

use std::collections::HashMap;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{CollectionName, Universe};
use pantler_datastore::Datastore;
use pantler_direct::{DirectButler, TransactionFile, standalone};
use pantler_exec::RunnerLock;
use pantler_graph::QuantumGraph;
use uuid::Uuid;

use super::{
    ExternalError, InputPlaces, ParentUse, description::Description, description_file, done_file,
    inputs::TransferredFile, inputs_file, rows::Rows, rows_file, universe::difference,
};
use crate::{
    BuildRequest, Built, WorkspaceClient, WorkspaceError,
    build::{Next, check_names, write},
    client::{merged, read_parts},
    layout,
    needed::Base,
    skip,
};

/// A workspace in a folder of its own.
#[derive(Debug)]
pub struct ExternalWorkspace {
    pub(super) root: Utf8PathBuf,
    pub(super) description: Description,
    pub(super) client: WorkspaceClient,
    /// Where the parent is: as recorded, or as given.
    pub(super) parent: Utf8PathBuf,
}

impl ExternalWorkspace {
    /// Whether the folder `root` is, or was, an external workspace.
    pub fn is_at(root: &Utf8Path) -> bool {
        description_file(root).exists() || done_file(root).exists()
    }

    /// Whether the folder `root` was one, and is one no more: what it made stands in its
    /// parent, or was not wanted, and what is left of it is to be removed.
    pub fn is_closed(root: &Utf8Path) -> bool {
        !description_file(root).exists() && done_file(root).exists()
    }

    /// Opens the workspace in the folder `root`, whose parent is at `parent`, if it is not
    /// where it was when the workspace was created. Neither is asked anything.
    ///
    /// # Errors
    /// [`ExternalError`] if it is none, is one no more, or its files cannot be read.
    pub fn open(root: &Utf8Path, parent: Option<&Utf8Path>) -> Result<Self, WorkspaceError> {
        let file = description_file(root);
        if standalone::is_repository(root) {
            return Err(ExternalError::IsRepository(root.to_owned()).into());
        }
        if Self::is_closed(root) {
            return Err(ExternalError::IsCommitted(root.to_owned()).into());
        }
        if !root.exists() {
            return Err(ExternalError::NoFolder(root.to_owned()).into());
        }
        if !file.exists() {
            return Err(ExternalError::NoWorkspace(root.to_owned()).into());
        }
        let root = root.canonicalize_utf8().map_err(ExternalError::io(root))?;
        let description = Description::read(&description_file(&root))?;
        let transaction = TransactionFile::read(&root)?
            .ok_or_else(|| ExternalError::NoWorkspace(root.clone()))?;
        let parent = parent.map_or_else(|| description.parent.path.clone(), Utf8Path::to_owned);
        let transferred = match TransferredFile::read(&root)? {
            Some(file) => file.inputs.into_iter().map(|input| (input.id, input.key)).collect(),
            None => HashMap::new(),
        };
        let client = WorkspaceClient::new(root.clone(), transaction, &root)?;
        let inputs = super::inputs::storage(&root, client.datastore())?;
        let places = InputPlaces {
            root: root.clone(),
            transferred,
            storages: [inputs, client.datastore().clone()],
            parent: parent.clone(),
            parent_storage: Datastore::local(&parent, &description.parent.datastore)?,
        };
        let client = client.with_inputs(places);
        Ok(Self { root, description, client, parent })
    }

    /// Its root.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Where its parent is.
    pub fn parent(&self) -> &Utf8Path {
        &self.parent
    }

    /// What runs and changes its quanta.
    pub fn client(&self) -> &WorkspaceClient {
        &self.client
    }

    /// The same, without the rest.
    pub fn into_client(self) -> WorkspaceClient {
        self.client
    }

    /// The dimensions that it was made with.
    pub fn universe(&self) -> &Universe {
        &self.description.universe
    }

    /// Refuses a parent that is not there, before it is opened.
    ///
    /// # Errors
    /// [`ExternalError::ParentGone`].
    pub fn expect_parent(&self, needed: ParentUse) -> Result<(), ExternalError> {
        if standalone::is_repository(&self.parent) {
            return Ok(());
        }
        let (root, parent) = (self.root.clone(), self.parent.clone());
        Err(ExternalError::ParentGone { root, parent, needed })
    }

    /// Refuses another repository than the parent, and one with other dimensions.
    ///
    /// # Errors
    /// [`ExternalError::NotTheParent`], [`ExternalError::OtherUniverse`].
    pub fn check_parent(
        &self,
        butler: &DirectButler,
        needed: ParentUse,
    ) -> Result<(), WorkspaceError> {
        let expected = self.description.parent.repository;
        self.check_repository(butler, expected, needed)?;
        self.check_universe(butler)
    }

    /// Refuses a repository with another id.
    pub(super) fn check_repository(
        &self,
        butler: &DirectButler,
        expected: Uuid,
        needed: ParentUse,
    ) -> Result<(), WorkspaceError> {
        let found = butler.registry().repository()?;
        if found == expected {
            return Ok(());
        }
        let (root, given) = (self.root.clone(), butler.root().to_owned());
        Err(ExternalError::NotTheParent { root, given, found, expected, needed }.into())
    }

    /// Refuses a repository with other dimensions.
    pub(super) fn check_universe(&self, butler: &DirectButler) -> Result<(), WorkspaceError> {
        match difference(butler.universe(), self.universe()) {
            None => Ok(()),
            Some(difference) => {
                let (root, given) = (self.root.clone(), butler.root().to_owned());
                Err(ExternalError::OtherUniverse { root, given, difference }.into())
            }
        }
    }

    /// Its graph, if what is asked for has been built; then its parent is not needed.
    ///
    /// # Errors
    /// [`WorkspaceError::UnknownTask`]; [`WorkspaceError`] if the graph cannot be read.
    pub fn built_before(&self, request: &BuildRequest) -> Result<Option<Built>, WorkspaceError> {
        let parts = read_parts(&self.root)?;
        if !request.is_covered(&parts)? {
            return Ok(None);
        }
        let graph = merged(&self.root, parts)?;
        let (pruned, skipped) = (Vec::new(), Vec::new());
        let (before, reads_part, reusable) = (true, Vec::new(), None);
        Ok(Some(Built { graph, before, new: 0, pruned, skipped, reads_part, reusable }))
    }

    /// Builds its graph from its parent, or the part of it that is asked for; see
    /// [`crate::build`]. What is built is kept. Inputs that it reads besides those that were
    /// transferred are read from the parent until they are transferred, too.
    ///
    /// # Errors
    /// [`WorkspaceError::NothingToDo`] if there are no quanta, with the reasons;
    /// [`WorkspaceError::Closing`] if a closing has begun.
    pub fn build(
        &self,
        butler: &DirectButler,
        request: &BuildRequest,
    ) -> Result<Built, WorkspaceError> {
        let lock = RunnerLock::acquire(&self.root, &pantler_direct::this_process(), false)?;
        if let Some(built) = self.built_before(request)? {
            return Ok(built);
        }
        if layout::closing_marker(&self.root).exists() {
            return Err(WorkspaceError::Closing(self.client.transaction().run.clone()));
        }
        self.check_parent(butler, ParentUse::Build)?;
        let searched = self.searched(butler, &request.skip_existing_in)?;
        let runs = self.client.transaction().input_runs.iter().cloned().collect();
        let base = Base::whole(read_parts(&self.root)?);
        let next = Next::find(butler, &self.client, request, base, (&searched, runs))?;
        let built = next.written(|part, number, graph| {
            let rows = Rows::of(butler, graph, &self.description)?;
            let text = rows.to_json(&self.description.universe);
            pantler_datastore::fs::replace(&rows_file(&self.root), text.as_bytes())?;
            pantler_seam::step("external.rows.written");
            write(part, &self.root, number)
        })?;
        drop(lock);
        built.ok_or_else(|| WorkspaceError::ClosedMeanwhile(self.client.transaction().run.clone()))
    }

    /// See [`crate::check_request`].
    ///
    /// # Errors
    /// Those of [`crate::check_request`].
    pub fn check_request(
        &self,
        butler: &DirectButler,
        request: &BuildRequest,
    ) -> Result<(), WorkspaceError> {
        self.searched(butler, &request.skip_existing_in)?;
        check_names(butler, &self.client, request)
    }

    /// What `collections` stand for. Their RUNs must be inputs of the workspace: its folder
    /// has a place for those only.
    fn searched(
        &self,
        butler: &DirectButler,
        collections: &[CollectionName],
    ) -> Result<Vec<CollectionName>, WorkspaceError> {
        let transaction = self.client.transaction();
        skip::expect_other(&transaction.run, collections)?;
        let (searched, runs) = butler.registry().read(|r| skip::resolve(r, collections))?;
        match runs.into_iter().find(|run| !transaction.input_runs.contains(run)) {
            None => Ok(searched),
            Some(run) => Err(ExternalError::SkipNotAnInput { root: self.root.clone(), run }.into()),
        }
    }

    /// How many inputs of its graph a transfer of inputs that has been done did not bring,
    /// since they were built later; 0 if there was none.
    pub fn not_transferred(&self, graph: &QuantumGraph) -> usize {
        if inputs_file(&self.root).exists() { self.client.missing_inputs(graph) } else { 0 }
    }

    /// The graph with its inputs where they are.
    pub(super) fn graph(&self) -> Result<QuantumGraph, WorkspaceError> {
        self.client.graph()
    }
}
