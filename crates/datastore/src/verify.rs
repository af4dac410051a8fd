//! Whether an artifact is what its record says.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write};

use camino::Utf8Path;
use pantler_core::{ArtifactKey, Checksum, DirectUri, FileRecord, Location};

use crate::{
    Corruption, Datastore, DatastoreError, ReadSeek, StorageError, Written,
    copy::{CopyError, HashingWriter, Links, copy, kind_name, open_source},
    error::is_absent,
};

/// What an artifact should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// In bytes.
    pub size: u64,
    /// Of the whole; `None` if its writer did not say.
    pub checksum: Option<Checksum>,
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Whether it is there and has the right size.
    Presence,
    /// Also read it, and compare the checksum.
    Full,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is there and as expected.
    Present {
        /// In bytes.
        size: u64,
        /// Computed from the content at [`Depth::Full`], else `None`.
        checksum: Option<Checksum>,
    },
    /// Nothing is there.
    Missing,
    /// Something else is there.
    Corrupt {
        /// How it differs.
        reason: Corruption,
    },
}

/// Which bytes of an artifact are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// `None`: the whole artifact, which then has exactly `size` bytes.
    pub(crate) offset: Option<u64>,
    pub(crate) size: u64,
}

impl Extent {
    /// What is wrong with an artifact of `found` bytes.
    fn check_size(self, found: u64) -> Result<(), Corruption> {
        let (expected, fits) = match self.offset {
            None => (self.size, found == self.size),
            Some(offset) => {
                let end = offset.saturating_add(self.size);
                (end, found >= end)
            }
        };
        if fits { Ok(()) } else { Err(Corruption::Size { expected, found }) }
    }
}

impl Datastore {
    /// Compares an artifact with what it should be.
    ///
    /// # Errors
    /// [`DatastoreError::Read`] if that cannot be said; what is missing or corrupt is
    /// a verdict, not an error.
    pub fn verify(
        &self,
        key: &ArtifactKey,
        expected: &Expected,
        depth: Depth,
    ) -> Result<Verdict, DatastoreError> {
        let extent = Extent { offset: None, size: expected.size };
        self.verify_extent(&key.clone().into(), extent, expected.checksum.as_ref(), depth)
    }

    /// Compares what a record names with the record: its own bytes, if it shares the
    /// artifact with other datasets.
    ///
    /// # Errors
    /// [`DatastoreError::Read`] if that cannot be said.
    pub fn verify_record(
        &self,
        record: &FileRecord,
        depth: Depth,
    ) -> Result<Verdict, DatastoreError> {
        let extent = Extent { offset: record.offset, size: record.size };
        self.verify_extent(&record.location, extent, Some(&record.checksum), depth)
    }

    /// Reads an artifact in full; `None` if it is missing.
    ///
    /// # Errors
    /// [`DatastoreError::Read`] if it cannot be read.
    pub fn measure(&self, key: &ArtifactKey) -> Result<Option<Written>, DatastoreError> {
        self.measure_at(&key.clone().into())
    }

    /// Reads what is at a location in full; `None` if nothing is there.
    ///
    /// # Errors
    /// [`DatastoreError::Read`] if it cannot be read.
    pub fn measure_at(&self, location: &Location) -> Result<Option<Written>, DatastoreError> {
        let failed = |source| DatastoreError::Read { location: location.clone(), source };
        let mut content = match self.open_at(location) {
            Err(StorageError::Missing { .. }) => return Ok(None),
            content => content.map_err(failed)?,
        };
        let mut sink = io::sink();
        let mut hashing = HashingWriter::new(&mut sink);
        match copy(&mut content, &mut hashing) {
            Ok(_) => Ok(Some(hashing.written())),
            Err(CopyError::Read(error) | CopyError::Write(error)) => {
                Err(failed(StorageError::io("read", location.as_str(), error)))
            }
        }
    }

    fn verify_extent(
        &self,
        location: &Location,
        extent: Extent,
        checksum: Option<&Checksum>,
        depth: Depth,
    ) -> Result<Verdict, DatastoreError> {
        let found = match self.look_at(location) {
            Ok(None) => return Ok(Verdict::Missing),
            Ok(Some(found)) => found,
            Err(StorageError::NotRegular { kind, .. }) => {
                return Ok(Verdict::Corrupt { reason: Corruption::NotRegular { kind } });
            }
            Err(source) => return Err(DatastoreError::Read { location: location.clone(), source }),
        };
        if let Err(reason) = extent.check_size(found) {
            return Ok(Verdict::Corrupt { reason });
        }
        if depth == Depth::Presence {
            return Ok(Verdict::Present { size: extent.size, checksum: None });
        }
        match self.read_extent(location, extent, checksum, &mut io::sink()) {
            Ok(written) => {
                Ok(Verdict::Present { size: written.size, checksum: Some(written.checksum) })
            }
            Err(DatastoreError::Corrupt { reason, .. }) => Ok(Verdict::Corrupt { reason }),
            // It went away since it was looked at.
            Err(DatastoreError::Missing { .. }) => Ok(Verdict::Missing),
            Err(error) => Err(error),
        }
    }

