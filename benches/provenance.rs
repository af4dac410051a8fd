//! `cargo bench --bench provenance`: provenance files of RUNs of a thousand to a million
//! quanta: writing them, their size, and what it takes to find the ancestors of one dataset.
//!
//! Each look-up is a process of its own, timed whole; it says how many bytes it has read.
#![allow(clippy::print_stdout, reason = "a bench shows what it measured")]

mod bare;
mod measure;

use std::{
    convert::Infallible,
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    core::{
        ArtifactKey, Checksum, CollectionName, DataId, DatasetType, DatasetTypeName,
        DimensionRecord, ElementName, IdSeed, StorageClass, Tai, Universe, transaction::Process,
    },
    graph::{
        Attempt, AttemptEnd, BuildSource, DatasetIndex, DatasetState, ExecutionRecords,
        ExecutionStatus, Expression, GraphMetadata, InputArtifact, InputDataset, Pipeline,
        ProvenanceGraph, ProvenanceSource, ProvenanceView, QuantumExecution, QuantumGraph,
        QuantumIndex, Runner, build, write_provenance,
    },
};

use crate::measure::{Fault, expect, median, places, verdict};

const UNIVERSE: &str =
    "version: 1\nname: s\nelements:\n  visit: {key: integer}\n  detector: {key: integer}\n";

/// A task for each detector of each visit, and one for each visit.
const PIPELINE: &str = "
version: 1
tasks:
  isr:
    dimensions: [visit, detector]
    inputs: {raw: raw}
    outputs: {image: {type: image, storage_class: Bytes}}
    command: [isr, '{inputs.raw}', '{outputs.image}']
  summary:
    dimensions: [visit]
    inputs: {images: {type: image, multiple: true}}
    outputs: {table: {type: summary, storage_class: Csv}}
    command: [summary, '{inputs.images}']
";

const DETECTORS: i64 = 9;

/// Quanta are ten times as many.
const VISITS: [i64; 4] = [100, 1_000, 10_000, 100_000];
const LOOKUPS: usize = 11;

/// Bounds: milliseconds of a whole process, KiB that it reads.
const LOOKUP: f64 = 20.0;
const READ: f64 = 128.0;

/// Bytes read by this process from provenance files.
static BYTES: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["ancestors", file, id] => ancestors(file.into(), id),
        _ => every_size(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "less than 2^53 bytes")]
fn every_size() -> Result<(), Fault> {
    let this = std::env::current_exe()?;
    let place = places().pop().ok_or("there is a disk")?;
    let folder = place.folder()?;
    println!("  quanta  write s  us/quantum  file B/quantum  ancestors ms  KiB read");
    for visits in VISITS {
        let graph = graph(visits)?;
        let path = folder.path.join(format!("{visits}.zip"));
        let begin = Instant::now();
        let mut out = BufWriter::new(File::create_new(&path)?);
        write_provenance(&graph, &mut Succeeded, &mut out)?;
        out.flush()?;
        let (written, quanta) = (begin.elapsed().as_secs_f64(), graph.len() as f64);
        let bytes = std::fs::metadata(&path)?.len() as f64;
        let table = graph.datasets().nth(graph.dataset_count() - usize::try_from(visits * 3 / 2)?);
        let table = graph.dataset(table.ok_or("there are tables")?).id.to_string();
        drop(graph);
        let (mut times, mut read) = (Vec::new(), String::new());
        for _ in 0..LOOKUPS {
            let begin = Instant::now();
            let output = Command::new(&this).args(["ancestors", path.as_str(), &table]).output()?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            expect("the ancestors are found", &output.status.success(), &true)?;
            read = String::from_utf8(output.stdout)?;
        }
        let (time, read): (f64, f64) = (median(&mut times), read.trim().parse()?);
        println!(
            "{quanta:8}  {written:7.3}  {:10.2}  {:14.1}  {time:12.2}  {:8.1}",
            written * 1e6 / quanta,
            bytes / quanta,
            read / 1024.0
        );
        if quanta >= 1e6 {
            println!("ancestors {time:.2} ms; bound {LOOKUP}: {}", verdict(time, LOOKUP));
            let read = read / 1024.0;
            println!("read {read:.1} KiB; bound {READ}: {}", verdict(read, READ));
        }
    }
    Ok(())
}

/// The table of a visit, nine images, nine raw, and ten quanta.
fn ancestors(file: Utf8PathBuf, id: &str) -> Result<(), Fault> {
    let mut graph = ProvenanceGraph::new(OneFile { runs: vec![run()?], file });
    let nodes = Expression::parse(&format!("..{id}"))?.evaluate(&mut graph)?;
    let view = ProvenanceView::read("", &mut graph, &nodes)?;
    expect("quanta", &view.quanta().len(), &10)?;
    expect("datasets", &view.datasets().len(), &19)?;
    println!("{}", BYTES.load(Ordering::Relaxed));
    Ok(())
}

