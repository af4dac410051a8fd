//! What the repository must have before a ledger can be committed.

use std::collections::{BTreeSet, HashSet};

use camino::Utf8Path;
use pantler_core::{CollectionName, DataId};
use pantler_direct::DirectButler;
use pantler_registry::{Reader, RegistryError};

use super::{LedgerError, LedgerState, LedgerTypes};
use crate::WorkspaceError;

/// Refuses a commit that the database would refuse, before anything is touched: dataset types
/// and dimension records must be there.
///
/// # Errors
/// [`LedgerError::UnknownTypes`], [`LedgerError::OtherType`] or [`LedgerError::MissingRecord`].
pub(crate) fn expect_ready(
    butler: &DirectButler,
    run: &CollectionName,
    root: &Utf8Path,
) -> Result<(), WorkspaceError> {
    let Some(types) = LedgerTypes::read(root)? else { return Ok(()) };
    let state = LedgerState::read(root, types.universe())?;
    let registered = butler.registry().read(Reader::dataset_types)?;
    let mut unknown = BTreeSet::new();
    let mut data_ids: HashSet<&DataId> = HashSet::new();
    for (_, done) in state.done() {
        match registered.iter().find(|known| known.name == done.dataset_type.name) {
            Some(known) => {
                known.check_same(&done.dataset_type).map_err(LedgerError::OtherType)?;
                data_ids.insert(&done.data_id);
            }
            None => drop(unknown.insert(done.dataset_type.name.clone())),
        }
    }
    if !unknown.is_empty() {
        let names = unknown.into_iter().collect();
        return Err(LedgerError::UnknownTypes { run: run.clone(), names }.into());
    }
    let mut data_ids: Vec<DataId> = data_ids.into_iter().cloned().collect();
    // The same one is named each time.
    data_ids.sort_by_cached_key(ToString::to_string);
    match butler.registry().read(|reader| reader.expect_records(&data_ids)) {
        Err(error @ RegistryError::MissingDimensionRecord { .. }) => {
            let source = Box::new(error);
            Err(LedgerError::MissingRecord { run: run.clone(), source }.into())
        }
        checked => Ok(checked?),
    }
}
