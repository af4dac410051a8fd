use std::collections::BTreeMap;

use pantler_core::{DataId, KeyValue, Restriction, TaskLabel};
use proptest::prelude::*;

use super::*;
use crate::{
    MergeError,
    dataset::DatasetOrigin,
    testing::{
        CHOOSY, CLIMATE_PIPELINE, SURVEY, TestSource, choosy_source, climate, metadata, survey,
    },
};

fn part(
    source: &TestSource,
    pipeline: &str,
    tasks: &[&str],
    restriction: &str,
    base: Option<&QuantumGraph>,
) -> QuantumGraph {
    let tasks: BTreeSet<_> = tasks.iter().map(|t| TaskLabel::new(*t).unwrap()).collect();
    let restriction = match restriction {
        "" => None,
        text => Some(Restriction::parse(text, &source.universe).unwrap()),
    };
    let scope = BuildScope {
        tasks: (!tasks.is_empty()).then_some(&tasks),
        restriction: restriction.as_ref(),
        base,
    };
    build_part(&source.resolve(pipeline), source, metadata(), &scope).unwrap()
}

/// Written and read, as in a workspace.
fn stored(graph: &QuantumGraph) -> QuantumGraph {
    let mut bytes = std::io::Cursor::new(Vec::new());
    crate::write(graph, &mut bytes).unwrap();
    crate::read(std::io::Cursor::new(bytes.into_inner())).unwrap()
}

fn merged(parts: &[&QuantumGraph]) -> QuantumGraph {
    QuantumGraph::merge(parts.iter().map(|part| stored(part)).collect()).unwrap()
}

fn counts(graph: &QuantumGraph) -> Vec<String> {
    graph.counts().map(|(task, n)| format!("{} {n}", task.label)).collect()
}

fn said(graph: &QuantumGraph) -> Vec<String> {
    graph.skipped().iter().map(ToString::to_string).collect()
}

type Names = BTreeSet<(String, DataId)>;

fn quanta(graph: &QuantumGraph) -> Names {
    let name = |index| (graph.task_of(index).label.to_string(), graph.quantum(index).data_id);
    graph.quanta().map(name).collect()
}

/// What each quantum reads, by connection: types and data IDs in order.
type Read = BTreeMap<(String, DataId), Vec<Vec<(String, DataId)>>>;

fn inputs(graph: &QuantumGraph) -> Read {
    let read = |index| {
        let view = graph.quantum(index);
        let of = |dataset: &DatasetIndex| {
            let dataset = graph.dataset(*dataset);
            (dataset.dataset_type.name.to_string(), dataset.data_id)
        };
        let inputs = view.inputs.iter().map(|input| input.datasets.iter().map(of).collect());
        ((view.task.label.to_string(), view.data_id.clone()), inputs.collect())
    };
    graph.quanta().map(read).collect()
}

/// The data IDs of the existing datasets of a type.
fn existing(graph: &QuantumGraph, dataset_type: &str) -> Vec<String> {
    let all = graph.overall_inputs().map(|index| graph.dataset(index));
    all.filter(|dataset| dataset.dataset_type.name.as_str() == dataset_type)
        .map(|dataset| dataset.data_id.to_string())
        .collect()
}

#[test]
fn what_exists_is_read_and_what_is_missing_is_built() {
    let mut source = climate(1..=3);
    source.add_outputs(CLIMATE_PIPELINE, |task, data_id, _| {
        task == "daily" && data_id.values() != ["bergen".into(), 2.into()]
    });
    let graph = source.build(CLIMATE_PIPELINE);
    assert_eq!(counts(&graph), ["daily 1", "year 2", "compare 1"]);
    assert_eq!(said(&graph), ["daily: 14 quanta skipped: outputs are in earlier"]);
    assert_eq!(graph.overall_inputs().count(), 1 + 14, "readings of skipped quanta are not read");
    for graph in [&graph, &stored(&graph)] {
        let year = graph.tasks().nth(1).unwrap().1.next().unwrap();
        let read = graph.quantum(year).inputs[0].datasets.iter().map(|d| graph.dataset(*d));
        let read: Vec<String> = read
            .map(|dataset| match dataset.origin {
                DatasetOrigin::Existing { run, .. } => format!("{} {run}", dataset.data_id),
                DatasetOrigin::Predicted => dataset.data_id.to_string(),
            })
            .collect();
        let expected =
            ["city=bergen month=1 earlier", "city=bergen month=2", "city=bergen month=3 earlier"];
        assert_eq!(read, expected, "in the order of data IDs");
        assert_eq!(graph.upstream(year).len(), 1);
    }
}

