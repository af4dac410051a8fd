//! How the datasets to be stored stand in the repository before.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use pantler_butler::storing::Source;
use pantler_core::{
    ArtifactKey, CollectionName, DataId, DatasetId, DatasetTypeName, FileRecord, TransactionName,
    transaction::TransactionRow,
};
use pantler_datastore::{Depth, Verdict};
use pantler_registry::{DatasetQuery, DatasetRow, LockKind, Reader, RegistryError};
use rayon::prelude::*;

use super::{
    StoreError,
    planned::{FileMode, Planned, PlannedContent, PlannedDataset, wanted},
    write::chain,
};
use crate::{ButlerError, DirectButler};

/// Up to how many datasets are looked up one by one; of more, all of their types in
/// their RUNs are read.
const FEW: usize = 64;

/// Planned artifacts, by what there is to do.
#[derive(Default)]
pub(crate) struct Sorted<'a> {
    /// To be stored, in the order given.
    pub(crate) to_store: Vec<Planned<'a>>,
    /// There already, with the same content.
    pub(crate) skipped: usize,
    /// Stored according to their records, but their artifact is not what it should be:
    /// to be unstored, and then stored again with the others.
    pub(crate) lost: Vec<(DatasetId, Vec<FileRecord>)>,
    /// Files to be moved whose content is stored already, with their artifacts.
    pub(crate) moved: Vec<(Source, ArtifactKey)>,
    /// The ids of all that was asked for, in order.
    pub(crate) ids: Vec<DatasetId>,
    /// What cannot be stored, in words, with the reason; empty unless it is to keep going.
    pub(crate) failed: Vec<(String, String)>,
}

type Key = (CollectionName, DatasetTypeName, DataId);

fn key(dataset: &PlannedDataset) -> Key {
    let dataset = &dataset.dataset;
    (dataset.run.clone(), dataset.dataset_type.name.clone(), dataset.data_id.clone())
}

/// What the RUNs have for the data IDs asked for.
pub(crate) struct Existing(HashMap<Key, DatasetRow>);

impl Existing {
    pub(crate) fn read(butler: &DirectButler, all: &[Planned<'_>]) -> Result<Self, StoreError> {
        let datasets = || all.iter().flat_map(|planned| planned.datasets.iter());
        let few = datasets().take(FEW + 1).count() <= FEW;
        let rows = butler.registry().read(|reader| {
            if few { one_by_one(reader, datasets()) } else { by_type(reader, datasets()) }
        })?;
        let row_key = |row: &DatasetRow| {
            let dataset = &row.dataset;
            (dataset.run.clone(), dataset.dataset_type.name.clone(), dataset.data_id.clone())
        };
        Ok(Self(rows.into_iter().map(|row| (row_key(&row), row)).collect()))
    }

    fn of(&self, dataset: &PlannedDataset) -> Option<&DatasetRow> {
        self.0.get(&key(dataset))
    }
}

fn one_by_one<'p>(
    reader: &Reader,
    datasets: impl Iterator<Item = &'p PlannedDataset>,
) -> Result<Vec<DatasetRow>, RegistryError> {
    let mut rows = Vec::new();
    for PlannedDataset { dataset, .. } in datasets {
        rows.extend(reader.dataset_by_key(
            &dataset.dataset_type.name,
            &dataset.run,
            &dataset.data_id,
        )?);
    }
    Ok(rows)
}

fn by_type<'p>(
    reader: &Reader,
    datasets: impl Iterator<Item = &'p PlannedDataset>,
) -> Result<Vec<DatasetRow>, RegistryError> {
    let (mut types, mut runs) = (BTreeSet::new(), BTreeSet::new());
    for PlannedDataset { dataset, .. } in datasets {
        types.insert(&dataset.dataset_type.name);
        runs.insert(&dataset.run);
    }
    let mut known = (Vec::new(), Vec::new());
    for name in types {
        if reader.dataset_type(name)?.is_some() {
            known.0.push(name.clone());
        }
    }
    for name in runs {
        if reader.collection(name)?.is_some() {
            known.1.push(name.clone());
        }
    }
    if known.0.is_empty() || known.1.is_empty() {
        return Ok(Vec::new());
    }
    reader.datasets(&DatasetQuery {
        dataset_types: Some(known.0),
        runs: Some(known.1),
        ..DatasetQuery::default()
    })
}

