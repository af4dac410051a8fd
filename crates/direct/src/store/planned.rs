//! Artifacts to be stored, before a transaction for them is opened.

use std::{sync::Arc, time::UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::{
    artifacts::Content,
    request::{IdScheme, IngestFile, NewDataset, TransferMode},
    storing::Source,
};
use pantler_core::{
    ArtifactKey, CollectionName, DatasetId, DatasetRef, DirectUri, FileRecord, Location,
};
use pantler_datastore::{Datastore, RunPrefix};

use super::StoreError;
use crate::DirectButler;

/// One artifact to be stored.
pub(crate) struct Planned<'a> {
    /// What it holds; at least one dataset.
    pub(crate) datasets: Vec<PlannedDataset>,
    /// Where its content comes from.
    pub(crate) content: PlannedContent<'a>,
    /// What it must be, where that is known.
    pub(crate) expected: Option<Content>,
}

/// A dataset in an artifact to be stored.
pub(crate) struct PlannedDataset {
    /// The dataset.
    pub(crate) dataset: DatasetRef,
    /// It in words, for messages; tells it from all others of its transaction.
    pub(crate) label: Box<str>,
    /// Its own bytes, if it shares the artifact.
    pub(crate) slice: Option<Box<(u64, Content)>>,
    /// Whether it is registered already, and to be stored again.
    pub(crate) registered: bool,
    /// Whether its id was asked for.
    pub(crate) fixed_id: bool,
}

/// Where the content of an artifact comes from.
pub(crate) enum PlannedContent<'a> {
    /// From memory.
    Bytes(&'a [u8]),
    /// From a file, which is copied or linked.
    File(Source, FileMode),
    /// It lies in the storage already.
    InPlace(ArtifactKey, Source),
    /// It stays outside of the storage.
    Direct(DirectUri, Source),
    /// From another datastore.
    Record(&'a Datastore, Box<FileRecord>, RecordMode),
}

/// How a file is brought into the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileMode {
    Copy,
    Move,
    Hardlink,
    Symlink,
}

/// How an artifact of another repository is brought here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordMode {
    Copy,
    Link(FileMode),
    Direct,
}

impl PlannedContent<'_> {
    /// The user's file, if there is one.
    pub(crate) fn source(&self) -> Option<&Source> {
        match self {
            Self::File(source, _) | Self::InPlace(_, source) | Self::Direct(_, source) => {
                Some(source)
            }
            Self::Bytes(_) | Self::Record(..) => None,
        }
    }

    /// Where it comes from, in words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Bytes(bytes) => format!("content of {} bytes", bytes.len()),
            Self::Record(_, record, _) => record.location.to_string(),
            Self::File(source, _) | Self::InPlace(_, source) | Self::Direct(_, source) => {
                source.path.to_string()
            }
        }
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Record(_, record, _) => record.size,
            Self::File(source, _) | Self::InPlace(_, source) | Self::Direct(_, source) => {
                source.size
            }
        }
    }

    /// Where the artifact is, if it is there already and is not written.
    pub(crate) fn existing(&self) -> Option<Location> {
        match self {
            Self::InPlace(key, _) => Some(key.clone().into()),
            Self::Direct(uri, _) => Some(Location::Direct(uri.clone())),
            Self::Record(_, record, RecordMode::Direct) => Some(record.location.clone()),
            Self::Bytes(_) | Self::File(..) | Self::Record(..) => None,
        }
    }

    /// How the artifact's key ends, if that is not for the storage class to say.
    pub(crate) fn extension(&self) -> Option<String> {
        let path = match self {
            Self::File(source, _) => &*source.path,
            Self::Record(_, record, _) if record.offset.is_none() => record.location.as_str(),
            _ => return None,
        };
        let name = Utf8Path::new(path).file_name()?;
        let last = Utf8Path::new(name).extension()?;
        let packed = ["gz", "bz2", "xz", "zst"].contains(&last);
        let inner = Utf8Path::new(name).file_stem().and_then(|s| Utf8Path::new(s).extension());
        match inner.filter(|inner| packed && inner.chars().all(char::is_alphanumeric)) {
            Some(inner) => Some(format!("{inner}.{last}")),
            None => Some(last.to_owned()),
        }
    }
}

