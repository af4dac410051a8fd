//! Writing the artifacts of an open transaction.

use std::sync::atomic::{AtomicU64, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::{
    artifacts::Content,
    request::StoreProgress,
    storing::{Item, Role, Source, Storing},
    transaction::Open,
};
use pantler_core::{ArtifactKey, FileRecord, Location, WriteId};
use pantler_datastore::{Datastore, DatastoreError, LinkKind, WriteBatch, Written};
use rayon::prelude::*;

use super::{
    StoreError,
    planned::{FileMode, Planned, PlannedContent, RecordMode, measure_file, wanted},
};
use crate::{ButlerError, DirectButler};

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Bytes of all artifacts that are whole.
    pub(super) bytes: u64,
    /// Those that could not be written, in words, with the reason.
    pub(super) failed: Vec<(String, String)>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum WriteFailure {
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
    #[error(transparent)]
    Store(Box<StoreError>),
    #[error("{path} changed while it was being stored")]
    Changed { path: String },
    #[error("{location} is not what its repository says it is")]
    NotAsRecorded { location: String },
    #[error("it was asked to stop")]
    Stopped,
}

impl From<StoreError> for WriteFailure {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

/// Writes every artifact to its key at this attempt, unless an earlier attempt left a
/// whole one with the same content; flushed when this returns. `planned` is in the order
/// of the items. After the first failure nothing more is begun, unless it is to keep going.
pub(super) fn write_all<R: Role>(
    butler: &DirectButler,
    open: &mut Open<Storing<R>>,
    planned: &[Planned<'_>],
    keep_going: bool,
    progress: &dyn StoreProgress,
) -> Result<Outcome, Box<dyn std::error::Error + Send + Sync>> {
    let (opening, attempt) = (open.opening(), open.attempt());
    let writes = Storing::<R>::write_ids(opening, attempt);
    let items = open.transaction_mut().items_mut();
    progress.start(items.len());
    let datastore = butler.datastore();
    let batch = datastore.begin_batch()?;
    let bytes = AtomicU64::new(0);
    // Noted in the items, not collected: there may be millions.
    let write_one = |(item, planned): (&mut Item, &Planned<'_>)| {
        if progress.is_stopped() {
            return Err(WriteFailure::Stopped);
        }
        match write_item(datastore, &batch, item, planned, &writes, attempt) {
            Ok(written) => {
                progress.copied(written.1.size);
                bytes.fetch_add(written.1.size, Ordering::Relaxed);
                item.written = Some(written);
                Ok(())
            }
            Err(error) => {
                // It may be staged in full, and not be what was asked for.
                if let Some(key) = key_of(item, &writes) {
                    batch.withdraw(&key);
                }
                if keep_going {
                    item.failed = true;
                }
                Err(error)
            }
        }
    };
    let mut failures: Vec<(String, WriteFailure)> = Vec::new();
    let stopped = if keep_going {
        let failed = |(item, planned): (&mut Item, &Planned<'_>)| {
            let error = write_one((&mut *item, planned)).err()?;
            Some((item.label().to_owned(), error))
        };
        failures = items.par_iter_mut().zip(planned).filter_map(failed).collect();
        let stopped = |(_, error): &(String, WriteFailure)| matches!(error, WriteFailure::Stopped);
        failures.iter().any(stopped).then_some(WriteFailure::Stopped)
    } else {
        let written = match (&mut *items, planned) {
            // A pool of threads is no use for one.
            ([item], [planned]) => write_one((item, planned)),
            (items, planned) => items.par_iter_mut().zip(planned).try_for_each(write_one),
        };
        written.err()
    };
    if let Some(error) = stopped {
        batch.discard()?;
        return Err(error.into());
    }
    batch.publish()?;
    flush_others(datastore, items, planned, &writes)?;
    let in_words = |(label, error): (String, WriteFailure)| (label, chain(&error));
    let failed = failures.into_iter().map(in_words).collect();
    Ok(Outcome { bytes: bytes.into_inner(), failed })
}

/// An error with its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// A link stands at its key at once, and a file in place was written by somebody else.
fn flush_others(
    datastore: &Datastore,
    items: &[Item],
    planned: &[Planned<'_>],
    writes: &[WriteId],
) -> Result<(), DatastoreError> {
    let Some(write) = writes.first() else { return Ok(()) };
    let linked = |(item, planned): (&Item, &Planned<'_>)| match &planned.content {
        PlannedContent::InPlace(key, _) => Some(key.clone()),
        content if is_linked(content) => item.location.key()?.at(write),
        _ => None,
    };
    let keys: Vec<ArtifactKey> = items.iter().zip(planned).filter_map(linked).collect();
    let mut there = Vec::with_capacity(keys.len());
    for key in keys {
        if datastore.size(&key)?.is_some() {
            there.push(key);
        }
    }
    if there.is_empty() { Ok(()) } else { datastore.flush(&there) }
}

fn is_linked(content: &PlannedContent<'_>) -> bool {
    match content {
        PlannedContent::File(_, mode) | PlannedContent::Record(_, _, RecordMode::Link(mode)) => {
            *mode != FileMode::Copy
        }
        _ => false,
    }
}

fn write_item(
    datastore: &Datastore,
    batch: &WriteBatch<'_>,
    item: &Item,
    planned: &Planned<'_>,
    writes: &[WriteId],
    attempt: u32,
) -> Result<(u32, Content), WriteFailure> {
    if let Some(kept) = left_by_earlier(datastore, item, planned, writes, attempt)? {
        return Ok(kept);
    }
    let key = || match key_of(item, writes) {
        Some(key) => Ok(key),
        None => Err(StoreError::Butler(ButlerError::Config {
            path: Utf8PathBuf::from(item.location.as_str()),
            reason: "the key carries no write id".to_owned(),
        })),
    };
    let content = match &planned.content {
        PlannedContent::Bytes(bytes) => of(batch.write(&key()?, &mut &**bytes)?),
        PlannedContent::File(source, mode) => {
            let content = store_file(datastore, batch, &source.path, *mode, &key()?)?;
            unchanged(source, content)?
        }
        PlannedContent::InPlace(_, source) | PlannedContent::Direct(_, source) => {
            unchanged(source, measure_file(&source.path)?)?
        }
        PlannedContent::Record(from, record, mode) => {
            store_record(datastore, batch, from, record, *mode, &key)?
        }
    };
    if planned.expected.is_some_and(|expected| expected != content) {
        let location = planned.content.describe();
        return Err(WriteFailure::NotAsRecorded { location });
    }
    Ok((attempt, content))
}

/// The key of an item at the newest attempt.
fn key_of(item: &Item, writes: &[WriteId]) -> Option<ArtifactKey> {
    writes.first().and_then(|write| item.location.key()?.at(write))
}

fn of(written: Written) -> Content {
    Content { size: written.size, checksum: written.checksum }
}

/// What an earlier attempt wrote, if it is what is wanted now.
fn left_by_earlier(
    datastore: &Datastore,
    item: &Item,
    planned: &Planned<'_>,
    writes: &[WriteId],
    attempt: u32,
) -> Result<Option<(u32, Content)>, WriteFailure> {
    if !item.is_written() {
        return Ok(None);
    }
    for (write, earlier) in writes.iter().skip(1).zip((1..attempt).rev()) {
        let Some(key) = item.location.key().and_then(|key| key.at(write)) else { continue };
        let Some(there) = datastore.measure(&key)? else { continue };
        if wanted(planned)? == of(there) {
            return Ok(Some((earlier, of(there))));
        }
    }
    Ok(None)
}

/// Brings a file into the storage. A move is a hard link where that can be, else a copy;
/// the file itself is removed when the rows are in.
fn store_file(
    datastore: &Datastore,
    batch: &WriteBatch<'_>,
    path: &str,
    mode: FileMode,
    key: &ArtifactKey,
) -> Result<Content, WriteFailure> {
    let path = Utf8Path::new(path);
    let kind = match mode {
        FileMode::Copy => return Ok(of(batch.copy_file(path, key)?)),
        FileMode::Symlink => LinkKind::Symbolic,
        FileMode::Hardlink | FileMode::Move => LinkKind::Hard,
    };
    match datastore.link(path, key, kind) {
        Err(error)
            if mode == FileMode::Move && (error.crosses_devices() || error.is_unsupported()) =>
        {
            Ok(of(batch.copy_file(path, key)?))
        }
        linked => Ok(of(linked?)),
    }
}

fn store_record(
    datastore: &Datastore,
    batch: &WriteBatch<'_>,
    from: &Datastore,
    record: &FileRecord,
    mode: RecordMode,
    key: &dyn Fn() -> Result<ArtifactKey, StoreError>,
) -> Result<Content, WriteFailure> {
    if mode == RecordMode::Direct {
        // The file may hold others too: whoever commits looks at the whole of it.
        return match &record.location {
            Location::Direct(uri) => Ok(measure_file(uri.path())?),
            Location::Artifact(_) => Ok(of(from.copy_to(record, &mut std::io::sink())?)),
        };
    }
    let key = key()?;
    if let (RecordMode::Link(mode), None, Some(path)) =
        (mode, record.offset, from.local_path_of(&record.location))
    {
        return store_file(datastore, batch, path.as_str(), mode, &key);
    }
    let mut reader = from.reader(record)?;
    Ok(of(batch.write(&key, &mut reader)?))
}

/// The content, if the file has not changed since it was planned.
fn unchanged(source: &Source, content: Content) -> Result<Content, WriteFailure> {
    let now = super::planned::look_at(Utf8Path::new(&*source.path));
    let same = now.is_ok_and(|now| (now.size, now.modified) == (source.size, source.modified));
    if content.size == source.size && same {
        Ok(content)
    } else {
        Err(WriteFailure::Changed { path: source.path.to_string() })
    }
}