fn run() -> Result<CollectionName, Fault> {
    Ok(CollectionName::new("survey/1")?)
}

struct OneFile {
    runs: Vec<CollectionName>,
    file: Utf8PathBuf,
}

impl ProvenanceSource for OneFile {
    type Reader = Counted;

    fn runs(&self) -> &[CollectionName] {
        &self.runs
    }

    fn open(&mut self, _: usize) -> Result<Counted, Fault> {
        Ok(Counted(File::open(Utf8Path::new(&self.file))?))
    }
}

struct Counted(File);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buffer)?;
        BYTES.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

/// Every quantum succeeded at once, and said a line.
struct Succeeded;

impl ExecutionRecords for Succeeded {
    fn runners(&self) -> Vec<Runner> {
        let process = Process { host: "host".into(), boot_id: "boot".into(), pid: 1 };
        let (process, started) = (Some(process), Some(Tai::from_nanos(0)));
        vec![Runner { number: 1, process, started, tasks: std::collections::BTreeMap::new() }]
    }

    fn status(&self, _: QuantumIndex) -> ExecutionStatus {
        ExecutionStatus::Succeeded
    }

    fn execution(&self, quantum: QuantumIndex) -> QuantumExecution {
        let nanos = 1_800_000_000_000_000_000 + i64::try_from(quantum.get()).unwrap_or(0) * 7_919;
        let attempt = Attempt {
            number: 1,
            runner: 1,
            started: Tai::from_nanos(nanos),
            ended: Tai::from_nanos(nanos + 1_234_567),
            exit: Some(0),
            end: AttemptEnd::Succeeded,
            task_changed: false,
        };
        QuantumExecution { attempts: vec![attempt], begun: 1, taken_over: None }
    }

    fn output(&self, dataset: DatasetIndex) -> (DatasetState, Option<(u64, Checksum)>) {
        let checksum = Checksum::of(&dataset.get().to_le_bytes());
        (DatasetState::Present, Some((1_000_000 + dataset.get() as u64 % 997, checksum)))
    }

    fn copy_log(&mut self, quantum: QuantumIndex, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "reading raw, writing image {}", quantum.get())
    }
}

fn graph(visits: i64) -> Result<QuantumGraph, Fault> {
    let universe = Universe::from_yaml(UNIVERSE)?;
    let raw = Arc::new(DatasetType {
        name: DatasetTypeName::new("raw")?,
        dimensions: universe.group(["visit", "detector"])?,
        storage_class: StorageClass::Bytes,
    });
    let seed = IdSeed { opening: "0190bbbb-cccc-7000-8000-000000000001".parse()?, generation: 0 };
    let mut datasets = Vec::new();
    for visit in 1..=visits {
        for detector in 1..=DETECTORS {
            let data_id =
                DataId::from_values(&raw.dimensions, vec![visit.into(), detector.into()])?;
            let id = seed.dataset("raw", &data_id);
            let artifact = InputArtifact {
                location: ArtifactKey::new(format!("raw@1/raw/{visit}-{detector}.fits"))?.into(),
                offset: None,
                size: 1_000_000,
                checksum: Checksum::of(id.as_uuid().as_bytes()),
            };
            let (run, dataset_type) = (CollectionName::new("raw")?, raw.name.clone());
            datasets.push(InputDataset { id, run, dataset_type, data_id, artifact });
        }
    }
    let pipeline = Pipeline::from_yaml(PIPELINE, "pipeline.yaml".into())?;
    let find = |name: &DatasetTypeName| (*name == raw.name).then(|| Arc::clone(&raw));
    let pipeline = Arc::new(pipeline.resolve(&universe, &find)?);
    let created_at = Tai::from_nanos(1_800_000_000_000_000_000);
    let metadata = GraphMetadata { seed, output_run: run()?, created_at, scope: None };
    Ok(build(&pipeline, &Source { universe, datasets }, metadata)?)
}

struct Source {
    universe: Universe,
    datasets: Vec<InputDataset>,
}

impl BuildSource for Source {
    type Error = Infallible;

    fn universe(&self) -> &Universe {
        &self.universe
    }

    fn datasets(&self, _: &DatasetTypeName) -> Result<Vec<InputDataset>, Infallible> {
        Ok(self.datasets.clone())
    }

    fn dimension_records(&self, _: &ElementName) -> Result<Vec<DimensionRecord>, Infallible> {
        Ok(Vec::new())
    }
}
