//! What an ingest has to do: files compared with what the RUN has.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Read as _,
    sync::Arc,
    time::UNIX_EPOCH,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::ingest::{Ingest, IngestItem};
use pantler_core::{
    ArtifactKey, Checksum, ChecksumHasher, CollectionName, DataId, DatasetId, DatasetType,
    DatasetTypeName, DimensionGroup, DimensionRecord, Element, ElementName, Universe,
};
use pantler_registry::{DatasetQuery, DatasetRow, RegistryError};
use rayon::prelude::*;
use uuid::Uuid;

use super::{IngestError, IngestFile};
use crate::DirectButler;

/// What an ingest would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IngestPlan {
    /// Datasets that would be new, in words, with their file.
    pub new: Vec<(String, Utf8PathBuf)>,
    /// Bytes to copy.
    pub bytes: u64,
    /// Files that the RUN has already.
    pub skipped: usize,
    /// Dimension records that would be made from their keys.
    pub records: usize,
}

pub(super) struct PlannedFile {
    pub(super) dataset_type: Arc<DatasetType>,
    pub(super) data_id: DataId,
    source: Utf8PathBuf,
    size: u64,
    modified: i64,
}

impl PlannedFile {
    /// As an item of a transaction; dataset id and key are the caller's to give.
    pub(super) fn as_item(&self) -> IngestItem {
        IngestItem {
            dataset: DatasetId::from_uuid(Uuid::nil()),
            label: self.label(),
            key: ArtifactKey::new("unset").expect("a plain word is a key"),
            storage_class: self.dataset_type.storage_class,
            source: self.source.to_string(),
            size: self.size,
            modified: self.modified,
        }
    }

    fn label(&self) -> String {
        format!("{} {}", self.dataset_type.name, self.data_id)
    }
}

#[derive(Default)]
pub(super) struct Planned {
    pub(super) new: Vec<PlannedFile>,
    pub(super) skipped: usize,
    pub(super) types: Vec<Arc<DatasetType>>,
    pub(super) records: Vec<DimensionRecord>,
}

impl Planned {
    pub(super) fn summary(&self) -> IngestPlan {
        IngestPlan {
            new: self.new.iter().map(|f| (f.label(), f.source.clone())).collect(),
            bytes: self.new.iter().map(|f| f.size).sum(),
            skipped: self.skipped,
            records: self.records.len(),
        }
    }
}

/// Compares `files` with what `run` has. Datasets that `left`, an open ingest,
/// manages count as new.
pub(super) fn plan(
    butler: &DirectButler,
    run: &CollectionName,
    files: &[IngestFile],
    left: Option<&Ingest>,
) -> Result<Planned, IngestError> {
    let managed: BTreeSet<DatasetId> =
        left.map(|l| l.items().iter().map(|i| i.dataset).collect()).unwrap_or_default();
    let existing = existing(butler, run, files)?;
    let mut planned = Planned::default();
    let mut seen: HashMap<(&DatasetTypeName, &DataId), &Utf8Path> = HashMap::new();
    // On all cores; what is wrong is reported in the order of the files all the same.
    let candidates: Vec<_> = files.par_iter().map(planned_file).collect();
    for (file, candidate) in files.iter().zip(candidates) {
        let key = (&file.dataset_type.name, &file.data_id);
        if let Some(first) = seen.insert(key, &file.source) {
            return Err(IngestError::Twice {
                dataset: format!("{} {}", file.dataset_type.name, file.data_id),
                first: first.to_owned(),
                second: file.source.clone(),
            });
        }
        let found = existing.get(&(file.dataset_type.name.clone(), file.data_id.clone()));
        let candidate = candidate?;
        match found {
            Some(row) if !managed.contains(&row.dataset.id) => {
                check_same(butler, run, &candidate, row)?;
                planned.skipped += 1;
            }
            _ => planned.new.push(candidate),
        }
    }
    let types: BTreeMap<&DatasetTypeName, &Arc<DatasetType>> =
        files.iter().map(|f| (&f.dataset_type.name, &f.dataset_type)).collect();
    planned.types = types.into_values().cloned().collect();
    planned.records = missing_records(butler, files)?;
    Ok(planned)
}

type Existing = HashMap<(DatasetTypeName, DataId), DatasetRow>;

