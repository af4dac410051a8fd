//! Where quanta and datasets stand, as words.

/// How far a quantum got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExecutionStatus {
    /// It did not run, or nothing that counts came of it.
    Built,
    /// It was started, and did not end.
    Started,
    /// It succeeded.
    Succeeded,
    /// It failed, and somebody accepted that: it counts as a success.
    Accepted,
    /// It failed.
    Failed,
    /// It succeeded, and somebody declared that a failure.
    Poisoned,
    /// It did not run since something upstream of it failed.
    Blocked,
}

/// What became of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatasetState {
    /// It is there: an input, or an output that counts.
    Present,
    /// It was not made.
    Predicted,
    /// It was made, but what made it does not count as a success any more.
    Invalidated,
}

impl ExecutionStatus {
    /// All, in the order of their numbers in files.
    pub const ALL: [Self; 7] = [
        Self::Built,
        Self::Started,
        Self::Succeeded,
        Self::Accepted,
        Self::Failed,
        Self::Poisoned,
        Self::Blocked,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Poisoned => "poisoned",
            Self::Blocked => "blocked",
        }
    }

    /// Whether its outputs count.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Succeeded | Self::Accepted)
    }
}

impl DatasetState {
    /// All, in the order of their numbers in files.
    pub const ALL: [Self; 3] = [Self::Present, Self::Predicted, Self::Invalidated];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Predicted => "predicted",
            Self::Invalidated => "invalidated",
        }
    }
}

/// A word of the language about where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StateWord {
    Quantum(ExecutionStatus),
    Dataset(DatasetState),
}

impl StateWord {
    pub(super) fn parse(word: &str) -> Option<Self> {
        let quantum = ExecutionStatus::ALL.into_iter().find(|status| status.name() == word);
        let dataset = DatasetState::ALL.into_iter().find(|state| state.name() == word);
        quantum.map(Self::Quantum).or(dataset.map(Self::Dataset))
    }

    /// The statuses of quanta that it stands for: what was accepted has succeeded too,
    /// and what was poisoned has failed.
    pub(super) fn statuses(self) -> &'static [ExecutionStatus] {
        match self {
            Self::Quantum(ExecutionStatus::Succeeded) => {
                &[ExecutionStatus::Succeeded, ExecutionStatus::Accepted]
            }
            Self::Quantum(ExecutionStatus::Failed) => {
                &[ExecutionStatus::Failed, ExecutionStatus::Poisoned]
            }
            Self::Quantum(ExecutionStatus::Built) => &[ExecutionStatus::Built],
            Self::Quantum(ExecutionStatus::Started) => &[ExecutionStatus::Started],
            Self::Quantum(ExecutionStatus::Accepted) => &[ExecutionStatus::Accepted],
            Self::Quantum(ExecutionStatus::Poisoned) => &[ExecutionStatus::Poisoned],
            Self::Quantum(ExecutionStatus::Blocked) => &[ExecutionStatus::Blocked],
            Self::Dataset(_) => &[],
        }
    }
}
