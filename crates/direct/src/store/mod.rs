//! Content becomes datasets: put, ingest, restore (and transfer, next door).
//!
//! 1. *Plan*: how does what is asked for stand in the RUN? The same content is skipped,
//!    other content is an error that names both, registered only is stored again, and
//!    what vanished or rotted is first unstored and then stored again.
//! 2. *Open* a storing transaction ([`pantler_butler::storing`]), or take over the one
//!    that a dead process left for the same work.
//! 3. *Write*: on all cores, one flush, renames, one flush.
//! 4. *Commit*. If 3 or 4 fails, revert: the repository is then as before step 2.
//!
//! A put leaves step 1 out until the opening finds a data ID taken: most are new.

mod error;
mod opening;
pub(crate) mod planned;
mod plans;
mod records;
mod sources;
pub(crate) mod standing;
mod unstoring;
mod write;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use pantler_butler::{
    request::{
        IdScheme, IngestRequest, NewDataset, NoProgress, PutItem, PutRequest, RestoreContent,
        RestoreItem, StoreOptions, StoreProgress, StoreReport,
    },
    storing::{IngestRole, PutRole, RestoreRole, Role, Storing, StoringChain},
    transaction::Open,
};
use pantler_core::{
    CollectionName, DataId, DatasetId, DatasetRef, DatasetType, DatasetTypeName, TransactionName,
    changes::Change,
    transaction::{Closing, TransactionRow},
};
use pantler_registry::{DatasetQuery, RegistryError, Writer};
use rayon::prelude::*;

pub(crate) use self::opening::own_name;
use self::planned::{FileMode, Planned, PlannedContent, PlannedDataset};
pub use self::{error::StoreError, records::record_from_key};
use crate::{ButlerError, CloseOptions, Closed, DirectButler};

/// What is to be stored, under what name.
pub(crate) struct Work<'a> {
    /// What it is called in messages.
    pub(crate) what: &'static str,
    /// The transaction's name, if it was given one.
    pub(crate) name: Option<&'a TransactionName>,
    /// Choices.
    pub(crate) options: StoreOptions,
    /// Who is told.
    pub(crate) progress: &'a dyn StoreProgress,
}

impl DirectButler {
    /// Stores content as a new dataset of a RUN, which is made if it is missing. The same
    /// content again does nothing and returns the dataset that is there.
    ///
    /// # Errors
    /// [`StoreError`]; unless it says otherwise, the repository is as before.
    pub fn put(
        &self,
        content: &[u8],
        dataset_type: &DatasetTypeName,
        data_id: &DataId,
        run: &CollectionName,
    ) -> Result<DatasetRef, StoreError> {
        self.with_dataset_type(dataset_type, |known| self.put_one(content, known, data_id, run))
    }

