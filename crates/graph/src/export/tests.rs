use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::testing::{CLIMATE_PIPELINE, climate, survey};

const FORMATS: [ExportFormat; 5] = [
    ExportFormat::Json,
    ExportFormat::GraphMl,
    ExportFormat::Dot,
    ExportFormat::Mermaid,
    ExportFormat::Svg,
];

fn text_of(graph: &QuantumGraph, format: ExportFormat) -> String {
    let mut bytes = Vec::new();
    export_graph(graph, format, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn pipeline_text(graph: &QuantumGraph, format: ExportFormat) -> String {
    let mut bytes = Vec::new();
    export_pipeline(graph.pipeline(), format, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn ids(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect()
}

#[test]
fn json_says_what_the_graph_has() {
    let (source, pipeline) = survey(3, 4);
    for graph in [source.build(pipeline), climate(1..=5).build(CLIMATE_PIPELINE)] {
        let document: Value = serde_json::from_str(&text_of(&graph, ExportFormat::Json)).unwrap();
        assert_eq!(
            (&document["format"], &document["version"]),
            (&"pantler-graph-export".into(), &1.into())
        );
        assert_eq!(document["run"], "climate/1");
        assert_eq!(document["seed"]["opening_id"], graph.seed().opening.to_string());

        let quanta = document["quanta"].as_array().unwrap();
        assert_eq!(quanta.len(), graph.len());
        for (found, index) in quanta.iter().zip(graph.quanta()) {
            let view = graph.quantum(index);
            assert_eq!(found["id"], view.id.to_string());
            assert_eq!(found["task"], view.task.label.as_str());
            assert_eq!(found["data_id"], serde_json::to_value(&view.data_id).unwrap());
            assert_eq!(found["inputs"].as_object().unwrap().len(), view.inputs.len());
            for input in &view.inputs {
                let expected: Vec<_> =
                    input.datasets.iter().map(|d| graph.dataset(*d).id.to_string()).collect();
                assert_eq!(ids(&found["inputs"][&input.connection.name]), expected);
            }
            assert_eq!(found["outputs"].as_object().unwrap().len(), view.outputs.len());
            for (output, index) in view.task.outputs.iter().zip(&view.outputs) {
                assert_eq!(found["outputs"][&output.name], graph.dataset(*index).id.to_string());
            }
        }
        let datasets = document["datasets"].as_array().unwrap();
        assert_eq!(datasets.len(), graph.dataset_count());
        for (found, index) in datasets.iter().zip(graph.datasets()) {
            let dataset = graph.dataset(index);
            assert_eq!(found["id"], dataset.id.to_string());
            assert_eq!(found["dataset_type"], dataset.dataset_type.name.as_str());
            assert_eq!(found["data_id"], serde_json::to_value(&dataset.data_id).unwrap());
            assert_eq!(found["predicted"], graph.producer(index).is_some());
            let run = match &dataset.origin {
                crate::DatasetOrigin::Existing { run, .. } => run,
                crate::DatasetOrigin::Predicted => graph.output_run(),
            };
            assert_eq!(found["run"], run.as_str());
        }
        let labels: Vec<_> = graph.pipeline().tasks().iter().map(|t| t.label.as_str()).collect();
        let tasks = document["tasks"].as_array().unwrap();
        assert_eq!(tasks.iter().map(|t| t["task"].as_str().unwrap()).collect::<Vec<_>>(), labels);
        let types = document["dataset_types"].as_array().unwrap();
        assert_eq!(types.len(), graph.pipeline().dataset_types().len());
    }
}

#[test]
fn dataset_counts_add_up() {
    let graph = climate(1..=5).build(CLIMATE_PIPELINE);
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for index in graph.datasets() {
        *counted.entry(graph.dataset(index).dataset_type.name.to_string()).or_default() += 1;
    }
    let counts: BTreeMap<_, _> =
        graph.dataset_counts().map(|(t, count)| (t.name.to_string(), count)).collect();
    assert_eq!(counts, counted);
    assert_eq!(counts["readings"], 17);
}

#[test]
fn every_format_has_every_node_and_edge() {
    let (source, pipeline) = survey(2, 3);
    let graph = source.build(pipeline);
    let quanta = 2 * 3 * 2 + 2;
    let logs = quanta;
    let drawn = graph.dataset_count() - logs;
    // isr and calibrate read two datasets, a summary three; each quantum makes one and a log.
    let (reads, writes) = (6 * 2 + 6 * 2 + 2 * 3, quanta);
    let lines = |format, what: &str| text_of(&graph, format).matches(what).count();
    assert_eq!(lines(ExportFormat::GraphMl, "<node "), quanta + graph.dataset_count());
    assert_eq!(lines(ExportFormat::GraphMl, "<edge "), reads + writes + logs);
    assert_eq!(lines(ExportFormat::Dot, "[label="), quanta + drawn);
    assert_eq!(lines(ExportFormat::Dot, " -> "), reads + writes);
    assert_eq!(lines(ExportFormat::Mermaid, "<br/>"), quanta + drawn);
    assert_eq!(lines(ExportFormat::Mermaid, " --> "), reads + writes);
    assert_eq!(lines(ExportFormat::Svg, "<g class="), quanta + drawn);
    assert_eq!(lines(ExportFormat::Svg, "<path d=\"M") - 1, reads + writes, "and the arrow");
}

#[test]
fn a_log_that_a_task_reads_is_drawn() {
    let pipeline = "
version: 1
tasks:
  first: {dimensions: [city, month], inputs: {in: readings}, command: [x]}
  second: {dimensions: [city, month], inputs: {in: first_log}, command: [x]}
";
    let graph = climate(1..=1).build(pipeline);
    for format in [ExportFormat::Dot, ExportFormat::Mermaid, ExportFormat::Svg] {
        let text = pipeline_text(&graph, format);
        assert!(text.contains("first_log") && !text.contains("second_log"), "{text}");
    }
}

#[test]
fn a_large_graph_is_no_picture() {
    let (source, pipeline) = survey(10, 5);
    let graph = source.build(pipeline);
    let mut bytes = Vec::new();
    let error = export_graph(&graph, ExportFormat::Svg, &mut bytes).unwrap_err();
    // 110 quanta with an output each, 50 raw and 5 flat.
    assert_eq!(
        error.to_string(),
        "the graph has 275 quanta and datasets (without logs), and a picture shows 200 at most: take json, graphml, dot or mermaid, or the picture of its pipeline"
    );
    assert!(bytes.is_empty());
    assert!(pipeline_text(&graph, ExportFormat::Svg).ends_with("</svg>\n"));
}

#[test]
fn boxes_do_not_overlap_and_edges_go_right() {
    let graph = climate(1..=12).build(CLIMATE_PIPELINE);
    let layout = layout::Layout::of(&Quanta::new(&graph));
    // readings, daily, days, year, tables, compare, its outputs.
    assert_eq!(layout.layers.iter().map(Vec::len).collect::<Vec<_>>(), [24, 24, 24, 2, 4, 1, 3]);
    for layer in &layout.layers {
        assert!(layer.is_sorted_by(|a, b| a.1 + layout::PITCH == b.1), "{layer:?}");
    }
    let text = text_of(&graph, ExportFormat::Svg);
    let edges: Vec<&str> = text.lines().filter(|l| l.starts_with("<path d=\"M")).collect();
    assert_eq!(edges.len(), 24 + 24 + 24 + 4 + 2 + 3);
    for line in edges {
        let numbers: Vec<i64> =
            line.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        assert!(numbers[0] < numbers[6], "{line}");
    }
    // Readings stand in the order of what is made of them: no edge crosses there.
    let heights: BTreeMap<_, _> =
        layout.layers.iter().flatten().map(|(p, y)| (format!("{p:?}"), y)).collect();
    let source = Quanta::new(&graph);
    let straight = (0..24).filter(|step| {
        let datum = layout::Place::Datum(source.reads(*step)[0].datum);
        heights[&format!("{datum:?}")] == heights[&format!("{:?}", layout::Place::Step(*step))]
    });
    assert_eq!(straight.count(), 24);
}

#[test]
fn text_is_escaped_everywhere() {
    let mut source = crate::testing::TestSource::new(crate::testing::CLIMATE);
    source.add_type("readings", &["city", "month"]);
    source.add("readings", vec!["</text>&\"']--><x>".into(), 1.into()]);
    let graph = source.build(CLIMATE_PIPELINE);
    for format in FORMATS {
        let text = text_of(&graph, format);
        match format {
            ExportFormat::Json => {
                let document: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(document["quanta"][0]["data_id"]["city"], "</text>&\"']--><x>");
            }
            ExportFormat::GraphMl | ExportFormat::Svg => {
                assert!(text.contains("&lt;/text&gt;&amp;&quot;&apos;]--&gt;&lt;x&gt;"), "{text}");
                assert!(!text.contains("<x>"), "{text}");
                assert_eq!(text.matches("<text").count(), text.matches("</text").count());
            }
            ExportFormat::Dot => {
                assert!(text.contains(r#"</text>&amp;\"']--><x>"#), "{text}");
            }
            ExportFormat::Mermaid => {
                assert!(text.contains("#60;/text#62;#38;#34;#39;]--#62;#60;x#62;"), "{text}");
                assert!(!text.contains("<x>"), "{text}");
            }
        }
    }
}

#[test]
fn an_empty_graph_is_written() {
    let mut source = crate::testing::TestSource::new(crate::testing::CLIMATE);
    source.add_type("readings", &["city", "month"]);
    let graph = source.build(CLIMATE_PIPELINE);
    assert!(graph.is_empty());
    for format in FORMATS {
        let text = text_of(&graph, format);
        assert!(text.ends_with('\n') && !text.contains("daily "), "{text}");
    }
    assert_eq!(text_of(&graph, ExportFormat::Mermaid), "flowchart LR\n");
    let document: Value = serde_json::from_str(&text_of(&graph, ExportFormat::Json)).unwrap();
    assert_eq!(
        (&document["quanta"], &document["datasets"]),
        (&Value::Array(Vec::new()), &Value::Array(Vec::new()))
    );
}

/// Takes a number of bytes, and then fails.
struct Short(usize);

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_fails_is_an_error() {
    let graph = climate(1..=2).build(CLIMATE_PIPELINE);
    for format in FORMATS {
        let whole = text_of(&graph, format).len();
        for room in [0, whole / 2, whole - 1] {
            let error = export_graph(&graph, format, &mut Short(room)).unwrap_err();
            let ExportError::Io(error) = error else { panic!("{error}") };
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{format:?} with room for {room}");
        }
        export_graph(&graph, format, &mut Short(whole)).unwrap();
    }
}

#[test]
fn ids_of_nodes_are_unique() {
    let graph = climate(1..=12).build(CLIMATE_PIPELINE);
    let source = Quanta::new(&graph);
    let steps = (0..source.step_count()).map(|step| source.step_id(step));
    let ids: BTreeSet<_> =
        steps.chain((0..source.datum_count()).map(|d| source.datum_id(d))).collect();
    assert_eq!(ids.len(), graph.len() + graph.dataset_count());
    // A task and a dataset type may have the same name.
    let text = pipeline_text(&graph, ExportFormat::GraphMl);
    assert!(text.contains("id=\"task:daily\"") && text.contains("id=\"dataset_type:daily\""));
}
