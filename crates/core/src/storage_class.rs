//! Storage classes: what a dataset is in memory and how its artifact ends.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The kind of content of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StorageClass {
    /// Any bytes.
    Bytes,
    /// UTF-8 text.
    Text,
    /// A JSON document.
    Json,
    /// Comma-separated values.
    Csv,
    /// A picture as SVG.
    Svg,
}

impl StorageClass {
    /// All storage classes.
    pub const ALL: [Self; 5] = [Self::Bytes, Self::Text, Self::Json, Self::Csv, Self::Svg];

    /// The name in files, in the database and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "Bytes",
            Self::Text => "Text",
            Self::Json => "Json",
            Self::Csv => "Csv",
            Self::Svg => "Svg",
        }
    }

    /// The ending of artifacts, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Bytes => "bin",
            Self::Text => "txt",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Svg => "svg",
        }
    }

    /// The formatter that reads and writes it, as recorded with each artifact.
    pub const fn formatter(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Text | Self::Csv | Self::Svg => "text",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for StorageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for StorageClass {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|class| class.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|class| class.name()).collect();
            format!("unknown storage class {text:?}: expected one of {}", names.join(", "))
        })
    }
}
