//! Data IDs: values for a set of dimensions.

use std::{collections::BTreeMap, fmt, hash, sync::Arc};

use serde::Serialize;

use crate::{DimensionGroup, ElementName, KeyValue, Universe};

/// Values for the required dimensions of a group: its identity.
///
/// Two data IDs are equal if they have the same required dimensions with the same
/// values. The values of implied dimensions follow from dimension records.
#[derive(Clone)]
pub struct DataId {
    group: Arc<DimensionGroup>,
    values: Arc<[KeyValue]>,
}

/// Values that do not make a data ID of a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataIdError {
    /// A dimension without a value.
    #[error("the data ID needs a value for dimension `{dimension}` (it has {group})")]
    Missing {
        /// The dimension.
        dimension: ElementName,
        /// The group.
        group: String,
    },
    /// A value for a dimension that is not one of the group's.
    #[error("the data ID has no dimension `{dimension}` (it has {group})")]
    Extra {
        /// The name given.
        dimension: String,
        /// The group.
        group: String,
    },
    /// A value of the wrong type.
    #[error("dimension `{dimension}`: {reason}")]
    Value {
        /// The dimension.
        dimension: ElementName,
        /// What was expected and found.
        reason: String,
    },
}

impl DataId {
    /// The data ID without dimensions.
    pub fn empty() -> Self {
        Self { group: Arc::new(DimensionGroup::empty()), values: Arc::default() }
    }

    /// Makes a data ID of `group` from values by name. Values of implied dimensions
    /// are not taken: they follow from records.
    ///
    /// # Errors
    /// [`DataIdError`] if a value is missing, extra or of the wrong type.
    pub fn new(
        universe: &Universe,
        group: &Arc<DimensionGroup>,
        mut values: BTreeMap<String, KeyValue>,
    ) -> Result<Self, DataIdError> {
        let mut ordered = Vec::with_capacity(group.required().len());
        for name in group.required() {
            let value = values.remove(name.as_str()).ok_or_else(|| DataIdError::Missing {
                dimension: name.clone(),
                group: group.to_string(),
            })?;
            let checked = match universe.element(name.as_str()).ok().and_then(|e| e.key) {
                Some(key_type) => value.checked(key_type),
                None => Err("it is not a dimension of this universe".to_owned()),
            };
            ordered.push(
                checked.map_err(|reason| DataIdError::Value { dimension: name.clone(), reason })?,
            );
        }
        if let Some((dimension, _)) = values.pop_first() {
            return Err(DataIdError::Extra { dimension, group: group.to_string() });
        }
        Ok(Self { group: Arc::clone(group), values: ordered.into() })
    }

    /// Makes a data ID of `group` from texts by name, as typed by a person.
    ///
    /// # Errors
    /// [`DataIdError`] if a value is missing, extra or of the wrong type.
    pub fn parse(
        universe: &Universe,
        group: &Arc<DimensionGroup>,
        texts: &BTreeMap<String, String>,
    ) -> Result<Self, DataIdError> {
        let mut values = BTreeMap::new();
        for (name, text) in texts {
            let key_type =
                universe.element(name).ok().filter(|_| group.contains(name)).and_then(|e| e.key);
            let Some(key_type) = key_type else {
                return Err(DataIdError::Extra {
                    dimension: name.clone(),
                    group: group.to_string(),
                });
            };
            let value = KeyValue::parse(text, key_type).map_err(|reason| DataIdError::Value {
                dimension: ElementName::new(name).expect("the universe has it"),
                reason,
            })?;
            values.insert(name.clone(), value);
        }
        Self::new(universe, group, values)
    }

    /// Makes a data ID from values in the order of `group.required()`, which come
    /// from a checked place (the database, a graph file).
    ///
    /// # Errors
    /// [`DataIdError`] if the number of values differs.
    pub fn from_values(
        group: &Arc<DimensionGroup>,
        values: Vec<KeyValue>,
    ) -> Result<Self, DataIdError> {
        if let Some(dimension) = group.required().get(values.len()) {
            return Err(DataIdError::Missing {
                dimension: dimension.clone(),
                group: group.to_string(),
            });
        }
        if values.len() > group.required().len() {
            return Err(DataIdError::Extra {
                dimension: values[group.required().len()].to_string(),
                group: group.to_string(),
            });
        }
        Ok(Self { group: Arc::clone(group), values: values.into() })
    }

    /// The dimensions.
    pub fn group(&self) -> &Arc<DimensionGroup> {
        &self.group
    }

    /// The values, in the order of `group().required()`.
    pub fn values(&self) -> &[KeyValue] {
        &self.values
    }

    /// The value of one required dimension.
    pub fn get(&self, dimension: &str) -> Option<&KeyValue> {
        self.group.required().iter().position(|n| n.as_str() == dimension).map(|i| &self.values[i])
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&ElementName, &KeyValue)> {
        self.group.required().iter().zip(&*self.values)
    }

    /// Feeds a canonical form into `hasher`.
    pub(crate) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        for (name, value) in self.iter() {
            hasher.update(&(name.as_str().len() as u64).to_le_bytes());
            hasher.update(name.as_str().as_bytes());
            match value {
                KeyValue::Integer(i) => {
                    hasher.update(b"i");
                    hasher.update(&i.to_le_bytes());
                }
                KeyValue::String(s) => {
                    hasher.update(b"s");
                    hasher.update(&(s.len() as u64).to_le_bytes());
                    hasher.update(s.as_bytes());
                }
            }
        }
    }
}

impl PartialEq for DataId {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values && self.group.required() == other.group.required()
    }
}

impl Eq for DataId {}

impl hash::Hash for DataId {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.values.hash(state);
    }
}

impl PartialOrd for DataId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DataId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.group.required(), &self.values).cmp(&(other.group.required(), &other.values))
    }
}

impl fmt::Debug for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataId({self})")
    }
}

/// `city=oslo month=1`, as the command line takes it; `{}` for the empty one.
impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.values.is_empty() {
            return f.write_str("{}");
        }
        for (i, (name, value)) in self.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{name}={value}")?;
        }
        Ok(())
    }
}

/// A map from dimension to value.
impl Serialize for DataId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn universe() -> Universe {
        Universe::from_yaml(
            "version: 1\nname: w\nelements:\n  city: {key: string}\n  month: {key: integer}\n",
        )
        .expect("a universe")
    }

    #[test]
    fn values_are_checked() -> Result<(), Box<dyn std::error::Error>> {
        let universe = universe();
        let group = universe.group(["month", "city"])?;
        let parse = |pairs: &[(&str, &str)]| {
            let texts = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            DataId::parse(&universe, &group, &texts)
                .map(|id| id.to_string())
                .map_err(|e| e.to_string())
        };
        assert_eq!(parse(&[("month", "01"), ("city", "oslo")]), Ok("city=oslo month=1".to_owned()));
        assert_eq!(
            parse(&[("month", "1")]),
            Err("the data ID needs a value for dimension `city` (it has {city, month})".to_owned())
        );
        assert_eq!(
            parse(&[("month", "May"), ("city", "oslo")]),
            Err("dimension `month`: expected an integer, found \"May\"".to_owned())
        );
        assert_eq!(
            parse(&[("day", "1"), ("city", "oslo")]),
            Err("the data ID has no dimension `day` (it has {city, month})".to_owned())
        );
        Ok(())
    }
}