    /// Writes the bytes of `extent` to `out` and checks them against `checksum`.
    pub(crate) fn read_extent(
        &self,
        location: &Location,
        extent: Extent,
        checksum: Option<&Checksum>,
        out: &mut dyn Write,
    ) -> Result<Written, DatastoreError> {
        let corrupt = |reason| DatastoreError::Corrupt { location: location.clone(), reason };
        let content = self.open_extent(location, extent)?;
        let mut hashing = HashingWriter::new(out);
        // One byte more of a whole artifact would show that it grew meanwhile.
        let limit = extent.size.saturating_add(u64::from(extent.offset.is_none()));
        copy(&mut content.take(limit), &mut hashing).map_err(|error| match error {
            CopyError::Read(error) => DatastoreError::Read {
                location: location.clone(),
                source: StorageError::io("read", location.as_str(), error),
            },
            CopyError::Write(source) => {
                DatastoreError::Output { location: location.clone(), source }
            }
        })?;
        let written = hashing.written();
        if written.size != extent.size {
            let (expected, found) = (extent.size, written.size);
            return Err(corrupt(Corruption::Size { expected, found }));
        }
        match checksum {
            Some(expected) if *expected != written.checksum => {
                Err(corrupt(Corruption::Checksum { expected: *expected, found: written.checksum }))
            }
            _ => Ok(written),
        }
    }

    /// Opens what is at a location, and goes to the first byte of `extent`, which is
    /// inside.
    pub(crate) fn open_extent(
        &self,
        location: &Location,
        extent: Extent,
    ) -> Result<Box<dyn ReadSeek>, DatastoreError> {
        let corrupt = |reason| DatastoreError::Corrupt { location: location.clone(), reason };
        let failed = |source| DatastoreError::Read { location: location.clone(), source };
        let io_failed = |error| failed(StorageError::io("read", location.as_str(), error));
        let mut content = match self.open_at(location) {
            Err(StorageError::Missing { .. }) => {
                return Err(DatastoreError::Missing { location: location.clone() });
            }
            Err(StorageError::NotRegular { kind, .. }) => {
                return Err(corrupt(Corruption::NotRegular { kind }));
            }
            content => content.map_err(failed)?,
        };
        // Before anything is read: a damaged record must not make us take memory for
        // more than there is.
        let found = content.seek(SeekFrom::End(0)).map_err(io_failed)?;
        extent.check_size(found).map_err(corrupt)?;
        content.seek(SeekFrom::Start(extent.offset.unwrap_or(0))).map_err(io_failed)?;
        Ok(content)
    }

    /// Opens what is at a location.
    pub(crate) fn open_at(&self, location: &Location) -> Result<Box<dyn ReadSeek>, StorageError> {
        match location {
            Location::Artifact(key) => self.storage().open(key),
            Location::Direct(uri) => open_direct(uri),
        }
    }

    /// The size of what is at a location, in bytes; `None` if nothing is there.
    pub(crate) fn look_at(&self, location: &Location) -> Result<Option<u64>, StorageError> {
        match location {
            Location::Artifact(key) => self.storage().size(key),
            Location::Direct(uri) => match std::fs::metadata(uri.path()) {
                Ok(there) if there.is_file() => Ok(Some(there.len())),
                Ok(there) => Err(StorageError::NotRegular {
                    path: uri.path().to_owned(),
                    kind: kind_name(there.file_type()),
                }),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(StorageError::io("look at", uri.path(), error)),
            },
        }
    }
}

/// Opens a file outside of the storage.
fn open_direct(uri: &DirectUri) -> Result<Box<dyn ReadSeek>, StorageError> {
    match open_source(Utf8Path::new(uri.path()), Links::Follow) {
        Ok(file) => Ok(Box::new(file)),
        Err(DatastoreError::NotRegular { path, kind }) => {
            Err(StorageError::NotRegular { path: path.into_string(), kind })
        }
        Err(DatastoreError::Source { path, source }) if is_absent(&source) => {
            Err(StorageError::Missing { path: path.into_string() })
        }
        Err(DatastoreError::Source { path, source }) => Err(StorageError::io("open", path, source)),
        Err(other) => Err(StorageError::io("open", uri.path(), io::Error::other(other))),
    }
}
