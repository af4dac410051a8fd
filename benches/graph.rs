//! `cargo bench --bench graph`: building quantum graphs of a thousand to a million
//! quanta, their memory, their files, and one quantum by UUID from each file.
//!
//! Each size is built in a process of its own, so that its memory can be told from that
//! of others, and each look-up is a process of its own, timed whole.
#![allow(clippy::print_stdout, reason = "a bench shows what it measured")]

mod bare;
mod measure;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs::File,
    io::BufWriter,
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use camino::Utf8Path;
use pantler::{
    core::{
        Checksum, CollectionName, DataId, DatasetType, DatasetTypeName, DimensionRecord,
        ElementName, IdSeed, KeyValue, QuantumId, StorageClass, Tai, Universe, WriteId,
    },
    datastore::key::{dataset_key, run_prefix},
    graph::{
        BuildSource, GraphMetadata, GraphReader, InputArtifact, InputDataset, Pipeline, build,
        write,
    },
};

use crate::measure::{Fault, expect, median, places, verdict};

const UNIVERSE: &str =
    "version: 1\nname: s\nelements:\n  visit: {key: integer}\n  detector: {key: integer}\n";

/// Two tasks for each detector of each visit, and one for each visit.
const PIPELINE: &str = "
version: 1
tasks:
  isr:
    dimensions: [visit, detector]
    inputs: {raw: raw, flat: flat}
    outputs: {image: {type: image, storage_class: Bytes}}
    command: [isr, '{inputs.raw}', '{inputs.flat}', '{outputs.image}']
  calibrate:
    dimensions: [visit, detector]
    inputs: {image: image, flat: flat}
    outputs: {calexp: {type: calexp, storage_class: Bytes}}
    command: [calibrate, '{inputs.image}']
  summary:
    dimensions: [visit]
    inputs: {images: {type: calexp, multiple: true}}
    outputs: {table: {type: summary, storage_class: Csv}}
    command: [summary, '{inputs.images}']
";

/// Visits and detectors; quanta are `visits * (2 * detectors + 1)`.
const SIZES: [(i64, i64); 4] = [(48, 10), (476, 10), (4_762, 10), (47_620, 10)];
const LOOKUPS: usize = 21;

/// Bounds: seconds, bytes a quantum, bytes a quantum, milliseconds.
const BUILD: f64 = 20.0;
const MEMORY: f64 = 1_024.0;
const FILE: f64 = 120.0;
const LOOKUP: f64 = 10.0;

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["build", visits, detectors, file] => {
            let built = build_one(visits.parse()?, detectors.parse()?, Utf8Path::new(file))?;
            println!("{built}");
            Ok(())
        }
        ["find", file, id] => find_one(Utf8Path::new(file), id.parse()?),
        _ => every_size(),
    }
}

fn every_size() -> Result<(), Fault> {
    let this = std::env::current_exe()?;
    println!(
        "  quanta   build s  write s  us/quantum  peak B/quantum  kept B/quantum  file B/quantum"
    );
    let place = places().pop().ok_or("there is a disk")?;
    let folder = place.folder()?;
    for (visits, detectors) in SIZES {
        let file = folder.path.join(format!("{visits}.qg"));
        let (visits, detectors) = (visits.to_string(), detectors.to_string());
        let output = Command::new(&this)
            .args(["build", &visits, &detectors, file.as_str()])
            .stderr(Stdio::inherit())
            .output()?;
        expect("the graph is built", &output.status.success(), &true)?;
        let text = String::from_utf8(output.stdout)?;
        let (numbers, id) = text.trim().rsplit_once(' ').ok_or("no id")?;
        let numbers: Vec<f64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [quanta, built, written, peak, kept, bytes] = numbers[..] else {
            return Err("other figures than expected".into());
        };
        println!(
            "{quanta:8}  {built:8.3} {written:8.3}  {:10.2}  {:14.0}  {:14.0}  {:14.1}",
            (built + written) * 1e6 / quanta,
            peak / quanta,
            kept / quanta,
            bytes / quanta
        );
        let mut finds = Vec::new();
        for _ in 0..LOOKUPS {
            let begin = Instant::now();
            let status = Command::new(&this).args(["find", file.as_str(), id]).status()?;
            finds.push(begin.elapsed().as_secs_f64() * 1e3);
            expect("the quantum is found", &status.success(), &true)?;
        }
        let find = median(&mut finds);
        println!("          one quantum by UUID, whole process: {find:.2} ms");
        if quanta >= 1e6 {
            println!(
                "build and write {:.2} s; bound {BUILD}: {}",
                built + written,
                verdict(built + written, BUILD)
            );
            println!(
                "memory {:.0} B a quantum; bound {MEMORY}: {}",
                peak / quanta,
                verdict(peak / quanta, MEMORY)
            );
            println!(
                "file {:.1} B a quantum; bound {FILE}: {}",
                bytes / quanta,
                verdict(bytes / quanta, FILE)
            );
            println!("find {find:.2} ms; bound {LOOKUP}: {}", verdict(find, LOOKUP));
        }
    }
    Ok(())
}

