//! Files that are read as they were written, what damage gives, and how little is read.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    error::Error,
    io::{self, Cursor, Read, Seek, SeekFrom, Write},
    rc::Rc,
    sync::Arc,
};

use pantler_core::{
    Checksum, CollectionName, DataId, IdSeed, OpeningId, QuantumId, Tai, TaskLabel,
    transaction::Process,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    build::build,
    dataset::InputArtifact,
    expression::{DatasetState, ExecutionStatus, Expression, GraphNode, NodeKind, PredictedGraph},
    format::GraphFileError,
    graph::{DatasetIndex, GraphMetadata, QuantumGraph, QuantumIndex},
    testing::{CLIMATE_PIPELINE, TestSource, climate, skipping, survey},
};

/// Every status and state comes up, each with what goes with it.
struct Records<'a> {
    graph: &'a QuantumGraph,
    say: bool,
}

fn status(index: QuantumIndex) -> ExecutionStatus {
    ExecutionStatus::ALL[index.get() * 5 % 7]
}

fn state(index: DatasetIndex) -> DatasetState {
    DatasetState::ALL[index.get() * 2 % 3]
}

fn content(index: DatasetIndex) -> Option<(u64, Checksum)> {
    let there = state(index) == DatasetState::Present;
    there.then(|| (index.get() as u64 * 1000, Checksum::of(&index.get().to_le_bytes())))
}

fn said(index: QuantumIndex) -> Vec<u8> {
    match index.get() % 4 {
        0 => Vec::new(),
        3 if index.get() < 50 => vec![u8::try_from(index.get()).unwrap(); 300_000],
        _ => format!("quantum {} \u{e9}\n", index.get()).into_bytes(),
    }
}

fn execution(index: QuantumIndex) -> QuantumExecution {
    let attempt = |number: u32| Attempt {
        number,
        runner: 1 + number % 2,
        started: Tai::from_nanos(1_000 + i64::from(number)),
        ended: Tai::from_nanos(2_000),
        exit: (number == 1).then_some(3),
        end: if number == 1 {
            AttemptEnd::Failed { reason: "it \"failed\"\n".to_owned() }
        } else {
            AttemptEnd::Succeeded
        },
        task_changed: number == 2,
    };
    let attempts: Vec<Attempt> = (1..=index.0 % 3).map(attempt).collect();
    let taken_over = (index.get() == 4).then(|| TakenOver {
        run: CollectionName::new("other").unwrap(),
        quantum: QuantumId::from_uuid(Uuid::from_u128(9)),
    });
    QuantumExecution { begun: index.0 % 3, attempts, taken_over }
}

impl ExecutionRecords for Records<'_> {
    fn runners(&self) -> Vec<Runner> {
        let process = Process { host: "h".to_owned(), boot_id: "b".to_owned(), pid: 7 };
        let (process, started) = (Some(process), Some(Tai::from_nanos(5)));
        let tasks = BTreeMap::from([(TaskLabel::new("t").unwrap(), Checksum::of(b"task"))]);
        vec![
            Runner { number: 1, process, started, tasks },
            Runner { number: 2, process: None, started: None, tasks: BTreeMap::new() },
        ]
    }

    fn status(&self, quantum: QuantumIndex) -> ExecutionStatus {
        status(quantum)
    }

    fn execution(&self, quantum: QuantumIndex) -> QuantumExecution {
        execution(quantum)
    }

    fn output(&self, dataset: DatasetIndex) -> (DatasetState, Option<(u64, Checksum)>) {
        assert!(self.graph.producer(dataset).is_some(), "only outputs are asked for");
        (state(dataset), content(dataset))
    }

    fn copy_log(&mut self, quantum: QuantumIndex, out: &mut dyn Write) -> io::Result<()> {
        if self.say { out.write_all(&said(quantum)) } else { Ok(()) }
    }
}

pub(crate) fn file(graph: &QuantumGraph, say: bool) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    write_provenance(graph, &mut Records { graph, say }, &mut bytes).unwrap();
    bytes.into_inner()
}

fn open(bytes: &[u8]) -> ProvenanceReader<Cursor<&[u8]>> {
    ProvenanceReader::open(Cursor::new(bytes)).unwrap()
}

