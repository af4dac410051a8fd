use std::{
    cell::Cell,
    io::{self, Cursor, Read, Seek, SeekFrom, Write as _},
    rc::Rc,
};

use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{
    graph::QuantumGraph,
    testing::{CLIMATE_PIPELINE, SURVEY, TestSource, choosy, climate, skipping, survey},
};

pub(super) fn bytes_of(graph: &QuantumGraph) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    write(graph, &mut file).unwrap();
    file.into_inner()
}

/// Counts what is read from it.
struct Counting<R> {
    inner: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes.set(self.bytes.get() + n as u64);
        Ok(n)
    }
}

impl<R: Seek> Seek for Counting<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Checks that a stored quantum is the one in the graph.
fn assert_same(graph: &QuantumGraph, stored: &StoredQuantum) {
    let view = graph.quantum(graph.find(stored.id).unwrap());
    assert_eq!(
        (view.index, &view.task.label, &view.data_id),
        (stored.index, &stored.task, &stored.data_id)
    );
    assert_eq!(view.inputs.len(), stored.inputs.len());
    for (inputs, stored) in view.inputs.iter().zip(&stored.inputs) {
        assert_eq!(inputs.connection.name, stored.name);
        let datasets: Vec<_> = inputs.datasets.iter().map(|d| graph.dataset(*d)).collect();
        assert_eq!(datasets, stored.datasets);
    }
    assert_eq!(view.outputs.len(), stored.outputs.len());
    for ((output, connection), stored) in
        view.outputs.iter().zip(&view.task.outputs).zip(&stored.outputs)
    {
        assert_eq!(connection.name, stored.name);
        assert_eq!(graph.dataset(*output), stored.dataset);
    }
}

/// Graphs with everything that the format treats apart: implied dimensions, no dimensions,
/// no quanta, existing and predicted multiple inputs.
pub(super) fn graphs() -> Vec<QuantumGraph> {
    let mut implied = TestSource::new(SURVEY);
    implied.add_type("raw", &["visit", "detector"]);
    implied.add_type("sky", &["band"]);
    for (filter, band) in [("g_1", "g"), ("r_1", "r")] {
        implied.add_record("physical_filter", vec!["cam".into(), filter.into()], &[("band", band)]);
        implied.add("sky", vec![band.into()]);
        implied.add_record("band", vec![band.into()], &[]);
    }
    for visit in 0..30 {
        let filter = if visit % 3 == 0 { "g_1" } else { "r_1" };
        implied.add_record(
            "visit",
            vec!["cam".into(), visit.into()],
            &[("physical_filter", filter)],
        );
        for detector in 0..4 {
            implied.add("raw", vec!["cam".into(), visit.into(), detector.into()]);
        }
    }
    let implied = implied.build(
        "
version: 1
tasks:
  sky_model: {dimensions: [band], inputs: {s: sky}, outputs: {m: {type: model, storage_class: Json}}, task: x}
  isr: {dimensions: [visit, detector], inputs: {raw: raw, model: model}, outputs: {o: {type: image, storage_class: Bytes}}, task: x}
  visit_sum: {dimensions: [visit], inputs: {raws: {type: raw, multiple: true}, own: {type: image, multiple: true}}, task: x}
  coadd: {dimensions: [band], inputs: {i: {type: image, multiple: true}, m: {type: model, multiple: true}}, task: x}
",
    );
    let (source, pipeline) = survey(20, 7);
    vec![
        climate(1..=11).build(CLIMATE_PIPELINE),
        climate([]).build("version: 1\nconfig: {u: C}\ntasks:\n  a: {dimensions: [city], task: x}\n  b: {dimensions: [], command: [sh, '{config.u}']}\n"),
        implied,
        source.build(pipeline),
        choosy(),
        skipping(),
    ]
}

#[test]
fn graphs_come_back() {
    for graph in graphs() {
        let bytes = bytes_of(&graph);
        let back = read(Cursor::new(&bytes)).unwrap();
        assert_eq!(back.metadata(), graph.metadata());
        assert_eq!(back.len(), graph.len());
        assert_eq!(back.dataset_count(), graph.dataset_count());
        assert_eq!(back.pipeline().pipeline().source(), graph.pipeline().pipeline().source());
        assert_eq!(back.pipeline().pipeline().digest(), graph.pipeline().pipeline().digest());
        for quantum in graph.quanta() {
            let (one, two) = (graph.quantum(quantum), back.quantum(quantum));
            assert_eq!((one.id, one.data_id, one.outputs), (two.id, two.data_id, two.outputs));
            assert_eq!(graph.upstream(quantum), back.upstream(quantum));
            assert_eq!(graph.downstream(quantum), back.downstream(quantum));
        }
        for dataset in graph.datasets() {
            assert_eq!(graph.dataset(dataset), back.dataset(dataset));
        }
        assert_eq!(bytes_of(&back), bytes);
        let mut reader = GraphReader::open(Cursor::new(&bytes)).unwrap();
        assert_eq!(reader.counts().quanta as usize, graph.len());
        assert!(reader.producer().starts_with("pantler "));
        for quantum in graph.quanta() {
            let stored = reader.quantum(graph.quantum_id(quantum)).unwrap().unwrap();
            assert_same(&graph, &stored);
        }
        let none = pantler_core::QuantumId::from_uuid(uuid::Uuid::nil());
        assert!(reader.quantum(none).unwrap().is_none());
    }
}

