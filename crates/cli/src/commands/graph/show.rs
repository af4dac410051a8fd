use pantler_graph::{GraphMetadata, QuantumGraph};
use serde_json::{Value, json};

use crate::{
    context::Context,
    error::{CommandResult, Status},
    table::{Table, count},
    time,
};

/// Say what a quantum graph has: quanta by task, datasets by type
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pantler graph show climate/trial\n  pantler graph show graph-1.qg --json\n\n\
                  JSON: {run, created_at, opening_id, generation, pipeline, quanta, datasets, tasks, dataset_types}; tasks\n\
                  is an array of {task, dimensions, quanta}, dataset_types of {dataset_type, dimensions, storage_class,\n\
                  datasets, predicted}, with prerequisite where it is true"
)]
pub(crate) struct Args {
    /// An open workspace, the folder of an external one, or a graph file
    #[arg(value_name = "NAME|DIR|FILE")]
    graph: String,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let graph = super::read(context, &args.graph)?;
    let output = context.output();
    if args.json {
        output.json(&document(&graph))?;
        return Ok(Status::Done);
    }
    let GraphMetadata { seed, output_run, created_at, .. } = graph.metadata();
    output.line(&format!("RUN       {output_run}"))?;
    output.line(&format!("created   {}", time::utc(*created_at)))?;
    output.line(&format!("opening   {}, generation {}", seed.opening, seed.generation))?;
    output.line(&format!("pipeline  {}", graph.pipeline().pipeline().file()))?;
    let (quanta, datasets) = (graph.len(), graph.dataset_count());
    output.line(&format!(
        "content   {}, {}: {} existing, {} predicted\n",
        count(quanta, "quantum"),
        count(datasets, "dataset"),
        graph.overall_inputs().count(),
        datasets - graph.overall_inputs().count()
    ))?;
    let mut tasks = Table::new(["task", "dimensions", "quanta"]).numbers([2]);
    for (task, quanta) in graph.counts() {
        tasks.row([task.label.to_string(), task.dimensions.to_string(), quanta.to_string()]);
    }
    output.table(&tasks, "no tasks")?;
    let mut types =
        Table::new(["dataset type", "dimensions", "storage class", "datasets", "origin"])
            .numbers([3]);
    let inputs = graph.existing_types();
    for (i, (dataset_type, datasets)) in graph.dataset_counts().enumerate() {
        types.row([
            dataset_type.name.to_string(),
            dataset_type.dimensions.to_string(),
            dataset_type.storage_class.to_string(),
            datasets.to_string(),
            match (i < inputs, graph.pipeline().is_prerequisite(&dataset_type.name)) {
                (true, true) => "existing, prerequisite",
                (true, false) => "existing",
                (false, _) => "predicted",
            }
            .to_owned(),
        ]);
    }
    output.line("")?;
    output.table(&types, "no dataset types")?;
    Ok(Status::Done)
}

fn document(graph: &QuantumGraph) -> Value {
    let GraphMetadata { seed, output_run, created_at, .. } = graph.metadata();
    let inputs = graph.existing_types();
    let tasks = graph.counts().map(|(task, quanta)| {
        let dimensions = task.dimensions.required();
        json!({"task": task.label, "dimensions": dimensions, "quanta": quanta})
    });
    let types = graph.dataset_counts().enumerate().map(|(i, (dataset_type, datasets))| {
        let mut row = json!({
            "dataset_type": dataset_type.name,
            "dimensions": dataset_type.dimensions.required(),
            "storage_class": dataset_type.storage_class,
            "datasets": datasets,
            "predicted": i >= inputs,
        });
        if graph.pipeline().is_prerequisite(&dataset_type.name) {
            row["prerequisite"] = true.into();
        }
        row
    });
    json!({
        "run": output_run,
        "created_at": time::utc_exact(*created_at),
        "opening_id": seed.opening,
        "generation": seed.generation,
        "pipeline": graph.pipeline().pipeline().file(),
        "quanta": graph.len(),
        "datasets": graph.dataset_count(),
        "tasks": tasks.collect::<Vec<_>>(),
        "dataset_types": types.collect::<Vec<_>>(),
    })
}
