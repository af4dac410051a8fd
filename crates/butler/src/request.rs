//! What is asked of a butler, and what it reports, as values.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    str::FromStr,
    sync::Arc,
};

use camino::Utf8PathBuf;
use pantler_core::{
    Checksum, CollectionName, DataId, DatasetId, DatasetType, TransactionName,
    transaction::TransactionRow,
};
use uuid::Uuid;

/// How a file becomes an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransferMode {
    /// In place if it lies in the storage already, else a copy.
    #[default]
    Auto,
    /// A copy; the file stays.
    Copy,
    /// The file itself: linked or copied, and removed when the rows are in, if it is
    /// unchanged then.
    Move,
    /// Another name of the same file. What is written to the file afterwards changes
    /// the artifact too; reading notices it by the checksum.
    Hardlink,
    /// A symbolic link to the file, which must stay where it is.
    Symlink,
    /// The file lies in the storage already and stays where it is; from now on it
    /// belongs to the repository.
    InPlace,
    /// The file stays where it is, outside of the storage, and is never deleted.
    Direct,
}

impl TransferMode {
    /// All modes.
    pub const ALL: [Self; 7] = [
        Self::Auto,
        Self::Copy,
        Self::Move,
        Self::Hardlink,
        Self::Symlink,
        Self::InPlace,
        Self::Direct,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Copy => "copy",
            Self::Move => "move",
            Self::Hardlink => "hardlink",
            Self::Symlink => "symlink",
            Self::InPlace => "in-place",
            Self::Direct => "direct",
        }
    }
}

impl fmt::Display for TransferMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TransferMode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|mode| mode.name()).collect();
            format!("unknown transfer mode {text:?}: expected one of {}", names.join(", "))
        })
    }
}

/// How new datasets get their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdScheme {
    /// Version 7: by time, unique.
    #[default]
    Unique,
    /// Version 5 of dataset type and data ID: the same in every RUN and repository.
    DataIdType,
    /// Version 5 of dataset type, RUN and data ID: the same in every repository.
    DataIdTypeRun,
}

/// The namespace that `daf_butler` derives ids in, so that both give the same.
const NAMESPACE: Uuid = Uuid::from_u128(0x840b_31d9_05cd_5161_b2c8_00d3_2b28_0d0f);

impl IdScheme {
    /// All schemes.
    pub const ALL: [Self; 3] = [Self::Unique, Self::DataIdType, Self::DataIdTypeRun];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unique => "unique",
            Self::DataIdType => "dataid-type",
            Self::DataIdTypeRun => "dataid-type-run",
        }
    }

    /// The id that follows from what a dataset is; `None` if it does not follow.
    pub fn derive(
        self,
        dataset_type: &DatasetType,
        data_id: &DataId,
        run: &CollectionName,
    ) -> Option<DatasetId> {
        let mut text = format!("dataset_type={}", dataset_type.name);
        match self {
            Self::Unique => return None,
            Self::DataIdType => {}
            Self::DataIdTypeRun => {
                text.push_str(",run=");
                text.push_str(run.as_str());
            }
        }
        let mut values: Vec<_> = data_id.iter().collect();
        values.sort_unstable_by_key(|(name, _)| *name);
        for (name, value) in values {
            let _ = write!(text, ",{name}={value}");
        }
        Some(DatasetId::from_uuid(Uuid::new_v5(&NAMESPACE, text.as_bytes())))
    }
}

impl FromStr for IdScheme {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|scheme| scheme.name()).collect();
            format!("unknown id scheme {text:?}: expected one of {}", names.join(", "))
        })
    }
}

/// A dataset to be.
#[derive(Debug, Clone)]
pub struct NewDataset {
    /// Its type, as registered.
    pub dataset_type: Arc<DatasetType>,
    /// Its data ID.
    pub data_id: DataId,
    /// Its id, if it must have a given one.
    pub id: Option<DatasetId>,
}

impl NewDataset {
    /// One that gets a new id.
    pub fn new(dataset_type: Arc<DatasetType>, data_id: DataId) -> Self {
        Self { dataset_type, data_id, id: None }
    }
}

/// A dataset to be put, with its content.
#[derive(Debug, Clone)]
pub struct PutItem<'a> {
    /// The dataset.
    pub dataset: NewDataset,
    /// Its bytes, as its storage class has them in a file.
    pub content: Cow<'a, [u8]>,
}

/// What to put, where to.
#[derive(Debug, Clone)]
pub struct PutRequest<'a> {
    /// The transaction's name: the same one finds what a killed call left. `None` takes
    /// one that nobody else has.
    pub name: Option<TransactionName>,
    /// The RUN; it is made if it is missing.
    pub run: CollectionName,
    /// The datasets.
    pub items: Vec<PutItem<'a>>,
    /// What else.
    pub options: StoreOptions,
}

/// Bytes in a file that are a dataset of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Where they start.
    pub offset: u64,
    /// How many they are.
    pub size: u64,
}

/// A dataset in a file.
#[derive(Debug, Clone)]
pub struct IngestDataset {
    /// The dataset.
    pub dataset: NewDataset,
    /// Its bytes in the file; `None` if it is the whole file.
    pub slice: Option<Slice>,
}

/// A file and the datasets that it holds.
#[derive(Debug, Clone)]
pub struct IngestFile {
    /// The file.
    pub source: Utf8PathBuf,
    /// What it holds: one dataset as a rule.
    pub datasets: Vec<IngestDataset>,
}

impl IngestFile {
    /// A file that is one dataset.
    pub fn one(dataset_type: Arc<DatasetType>, data_id: DataId, source: Utf8PathBuf) -> Self {
        let dataset = NewDataset::new(dataset_type, data_id);
        Self { source, datasets: vec![IngestDataset { dataset, slice: None }] }
    }
}

