//! What was not built, and why.

use std::fmt;

use pantler_core::{DatasetTypeName, ElementName, KeyValue, TaskLabel};

/// How many data IDs are kept as examples.
pub(super) const EXAMPLES: usize = 5;

/// Quanta of one task that cannot run for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// The task.
    pub task: TaskLabel,
    /// Why.
    pub reason: PruneReason,
    /// How many there are, as far as their data IDs can be told apart.
    pub count: u64,
    /// The first few.
    pub examples: Vec<PartialDataId>,
}

/// Why a quantum cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PruneReason {
    /// An input has no dataset for it.
    MissingInput {
        /// The connection.
        input: String,
        /// Its dataset type.
        dataset_type: DatasetTypeName,
        /// The task that should have made it; `None` for an overall input.
        producer: Option<TaskLabel>,
    },
    /// An input has fewer datasets for it than its minimum.
    TooFew {
        /// The connection.
        input: String,
        /// Its dataset type.
        dataset_type: DatasetTypeName,
        /// How many it needs.
        minimum: u32,
    },
    /// Each input has datasets that fit, but none that fit together.
    NoCombination,
    /// No input says for which values it runs, and there are no dimension records.
    NoRecords {
        /// The dimension.
        element: ElementName,
    },
}

/// The values of a data ID that are known: all of them, unless the missing input was
/// to give the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialDataId(pub Vec<(ElementName, KeyValue)>);

impl PartialDataId {
    /// Whether nothing is known of it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for PartialDataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("{}");
        }
        for (i, (name, value)) in self.0.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PruneReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingInput { input, dataset_type, producer: None } => {
                write!(f, "no dataset of type `{dataset_type}` for input `{input}`")
            }
            Self::MissingInput { input, dataset_type, producer: Some(task) } => {
                write!(f, "task `{task}` makes no `{dataset_type}` for input `{input}`")
            }
            Self::TooFew { input, dataset_type, minimum } => {
                write!(
                    f,
                    "fewer than {minimum} datasets of type `{dataset_type}` for input `{input}`"
                )
            }
            Self::NoCombination => f.write_str("its inputs do not fit together"),
            Self::NoRecords { element } => {
                write!(f, "there are no records of dimension `{element}`, and no input names any")
            }
        }
    }
}

/// `daily: 2 quanta pruned: no dataset of type `readings` for input `temperatures` (city=oslo month=1, …)`.
impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.count == 1 { "quantum" } else { "quanta" };
        write!(f, "{}: {} {noun} pruned: {}", self.task, self.count, self.reason)?;
        if self.examples.iter().all(PartialDataId::is_empty) {
            return Ok(());
        }
        f.write_str(" (")?;
        for (i, example) in self.examples.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{example}")?;
        }
        if self.count > self.examples.len() as u64 {
            f.write_str(", …")?;
        }
        f.write_str(")")
    }
}
