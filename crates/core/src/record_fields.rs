//! Dimension records from named fields, as files and people give them.

use std::collections::BTreeMap;

use crate::{
    DataId, DataIdError, DimensionRecord, Element, ElementName, KeyType, KeyValue, MetadataType,
    MetadataValue, Universe,
};

/// Fields that do not make a record of an element.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFieldsError {
    /// The key is not whole.
    #[error(transparent)]
    Key(#[from] DataIdError),
    /// An implied dimension or required metadata without a value.
    #[error("`{0}` is missing")]
    Missing(ElementName),
    /// A value of the wrong type.
    #[error("`{field}`: {reason}")]
    Value {
        /// The field.
        field: String,
        /// What was expected and found.
        reason: String,
    },
    /// A field that the element does not have.
    #[error("element `{element}` has no field `{field}`")]
    Unknown {
        /// The element.
        element: ElementName,
        /// The name given.
        field: String,
    },
}

impl DimensionRecord {
    /// Makes a record of `element` from values by name: those of the dimensions that
    /// identify it, of those it implies, and its metadata.
    ///
    /// # Errors
    /// [`RecordFieldsError`] for the first field that is missing, unknown or of the
    /// wrong type.
    pub fn from_fields(
        universe: &Universe,
        element: &Element,
        mut fields: BTreeMap<String, MetadataValue>,
    ) -> Result<Self, RecordFieldsError> {
        let group = universe.group_of(element);
        let mut key = BTreeMap::new();
        for name in group.required() {
            if let Some(value) = fields.remove(name.as_str()) {
                key.insert(name.to_string(), key_value(name.as_str(), value)?);
            }
        }
        let data_id = DataId::new(universe, &group, key)?;
        let mut implied = BTreeMap::new();
        for name in &element.implies {
            let value = fields
                .remove(name.as_str())
                .ok_or_else(|| RecordFieldsError::Missing(name.clone()))?;
            let mut value = key_value(name.as_str(), value)?;
            if let Some(key_type) = key_type(universe, name.as_str()) {
                value = value.checked(key_type).map_err(invalid(name.as_str()))?;
            }
            implied.insert(name.clone(), value);
        }
        let mut metadata = BTreeMap::new();
        for field in &element.metadata {
            match fields.remove(field.name.as_str()) {
                Some(MetadataValue::Null) | None if field.required => {
                    return Err(RecordFieldsError::Missing(field.name.clone()));
                }
                Some(MetadataValue::Null) | None => {}
                Some(value) => {
                    let value = value.checked(field.metadata_type);
                    let value = value.map_err(invalid(field.name.as_str()))?;
                    metadata.insert(field.name.clone(), value);
                }
            }
        }
        if let Some((field, _)) = fields.pop_first() {
            return Err(RecordFieldsError::Unknown { element: element.name.clone(), field });
        }
        Ok(Self { element: element.name.clone(), data_id, implied, metadata })
    }

    /// The same from texts, such as the cells of a table, which get the types that the
    /// universe says; an empty one stands for no value.
    ///
    /// # Errors
    /// As [`Self::from_fields`].
    pub fn from_texts(
        universe: &Universe,
        element: &Element,
        texts: &BTreeMap<String, String>,
    ) -> Result<Self, RecordFieldsError> {
        let mut fields = BTreeMap::new();
        for (name, text) in texts {
            let metadata = element.metadata.iter().find(|field| field.name.as_str() == name);
            let parsed = if text.is_empty() {
                Ok(MetadataValue::Null)
            } else if let Some(field) = metadata {
                parse(text, field.metadata_type)
            } else if let Some(key_type) = key_type(universe, name) {
                KeyValue::parse(text, key_type).map(|value| match value {
                    KeyValue::Integer(value) => MetadataValue::Integer(value),
                    KeyValue::String(value) => MetadataValue::String(value.into()),
                })
            } else {
                let (element, field) = (element.name.clone(), name.clone());
                return Err(RecordFieldsError::Unknown { element, field });
            };
            match parsed.map_err(invalid(name))? {
                MetadataValue::Null => {}
                value => {
                    fields.insert(name.clone(), value);
                }
            }
        }
        Self::from_fields(universe, element, fields)
    }
}

