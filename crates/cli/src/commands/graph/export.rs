use camino::Utf8PathBuf;
use pantler_graph::{ExportError, ExportFormat, QuantumGraph, export_graph, export_pipeline};

use super::sink;
use crate::{
    context::Context,
    error::{CommandError, CommandResult, Next, Status, quoted},
};

/// Write a quantum graph, or its pipeline, for other programs or as a picture
#[derive(Debug, clap::Args)]
#[command(
    after_help = "json and graphml have everything; dot, mermaid and svg leave out logs that no task reads. An svg of a graph\n\
                  has at most 200 nodes; one of a pipeline has no limit.\n\n\
                  Examples:\n  pantler graph export climate/trial --format graphml -o trial.graphml\n  \
                  pantler graph export climate/trial --format svg --pipeline -o pipeline.svg\n  \
                  pantler graph export graph-1.qg --format dot | dot -Tpdf -o graph.pdf"
)]
pub(crate) struct Args {
    /// An open workspace, the folder of an external one, or a graph file
    #[arg(value_name = "NAME|DIR|FILE")]
    graph: String,

    /// What to write
    #[arg(long, value_enum)]
    format: Format,

    /// Tasks and dataset types instead of quanta and datasets
    #[arg(long)]
    pipeline: bool,

    /// Write to a new file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<Utf8PathBuf>,

    /// Replace the file if it is there
    #[arg(long, requires = "output")]
    force: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Json,
    Graphml,
    Dot,
    Mermaid,
    Svg,
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Json => Self::Json,
            Format::Graphml => Self::GraphMl,
            Format::Dot => Self::Dot,
            Format::Mermaid => Self::Mermaid,
            Format::Svg => Self::Svg,
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let path = args.output.as_ref().map(|path| context.absolute(path));
    if let Some(path) = &path {
        sink::check(path, args.force)?;
    }
    let graph: QuantumGraph = super::read(context, &args.graph)?;
    let format = args.format.into();
    let mut write = |out: &mut dyn std::io::Write| {
        if args.pipeline {
            export_pipeline(graph.pipeline(), format, out)
        } else {
            export_graph(&graph, format, out)
        }
    };
    match &path {
        Some(path) => sink::to_file(path, args.force, &mut write),
        None => sink::to_output(context.output(), &mut write),
    }
    .map_err(|error| match error {
        sink::SinkError::Export(error @ ExportError::TooLarge { .. }) => {
            let pipeline = format!("graph export {} --format svg --pipeline", quoted(&args.graph));
            CommandError::failed(error).next(Next::command(pipeline))
        }
        error => CommandError::failed(error),
    })?;
    Ok(Status::Done)
}