/// Everything that a file says is what graph and records say.
fn assert_same(graph: &QuantumGraph, bytes: &[u8]) {
    let mut reader = open(bytes);
    assert_eq!(reader.run(), graph.output_run());
    assert_eq!(reader.counts().quanta as usize, graph.len());
    assert_eq!(reader.counts().datasets as usize, graph.dataset_count());
    assert_eq!(reader.pipeline_source(), graph.pipeline().pipeline().source());
    for index in graph.quanta() {
        let view = graph.quantum(index);
        assert_eq!(reader.find(*view.id.as_uuid()).unwrap(), Some(GraphNode::Quantum(index)));
        let expected = ProvenanceQuantum {
            index,
            id: view.id,
            task: view.task.label.clone(),
            data_id: view.data_id.clone(),
            status: status(index),
            inputs: view.inputs.iter().map(|inputs| inputs.datasets.to_vec()).collect(),
            outputs: view.outputs.clone(),
        };
        assert_eq!(reader.quantum(index).unwrap(), expected);
        assert_eq!(reader.execution(index).unwrap(), execution(index));
        assert_eq!(reader.has_log(index).unwrap(), !said(index).is_empty());
        let mut log = Vec::new();
        reader.copy_log(index, &mut log).unwrap();
        assert_eq!(log, said(index));
    }
    for index in graph.datasets() {
        let own = graph.dataset(index);
        assert_eq!(reader.find(*own.id.as_uuid()).unwrap(), Some(GraphNode::Dataset(index)));
        let found = reader.dataset(index).unwrap();
        assert_eq!((found.id, &found.data_id), (own.id, &own.data_id));
        assert_eq!(found.dataset_type, own.dataset_type);
        assert_eq!(found.producer, graph.producer(index));
        match own.origin {
            crate::DatasetOrigin::Existing { run, artifact } => {
                assert_eq!((found.run, found.state), (run, DatasetState::Present));
                assert_eq!(found.content, Some((artifact.size, artifact.checksum)));
            }
            crate::DatasetOrigin::Predicted => {
                assert_eq!((&found.run, found.state), (graph.output_run(), state(index)));
                assert_eq!(found.content, content(index));
            }
        }
        let readers: Vec<_> = graph.consumers(index).collect();
        assert_eq!(reader.readers(index).unwrap(), readers);
    }
    assert_eq!(reader.find(Uuid::from_u128(1)).unwrap(), None);
}

#[test]
fn what_is_written_is_read() {
    let graph = climate([1, 2]).build(CLIMATE_PIPELINE);
    assert_same(&graph, &file(&graph, true));
    let (source, pipeline) = survey(30, 11);
    let graph = source.build(pipeline);
    assert!(graph.len() > 10 * IN_BLOCK, "blocks are cut");
    assert_same(&graph, &file(&graph, true));
    // Of one type, some exist and some were made.
    let graph = skipping();
    assert_same(&graph, &file(&graph, true));
}

#[test]
fn a_graph_without_quanta_is_one_too() {
    let mut source = TestSource::new(crate::testing::CLIMATE);
    source.add_type("readings", &["city", "month"]);
    let graph = source.build(CLIMATE_PIPELINE);
    assert_eq!(graph.len(), 0);
    assert_same(&graph, &file(&graph, true));
}

/// Reads everything; the first error.
fn read_all(bytes: &[u8]) -> Result<(), GraphFileError> {
    let mut reader = ProvenanceReader::open(Cursor::new(bytes))?;
    let counts = reader.counts();
    for index in (0..counts.quanta).map(QuantumIndex) {
        let quantum = reader.quantum(index)?;
        reader.find(*quantum.id.as_uuid())?;
        reader.execution(index)?;
        reader.copy_log(index, &mut io::sink())?;
    }
    for index in (0..counts.datasets).map(DatasetIndex) {
        let dataset = reader.dataset(index)?;
        reader.find(*dataset.id.as_uuid())?;
        reader.readers(index)?;
    }
    Ok(())
}

