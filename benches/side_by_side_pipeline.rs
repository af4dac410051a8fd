//! The pipeline of `side_by_side_pipeline.py`, built, run and committed by Pantler.

use std::{process::Stdio, sync::Arc, time::Instant};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    butler::request::{IngestFile, IngestRequest, NoProgress},
    core::{DatasetType, DatasetTypeName, StorageClass, TransactionName, changes::Change},
    exec::{QuantumContext, TaskError, TaskRegistry},
};

use crate::{
    Times,
    frames::Frames,
    measure::{Fault, expect, places},
    survey,
};

/// 2,020 quanta: four of each visit, and one that joins them.
const VISITS: i64 = 404;
const QUANTA: usize = 2_020;
const FILES: usize = 1_616;

const PIPELINE: &str = "
version: 1
tasks:
  expose:
    dimensions: [visit, detector]
    inputs: {image: {type: file}}
    outputs: {frame: {type: frame, storage_class: Json}}
    task: expose
  join:
    dimensions: [visit]
    inputs: {frames: {type: frame, multiple: true}}
    outputs: {visit_frame: {type: visit_frame, storage_class: Json}}
    task: join
";

/// One round at the first place: Python needs minutes, and the ratio is no matter of noise.
#[expect(clippy::print_stdout, reason = "a bench shows what it measured")]
pub(crate) fn compare(bin: &Utf8Path) -> Result<(), Fault> {
    let place = places().into_iter().next().ok_or("there is a place to measure")?;
    let ours = of_pantler(&place.folder()?.path)?;
    let python = of_python(bin, &place.folder()?.path)?;
    println!("{}: {QUANTA} quanta, one at a time, in one process; one round", place.name);
    println!("| work | the Python stack | Pantler | ratio |");
    println!("| --- | --- | --- | --- |");
    for part in ["build", "run", "commit"] {
        let (python, ours) = (python[part], ours[part]);
        println!("| {part} | {python:.2} s | {ours:.3} s | {:.0} |", python / ours);
    }
    let (python, ours) = (python["graph"], ours["graph"]);
    println!("| bytes of the graph | {python:.0} | {ours:.0} | {:.1} |", python / ours);
    Ok(())
}

fn of_python(bin: &Utf8Path, folder: &Utf8Path) -> Result<Times, Fault> {
    crate::sources(folder, FILES)?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/side_by_side_pipeline.py");
    let out = std::process::Command::new(bin.join("python"))
        .args([script, folder.as_str()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stderr(Stdio::inherit())
        .output()?;
    expect("the Python stack succeeds", &out.status.success(), &true)?;
    Ok(serde_json::from_slice(&out.stdout)?)
}

fn of_pantler(folder: &Utf8Path) -> Result<Times, Fault> {
    let sources = crate::sources(folder, FILES)?;
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    ingest(&butler, sources)?;
    let frames = Frames::open(&butler, folder, PIPELINE)?;
    let mut times = Times::new();

    let begin = Instant::now();
    let graph = frames.build()?;
    crate::note(&mut times, "build", begin);
    expect("quanta", &graph.len(), &QUANTA)?;
    times.insert("graph".to_owned(), frames.graph_bytes()?);

    let mut tasks = TaskRegistry::new();
    tasks.register_fn("expose", expose);
    tasks.register_fn("join", join);
    let begin = Instant::now();
    let succeeded = frames.run(&graph, &tasks, Some(std::num::NonZeroUsize::MIN))?;
    crate::note(&mut times, "run", begin);
    expect("succeeded", &succeeded, &QUANTA)?;

    let begin = Instant::now();
    frames.commit()?;
    crate::note(&mut times, "commit", begin);
    let report = survey::check_clean(&butler)?;
    // The inputs and the provenance too.
    expect("stored", &report.counts.stored, &(FILES + QUANTA + 1))?;
    Ok(times)
}

fn ingest(butler: &pantler::direct::DirectButler, sources: Vec<Utf8PathBuf>) -> Result<(), Fault> {
    let image = survey::image(butler)?;
    let file = Arc::new(DatasetType {
        name: DatasetTypeName::new("file")?,
        storage_class: StorageClass::Json,
        ..(*image).clone()
    });
    let change = [Change::EnsureDatasetType(Arc::clone(&file))];
    let now = butler.environment().clock.now();
    butler.registry().write(|writer| writer.apply(&change, now))?;
    let data_ids = survey::data_ids(&file, VISITS)?;
    let one = |(data_id, source)| IngestFile::one(Arc::clone(&file), data_id, source);
    let files = data_ids.into_iter().zip(sources).map(one).collect();
    let request = IngestRequest::new(TransactionName::new("bench/ingest")?, survey::run()?, files);
    expect("ingested", &butler.ingest(&request, &NoProgress)?.stored, &FILES)
}

fn parsed(content: &[u8]) -> Result<serde_json::Value, TaskError> {
    serde_json::from_slice(content).map_err(TaskError::from)
}

fn expose(quantum: &mut QuantumContext<'_>) -> Result<(), TaskError> {
    // Read and written as JSON, as Python does it.
    let image = parsed(&quantum.read("image")?)?;
    quantum.write("frame", image.to_string().as_bytes())?;
    Ok(())
}

fn join(quantum: &mut QuantumContext<'_>) -> Result<(), TaskError> {
    let mut numbers = Vec::new();
    for (_, frame) in quantum.read_all("frames")? {
        numbers.push(parsed(&frame)?["number"].clone());
    }
    let content = serde_json::json!({ "numbers": numbers });
    quantum.write("visit_frame", content.to_string().as_bytes())?;
    Ok(())
}
