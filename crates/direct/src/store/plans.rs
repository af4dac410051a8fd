//! What storing would do, without doing it.
//!
//! The opening is tried and undone in the database, so that all that would refuse it is
//! found; not on a butler that was opened to read only.

use std::collections::BTreeSet;

use pantler_butler::{
    request::{IngestRequest, PutRequest, RestoreItem, StorePlan},
    storing::{IngestRole, PutRole, RestoreRole, Role},
};
use pantler_core::{
    TransactionName,
    changes::{Change, Changes},
};

use super::{StoreError, managed, opening, planned::Planned, records, standing};
use crate::DirectButler;

impl DirectButler {
    /// Compares content with what the RUN has, and changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] for the first dataset that cannot be put.
    pub fn plan_put(&self, request: &PutRequest<'_>) -> Result<StorePlan, StoreError> {
        let planned = self.planned_put(request);
        let keep_going = request.options.keep_going;
        self.plan::<PutRole>(request.name.as_ref(), planned, keep_going, Vec::new())
    }

    /// Compares files with what the RUN has, and changes nothing. An ingest of that name
    /// that a killed call left open would be gone on with.
    ///
    /// # Errors
    /// [`StoreError`] for the first file that cannot be ingested.
    pub fn plan_ingest(&self, request: &IngestRequest) -> Result<StorePlan, StoreError> {
        let (planned, unreadable) = self.planned_ingest(request)?;
        let (mut prepare, mut records) = (Vec::new(), 0);
        if request.register {
            prepare = records::changes(self, &request.files)?;
            let made = |change: &Change| match change {
                Change::EnsureDimensionRecords(records) => records.len(),
                _ => 0,
            };
            records = prepare.iter().map(made).sum();
        }
        let keep_going = request.options.keep_going;
        let mut plan =
            self.plan::<IngestRole>(Some(&request.name), planned, keep_going, prepare)?;
        plan.records = records;
        plan.failed.extend(unreadable);
        Ok(plan)
    }

    /// Looks at the datasets and the content for them, and changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] if it would fail at once.
    pub fn plan_restore(
        &self,
        name: Option<&TransactionName>,
        items: &[RestoreItem<'_>],
    ) -> Result<StorePlan, StoreError> {
        let planned = self.planned_restore(items)?;
        self.plan::<RestoreRole>(name, planned, false, Vec::new())
    }

    /// Says how `planned` stands, and tries to open a transaction for it after `prepare`.
    pub(crate) fn plan<R: Role>(
        &self,
        name: Option<&TransactionName>,
        planned: Vec<Planned<'_>>,
        keep_going: bool,
        mut prepare: Changes,
    ) -> Result<StorePlan, StoreError> {
        let left = match self.open_row(name)? {
            Some(row) => Some((opening::decode::<R>(self, &row)?, row)),
            None => None,
        };
        let mine = left.as_ref().map_or_else(BTreeSet::new, |(left, _)| managed(left));
        let mut sorted = standing::sort(self, planned, &mine, keep_going)?;
        let mut plan = StorePlan {
            skipped: sorted.skipped,
            repaired: sorted.lost.len(),
            resumes: left.is_some(),
            failed: sorted.failed,
            ..StorePlan::default()
        };
        for planned in &sorted.to_store {
            plan.bytes += planned.content.size();
            if planned.is_restored() {
                plan.restored.push(planned.label());
            } else {
                plan.new.push((planned.label(), planned.content.describe()));
            }
        }
        if let Some((mut left, row)) = left {
            opening::adopt(&row, &mut left, sorted.to_store)?;
        } else if !sorted.to_store.is_empty() {
            let lost = sorted.lost.into_iter().map(|(dataset, _)| dataset).collect();
            prepare.push(Change::DiscardRecords(lost));
            opening::attempt::<R>(self, name, &mut sorted.to_store, &prepare)?;
        }
        Ok(plan)
    }
}
