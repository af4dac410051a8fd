//! Values of dimension keys and of metadata.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The type of a dimension's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// 64-bit signed integers.
    Integer,
    /// Text without control characters, 1 to 256 bytes.
    String,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "integer",
            Self::String => "string",
        })
    }
}

/// The value of a dimension in a data ID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeyValue {
    /// Of an [`KeyType::Integer`] dimension.
    Integer(i64),
    /// Of a [`KeyType::String`] dimension.
    String(Box<str>),
}

impl KeyValue {
    /// Reads `text`, as typed by a person or found in a file name, as a value of
    /// type `key_type`. Integers may have leading zeros.
    ///
    /// # Errors
    /// What was expected instead, for [`crate::DataIdError::Value`].
    pub fn parse(text: &str, key_type: KeyType) -> Result<Self, String> {
        match key_type {
            KeyType::Integer => text
                .parse()
                .map(Self::Integer)
                .map_err(|_| format!("expected an integer, found {text:?}")),
            KeyType::String => Self::String(text.into()).checked(key_type),
        }
    }

    /// Returns the value if it is one of type `key_type`.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn checked(self, key_type: KeyType) -> Result<Self, String> {
        match (&self, key_type) {
            (Self::Integer(_), KeyType::Integer) => Ok(self),
            (Self::Integer(i), KeyType::String) => {
                Err(format!("expected a string, found the integer {i}"))
            }
            (Self::String(text), KeyType::Integer) => {
                Err(format!("expected an integer, found {text:?}"))
            }
            (Self::String(text), KeyType::String) => {
                if text.is_empty() {
                    Err("a string value must not be empty".to_owned())
                } else if text.len() > 256 {
                    Err(format!("a string value has at most 256 bytes, found {}", text.len()))
                } else if text.chars().any(char::is_control) {
                    Err(format!("a string value has no control characters, found {text:?}"))
                } else {
                    Ok(self)
                }
            }
        }
    }
}

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(f),
            Self::String(value) => f.pad(value),
        }
    }
}

impl From<i64> for KeyValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for KeyValue {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

/// The type of a metadata field of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetadataType {
    /// 64-bit signed integers.
    Integer,
    /// 64-bit floating point numbers; an integer is read as one.
    Float,
    /// Text.
    String,
    /// `true` or `false`.
    Boolean,
}

/// The value of a metadata field of a dimension record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text, a number, true, false or null")]
pub enum MetadataValue {
    /// `true` or `false`.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A floating point number.
    Float(f64),
    /// A text.
    String(String),
    /// Not given.
    Null,
}

impl MetadataValue {
    /// Returns the value as one of type `metadata_type`; [`Self::Null`] is one of every type.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn checked(self, metadata_type: MetadataType) -> Result<Self, String> {
        match (self, metadata_type) {
            (Self::Null, _) => Ok(Self::Null),
            (v @ Self::Boolean(_), MetadataType::Boolean)
            | (v @ Self::Integer(_), MetadataType::Integer)
            | (v @ Self::Float(_), MetadataType::Float)
            | (v @ Self::String(_), MetadataType::String) => Ok(v),
            #[expect(clippy::cast_precision_loss, reason = "a whole number written for a float")]
            (Self::Integer(i), MetadataType::Float) => Ok(Self::Float(i as f64)),
            (other, expected) => {
                Err(format!("expected a {expected:?}, found {other:?}").to_lowercase())
            }
        }
    }
}