#[test]
fn damage_is_an_error_or_changes_nothing() {
    let graph = climate([1]).build(CLIMATE_PIPELINE);
    let mut records = Records { graph: &graph, say: false };
    let mut whole = Cursor::new(Vec::new());
    write_provenance(&graph, &mut records, &mut whole).unwrap();
    let whole = whole.into_inner();
    read_all(&whole).unwrap();
    let mut noticed = 0;
    for i in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[i] ^= 0x20;
        if read_all(&damaged).is_err() {
            noticed += 1;
            continue;
        }
        // A byte of the zip directory that nobody looks at, such as a time.
        let mut reader = open(&damaged);
        for index in graph.quanta() {
            assert_eq!(reader.quantum(index).unwrap().id, graph.quantum_id(index), "{i}");
            assert_eq!(reader.execution(index).unwrap(), execution(index), "{i}");
        }
    }
    assert!(noticed > whole.len() * 9 / 10, "{noticed} of {}", whole.len());
    for end in (0..whole.len()).step_by(7) {
        assert!(read_all(&whole[..end]).is_err(), "cut at {end}");
    }
    let error = read_all(&whole[..whole.len() / 2]).unwrap_err().to_string();
    assert!(error.contains("not a whole graph file"), "{error}");
}

/// The file with one member replaced.
fn with_member(bytes: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).unwrap();
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        let own = member.name().unwrap().into_owned();
        out.start_file(&own, options).unwrap();
        if own == name {
            out.write_all(content).unwrap();
        } else {
            io::copy(&mut member, &mut out).unwrap();
        }
    }
    out.finish().unwrap().into_inner()
}