/// Sorts what is asked for. Datasets in `mine`, which an open transaction of the caller
/// manages, count as new. If it is to keep going, what is wrong with one does not keep
/// the others.
pub(crate) fn sort<'a>(
    butler: &DirectButler,
    all: Vec<Planned<'a>>,
    mine: &BTreeSet<DatasetId>,
    keep_going: bool,
) -> Result<Sorted<'a>, StoreError> {
    let existing = Existing::read(butler, &all)?;
    let mut sorted = Sorted::default();
    let mut seen: HashMap<Key, String> = HashMap::new();
    // What is there already is read, on all cores; what is wrong is reported in order.
    let managers = Managers::new(butler);
    let standings: Vec<_> =
        all.par_iter().map(|planned| standing(&managers, planned, &existing, mine)).collect();
    for (mut planned, standing) in all.into_iter().zip(standings) {
        for dataset in &planned.datasets {
            if let Some(first) = seen.insert(key(dataset), planned.content.describe()) {
                return Err(StoreError::Twice {
                    dataset: DirectButler::label(&dataset.dataset),
                    first,
                    second: planned.content.describe(),
                });
            }
        }
        let standing = match standing {
            Err(error) if keep_going => {
                sorted.failed.push((planned.label(), chain(&error)));
                continue;
            }
            standing => standing?,
        };
        for dataset in &mut planned.datasets {
            if let (Some(row), false) = (existing.of(dataset), standing == Standing::New) {
                dataset.dataset.id = row.dataset.id;
                dataset.registered = true;
            }
            sorted.ids.push(dataset.id());
        }
        match standing {
            Standing::Same => {
                sorted.skipped += planned.datasets.len();
                if let PlannedContent::File(source, FileMode::Move) = &planned.content {
                    let row = planned.datasets.first().and_then(|dataset| existing.of(dataset));
                    let record = row.and_then(|row| row.records.first());
                    let key = record.and_then(|record| record.location.key());
                    sorted.moved.extend(key.map(|key| (source.clone(), key.clone())));
                }
            }
            Standing::New | Standing::RegisteredOnly => sorted.to_store.push(planned),
            Standing::Lost => {
                for dataset in &planned.datasets {
                    let records = existing.of(dataset).map(|row| row.records.clone());
                    sorted.lost.push((dataset.id(), records.unwrap_or_default()));
                }
                sorted.to_store.push(planned);
            }
        }
    }
    Ok(sorted)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    New,
    RegisteredOnly,
    Same,
    Lost,
}

/// How the datasets of one artifact stand: all the same, or it is an error.
fn standing(
    managers: &Managers<'_>,
    planned: &Planned<'_>,
    existing: &Existing,
    mine: &BTreeSet<DatasetId>,
) -> Result<Standing, StoreError> {
    let mut all: Option<Standing> = None;
    for dataset in &planned.datasets {
        let found = existing.of(dataset).filter(|row| !mine.contains(&row.dataset.id));
        let this = match found {
            None => Standing::New,
            Some(row) => of_dataset(managers, planned, dataset, row)?,
        };
        all = match (all, this) {
            (None, this) => Some(this),
            (Some(other), this) if other == this => Some(this),
            // What is whole of a file is stored again with the rest.
            (Some(Standing::Same | Standing::Lost), Standing::Same | Standing::Lost) => {
                Some(Standing::Lost)
            }
            _ => {
                return Err(StoreError::Mixed {
                    source_name: planned.content.describe(),
                    run: dataset.dataset.run.clone(),
                    dataset: DirectButler::label(&dataset.dataset),
                });
            }
        };
    }
    Ok(all.unwrap_or(Standing::New))
}

fn of_dataset(
    managers: &Managers<'_>,
    planned: &Planned<'_>,
    dataset: &PlannedDataset,
    row: &DatasetRow,
) -> Result<Standing, StoreError> {
    let (run, label) = (dataset.dataset.run.clone(), DirectButler::label(&dataset.dataset));
    let existing = row.dataset.id;
    if dataset.fixed_id && existing != dataset.id() {
        return Err(StoreError::OtherId { run, dataset: label, existing, wanted: dataset.id() });
    }
    let Some(record) = row.records.first() else {
        return match managers.of(&run, existing)? {
            None => Ok(Standing::RegisteredOnly),
            Some(transaction) => {
                Err(StoreError::Managed { run, dataset: label, existing, transaction })
            }
        };
    };
    let same = match dataset.slice.as_deref() {
        Some((_, content)) => (content.size, content.checksum) == (record.size, record.checksum),
        None => {
            planned.content.size() == record.size && {
                let content = wanted(planned)?;
                (content.size, content.checksum) == (record.size, record.checksum)
            }
        }
    };
    if !same {
        let source_name = planned.content.describe();
        return Err(StoreError::Differs { source_name, run, dataset: label, existing });
    }
    // What was asked for again must be there: it is read, not believed.
    let datastore = managers.butler.datastore();
    match datastore.verify_record(record, Depth::Full).map_err(ButlerError::from)? {
        Verdict::Present { .. } => Ok(Standing::Same),
        Verdict::Missing | Verdict::Corrupt { .. } => Ok(Standing::Lost),
    }
}