impl Planned<'_> {
    /// It in words: its first dataset.
    pub(crate) fn label(&self) -> String {
        self.datasets.first().map_or_else(String::new, |dataset| dataset.label.to_string())
    }

    /// Whether all of its datasets are registered already.
    pub(crate) fn is_restored(&self) -> bool {
        self.datasets.iter().any(|dataset| dataset.registered)
    }
}

impl PlannedDataset {
    /// A dataset that is to be registered.
    pub(crate) fn new(
        butler: &DirectButler,
        dataset: &NewDataset,
        run: &CollectionName,
        ids: IdScheme,
    ) -> Self {
        let NewDataset { dataset_type, data_id, id } = dataset;
        let id = (*id).or_else(|| ids.derive(dataset_type, data_id, run));
        let dataset = DatasetRef {
            id: id.unwrap_or_else(|| butler.environment().new_dataset()),
            dataset_type: Arc::clone(dataset_type),
            data_id: data_id.clone(),
            run: run.clone(),
        };
        Self {
            label: DirectButler::label(&dataset).into(),
            dataset,
            slice: None,
            registered: false,
            fixed_id: id.is_some(),
        }
    }

    /// A dataset that has its id already, here or in another repository.
    pub(crate) fn existing(dataset: DatasetRef, registered: bool) -> Self {
        let label = format!("{} in {}", DirectButler::label(&dataset), dataset.run).into();
        Self { dataset, label, slice: None, registered, fixed_id: true }
    }

    pub(crate) fn id(&self) -> DatasetId {
        self.dataset.id
    }
}

/// Looks at a file to be ingested. Its slices are read, since their checksums are not
/// those of the file.
pub(super) fn of_file(
    butler: &DirectButler,
    file: &IngestFile,
    run: &CollectionName,
    mode: TransferMode,
    ids: IdScheme,
) -> Result<Planned<'static>, StoreError> {
    let failed = |source| StoreError::Source { path: file.source.clone(), source };
    if mode == TransferMode::Move && file.source.is_symlink() {
        return Err(failed(std::io::Error::other("it is a symbolic link, which cannot be moved")));
    }
    let path = file.source.canonicalize_utf8().map_err(failed)?;
    let source = look_at(&path).map_err(failed)?;
    let mut datasets = Vec::with_capacity(file.datasets.len());
    for wanted in &file.datasets {
        let mut planned = PlannedDataset::new(butler, &wanted.dataset, run, ids);
        if let Some(slice) = wanted.slice {
            let read = read_slice(&path, slice.offset, slice.size).map_err(failed)?;
            planned.slice = Some(Box::new((slice.offset, read)));
        }
        datasets.push(planned);
    }
    if datasets.is_empty() {
        return Err(StoreError::NoDataset { path: file.source.clone() });
    }
    // The checksums of slices are those of the file as it is now: whoever commits must find
    // the same file.
    let mut expected = None;
    if datasets.iter().any(|dataset| dataset.slice.is_some()) {
        expect_apart(&file.source, &datasets)?;
        expected = Some(measure_file(path.as_str())?);
    }
    let content = content_of(butler, &path, source, mode)?;
    Ok(Planned { datasets, content, expected })
}

/// Refuses datasets of one file whose bytes overlap.
fn expect_apart(path: &Utf8Path, datasets: &[PlannedDataset]) -> Result<(), StoreError> {
    let mut slices: Vec<(u64, u64, &str)> = Vec::with_capacity(datasets.len());
    for dataset in datasets {
        let (start, size) =
            dataset.slice.as_deref().map_or((0, u64::MAX), |(start, own)| (*start, own.size));
        slices.push((start, start.saturating_add(size), &dataset.label));
    }
    slices.sort_unstable();
    for pair in slices.windows(2) {
        if pair[1].0 < pair[0].1 {
            let (first, second) = (pair[0].2.to_owned(), pair[1].2.to_owned());
            return Err(StoreError::Overlap { path: path.to_owned(), first, second });
        }
    }
    Ok(())
}

