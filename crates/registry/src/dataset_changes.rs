//! Inserting and removing datasets.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use pantler_core::{
    CollectionName, CollectionType, DatasetId, DatasetRef, DatasetType, KeyValue, Tai,
};

use crate::{
    Reader, RegistryError, Writer,
    dataset_types::{TypeEntry, TypeTable},
    datasets::wrong_dimensions,
    record_checks::RecordChecks,
    sqlite::Bulk,
    tags,
};

pub(crate) const FIND: &str = "SELECT id, dataset_type, run FROM dataset WHERE uuid = ?1";
pub(crate) const DELETE_DATASET: &str = "DELETE FROM dataset WHERE id = ?1";
pub(crate) const DELETE_RECORDS: &str = "DELETE FROM file_datastore_record WHERE dataset = ?1";

/// A dataset found by its UUID.
pub(crate) struct Located<'t> {
    pub(crate) id: i64,
    pub(crate) run: i64,
    pub(crate) entry: &'t TypeEntry,
}

/// What datasets of one dimension group need to be inserted.
struct Group<'c, 'v> {
    membership: Bulk<'c>,
    checks: RecordChecks<'c, 'v>,
}

impl Writer {
    /// Inserts datasets and their membership in their RUN, and tells `inserted`
    /// their database ids.
    pub(crate) fn insert_datasets(
        &self,
        refs: &[DatasetRef],
        now: Tai,
        mut inserted: impl FnMut(DatasetId, i64),
    ) -> Result<(), RegistryError> {
        let types = self.types()?;
        let mut dataset = self.db().bulk(
            "INSERT INTO dataset (uuid, dataset_type, run, ingested_at) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO NOTHING",
        )?;
        let mut groups: BTreeMap<i64, Group<'_, '_>> = BTreeMap::new();
        let mut runs: HashMap<&CollectionName, i64> = HashMap::new();
        let mut last_type: Option<(&Arc<DatasetType>, &TypeEntry)> = None;
        let mut values: Vec<&KeyValue> = Vec::new();
        for wanted in refs {
            let entry = match last_type {
                Some((checked, entry)) if Arc::ptr_eq(checked, &wanted.dataset_type) => entry,
                _ => {
                    let name = &wanted.dataset_type.name;
                    let entry = types
                        .named(name)
                        .ok_or_else(|| RegistryError::UnknownDatasetType { name: name.clone() })?;
                    entry.dataset_type.check_same(&wanted.dataset_type)?;
                    last_type = Some((&wanted.dataset_type, entry));
                    entry
                }
            };
            let dimensions = &entry.dataset_type.dimensions;
            if !Arc::ptr_eq(wanted.data_id.group(), dimensions)
                && wanted.data_id.group().required() != dimensions.required()
            {
                return Err(wrong_dimensions(entry, &wanted.data_id));
            }
            let run = if let Some(&run) = runs.get(&wanted.run) {
                run
            } else {
                let run = self.expect_collection(&wanted.run, CollectionType::Run)?;
                runs.insert(&wanted.run, run);
                run
            };
            let group = match groups.entry(entry.group) {
                std::collections::btree_map::Entry::Occupied(group) => group.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    let inserting = entry.inserting(&self.universe)?;
                    place.insert(Group {
                        membership: self.db().bulk(&inserting.membership)?,
                        checks: RecordChecks::new(self.db(), &inserting.records)?,
                    })
                }
            };
            values.clear();
            values.extend(wanted.data_id.values());
            group.checks.check(&values, &wanted.data_id)?;

            dataset.bind(1, &wanted.id.as_uuid().as_bytes()[..])?;
            dataset.bind(2, entry.id)?;
            dataset.bind(3, run)?;
            dataset.bind(4, now.as_nanos())?;
            if dataset.run()? == 0 {
                return Err(self.conflict(wanted));
            }
            let id = self.db().connection.last_insert_rowid();
            let membership = &mut group.membership;
            membership.bind(1, entry.id)?;
            membership.bind(2, run)?;
            for (index, value) in (3..).zip(&values) {
                membership.bind_key(index, value)?;
            }
            membership.bind(values.len() + 3, id)?;
            if membership.run()? == 0 {
                return Err(self.conflict(wanted));
            }
            inserted(wanted.id, id);
        }
        Ok(())
    }

    /// Says which dataset stands in the way of `wanted`.
    fn conflict(&self, wanted: &DatasetRef) -> RegistryError {
        let find = || {
            let by_key =
                self.dataset_by_key(&wanted.dataset_type.name, &wanted.run, &wanted.data_id)?;
            Ok(match by_key {
                Some(row) => Some(row),
                None => self.dataset(wanted.id)?,
            })
        };
        match find() {
            Ok(Some(row)) => RegistryError::Conflict {
                wanted: Box::new(wanted.clone()),
                existing: Box::new(row.dataset),
            },
            Ok(None) => self.db().corrupt(format_args!(
                "dataset {wanted} was refused as a duplicate, and there is no other"
            )),
            Err(error) => error,
        }
    }

    pub(crate) fn discard_datasets(&self, datasets: &[DatasetId]) -> Result<(), RegistryError> {
        let types = self.types()?;
        let mut find = self.db().bulk(FIND)?;
        let mut records = self.db().bulk(DELETE_RECORDS)?;
        let mut delete = self.db().bulk(DELETE_DATASET)?;
        let mut memberships: BTreeMap<i64, Bulk<'_>> = BTreeMap::new();
        for dataset in datasets {
            let Some(located) = self.locate(&mut find, *dataset, &types)? else { continue };
            let group = located.entry.group;
            let membership = match memberships.entry(group) {
                std::collections::btree_map::Entry::Occupied(membership) => membership.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(self.db().bulk(&tags::delete_tag(group))?)
                }
            };
            membership.bind(1, located.id)?;
            membership.bind(2, located.run)?;
            membership.run()?;
            records.bind(1, located.id)?;
            records.run()?;
            delete.bind(1, located.id)?;
            if let Err(error) = delete.run() {
                // The foreign key of a membership elsewhere: looking first would cost a
                // search for each dataset.
                self.expect_untagged(std::slice::from_ref(dataset))?;
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Reader {
    /// Finds a dataset with the statement [`FIND`].
    pub(crate) fn locate<'t>(
        &self,
        find: &mut Bulk<'_>,
        dataset: DatasetId,
        types: &'t TypeTable,
    ) -> Result<Option<Located<'t>>, RegistryError> {
        find.bind(1, &dataset.as_uuid().as_bytes()[..])?;
        let row = find.first(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let Some((id, dataset_type, run)) = row else { return Ok(None) };
        let position = types.position(dataset_type).ok_or_else(|| {
            self.db().corrupt(format_args!("dataset {dataset} is of unknown type {dataset_type}"))
        })?;
        Ok(Some(Located { id, run, entry: &types.entries[position] }))
    }
}