#[test]
fn the_same_build_gives_the_same_bytes() {
    let (mut source, pipeline) = survey(20, 7);
    let bytes = bytes_of(&source.build(pipeline));
    assert_eq!(bytes_of(&source.build(pipeline)), bytes);
    source.datasets.values_mut().for_each(|datasets| datasets.reverse());
    assert_eq!(bytes_of(&source.build(pipeline)), bytes);
}

#[test]
fn one_quantum_of_many_takes_few_bytes() {
    let (source, pipeline) = survey(498, 100);
    let graph = source.build(pipeline);
    assert!(graph.len() >= 100_000);
    let bytes = bytes_of(&graph);
    let each = bytes.len() / graph.len();
    println!("{} quanta, {each} bytes each", graph.len());
    assert!(each < 120, "{each} bytes a quantum");
    let mut most = 0;
    for quantum in graph.quanta().step_by(graph.len() / 40) {
        let count = Rc::new(Cell::new(0));
        let file = Counting { inner: Cursor::new(&bytes), bytes: Rc::clone(&count) };
        let mut reader = GraphReader::open(file).unwrap();
        let stored = reader.quantum(graph.quantum_id(quantum)).unwrap().unwrap();
        most = most.max(count.get());
        assert_same(&graph, &stored);
    }
    println!("at most {most} bytes read");
    assert!(most <= 64 << 10, "{most} bytes read");
}

#[test]
fn an_excerpt_has_what_is_upstream_and_nothing_else() {
    let mut excerpts = 0;
    for graph in graphs() {
        let bytes = bytes_of(&graph);
        let mut reader = GraphReader::open(Cursor::new(&bytes)).unwrap();
        if reader.has_found() {
            let any = graph.quantum_id(graph.quanta().next().unwrap());
            assert!(reader.excerpt(&[any]).unwrap().is_none());
            continue;
        }
        for quantum in graph.quanta().step_by(graph.len() / 9 + 1) {
            let id = graph.quantum_id(quantum);
            let excerpt = reader.excerpt(&[id]).unwrap().expect("the graphs are small");
            let mut wanted = vec![quantum];
            let mut at = 0;
            while at < wanted.len() {
                for up in graph.upstream(wanted[at]) {
                    if !wanted.contains(&up) {
                        wanted.push(up);
                    }
                }
                at += 1;
            }
            assert_eq!(excerpt.len(), wanted.len());
            let ids = |graph: &QuantumGraph, quanta: Vec<crate::QuantumIndex>| -> Vec<_> {
                quanta.into_iter().map(|quantum| graph.quantum_id(quantum)).collect()
            };
            for index in wanted {
                let whole = graph.quantum(index);
                let own = excerpt.find(whole.id).expect("it is upstream");
                let part = excerpt.quantum(own);
                assert_eq!((&part.task.label, &part.data_id), (&whole.task.label, &whole.data_id));
                let datasets = |graph: &QuantumGraph, all: &[crate::DatasetIndex]| -> Vec<_> {
                    all.iter().map(|dataset| graph.dataset(*dataset)).collect()
                };
                assert_eq!(datasets(&excerpt, &part.outputs), datasets(&graph, &whole.outputs));
                for (part, whole) in part.inputs.iter().zip(&whole.inputs) {
                    assert_eq!(part.connection.name, whole.connection.name);
                    assert_eq!(datasets(&excerpt, part.datasets), datasets(&graph, whole.datasets));
                }
                assert_eq!(
                    ids(&excerpt, excerpt.upstream(own)),
                    ids(&graph, graph.upstream(index))
                );
            }
            // It is a graph like any other.
            assert_eq!(
                bytes_of(&read(Cursor::new(bytes_of(&excerpt))).unwrap()),
                bytes_of(&excerpt)
            );
        }
        excerpts += 1;
        let unknown = pantler_core::QuantumId::from_uuid(uuid::Uuid::from_u128(1));
        assert_eq!(reader.excerpt(&[unknown]).unwrap().map(|graph| graph.len()), Some(0));
    }
    assert!(excerpts > 1);
}