#[test]
fn other_files_and_versions_and_bombs_are_refused() {
    let graph = climate([1]).build(CLIMATE_PIPELINE);
    let whole = file(&graph, false);
    let header = |text: &str| zstd::bulk::compress(text.as_bytes(), 1).unwrap();
    let newer = header(r#"{"format": "pantler-provenance", "version": 9}"#);
    let refused = |bytes: &[u8]| read_all(bytes).unwrap_err().to_string();
    let error = refused(&with_member(&whole, "header.json.zst", &newer));
    assert!(error.contains("graph file version 9"), "{error}");
    let mut other = Cursor::new(Vec::new());
    crate::write(&graph, &mut other).unwrap();
    let error = refused(&other.into_inner());
    assert!(error.contains("its format is \"pantler-quantum-graph\""), "{error}");
    let bomb = zstd::bulk::compress(&vec![b' '; 80 << 20], 1).unwrap();
    for member in ["header.json.zst", "pipeline.json.zst", "runners.json.zst"] {
        let error = refused(&with_member(&whole, member, &bomb));
        assert!(error.contains(member) && error.contains("too large"), "{error}");
    }
    for member in ["quanta", "datasets", "metadata", "edges", "block_offsets", "nodes"] {
        let error = refused(&with_member(&whole, member, b""));
        assert!(error.contains(&format!("`{member}`")), "{error}");
        let error = refused(&with_member(&whole, member, &[0xff; 4000]));
        assert!(error.contains(&format!("`{member}`")), "{error}");
    }
}

proptest! {
    #[test]
    fn any_bytes_in_a_member_give_an_error(
        member in prop::sample::select(vec!["quanta", "datasets", "metadata", "edges", "nodes"]),
        content in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let graph = climate([1]).build(CLIMATE_PIPELINE);
        let mut records = Records { graph: &graph, say: false };
        let mut whole = Cursor::new(Vec::new());
        write_provenance(&graph, &mut records, &mut whole).unwrap();
        prop_assert!(read_all(&with_member(&whole.into_inner(), member, &content)).is_err());
    }
}

/// Counts what is read.
struct Counted {
    file: Cursor<Arc<[u8]>>,
    bytes: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.bytes.set(self.bytes.get() + n as u64);
        Ok(n)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Files in memory.
struct Files {
    runs: Vec<CollectionName>,
    /// What each is about, if they are of parts.
    parts: Vec<DataId>,
    contents: Vec<Arc<[u8]>>,
    bytes: Rc<Cell<u64>>,
}

impl Files {
    fn new(files: Vec<Vec<u8>>) -> Self {
        let run = |bytes: &Vec<u8>| open(bytes).run().clone();
        let runs = files.iter().map(run).collect();
        let contents = files.into_iter().map(Into::into).collect();
        Self { runs, parts: Vec::new(), contents, bytes: Rc::default() }
    }
}

impl ProvenanceSource for Files {
    type Reader = Counted;

    fn runs(&self) -> &[CollectionName] {
        &self.runs
    }

    fn part(&self, file: usize) -> Option<&DataId> {
        self.parts.get(file)
    }

    fn open(&mut self, file: usize) -> Result<Counted, Box<dyn Error + Send + Sync>> {
        let file = Cursor::new(Arc::clone(&self.contents[file]));
        Ok(Counted { file, bytes: Rc::clone(&self.bytes) })
    }
}

fn ids(graph: &mut ProvenanceGraph<Files>, nodes: &[RunNode]) -> BTreeSet<Uuid> {
    let mut found = BTreeSet::new();
    for node in nodes {
        match node.kind() {
            NodeKind::Quantum => {
                found.insert(*graph.quantum(*node).unwrap().unwrap().quantum.id.as_uuid());
            }
            NodeKind::Dataset => {
                found.insert(*graph.dataset(*node).unwrap().unwrap().dataset.id.as_uuid());
            }
        }
    }
    assert_eq!(found.len(), nodes.len(), "no id stands for two nodes");
    found
}

#[test]
fn expressions_select_what_they_select_in_the_graph() {
    for graph in [climate([1, 2]).build(CLIMATE_PIPELINE), skipping()] {
        assert_selects_the_same(&graph);
    }
}

fn assert_selects_the_same(graph: &QuantumGraph) {
    let statuses: Vec<_> = graph.quanta().map(status).collect();
    let existing = graph.overall_inputs().count();
    let states = graph
        .datasets()
        .map(|index| if index.get() < existing { DatasetState::Present } else { state(index) });
    let states: Vec<_> = states.collect();
    let mut files = ProvenanceGraph::new(Files::new(vec![file(graph, false)]));
    for text in [
        "daily & datasets",
        "daily@{city=bergen, month=1} & datasets",
        "quanta",
        "datasets - *_log",
        "..comparison",
        "readings@{city=oslo, month=2}..",
        "daily@{month=2}..monthly@{city=bergen}",
        "failed | poisoned",
        "succeeded - accepted",
        "started & daily",
        "blocked..",
        "~present & datasets",
        "invalidated",
        "year@{city=oslo} | *_log@{city=oslo}",
    ] {
        let expression = Expression::parse(text).unwrap();
        let mut predicted = PredictedGraph::new(graph, statuses.clone(), states.clone());
        let expected: BTreeSet<Uuid> = expression
            .evaluate(&mut predicted)
            .unwrap()
            .into_iter()
            .map(|node| match node {
                GraphNode::Quantum(index) => *graph.quantum_id(index).as_uuid(),
                GraphNode::Dataset(index) => *graph.dataset(index).id.as_uuid(),
            })
            .collect();
        let nodes = expression.evaluate(&mut files).unwrap();
        assert!(!nodes.is_empty() || graph.len() < 5, "{text}");
        assert_eq!(ids(&mut files, &nodes), expected, "{text}");
    }
}

const SECOND_PIPELINE: &str = "
version: 1
tasks:
  trend:
    dimensions: [city]
    inputs:
      months: {type: daily, multiple: true}
      readings: {type: readings, multiple: true}
    outputs:
      line: {type: trend, storage_class: Csv}
    command: [sh, '{outputs.line}', '{inputs.months}', '{inputs.readings}']
";

/// A RUN that reads what another made, and what that read.
fn second(first: &QuantumGraph) -> QuantumGraph {
    let mut source = climate([1, 2]);
    let daily = first.pipeline().dataset_types().iter().find(|t| t.name.as_str() == "daily");
    source.types.push(Arc::clone(daily.unwrap()));
    for index in first.datasets() {
        let dataset = first.dataset(index);
        if dataset.dataset_type.name.as_str() != "daily" {
            continue;
        }
        let key = pantler_core::ArtifactKey::new(format!("x@1/daily/{}", index.get())).unwrap();
        source.datasets.entry(dataset.dataset_type.name.clone()).or_default().push(
            crate::InputDataset {
                id: dataset.id,
                run: first.output_run().clone(),
                dataset_type: dataset.dataset_type.name.clone(),
                data_id: dataset.data_id,
                artifact: InputArtifact {
                    location: key.into(),
                    offset: None,
                    size: 1,
                    checksum: Checksum::of(b"x"),
                },
            },
        );
    }
    let opening = Uuid::from_u128(0x0190_dddd_cccc_7000_8000_0000_0000_0002);
    let metadata = GraphMetadata {
        scope: None,
        seed: IdSeed { opening: OpeningId::from_uuid(opening), generation: 0 },
        output_run: CollectionName::new("climate/2").unwrap(),
        created_at: Tai::from_nanos(1_900_000_000_000_000_000),
    };
    build(&source.resolve(SECOND_PIPELINE), &source, metadata).unwrap()
}

#[test]
fn what_one_run_made_and_another_read_is_one_dataset() {
    let first = climate([1, 2]).build(CLIMATE_PIPELINE);
    let second = second(&first);
    let (a, b) = (file(&first, false), file(&second, false));
    for files in [vec![a.clone(), b.clone()], vec![b.clone(), a.clone()]] {
        let mut graph = ProvenanceGraph::new(Files::new(files));
        let mut select = |text: &str| {
            let nodes = Expression::parse(text).unwrap().evaluate(&mut graph).unwrap();
            let mut found: Vec<String> = Vec::new();
            for node in nodes {
                if let Some(own) = graph.quantum(node).unwrap() {
                    found.push(format!("{} {}", own.quantum.task, own.quantum.data_id));
                }
                if let Some(own) = graph.dataset(node).unwrap() {
                    let dataset = own.dataset;
                    found.push(format!("{} {}", dataset.dataset_type.name, dataset.data_id));
                }
            }
            found.sort();
            found
        };
        // Upstream: through a quantum of the other RUN.
        assert_eq!(
            select("..trend@{city=bergen} & quanta"),
            ["daily city=bergen month=1", "daily city=bergen month=2", "trend city=bergen"]
        );
        // Downstream: readers in both, also of what neither made.
        assert_eq!(
            select("(readings@{city=bergen, month=1}.. - *_log) & (quanta | trend)"),
            [
                "compare {}",
                "daily city=bergen month=1",
                "trend city=bergen",
                "trend city=bergen",
                "year city=bergen"
            ]
        );
        assert_eq!(select("readings").len(), 14, "each once");
        assert_eq!(select("daily & datasets").len(), 14, "each once");
    }
    // Without the RUN that made it, a dataset is known all the same.
    let mut alone = ProvenanceGraph::new(Files::new(vec![b]));
    let nodes = Expression::parse("..trend@{city=bergen} & daily").unwrap();
    let nodes = nodes.evaluate(&mut alone).unwrap();
    assert_eq!(nodes.len(), 2);
    let found = alone.dataset(nodes[0]).unwrap().unwrap();
    assert_eq!((found.dataset.run.as_str(), found.producer), ("climate/1", None));
}

/// The same graph in a file for each value of the first dimension, and one for what has none.
fn parts(graph: &QuantumGraph) -> Vec<(Option<DataId>, Vec<u8>)> {
    let first = |data_id: &DataId| data_id.values().first().cloned();
    let values: BTreeSet<_> = graph.quanta().map(|q| first(&graph.quantum(q).data_id)).collect();
    let universe = graph.pipeline().universe();
    let group = universe.group([universe.elements()[0].name.as_str()]).unwrap();
    let part = |value: &Option<_>| {
        let is_meant = |index: QuantumIndex| first(&graph.quantum(index).data_id) == *value;
        let is_meant: Vec<bool> = graph.quanta().map(is_meant).collect();
        let mut bytes = Cursor::new(Vec::new());
        let mut records = Records { graph, say: true };
        write_provenance_of(graph, &is_meant, &mut records, &mut bytes).unwrap();
        let data_id = value.clone().map(|v| DataId::from_values(&group, vec![v]).unwrap());
        (data_id, bytes.into_inner())
    };
    values.iter().map(part).collect()
}

#[test]
fn what_a_part_says_is_what_the_whole_says() {
    let graph = climate([1, 2]).build(CLIMATE_PIPELINE);
    let whole = file(&graph, true);
    let mut whole = open(&whole);
    let mut seen = BTreeSet::new();
    for (_, part) in parts(&graph) {
        read_all(&part).unwrap();
        let mut part = open(&part);
        for index in (0..part.counts().quanta).map(QuantumIndex) {
            let own = part.quantum(index).unwrap();
            assert!(seen.insert(own.id));
            let there = graph.find(own.id).unwrap();
            let same = whole.quantum(there).unwrap();
            assert_eq!((own.task, own.data_id, own.status), (same.task, same.data_id, same.status));
            assert_eq!(part.execution(index).unwrap(), execution(there));
            let mut log = Vec::new();
            part.copy_log(index, &mut log).unwrap();
            assert_eq!(log, said(there));
            let here = own.inputs.into_iter().chain([own.outputs]);
            for (here, there) in here.zip(same.inputs.into_iter().chain([same.outputs])) {
                assert_eq!(here.len(), there.len());
                for (here, there) in here.into_iter().zip(there) {
                    let (own, same) = (part.dataset(here).unwrap(), whole.dataset(there).unwrap());
                    assert_eq!((own.id, own.run, own.content), (same.id, same.run, same.content));
                    assert_eq!(own.state, same.state);
                }
            }
        }
    }
    assert_eq!(seen.len(), graph.len());
}

#[test]
fn a_run_in_several_files_is_one_graph() {
    let (source, pipeline) = survey(5, 3);
    let survey = source.build(pipeline);
    let climate = climate([1, 2]).build(CLIMATE_PIPELINE);
    let of_survey = [
        "..summary",
        "flat@{detector=1}..",
        "isr@{visit=20260003, detector=2}..",
        "flat | raw@{visit=20260006}",
        "~quanta - *_log",
        "present",
    ];
    // What one file has made and another has read.
    let of_climate = [
        "..comparison",
        "daily@{city=bergen}..compare",
        "daily@{month=2}",
        "monthly",
        "~succeeded",
        "readings@{city=oslo, month=2}..",
    ];
    for (graph, expressions) in [(&survey, of_survey), (&climate, of_climate)] {
        let mut whole = ProvenanceGraph::new(Files::new(vec![file(graph, true)]));
        let (data_ids, parts): (Vec<_>, Vec<_>) = parts(graph).into_iter().unzip();
        for is_reversed in [false, true] {
            let (mut data_ids, mut parts) = (data_ids.clone(), parts.clone());
            if is_reversed {
                data_ids.reverse();
                parts.reverse();
            }
            let mut files = Files::new(parts);
            files.parts = data_ids.into_iter().collect::<Option<_>>().unwrap_or_default();
            assert_eq!(files.parts.is_empty(), std::ptr::eq(graph, &raw const climate));
            let mut files = ProvenanceGraph::new(files);
            for text in expressions {
                let expression = Expression::parse(text).unwrap();
                let nodes = expression.evaluate(&mut whole).unwrap();
                let expected = ids(&mut whole, &nodes);
                let nodes = expression.evaluate(&mut files).unwrap();
                assert_eq!(ids(&mut files, &nodes), expected, "{text}");
                assert!(!expected.is_empty(), "{text}");
            }
        }
    }
}

/// Ancestors of a table over 21 detectors in a file of `visits * 43` quanta: 43 quanta, 21
/// raw, 21 flat, 42 images and the table.
fn ancestors_in(visits: i64) -> (u64, u64) {
    let (source, pipeline) = survey(visits, 21);
    let graph = source.build(pipeline);
    let (file, quanta) = (file(&graph, false), graph.len());
    assert!(quanta >= usize::try_from(visits).unwrap() * 43);
    let table = middle_table(&graph);
    let len = file.len() as u64;
    let files = Files::new(vec![file]);
    let bytes = Rc::clone(&files.bytes);
    let mut graph = ProvenanceGraph::new(files);
    bytes.set(0);
    let expression = Expression::parse(&format!("..{table}")).unwrap();
    let nodes = expression.evaluate(&mut graph).unwrap();
    assert_eq!(nodes.len(), 43 + 21 + 21 + 42 + 1);
    assert_eq!(ids(&mut graph, &nodes).len(), nodes.len());
    (bytes.get(), len)
}

/// The summary of a visit in the middle.
fn middle_table(graph: &QuantumGraph) -> Uuid {
    let is_table =
        |index: &DatasetIndex| graph.dataset(*index).dataset_type.name.as_str() == "summary";
    let tables: Vec<DatasetIndex> = graph.datasets().filter(is_table).collect();
    *graph.dataset(tables[tables.len() / 2]).id.as_uuid()
}

#[test]
fn ancestors_are_found_without_reading_the_rest() {
    // Directory, header and pipeline, some pages of the address table, and for each of the
    // 128 nodes its block, its edges and a page of offsets, of which neighbours share most.
    const BOUND: u64 = 128 << 10;
    let (small, small_file) = ancestors_in(40);
    let (large, large_file) = ancestors_in(2400);
    println!("read {small} of {small_file} bytes, and {large} of {large_file}");
    assert!(large_file > 30 * small_file && large_file > 19 << 20);
    assert!(large < BOUND, "{large} bytes of {large_file}");
    assert!(large < small + (64 << 10), "{large} in the large file, {small} in the small one");
}
