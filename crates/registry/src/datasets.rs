//! Reading datasets: registration, membership and datastore records together.
//!
//! There is one membership table for each dimension group, so a query runs one
//! statement for each dataset type that could match (and collection, where collections
//! are given), with the records joined in; the rows are then put in order.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt::Write as _,
    sync::Arc,
};

use pantler_core::{
    CollectionName, CollectionType, DataId, DatasetId, DatasetRef, DatasetTypeName, ElementName,
    FileRecord, KeyValue, Tai,
};
use rusqlite::{params_from_iter, types::Value};

use crate::{
    Reader, RegistryError,
    dataset_types::{TypeEntry, TypeTable},
    derivation::Derivation,
    file_records, schema,
    sqlite::Row,
};

/// Which datasets are asked for; the default is all of them.
#[derive(Debug, Clone, Default)]
pub struct DatasetQuery {
    /// Of these types; `None`: of all.
    pub dataset_types: Option<Vec<DatasetTypeName>>,
    /// In these RUNs and TAGGED collections, in search order, chains standing for what
    /// they contain; `None`: in all RUNs.
    pub runs: Option<Vec<CollectionName>>,
    /// With these values of dimensions, required or implied. A type without one of
    /// the dimensions does not match.
    pub data_id: BTreeMap<ElementName, KeyValue>,
    /// Of several datasets with the same type and data ID, only the one in the
    /// first collection.
    pub find_first: bool,
    /// Only these; ids that are not registered are left out.
    pub ids: Option<Vec<DatasetId>>,
}

/// A registered dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetRow {
    /// The dataset.
    pub dataset: DatasetRef,
    /// When it was registered.
    pub ingested_at: Tai,
    /// Its datastore records, by component; none if it is not stored.
    pub records: Vec<FileRecord>,
}

impl Reader {
    /// The datasets that `query` asks for, ordered by collection (in search order, or
    /// by name), dataset type and data ID. One that several collections hold comes once,
    /// in the place of the first.
    ///
    /// # Errors
    /// [`RegistryError::UnknownDatasetType`], [`RegistryError::UnknownCollection`],
    /// [`RegistryError::UnusedDimension`] if no type asked for has a dimension of
    /// `data_id`, [`RegistryError::UniverseMismatch`], and what the database says.
    pub fn datasets(&self, query: &DatasetQuery) -> Result<Vec<DatasetRow>, RegistryError> {
        let types = self.types()?;
        let (collections, any_tagged) = self.collections_of(query)?;
        let ranks: HashMap<i64, usize> =
            collections.iter().enumerate().map(|(rank, (id, _))| (*id, rank)).collect();
        let ids = query.ids.as_deref().map(|ids| self.ids_by_type(ids, &types)).transpose()?;
        let mut found = Vec::new();
        for position in self.types_of(query, &types)? {
            let entry = &types.entries[position];
            let scope = match (&ids, &query.runs) {
                (Some(_), None) => Scope::Datasets,
                (Some(_), Some(_)) => Scope::Memberships,
                (None, Some(_)) => Scope::Collection,
                (None, None) => Scope::All,
            };
            let Some(selection) = Selection::new(self, entry, &query.data_id, scope) else {
                continue;
            };
            let mut take = |collection: i64, row: DatasetRow| {
                if let Some(&rank) = ranks.get(&collection) {
                    found.push((rank, position, row));
                }
            };
            match (&ids, scope) {
                (Some(ids), _) => {
                    if let Some(ids) = ids.get(&position) {
                        selection.rows(self, Some(list(ids.iter().copied())), &mut take)?;
                    }
                }
                (None, Scope::Collection) => {
                    for (collection, _) in &collections {
                        selection.rows(self, Some(Value::Integer(*collection)), &mut take)?;
                    }
                }
                (None, _) => selection.rows(self, None, &mut take)?,
            }
        }
        // Stable and mostly in order already.
        found.sort_by(|(a_rank, a_type, a), (b_rank, b_type, b)| {
            (a_rank, a_type, a.dataset.data_id.values()).cmp(&(
                b_rank,
                b_type,
                b.dataset.data_id.values(),
            ))
        });
        if query.find_first {
            let mut seen: HashSet<(usize, DataId)> = HashSet::new();
            found
                .retain(|(_, position, row)| seen.insert((*position, row.dataset.data_id.clone())));
        } else if any_tagged {
            let mut seen: HashSet<DatasetId> = HashSet::new();
            found.retain(|(_, _, row)| seen.insert(row.dataset.id));
        }
        Ok(found.into_iter().map(|(_, _, row)| row).collect())
    }

