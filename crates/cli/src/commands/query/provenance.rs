use camino::Utf8PathBuf;
use pantler_core::QuantumId;
use pantler_graph::{
    Attempt, AttemptEnd, DescribedDataset, DescribedQuantum, EvaluateError, ExportError,
    ExportFormat, Expression, ProvenanceError, ProvenanceGraph, ProvenanceView, RunNode,
    export_provenance,
};
use pantler_workspace::{RunProvenances, open_provenance};
use serde_json::{Map, Value, json};

use crate::{
    arguments::Collections,
    commands::graph::sink,
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    table::{Table, count},
    target::WorkspaceTarget,
    time,
    transitions::expression,
};

/// Say what was made from what, by whom and how: the provenance of committed RUNs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An expression is a UUID, a task or dataset type (also `TYPE@{key=value}`, with * and ?), a status (succeeded, failed,\n\
                  accepted, poisoned, blocked, built …), quanta, or datasets; `..A` is A with all it was made from, `A..` with all\n\
                  made from it, `A..B` both; `|` `&` `-` `~` `( )` combine. Quote it for the shell. Without --collections: all RUNs. With --workspace: an open workspace.\n\n\
                  Examples:\n  pantler query provenance '..comparison' --collections climate\n  \
                  pantler query provenance 'daily@{city=oslo}.. & quanta' --json\n  \
                  pantler query provenance '..summary@{city=oslo}' --format svg -o made.svg\n  \
                  pantler query provenance --quantum 0192a7e8-c000-7000-8000-00000000000a --log\n\n\
                  JSON: {expression, quanta, datasets}; quanta is an array of {id, task, data_id, run, status, begun, attempts,\n\
                  taken_over ({run, quantum}), inputs, outputs, log}, attempts of {attempt, runner, host, pid, started_at, ended_at, exit, failure};\n\
                  inputs and outputs are UUIDs by connection; datasets is an array of {id, dataset_type, data_id, run, state,\n\
                  size, checksum, producer}"
)]
pub(crate) struct Args {
    /// Which quanta and datasets
    #[arg(value_name = "EXPR", required_unless_present = "quantum", conflicts_with = "quantum")]
    expression: Option<String>,

    #[command(flatten)]
    collections: Collections,

    /// That of an open workspace instead, as things stand; or the folder of an external one
    #[arg(long, value_name = "NAME|DIR", conflicts_with = "collections")]
    workspace: Option<WorkspaceTarget>,

    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Table, conflicts_with_all = ["json", "quantum"])]
    format: Format,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Write to a new file instead of standard output
    #[arg(short, long, value_name = "FILE", conflicts_with = "quantum")]
    output: Option<Utf8PathBuf>,

    /// Replace the file if it is there
    #[arg(long, requires = "output")]
    force: bool,

    #[command(flatten)]
    one: OneArgs,
}

/// What is known of one quantum.
#[derive(Debug, clap::Args)]
struct OneArgs {
    /// One quantum: its log or metadata
    #[arg(long, value_name = "UUID")]
    quantum: Option<QuantumId>,

    /// With --quantum: print what it said, byte for byte
    #[arg(long, requires = "quantum", conflicts_with = "metadata")]
    log: bool,

    /// With --quantum: print what is known of it, as JSON
    #[arg(long, requires = "quantum")]
    metadata: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
    Graphml,
    Dot,
    Mermaid,
    Svg,
}

/// There is nothing to say.
#[derive(Debug, thiserror::Error)]
enum QueryError {
    #[error(
        "{0} provenance: it is stored when a workspace with a pipeline is committed, but not in development mode"
    )]
    NoProvenance(String),
    #[error("{0:?} means no quantum and no dataset in the provenance of {1}")]
    Nothing(String, String),
    #[error("there is no quantum {0} in the provenance of {1}")]
    NoQuantum(QuantumId, String),
}

type Graph = ProvenanceGraph<RunProvenances>;

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let path = args.output.as_ref().map(|path| context.absolute(path));
    if let Some(path) = &path {
        sink::check(path, args.force)?;
    }
    let parsed = args.expression.as_deref().map(expression).transpose()?;
    let mut graph = match &args.workspace {
        Some(target) => target.client(context)?.provenance_now()?,
        None => open_provenance(&context.open_to_read()?, &args.collections.collections)?,
    };
    let runs = graph.source().run_count();
    if runs == 0 {
        let who = match graph.source().without() {
            [] => "no RUN has".to_owned(),
            [run] => format!("{run} has no"),
            runs => format!("none of {} has", count(runs.len(), "RUN")),
        };
        return Err(CommandError::failed(QueryError::NoProvenance(who))
            .next(Next::command("query datasets run_provenance")));
    }
    let runs = count(runs, "RUN");
    if let Some(id) = args.one.quantum {
        return one(context, &args.one, &mut graph, id, runs);
    }
    let Some(parsed) = parsed else { return Ok(Status::Done) };
    let nodes = evaluate(&parsed, &mut graph)?;
    if nodes.is_empty() {
        let error = QueryError::Nothing(parsed.text().to_owned(), runs);
        return Err(CommandError::failed(error).next(Next::command("query provenance quanta")));
    }
    let view = ProvenanceView::read(parsed.text(), &mut graph, &nodes).map_err(unreadable)?;
    let format = if args.json { Format::Json } else { args.format };
    let mut write = |out: &mut dyn std::io::Write| match format {
        Format::Table => Ok(writeln!(out, "{}", table(&view))?),
        Format::Json => {
            let document = document(parsed.text(), &view);
            serde_json::to_writer_pretty(&mut *out, &document).map_err(std::io::Error::from)?;
            Ok(writeln!(out)?)
        }
        Format::Graphml => export_provenance(&view, ExportFormat::GraphMl, out),
        Format::Dot => export_provenance(&view, ExportFormat::Dot, out),
        Format::Mermaid => export_provenance(&view, ExportFormat::Mermaid, out),
        Format::Svg => export_provenance(&view, ExportFormat::Svg, out),
    };
    match &path {
        Some(path) => sink::to_file(path, args.force, &mut write),
        None => sink::to_output(context.output(), &mut write),
    }
    .map_err(|error| match error {
        sink::SinkError::Export(error @ ExportError::TooLarge { .. }) => CommandError::failed(
            error,
        )
        .next(Next::plain("the same with --format dot, or with `& quanta` behind the expression")),
        error => CommandError::failed(error),
    })?;
    Ok(Status::Done)
}