fn existing(
    butler: &DirectButler,
    run: &CollectionName,
    files: &[IngestFile],
) -> Result<Existing, IngestError> {
    let wanted: BTreeSet<&DatasetTypeName> = files.iter().map(|f| &f.dataset_type.name).collect();
    butler
        .registry()
        .read(|reader| {
            let mut known = Vec::new();
            for name in wanted {
                if reader.dataset_type(name)?.is_some() {
                    known.push(name.clone());
                }
            }
            if known.is_empty() || reader.collection(run)?.is_none() {
                return Ok(Existing::new());
            }
            let rows = reader.datasets(&DatasetQuery {
                dataset_types: Some(known),
                runs: Some(vec![run.clone()]),
                ..DatasetQuery::default()
            })?;
            let key = |row: &DatasetRow| {
                (row.dataset.dataset_type.name.clone(), row.dataset.data_id.clone())
            };
            Ok::<_, RegistryError>(rows.into_iter().map(|row| (key(&row), row)).collect())
        })
        .map_err(IngestError::from)
}

fn planned_file(file: &IngestFile) -> Result<PlannedFile, IngestError> {
    let failed = |source| IngestError::Source { path: file.source.clone(), source };
    let source = file.source.canonicalize_utf8().map_err(failed)?;
    let metadata = std::fs::metadata(&source).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("it is not a regular file")));
    }
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0);
    Ok(PlannedFile {
        dataset_type: Arc::clone(&file.dataset_type),
        data_id: file.data_id.clone(),
        source,
        size: metadata.len(),
        modified,
    })
}

/// Compares a file with the dataset that the RUN has for its data ID.
fn check_same(
    butler: &DirectButler,
    run: &CollectionName,
    file: &PlannedFile,
    row: &DatasetRow,
) -> Result<(), IngestError> {
    let dataset = DirectButler::label(&row.dataset);
    let Some(record) = row.records.first() else {
        let locks = butler.registry().read(|reader| reader.locks_of_run(run))?;
        let transaction = locks.into_iter().next().map(|(name, _)| name);
        return Err(IngestError::NotStored { run: run.clone(), dataset, transaction });
    };
    let same = record.size == file.size
        && checksum_of(&file.source)
            .map_err(|source| IngestError::Source { path: file.source.clone(), source })?
            == (record.size, record.checksum);
    if same {
        Ok(())
    } else {
        Err(IngestError::Differs { path: file.source.clone(), run: run.clone(), dataset })
    }
}

/// Size in bytes and checksum of a file.
pub(super) fn checksum_of(path: &Utf8Path) -> std::io::Result<(u64, Checksum)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = ChecksumHasher::new();
    let mut chunk = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let n = file.read(&mut chunk)?;
        if n == 0 {
            return Ok((size, hasher.finish()));
        }
        hasher.update(&chunk[..n]);
        size += n as u64;
    }
}

/// The dimension records that the files need and the database does not have, as
/// far as they can be made from their keys.
fn missing_records(
    butler: &DirectButler,
    files: &[IngestFile],
) -> Result<Vec<DimensionRecord>, IngestError> {
    let universe = butler.universe();
    let elements = universe.elements().iter().enumerate();
    // What identifies a record of each, found once and not for every file.
    let elements: BTreeMap<&ElementName, (usize, Arc<DimensionGroup>)> =
        elements.map(|(at, e)| (&e.name, (at, universe.group_of(e)))).collect();
    let mut needed: BTreeMap<(usize, DataId), &IngestFile> = BTreeMap::new();
    for file in files {
        for name in file.data_id.group().required() {
            let Some((position, group)) = elements.get(name) else { continue };
            needed.entry((*position, identity(group, &file.data_id))).or_insert(file);
        }
    }
    butler.registry().read(|reader| {
        let mut records = Vec::new();
        for ((position, data_id), file) in needed {
            let element = &universe.elements()[position];
            if reader.dimension_record(element, &data_id)?.is_some() {
                continue;
            }
            if !element.needs_no_metadata() {
                return Err(IngestError::MissingRecord {
                    path: file.source.clone(),
                    element: element.name.to_string(),
                    data_id: data_id.to_string(),
                });
            }
            records.push(record_from_key(universe, element, &data_id));
        }
        Ok(records)
    })
}

/// The record of `element` that a data ID names, with nothing but its key.
pub fn record_from_key(
    universe: &Universe,
    element: &Element,
    data_id: &DataId,
) -> DimensionRecord {
    DimensionRecord {
        element: element.name.clone(),
        data_id: identity(&universe.group_of(element), data_id),
        implied: BTreeMap::new(),
        metadata: BTreeMap::new(),
    }
}

/// The part of a data ID that identifies the record of one element, whose group is given.
fn identity(group: &Arc<DimensionGroup>, data_id: &DataId) -> DataId {
    let values = group.required().iter().filter_map(|n| data_id.get(n.as_str()).cloned());
    DataId::from_values(group, values.collect())
        .expect("a data ID holds what its dimensions require")
}
