//! Where the inputs of an external workspace are read.

use std::collections::HashMap;

use camino::Utf8PathBuf;
use pantler_core::{ArtifactKey, DatasetId, DirectUri, Location};
use pantler_datastore::Datastore;
use pantler_graph::{DatasetOrigin, InputArtifact, QuantumGraph};

use super::{ExternalError, ParentUse};

/// Where the inputs of an external workspace are: transferred, or in the parent's storage.
#[derive(Debug)]
pub struct InputPlaces {
    pub(super) root: Utf8PathBuf,
    /// Those that were transferred.
    pub(super) transferred: HashMap<DatasetId, ArtifactKey>,
    /// `inputs/`, and `artifacts/`, where a conversion moves them.
    pub(super) storages: [Datastore; 2],
    /// Where the parent is.
    pub(super) parent: Utf8PathBuf,
    pub(super) parent_storage: Datastore,
}

impl InputPlaces {
    /// Names inputs of a graph where they are, by absolute paths.
    pub(crate) fn relocate(&self, graph: &mut QuantumGraph) {
        graph.relocate_inputs(|dataset, artifact| self.place(dataset, artifact));
    }

    fn place(&self, dataset: DatasetId, artifact: &InputArtifact) -> Option<InputArtifact> {
        if let Some(key) = self.transferred.get(&dataset) {
            let [inputs, artifacts] = &self.storages;
            let moved = inputs.local_path(key).is_none_or(|path| !path.exists());
            let storage = if moved { artifacts } else { inputs };
            let location = direct(storage, key)?;
            return Some(InputArtifact { location, offset: None, ..artifact.clone() });
        }
        let key = artifact.location.key()?;
        let location = direct(&self.parent_storage, key)?;
        Some(InputArtifact { location, ..artifact.clone() })
    }

    /// How many inputs of a graph are read from the parent.
    pub(crate) fn missing(&self, graph: &QuantumGraph) -> usize {
        let is_missing = |dataset: &DatasetId| !self.transferred.contains_key(dataset);
        graph
            .overall_inputs()
            .map(|index| graph.dataset(index))
            .filter(|dataset| matches!(dataset.origin, DatasetOrigin::Existing { .. }))
            .filter(|dataset| is_missing(&dataset.id))
            .count()
    }

    /// Refuses to begin if inputs are to be read from a parent that is not there.
    pub(crate) fn expect_reachable(&self, graph: &QuantumGraph) -> Result<(), ExternalError> {
        let missing = self.missing(graph);
        if missing > 0 && !self.parent.join("pantler.yaml").exists() {
            let (root, parent) = (self.root.clone(), self.parent.clone());
            let needed = ParentUse::Inputs(missing);
            return Err(ExternalError::ParentGone { root, parent, needed });
        }
        Ok(())
    }
}

fn direct(storage: &Datastore, key: &ArtifactKey) -> Option<Location> {
    let path = storage.local_path(key)?;
    DirectUri::of_path(path.as_str()).ok().map(Location::Direct)
}
