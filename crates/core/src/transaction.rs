//! The rows of artifact transactions as values (DMTN-249 §3.3).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{CollectionName, OpeningId, Tai, TransactionName};

/// A process on a machine, as far as others can tell whether it still lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The machine.
    pub host: String,
    /// Changes with each boot of the machine.
    pub boot_id: String,
    /// The process id on it.
    pub pid: u32,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// What a closing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Closing {
    /// Do it all, or stay open.
    Commit,
    /// Undo it all, or stay open.
    Revert,
    /// Keep what is whole, drop what is not.
    Abandon,
}

impl Closing {
    /// The verb: `commit`, `revert`, `abandon`.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Revert => "revert",
            Self::Abandon => "abandon",
        }
    }

    /// How a transaction ended that was closed so.
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Commit => "committed",
            Self::Revert => "reverted",
            Self::Abandon => "abandoned",
        }
    }

    /// The closing with this [verb](Self::verb).
    pub fn from_verb(verb: &str) -> Option<Self> {
        [Self::Commit, Self::Revert, Self::Abandon].into_iter().find(|c| c.verb() == verb)
    }

    /// The closing with this [outcome](Self::outcome).
    pub fn from_outcome(outcome: &str) -> Option<Self> {
        [Self::Commit, Self::Revert, Self::Abandon].into_iter().find(|c| c.outcome() == outcome)
    }
}

/// An open artifact transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRow {
    /// Its name, unique among the open ones.
    pub name: TransactionName,
    /// Its kind, which says how to decode `data`.
    pub kind: String,
    /// The kind's manifest as canonical JSON.
    pub data: String,
    /// Who opened it.
    pub owner: String,
    /// Which opening this is; a later one of the same name has another id.
    pub opening: OpeningId,
    /// Counts claims: only the holder of the current attempt may close.
    pub attempt: u32,
    /// What the current claim is for; `None` while the opener works.
    pub closing: Option<Closing>,
    /// The process that holds the current attempt.
    pub process: Process,
    /// When it was opened.
    pub opened_at: Tai,
    /// The version of the datastore configuration it was opened with.
    pub config_version: u32,
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedRow {
    /// Which opening.
    pub opening: OpeningId,
    /// Its name.
    pub name: TransactionName,
    /// How it was closed.
    pub closing: Closing,
    /// When.
    pub at: Tai,
}

/// The RUNs that a transaction locks or reads (DMTN-249 §3.3.4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunLocks {
    /// Changed by this transaction alone.
    pub modified: Vec<CollectionName>,
    /// Inserted into, beside others that do the same.
    pub insert_only: Vec<CollectionName>,
    /// Read by an open workspace: not removed without force.
    pub inputs: Vec<CollectionName>,
}
