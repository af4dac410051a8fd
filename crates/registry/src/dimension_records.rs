//! Dimension records: one table for each element.

use std::collections::BTreeMap;

use pantler_core::{
    DataId, DimensionRecord, Element, ElementName, KeyValue, MetadataType, MetadataValue,
};
use rusqlite::types::ValueRef;

use crate::{
    Reader, RegistryError, Writer,
    record_checks::{RecordChecks, RecordPlan},
    schema,
    sqlite::{Bulk, Key, Row},
};

impl Reader {
    /// All records of `element`, by data ID.
    ///
    /// # Errors
    /// What the database says.
    pub fn dimension_records(
        &self,
        element: &Element,
    ) -> Result<Vec<DimensionRecord>, RegistryError> {
        let table = ElementTable::new(self, element)?;
        let key = schema::columns(&table.required);
        let sql = format!("{} ORDER BY {key}", table.select());
        self.db().all(&sql, (), |row| table.record(row))
    }

    /// The record of `element` for `data_id`, which has the dimensions that
    /// identify it and may have more.
    ///
    /// # Errors
    /// [`RegistryError::WrongDimensions`], and what the database says.
    pub fn dimension_record(
        &self,
        element: &Element,
        data_id: &DataId,
    ) -> Result<Option<DimensionRecord>, RegistryError> {
        let table = ElementTable::new(self, element)?;
        let keys: Option<Vec<_>> =
            table.required.iter().map(|name| data_id.get(name.as_str()).map(Key)).collect();
        let keys = keys.ok_or_else(|| RegistryError::WrongDimensions {
            subject: format!("element `{}`", element.name),
            expected: self.universe.group_of(element).to_string(),
            data_id: data_id.clone(),
        })?;
        self.db()
            .first(&table.select_one(), rusqlite::params_from_iter(keys), |row| table.record(row))
    }
}

impl Writer {
    pub(crate) fn ensure_dimension_records(
        &self,
        records: &[DimensionRecord],
    ) -> Result<(), RegistryError> {
        let mut by_element: BTreeMap<&ElementName, Vec<&DimensionRecord>> = BTreeMap::new();
        for record in records {
            by_element.entry(&record.element).or_default().push(record);
        }
        let mut inserted = Vec::new();
        for (name, records) in by_element {
            let element = self.universe.element(name.as_str()).map_err(|e| {
                RegistryError::UniverseMismatch {
                    subject: format!("`{name}`"),
                    reason: e.to_string(),
                }
            })?;
            let table = ElementTable::new(self, element)?;
            let mut insert = self.db().bulk(&table.insert())?;
            let mut new = Vec::new();
            for record in records {
                table.bind(&mut insert, record)?;
                if insert.run()? == 1 {
                    new.push(record);
                } else {
                    let stored = self.dimension_record(element, &record.data_id)?;
                    table.compare(stored.as_ref(), record)?;
                }
            }
            inserted.push((table, new));
        }
        // Only now: records of one change may name each other.
        for (table, records) in inserted {
            let known: Vec<_> = table.required.iter().chain(&table.implied).cloned().collect();
            let parents = known.iter().filter(|name| **name != table.element.name);
            let plan = RecordPlan::new(&self.universe, &known, parents)?;
            let mut checks = RecordChecks::new(self.db(), &plan)?;
            for record in records {
                let mut values: Vec<&KeyValue> = record.data_id.values().iter().collect();
                values.extend(table.implied.iter().map(|name| &record.implied[name]));
                checks.check(&values, &record.data_id)?;
            }
        }
        Ok(())
    }
}

/// The table of an element.
struct ElementTable<'e> {
    element: &'e Element,
    group: std::sync::Arc<pantler_core::DimensionGroup>,
    required: Vec<ElementName>,
    implied: Vec<ElementName>,
}

impl<'e> ElementTable<'e> {
    fn new(reader: &Reader, element: &'e Element) -> Result<Self, RegistryError> {
        if reader.universe.element(element.name.as_str()).ok().map(|own| &**own) != Some(element) {
            return Err(RegistryError::UniverseMismatch {
                subject: format!("element `{}`", element.name),
                reason: "it is not one of its elements".to_owned(),
            });
        }
        let (required, implied) = schema::element_dimensions(&reader.universe, element);
        Ok(Self { element, group: reader.universe.group_of(element), required, implied })
    }

    fn columns(&self) -> Vec<String> {
        let dimensions = self.required.iter().chain(&self.implied).map(schema::dimension);
        dimensions.chain(self.element.metadata.iter().map(|f| schema::metadata(&f.name))).collect()
    }

    fn select(&self) -> String {
        format!("SELECT {} FROM {}", self.columns().join(", "), schema::element(&self.element.name))
    }

    fn select_one(&self) -> String {
        let conditions: Vec<_> =
            self.required.iter().map(|name| format!("{} = ?", schema::dimension(name))).collect();
        format!("{} WHERE {}", self.select(), conditions.join(" AND "))
    }

    fn insert(&self) -> String {
        let columns = self.columns();
        format!(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
            schema::element(&self.element.name),
            columns.join(", "),
            vec!["?"; columns.len()].join(", ")
        )
    }