/// Builds and writes a graph; returns quanta, seconds of building and of writing, bytes
/// of memory at the highest and afterwards, bytes of the file, and the id of a quantum.
fn build_one(visits: i64, detectors: i64, file: &Utf8Path) -> Result<String, Fault> {
    let source = Source::new(visits, detectors)?;
    let pipeline = Pipeline::from_yaml(PIPELINE, "pipeline.yaml".into())?;
    let find = |name: &DatasetTypeName| source.types.iter().find(|t| t.name == *name).cloned();
    let pipeline = Arc::new(pipeline.resolve(&source.universe, &find)?);
    let metadata = GraphMetadata {
        scope: None,
        seed: source.seed,
        output_run: CollectionName::new("survey/1")?,
        created_at: Tai::from_nanos(1_800_000_000_000_000_000),
    };
    forget_peak()?;
    let before = memory("VmRSS:")?;
    let begin = Instant::now();
    let graph = build(&pipeline, &source, metadata)?;
    let built = begin.elapsed().as_secs_f64();
    let (peak, kept) = (memory("VmHWM:")? - before, memory("VmRSS:")? - before);
    let expected = usize::try_from(visits * (2 * detectors + 1))?;
    expect("quanta", &graph.len(), &expected)?;
    let begin = Instant::now();
    write(&graph, &mut BufWriter::new(File::create_new(file)?))?;
    let written = begin.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(file)?.len();
    let middle = graph.quanta().nth(graph.len() / 2).ok_or("it has quanta")?;
    Ok(format!(
        "{} {built} {written} {peak} {kept} {bytes} {}",
        graph.len(),
        graph.quantum_id(middle)
    ))
}

fn find_one(file: &Utf8Path, id: QuantumId) -> Result<(), Fault> {
    let mut reader = GraphReader::open(File::open(file)?)?;
    let found = reader.quantum(id)?.ok_or("there is no such quantum")?;
    expect("id", &found.id, &id)?;
    expect("outputs, with the log", &found.outputs.len(), &2)
}

/// Makes the highest use of memory so far that of now.
fn forget_peak() -> Result<(), Fault> {
    let mut file = File::options().write(true).open("/proc/self/clear_refs")?;
    Ok(std::io::Write::write_all(&mut file, b"5")?)
}

/// A line of what the system knows of this process's memory, in bytes.
#[expect(clippy::cast_precision_loss, reason = "less than 2^53 bytes")]
fn memory(line: &str) -> Result<f64, Fault> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|text| text.strip_prefix(line)).ok_or("no such line")?;
    let kibibytes: u64 = found.trim().trim_end_matches(" kB").parse()?;
    Ok((kibibytes * 1024) as f64)
}

/// Raw data of every detector of every visit, and a flat of every detector.
struct Source {
    universe: Universe,
    seed: IdSeed,
    types: Vec<Arc<DatasetType>>,
    datasets: BTreeMap<DatasetTypeName, Vec<InputDataset>>,
}

impl Source {
    fn new(visits: i64, detectors: i64) -> Result<Self, Fault> {
        let universe = Universe::from_yaml(UNIVERSE)?;
        let seed =
            IdSeed { opening: "0190bbbb-cccc-7000-8000-000000000001".parse()?, generation: 0 };
        let mut source = Self { universe, seed, types: Vec::new(), datasets: BTreeMap::new() };
        let of_visit = |visit: i64| (1..=detectors).map(move |d| vec![visit.into(), d.into()]);
        source.add("raw", &["visit", "detector"], (1..=visits).flat_map(of_visit))?;
        source.add("flat", &["detector"], (1..=detectors).map(|d| vec![d.into()]))?;
        Ok(source)
    }

    fn add(
        &mut self,
        name: &str,
        dimensions: &[&str],
        values: impl Iterator<Item = Vec<KeyValue>>,
    ) -> Result<(), Fault> {
        let dataset_type = Arc::new(DatasetType {
            name: DatasetTypeName::new(name)?,
            dimensions: self.universe.group(dimensions)?,
            storage_class: StorageClass::Bytes,
        });
        let run = CollectionName::new("raw")?;
        let prefix = run_prefix(&run, pantler::core::RunId::new(1));
        let write = WriteId::of_opening(self.seed.opening, 1);
        // Of the required dimensions, in the universe's order.
        let mut datasets = Vec::new();
        for values in values {
            let data_id = DataId::from_values(&dataset_type.dimensions, values)?;
            let id = self.seed.dataset(name, &data_id);
            let artifact = InputArtifact {
                location: dataset_key(&prefix, &dataset_type.name, &data_id, &write, "fits").into(),
                offset: None,
                size: 1_000_000 + u64::from(id.as_uuid().as_bytes()[15]),
                checksum: Checksum::of(id.as_uuid().as_bytes()),
            };
            let dataset_type = dataset_type.name.clone();
            datasets.push(InputDataset { id, run: run.clone(), dataset_type, data_id, artifact });
        }
        self.datasets.insert(dataset_type.name.clone(), datasets);
        self.types.push(dataset_type);
        Ok(())
    }
}

impl BuildSource for Source {
    type Error = Infallible;

    fn universe(&self) -> &Universe {
        &self.universe
    }

    fn datasets(&self, dataset_type: &DatasetTypeName) -> Result<Vec<InputDataset>, Infallible> {
        Ok(self.datasets.get(dataset_type).cloned().unwrap_or_default())
    }

    fn dimension_records(&self, _: &ElementName) -> Result<Vec<DimensionRecord>, Infallible> {
        Ok(Vec::new())
    }
}
