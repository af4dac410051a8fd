//! Files of dimension records, version 1:
//!
//! ```yaml
//! version: 1
//! records:
//!   city:
//!     - {city: oslo, title: Oslo, latitude: 59.9}
//! ```

use std::{collections::BTreeMap, sync::Arc};

use camino::Utf8Path;
use indexmap::IndexMap;
use pantler_core::{
    DataId, DimensionRecord, Element, ElementName, KeyValue, MetadataValue, Universe,
};
use serde::Deserialize;

use super::ProjectError;

const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordsV1 {
    version: u32,
    records: IndexMap<ElementName, Vec<IndexMap<String, MetadataValue>>>,
}

/// Reads a record file.
///
/// # Errors
/// [`ProjectError`] naming the file and the record.
pub fn read(path: &Utf8Path, universe: &Universe) -> Result<Vec<DimensionRecord>, ProjectError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ProjectError::Io { path: path.to_owned(), source })?;
    let file: RecordsV1 = serde_saphyr::from_str(&text).map_err(|e| ProjectError::Syntax {
        path: path.to_owned(),
        reason: e.without_snippet().to_string(),
    })?;
    if file.version != VERSION {
        return Err(ProjectError::Version {
            path: path.to_owned(),
            found: file.version,
            supported: VERSION,
        });
    }
    let mut records = Vec::new();
    for (name, rows) in file.records {
        let invalid = |reason: String| ProjectError::Invalid { path: path.to_owned(), reason };
        let element = universe.element(name.as_str()).map_err(|e| invalid(e.to_string()))?;
        for (i, row) in rows.into_iter().enumerate() {
            let at = |reason: String| invalid(format!("records.{name}[{i}]: {reason}"));
            records.push(record(universe, element, row).map_err(at)?);
        }
    }
    Ok(records)
}

/// Makes a record of an element from its fields.
fn record(
    universe: &Universe,
    element: &Arc<Element>,
    mut fields: IndexMap<String, MetadataValue>,
) -> Result<DimensionRecord, String> {
    let group = universe.group_of(element);
    let mut key = BTreeMap::new();
    for name in group.required() {
        if let Some(value) = fields.shift_remove(name.as_str()) {
            key.insert(name.to_string(), key_value(value).map_err(|e| format!("`{name}`: {e}"))?);
        }
    }
    let data_id = DataId::new(universe, &group, key).map_err(|e| e.to_string())?;
    let mut implied = BTreeMap::new();
    for name in &element.implies {
        let value =
            fields.shift_remove(name.as_str()).ok_or_else(|| format!("`{name}` is missing"))?;
        let key_type = universe.element(name.as_str()).ok().and_then(|e| e.key);
        let value = key_value(value)
            .and_then(|value| key_type.map_or(Ok(value.clone()), |t| value.checked(t)))
            .map_err(|e| format!("`{name}`: {e}"))?;
        implied.insert(name.clone(), value);
    }
    let mut metadata = BTreeMap::new();
    for field in &element.metadata {
        match fields.shift_remove(field.name.as_str()) {
            Some(MetadataValue::Null) | None if field.required => {
                return Err(format!("`{}` is missing", field.name));
            }
            Some(MetadataValue::Null) | None => {}
            Some(value) => {
                let value = value
                    .checked(field.metadata_type)
                    .map_err(|e| format!("`{}`: {e}", field.name))?;
                metadata.insert(field.name.clone(), value);
            }
        }
    }
    if let Some((name, _)) = fields.first() {
        return Err(format!("element `{}` has no field `{name}`", element.name));
    }
    Ok(DimensionRecord { element: element.name.clone(), data_id, implied, metadata })
}

fn key_value(value: MetadataValue) -> Result<KeyValue, String> {
    match value {
        MetadataValue::Integer(value) => Ok(KeyValue::Integer(value)),
        MetadataValue::String(value) => Ok(KeyValue::String(value.into())),
        other => Err(format!("{other:?} is not a value of a dimension")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<DimensionRecord>, String> {
        let universe = Universe::from_yaml(
            "version: 1\nname: u\nelements:\n  band: {key: string}\n  filter: {key: string, implies: [band], metadata: {width: {type: float, required: true}}}\n",
        )
        .expect("a universe");
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("written");
        let path = Utf8Path::from_path(file.path()).expect("UTF-8").to_owned();
        read(&path, &universe).map_err(|e| e.to_string().replace(path.as_str(), "FILE"))
    }

    #[test]
    fn records_are_checked() {
        let records =
            read_text("version: 1\nrecords:\n  filter:\n    - {filter: g1, band: g, width: 150}\n")
                .expect("a record");
        assert_eq!(records[0].data_id.to_string(), "filter=g1");
        assert_eq!(records[0].implied.len(), 1);
        let fault = |row: &str| {
            read_text(&format!("version: 1\nrecords:\n  filter:\n    - {row}\n")).map(|_| ())
        };
        assert_eq!(
            fault("{filter: g1, band: g}"),
            Err("FILE: records.filter[0]: `width` is missing".to_owned())
        );
        assert_eq!(
            fault("{filter: g1, width: 1.0}"),
            Err("FILE: records.filter[0]: `band` is missing".to_owned())
        );
        assert_eq!(
            fault("{filter: g1, band: g, width: 1.0, hue: 3}"),
            Err("FILE: records.filter[0]: element `filter` has no field `hue`".to_owned())
        );
        assert_eq!(
            fault("{filter: 1, band: g, width: 1.0}"),
            Err("FILE: records.filter[0]: dimension `filter`: expected a string, found the integer 1".to_owned())
        );
    }
}
