//! Pipelines and quantum graphs: building, file formats.
//!
//! The way through: [`Pipeline::from_files`] reads and checks a pipeline file and what it
//! imports (given as a function), with what was said on top of it ([`Choices`]);
//! [`Pipeline::resolve`] finds its dataset types in a universe and a registry
//! (given as a function); [`build`] joins the existing inputs (given as a
//! [`BuildSource`]) into a [`QuantumGraph`]; [`write()`] and [`read`] put it on disk
//! and back, and [`GraphReader`] reads one quantum without the rest.
//!
//! - `pipeline`: tasks, placeholders, faults with file, line and key
//! - `build`: relations over interned values, joins, pruning
//! - `graph`: the graph in memory, by index
//! - `merge`: several graphs of one workspace as one
//! - `format`: the `.qg` file, version 1 (its layout is described there)
//! - `provenance`: what happened in a RUN, as a file of which parts are read
//! - `export`: JSON, `GraphML`, DOT, Mermaid, SVG
//! - `expression`: which quanta and datasets are meant, as people say it
//!
//! Nothing here touches a file system, a database or a clock.

mod build;
mod dataset;
mod export;
mod expression;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod graph;
mod merge;
mod pipeline;
mod provenance;
mod reuse;
#[cfg(test)]
mod testing;
mod values;

pub use build::{
    BuildError, BuildScope, BuildSource, ExistingOutputs, Explanation, Finding, InputDataset,
    LackedInput, MissingInput, MissingPrerequisite, PartialDataId, PruneReason, Pruned, Skipped,
    build, build_part, explain, needed_outputs, outline_part,
};
pub use dataset::{DatasetOrigin, GraphDataset, InputArtifact};
pub use export::{
    ExportError, ExportFormat, PICTURE_LIMIT, export_graph, export_pipeline, export_provenance,
};
pub use expression::{
    Constraints, DatasetState, EvaluateError, ExecutionStatus, Expression, ExpressionError,
    ExpressionGraph, GraphNode, NodeGroup, NodeKind, PredictedGraph,
};
pub use format::{
    AddressRow, AddressTable, GraphCounts, GraphFileError, GraphReader, StoredInputs, StoredOutput,
    StoredQuantum, read, read_metadata, write,
};
pub use graph::{
    DatasetIndex, GraphMetadata, GraphScope, QuantumGraph, QuantumIndex, QuantumInputs, QuantumView,
};
pub use merge::MergeError;
pub use pipeline::{
    Bindings, Choices, CommandTemplate, ConfigChoice, ConfigFile, ConfigValue, ContractError,
    ExpandError, Fault, FaultKind, GivenValue, InitDefinition, InputDefinition, OutputDefinition,
    ParameterChoice, Pipeline, PipelineError, PipelineText, ReadFile, ResolvedInput,
    ResolvedOutput, ResolvedPipeline, ResolvedTask, TaskBody, TaskDefinition, Template,
    TemplateError, config_json, named_files, task_fingerprint,
};
pub use provenance::{
    Attempt, AttemptEnd, DescribedDataset, DescribedQuantum, ExecutionRecords, PROVENANCE_FORMAT,
    ProvenanceCounts, ProvenanceDataset, ProvenanceError, ProvenanceGraph, ProvenanceQuantum,
    ProvenanceReader, ProvenanceSource, ProvenanceTask, ProvenanceType, ProvenanceView,
    QuantumExecution, RUN_PROVENANCE, RUN_PROVENANCE_BY, RunNode, Runner, TakenOver,
    write_provenance, write_provenance_of,
};
pub use reuse::{Candidate, ReusableArtifact, ReuseFileError, ReuseTable, inputs_digest};
