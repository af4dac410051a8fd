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
mod ingest;
mod opening;
pub(crate) mod planned;
mod plans;
mod put;
mod records;
mod restore;
mod sources;
pub(crate) mod standing;
mod unstoring;
mod write;

use std::collections::{BTreeSet, HashMap};

use pantler_butler::{
    request::{StoreOptions, StoreProgress, StoreReport},
    storing::{Role, Storing, StoringChain},
    transaction::Open,
};
use pantler_core::{
    DatasetId, TransactionName,
    changes::Change,
    transaction::{Closing, TransactionRow},
};
use pantler_registry::{DatasetQuery, RegistryError, Writer};

pub(crate) use self::opening::own_name;
use self::planned::{FileMode, Planned, PlannedContent};
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