#[test]
fn half_of_the_outputs_is_not_enough() {
    let mut source = climate(1..=2);
    source.add_outputs(CLIMATE_PIPELINE, |task, _, output| task == "year" && output == "table");
    let graph = source.build(CLIMATE_PIPELINE);
    assert_eq!(counts(&graph), ["daily 14", "year 2", "compare 1"]);
    assert_eq!(said(&graph), ["year: 2 quanta built whole: earlier has some outputs only"]);
    assert_eq!(existing(&graph, "monthly"), [""; 0]);
    let label = TaskLabel::new("year").unwrap();
    let year = graph.pipeline().task("year").unwrap();
    let data_id = DataId::from_values(&year.dimensions, vec!["oslo".into()]).unwrap();
    let scope = BuildScope::default();
    let found = explain(&graph, &source, &scope, &label, &data_id).unwrap().unwrap();
    let Finding::Incomplete { missing, .. } = &found.finding else { panic!("{found}") };
    assert_eq!(*missing, ["summary"]);
}

#[test]
fn a_skipped_quantum_is_explained() {
    let mut source = climate(1..=2);
    source.add_outputs(CLIMATE_PIPELINE, |task, data_id, _| {
        task == "year" && data_id.values() == ["oslo".into()]
    });
    let graph = source.build(CLIMATE_PIPELINE);
    // Readings of Oslo are read by days that nobody reads.
    assert_eq!(counts(&graph), ["daily 14", "year 1", "compare 1"]);
    let label = TaskLabel::new("year").unwrap();
    let year = graph.pipeline().task("year").unwrap();
    let explained = |graph: &QuantumGraph, city: &str| {
        let data_id = DataId::from_values(&year.dimensions, vec![city.into()]).unwrap();
        let scope = BuildScope::default();
        explain(graph, &source, &scope, &label, &data_id).unwrap().unwrap().to_string()
    };
    let skipped = "year city=oslo: skipped, its outputs are in earlier";
    assert_eq!(explained(&graph, "oslo"), skipped);
    assert!(explained(&graph, "bergen").starts_with("year city=bergen: there is quantum "));
    assert_eq!(explained(&stored(&graph), "oslo"), skipped, "it is read, and stays");
}

#[test]
fn everything_may_exist() {
    let mut source = climate(1..=2);
    source.add_outputs(CLIMATE_PIPELINE, |_, _, _| true);
    let graph = source.build(CLIMATE_PIPELINE);
    assert_eq!((graph.len(), graph.dataset_count()), (0, 0));
    assert_eq!(graph.skipped().iter().map(|own| own.quanta).sum::<usize>(), 17);
    assert_eq!(stored(&graph).len(), 0);
    assert!(graph.pruned().is_empty(), "{:?}", graph.pruned());
}

#[test]
fn what_would_not_be_built_is_not_read() {
    let mut source = climate(1..=3);
    source.add_outputs(CLIMATE_PIPELINE, |task, _, _| task == "daily");
    // Since then, inputs are gone.
    let readings = source.datasets.values_mut().next().unwrap();
    readings.retain(|dataset| dataset.data_id.values()[1] != 3.into());
    let graph = source.build(CLIMATE_PIPELINE);
    assert_eq!(existing(&graph, "daily").len(), 11 + 2);
}

