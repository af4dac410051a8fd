//! The registry of kinds: stored name → decoder.

use std::{collections::BTreeMap, fmt};

use super::ArtifactTransaction;

/// A kind of transaction that can be decoded again.
pub trait TransactionKind: ArtifactTransaction + Sized + 'static {
    /// The stable name in the database.
    const KIND: &'static str;

    /// Decodes what [`ArtifactTransaction::data`] and
    /// [`ArtifactTransaction::manifest`] gave, in this or any earlier version.
    ///
    /// # Errors
    /// [`DecodeError`] if the description is damaged or of a newer version.
    fn decode(data: &str, manifest: &[u8]) -> Result<Self, DecodeError>;
}

/// A stored transaction that this program cannot decode. It stays open.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A kind that is not registered.
    #[error(
        "unknown kind of transaction {kind:?}: this program knows {known}; a newer pantler, or the program that defines this kind, can close it"
    )]
    UnknownKind {
        /// The kind found.
        kind: String,
        /// The kinds there are.
        known: String,
    },
    /// A version of the description that this program does not know.
    #[error(
        "{kind} transaction of format version {found}: this program reads up to {supported}; a newer pantler can close it"
    )]
    Version {
        /// The kind.
        kind: &'static str,
        /// The version found.
        found: u32,
        /// The newest version known.
        supported: u32,
    },
    /// Not what the kind writes.
    #[error("the description of a {kind} transaction is damaged: {reason}")]
    Damaged {
        /// The kind.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
}

type Decoder = fn(&str, &[u8]) -> Result<Box<dyn ArtifactTransaction>, DecodeError>;

/// The kinds that a program can close.
#[derive(Clone, Default)]
pub struct Kinds {
    decoders: BTreeMap<&'static str, Decoder>,
}

impl Kinds {
    /// No kinds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind; one of the same name is replaced.
    #[must_use]
    pub fn with<K: TransactionKind>(mut self) -> Self {
        self.decoders.insert(K::KIND, |data, manifest| Ok(Box::new(K::decode(data, manifest)?)));
        self
    }

    /// Decodes a stored transaction.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(
        &self,
        kind: &str,
        data: &str,
        manifest: &[u8],
    ) -> Result<Box<dyn ArtifactTransaction>, DecodeError> {
        let decoder = self.decoders.get(kind).ok_or_else(|| DecodeError::UnknownKind {
            kind: kind.to_owned(),
            known: self.decoders.keys().copied().collect::<Vec<_>>().join(", "),
        })?;
        decoder(data, manifest)
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.decoders.keys()).finish()
    }
}