/// Which open transactions manage datasets without records. Each RUN is looked at once.
pub(crate) struct Managers<'b> {
    butler: &'b DirectButler,
    runs: Mutex<HashMap<CollectionName, Arc<Vec<Manager>>>>,
}

/// An open transaction, and what it manages of a RUN; `None` if that is all of it.
struct Manager {
    name: TransactionName,
    datasets: Option<HashSet<DatasetId>>,
}

impl Manager {
    fn manages(&self, dataset: DatasetId) -> bool {
        self.datasets.as_ref().is_none_or(|all| all.contains(&dataset))
    }
}

impl<'b> Managers<'b> {
    pub(crate) fn new(butler: &'b DirectButler) -> Self {
        Self { butler, runs: Mutex::default() }
    }

    /// The open transaction that manages a dataset of `run` without records.
    pub(crate) fn of(
        &self,
        run: &CollectionName,
        dataset: DatasetId,
    ) -> Result<Option<TransactionName>, ButlerError> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let managers = if let Some(managers) = runs.get(run) {
            Arc::clone(managers)
        } else {
            let managers = Arc::new(self.read(run)?);
            runs.insert(run.clone(), Arc::clone(&managers));
            managers
        };
        drop(runs);
        let found = managers.iter().find(|manager| manager.manages(dataset));
        Ok(found.map(|manager| manager.name.clone()))
    }

    fn read(&self, run: &CollectionName) -> Result<Vec<Manager>, ButlerError> {
        let holders = self.butler.registry().read(|reader| holders(reader, run))?;
        Ok(managers(self.butler, holders))
    }
}

/// The open transactions that modify or insert into a RUN, with their manifests.
fn holders(
    reader: &Reader,
    run: &CollectionName,
) -> Result<Vec<(TransactionRow, Vec<u8>)>, RegistryError> {
    let mut holders = Vec::new();
    for (name, kind) in reader.locks_of_run(run)? {
        if kind == LockKind::Input {
            continue;
        }
        if let Some(row) = reader.transaction(&name)? {
            let manifest = reader.manifest(row.opening)?;
            holders.push((row, manifest));
        }
    }
    Ok(holders)
}

fn managers(butler: &DirectButler, holders: Vec<(TransactionRow, Vec<u8>)>) -> Vec<Manager> {
    let manager = |(row, manifest): (TransactionRow, Vec<u8>)| {
        // Of one that cannot be decoded, and of a workspace, nothing better is known.
        let datasets = match butler.kinds().decode(&row.kind, &row.data, &manifest) {
            Ok(transaction) if !transaction.is_workspace() => {
                Some(transaction.managed().datasets.into_iter().collect())
            }
            _ => None,
        };
        Manager { name: row.name, datasets }
    };
    holders.into_iter().map(manager).collect()
}

impl DirectButler {
    /// Finds datasets, and for those that an open transaction manages its name, in one
    /// snapshot.
    ///
    /// # Errors
    /// [`ButlerError`] if a collection or dataset type is unknown.
    pub fn query_datasets_and_managers(
        &self,
        query: &DatasetQuery,
    ) -> Result<(Vec<DatasetRow>, HashMap<DatasetId, TransactionName>), ButlerError> {
        let (rows, holders) = self.registry().read(|reader| {
            let rows = reader.datasets(query)?;
            let mut runs = HashMap::new();
            for row in rows.iter().filter(|row| row.records.is_empty()) {
                if !runs.contains_key(&row.dataset.run) {
                    let holders = holders(reader, &row.dataset.run)?;
                    runs.insert(row.dataset.run.clone(), holders);
                }
            }
            Ok::<_, RegistryError>((rows, runs))
        })?;
        let runs: HashMap<_, _> =
            holders.into_iter().map(|(run, holders)| (run, managers(self, holders))).collect();
        let manager = |row: &DatasetRow| {
            let manager = runs.get(&row.dataset.run)?.iter().find(|m| m.manages(row.dataset.id))?;
            Some((row.dataset.id, manager.name.clone()))
        };
        let unstored = rows.iter().filter(|row| row.records.is_empty());
        let managed = unstored.filter_map(manager).collect();
        Ok((rows, managed))
    }
}