    /// The dataset with this id.
    ///
    /// # Errors
    /// What the database says.
    pub fn dataset(&self, id: DatasetId) -> Result<Option<DatasetRow>, RegistryError> {
        let query = DatasetQuery { ids: Some(vec![id]), ..DatasetQuery::default() };
        Ok(self.datasets(&query)?.pop())
    }

    /// The dataset of this type and data ID in a RUN; `None` also if there is no
    /// such type or RUN.
    ///
    /// # Errors
    /// [`RegistryError::WrongDimensions`], and what the database says.
    pub fn dataset_by_key(
        &self,
        dataset_type: &DatasetTypeName,
        run: &CollectionName,
        data_id: &DataId,
    ) -> Result<Option<DatasetRow>, RegistryError> {
        let types = self.types()?;
        let Some(entry) = types.named(dataset_type) else { return Ok(None) };
        if data_id.group().required() != entry.dataset_type.dimensions.required() {
            return Err(wrong_dimensions(entry, data_id));
        }
        let Some((run, CollectionType::Run)) = self.collection_id(run)? else { return Ok(None) };
        let values = data_id.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let Some(selection) = Selection::new(self, entry, &values, Scope::Collection) else {
            return Ok(None);
        };
        let mut found = None;
        selection.rows(self, Some(Value::Integer(run)), &mut |_, row| found = Some(row))?;
        Ok(found)
    }

    /// Calls `f` with each dataset of one type in one RUN, by data ID; with none if
    /// there is no such type or RUN.
    ///
    /// # Errors
    /// What the database says.
    pub fn for_each_in_run(
        &self,
        dataset_type: &DatasetTypeName,
        run: &CollectionName,
        mut f: impl FnMut(DatasetId, DataId),
    ) -> Result<(), RegistryError> {
        let types = self.types()?;
        let Some(entry) = types.named(dataset_type) else { return Ok(()) };
        let Some((run, CollectionType::Run)) = self.collection_id(run)? else { return Ok(()) };
        let group = &entry.dataset_type.dimensions;
        let dimensions = schema::more_columns("m", group.required());
        let sql = format!(
            "SELECT d.uuid{dimensions} FROM {} m JOIN dataset d ON d.id = m.dataset
            WHERE m.dataset_type = ?1 AND m.collection = ?2
            ORDER BY m.dataset_type, m.collection{dimensions}",
            schema::membership(entry.group)
        );
        self.db().each(&sql, [entry.id, run], |row| {
            let id = DatasetId::from_uuid(row.uuid(0)?);
            f(id, read_data_id(row, 1, entry)?);
            Ok(())
        })
    }

    /// Database ids and names of the collections of a query, in order, and whether one of
    /// them is TAGGED.
    fn collections_of(
        &self,
        query: &DatasetQuery,
    ) -> Result<(Vec<(i64, CollectionName)>, bool), RegistryError> {
        let mut any_tagged = false;
        let collections = if let Some(names) = &query.runs {
            let found = self.resolve(names)?;
            any_tagged = found.iter().any(|c| c.collection_type == CollectionType::Tagged);
            found.into_iter().map(|found| (found.id.get(), found.name)).collect()
        } else {
            let sql = "SELECT id, name FROM collection WHERE type = 'RUN' ORDER BY name";
            self.db().all(sql, (), |row| Ok((row.get(0)?, row.parsed(1)?)))?
        };
        self.collection_names.borrow_mut().extend(collections.iter().cloned());
        Ok((collections, any_tagged))
    }

