//! The universe as a file: YAML written by people (`universe.yaml`), JSON in the
//! database. Both hold the same fields.
//!
//! ```yaml
//! version: 1
//! name: climate
//! elements:
//!   city:
//!     key: string
//!     metadata:
//!       title: {type: string, required: true}
//!   month: {key: integer}
//! ```

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Element, MetadataField, Universe, UniverseError};
use crate::{ElementName, KeyType, MetadataType};

/// A text that is not a universe.
#[derive(Debug, thiserror::Error)]
pub enum UniverseFormatError {
    /// The text is not well formed, or has unknown fields; the message gives line and column.
    #[error("not a universe file: {0}")]
    Syntax(String),
    /// Another version.
    #[error(
        "universe format version {found}: this program reads version 1; a newer pantler may read it"
    )]
    Version {
        /// The version found.
        found: u32,
    },
    /// The elements do not make a universe.
    #[error(transparent)]
    Universe(#[from] UniverseError),
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UniverseV1 {
    version: u32,
    name: ElementName,
    elements: IndexMap<ElementName, ElementV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ElementV1 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<KeyType>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requires: Vec<ElementName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    implies: Vec<ElementName>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    metadata: IndexMap<ElementName, MetadataV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetadataV1 {
    #[serde(rename = "type")]
    metadata_type: MetadataType,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    required: bool,
}

impl Universe {
    /// Reads a universe file.
    ///
    /// # Errors
    /// [`UniverseFormatError`]; messages give line and column where there is one.
    pub fn from_yaml(text: &str) -> Result<Self, UniverseFormatError> {
        let syntax =
            |e: serde_saphyr::Error| UniverseFormatError::Syntax(e.without_snippet().to_string());
        let VersionOnly { version } = serde_saphyr::from_str(text).map_err(syntax)?;
        check_version(version)?;
        let file: UniverseV1 = serde_saphyr::from_str(text).map_err(syntax)?;
        file.try_into()
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`UniverseFormatError`].
    pub fn from_json(text: &str) -> Result<Self, UniverseFormatError> {
        let syntax = |e: serde_json::Error| UniverseFormatError::Syntax(e.to_string());
        let VersionOnly { version } = serde_json::from_str(text).map_err(syntax)?;
        check_version(version)?;
        serde_json::from_str::<UniverseV1>(text).map_err(syntax)?.try_into()
    }

    /// The universe as JSON, for the database.
    pub fn to_json(&self) -> String {
        let elements = self.elements().iter().map(|e| (e.name.clone(), ElementV1::from(&**e)));
        let file =
            UniverseV1 { version: 1, name: self.name().clone(), elements: elements.collect() };
        serde_json::to_string(&file).expect("names and enums serialize")
    }
}

fn check_version(found: u32) -> Result<(), UniverseFormatError> {
    if found == 1 { Ok(()) } else { Err(UniverseFormatError::Version { found }) }
}

impl From<&Element> for ElementV1 {
    fn from(element: &Element) -> Self {
        let metadata = element.metadata.iter().map(|field| {
            let MetadataField { name, metadata_type, required } = field.clone();
            (name, MetadataV1 { metadata_type, required })
        });
        Self {
            key: element.key,
            requires: element.requires.clone(),
            implies: element.implies.clone(),
            metadata: metadata.collect(),
        }
    }
}

impl TryFrom<UniverseV1> for Universe {
    type Error = UniverseFormatError;
    fn try_from(file: UniverseV1) -> Result<Self, UniverseFormatError> {
        let elements = file.elements.into_iter().map(|(name, e)| Element {
            name,
            key: e.key,
            requires: e.requires,
            implies: e.implies,
            metadata: e
                .metadata
                .into_iter()
                .map(|(name, m)| MetadataField {
                    name,
                    metadata_type: m.metadata_type,
                    required: m.required,
                })
                .collect(),
        });
        Ok(Self::new(file.name, &elements.collect::<Vec<_>>())?)
    }
}