#[test]
fn a_log_is_needed_only_where_it_is_read() {
    let pipeline = "
version: 1
tasks:
  daily: {dimensions: [city, month], inputs: {t: readings}, outputs: {o: {type: daily, storage_class: Csv}}, task: x}
  quiet: {dimensions: [city], inputs: {t: {type: daily, multiple: true}}, task: x}
  talk: {dimensions: [city], inputs: {t: {type: daily, multiple: true}}, outputs: {o: {type: talk, storage_class: Csv}}, task: x}
  listen: {dimensions: [], inputs: {t: {type: talk_log, multiple: true}}, outputs: {o: {type: heard, storage_class: Csv}}, task: x}
";
    let source = climate(1..=2);
    let resolved = source.resolve(pipeline);
    let needed = |label: &str| {
        let task = resolved.task(label).unwrap();
        needed_outputs(&resolved, task).map(|output| output.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(needed("daily"), ["o"]);
    assert_eq!(needed("quiet"), [ResolvedTask::LOG]);
    assert_eq!(needed("talk"), ["o", ResolvedTask::LOG]);
    assert_eq!(needed("listen"), ["o"]);
}

#[test]
fn what_a_part_has_skipped_stays_skipped_in_later_ones() {
    let mut source = climate(1..=2);
    source.add_outputs(CLIMATE_PIPELINE, |task, data_id, _| {
        task == "daily" && data_id.values()[0] == "bergen".into()
    });
    let first = part(&source, CLIMATE_PIPELINE, &["daily", "year"], "city = 'bergen'", None);
    assert_eq!(counts(&first), ["daily 0", "year 1", "compare 0"]);
    // Though the source does not have it any more.
    source.outputs.clear();
    let rest = part(&source, CLIMATE_PIPELINE, &[], "", Some(&stored(&first)));
    assert_eq!(counts(&rest), ["daily 12", "year 2", "compare 1"], "with what it reads");
    let whole = merged(&[&first, &rest]);
    assert_eq!(counts(&whole), ["daily 12", "year 2", "compare 1"]);
    assert_eq!(existing(&whole, "daily"), ["city=bergen month=1", "city=bergen month=2"]);
}

#[test]
fn a_task_that_was_not_asked_for_is_read_where_it_exists() {
    let mut source = climate(1..=2);
    source.add_outputs(CLIMATE_PIPELINE, |task, _, _| task == "daily");
    let graph = part(&source, CLIMATE_PIPELINE, &["year"], "", None);
    assert_eq!(counts(&graph), ["daily 0", "year 2", "compare 0"]);
    assert_eq!(existing(&graph, "daily").len(), 14);
    // Those that do not exist are not built.
    source.add_outputs(CLIMATE_PIPELINE, |task, data_id, _| {
        task == "daily" && data_id.values()[0] == "oslo".into()
    });
    let graph = part(&source, CLIMATE_PIPELINE, &["year"], "", None);
    assert_eq!(counts(&graph), ["daily 0", "year 1", "compare 0"]);
}

#[test]
fn parts_that_find_and_make_the_same_do_not_go_together() {
    let mut source = climate(1..=2);
    let makes = part(&source, CLIMATE_PIPELINE, &["daily"], "city = 'bergen'", None);
    source.add_outputs(CLIMATE_PIPELINE, |task, _, _| task == "daily");
    let finds = part(&source, CLIMATE_PIPELINE, &["year"], "city = 'bergen'", None);
    let error = QuantumGraph::merge(vec![makes, finds]).unwrap_err();
    assert!(matches!(error, MergeError::Both { .. }), "{error}");
}

/// Fails unless `graph` is `whole` without the quanta whose outputs `source` has.
fn assert_all(source: &TestSource, whole: &QuantumGraph, graph: &QuantumGraph) {
    let built = quanta(graph);
    let found = source
        .outputs
        .iter()
        .flat_map(|(task, all)| all.iter().map(|own| (task.to_string(), own.data_id.clone())));
    let found: Names = found.collect();
    assert!(built.is_disjoint(&found));
    assert_eq!(&built | &found, quanta(whole));
    let counted: usize = graph.skipped().iter().map(|own| own.quanta).sum();
    assert_eq!(counted, found.len());
    let expected = inputs(whole);
    for (quantum, read) in inputs(graph) {
        assert_eq!(read, expected[&quantum]);
    }
    let again = stored(graph);
    assert_eq!(inputs(&again), inputs(graph));
    for index in graph.datasets() {
        let dataset = graph.dataset(index);
        assert_eq!(again.dataset(index), dataset);
        let is_found = matches!(dataset.origin, DatasetOrigin::Existing { .. });
        assert_eq!(graph.producer(index).is_none(), is_found);
    }
}

/// Bands follow from visits, and images are read in each direction.
const IMPLIED: &str = "
version: 1
tasks:
  isr: {dimensions: [visit, detector], inputs: {raw: raw}, outputs: {o: {type: image, storage_class: Bytes}}, task: x}
  sky: {dimensions: [band], inputs: {i: {type: image, multiple: true, minimum: 3}}, outputs: {m: {type: model, storage_class: Json}}, task: x}
  fit: {dimensions: [visit, detector], inputs: {i: image, m: model}, outputs: {f: {type: fit, storage_class: Csv}}, task: x}
";

fn implied() -> TestSource {
    let mut source = TestSource::new(SURVEY);
    source.add_type("raw", &["visit", "detector"]);
    for (filter, band) in [("g_1", "g"), ("r_1", "r")] {
        source.add_record("physical_filter", vec!["cam".into(), filter.into()], &[("band", band)]);
    }
    for visit in 0..5 {
        let filter = if visit % 3 == 0 { "g_1" } else { "r_1" };
        let visit: KeyValue = visit.into();
        let filter = [("physical_filter", filter)];
        source.add_record("visit", vec!["cam".into(), visit.clone()], &filter);
        for detector in 0..2 {
            source.add("raw", vec!["cam".into(), visit.clone(), detector.into()]);
        }
    }
    source
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Also with optional inputs, minimum counts, implied dimensions, and none.
    #[test]
    fn whatever_is_read(choices in proptest::collection::vec(any::<bool>(), 53)) {
        let sources = [(choosy_source(), CHOOSY), (implied(), IMPLIED)];
        for (mut source, pipeline) in sources {
            let whole = source.build(pipeline);
            prop_assert!(!whole.is_empty());
            let mut next = choices.iter().cycle();
            source.add_outputs(pipeline, |_, _, _| *next.next().unwrap());
            assert_all(&source, &whole, &source.build(pipeline));
        }
    }

    /// Whatever exists: quanta are built or skipped, none both, and each reads the same data
    /// IDs as if nothing had been skipped; written and read, it is the same.
    #[test]
    fn built_and_skipped_are_all(
        days in proptest::collection::vec(any::<bool>(), 36),
        tables in proptest::collection::vec(any::<bool>(), 6),
    ) {
        let (mut source, pipeline) = survey(3, 3);
        let whole = source.build(pipeline);
        let (mut some, mut next) = (days.iter().cycle(), tables.iter().cycle());
        source.add_outputs(pipeline, |task, _, _| {
            if task == "summary" { *next.next().unwrap() } else { *some.next().unwrap() }
        });
        let graph = source.build(pipeline);
        assert_all(&source, &whole, &graph);
        // Visit by visit, in two steps each, it comes to the same.
        let mut parts: Vec<QuantumGraph> = Vec::new();
        for visit in 0..3 {
            let restriction = format!("visit = {}", visit * 3 + 20_260_000);
            for tasks in [&["isr"] as &[&str], &[]] {
                let base = match &parts[..] {
                    [] => None,
                    parts => Some(merged(&parts.iter().collect::<Vec<_>>())),
                };
                let next = part(&source, pipeline, tasks, &restriction, base.as_ref());
                if !next.is_empty() {
                    parts.push(next);
                }
            }
        }
        if !parts.is_empty() {
            let merged = merged(&parts.iter().collect::<Vec<_>>());
            prop_assert_eq!(inputs(&merged), inputs(&graph));
        }
    }
}
