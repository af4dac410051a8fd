//! Keys of artifacts: checked relative paths inside the storage root.

use std::{fmt, sync::Arc};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::OpeningId;

/// What stands as it is in a path component; everything else is percent-encoded.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b'+').remove(b'=').remove(b':');

/// Longest path component written; file systems allow 255 bytes, and `.tmp` must fit.
const MAX_COMPONENT: usize = 200;

/// Percent-encodes `text` into one path component.
///
/// A component that would be `.` or `..`, or start with a dot, has its dots
/// encoded; one longer than 200 bytes is cut and ends with a digest of the whole.
pub(crate) fn encode_component(text: &str) -> String {
    let mut encoded = utf8_percent_encode(text, PLAIN).to_string();
    if encoded.starts_with('.') {
        encoded = encoded.replace('.', "%2E");
    }
    if encoded.len() > MAX_COMPONENT {
        let digest = blake3::hash(text.as_bytes()).to_hex();
        encoded.truncate(MAX_COMPONENT - 18);
        encoded.push_str("..");
        encoded.push_str(&digest[..16]);
    }
    encoded
}

/// The key of an artifact: where it lies, relative to the storage root.
///
/// - parts between `/` are not empty, not `.` or `..`, and at most 255 bytes long;
/// - no control characters, no backslash, no leading `/`;
/// - never ends with `.tmp`: that name belongs to the artifact's unfinished form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArtifactKey(Arc<str>);

/// A text that is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid artifact key {text:?}: {rule}")]
pub struct KeyError {
    text: String,
    rule: &'static str,
}

impl ArtifactKey {
    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// [`KeyError`] with the rule that the text breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, KeyError> {
        let text = text.into();
        let rule = if text.is_empty() {
            "it is empty"
        } else if text.chars().any(|c| c.is_control() || c == '\\') {
            "control characters and backslashes are not allowed"
        } else if text
            .split('/')
            .any(|part| part.is_empty() || part == "." || part == ".." || part.len() > 255)
        {
            "a part between slashes is empty, '.', '..' or over 255 bytes"
        } else if text.strip_suffix(".tmp").is_some() {
            "the ending .tmp belongs to unfinished artifacts"
        } else {
            return Ok(Self(text.into()));
        };
        Err(KeyError { text, rule })
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key that the same dataset gets at another writing: everything but the
    /// write id stays. `None` if this key carries no write id.
    pub fn at(&self, write: &WriteId) -> Option<Self> {
        let (stem, extension) = self.around_write_id()?;
        let own = &self.0[stem.len() + 1..self.0.len() - extension.len() - 1];
        if own == write.as_str() {
            return Some(self.clone());
        }
        Self::new(format!("{stem}~{write}.{extension}")).ok()
    }

    /// Whether Pantler wrote it: whether it carries a write id.
    pub fn has_write_id(&self) -> bool {
        self.around_write_id().is_some()
    }

    /// Whether what `opening` opened wrote it, at whatever attempt.
    pub fn is_of(&self, opening: OpeningId) -> bool {
        let Some((_, rest)) = self.0.rsplit_once('~') else { return false };
        let write = rest.split('.').next().unwrap_or_default();
        !rest.contains('/') && WriteId::is_one(write) && write.starts_with(&WriteId::start(opening))
    }

    /// What stands before and behind the write id.
    pub fn around_write_id(&self) -> Option<(&str, &str)> {
        let (stem, rest) = self.0.rsplit_once('~')?;
        // A write id has no dot; an extension may have several.
        let (write, extension) = rest.split_once('.')?;
        (WriteId::is_one(write) && !extension.contains('/')).then_some((stem, extension))
    }
}

impl fmt::Display for ArtifactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for ArtifactKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

impl From<ArtifactKey> for String {
    fn from(key: ArtifactKey) -> Self {
        key.0.as_ref().to_owned()
    }
}

/// Which writing of an artifact this is: part of its key, so that a key is
/// written by one process with one byte sequence and never used again.
///
/// It names the opening and attempt (of a transaction) or the attempt at a
/// quantum (of a workspace).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WriteId(String);

impl WriteId {
    /// The `attempt`-th attempt at what `opening` opened.
    pub fn of_opening(opening: OpeningId, attempt: u32) -> Self {
        Self(format!("{}{attempt}", Self::start(opening)))
    }

