//! What building needs from a repository, as a trait.

use pantler_core::{
    CollectionName, DataId, DatasetId, DatasetTypeName, DimensionRecord, ElementName, TaskLabel,
    Universe,
};

use super::{ExistingOutputs, MissingPrerequisite, prerequisites::lines};
use crate::{dataset::InputArtifact, pipeline::ResolvedTask};

/// Where a graph finds its overall inputs. Input collections are already applied: of
/// datasets with the same type and data ID, it gives the first one only.
pub trait BuildSource {
    /// Why something could not be read.
    type Error: std::error::Error + 'static;

    /// The universe of the repository; must be the pipeline's.
    fn universe(&self) -> &Universe;

    /// The stored datasets of a type, in any order.
    ///
    /// # Errors
    /// If they could not be read.
    fn datasets(&self, dataset_type: &DatasetTypeName) -> Result<Vec<InputDataset>, Self::Error>;

    /// The records of an element, in any order.
    ///
    /// # Errors
    /// If they could not be read.
    fn dimension_records(&self, element: &ElementName)
    -> Result<Vec<DimensionRecord>, Self::Error>;

    /// The stored outputs of quanta of a task that need not be made again, each data ID once, in
    /// the same order whenever it is asked: where a collection has all that it must make, those
    /// of the first such collection; else those of the first that has some. None, if not said
    /// otherwise.
    ///
    /// # Errors
    /// If they could not be read.
    fn existing_outputs(&self, _task: &ResolvedTask) -> Result<Vec<ExistingOutputs>, Self::Error> {
        Ok(Vec::new())
    }
}

/// A dataset that is there before the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputDataset {
    /// Its id.
    pub id: DatasetId,
    /// The RUN that owns it.
    pub run: CollectionName,
    /// Its type.
    pub dataset_type: DatasetTypeName,
    /// Its data ID.
    pub data_id: DataId,
    /// Where its bytes are.
    pub artifact: InputArtifact,
}

/// A graph that could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError<E: std::error::Error + 'static> {
    /// The source has another universe.
    #[error(
        "the pipeline was resolved in universe `{pipeline}`, the inputs are of `{source_name}` or of another version of it"
    )]
    Universe {
        /// The pipeline's.
        pipeline: ElementName,
        /// The source's.
        source_name: ElementName,
    },
    /// A restriction of what the pipeline does not have.
    #[error("no task and no input of the pipeline has dimension `{dimension}`")]
    NoSuchDimension {
        /// The dimension.
        dimension: ElementName,
    },
    /// The datasets of a type could not be read.
    #[error("the datasets of type `{dataset_type}` could not be read")]
    Datasets {
        /// The type.
        dataset_type: DatasetTypeName,
        /// Why.
        source: E,
    },
    /// The existing outputs of a task could not be read.
    #[error("the existing outputs of task `{task}` could not be read")]
    Outputs {
        /// The task.
        task: TaskLabel,
        /// Why.
        source: E,
    },
    /// The records of an element could not be read.
    #[error("the records of dimension `{element}` could not be read")]
    Records {
        /// The element.
        element: ElementName,
        /// Why.
        source: E,
    },
    /// A dataset whose data ID is not one of its type.
    #[error(
        "dataset {id} of type `{dataset_type}` has data ID {data_id}, its type has dimensions {dimensions}"
    )]
    DataId {
        /// The dataset.
        id: DatasetId,
        /// Its type.
        dataset_type: DatasetTypeName,
        /// Its data ID.
        data_id: Box<DataId>,
        /// The dimensions of the type.
        dimensions: String,
    },
    /// Two datasets of one type with the same data ID.
    #[error(
        "datasets {first} and {second} of type `{dataset_type}` have the same data ID {data_id}"
    )]
    Duplicate {
        /// The type.
        dataset_type: DatasetTypeName,
        /// The data ID.
        data_id: Box<DataId>,
        /// One dataset.
        first: DatasetId,
        /// The other.
        second: DatasetId,
    },
    /// Data that implied values should come from, without a record to give them.
    #[error(
        "there is no record of `{element}` for {data_id}, or it lacks a value; it is needed for `{implied}`"
    )]
    MissingRecord {
        /// The element.
        element: ElementName,
        /// The values looked for.
        data_id: String,
        /// The implied dimension.
        implied: ElementName,
    },
    /// Quanta that lack prerequisites.
    #[error("quanta lack prerequisites{}", lines(.0))]
    Prerequisites(Vec<MissingPrerequisite>),
    /// A graph beyond 32-bit counts.
    #[error(
        "the graph has too many quanta, datasets or edges (2^32 each at most); split the inputs"
    )]
    TooLarge,
}
