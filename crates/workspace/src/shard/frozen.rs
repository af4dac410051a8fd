//! The markers of frozen shards, version 1.

use std::collections::BTreeSet;

use camino::Utf8Path;
use pantler_datastore::StorageError;
use pantler_direct::this_process;
use pantler_exec::{FreezeLock, frozen_markers};
use serde::{Deserialize, Serialize};

use super::Shard;
use crate::{WorkspaceError, layout};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct MarkerV1 {
    version: u32,
    shard: Shard,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// The frozen shards of a workspace, as they were when this was read.
#[derive(Debug, Default)]
pub(crate) struct Frozen {
    /// The names of the markers.
    markers: BTreeSet<String>,
    shards: BTreeSet<Shard>,
}

impl Frozen {
    /// Reads the markers in a root.
    pub(crate) fn read(root: &Utf8Path) -> Result<Self, WorkspaceError> {
        let names = frozen_markers(root)
            .map_err(|source| WorkspaceError::Io { path: layout::frozen_dir(root), source })?;
        Self::read_some(root, names)
    }

    /// Reads the markers of these shards, as far as they are there, and no others.
    pub(crate) fn among<'s>(
        root: &Utf8Path,
        shards: impl IntoIterator<Item = &'s Shard>,
    ) -> Result<Self, WorkspaceError> {
        Self::read_some(root, shards.into_iter().map(name_of))
    }

    fn read_some(
        root: &Utf8Path,
        names: impl IntoIterator<Item = String>,
    ) -> Result<Self, WorkspaceError> {
        let dir = layout::frozen_dir(root);
        let mut frozen = Self::default();
        for name in names {
            let path = dir.join(&name);
            let text = match std::fs::read(&path) {
                // Taken away meanwhile, by a commit that failed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                text => text.map_err(|source| WorkspaceError::Io { path: path.clone(), source })?,
            };
            let shard = decode(&text)
                .map_err(|reason| WorkspaceError::FrozenFile { path: path.clone(), reason })?;
            frozen.markers.insert(name);
            frozen.shards.insert(shard);
        }
        Ok(frozen)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Whether any is of a data ID, and not of init steps.
    pub(crate) fn has_shards(&self) -> bool {
        self.shards.iter().any(|shard| !shard.is_of_init_steps())
    }

    /// One of them, of a data ID if there is one.
    pub(crate) fn first(&self) -> Option<Shard> {
        let of_data_id = self.shards.iter().find(|shard| !shard.is_of_init_steps());
        of_data_id.or(self.shards.first()).cloned()
    }

    pub(crate) fn into_shards(self) -> impl Iterator<Item = Shard> {
        self.shards.into_iter()
    }

    pub(crate) fn has(&self, shard: &Shard) -> bool {
        self.shards.contains(shard)
    }

    /// Whether it was read from a marker of this name.
    pub(crate) fn has_marker(&self, name: &str) -> bool {
        self.markers.contains(name)
    }

    /// The names of the markers that those of `shards` will have which are not frozen.
    pub(crate) fn markers_to_come(&self, shards: &BTreeSet<Shard>) -> BTreeSet<String> {
        shards.difference(&self.shards).map(name_of).collect()
    }
}

fn decode(text: &[u8]) -> Result<Shard, String> {
    let VersionOnly { version } = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if version != VERSION {
        return Err(format!("it has version {version}; this program reads {VERSION}"));
    }
    let MarkerV1 { shard, .. } = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    Ok(shard)
}

fn text_of(shard: &Shard) -> String {
    let marker = MarkerV1 { version: VERSION, shard: shard.clone() };
    let mut text = serde_json::to_string(&marker).expect("names and values serialize");
    text.push('\n');
    text
}

/// The name of a marker.
fn name_of(shard: &Shard) -> String {
    format!("{}.json", shard.digest())
}

/// Sets the marker of a shard. One that is there is left: it says the same.
pub(super) fn freeze(root: &Utf8Path, shard: &Shard) -> Result<(), WorkspaceError> {
    let _lock = FreezeLock::acquire(root, &this_process())?;
    let dir = layout::frozen_dir(root);
    match std::fs::create_dir(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(WorkspaceError::Io { path: dir, source: error });
        }
        _ => pantler_datastore::fs::sync_dir(root)?,
    }
    pantler_seam::step("shard.freeze");
    match pantler_datastore::fs::write_new(&dir.join(name_of(shard)), text_of(shard).as_bytes()) {
        // By a commit that was killed before it had flushed it, perhaps.
        Err(StorageError::AlreadyExists { .. }) => pantler_datastore::fs::sync_dir(&dir)?,
        other => other?,
    }
    pantler_seam::step("shard.frozen");
    Ok(())
}

/// Takes the marker of a shard away, of which nothing was committed.
pub(super) fn thaw(root: &Utf8Path, shard: &Shard) {
    // What stays is frozen until it is committed again; so says whatever finds the marker.
    drop(std::fs::remove_file(layout::frozen_dir(root).join(name_of(shard))));
    pantler_seam::step("shard.thawed");
}
