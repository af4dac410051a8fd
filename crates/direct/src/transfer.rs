//! Datasets of another repository come here, with their ids.
//!
//! What is there already, stored with the same id, size and checksum, is left; what is
//! registered only is stored again; what an open transaction manages is an error that
//! names it. Dimension records, dataset types and RUNs that are missing come along:
//! types and records in a database transaction of their own before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};

use pantler_butler::{
    artifacts::Content,
    request::{StorePlan, StoreProgress, StoreReport, TransferMode, TransferRequest},
    storing::TransferRole,
};
use pantler_core::{
    DataId, DirectUri, FileRecord, Location,
    changes::{Change, Changes},
};
use pantler_registry::{DatasetRow, RegistryError};

use crate::{
    ButlerError, DirectButler, StoreError,
    expand::expand,
    store::{
        Work,
        planned::{FileMode, Planned, PlannedContent, PlannedDataset, RecordMode, measure_file},
    },
};

/// A transfer failed. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The dimensions differ.
    #[error("{source_root} has the universe {theirs}, and this repository has {ours}")]
    OtherUniverse {
        /// The other repository.
        source_root: Utf8PathBuf,
        /// Its universe.
        theirs: String,
        /// The universe here.
        ours: String,
    },
    /// The other repository does not have it stored.
    #[error("{dataset} is registered in {source_root}, but not stored there")]
    NotStored {
        /// The other repository.
        source_root: Utf8PathBuf,
        /// The dataset.
        dataset: String,
    },
    /// A mode that makes no sense between repositories.
    #[error(
        "datasets of another repository cannot be transferred by {0}: take copy, hardlink, symlink or direct"
    )]
    Mode(TransferMode),
    /// The other repository cannot be read.
    #[error("cannot read the repository {source_root}")]
    Source {
        /// The other repository.
        source_root: Utf8PathBuf,
        /// Why.
        #[source]
        source: Box<ButlerError>,
    },
    /// Storing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RegistryError> for TransferError {
    fn from(error: RegistryError) -> Self {
        Self::Store(error.into())
    }
}

