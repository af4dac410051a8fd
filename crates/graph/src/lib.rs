//! Pipelines and quantum graphs: building, file formats.
//!
//! The way through: [`Pipeline::from_yaml`] reads and checks a pipeline file;
//! [`Pipeline::resolve`] finds its dataset types in a universe and a registry
//! (given as a function); [`build`] joins the existing inputs (given as a
//! [`BuildSource`]) into a [`QuantumGraph`]; [`write()`] and [`read`] put it on disk
//! and back, and [`GraphReader`] reads one quantum without the rest.
//!
//! - `pipeline`: tasks, placeholders, faults with file, line and key
//! - `build`: relations over interned values, joins, pruning
//! - `graph`: the graph in memory, by index
//! - `format`: the `.qg` file, version 1 (its layout is described there)
//! - `export`: JSON, `GraphML`, DOT, Mermaid, SVG
//!
//! Nothing here touches a file system, a database or a clock.

mod build;
mod dataset;
mod export;
mod format;
mod graph;
mod pipeline;
#[cfg(test)]
mod testing;
mod values;

pub use build::{BuildError, BuildSource, InputDataset, PartialDataId, PruneReason, Pruned, build};
pub use dataset::{DatasetOrigin, GraphDataset, InputArtifact};
pub use export::{ExportError, ExportFormat, PICTURE_LIMIT, export_graph, export_pipeline};
pub use format::{
    AddressRow, AddressTable, GraphCounts, GraphFileError, GraphReader, StoredInputs, StoredOutput,
    StoredQuantum, read, write,
};
pub use graph::{
    DatasetIndex, GraphMetadata, QuantumGraph, QuantumIndex, QuantumInputs, QuantumView,
};
pub use pipeline::{
    Bindings, CommandTemplate, ConfigValue, ExpandError, Fault, FaultKind, InputDefinition,
    OutputDefinition, Pipeline, PipelineError, ResolvedInput, ResolvedOutput, ResolvedPipeline,
    ResolvedTask, TaskBody, TaskDefinition, Template, TemplateError,
};