fn key_type(universe: &Universe, name: &str) -> Option<KeyType> {
    universe.element(name).ok().and_then(|element| element.key)
}

fn key_value(field: &str, value: MetadataValue) -> Result<KeyValue, RecordFieldsError> {
    match value {
        MetadataValue::Integer(value) => Ok(KeyValue::Integer(value)),
        MetadataValue::String(value) => Ok(KeyValue::String(value.into())),
        other => Err(invalid(field)(format!("{other:?} is not a value of a dimension"))),
    }
}

fn parse(text: &str, metadata_type: MetadataType) -> Result<MetadataValue, String> {
    let expected = |what: &str| format!("expected {what}, found {text:?}");
    match metadata_type {
        MetadataType::Boolean => {
            text.parse().map(MetadataValue::Boolean).map_err(|_| expected("true or false"))
        }
        MetadataType::Integer => {
            text.parse().map(MetadataValue::Integer).map_err(|_| expected("an integer"))
        }
        MetadataType::Float => {
            text.parse().map(MetadataValue::Float).map_err(|_| expected("a number"))
        }
        MetadataType::String => Ok(MetadataValue::String(text.to_owned())),
    }
}

fn invalid(field: &str) -> impl FnOnce(String) -> RecordFieldsError {
    move |reason| RecordFieldsError::Value { field: field.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(element: &str, texts: &[(&str, &str)]) -> Result<DimensionRecord, String> {
        let universe = Universe::from_yaml(
            "version: 1\nname: u\nelements:\n  band: {key: string}\n  filter:\n    key: string\n    \
             implies: [band]\n    metadata:\n      width: {type: float, required: true}\n      \
             count: {type: integer}\n      good: {type: boolean}\n      note: {type: string}\n  \
             visit: {key: integer}\n",
        )
        .expect("a universe");
        let texts = texts.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        let element = universe.element(element).expect("an element");
        DimensionRecord::from_texts(&universe, element, &texts).map_err(|e| e.to_string())
    }

    #[test]
    fn texts_get_the_type_of_their_field() {
        let found = record(
            "filter",
            &[("filter", "7"), ("band", "g"), ("width", "150"), ("good", "true"), ("note", "")],
        )
        .expect("a record");
        assert_eq!(found.data_id.to_string(), "filter=7");
        assert_eq!(found.data_id.values(), ["7".into()]);
        let metadata: Vec<_> = found.metadata.values().cloned().collect();
        assert_eq!(metadata, [MetadataValue::Boolean(true), MetadataValue::Float(150.0)]);
        let visit = record("visit", &[("visit", "007")]).expect("a record");
        assert_eq!(visit.data_id.values(), [7.into()]);
    }

    #[test]
    fn fields_are_checked() {
        let whole = [("filter", "g1"), ("band", "g"), ("width", "1.5")];
        let fault = |name: &str, text: &str| {
            let mut fields: Vec<_> = whole.iter().filter(|(n, _)| *n != name).copied().collect();
            fields.push((name, text));
            record("filter", &fields).map(drop)
        };
        assert!(record("filter", &whole).is_ok());
        let expected = [
            (("width", ""), "`width` is missing"),
            (("width", "wide"), "`width`: expected a number, found \"wide\""),
            (("count", "1.5"), "`count`: expected an integer, found \"1.5\""),
            (("good", "yes"), "`good`: expected true or false, found \"yes\""),
            (("band", ""), "`band` is missing"),
            (("filter", ""), "the data ID needs a value for dimension `filter` (it has {filter})"),
            (("hue", "3"), "element `filter` has no field `hue`"),
            (("visit", "3"), "element `filter` has no field `visit`"),
        ];
        for ((name, text), message) in expected {
            assert_eq!(fault(name, text), Err(message.to_owned()));
        }
    }
}
