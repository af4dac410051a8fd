//! The repository as it should be, in memory.

use std::collections::{BTreeMap, BTreeSet};

use pantler::core::{
    DatasetId, OpeningId, TransactionName,
    transaction::{Closing, Process},
};

use super::operation::Cell;

/// The name of a transaction that takes one that nobody else has, until it is seen.
pub(super) const UNNAMED: &str = "";

/// What is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) runs: BTreeSet<u8>,
    pub(super) datasets: BTreeMap<Cell, Dataset>,
    pub(super) tags: BTreeMap<u8, BTreeSet<DatasetId>>,
    pub(super) chains: BTreeMap<u8, Vec<u8>>,
    pub(super) open: BTreeMap<String, Open>,
    /// Files in the storage that nobody owns.
    pub(super) strays: BTreeSet<String>,
}

/// A registered dataset.
#[derive(Debug, Clone)]
pub(super) struct Dataset {
    /// `None` until it is seen.
    pub(super) id: Option<DatasetId>,
    pub(super) state: State,
}

/// Exactly one of three.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    Stored(Stored),
    Registered,
    /// By the open transaction of this name.
    Managed(String),
}

/// Where a stored dataset is, and what.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    /// `None` until it is seen.
    pub(super) location: Option<String>,
    /// Where it starts, if it shares the artifact.
    pub(super) offset: Option<usize>,
    pub(super) content: Vec<u8>,
    /// What is at the location now; `None` if somebody deleted it.
    pub(super) now: Option<Vec<u8>>,
}

/// An open transaction.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) kind: &'static str,
    pub(super) modified: BTreeSet<u8>,
    pub(super) inserting: BTreeSet<u8>,
    pub(super) cells: BTreeSet<Cell>,
    pub(super) work: Work,
    /// What the last claim was for.
    pub(super) began: Option<Closing>,
    /// What it may be for as well, until it is seen.
    pub(super) may: Vec<Option<Closing>>,
    /// `None` until it is seen.
    pub(super) opening: Option<OpeningId>,
    pub(super) attempt: u32,
    pub(super) holder: Process,
}

#[derive(Debug, Clone)]
pub(super) enum Work {
    Storing { items: Vec<Item>, made: BTreeSet<u8> },
    Removal { extent: Extent, artifacts: Vec<Artifact> },
}

/// An artifact to be stored.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) parts: Vec<Part>,
    /// Where it is, if the transaction does not write it.
    pub(super) place: Option<String>,
    /// Size and time of the file that it is made from.
    pub(super) source: Option<(u64, i64)>,
    pub(super) expected: Option<Vec<u8>>,
}

/// A dataset in an artifact.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) cell: Cell,
    pub(super) content: Vec<u8>,
    pub(super) offset: Option<usize>,
    pub(super) registered: bool,
}

/// What a removal leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Unstore,
    Purge,
    Run,
}

/// An artifact to be deleted, or to be left because others need it.
#[derive(Debug, Clone)]
pub(super) struct Artifact {
    pub(super) location: String,
    pub(super) doomed: bool,
    pub(super) stored: Vec<(Cell, Stored)>,
}

/// How a RUN is locked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Locks {
    pub(super) modified: bool,
    pub(super) inserting: bool,
}

impl Locks {
    pub(super) fn any(self) -> bool {
        self.modified || self.inserting
    }
}

impl Stored {
    pub(super) fn is_direct(&self) -> bool {
        self.location.as_deref().is_some_and(|location| location.starts_with("file:"))
    }

    /// Whether it can be read.
    pub(super) fn is_whole(&self) -> bool {
        let Some(now) = &self.now else { return false };
        match self.offset {
            None => *now == self.content,
            Some(offset) => now.get(offset..offset + self.content.len()) == Some(&self.content[..]),
        }
    }

    /// Whether something of this size can hold it.
    pub(super) fn fits(&self, size: usize) -> bool {
        match self.offset {
            None => size == self.content.len(),
            Some(offset) => offset + self.content.len() <= size,
        }
    }
}

impl Model {
    pub(super) fn stored(&self) -> impl Iterator<Item = (Cell, &Stored)> {
        self.datasets.iter().filter_map(|(cell, dataset)| match &dataset.state {
            State::Stored(stored) => Some((*cell, stored)),
            _ => None,
        })
    }

    pub(super) fn id(&self, cell: Cell) -> Option<DatasetId> {
        self.datasets.get(&cell)?.id
    }

    pub(super) fn state(&self, cell: Cell) -> Option<&State> {
        self.datasets.get(&cell).map(|dataset| &dataset.state)
    }

    pub(super) fn locks(&self, run: u8) -> Locks {
        Locks {
            modified: self.open.values().any(|open| open.modified.contains(&run)),
            inserting: self.open.values().any(|open| open.inserting.contains(&run)),
        }
    }

    /// Whether datasets other than these have the artifact at a location.
    pub(super) fn is_named(&self, location: &str, but: &BTreeSet<Cell>) -> bool {
        self.stored().any(|(cell, stored)| {
            stored.location.as_deref() == Some(location) && !but.contains(&cell)
        })
    }

    pub(super) fn is_tagged(&self, cell: Cell) -> bool {
        let Some(id) = self.id(cell) else { return false };
        self.tags.values().any(|members| members.contains(&id))
    }

    pub(super) fn is_chained(&self, run: u8) -> bool {
        self.chains.values().any(|runs| runs.contains(&run))
    }

    pub(super) fn set(&mut self, cell: Cell, state: State) {
        match self.datasets.get_mut(&cell) {
            Some(dataset) => dataset.state = state,
            None => drop(self.datasets.insert(cell, Dataset { id: None, state })),
        }
    }

    /// Drops RUNs that a transaction made, if nobody uses them.
    pub(super) fn drop_unused(&mut self, made: &BTreeSet<u8>) {
        for run in made {
            let used = self.datasets.keys().any(|(at, _)| at == run)
                || self.is_chained(*run)
                || self.locks(*run).any();
            if !used {
                self.runs.remove(run);
            }
        }
    }

    /// An open transaction, by whom it is not known yet.
    pub(super) fn insert_open(&mut self, name: &str, open: Open) {
        for run in &open.inserting {
            self.runs.insert(*run);
        }
        if let Work::Storing { items, .. } = &open.work {
            for place in items.iter().filter_map(|item| item.place.as_ref()) {
                self.strays.remove(place);
            }
        }
        for cell in &open.cells {
            self.set(*cell, State::Managed(name.to_owned()));
        }
        self.open.insert(name.to_owned(), open);
    }

    pub(super) fn name(number: u8) -> TransactionName {
        TransactionName::new(format!("n{number}")).unwrap()
    }
}
