//! Files that become artifacts by moving: they go when their datasets are stored.

use std::collections::HashMap;

use camino::Utf8Path;
use pantler_butler::{
    request::StoreReport,
    storing::{Item, Role, Source, Storing},
    transaction::Open,
};
use pantler_core::{ArtifactKey, DatasetId, DirectUri, Location, WriteId};
use pantler_datastore::{SourceRemoval, SourceState};

use super::{
    StoreError,
    planned::{FileMode, Planned, PlannedContent},
    write,
};
use crate::DirectButler;

/// Where the content of files is when this attempt has committed, by path.
pub(super) fn moved<R: Role>(open: &Open<Storing<R>>) -> HashMap<String, ArtifactKey> {
    let write = WriteId::of_opening(open.opening(), open.attempt());
    let written = |item: &Item| {
        // What an earlier attempt wrote is kept at a key of this one.
        item.written?;
        Some((item.source.as_ref()?.path.to_string(), item.location.key()?.at(&write)?))
    };
    open.transaction().items().iter().filter_map(written).collect()
}

/// Removes the files that were moved, if they are unchanged; the datasets are stored in
/// any case.
pub(super) fn remove_sources(
    butler: &DirectButler,
    planned: &[Planned<'_>],
    stored: &HashMap<String, ArtifactKey>,
    report: &mut StoreReport,
) {
    for planned in planned {
        let PlannedContent::File(source, FileMode::Move) = &planned.content else { continue };
        if let Some(key) = stored.get(&*source.path) {
            remove_source(butler, source, key, report);
        }
    }
}

/// Removes the files that a killed call had moved, and not removed yet.
pub(super) fn remove_sources_of_same(
    butler: &DirectButler,
    moved: &[(Source, ArtifactKey)],
    report: &mut StoreReport,
) {
    for (source, key) in moved {
        remove_source(butler, source, key, report);
    }
}

fn remove_source(
    butler: &DirectButler,
    source: &Source,
    key: &ArtifactKey,
    report: &mut StoreReport,
) {
    let path = Utf8Path::new(&*source.path);
    pantler_seam::step("store.source.remove");
    let left = match needed_by(butler, path) {
        Err(error) => write::chain(&error),
        Ok(Some(dataset)) => format!("dataset {dataset} is read from there"),
        Ok(None) => {
            let state = SourceState { size: source.size, modified: source.modified, inode: None };
            match butler.datastore().remove_source(path, &state, key) {
                Ok(SourceRemoval::Removed | SourceRemoval::Missing) => return,
                Ok(SourceRemoval::Changed) => "it changed while it was being stored".to_owned(),
                Ok(SourceRemoval::Needed) => "the artifact needs it".to_owned(),
                Err(error) => write::chain(&error),
            }
        }
    };
    report.sources_left.push((path.to_owned(), left));
}

/// A dataset that stays outside of the storage, at this path.
fn needed_by(butler: &DirectButler, path: &Utf8Path) -> Result<Option<DatasetId>, StoreError> {
    let Ok(uri) = DirectUri::of_path(path.as_str()) else { return Ok(None) };
    let users = butler.registry().read(|reader| reader.datasets_at(&Location::Direct(uri)))?;
    Ok(users.into_iter().next())
}
