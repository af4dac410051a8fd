//! One artifact of a storing transaction.

use pantler_core::{ArtifactKey, DatasetId, FileRecord, Location, StorageClass, WriteId};

use super::key_at;
use crate::artifacts::Content;

/// A dataset that an artifact holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemDataset {
    /// Its id.
    pub id: DatasetId,
    /// It in words, for messages.
    pub label: Box<str>,
    /// What it is.
    pub storage_class: StorageClass,
    /// Where its bytes are in the artifact, as offset and size in bytes, with their
    /// checksum; `None` if it is the whole artifact.
    pub slice: Option<Box<(u64, Content)>>,
    /// Whether it was registered before the transaction opened.
    pub registered: bool,
}

/// A user's file that becomes an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its absolute path.
    pub path: Box<str>,
    /// Its size in bytes when the transaction was planned.
    pub size: u64,
    /// Its modification time then (ns, Unix time).
    pub modified: i64,
}

/// One artifact, with the datasets that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it is: the key of the first attempt (later ones differ in the write id),
    /// the key of a file that lies in the storage already, or a file that stays outside.
    pub location: Location,
    /// What it holds; at least one.
    pub datasets: Box<[ItemDataset]>,
    /// The file that it is made from, if it is made from one.
    pub source: Option<Box<Source>>,
    /// What it must be, where that is known before it is written.
    pub expected: Option<Content>,
    /// What this process wrote, and at which attempt's key. Not part of the description.
    pub written: Option<(u32, Content)>,
    /// Whether this process tried to write it and could not: whatever stands at its keys
    /// is not what was asked for. Not part of the description.
    pub failed: bool,
    /// Whether the transaction writes it; else it is there already and is not deleted.
    made_here: bool,
}

impl Item {
    /// An artifact that the transaction writes at `key`, which carries a write id.
    pub fn written_at(key: ArtifactKey, datasets: Vec<ItemDataset>) -> Self {
        Self::new(key.into(), datasets, true)
    }

    /// An artifact that is there already.
    pub fn existing(location: Location, datasets: Vec<ItemDataset>) -> Self {
        Self::new(location, datasets, false)
    }

    fn new(location: Location, datasets: Vec<ItemDataset>, made_here: bool) -> Self {
        let datasets = datasets.into();
        Self {
            location,
            datasets,
            source: None,
            expected: None,
            written: None,
            failed: false,
            made_here,
        }
    }

    /// Whether the transaction writes it.
    pub fn is_written(&self) -> bool {
        self.made_here
    }

    /// It in words: its first dataset.
    pub fn label(&self) -> &str {
        self.datasets.first().map_or(self.location.as_str(), |dataset| &dataset.label)
    }

    /// Where it may be, the newest attempt first.
    pub fn candidates(&self, writes: &[WriteId]) -> Vec<Location> {
        if self.made_here {
            writes.iter().filter_map(|write| key_at(self, write)).map(Location::from).collect()
        } else {
            vec![self.location.clone()]
        }
    }

    /// The records of its datasets, given where it is and what it holds.
    pub fn records(
        &self,
        location: &Location,
        content: Content,
    ) -> impl Iterator<Item = FileRecord> {
        let record = move |dataset: &ItemDataset| {
            let (offset, own) = match dataset.slice.as_deref() {
                Some((offset, own)) => (Some(*offset), *own),
                None => (None, content),
            };
            FileRecord {
                dataset: dataset.id,
                component: Box::default(),
                location: location.clone(),
                offset,
                formatter: dataset.storage_class.formatter().into(),
                storage_class: dataset.storage_class,
                size: own.size,
                checksum: own.checksum,
            }
        };
        self.datasets.iter().map(record)
    }
}
