//! Pipelines and quantum graphs for other programs and for people.
//!
//! JSON and `GraphML` hold everything, logs included. DOT, Mermaid and SVG are pictures:
//! they leave out the logs that no task reads. `docs/graphs.md` describes
//! what is written.
//!
//! - `source`: steps, data and who reads what, of either kind of graph
//! - `quanta`, `tasks`: the two kinds; `provenance`: a part of what was executed
//! - one file per format; `layout` places the nodes of a picture
//!
//! Nodes are written as they are visited, in the order of the graph, so time is linear
//! and no text is held.

mod dot;
mod escape;
mod graphml;
mod json;
mod layout;
mod mermaid;
mod provenance;
mod quanta;
mod source;
mod svg;
mod tasks;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use self::{provenance::Executed, quanta::Quanta, source::Source, tasks::Tasks};
use crate::{ProvenanceView, graph::QuantumGraph, pipeline::ResolvedPipeline};

/// The quanta and datasets that an SVG picture of a quantum graph has at most.
pub const PICTURE_LIMIT: usize = 200;

/// What a graph is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExportFormat {
    /// A document of our own, versioned.
    Json,
    /// `GraphML`, which networkx, Gephi and yEd read.
    GraphMl,
    /// For the programs of Graphviz.
    Dot,
    /// A flowchart for Markdown.
    Mermaid,
    /// A picture.
    Svg,
}

/// A graph could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The writer failed.
    #[error("the graph could not be written")]
    Io(#[from] io::Error),
    /// Nobody could see anything in the picture.
    #[error(
        "the graph has {count} quanta and datasets (without logs), and a picture shows {limit} at most: \
         take json, graphml, dot or mermaid, or the picture of its pipeline"
    )]
    TooLarge {
        /// The quanta and the datasets that are drawn.
        count: usize,
        /// How many are drawn.
        limit: usize,
    },
}

/// Writes a quantum graph: a node for each quantum and each dataset.
///
/// # Errors
/// [`ExportError::TooLarge`] for a picture of more than [`PICTURE_LIMIT`] nodes, of
/// which nothing is written; [`ExportError::Io`] if `out` fails.
pub fn export_graph(
    graph: &QuantumGraph,
    format: ExportFormat,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    match format {
        ExportFormat::Json => json::graph(graph, out)?,
        ExportFormat::GraphMl => graphml::write(&Quanta::new(graph), out)?,
        ExportFormat::Dot => dot::write(&Quanta::new(graph), out)?,
        ExportFormat::Mermaid => mermaid::write(&Quanta::new(graph), out)?,
        ExportFormat::Svg => {
            let source = Quanta::new(graph);
            check_size(&source)?;
            svg::write(&source, out)?;
        }
    }
    Ok(())
}

/// Writes a pipeline: a node for each task and each dataset type.
///
/// # Errors
/// [`ExportError::Io`] if `out` fails.
pub fn export_pipeline(
    pipeline: &ResolvedPipeline,
    format: ExportFormat,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let source = Tasks::new(pipeline);
    match format {
        ExportFormat::Json => json::pipeline(pipeline, out)?,
        ExportFormat::GraphMl => graphml::write(&source, out)?,
        ExportFormat::Dot => dot::write(&source, out)?,
        ExportFormat::Mermaid => mermaid::write(&source, out)?,
        ExportFormat::Svg => svg::write(&source, out)?,
    }
    Ok(())
}

/// Writes a part of provenance: a node for each quantum and each dataset of it. JSON is the
/// caller's: nothing is written for [`ExportFormat::Json`].
///
/// # Errors
/// As [`export_graph`].
pub fn export_provenance(
    view: &ProvenanceView,
    format: ExportFormat,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let source = Executed::new(view);
    match format {
        ExportFormat::Json => {}
        ExportFormat::GraphMl => graphml::write(&source, out)?,
        ExportFormat::Dot => dot::write(&source, out)?,
        ExportFormat::Mermaid => mermaid::write(&source, out)?,
        ExportFormat::Svg => {
            check_size(&source)?;
            svg::write(&source, out)?;
        }
    }
    Ok(())
}

fn check_size(source: &dyn Source) -> Result<(), ExportError> {
    let data = (0..source.datum_count()).filter(|datum| !source.is_unread_log(*datum)).count();
    let count = source.step_count() + data;
    if count > PICTURE_LIMIT {
        return Err(ExportError::TooLarge { count, limit: PICTURE_LIMIT });
    }
    Ok(())
}
