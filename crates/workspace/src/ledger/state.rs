//! What all segments of a ledger say together.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{ArtifactKey, Checksum, DataId, DatasetId, DatasetType, OpeningId, Universe};

use super::{
    LedgerError,
    segment::{Said, Segment},
};
use crate::layout;

/// A dataset that lies at its key.
#[derive(Debug, Clone)]
pub struct DoneDataset {
    /// The writer that wrote it.
    pub writer: u32,
    /// Its type.
    pub dataset_type: Arc<DatasetType>,
    /// Its data ID.
    pub data_id: DataId,
    /// Where it lies.
    pub key: ArtifactKey,
    /// Its size in bytes.
    pub size: u64,
    /// The checksum of its bytes.
    pub checksum: Checksum,
}

/// How much is in a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LedgerCounts {
    /// Datasets that a commit stores.
    pub done: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Artifacts that were begun and are not done: somebody is at them, or was cut off.
    pub begun: usize,
    /// Processes that wrote.
    pub writers: usize,
}

/// What all segments say together. It does not depend on the order in which they are read:
/// of two writers that did one dataset, the one with the lower number counts.
#[derive(Debug, Default)]
pub struct LedgerState {
    segments: Vec<Segment>,
    opening: Option<OpeningId>,
    done: HashMap<DatasetId, DoneDataset>,
}

impl LedgerState {
    /// Reads the ledger in the root of a workspace; one that nobody wrote to is empty.
    ///
    /// # Errors
    /// [`LedgerError`] naming file and line if a segment is damaged.
    pub fn read(root: &Utf8Path, universe: &Universe) -> Result<Self, LedgerError> {
        let mut state = Self::default();
        state.read_on(root, universe)?;
        Ok(state)
    }

    /// Reads what was written since.
    pub(super) fn read_on(
        &mut self,
        root: &Utf8Path,
        universe: &Universe,
    ) -> Result<(), LedgerError> {
        let dir = layout::ledger_dir(root);
        for writer in writers(&dir)? {
            let at = match self.segments.binary_search_by_key(&writer, |segment| segment.writer) {
                Ok(at) => at,
                Err(at) => {
                    self.segments.insert(at, Segment::new(writer));
                    at
                }
            };
            let path = layout::ledger_segment(root, writer);
            let segment = &mut self.segments[at];
            let done = &mut self.done;
            segment.read_on(&path, universe, |id, said| note(done, writer, id, said))?;
            let found = segment.opening();
            self.expect_opening(found, path)?;
        }
        Ok(())
    }

    fn expect_opening(
        &mut self,
        found: Option<OpeningId>,
        path: Utf8PathBuf,
    ) -> Result<(), LedgerError> {
        let Some(found) = found else { return Ok(()) };
        let expected = *self.opening.get_or_insert(found);
        if expected == found {
            return Ok(());
        }
        Err(LedgerError::OtherOpening { path, found, expected })
    }

    /// The datasets that are done, in no order.
    pub fn done(&self) -> impl Iterator<Item = (DatasetId, &DoneDataset)> {
        self.done.iter().map(|(id, done)| (*id, done))
    }

    /// One of them.
    pub fn find(&self, dataset: DatasetId) -> Option<&DoneDataset> {
        self.done.get(&dataset)
    }

    pub(crate) fn into_done(self) -> impl Iterator<Item = (DatasetId, DoneDataset)> {
        self.done.into_iter()
    }

    /// How much it is.
    pub fn counts(&self) -> LedgerCounts {
        LedgerCounts {
            done: self.done.len(),
            bytes: self.done.values().map(|done| done.size).sum(),
            begun: self.segments.iter().map(Segment::begun).sum(),
            writers: self.segments.len(),
        }
    }
}

fn note(done: &mut HashMap<DatasetId, DoneDataset>, writer: u32, id: DatasetId, said: Said) {
    let Said::Done { begun, size, checksum } = said else { return };
    let new = DoneDataset {
        writer,
        dataset_type: begun.dataset_type,
        data_id: begun.data_id,
        key: begun.key,
        size,
        checksum,
    };
    match done.entry(id) {
        Entry::Vacant(entry) => drop(entry.insert(new)),
        Entry::Occupied(mut entry) if writer < entry.get().writer => drop(entry.insert(new)),
        Entry::Occupied(_) => {}
    }
}

/// The writers that have segments, by number.
fn writers(dir: &Utf8Path) -> Result<Vec<u32>, LedgerError> {
    let failed = |source| LedgerError::Io { action: "list", path: dir.to_owned(), source };
    let entries = match dir.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut writers = Vec::new();
    for entry in entries {
        writers.extend(layout::ledger_writer(entry.map_err(failed)?.file_name()));
    }
    writers.sort_unstable();
    Ok(writers)
}