#[test]
fn an_excerpt_of_a_large_graph_takes_few_bytes_or_is_not_made() {
    let (source, pipeline) = survey(98, 100);
    let graph = source.build(pipeline);
    let bytes = bytes_of(&graph);
    let ids: Vec<_> = graph.quanta().map(|quantum| graph.quantum_id(quantum)).collect();
    let count = Rc::new(Cell::new(0));
    let file = Counting { inner: Cursor::new(&bytes), bytes: Rc::clone(&count) };
    let mut reader = GraphReader::open(file).unwrap();
    let excerpt = reader.excerpt(&[ids[ids.len() / 3]]).unwrap().expect("one quantum");
    println!("{} of {} quanta, {} of {} bytes", excerpt.len(), ids.len(), count.get(), bytes.len());
    assert!(excerpt.len() < 10 && count.get() < 128 << 10);
    assert!(reader.excerpt(&ids[..ids.len() / 3]).unwrap().is_none());
}

#[test]
fn a_quantum_with_an_input_of_its_own_takes_few_bytes() {
    let (source, _) = survey(1000, 100);
    let pipeline =
        "version: 1\ntasks:\n  isr: {dimensions: [visit, detector], inputs: {raw: raw}, task: x}\n";
    let graph = source.build(pipeline);
    let each = bytes_of(&graph).len() / graph.len();
    println!("{} quanta, {each} bytes each", graph.len());
    assert!(each < 120, "{each} bytes a quantum");
}

/// A file, changed: an error, or the same graph. A reader of one quantum: an error, nothing,
/// or the same quantum.
fn assert_safe(graph: &QuantumGraph, whole: &[u8], damaged: &[u8], what: &str) {
    if let Ok(back) = read(Cursor::new(damaged)) {
        assert!(bytes_of(&back) == whole, "{what}: another graph");
    }
    if let Ok(mut reader) = GraphReader::open(Cursor::new(damaged)) {
        for quantum in graph.quanta().step_by(graph.len() / 5 + 1) {
            if let Ok(Some(stored)) = reader.quantum(graph.quantum_id(quantum)) {
                assert_same(graph, &stored);
            }
        }
    }
}

/// Where the contents of the members stand.
fn contents(bytes: &[u8]) -> Vec<(String, std::ops::Range<usize>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut spans = Vec::new();
    for i in 0..archive.len() {
        let file = archive.by_index(i).unwrap();
        let start = usize::try_from(file.data_start().unwrap()).unwrap();
        let end = start + usize::try_from(file.size()).unwrap();
        spans.push((file.name().unwrap().into_owned(), start..end));
    }
    spans
}

#[test]
fn a_flipped_byte_is_an_error_or_does_not_matter() {
    let graph = climate(1..=12).build(CLIMATE_PIPELINE);
    let bytes = bytes_of(&graph);
    let contents = contents(&bytes);
    for i in 0..bytes.len() {
        // All of the zip's own bytes, and samples of what checksums cover.
        let inside = contents.iter().any(|(_, span)| span.contains(&i));
        let masks: &[u8] = match (inside, i % 16) {
            (false, _) => &[0x01, 0x80, 0xff],
            (true, 0) => &[0x20],
            (true, _) => &[],
        };
        for mask in masks {
            let mut damaged = bytes.clone();
            damaged[i] ^= mask;
            assert_safe(&graph, &bytes, &damaged, &format!("byte {i} ^ {mask}"));
        }
    }
}

#[test]
fn a_flipped_byte_in_content_is_an_error() {
    let graph = graphs().pop().unwrap();
    let bytes = bytes_of(&graph);
    for (name, span) in contents(&bytes) {
        for at in span.step_by(13) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x04;
            let error = read(Cursor::new(&damaged)).unwrap_err();
            assert!(error.to_string().contains(&name), "{name} at {at}: {error}");
        }
    }
}

#[test]
fn a_cut_file_is_an_error() {
    let graph = graphs().pop().unwrap();
    let bytes = bytes_of(&graph);
    for end in (0..bytes.len()).step_by(41) {
        assert!(read(Cursor::new(&bytes[..end])).is_err(), "cut at {end}");
        assert!(GraphReader::open(Cursor::new(&bytes[..end])).is_err(), "cut at {end}");
    }
}

