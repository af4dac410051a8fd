//! Dataset types and their dimension groups. There are few and they seldom
//! change, so a reader loads all of them once.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use pantler_core::{DatasetId, DatasetType, DatasetTypeName, Universe};

use crate::{Reader, RegistryError, Writer, record_checks::RecordPlan, schema};

/// A dataset type with its database ids.
pub(crate) struct TypeEntry {
    pub(crate) id: i64,
    pub(crate) group: i64,
    pub(crate) dataset_type: Arc<DatasetType>,
    /// How datasets are inserted, found out when the first one is.
    inserting: OnceLock<Inserting>,
}

/// How datasets of a dimension group are inserted.
pub(crate) struct Inserting {
    /// The statement for their membership.
    pub(crate) membership: String,
    /// The dimension records that there must be.
    pub(crate) records: RecordPlan,
}

impl TypeEntry {
    pub(crate) fn inserting(&self, universe: &Arc<Universe>) -> Result<&Inserting, RegistryError> {
        if let Some(known) = self.inserting.get() {
            return Ok(known);
        }
        let required = self.dataset_type.dimensions.required();
        let columns =
            required.iter().fold(String::new(), |sql, name| sql + &schema::dimension(name) + ", ");
        let membership = format!(
            "INSERT INTO {} (dataset_type, collection, {columns}dataset) VALUES ({}) ON CONFLICT DO NOTHING",
            schema::membership(self.group),
            vec!["?"; required.len() + 3].join(", ")
        );
        let records = RecordPlan::new(universe, required, required)?;
        Ok(self.inserting.get_or_init(|| Inserting { membership, records }))
    }
}

/// All dataset types, by name.
pub(crate) struct TypeTable {
    pub(crate) entries: Vec<TypeEntry>,
    by_id: HashMap<i64, usize>,
}

impl TypeTable {
    pub(crate) fn named(&self, name: &DatasetTypeName) -> Option<&TypeEntry> {
        let entries = &self.entries;
        entries.binary_search_by(|e| e.dataset_type.name.cmp(name)).ok().map(|i| &entries[i])
    }

    pub(crate) fn position(&self, id: i64) -> Option<usize> {
        self.by_id.get(&id).copied()
    }
}

impl Reader {
    /// All dataset types, by name.
    ///
    /// # Errors
    /// What the database says.
    pub fn dataset_types(&self) -> Result<Vec<Arc<DatasetType>>, RegistryError> {
        Ok(self.types()?.entries.iter().map(|entry| Arc::clone(&entry.dataset_type)).collect())
    }

    /// The dataset type called `name`.
    ///
    /// # Errors
    /// What the database says.
    pub fn dataset_type(
        &self,
        name: &DatasetTypeName,
    ) -> Result<Option<Arc<DatasetType>>, RegistryError> {
        Ok(self.types()?.named(name).map(|entry| Arc::clone(&entry.dataset_type)))
    }

    pub(crate) fn types(&self) -> Result<Arc<TypeTable>, RegistryError> {
        if let Some(table) = &*self.types.borrow() {
            return Ok(Arc::clone(table));
        }
        let sql = "SELECT t.id, t.dimension_group, t.name, t.storage_class, g.key
            FROM dataset_type t JOIN dimension_group g ON g.id = t.dimension_group
            ORDER BY t.name";
        let entries = self.db().all(sql, (), |row| {
            let key = row.text(4)?;
            let names = key.split(',').filter(|name| !name.is_empty());
            let dimensions = self.universe.group(names).map_err(|e| row.corrupt(e))?;
            Ok(TypeEntry {
                id: row.get(0)?,
                group: row.get(1)?,
                dataset_type: Arc::new(DatasetType {
                    name: row.parsed(2)?,
                    dimensions,
                    storage_class: row.parsed(3)?,
                }),
                inserting: OnceLock::new(),
            })
        })?;
        let by_id = entries.iter().enumerate().map(|(i, entry)| (entry.id, i)).collect();
        let table = Arc::new(TypeTable { entries, by_id });
        *self.types.borrow_mut() = Some(Arc::clone(&table));
        Ok(table)
    }
}

/// A dataset of one type.
pub(crate) fn any_dataset(group: i64) -> String {
    format!(
        "SELECT d.uuid FROM {} m JOIN dataset d ON d.id = m.dataset
        WHERE m.dataset_type = ?1 LIMIT 1",
        schema::membership(group)
    )
}

pub(crate) const DELETE: &str = "DELETE FROM dataset_type WHERE id = ?1";

impl Writer {
    pub(crate) fn remove_dataset_type(&self, name: &DatasetTypeName) -> Result<(), RegistryError> {
        let types = self.types()?;
        let entry = types
            .named(name)
            .ok_or_else(|| RegistryError::UnknownDatasetType { name: name.clone() })?;
        let used = self.db().first(&any_dataset(entry.group), [entry.id], |row| row.uuid(0))?;
        if let Some(dataset) = used.map(DatasetId::from_uuid) {
            return Err(RegistryError::TypeInUse { name: name.clone(), dataset });
        }
        if let Some(transaction) = self.any_transaction()? {
            return Err(RegistryError::TypeMayBeUsed { name: name.clone(), transaction });
        }
        self.db().execute(DELETE, [entry.id])?;
        *self.types.borrow_mut() = None;
        Ok(())
    }

    pub(crate) fn ensure_dataset_type(&self, wanted: &DatasetType) -> Result<(), RegistryError> {
        if let Some(entry) = self.types()?.named(&wanted.name) {
            return Ok(entry.dataset_type.check_same(wanted)?);
        }
        let mismatch = |reason: String| RegistryError::UniverseMismatch {
            subject: format!("dataset type `{}`", wanted.name),
            reason,
        };
        let group = &wanted.dimensions;
        let own = self.universe.group(group.required()).map_err(|e| mismatch(e.to_string()))?;
        if own != *group {
            return Err(mismatch(format!("{group} are not all dimensions of a data ID here")));
        }
        let key = group.key();
        let sql = "INSERT INTO dimension_group (key) VALUES (?1) ON CONFLICT DO NOTHING";
        let is_new = self.db().execute(sql, [&key])? == 1;
        let sql = "SELECT id FROM dimension_group WHERE key = ?1";
        let group_id: i64 = self
            .db()
            .first(sql, [&key], |row| row.get(0))?
            .ok_or_else(|| self.db().corrupt("a row just inserted is missing"))?;
        if is_new {
            self.db().batch(&schema::membership_table(&self.universe, group_id, group))?;
        }
        let sql =
            "INSERT INTO dataset_type (name, dimension_group, storage_class) VALUES (?1, ?2, ?3)";
        self.db().execute(sql, (wanted.name.as_str(), group_id, wanted.storage_class.name()))?;
        *self.types.borrow_mut() = None;
        Ok(())
    }
}
