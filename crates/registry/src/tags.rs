//! TAGGED collections: memberships beside that of the RUN, in the same tables, where the
//! key (type, collection, data ID) keeps two datasets of one data ID apart.

use std::collections::{BTreeMap, HashMap};

use pantler_core::{
    CollectionName, CollectionType, DatasetId, DatasetRef, ElementName, TransactionName,
};

use crate::{
    LockKind, Reader, RegistryError, Writer,
    dataset_changes::{FIND, Located},
    dataset_types::TypeEntry,
    schema,
    sqlite::Bulk,
};

pub(crate) const IS_STORED: &str = "SELECT 1 FROM file_datastore_record WHERE dataset = ?1 LIMIT 1";

/// Whether a dataset is in another collection than its RUN.
pub(crate) fn find_tag(group: i64) -> String {
    format!(
        "SELECT collection FROM {} WHERE dataset = ?1 AND collection <> ?2 LIMIT 1",
        schema::membership(group)
    )
}

/// Parameters: dataset, its RUN, the TAGGED collection.
pub(crate) fn insert_tag(group: i64, dimensions: &[ElementName]) -> String {
    let table = schema::membership(group);
    let own = schema::more_columns("m", dimensions);
    let columns = dimensions.iter().map(|name| schema::dimension(name) + ", ").collect::<String>();
    format!(
        "INSERT INTO {table} (dataset_type, collection, {columns}dataset)
        SELECT m.dataset_type, ?3{own}, m.dataset FROM {table} m
        WHERE m.dataset = ?1 AND m.collection = ?2 ON CONFLICT DO NOTHING"
    )
}

/// What has the place of a dataset in a TAGGED collection; parameters as for [`insert_tag`].
pub(crate) fn find_in_place(group: i64, dimensions: &[ElementName]) -> String {
    let table = schema::membership(group);
    let same: Vec<_> = dimensions
        .iter()
        .map(schema::dimension)
        .map(|column| format!(" AND t.{column} = m.{column}"))
        .collect();
    let same = same.concat();
    format!(
        "SELECT d.uuid FROM {table} m
        JOIN {table} t ON t.dataset_type = m.dataset_type AND t.collection = ?3{same}
        JOIN dataset d ON d.id = t.dataset
        WHERE m.dataset = ?1 AND m.collection = ?2"
    )
}

pub(crate) fn delete_tag(group: i64) -> String {
    format!("DELETE FROM {} WHERE dataset = ?1 AND collection = ?2", schema::membership(group))
}

pub(crate) fn delete_members(group: i64) -> String {
    format!("DELETE FROM {} WHERE dataset_type = ?1 AND collection = ?2", schema::membership(group))
}

/// The RUNs of the datasets of one type in a collection.
pub(crate) fn runs_of_members(group: i64) -> String {
    format!(
        "SELECT DISTINCT d.run FROM {} m JOIN dataset d ON d.id = m.dataset
        WHERE m.dataset_type = ?1 AND m.collection = ?2",
        schema::membership(group)
    )
}

pub(crate) fn count_members(group: i64) -> String {
    format!(
        "SELECT count(*) FROM {} WHERE dataset_type = ?1 AND collection = ?2",
        schema::membership(group)
    )
}

/// Statements for one dimension group.
struct Group<'c> {
    insert: Bulk<'c>,
    in_place: Bulk<'c>,
}

impl Reader {
    /// The RUNs that own the datasets of a RUN or TAGGED collection, by name; for a
    /// RUN, that is itself. None for a chain, or if there is no such collection.
    ///
    /// # Errors
    /// What the database says.
    pub fn owning_runs(
        &self,
        collection: &CollectionName,
    ) -> Result<Vec<CollectionName>, RegistryError> {
        let id = match self.collection_id(collection)? {
            Some((_, CollectionType::Run)) => return Ok(vec![collection.clone()]),
            Some((id, CollectionType::Tagged)) => id,
            Some((_, CollectionType::Chained)) | None => return Ok(Vec::new()),
        };
        let mut runs = Vec::new();
        for entry in &self.types()?.entries {
            let sql = runs_of_members(entry.group);
            for run in self.db().all(&sql, (entry.id, id), |row| row.get(0))? {
                runs.push(self.collection_name(run)?);
            }
        }
        runs.sort();
        runs.dedup();
        Ok(runs)
    }

    /// How many datasets of each type are in a RUN or TAGGED collection, by type; types
    /// without any are left out.
    ///
    /// # Errors
    /// What the database says.
    pub fn count_datasets(
        &self,
        collection: &CollectionName,
    ) -> Result<Vec<(pantler_core::DatasetTypeName, u64)>, RegistryError> {
        let Some((id, _)) = self.collection_id(collection)? else { return Ok(Vec::new()) };
        let mut counts = Vec::new();
        for entry in &self.types()?.entries {
            let sql = count_members(entry.group);
            let count = self.db().first(&sql, (entry.id, id), |row| row.get::<u32>(0))?;
            if let Some(count) = count.filter(|count| *count > 0) {
                counts.push((entry.dataset_type.name.clone(), count.into()));
            }
        }
        Ok(counts)
    }

    /// The open transaction that modifies a RUN, or the first by name that inserts into it.
    fn manager(&self, run: &CollectionName) -> Result<Option<TransactionName>, RegistryError> {
        let locks = self.locks_of_run(run)?;
        Ok(locks.into_iter().find(|(_, kind)| *kind != LockKind::Input).map(|(name, _)| name))
    }
}