fn evaluate(expression: &Expression, graph: &mut Graph) -> Result<Vec<RunNode>, CommandError> {
    expression.evaluate(graph).map_err(|error| match error {
        EvaluateError::Expression(error) => CommandError::failed(error),
        EvaluateError::Graph(error) => unreadable(error),
    })
}

fn unreadable(error: ProvenanceError) -> CommandError {
    let next = match &error {
        ProvenanceError::Open { .. } => {
            Next::plain("leave that RUN out with --collections, or restore the artifact")
        }
        ProvenanceError::File { .. } => Next::command("check --checksum"),
    };
    CommandError::failed(error).state("nothing has changed").next(next)
}

/// Says what is known of one quantum.
fn one(
    context: &Context,
    args: &OneArgs,
    graph: &mut Graph,
    id: QuantumId,
    runs: String,
) -> CommandResult {
    let Some(node) = graph.find_quantum(id).map_err(unreadable)? else {
        return Err(CommandError::failed(QueryError::NoQuantum(id, runs))
            .next(Next::command("query provenance quanta")));
    };
    let output = context.output();
    let Some(quantum) = graph.quantum(node).map_err(unreadable)? else { return Ok(Status::Done) };
    if args.log {
        if !quantum.has_log {
            output.note(&format!("quantum {id} said nothing"));
        }
        let mut write = |out: &mut dyn std::io::Write| {
            graph.copy_log(node, out).map_err(|error| ExportError::Io(std::io::Error::other(error)))
        };
        sink::to_output(output, &mut write).map_err(CommandError::failed)?;
    } else {
        output.json(&quantum_document(&quantum))?;
    }
    Ok(Status::Done)
}

fn table(view: &ProvenanceView) -> Table {
    let mut table = Table::new(["", "name", "data ID", "RUN", "status", "id"]);
    for own in view.quanta() {
        let quantum = &own.quantum;
        let status = match &own.execution.taken_over {
            Some(from) => format!("{}, taken over from {}", quantum.status.name(), from.run),
            None => quantum.status.name().to_owned(),
        };
        table.row([
            "quantum".to_owned(),
            quantum.task.to_string(),
            quantum.data_id.to_string(),
            own.run.to_string(),
            status,
            quantum.id.to_string(),
        ]);
    }
    for own in view.datasets() {
        let dataset = &own.dataset;
        table.row([
            "dataset".to_owned(),
            dataset.dataset_type.name.to_string(),
            dataset.data_id.to_string(),
            dataset.run.to_string(),
            dataset.state.name().to_owned(),
            dataset.id.to_string(),
        ]);
    }
    table
}

fn document(text: &str, view: &ProvenanceView) -> Value {
    let quanta: Vec<Value> = view.quanta().iter().map(quantum_document).collect();
    let datasets: Vec<Value> = view.datasets().iter().map(dataset_document).collect();
    json!({"expression": text, "quanta": quanta, "datasets": datasets})
}

fn quantum_document(own: &DescribedQuantum) -> Value {
    let quantum = &own.quantum;
    let attempt = |attempt: &Attempt| {
        let runner = own.runners.iter().find(|runner| runner.number == attempt.runner);
        let process = runner.and_then(|runner| runner.process.as_ref());
        let failure = match &attempt.end {
            AttemptEnd::Succeeded => None,
            AttemptEnd::Failed { reason } => Some(reason),
        };
        json!({
            "attempt": attempt.number,
            "runner": attempt.runner,
            "host": process.map(|process| &process.host),
            "pid": process.map(|process| process.pid),
            "started_at": time::utc_exact(attempt.started),
            "ended_at": time::utc_exact(attempt.ended),
            "exit": attempt.exit,
            "failure": failure,
        })
    };
    let taken_over = own.execution.taken_over.as_ref();
    let inputs: Map<String, Value> =
        own.inputs.iter().map(|(name, ids)| (name.clone(), json!(ids))).collect();
    let outputs: Map<String, Value> =
        own.outputs.iter().map(|(name, id)| (name.clone(), json!(id))).collect();
    json!({
        "id": quantum.id,
        "task": quantum.task,
        "data_id": quantum.data_id,
        "run": own.run,
        "status": quantum.status.name(),
        "begun": own.execution.begun,
        "attempts": own.execution.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "taken_over": taken_over.map(|from| json!({"run": from.run, "quantum": from.quantum})),
        "inputs": inputs,
        "outputs": outputs,
        "log": own.has_log,
    })
}

fn dataset_document(own: &DescribedDataset) -> Value {
    let dataset = &own.dataset;
    json!({
        "id": dataset.id,
        "dataset_type": dataset.dataset_type.name,
        "data_id": dataset.data_id,
        "run": dataset.run,
        "state": dataset.state.name(),
        "size": dataset.content.map(|(size, _)| size),
        "checksum": dataset.content.map(|(_, checksum)| checksum),
        "producer": own.producer,
    })
}
