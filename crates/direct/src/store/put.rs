//! Content in memory becomes datasets.

use std::sync::Arc;

use pantler_butler::{
    request::{
        IdScheme, NewDataset, NoProgress, PutItem, PutRequest, StoreOptions, StoreProgress,
        StoreReport,
    },
    storing::PutRole,
};
use pantler_core::{CollectionName, DataId, DatasetRef, DatasetType, DatasetTypeName};
use pantler_registry::RegistryError;
use rayon::prelude::*;

use super::{
    StoreError, Work, opening,
    planned::{self, Planned, PlannedContent, PlannedDataset},
};
use crate::{ButlerError, DirectButler};

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

    pub(super) fn planned_put<'r>(&self, request: &'r PutRequest<'_>) -> Vec<Planned<'r>> {
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
}
