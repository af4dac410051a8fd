//! Tasks as Rust functions, without the command line: the same kind of work as
//! `examples/weather`, through the library.
//!
//! `cargo run --release --example in_process [REPOSITORY]`
//!
//! Makes a repository, ingests the temperatures that lie in `examples/weather/data`,
//! opens a workspace, runs a mean per city and month and a ranking of the cities in
//! parallel, and commits everything in one closing transaction.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{collections::BTreeMap, error::Error, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    butler::request::{IngestFile, IngestRequest, NoProgress},
    core::{
        CollectionName, DataId, DatasetType, DatasetTypeName, StorageClass, TransactionName,
        Universe, transaction::Closing,
    },
    direct::{CloseOptions, CreateOptions, Environment, SystemClock, create},
    exec::{self, NoObserver, QuantumContext, Selection, StopFlag, TaskError, TaskRegistry},
    graph::Choices,
    registry::{DatasetQuery, OpenOptions},
    workspace::{self, CloseNotice, RunOptions, WorkspaceRequest, open_butler},
};

const UNIVERSE: &str = "
version: 1
name: climate
elements:
  city: {key: string}
  month: {key: integer}
";

const PIPELINE: &str = "
version: 1
tasks:
  mean:
    dimensions: [city, month]
    inputs: {temperatures: readings}
    outputs: {mean: {type: monthly_mean, storage_class: Json}}
    task: mean_of_a_month
  rank:
    dimensions: []
    inputs: {means: {type: monthly_mean, multiple: true}}
    outputs: {ranking: {type: ranking, storage_class: Text}}
    task: rank_cities
";

fn main() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let repository = match std::env::args().nth(1) {
        Some(path) => Utf8PathBuf::from(path),
        None => Utf8PathBuf::try_from(scratch.path().join("repository"))?,
    };
    let universe = Universe::from_yaml(UNIVERSE)?;
    create(&repository, &universe, &CreateOptions::default())?;
    let environment = Environment::of_this_process("example");
    let butler = open_butler(&repository, environment.clone(), &OpenOptions::default())?;

    let raw = CollectionName::new("climate/raw")?;
    let report = butler.ingest(
        &IngestRequest::new(
            TransactionName::new("climate/raw/ingest")?,
            raw.clone(),
            files(&universe)?,
        )
        .registering(),
        &NoProgress,
    )?;
    println!("ingested {} files, {} bytes", report.stored, report.bytes);

    let pipeline = repository.parent().unwrap_or(&repository).join("pipeline.yaml");
    pantler::datastore::fs::replace(&pipeline, PIPELINE.as_bytes())?;
    let run = CollectionName::new("climate/first")?;
    let opened = workspace::create(
        &butler,
        butler.environment().new_opening(),
        &WorkspaceRequest {
            run: run.clone(),
            chain: Some(CollectionName::new("climate")?),
            inputs: vec![raw],
            pipeline,
            choices: Choices::default(),
            reuse: Vec::new(),
            project: None,
            shard_by: Vec::new(),
        },
    )?;
    let graph = workspace::build(&butler, &opened, &workspace::BuildRequest::default())?.graph;
    println!("built {} quanta", graph.len());
    drop(butler);

    // From here to the commit, no database.
    let mut tasks = TaskRegistry::new();
    tasks.register_fn("mean_of_a_month", mean_of_a_month);
    tasks.register_fn("rank_cities", rank_cities);
    let summary = opened.run(
        &graph,
        &RunOptions {
            selection: &Selection::default(),
            jobs: None,
            tasks: &tasks,
            environment: &exec::Environment {
                path: String::new(),
                home: String::new(),
                variables: BTreeMap::new(),
                pipeline_dir: Utf8PathBuf::new(),
                pantler: Utf8PathBuf::new(),
            },
            stop: &StopFlag::new(),
            clock: &SystemClock,
        },
        &mut NoObserver,
    )?;
    println!("{} quanta succeeded", summary.total().succeeded);

    let butler = open_butler(&repository, environment, &OpenOptions::default())?;
    workspace::close(&butler, &run, Closing::Commit, CloseOptions::default(), &mut Quiet)?;
    let rows = butler.query_datasets(&DatasetQuery {
        dataset_types: Some(vec![DatasetTypeName::new("ranking")?]),
        runs: Some(vec![run]),
        ..DatasetQuery::default()
    })?;
    for row in &rows {
        let content = butler.get(row)?.ok_or("it is stored")?;
        print!("{}", String::from_utf8(content)?);
    }
    Ok(())
}

/// The mean of the column `temp`, wherever it stands.
fn mean_of_a_month(quantum: &mut QuantumContext<'_>) -> Result<(), TaskError> {
    let text = String::from_utf8(quantum.read("temperatures")?)?;
    let mut lines = text.lines();
    let column = lines
        .next()
        .and_then(|header| header.split(',').position(|name| name.trim() == "temp"))
        .ok_or_else(|| TaskError::new("no column temp"))?;
    let mut sum = 0.0;
    let mut count = 0.0;
    for line in lines {
        if let Some(field) = line.split(',').nth(column) {
            sum += field.trim().parse::<f64>()?;
            count += 1.0;
        }
    }
    quantum.log(format!("{count} hours\n"));
    quantum.write("mean", format!("{:.2}\n", sum / count).as_bytes())?;
    Ok(())
}

/// Cities by the mean of their months, warmest first.
fn rank_cities(quantum: &mut QuantumContext<'_>) -> Result<(), TaskError> {
    let mut cities: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (data_id, content) in quantum.read_all("means")? {
        let city = data_id.get("city").ok_or_else(|| TaskError::new("no city"))?;
        let mean: f64 = String::from_utf8(content)?.trim().parse()?;
        cities.entry(city.to_string()).or_default().push(mean);
    }
    #[expect(clippy::cast_precision_loss, reason = "a dozen months")]
    let mut ranked: Vec<(String, f64)> = cities
        .into_iter()
        .map(|(city, means)| (city, means.iter().sum::<f64>() / means.len() as f64))
        .collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let lines: Vec<String> =
        ranked.iter().map(|(city, mean)| format!("{city}: {mean:.1} F\n")).collect();
    quantum.write("ranking", lines.concat().as_bytes())?;
    Ok(())
}

/// The files of the weather project: `data/<city>/<month>.csv`.
fn files(universe: &Universe) -> Result<Vec<IngestFile>, Box<dyn Error>> {
    let dataset_type = Arc::new(DatasetType {
        name: DatasetTypeName::new("readings")?,
        dimensions: universe.group(["city", "month"])?,
        storage_class: StorageClass::Csv,
    });
    let data = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/weather/data");
    let mut files = Vec::new();
    for city in data.read_dir_utf8()? {
        let city = city?;
        if !city.file_type()?.is_dir() {
            continue;
        }
        for month in city.path().read_dir_utf8()? {
            let path = month?.into_path();
            let values = BTreeMap::from([
                ("city".to_owned(), city.file_name().to_owned()),
                ("month".to_owned(), path.file_stem().unwrap_or_default().to_owned()),
            ]);
            let data_id = DataId::parse(universe, &dataset_type.dimensions, &values)?;
            files.push(IngestFile::one(Arc::clone(&dataset_type), data_id, path));
        }
    }
    Ok(files)
}

/// Follows nothing.
struct Quiet;

impl CloseNotice for Quiet {
    fn waiting_for(&mut self, _: &str) {}
}