/// The file with some members replaced (by raw bytes) or dropped.
pub(super) fn with_members(
    bytes: &[u8],
    change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>,
) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for i in 0..archive.len() {
        let mut content = Vec::new();
        let mut file = archive.by_index(i).unwrap();
        file.read_to_end(&mut content).unwrap();
        let name = file.name().unwrap().into_owned();
        if let Some(content) = change(&name, content) {
            zip.start_file(name, options).unwrap();
            zip.write_all(&content).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

/// The file with the text of a JSON member changed.
fn with_json(bytes: &[u8], member: &str, change: impl Fn(String) -> String) -> Vec<u8> {
    with_members(bytes, |name, content| {
        if name != member {
            return Some(content);
        }
        let text = String::from_utf8(zstd::decode_all(&*content).unwrap()).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "nothing was changed");
        Some(zstd::encode_all(changed.as_bytes(), 3).unwrap())
    })
}

#[test]
fn faults_are_named() {
    let graph = climate(1..=12).build(CLIMATE_PIPELINE);
    let bytes = bytes_of(&graph);
    let fault = |bytes: Vec<u8>| read(Cursor::new(bytes)).unwrap_err();
    for member in [
        "header.json.zst",
        "pipeline.json.zst",
        "dimension_data.json.zst",
        "thin_graph.json.zst",
        "init_quanta.json.zst",
        "input_datasets",
        "quantum_datasets",
        "quanta",
    ] {
        let without = with_members(&bytes, |name, content| (name != member).then_some(content));
        let error = fault(without);
        assert!(matches!(error, GraphFileError::MissingMember(m) if m == member), "{error}");
        let empty = with_members(&bytes, |name, content| {
            Some(if name == member { Vec::new() } else { content })
        });
        fault(empty);
    }
    let header = |from: &'static str, to: &'static str| {
        fault(with_json(&bytes, "header.json.zst", |text| text.replace(from, to)))
    };
    assert_eq!(
        header("\"version\":1", "\"version\":4").to_string(),
        "graph file version 4: this program reads versions 1 to 3; a newer pantler may read it"
    );
    assert_eq!(
        header("pantler-quantum-graph", "cake").to_string(),
        "this is not a graph file: its format is \"cake\", expected \"pantler-quantum-graph\""
    );
    header("\"quanta\":27", "\"quanta\":28");
    header("\"existing\":24", "\"existing\":23");
    header("\"generation\":0", "\"generation\":1");
    let thin = |from: &'static str, to: &'static str| {
        fault(with_json(&bytes, "thin_graph.json.zst", |text| text.replacen(from, to, 1)))
    };
    thin("[[0,1],[1,23]]", "[[1,1],[1,23]]");
    thin("[[0,1],[1,23]]", "[[1,1],[0,22],[-1,1]]");
    thin("\"quanta\":24", "\"quanta\":4000000000");
    thin("[[12,1],[0,1]]", "[[4000000000,1],[0,1]]");
    thin("[[12,1],[0,1]]", "[[13,1],[-2,1]]");
    let values =
        with_json(&bytes, "dimension_data.json.zst", |text| text.replace("oslo", "osl\u{1}"));
    assert!(fault(values).to_string().contains("control"));
    let pipeline =
        with_json(&bytes, "pipeline.json.zst", |text| text.replace("\"readings\"", "\"Readings\""));
    fault(pipeline);
    assert!(matches!(fault(b"no zip at all".to_vec()), GraphFileError::NotAZip(_)));
    assert!(matches!(fault(Vec::new()), GraphFileError::NotAZip(_)));
}

#[test]
fn bombs_are_refused() {
    let graph = climate(1..=12).build(CLIMATE_PIPELINE);
    let bytes = bytes_of(&graph);
    for member in ["header.json.zst", "pipeline.json.zst", "thin_graph.json.zst"] {
        let bomb = with_members(&bytes, |name, content| {
            Some(if name == member {
                zstd::encode_all(io::repeat(b' ').take(300 << 20), 1).unwrap()
            } else {
                content
            })
        });
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        let error = read(Cursor::new(bomb)).unwrap_err();
        assert!(matches!(error, GraphFileError::TooLarge { .. }), "{member}: {error}");
    }
}

/// Nothing but the zip format is needed to get at the members.
#[test]
fn a_graph_file_is_an_ordinary_zip_file() {
    let graph = climate(1..=12).build(CLIMATE_PIPELINE);
    let mut archive = ZipArchive::new(Cursor::new(bytes_of(&graph))).unwrap();
    let mut names = Vec::new();
    for i in 0..archive.len() {
        let mut file = archive.by_index(i).unwrap();
        let mut content = Vec::new();
        // Reading to the end compares the zip's own checksum.
        file.read_to_end(&mut content).unwrap();
        let name = file.name().unwrap().into_owned();
        if name.ends_with(".json.zst") {
            let text = zstd::decode_all(&*content).unwrap();
            serde_json::from_slice::<serde_json::Value>(&text).unwrap();
        }
        names.push(name);
    }
    assert_eq!(
        names,
        [
            "header.json.zst",
            "pipeline.json.zst",
            "dimension_data.json.zst",
            "thin_graph.json.zst",
            "init_quanta.json.zst",
            "input_datasets",
            "quantum_datasets",
            "quanta",
        ]
    );
}
