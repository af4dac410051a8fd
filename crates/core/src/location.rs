//! Where the bytes of a dataset are: in the storage, or in a file of somebody else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{ArtifactKey, KeyError};

/// A file that stays outside of the storage: `file://` and an absolute path.
///
/// Pantler reads it and never changes, moves or deletes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DirectUri(Box<str>);

/// A text that is not a URI of a file outside of the storage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid URI {text:?}: {rule}")]
pub struct DirectUriError {
    text: String,
    rule: &'static str,
}

const SCHEME: &str = "file://";

impl DirectUri {
    /// The URI of the file at an absolute path without `.`, `..`, doubled slashes and
    /// control characters, so that a file has one URI.
    ///
    /// # Errors
    /// [`DirectUriError`] with the rule that the path breaks.
    pub fn of_path(path: &str) -> Result<Self, DirectUriError> {
        let rule = if !path.starts_with('/') {
            "the path must be absolute"
        } else if path.chars().any(char::is_control) {
            "control characters are not allowed"
        } else if path[1..].split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            "a part between slashes is empty, '.' or '..'"
        } else {
            return Ok(Self(format!("{SCHEME}{path}").into()));
        };
        Err(DirectUriError { text: format!("{SCHEME}{path}"), rule })
    }

    /// Checks a whole URI.
    ///
    /// # Errors
    /// [`DirectUriError`] with the rule that it breaks.
    pub fn new(text: &str) -> Result<Self, DirectUriError> {
        match text.strip_prefix(SCHEME) {
            Some(path) => Self::of_path(path),
            None => {
                Err(DirectUriError { text: text.to_owned(), rule: "it must start with file://" })
            }
        }
    }

    /// The URI as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file's absolute path.
    pub fn path(&self) -> &str {
        &self.0[SCHEME.len()..]
    }
}

impl fmt::Display for DirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for DirectUri {
    type Error = DirectUriError;
    fn try_from(text: String) -> Result<Self, DirectUriError> {
        Self::new(&text)
    }
}

impl From<DirectUri> for String {
    fn from(uri: DirectUri) -> Self {
        uri.0.into()
    }
}

/// Where the bytes of a dataset are. As text, a key is relative and a URI of another
/// file has a scheme, so neither can be taken for the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Location {
    /// In the storage: written, and deleted, by Pantler.
    Artifact(ArtifactKey),
    /// In a file of somebody else.
    Direct(DirectUri),
}

/// A text that is neither a key nor a URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It looks like a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It looks like a URI.
    #[error(transparent)]
    Direct(#[from] DirectUriError),
}

impl Location {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`LocationError`] with the rule that it breaks.
    pub fn new(text: &str) -> Result<Self, LocationError> {
        if text.contains("://") {
            Ok(Self::Direct(DirectUri::new(text)?))
        } else {
            Ok(Self::Artifact(ArtifactKey::new(text)?))
        }
    }

    /// The key, if it is in the storage.
    pub fn key(&self) -> Option<&ArtifactKey> {
        match self {
            Self::Artifact(key) => Some(key),
            Self::Direct(_) => None,
        }
    }

    /// As text: a relative key or an absolute URI.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Artifact(key) => key.as_str(),
            Self::Direct(uri) => uri.as_str(),
        }
    }
}

impl From<ArtifactKey> for Location {
    fn from(key: ArtifactKey) -> Self {
        Self::Artifact(key)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Location {
    type Err = LocationError;
    fn from_str(text: &str) -> Result<Self, LocationError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Location {
    type Error = LocationError;
    fn try_from(text: String) -> Result<Self, LocationError> {
        Self::new(&text)
    }
}

impl From<Location> for String {
    fn from(location: Location) -> Self {
        match location {
            Location::Artifact(key) => key.into(),
            Location::Direct(uri) => uri.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_uris_are_told_apart() {
        assert!(matches!(Location::new("r@1/t/a~x-1.csv"), Ok(Location::Artifact(_))));
        let direct = Location::new("file:///data/a b.csv").expect("a URI");
        assert!(matches!(&direct, Location::Direct(uri) if uri.path() == "/data/a b.csv"));
        assert_eq!(direct.as_str(), "file:///data/a b.csv");
        for bad in ["", "/a", "a/../b", "file://a", "file:///a/../b", "file:///a//b", "http://a/b"]
        {
            assert!(Location::new(bad).is_err(), "{bad}");
        }
    }
}
