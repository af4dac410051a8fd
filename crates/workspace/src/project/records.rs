//! Files of dimension records that a project names.

use camino::Utf8Path;
use pantler_core::{DimensionRecord, Universe};
use pantler_direct::{RecordFileError, read_record_file};

use super::ProjectError;

/// Reads a record file.
///
/// # Errors
/// [`ProjectError`] naming the file and the record.
pub fn read(path: &Utf8Path, universe: &Universe) -> Result<Vec<DimensionRecord>, ProjectError> {
    Ok(read_record_file(path, universe)?)
}

impl From<RecordFileError> for ProjectError {
    fn from(error: RecordFileError) -> Self {
        match error {
            RecordFileError::Io { path, source } => Self::Io { path, source },
            RecordFileError::Syntax { path, reason } => Self::Syntax { path, reason },
            RecordFileError::Version { path, found, supported } => {
                Self::Version { path, found, supported }
            }
            RecordFileError::Invalid { path, reason } => Self::Invalid { path, reason },
            error @ RecordFileError::Ending(_) => Self::Record(error),
        }
    }
}