    /// The `number`-th artifact that is written at the `attempt`-th attempt, where `opening`
    /// does not say beforehand which there will be.
    pub fn of_put(opening: OpeningId, attempt: u32, number: u64) -> Self {
        Self(format!("{}{attempt}-{number}", Self::start(opening)))
    }

    /// An attempt at a quantum: `runner` tells the processes of one workspace apart.
    pub fn of_quantum(opening: OpeningId, runner: u32, attempt: u32) -> Self {
        Self(format!("{}r{runner}-{attempt}", Self::start(opening)))
    }

    /// What all write ids of an opening begin with.
    fn start(opening: OpeningId) -> String {
        // 12 of 16 bytes hold the time and 50 random bits; the RUN segment of the
        // key tells apart what could still be equal.
        let hex = opening.as_uuid().simple().to_string();
        format!("{}-", &hex[8..])
    }

    /// Whether `text` is one that was made here: the opening, then attempts and parts.
    fn is_one(text: &str) -> bool {
        let mut parts = text.split('-');
        let opening = parts.next().unwrap_or_default();
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let number = |part: &str| {
            let digits = part.strip_prefix('r').unwrap_or(part);
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        };
        let mut rest = parts.peekable();
        opening.len() == 24 && opening.bytes().all(hex) && rest.peek().is_some() && rest.all(number)
    }

    /// The id as it stands in a key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_stay_inside() {
        assert_eq!(encode_component("a/b c"), "a%2Fb%20c");
        assert_eq!(encode_component(".."), "%2E%2E");
        assert_eq!(encode_component("x\n\0"), "x%0A%00");
        let long = encode_component(&"é".repeat(300));
        assert!(long.len() <= MAX_COMPONENT, "{}", long.len());
        assert_ne!(long, encode_component(&"é".repeat(301)));
    }

    #[test]
    fn another_writing_changes_the_write_id_alone() {
        let opening = OpeningId::from_uuid(uuid::Uuid::from_u128(7));
        let write = WriteId::of_opening(opening, 2);
        let at = |key: &str| ArtifactKey::new(key).ok().and_then(|k| k.at(&write));
        let expected = format!("r@1/t/n=1~{write}.fits.gz");
        assert_eq!(
            at("r@1/t/n=1~0190aaaa0000700080000000-1.fits.gz").map(String::from),
            Some(expected)
        );
        assert_eq!(at("r@1/t/n=1.csv"), None);
        assert_eq!(at("r@1/t/n=1~0190aaaa0000700080000000-1"), None);
        // A file that somebody called so.
        for other in ["d/a~1.csv", "d/a~backup.old.csv", "a~0190aaaa0000700080000000.csv"] {
            assert_eq!(at(other), None, "{other}");
        }
    }

    #[test]
    fn a_key_knows_its_opening() {
        let opening = |n| OpeningId::from_uuid(uuid::Uuid::from_u128(n));
        let put = WriteId::of_put(opening(7), 1, 12);
        for (write, is_of_7) in [
            (WriteId::of_opening(opening(7), 3), true),
            (WriteId::of_quantum(opening(7), 2, 1), true),
            (put.clone(), true),
            (WriteId::of_opening(opening(8), 7), false),
        ] {
            let key = ArtifactKey::new(format!("r@1/t/n=1~{write}.fits.gz")).expect("a key");
            assert!(key.has_write_id());
            assert_eq!(key.is_of(opening(7)), is_of_7, "{write}");
        }
        for (key, is_of_7) in [
            (format!("r@1/t/n=1~{put}"), true),
            (format!("r@1/t/n=1~{put}.d/x"), false),
            (format!("r@1/t/n=1~{put}x.csv"), false),
            (format!("r@1/t/n={put}.csv"), false),
        ] {
            let made = ArtifactKey::new(&*key).expect("a key");
            assert_eq!(made.is_of(opening(7)), is_of_7, "{key}");
        }
    }

    #[test]
    fn keys_are_checked() {
        assert!(ArtifactKey::new("run@1/type/x~1.csv").is_ok());
        for bad in ["", "/a", "a/", "a//b", "../a", "a/./b", "a\nb", "a\\b", "a.tmp"] {
            assert!(ArtifactKey::new(bad).is_err(), "{bad:?}");
        }
    }
}