fn content_of(
    butler: &DirectButler,
    path: &Utf8Path,
    source: Source,
    mode: TransferMode,
) -> Result<PlannedContent<'static>, StoreError> {
    let mode = match mode {
        TransferMode::Auto => match key_of(butler, path) {
            Some(key) if is_free(&key) => TransferMode::InPlace,
            _ => TransferMode::Copy,
        },
        mode => mode,
    };
    let file = |mode| Ok(PlannedContent::File(source.clone(), mode));
    match mode {
        TransferMode::Auto | TransferMode::Copy => file(FileMode::Copy),
        TransferMode::Hardlink => file(FileMode::Hardlink),
        // These would take a file away, or lean on one, that belongs to the repository.
        TransferMode::Move | TransferMode::Symlink | TransferMode::Direct
            if is_inside(butler, path) =>
        {
            Err(StoreError::InTheRepository { path: path.to_owned(), mode })
        }
        TransferMode::Move => file(FileMode::Move),
        TransferMode::Symlink => file(FileMode::Symlink),
        TransferMode::InPlace => match key_of(butler, path) {
            Some(key) if is_free(&key) => Ok(PlannedContent::InPlace(key, source)),
            Some(_) => Err(StoreError::OfARun { path: path.to_owned() }),
            None => Err(StoreError::NotInPlace {
                path: path.to_owned(),
                root: butler.root().join(&butler.datastore().config().root),
            }),
        },
        TransferMode::Direct => match DirectUri::of_path(path.as_str()) {
            Ok(uri) => Ok(PlannedContent::Direct(uri, source)),
            Err(error) => Err(StoreError::Source {
                path: path.to_owned(),
                source: std::io::Error::other(error),
            }),
        },
    }
}

/// The key of a file that lies in the storage of a repository.
fn key_of(butler: &DirectButler, path: &Utf8Path) -> Option<ArtifactKey> {
    let root = butler.root().join(&butler.datastore().config().root).canonicalize_utf8().ok()?;
    ArtifactKey::new(path.strip_prefix(root).ok()?.as_str()).ok()
}

/// Whether a file may be ingested where it lies: not an artifact that Pantler wrote, and
/// not in the directory of a RUN, where a workspace deletes what it does not know.
fn is_free(key: &ArtifactKey) -> bool {
    !key.has_write_id() && RunPrefix::of_key(key).is_none()
}

/// Whether a path lies in the repository, whose clean-ups may remove it.
fn is_inside(butler: &DirectButler, path: &Utf8Path) -> bool {
    let root = butler.root().canonicalize_utf8();
    root.is_ok_and(|root| path.starts_with(root)) || key_of(butler, path).is_some()
}

/// What a file is now.
pub(crate) fn look_at(path: &Utf8Path) -> std::io::Result<Source> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0);
    Ok(Source { path: path.as_str().into(), size: metadata.len(), modified })
}

fn read_slice(path: &Utf8Path, offset: u64, size: u64) -> std::io::Result<Content> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let content = measure(&mut file.take(size))?;
    if content.size == size {
        Ok(content)
    } else {
        let end = offset.saturating_add(size);
        Err(std::io::Error::other(format!("it has fewer than {end} bytes")))
    }
}

/// Size and checksum of bytes in memory.
pub(crate) fn of_bytes(bytes: &[u8]) -> Content {
    Content { size: bytes.len() as u64, checksum: pantler_core::Checksum::of(bytes) }
}

/// Size in bytes and checksum of all that a reader gives.
pub(crate) fn measure(reader: &mut dyn std::io::Read) -> std::io::Result<Content> {
    let mut hasher = pantler_core::ChecksumHasher::new();
    let mut chunk = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let n = reader.read(&mut chunk)?;
        if n == 0 {
            return Ok(Content { size, checksum: hasher.finish() });
        }
        hasher.update(&chunk[..n]);
        size += n as u64;
    }
}

/// Size in bytes and checksum of a file.
pub(crate) fn measure_file(path: &str) -> Result<Content, StoreError> {
    let failed = |source| StoreError::Source { path: Utf8PathBuf::from(path), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    measure(&mut file).map_err(failed)
}

/// What is wanted, measured where that is needed.
pub(crate) fn wanted(planned: &Planned<'_>) -> Result<Content, StoreError> {
    if let Some(expected) = planned.expected {
        return Ok(expected);
    }
    match &planned.content {
        PlannedContent::Bytes(bytes) => Ok(of_bytes(bytes)),
        PlannedContent::Record(_, record, _) => {
            Ok(Content { size: record.size, checksum: record.checksum })
        }
        PlannedContent::File(source, _)
        | PlannedContent::InPlace(_, source)
        | PlannedContent::Direct(_, source) => measure_file(&source.path),
    }
}
