//! Checked names.
//!
//! - Element, dataset type names and task labels match `[a-z][a-z0-9_]*`, are
//!   at most 63 characters long and can stand in SQL, paths and YAML as they are.
//! - Collection and transaction names may have several parts between `/`; no
//!   part is empty, `.` or `..`, so a name can never leave a directory it is
//!   written into.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Says what kind of name was refused, the text, and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {text:?}: {rule}")]
pub struct NameError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

fn check_identifier(text: &str, max: usize) -> Result<(), &'static str> {
    let mut bytes = text.bytes();
    match bytes.next() {
        None => return Err("it is empty"),
        Some(b'a'..=b'z') => {}
        Some(_) => return Err("it must start with a lower-case letter (a-z)"),
    }
    if !bytes.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
        return Err("only a-z, 0-9 and _ are allowed");
    }
    if text.len() > max {
        return Err("it is too long (63 characters at most; 59 for a task)");
    }
    Ok(())
}

fn check_path_like(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > 160 {
        return Err("it is too long (160 bytes at most)");
    }
    if !text.bytes().all(
        |b| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'+' | b':' | b'=' | b'/'),
    ) {
        return Err("only letters, digits and _ - . + : = / are allowed");
    }
    if text.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err("no part between slashes may be empty, '.' or '..'");
    }
    if text.starts_with('-') {
        return Err("it must not start with '-'");
    }
    Ok(())
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks `text` and keeps it.
            ///
            /// # Errors
            /// [`NameError`] with the rule that the text breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(rule) => Err(NameError { what: $what, text: text.to_owned(), rule }),
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

checked_name!(
    /// Name of a dimension element, and of its metadata: `[a-z][a-z0-9_]{0,62}`.
    ElementName, "dimension element name", |t| check_identifier(t, 63)
);
checked_name!(
    /// Name of a dataset type: `[a-z][a-z0-9_]{0,62}`.
    DatasetTypeName, "dataset type name", |t| check_identifier(t, 63)
);
checked_name!(
    /// Label of a task in a pipeline: `[a-z][a-z0-9_]{0,58}`, so that `<label>_log` is
    /// a dataset type name.
    TaskLabel, "task label", |t| check_identifier(t, 59)
);
checked_name!(
    /// Name of a collection (RUN, TAGGED or CHAINED) and of the workspace that makes it.
    CollectionName, "collection name", check_path_like
);
checked_name!(
    /// Name of an artifact transaction, unique among the open ones.
    TransactionName, "transaction name", check_path_like
);

impl CollectionName {
    /// The name as one path component: `/` and everything else that a directory
    /// name should not have is percent-encoded, so no name is a prefix
    /// *directory* of another.
    pub fn path_component(&self) -> String {
        crate::key::encode_component(&self.0)
    }
}

impl TaskLabel {
    /// The dataset type of the task's logs, `<label>_log`.
    pub fn log_dataset_type(&self) -> DatasetTypeName {
        DatasetTypeName(format!("{}_log", self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_checked() {
        assert!(ElementName::new("visit_2").is_ok());
        for bad in ["", "Visit", "2visit", "a-b", "é", "a b", &"a".repeat(64)] {
            assert!(ElementName::new(bad).is_err(), "{bad:?}");
        }
        assert!(ElementName::new("a".repeat(63)).is_ok());
    }

    #[test]
    fn collection_names_cannot_leave_their_directory() {
        assert_eq!(
            CollectionName::new("climate/raw").map(|n| n.path_component()).as_deref(),
            Ok("climate%2Fraw")
        );
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "a/.", "a\nb", "a\0", "a@b", "a%2Fb"] {
            assert!(CollectionName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn deserializing_checks_too() {
        assert!(serde_json::from_str::<CollectionName>("\"a/../b\"").is_err());
        assert!(serde_json::from_str::<CollectionName>("\"a/b\"").is_ok());
    }
}
