//! Reading a dataset later, or in part.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write};

use pantler_core::{FileRecord, Location};

use crate::{
    Corruption, Datastore, DatastoreError, StorageError, Written,
    copy::{CopyError, copy},
    verify::Extent,
};

/// A dataset that is read when it is asked for.
///
/// It knows what the record says; whether the artifact is (still) there shows when it is
/// read.
#[derive(Debug, Clone)]
pub struct DeferredRead {
    datastore: Datastore,
    record: FileRecord,
}

impl Datastore {
    /// A handle that reads what a record names on demand.
    pub fn deferred(&self, record: &FileRecord) -> DeferredRead {
        DeferredRead { datastore: self.clone(), record: record.clone() }
    }
}

impl Datastore {
    /// The bytes that a record names, as a stream. They are not checked: whoever copies
    /// them compares size and checksum at the end.
    ///
    /// # Errors
    /// As [`read`](Self::read), but for a checksum that differs.
    pub fn reader(&self, record: &FileRecord) -> Result<Box<dyn io::Read + Send>, DatastoreError> {
        let extent = Extent { offset: record.offset, size: record.size };
        let content = self.open_extent(&record.location, extent)?;
        // One byte more of a whole artifact would show that it grew meanwhile.
        let more = u64::from(record.offset.is_none());
        Ok(Box::new(content.take(record.size.saturating_add(more))))
    }
}

impl DeferredRead {
    /// The record.
    pub const fn record(&self) -> &FileRecord {
        &self.record
    }

    /// The dataset's size in bytes, as recorded.
    pub const fn size(&self) -> u64 {
        self.record.size
    }

    /// Where the dataset's bytes are.
    pub const fn location(&self) -> &Location {
        &self.record.location
    }

    /// The URI of the file or object; see [`Datastore::uri_of`].
    pub fn uri(&self) -> String {
        self.datastore.uri_of(&self.record.location)
    }

    /// Reads the whole, and checks it.
    ///
    /// # Errors
    /// As [`Datastore::read`].
    pub fn read(&self) -> Result<Vec<u8>, DatastoreError> {
        self.datastore.read(&self.record)
    }

    /// Writes the whole to `out`, and checks it at the end: after an error, what was
    /// written must not be used.
    ///
    /// # Errors
    /// As [`Datastore::copy_to`].
    pub fn copy_to(&self, out: &mut dyn Write) -> Result<Written, DatastoreError> {
        self.datastore.copy_to(&self.record, out)
    }

    /// Reads `length` bytes of the dataset from `offset` on.
    ///
    /// The size of the artifact is checked. Its content cannot be: the recorded checksum
    /// is that of the whole. Where damage must not pass, [`read`](Self::read) it all.
    ///
    /// # Errors
    /// [`DatastoreError::Range`] if the dataset has no such bytes, else as
    /// [`read`](Self::read).
    pub fn read_range(&self, offset: u64, length: u64) -> Result<Vec<u8>, DatastoreError> {
        let FileRecord { location, size, .. } = &self.record;
        if offset.checked_add(length).is_none_or(|end| end > *size) {
            let location = location.clone();
            return Err(DatastoreError::Range { location, offset, length, size: *size });
        }
        let failed = |error: io::Error| DatastoreError::Read {
            location: location.clone(),
            source: StorageError::io("read", location.as_str(), error),
        };
        let extent = Extent { offset: self.record.offset, size: *size };
        let mut content = self.datastore.open_extent(location, extent)?;
        let from_here = i64::try_from(offset).map_err(|error| failed(io::Error::other(error)))?;
        content.seek(SeekFrom::Current(from_here)).map_err(failed)?;
        let mut read = Vec::new();
        copy(&mut content.take(length), &mut read).map_err(|error| match error {
            CopyError::Read(error) | CopyError::Write(error) => failed(error),
        })?;
        if read.len() as u64 == length {
            return Ok(read);
        }
        // It was cut off after its size was looked at.
        let found = offset + read.len() as u64;
        let reason = Corruption::Size { expected: *size, found };
        Err(DatastoreError::Corrupt { location: location.clone(), reason })
    }
}