impl Writer {
    pub(crate) fn associate(
        &self,
        collection: &CollectionName,
        datasets: &[DatasetId],
    ) -> Result<(), RegistryError> {
        let collection_id = self.expect_collection(collection, CollectionType::Tagged)?;
        let types = self.types()?;
        let mut find = self.db().bulk(FIND)?;
        let mut is_stored = self.db().bulk(IS_STORED)?;
        let mut groups: BTreeMap<i64, Group<'_>> = BTreeMap::new();
        let mut managers: HashMap<i64, Option<TransactionName>> = HashMap::new();
        for dataset in datasets {
            let Located { id, run, entry } = self
                .locate(&mut find, *dataset, &types)?
                .ok_or(RegistryError::UnknownDataset { dataset: *dataset })?;
            is_stored.bind(1, id)?;
            if is_stored.first(|_| Ok(()))?.is_none() {
                let manager = match managers.entry(run) {
                    std::collections::hash_map::Entry::Occupied(manager) => manager.into_mut(),
                    std::collections::hash_map::Entry::Vacant(place) => {
                        place.insert(self.manager(&self.collection_name(run)?)?)
                    }
                };
                if let Some(transaction) = manager.clone() {
                    let dataset = self.reference(*dataset)?;
                    return Err(RegistryError::UnstoredInLockedRun { dataset, transaction });
                }
            }
            let group = match groups.entry(entry.group) {
                std::collections::btree_map::Entry::Occupied(group) => group.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(self.tag_statements(entry)?)
                }
            };
            for statement in [&mut group.insert, &mut group.in_place] {
                statement.bind(1, id)?;
                statement.bind(2, run)?;
                statement.bind(3, collection_id)?;
            }
            if group.insert.run()? == 1 {
                continue;
            }
            let there = group.in_place.first(|row| Ok(DatasetId::from_uuid(row.uuid(0)?)))?;
            match there {
                Some(there) if there == *dataset => {}
                Some(there) => {
                    return Err(RegistryError::TagConflict {
                        collection: collection.clone(),
                        wanted: self.reference(*dataset)?,
                        existing: self.reference(there)?,
                    });
                }
                None => {
                    let detail = format_args!("dataset {dataset} is not in its RUN");
                    return Err(self.db().corrupt(detail));
                }
            }
        }
        Ok(())
    }

    fn tag_statements(&self, entry: &TypeEntry) -> Result<Group<'_>, RegistryError> {
        let dimensions = entry.dataset_type.dimensions.required();
        Ok(Group {
            insert: self.db().bulk(&insert_tag(entry.group, dimensions))?,
            in_place: self.db().bulk(&find_in_place(entry.group, dimensions))?,
        })
    }

    /// A dataset that is there, for an error to name.
    fn reference(&self, dataset: DatasetId) -> Result<Box<DatasetRef>, RegistryError> {
        let row = self.dataset(dataset)?.ok_or(RegistryError::UnknownDataset { dataset })?;
        Ok(Box::new(row.dataset))
    }

    pub(crate) fn disassociate(
        &self,
        collection: &CollectionName,
        datasets: &[DatasetId],
    ) -> Result<(), RegistryError> {
        let collection = self.expect_collection(collection, CollectionType::Tagged)?;
        let types = self.types()?;
        let mut find = self.db().bulk(FIND)?;
        let mut groups: BTreeMap<i64, Bulk<'_>> = BTreeMap::new();
        for dataset in datasets {
            let Some(located) = self.locate(&mut find, *dataset, &types)? else { continue };
            let delete = match groups.entry(located.entry.group) {
                std::collections::btree_map::Entry::Occupied(delete) => delete.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(self.db().bulk(&delete_tag(located.entry.group))?)
                }
            };
            delete.bind(1, located.id)?;
            delete.bind(2, collection)?;
            delete.run()?;
        }
        Ok(())
    }

    /// Takes everything out of a TAGGED collection.
    pub(crate) fn delete_members(&self, collection: i64) -> Result<(), RegistryError> {
        for entry in &self.types()?.entries {
            self.db().execute(&delete_members(entry.group), (entry.id, collection))?;
        }
        Ok(())
    }
}

impl Reader {
    /// Makes sure that no collection but its RUN holds one of these datasets. Missing is
    /// fine.
    ///
    /// # Errors
    /// [`RegistryError::Tagged`], and what the database says.
    pub fn expect_untagged(&self, datasets: &[DatasetId]) -> Result<(), RegistryError> {
        let types = self.types()?;
        let mut find = self.db().bulk(FIND)?;
        let mut groups: BTreeMap<i64, Bulk<'_>> = BTreeMap::new();
        for dataset in datasets {
            let Some(located) = self.locate(&mut find, *dataset, &types)? else { continue };
            let tag = match groups.entry(located.entry.group) {
                std::collections::btree_map::Entry::Occupied(tag) => tag.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(self.db().bulk(&find_tag(located.entry.group))?)
                }
            };
            tag.bind(1, located.id)?;
            tag.bind(2, located.run)?;
            if let Some(collection) = tag.first(|row| row.get(0))? {
                let collection = self.collection_name(collection)?;
                return Err(RegistryError::Tagged { dataset: *dataset, collection });
            }
        }
        Ok(())
    }
}