/// What to ingest, where to, under what name.
#[derive(Debug, Clone)]
pub struct IngestRequest {
    /// The transaction's name: the same one finds what a killed call left.
    pub name: TransactionName,
    /// The RUN; it is made if it is missing.
    pub run: CollectionName,
    /// The files.
    pub files: Vec<IngestFile>,
    /// How they become artifacts.
    pub mode: TransferMode,
    /// How the datasets get their ids.
    pub ids: IdScheme,
    /// First, in a database transaction of its own, register the dataset types that are
    /// missing, and the dimension records that are nothing but their key.
    pub register: bool,
    /// What else.
    pub options: StoreOptions,
}

impl IngestRequest {
    /// By copy, unless a file lies in the storage already, with new ids, of types that
    /// are registered.
    pub fn new(name: TransactionName, run: CollectionName, files: Vec<IngestFile>) -> Self {
        Self {
            name,
            run,
            files,
            mode: TransferMode::default(),
            ids: IdScheme::default(),
            register: false,
            options: StoreOptions::default(),
        }
    }

    /// The same, after registering the dataset types and records that are missing.
    #[must_use]
    pub fn registering(self) -> Self {
        Self { register: true, ..self }
    }
}

/// Choices of everything that stores artifacts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// Take over from a holder that is not known to be dead.
    pub take_over: bool,
    /// Store what can be stored, and report the rest, instead of all or nothing.
    pub keep_going: bool,
}

/// What storing did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreReport {
    /// Datasets that are stored now and were not before.
    pub stored: usize,
    /// Of these, those that were registered before.
    pub restored: usize,
    /// Bytes of the artifacts that were stored.
    pub bytes: u64,
    /// Datasets that were there already, with the same content.
    pub skipped: usize,
    /// Of the datasets that were there, those whose artifact had vanished or changed: it
    /// was stored again. They count as restored too.
    pub repaired: usize,
    /// Whether what a dead process left was finished.
    pub resumed: bool,
    /// The ids of the datasets asked for, in the order of the request.
    pub ids: Vec<DatasetId>,
    /// What could not be stored, with the reason, if it was to keep going.
    pub failed: Vec<(String, String)>,
    /// Sources that a move could not remove, with the reason; their datasets are stored.
    pub sources_left: Vec<(Utf8PathBuf, String)>,
}

/// What storing would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StorePlan {
    /// Datasets that would be new, in words, with where they come from.
    pub new: Vec<(String, String)>,
    /// Datasets that would be stored again.
    pub restored: Vec<String>,
    /// Bytes to write.
    pub bytes: u64,
    /// Datasets that are there already.
    pub skipped: usize,
    /// Dimension records that would be made from their keys.
    pub records: usize,
    /// Datasets that were there, but whose artifact has vanished or changed: it would be
    /// stored again. They count as restored too.
    pub repaired: usize,
    /// Whether an open transaction of that name would be gone on with.
    pub resumes: bool,
    /// What could not be stored, with the reason, if it was to keep going.
    pub failed: Vec<(String, String)>,
}

/// Content for a dataset that is registered and not stored.
#[derive(Debug, Clone)]
pub struct RestoreItem<'a> {
    /// The dataset.
    pub dataset: DatasetId,
    /// Its bytes.
    pub content: RestoreContent<'a>,
}

/// Where restored content comes from.
#[derive(Debug, Clone)]
pub enum RestoreContent<'a> {
    /// From memory.
    Bytes(Cow<'a, [u8]>),
    /// From a file, by copy.
    File(Utf8PathBuf),
}

/// What to transfer, and how.
#[derive(Debug, Clone)]
pub struct TransferRequest {
    /// The transaction's name: the same one finds what a killed call left. `None` takes
    /// one that nobody else has.
    pub name: Option<TransactionName>,
    /// The datasets, by their ids in the source.
    pub datasets: Vec<DatasetId>,
    /// Copies, links, or records that lead to the files of the source.
    pub mode: TransferMode,
    /// What else.
    pub options: StoreOptions,
}

/// What to remove.
#[derive(Debug, Clone)]
pub struct RemoveRequest {
    /// The transaction's name; `None` takes one that nobody else has.
    pub name: Option<TransactionName>,
    /// The datasets.
    pub datasets: Vec<DatasetId>,
    /// Forget the registrations too; else the datasets stay, registered only.
    pub purge: bool,
    /// Also inputs of open workspaces.
    pub force: bool,
}

/// What a removal did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoveReport {
    /// Datasets that are not stored any more, or are gone.
    pub datasets: usize,
    /// Artifacts deleted.
    pub artifacts: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Artifacts that stay, since other datasets need them or they lie outside.
    pub kept: usize,
    /// Whether what a dead process left was finished.
    pub resumed: bool,
}

/// An id that follows from content, for names of transactions.
pub fn name_digest<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let mut all = Vec::new();
    for text in texts {
        all.extend_from_slice(&(text.len() as u64).to_le_bytes());
        all.extend_from_slice(text.as_bytes());
    }
    Checksum::of(&all).to_string()[..12].to_owned()
}

/// Told about progress, from many threads.
pub trait StoreProgress: Sync {
    /// A transaction that a dead process left is being finished.
    fn resuming(&self, row: &TransactionRow);
    /// So many artifacts will be written.
    fn start(&self, artifacts: usize);
    /// One more was written.
    fn copied(&self, bytes: u64);
    /// Whether to stop: nothing more is written then, and what was is reverted.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl StoreProgress for NoProgress {
    fn resuming(&self, _: &TransactionRow) {}
    fn start(&self, _: usize) {}
    fn copied(&self, _: u64) {}
}

#[cfg(test)]
mod tests;
