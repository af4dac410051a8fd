//! What quanta of other RUNs may have made already.
//!
//! A build looks up, for each of its quanta, quanta of committed RUNs that were the same task
//! on the same existing inputs: its *candidates*. Whether one of them is taken over is decided
//! when the quantum would run, from the checksums of the inputs that were made in the
//! meantime. The file between the two is read and written here (`format`).

mod format;

use pantler_core::{Checksum, ChecksumHasher, Location, QuantumId};

pub use self::format::ReuseFileError;
use crate::TakenOver;

/// For each quantum, what may be taken over instead of running it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReuseTable {
    /// Sorted by quantum.
    entries: Vec<(QuantumId, Vec<Candidate>)>,
}

/// A quantum of a committed RUN that may have made what another would make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The quantum.
    pub from: TakenOver,
    /// What its task was.
    pub task: Checksum,
    /// The [`inputs_digest`] of what it read where the other reads what is made in its own
    /// workspace.
    pub inputs: Checksum,
    /// What it made, in the order of the task's outputs.
    pub outputs: Vec<ReusableArtifact>,
    /// What it said, if it is stored.
    pub log: Option<ReusableArtifact>,
}

/// Content that may be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReusableArtifact {
    /// The name of the output in the pipeline.
    pub name: Box<str>,
    /// Where it lies.
    pub location: Location,
    /// Where in the artifact it starts; `None` for all of it.
    pub offset: Option<u64>,
    /// Its size in bytes.
    pub size: u64,
    /// Its checksum.
    pub checksum: Checksum,
}

/// The digest of inputs by what is in them: their checksums, connection by connection.
pub fn inputs_digest(inputs: impl IntoIterator<Item = Checksum>) -> Checksum {
    let mut hasher = ChecksumHasher::new();
    for checksum in inputs {
        hasher.update(checksum.as_bytes());
    }
    hasher.finish()
}

impl ReuseTable {
    /// Of entries in any order; of two of one quantum, the first counts.
    pub fn new(mut entries: Vec<(QuantumId, Vec<Candidate>)>) -> Self {
        entries.sort_by_key(|(quantum, _)| *quantum);
        entries.dedup_by_key(|(quantum, _)| *quantum);
        Self { entries }
    }

    /// This one with what another knows of further quanta.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        Self::new(self.entries)
    }

    /// How many quanta it knows something of.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What may be taken over for a quantum, best first.
    pub fn candidates(&self, quantum: QuantumId) -> &[Candidate] {
        let found = self.entries.binary_search_by_key(&quantum, |(id, _)| *id);
        found.map_or(&[], |at| &self.entries[at].1)
    }
}