    /// Positions of the types that have all dimensions of a query, in order.
    fn types_of(
        &self,
        query: &DatasetQuery,
        types: &TypeTable,
    ) -> Result<BTreeSet<usize>, RegistryError> {
        for (dimension, value) in &query.data_id {
            let mismatch = |reason| RegistryError::UniverseMismatch {
                subject: format!("{dimension}={value}"),
                reason,
            };
            let element = self.universe.element(dimension.as_str());
            let key_type = element.map_err(|e| mismatch(e.to_string()))?.key;
            let key_type = key_type.ok_or_else(|| mismatch("it is not a dimension".to_owned()))?;
            value.clone().checked(key_type).map_err(mismatch)?;
        }
        let asked: BTreeSet<usize> = match &query.dataset_types {
            None => (0..types.entries.len()).collect(),
            Some(names) => names
                .iter()
                .map(|name| {
                    types
                        .named(name)
                        .and_then(|entry| types.position(entry.id))
                        .ok_or_else(|| RegistryError::UnknownDatasetType { name: name.clone() })
                })
                .collect::<Result<_, _>>()?,
        };
        let mut fitting = asked.clone();
        for dimension in query.data_id.keys() {
            let has = |position: &usize| {
                types.entries[*position].dataset_type.dimensions.contains(dimension.as_str())
            };
            if !asked.is_empty() && !asked.iter().any(has) {
                return Err(RegistryError::UnusedDimension { dimension: dimension.clone() });
            }
            fitting.retain(has);
        }
        Ok(fitting)
    }

    /// Database ids of datasets, by the position of their type.
    fn ids_by_type(
        &self,
        ids: &[DatasetId],
        types: &TypeTable,
    ) -> Result<HashMap<usize, BTreeSet<i64>>, RegistryError> {
        let mut by_type: HashMap<usize, BTreeSet<i64>> = HashMap::new();
        let mut find = self.db().bulk("SELECT id, dataset_type FROM dataset WHERE uuid = ?1")?;
        for id in ids {
            find.bind(1, &id.as_uuid().as_bytes()[..])?;
            let row = find.first(|row| Ok((row.get(0)?, row.get(1)?)))?;
            let Some((dataset, dataset_type)) = row else { continue };
            let position = types.position(dataset_type).ok_or_else(|| {
                self.db().corrupt(format_args!("dataset {id} is of unknown type {dataset_type}"))
            })?;
            by_type.entry(position).or_default().insert(dataset);
        }
        Ok(by_type)
    }
}

/// Database ids as one parameter: a JSON array. One statement for many ids is several
/// times faster than one for each.
pub(crate) fn list(ids: impl ExactSizeIterator<Item = i64>) -> Value {
    let mut text = String::with_capacity(ids.len() * 8 + 2);
    text.push('[');
    for id in ids {
        if text.len() > 1 {
            text.push(',');
        }
        let _ = write!(text, "{id}");
    }
    text.push(']');
    Value::Text(text)
}

/// Where a selection looks; all but `All` take a parameter.
#[derive(Clone, Copy)]
pub(crate) enum Scope {
    /// In all RUNs.
    All,
    /// In one collection, given by its database id.
    Collection,
    /// For datasets in their RUNs, given as a [`list`] of database ids.
    Datasets,
    /// For such datasets, in whatever collections have them.
    Memberships,
}

/// The statement that selects datasets of one type with values of dimensions.
pub(crate) struct Selection<'t> {
    entry: &'t TypeEntry,
    pub(crate) sql: String,
    values: Vec<Value>,
}