    /// Calls `put` with a dataset type as it was when it was last read, if it was: what is
    /// inserted is compared with what is registered. If that differs it is read, and `put`
    /// called again.
    pub(crate) fn with_dataset_type<T>(
        &self,
        name: &DatasetTypeName,
        put: impl Fn(Arc<DatasetType>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(known) = self.registry().known_dataset_type(name) {
            match put(known) {
                Err(StoreError::Butler(ButlerError::Registry(
                    RegistryError::UnknownDatasetType { .. } | RegistryError::DatasetType(_),
                ))) => {}
                put => return put,
            }
        }
        put(self.registry().read(|reader| {
            let found = reader.dataset_type(name)?;
            found.ok_or_else(|| RegistryError::UnknownDatasetType { name: name.clone() })
        })?)
    }

    fn put_one(
        &self,
        content: &[u8],
        dataset_type: Arc<DatasetType>,
        data_id: &DataId,
        run: &CollectionName,
    ) -> Result<DatasetRef, StoreError> {
        let dataset = NewDataset::new(dataset_type, data_id.clone());
        let request = PutRequest {
            name: None,
            run: run.clone(),
            items: vec![PutItem { dataset: dataset.clone(), content: content.into() }],
            options: StoreOptions::default(),
        };
        let report = self.put_many(&request, &NoProgress)?;
        let Some(&id) = report.ids.first() else {
            return Err(RegistryError::UnknownCollection { name: run.clone() }.into());
        };
        let NewDataset { dataset_type, data_id, .. } = dataset;
        Ok(DatasetRef { id, dataset_type, data_id, run: run.clone() })
    }

    /// Stores content as datasets of a RUN: all of it or nothing, unless it is to keep going.
    ///
    /// # Errors
    /// [`StoreError`]; unless it says otherwise, the repository is as before.
    pub fn put_many(
        &self,
        request: &PutRequest<'_>,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, StoreError> {
        let work = Work {
            what: "the put",
            name: request.name.as_ref(),
            options: request.options,
            progress,
        };
        let planned = || self.planned_put(request);
        if let Some(row) = self.open_row(work.name)? {
            return self.go_on::<PutRole>(&work, &row, planned());
        }
        self.finish_unstoring(&work)?;
        // Optimistic: the opening itself says so if a data ID is taken.
        let mut all = planned();
        let ids = all.iter().flat_map(|p| p.datasets.iter().map(PlannedDataset::id)).collect();
        match opening::open::<PutRole>(self, work.name, &mut all) {
            Ok(open) => {
                let report = StoreReport { ids, ..StoreReport::default() };
                self.write_and_commit(&work, open, all, report)
            }
            Err(StoreError::Butler(ButlerError::Registry(RegistryError::Conflict { .. }))) => {
                drop(all);
                match self.store::<PutRole>(&work, planned()) {
                    // Another process stored it between the look at it and the opening.
                    Err(StoreError::Butler(ButlerError::Registry(RegistryError::Stored {
                        ..
                    }))) => self.store::<PutRole>(&work, planned()),
                    stored => stored,
                }
            }
            Err(error) => Err(error),
        }
    }

    fn planned_put<'r>(&self, request: &'r PutRequest<'_>) -> Vec<Planned<'r>> {
        // Whoever closes it can then tell whether what is there is what was put.
        let contents: Vec<_> = match &request.items[..] {
            // A pool of threads is no use for one.
            [item] => vec![planned::of_bytes(&item.content)],
            items => items.par_iter().map(|item| planned::of_bytes(&item.content)).collect(),
        };
        let planned = |(item, content): (&'r PutItem<'_>, _)| Planned {
            datasets: vec![PlannedDataset::new(
                self,
                &item.dataset,
                &request.run,
                IdScheme::Unique,
            )],
            content: PlannedContent::Bytes(&item.content),
            expected: Some(content),
        };
        request.items.iter().zip(contents).map(planned).collect()
    }

    /// Ingests files into a RUN.
    ///
    /// # Errors
    /// [`StoreError`]; unless it says otherwise, the repository is as before.
    pub fn ingest(
        &self,
        request: &IngestRequest,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, StoreError> {
        let (planned, unreadable) = self.planned_ingest(request)?;
        if request.register {
            records::register(self, &request.files)?;
        }
        let name = Some(&request.name);
        let work = Work { what: "the ingest", name, options: request.options, progress };
        let mut report = match self.open_row(name)? {
            Some(row) => self.go_on::<IngestRole>(&work, &row, planned)?,
            None => self.store::<IngestRole>(&work, planned)?,
        };
        report.failed.extend(unreadable);
        Ok(report)
    }

    /// The files as artifacts, and, if it is to keep going, those that cannot be read.
    #[expect(clippy::type_complexity, reason = "a pair of lists")]
    fn planned_ingest(
        &self,
        request: &IngestRequest,
    ) -> Result<(Vec<Planned<'static>>, Vec<(String, String)>), StoreError> {
        // On all cores; what is wrong is reported in the order of the files all the same.
        let planned: Vec<_> = request
            .files
            .par_iter()
            .map(|file| planned::of_file(self, file, &request.run, request.mode, request.ids))
            .collect();
        let mut readable = Vec::with_capacity(planned.len());
        let mut failed = Vec::new();
        for (planned, file) in planned.into_iter().zip(&request.files) {
            match planned {
                Ok(planned) => readable.push(planned),
                Err(error) if request.options.keep_going => {
                    failed.push((file.source.to_string(), write::chain(&error)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((readable, failed))
    }

    /// Stores content for datasets that are registered and not stored, at new keys. What is
    /// stored with that content already is left.
    ///
    /// # Errors
    /// [`StoreError`]; unless it says otherwise, the repository is as before.
    pub fn restore(
        &self,
        name: Option<&TransactionName>,
        items: &[RestoreItem<'_>],
        options: StoreOptions,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, StoreError> {
        let work = Work { what: "the restore", name, options, progress };
        let planned = self.planned_restore(items)?;
        if let Some(row) = self.open_row(name)? {
            return self.go_on::<RestoreRole>(&work, &row, planned);
        }
        self.store::<RestoreRole>(&work, planned)
    }

    fn planned_restore<'r>(
        &self,
        items: &'r [RestoreItem<'_>],
    ) -> Result<Vec<Planned<'r>>, StoreError> {
        let ids: Vec<DatasetId> = items.iter().map(|item| item.dataset).collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = ids.iter().find(|id| !seen.insert(**id)) {
            return Err(StoreError::Twice {
                dataset: twice.to_string(),
                first: "one item".to_owned(),
                second: "another".to_owned(),
            });
        }
        let rows = self.rows_of(&ids)?;
        let mut restored = Vec::with_capacity(items.len());
        for (item, row) in items.iter().zip(rows) {
            let content = match &item.content {
                RestoreContent::Bytes(bytes) => PlannedContent::Bytes(bytes),
                RestoreContent::File(path) => {
                    let failed = |source| StoreError::Source { path: path.clone(), source };
                    let path = path.canonicalize_utf8().map_err(failed)?;
                    let source = planned::look_at(&path).map_err(failed)?;
                    PlannedContent::File(source, FileMode::Copy)
                }
            };
            let expected = match &content {
                PlannedContent::Bytes(bytes) => Some(planned::of_bytes(bytes)),
                _ => None,
            };
            let dataset = PlannedDataset::existing(row.dataset, true);
            restored.push(Planned { datasets: vec![dataset], content, expected });
        }
        Ok(restored)
    }

    /// The rows of datasets, in the order of the ids.
    ///
    /// # Errors
    /// [`RegistryError::UnknownDataset`] for the first that is not registered.
    pub(crate) fn rows_of(
        &self,
        ids: &[DatasetId],
    ) -> Result<Vec<pantler_registry::DatasetRow>, RegistryError> {
        let query = DatasetQuery { ids: Some(ids.to_vec()), ..DatasetQuery::default() };
        let rows = self.registry().read(|reader| reader.datasets(&query))?;
        let mut by_id: HashMap<_, _> = rows.into_iter().map(|row| (row.dataset.id, row)).collect();
        ids.iter()
            .map(|id| by_id.remove(id).ok_or(RegistryError::UnknownDataset { dataset: *id }))
            .collect()
    }

    pub(crate) fn open_row(
        &self,
        name: Option<&TransactionName>,
    ) -> Result<Option<TransactionRow>, StoreError> {
        match name {
            None => Ok(None),
            Some(name) => Ok(self.transaction(name)?),
        }
    }

    /// Stores what is not there yet.
    pub(crate) fn store<R: Role>(
        &self,
        work: &Work<'_>,
        planned: Vec<Planned<'_>>,
    ) -> Result<StoreReport, StoreError> {
        self.finish_unstoring(work)?;
        let sorted = standing::sort(self, planned, &BTreeSet::new(), work.options.keep_going)?;
        let report = StoreReport {
            skipped: sorted.skipped,
            repaired: sorted.lost.len(),
            ids: sorted.ids,
            failed: sorted.failed,
            ..StoreReport::default()
        };
        let mut report = report;
        sources::remove_sources_of_same(self, &sorted.moved, &mut report);
        let unstored = sorted.lost.len();
        if unstored > 0 {
            self.unstore_lost(work, &sorted.lost)?;
        }
        if sorted.to_store.is_empty() {
            return Ok(report);
        }
        let mut to_store = sorted.to_store;
        let stored = opening::open::<R>(self, work.name, &mut to_store)
            .and_then(|open| self.write_and_commit(work, open, to_store, report));
        stored.map_err(|error| match error {
            // These say what is open.
            StoreError::LeftOpen { .. } | StoreError::NotClosed { .. } => error,
            error if unstored > 0 => {
                StoreError::Unstored { what: work.what, count: unstored, source: Box::new(error) }
            }
            error => error,
        })
    }

    /// Stores what is not there yet, if `before` says in the opening that it may be; the
    /// commit extends `chain`.
    pub(crate) fn store_after<R: Role, E>(
        &self,
        work: &Work<'_>,
        planned: Vec<Planned<'_>>,
        before: impl FnOnce(&Writer) -> Result<(), E>,
        chain: Option<StoringChain>,
    ) -> Result<StoreReport, E>
    where
        E: From<ButlerError> + From<RegistryError> + From<StoreError>,
    {
        self.finish_unstoring(work)?;
        let sorted = standing::sort(self, planned, &BTreeSet::new(), work.options.keep_going)?;
        let report = StoreReport {
            skipped: sorted.skipped,
            repaired: sorted.lost.len(),
            ids: sorted.ids,
            ..StoreReport::default()
        };
        if !sorted.lost.is_empty() {
            self.unstore_lost(work, &sorted.lost)?;
        }
        let mut to_store = sorted.to_store;
        if to_store.is_empty() {
            self.registry().write(|writer| {
                before(writer)?;
                let now = self.environment().clock.now();
                let extend = chain.map(|StoringChain { name: chain, first, last }| {
                    Change::ExtendChain { chain, first, last }
                });
                Ok::<_, E>(writer.apply(&Vec::from_iter(extend), now)?)
            })?;
            return Ok(report);
        }
        let open = opening::open_after::<R, E>(self, work.name, &mut to_store, before, chain)?;
        Ok(self.write_and_commit(work, open, to_store, report)?)
    }

    /// Goes on with an open transaction of the requested name.
    pub(crate) fn go_on<R: Role>(
        &self,
        work: &Work<'_>,
        row: &TransactionRow,
        planned: Vec<Planned<'_>>,
    ) -> Result<StoreReport, StoreError> {
        let mut left = opening::decode::<R>(self, row)?;
        let sorted = standing::sort(self, planned, &managed(&left), work.options.keep_going)?;
        let adopted = opening::adopt(row, &mut left, sorted.to_store)?;
        let open = self.take_over(row, left, work.options.take_over)?;
        work.progress.resuming(row);
        let ids = sorted.ids.iter().map(|id| *adopted.ids.get(id).unwrap_or(id));
        let report = StoreReport {
            skipped: sorted.skipped,
            failed: sorted.failed,
            resumed: true,
            ids: ids.collect(),
            ..StoreReport::default()
        };
        self.write_and_commit(work, open, adopted.planned, report)
    }

    /// How many of these are not stored.
    fn unstored_of(&self, datasets: &[DatasetId]) -> Result<usize, StoreError> {
        let query = DatasetQuery { ids: Some(datasets.to_vec()), ..DatasetQuery::default() };
        let rows = self.query_datasets(&query)?;
        let stored = rows.iter().filter(|row| !row.records.is_empty()).count();
        Ok(datasets.len() - stored)
    }

    pub(crate) fn write_and_commit<R: Role>(
        &self,
        work: &Work<'_>,
        mut open: Open<Storing<R>>,
        mut planned: Vec<Planned<'_>>,
        mut report: StoreReport,
    ) -> Result<StoreReport, StoreError> {
        let name = open.name().clone();
        let what = work.what;
        let keep_going = work.options.keep_going;
        let written = write::write_all(self, &mut open, &planned, keep_going, work.progress);
        // What is written is not needed any more, unless its source is to be removed.
        planned.retain(|of| matches!(of.content, PlannedContent::File(_, FileMode::Move)));
        planned.shrink_to_fit();
        let failure: Box<dyn std::error::Error + Send + Sync> = match written {
            Err(error) => error,
            Ok(outcome) => {
                let stored = || {
                    let items = open.transaction().items().iter().filter(|item| !item.failed);
                    items.flat_map(|item| item.datasets.iter())
                };
                report.stored = stored().count();
                report.restored = stored().filter(|dataset| dataset.registered).count();
                report.bytes = outcome.bytes;
                let partial = !outcome.failed.is_empty();
                report.failed.extend(outcome.failed);
                let kept: Option<Vec<DatasetId>> = (!report.failed.is_empty())
                    .then(|| stored().map(|dataset| dataset.id).collect());
                let moved = sources::moved(&open);
                let options = CloseOptions { partial, ..CloseOptions::default() };
                match self.close_open(open, Closing::Commit, options) {
                    Ok(Closed::Now { .. }) => {
                        sources::remove_sources(self, &planned, &moved, &mut report);
                        return Ok(report);
                    }
                    // By this call, if only the answer was lost; or by somebody else, who may
                    // have dropped a part, or moved artifacts: then their files stay.
                    Ok(Closed::Before) => {
                        // All that was asked for, or all of it that could be written.
                        let missing = self.unstored_of(kept.as_ref().unwrap_or(&report.ids))?;
                        if missing > 0 {
                            return Err(StoreError::ClosedWithout { what, missing });
                        }
                        sources::remove_sources(self, &planned, &moved, &mut report);
                        return Ok(report);
                    }
                    Err(failure) => match failure.open {
                        Some(still) => {
                            open = still;
                            failure.error
                        }
                        None => {
                            return Err(StoreError::NotClosed { what, source: failure.error });
                        }
                    },
                }
            }
        };
        match self.close_open(open, Closing::Revert, CloseOptions::default()) {
            Ok(_) if matches!(failure.downcast_ref(), Some(write::WriteFailure::Stopped)) => {
                Err(StoreError::Stopped { what })
            }
            Ok(_) => Err(StoreError::Undone { what, source: failure }),
            Err(revert) => Err(StoreError::LeftOpen {
                what,
                name,
                failure: write::chain(&*failure),
                source: revert.error,
            }),
        }
    }
}

/// The datasets that an open transaction manages.
fn managed<R: Role>(storing: &Storing<R>) -> BTreeSet<DatasetId> {
    let datasets = storing.items().iter().flat_map(|item| item.datasets.iter());
    datasets.map(|dataset| dataset.id).collect()
}
