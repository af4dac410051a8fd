//! What vanished or rotted is unstored before it is stored again.

use pantler_butler::{removal::Removal, transaction::TransactionKind as _};
use pantler_core::{DatasetId, FileRecord, TransactionName, transaction::Closing};

use super::{StoreError, Work};
use crate::{CloseOptions, DirectButler};

impl DirectButler {
    /// Finishes what a killed call left of taking lost artifacts away.
    pub(super) fn finish_unstoring(&self, work: &Work<'_>) -> Result<(), StoreError> {
        let Some(name) = name_of_unstoring(work.name) else { return Ok(()) };
        match self.open_row(Some(&name))? {
            Some(row) if row.kind == Removal::KIND => {}
            _ => return Ok(()),
        }
        let options = CloseOptions { take_over: work.options.take_over, ..CloseOptions::default() };
        match self.close(&name, Closing::Commit, options) {
            Ok(_) => Ok(()),
            Err(error) => Err(StoreError::NotClosed { what: work.what, source: Box::new(error) }),
        }
    }

    /// Takes the records of artifacts that vanished or rotted away, and what is left of
    /// the artifacts: their datasets are registered only, until they are stored again.
    pub(super) fn unstore_lost(
        &self,
        work: &Work<'_>,
        lost: &[(DatasetId, Vec<FileRecord>)],
    ) -> Result<(), StoreError> {
        let (what, name) = (work.what, name_of_unstoring(work.name));
        match self.unstore_seen(name.as_ref(), lost) {
            Ok(()) => Ok(()),
            Err(crate::RemoveError::Butler(error)) => Err(error.into()),
            Err(crate::RemoveError::NotClosed { source }) => {
                Err(StoreError::NotClosed { what, source })
            }
            Err(other) => Err(StoreError::Undone { what, source: other.into() }),
        }
    }
}

/// What taking lost artifacts away is called before storing them again, so that the same
/// call finishes it; `None` if the storing has no name that comes again, or a very long one.
fn name_of_unstoring(name: Option<&TransactionName>) -> Option<TransactionName> {
    TransactionName::new(format!("{}/unstore", name?)).ok()
}