impl DirectButler {
    /// Transfers datasets from another repository.
    ///
    /// # Errors
    /// [`TransferError`]; unless it says otherwise, no dataset was changed.
    pub fn transfer_from(
        &self,
        source: &Self,
        request: &TransferRequest,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, TransferError> {
        let rows = self.rows_to_transfer(source, request)?;
        let planned = planned(source, &rows, request.mode)?;
        // In one database transaction of their own.
        let needed = needed(source, &rows)?;
        let now = self.environment().clock.now();
        self.registry().write(|writer| writer.apply(&needed, now))?;
        pantler_seam::step("transfer.prepared");
        let name = request.name.as_ref();
        let work = Work { what: "the transfer", name, options: request.options, progress };
        match self.open_row(name)? {
            Some(row) => Ok(self.go_on::<TransferRole>(&work, &row, planned)?),
            None => Ok(self.store::<TransferRole>(&work, planned)?),
        }
    }

    /// Says what [`Self::transfer_from`] would do, and changes nothing.
    ///
    /// # Errors
    /// [`TransferError`] if it would fail at once.
    pub fn plan_transfer(
        &self,
        source: &Self,
        request: &TransferRequest,
    ) -> Result<StorePlan, TransferError> {
        let rows = self.rows_to_transfer(source, request)?;
        let planned = planned(source, &rows, request.mode)?;
        let prepare = needed(source, &rows)?;
        let name = request.name.as_ref();
        let keep_going = request.options.keep_going;
        Ok(self.plan::<TransferRole>(name, planned, keep_going, prepare)?)
    }

    fn rows_to_transfer(
        &self,
        source: &Self,
        request: &TransferRequest,
    ) -> Result<Vec<DatasetRow>, TransferError> {
        let source_root = || source.root().to_owned();
        if self.universe() != source.universe() {
            return Err(TransferError::OtherUniverse {
                source_root: source_root(),
                theirs: source.universe().name().to_string(),
                ours: self.universe().name().to_string(),
            });
        }
        let rows = source.rows_of(&request.datasets).map_err(|error| TransferError::Source {
            source_root: source_root(),
            source: Box::new(error.into()),
        })?;
        match rows.iter().find(|row| row.records.is_empty()) {
            None => Ok(rows),
            Some(row) => Err(TransferError::NotStored {
                source_root: source_root(),
                dataset: row.dataset.to_string(),
            }),
        }
    }
}

/// The dataset types, and the dimension records that data IDs name, which must be here
/// before the datasets are.
fn needed(source: &DirectButler, rows: &[DatasetRow]) -> Result<Changes, TransferError> {
    let types: BTreeMap<_, _> = rows
        .iter()
        .map(|row| (&row.dataset.dataset_type.name, &row.dataset.dataset_type))
        .collect();
    let mut changes: Changes = types
        .into_values()
        .map(|dataset_type| Change::EnsureDatasetType(Arc::clone(dataset_type)))
        .collect();
    let data_ids: BTreeSet<&DataId> = rows.iter().map(|row| &row.dataset.data_id).collect();
    let records = source.registry().read(|reader| {
        let mut records = BTreeMap::new();
        for data_id in data_ids {
            for (name, record) in expand(reader, data_id)?.records {
                records.entry((name, record.data_id.clone())).or_insert(record);
            }
        }
        Ok::<_, RegistryError>(records.into_values().collect::<Vec<_>>())
    })?;
    if !records.is_empty() {
        changes.push(Change::EnsureDimensionRecords(records));
    }
    Ok(changes)
}

/// How artifacts of another repository can be brought here.
fn record_mode(mode: TransferMode) -> Result<RecordMode, TransferError> {
    match mode {
        TransferMode::Auto | TransferMode::Copy => Ok(RecordMode::Copy),
        TransferMode::Hardlink => Ok(RecordMode::Link(FileMode::Hardlink)),
        TransferMode::Symlink => Ok(RecordMode::Link(FileMode::Symlink)),
        TransferMode::Direct => Ok(RecordMode::Direct),
        TransferMode::Move | TransferMode::InPlace => Err(TransferError::Mode(mode)),
    }
}

/// One artifact for each dataset, but for those that share one and stay where they are.
fn planned<'a>(
    source: &'a DirectButler,
    rows: &[DatasetRow],
    mode: TransferMode,
) -> Result<Vec<Planned<'a>>, TransferError> {
    let mode = record_mode(mode)?;
    let mut planned: Vec<Planned<'a>> = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(record) = row.records.first() else { continue };
        let mut dataset = PlannedDataset::existing(row.dataset.clone(), false);
        let content = Content { size: record.size, checksum: record.checksum };
        // A slice is an artifact of its own here, unless it stays in the other storage.
        let record = match (mode, source.datastore().local_path_of(&record.location)) {
            (RecordMode::Direct, Some(path)) => direct(record, &path)?,
            _ => record.clone(),
        };
        let mut expected = Some(content);
        if mode == RecordMode::Direct
            && let Some(offset) = record.offset
        {
            dataset.slice = Some(Box::new((offset, content)));
            if let Location::Direct(uri) = &record.location {
                expected = Some(measure_file(uri.path())?);
            }
        }
        planned.push(Planned {
            datasets: vec![dataset],
            content: PlannedContent::Record(source.datastore(), Box::new(record), mode),
            expected,
        });
    }
    Ok(planned)
}

/// The record of a dataset that stays in the storage of another repository.
fn direct(record: &FileRecord, path: &Utf8Path) -> Result<FileRecord, TransferError> {
    let failed = |source| StoreError::Source { path: path.to_owned(), source };
    let path = path.canonicalize_utf8().map_err(failed)?;
    let uri = DirectUri::of_path(path.as_str()).map_err(|e| failed(std::io::Error::other(e)))?;
    Ok(FileRecord { location: Location::Direct(uri), ..record.clone() })
}
