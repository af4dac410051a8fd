//! `cargo bench --bench run`: a run of 20,000 trivial in-process quanta with one small
//! output each, against the bare loop that writes the same files.

mod bare;
mod measure;
mod survey;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    core::{CollectionName, WriteId},
    datastore::key::{dataset_key, run_prefix},
    direct::{DirectButler, SystemClock},
    exec::{self, NoObserver, QuantumContext, Selection, StopFlag, TaskError, TaskRegistry},
    graph::QuantumGraph,
    workspace::{self, RunOptions, WorkspaceClient, WorkspaceRequest},
};

use crate::measure::{Fault, Place, alternate, expect, files, settle};

const VISITS: i64 = 5_000;
const QUANTA: usize = 20_000;
const BOUND: f64 = 2.0;

const PIPELINE: &str = "
version: 1
tasks:
  expose:
    dimensions: [visit, detector]
    inputs: {}
    outputs: {frame: {type: frame, storage_class: Text}}
    task: expose
";

fn main() -> Result<(), Fault> {
    let title = format!("run of {QUANTA} in-process quanta, {} threads", threads());
    alternate(&title, BOUND, ours, bare)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What the quantum at a position writes: as long for all.
fn content(visit: i64, detector: i64) -> String {
    format!("visit {visit:06} detector {detector}\n")
}

fn expose(quantum: &mut QuantumContext<'_>) -> Result<(), TaskError> {
    let value = |name: &str| {
        let value = quantum.data_id().get(name).and_then(|value| match value {
            pantler::core::KeyValue::Integer(value) => Some(*value),
            pantler::core::KeyValue::String(_) => None,
        });
        value.ok_or_else(|| TaskError::new("the data ID has no such integer"))
    };
    let content = content(value("visit")?, value("detector")?);
    quantum.write("frame", content.as_bytes())?;
    Ok(())
}

/// An open workspace with its graph.
fn workspace(folder: &Utf8Path) -> Result<(DirectButler, WorkspaceClient, QuantumGraph), Fault> {
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    let pipeline = folder.join("pipeline.yaml");
    pantler::datastore::fs::write_new(&pipeline, PIPELINE.as_bytes())?;
    let request = WorkspaceRequest {
        run: CollectionName::new("frames")?,
        chain: None,
        inputs: Vec::new(),
        pipeline,
        choices: pantler::graph::Choices::default(),
        reuse: Vec::new(),
        project: None,
        shard_by: Vec::new(),
    };
    let opened = workspace::create(&butler, butler.environment().new_opening(), &request)?;
    let graph = workspace::build(&butler, &opened, &workspace::BuildRequest::default())?.graph;
    expect("quanta", &graph.len(), &QUANTA)?;
    Ok((butler, opened, graph))
}

fn ours(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let (butler, opened, graph) = workspace(folder)?;
    let mut tasks = TaskRegistry::new();
    tasks.register_fn("expose", expose);
    let options = RunOptions {
        selection: &Selection::default(),
        jobs: NonZeroUsize::new(threads()),
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
    };
    settle(folder)?;
    let begin = Instant::now();
    let summary = opened.run(&graph, &options, &mut NoObserver)?;
    let took = begin.elapsed();
    expect("succeeded", &summary.total().succeeded, &QUANTA)?;
    expect("files", &files(&artifacts(&butler))?, &whole())?;
    survey::check_clean(&butler)?;
    Ok(took)
}

fn bare(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let (butler, opened, graph) = workspace(folder)?;
    // The names that Pantler would give.
    let prefix = run_prefix(&opened.file().run, opened.file().run_id);
    let write = WriteId::of_quantum(opened.file().opening, 1, 1);
    let root = artifacts(&butler);
    let outputs: Vec<Utf8PathBuf> = graph
        .quanta()
        .map(|index| {
            let quantum = graph.quantum(index);
            let dataset_type = &quantum.task.outputs[0].dataset_type;
            let extension = dataset_type.storage_class.extension();
            let (name, data_id) = (&dataset_type.name, &quantum.data_id);
            root.join(dataset_key(&prefix, name, data_id, &write, extension).as_str())
        })
        .collect();
    let directory = outputs[0].parent().ok_or("a key has a directory")?;
    std::fs::create_dir_all(directory)?;
    let content = |i: usize| {
        let i = i64::try_from(i).unwrap_or(i64::MAX);
        content(1 + i / survey::DETECTORS, 1 + i % survey::DETECTORS)
    };
    settle(folder)?;
    let begin = Instant::now();
    bare::run(&root, &outputs, content, threads())?;
    let took = begin.elapsed();
    expect("files", &files(&root)?, &whole())?;
    Ok(took)
}

fn artifacts(butler: &DirectButler) -> Utf8PathBuf {
    butler.root().join(&butler.datastore().config().root)
}

/// How many files there must be in the end, with how many bytes.
fn whole() -> (usize, u64) {
    (QUANTA, (QUANTA * content(1, 1).len()) as u64)
}