impl<'t> Selection<'t> {
    /// `None` if a dimension does not follow from the type's own.
    pub(crate) fn new(
        reader: &Reader,
        entry: &'t TypeEntry,
        constraints: &BTreeMap<ElementName, KeyValue>,
        scope: Scope,
    ) -> Option<Self> {
        let dimensions = entry.dataset_type.dimensions.required();
        let known =
            dimensions.iter().map(|name| (name.clone(), format!("m.{}", schema::dimension(name))));
        let mut derivation = Derivation::new(&reader.universe, known);
        let mut conditions = String::new();
        let mut values = vec![Value::Integer(entry.id)];
        for (name, value) in constraints {
            values.push(match value {
                KeyValue::Integer(value) => Value::Integer(*value),
                KeyValue::String(value) => Value::Text(value.to_string()),
            });
            let expression = derivation.expression(name)?;
            let _ = write!(conditions, " AND {expression} = ?{}", values.len());
        }
        let parameter = values.len() + 1;
        let narrow = match scope {
            Scope::All | Scope::Datasets => " AND m.collection = d.run".to_owned(),
            Scope::Collection => format!(" AND m.collection = ?{parameter}"),
            Scope::Memberships => String::new(),
        };
        let columns = schema::more_columns("m", dimensions);
        let table = schema::membership(entry.group);
        let (from, order) = match scope {
            Scope::All | Scope::Collection => {
                (format!("{table} m"), format!("ORDER BY m.dataset_type, m.collection{columns}"))
            }
            // From the list, whatever the planner thinks. Whoever asks puts them in order.
            Scope::Datasets | Scope::Memberships => {
                let list = format!("json_each(?{parameter}) i");
                let from = format!("{list} CROSS JOIN {table} m ON m.dataset = i.value");
                (from, String::new())
            }
        };
        let sql = format!(
            "SELECT d.uuid, d.run, d.ingested_at, {}, m.collection{columns}
            FROM {from} JOIN dataset d ON d.id = m.dataset{}
            LEFT JOIN file_datastore_record r ON r.dataset = d.id
            WHERE m.dataset_type = ?1{conditions}{narrow} {order}",
            file_records::COLUMNS,
            derivation.joins(),
        );
        Some(Self { entry, sql, values })
    }

    /// Calls `take` with the collection's database id and each row, by collection and
    /// data ID unless the scope is a list of datasets.
    fn rows(
        &self,
        reader: &Reader,
        parameter: Option<Value>,
        take: &mut dyn FnMut(i64, DatasetRow),
    ) -> Result<(), RegistryError> {
        let values = self.values.iter().cloned().chain(parameter);
        // A dataset with several records comes as several rows, one after the other.
        let mut current: Option<(i64, DatasetRow)> = None;
        reader.db().each(&self.sql, params_from_iter(values), |row| {
            let id = DatasetId::from_uuid(row.uuid(0)?);
            let record = file_records::read(row, 3, id)?;
            let collection = row.get(10)?;
            if let Some((_, dataset)) =
                current.as_mut().filter(|(c, d)| *c == collection && d.dataset.id == id)
            {
                dataset.records.extend(record);
                return Ok::<_, RegistryError>(());
            }
            let dataset = DatasetRow {
                dataset: DatasetRef {
                    id,
                    dataset_type: Arc::clone(&self.entry.dataset_type),
                    data_id: read_data_id(row, 11, self.entry)?,
                    run: reader.collection_name(row.get(1)?)?,
                },
                ingested_at: Tai::from_nanos(row.get(2)?),
                records: record.into_iter().collect(),
            };
            if let Some((collection, row)) = current.replace((collection, dataset)) {
                take(collection, sorted(row));
            }
            Ok(())
        })?;
        if let Some((collection, row)) = current {
            take(collection, sorted(row));
        }
        Ok(())
    }
}

fn sorted(mut row: DatasetRow) -> DatasetRow {
    row.records.sort_by(|a, b| a.component.cmp(&b.component));
    row
}

/// Reads the data ID of a membership from the columns from `start` on.
fn read_data_id(
    row: &Row<'_, '_>,
    start: usize,
    entry: &TypeEntry,
) -> Result<DataId, RegistryError> {
    let group = &entry.dataset_type.dimensions;
    let values = (start..start + group.required().len()).map(|column| row.key(column));
    let values = values.collect::<Result<_, _>>()?;
    DataId::from_values(group, values).map_err(|e| row.corrupt(e))
}

pub(crate) fn wrong_dimensions(entry: &TypeEntry, data_id: &DataId) -> RegistryError {
    RegistryError::WrongDimensions {
        subject: format!("dataset type `{}`", entry.dataset_type.name),
        expected: entry.dataset_type.dimensions.to_string(),
        data_id: data_id.clone(),
    }
}