    fn record(&self, row: &Row<'_, '_>) -> Result<DimensionRecord, RegistryError> {
        let mut column = 0..;
        let mut next = || column.next().expect("an open range");
        let values = self.required.iter().map(|_| row.key(next())).collect::<Result<_, _>>()?;
        let data_id = DataId::from_values(&self.group, values).map_err(|e| row.corrupt(e))?;
        let mut implied = BTreeMap::new();
        for name in &self.implied {
            implied.insert(name.clone(), row.key(next())?);
        }
        for name in &self.element.implies {
            if let Some(value) = data_id.get(name.as_str()) {
                implied.insert(name.clone(), value.clone());
            }
        }
        let mut metadata = BTreeMap::new();
        for field in &self.element.metadata {
            let column = next();
            let value = match (row.value(column)?, field.metadata_type) {
                (ValueRef::Null, _) => continue,
                (ValueRef::Integer(value), MetadataType::Integer) => MetadataValue::Integer(value),
                (ValueRef::Integer(value), MetadataType::Boolean) => {
                    MetadataValue::Boolean(value != 0)
                }
                (ValueRef::Real(value), MetadataType::Float) => MetadataValue::Float(value),
                (ValueRef::Text(_), MetadataType::String) => {
                    MetadataValue::String(row.text(column)?.to_owned())
                }
                (other, _) => {
                    return Err(row.corrupt(format_args!(
                        "metadata `{}` of `{}` is {}",
                        field.name,
                        self.element.name,
                        other.data_type()
                    )));
                }
            };
            metadata.insert(field.name.clone(), value);
        }
        Ok(DimensionRecord { element: self.element.name.clone(), data_id, implied, metadata })
    }

    /// Checks a record and binds its values in the order of the columns.
    fn bind(&self, insert: &mut Bulk<'_>, record: &DimensionRecord) -> Result<(), RegistryError> {
        if record.data_id.group().required() != self.group.required() {
            return Err(RegistryError::WrongDimensions {
                subject: format!("element `{}`", self.element.name),
                expected: self.group.to_string(),
                data_id: record.data_id.clone(),
            });
        }
        let mut index = 0;
        let mut next = || {
            index += 1;
            index
        };
        for value in record.data_id.values() {
            insert.bind_key(next(), value)?;
        }
        for name in record.implied.keys() {
            if !self.element.implies.contains(name) {
                return Err(invalid(record, format!("it gives `{name}`, which it does not imply")));
            }
        }
        for name in &self.element.implies {
            let value = record
                .implied
                .get(name)
                .ok_or_else(|| invalid(record, format!("the implied `{name}` has no value")))?;
            match record.data_id.get(name.as_str()) {
                None => insert.bind_key(next(), value)?,
                Some(own) if own == value => {}
                Some(own) => {
                    let reason =
                        format!("the implied `{name}` is {value}, and {own} in its data ID");
                    return Err(invalid(record, reason));
                }
            }
        }
        for name in record.metadata.keys() {
            if !self.element.metadata.iter().any(|field| field.name == *name) {
                return Err(invalid(record, format!("there is no metadata `{name}`")));
            }
        }
        for field in &self.element.metadata {
            match normalized(record, &field.name, field.metadata_type)? {
                None if field.required => {
                    return Err(invalid(record, format!("metadata `{}` is required", field.name)));
                }
                Some(MetadataValue::Boolean(value)) => insert.bind(next(), value)?,
                Some(MetadataValue::Integer(value)) => insert.bind(next(), value)?,
                Some(MetadataValue::Float(value)) => insert.bind(next(), value)?,
                Some(MetadataValue::String(value)) => insert.bind(next(), value)?,
                None | Some(MetadataValue::Null) => insert.bind(next(), rusqlite::types::Null)?,
            }
        }
        Ok(())
    }

    /// Compares a record with the one that is stored under its key.
    fn compare(
        &self,
        stored: Option<&DimensionRecord>,
        wanted: &DimensionRecord,
    ) -> Result<(), RegistryError> {
        let conflict = |field: &ElementName| RegistryError::RecordConflict {
            element: wanted.element.clone(),
            data_id: wanted.data_id.clone(),
            field: field.clone(),
        };
        let Some(stored) = stored else { return Err(conflict(&wanted.element)) };
        for name in &self.implied {
            if stored.implied.get(name) != wanted.implied.get(name) {
                return Err(conflict(name));
            }
        }
        for field in &self.element.metadata {
            let value = normalized(wanted, &field.name, field.metadata_type)?;
            if stored.metadata.get(&field.name) != value.as_ref() {
                return Err(conflict(&field.name));
            }
        }
        Ok(())
    }
}

/// The value of a metadata field as it is stored; absent and null are the same.
fn normalized(
    record: &DimensionRecord,
    field: &ElementName,
    metadata_type: MetadataType,
) -> Result<Option<MetadataValue>, RegistryError> {
    let Some(value) = record.metadata.get(field) else { return Ok(None) };
    let value = value
        .clone()
        .checked(metadata_type)
        .map_err(|reason| invalid(record, format!("metadata `{field}`: {reason}")))?;
    match value {
        MetadataValue::Null => Ok(None),
        // SQLite would store it as NULL.
        MetadataValue::Float(value) if value.is_nan() => {
            Err(invalid(record, format!("metadata `{field}` is not a number")))
        }
        value => Ok(Some(value)),
    }
}

fn invalid(record: &DimensionRecord, reason: String) -> RegistryError {
    RegistryError::InvalidRecord {
        element: record.element.clone(),
        data_id: record.data_id.clone(),
        reason,
    }
}
