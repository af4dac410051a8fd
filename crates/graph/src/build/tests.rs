use pantler_core::KeyValue;

use super::*;
use crate::testing::{CLIMATE, CLIMATE_PIPELINE, SURVEY, TestSource, choosy, climate, survey};

fn counts(graph: &QuantumGraph) -> Vec<String> {
    graph.counts().map(|(task, n)| format!("{} {n}", task.label)).collect()
}

fn pruned(graph: &QuantumGraph) -> Vec<String> {
    graph.pruned().iter().map(ToString::to_string).collect()
}

/// `task data-ID <- inputs`, each input as `type data-ID`.
fn describe(graph: &QuantumGraph) -> Vec<String> {
    let quantum = |index| {
        let quantum = graph.quantum(index);
        let inputs = quantum.inputs.iter().flat_map(|inputs| inputs.datasets).map(|dataset| {
            let dataset = graph.dataset(*dataset);
            format!("{}({})", dataset.dataset_type.name, dataset.data_id)
        });
        format!(
            "{} {} <- {}",
            quantum.task.label,
            quantum.data_id,
            inputs.collect::<Vec<_>>().join(", ")
        )
    };
    graph.quanta().map(quantum).collect()
}

#[test]
fn a_pipeline_fans_out_and_in() {
    let graph = climate(1..=12).build(CLIMATE_PIPELINE);
    assert_eq!(counts(&graph), ["daily 24", "year 2", "compare 1"]);
    assert_eq!(pruned(&graph), [""; 0]);
    let year = graph.quanta().find(|q| graph.task_of(*q).label.as_str() == "year").unwrap();
    let view = graph.quantum(year);
    assert_eq!(view.data_id.to_string(), "city=bergen");
    let months: Vec<_> = view.inputs[0]
        .datasets
        .iter()
        .map(|d| graph.dataset(*d).data_id.values()[1].clone())
        .collect();
    assert_eq!(months, (1..=12).map(KeyValue::from).collect::<Vec<_>>());
    assert_eq!(graph.upstream(year).len(), 12);
    let downstream = graph.downstream(year);
    assert_eq!(downstream.len(), 1);
    assert_eq!(graph.quantum(downstream[0]).data_id.to_string(), "{}");
    assert_eq!(graph.upstream(downstream[0]).len(), 2);
    assert_eq!(graph.overall_inputs().count(), 24);
    assert_eq!(graph.dataset_count(), 24 + 48 + 6 + 4);
}

#[test]
fn every_edge_is_there_from_both_sides() {
    let graph = climate(2..=5).build(CLIMATE_PIPELINE);
    for quantum in graph.quanta() {
        let view = graph.quantum(quantum);
        assert_eq!(graph.find(view.id), Some(quantum));
        assert_eq!(view.id, graph.quantum_id(quantum));
        for dataset in view.inputs.iter().flat_map(|inputs| inputs.datasets) {
            assert!(graph.consumers(*dataset).any(|q| q == quantum));
            if let Some(producer) = graph.producer(*dataset) {
                assert!(graph.upstream(quantum).contains(&producer));
                assert!(graph.downstream(producer).contains(&quantum));
            }
        }
        for (output, connection) in view.outputs.iter().zip(&view.task.outputs) {
            assert_eq!(graph.producer(*output), Some(quantum));
            let dataset = graph.dataset(*output);
            assert_eq!(dataset.data_id, view.data_id);
            assert_eq!(dataset.dataset_type, connection.dataset_type);
        }
    }
    let readers: usize = graph.datasets().map(|d| graph.consumers(d).count()).sum();
    assert_eq!(readers, 16 + 16 + 2);
    assert_eq!(graph.find(pantler_core::QuantumId::from_uuid(uuid::Uuid::nil())), None);
}

#[test]
fn a_missing_month_is_just_not_there() {
    let graph = climate((1..=12).filter(|m| *m != 3)).build(CLIMATE_PIPELINE);
    assert_eq!(counts(&graph), ["daily 23", "year 2", "compare 1"]);
    assert_eq!(pruned(&graph), [""; 0]);
}

#[test]
fn what_lacks_an_input_is_pruned_and_named() {
    let mut source = climate(1..=2);
    source.add_type("height", &["city"]);
    source.add_type("rain", &["city", "month"]);
    source.add("height", vec!["oslo".into()]);
    for month in 1..=13 {
        source.add("rain", vec!["oslo".into(), month.into()]);
    }
    let pipeline = "
version: 1
tasks:
  a: {dimensions: [city, month], inputs: {h: height, t: readings, r: rain}, outputs: {o: {type: out, storage_class: Csv}}, task: x}
  b: {dimensions: [city], inputs: {t: {type: readings, multiple: true}, o: {type: out, multiple: true}}, task: x}
";
    let graph = source.build(pipeline);
    assert_eq!(counts(&graph), ["a 12", "b 1"]);
    assert_eq!(
        pruned(&graph),
        [
            "a: 1 quantum pruned: no dataset of type `readings` for input `t` (city=oslo month=13)",
            "a: 2 quanta pruned: no dataset of type `rain` for input `r` (city=bergen month=1, city=bergen month=2)",
            "b: 1 quantum pruned: task `a` makes no `out` for input `o` (city=bergen)",
        ]
    );
    // What only pruned quanta would have read is not in the graph.
    assert_eq!(graph.overall_inputs().count(), 12 + 1 + 12);
}

#[test]
fn optional_inputs_are_given_where_they_are_and_minimums_hold() {
    let graph = choosy();
    assert_eq!(counts(&graph), ["wet 3", "daily 14", "year 1"]);
    assert_eq!(
        pruned(&graph),
        [
            "year: 1 quantum pruned: fewer than 3 datasets of type `daily` for input `d` (city=bergen)"
        ]
    );
    let quanta = describe(&graph);
    for expected in [
        "wet city=bergen month=9 <- rain(city=bergen month=9)",
        "wet city=oslo month=5 <- height(city=oslo), rain(city=oslo month=5)",
        "daily city=oslo month=4 <- readings(city=oslo month=4)",
        "daily city=oslo month=5 <- rain(city=oslo month=5), readings(city=oslo month=5), wet(city=oslo month=5)",
    ] {
        assert!(quanta.iter().any(|quantum| quantum == expected), "{expected}: {quanta:?}");
    }
    let year = quanta.last().unwrap();
    assert!(year.starts_with("year city=oslo <- daily(city=oslo month=1), "), "{year}");
    assert!(year.ends_with("daily(city=oslo month=12), wet(city=oslo month=5)"), "{year}");
    // What only pruned or no quanta read is not in the graph.
    assert_eq!(graph.overall_inputs().count(), 14 + 1 + 3);
}

#[test]
fn a_graph_of_nothing_says_why() {
    let source = climate([]);
    let pipeline = "
version: 1
tasks:
  a: {dimensions: [city], inputs: {h: height}, task: x}
";
    let mut without = TestSource::new(CLIMATE);
    without.add_type("height", &["city"]);
    let graph = without.build(pipeline);
    assert!(graph.is_empty());
    assert_eq!(pruned(&graph), ["a: 1 quantum pruned: no dataset of type `height` for input `h`"]);
    let records = source.build("version: 1\ntasks:\n  a: {dimensions: [city], task: x}\n");
    assert_eq!(
        pruned(&records),
        ["a: 1 quantum pruned: there are no records of dimension `city`, and no input names any"]
    );
}

#[test]
fn dimensions_that_no_input_has_come_from_records() {
    let mut source = climate([]);
    source.add_type("note", &["month"]);
    source.add("note", vec![7.into()]);
    for city in ["oslo", "bergen"] {
        source.add_record("city", vec![city.into()], &[]);
    }
    let graph = source.build(
        "version: 1\ntasks:\n  a: {dimensions: [city, month], inputs: {n: note}, task: x}\n  b: {dimensions: [], task: x}\n",
    );
    assert_eq!(
        describe(&graph),
        [
            "a city=bergen month=7 <- note(month=7)",
            "a city=oslo month=7 <- note(month=7)",
            "b {} <- "
        ]
    );
}

#[test]
fn implied_dimensions_join() {
    let mut source = TestSource::new(SURVEY);
    source.add_type("raw", &["visit", "detector"]);
    source.add_type("flat", &["physical_filter", "detector"]);
    source.add_type("sky", &["band"]);
    for (filter, band) in [("g_1", "g"), ("g_2", "g"), ("r_1", "r")] {
        source.add_record("physical_filter", vec!["cam".into(), filter.into()], &[("band", band)]);
        if filter != "g_2" {
            source.add("flat", vec!["cam".into(), filter.into(), 0.into()]);
        }
    }
    source.add("sky", vec!["g".into()]);
    source.add("sky", vec!["r".into()]);
    for (visit, filter) in [(10, "g_1"), (11, "g_2"), (12, "r_1")] {
        source.add_record(
            "visit",
            vec!["cam".into(), visit.into()],
            &[("physical_filter", filter)],
        );
        source.add("raw", vec!["cam".into(), visit.into(), 0.into()]);
    }
    let graph = source.build(
        "
version: 1
tasks:
  isr: {dimensions: [visit, detector], inputs: {raw: raw, flat: flat, sky: sky}, outputs: {o: {type: image, storage_class: Bytes}}, task: x}
  coadd: {dimensions: [band], inputs: {i: {type: image, multiple: true}}, task: x}
  again: {dimensions: [visit], inputs: {s: {type: sky, multiple: true}}, task: x}
",
    );
    let column = |task: &str| {
        let start = format!("{task} ");
        describe(&graph).into_iter().filter(|q| q.starts_with(&start)).collect::<Vec<_>>()
    };
    assert_eq!(
        column("isr"),
        [
            "isr instrument=cam visit=10 detector=0 <- flat(instrument=cam physical_filter=g_1 detector=0), raw(instrument=cam visit=10 detector=0), sky(band=g)",
            "isr instrument=cam visit=12 detector=0 <- flat(instrument=cam physical_filter=r_1 detector=0), raw(instrument=cam visit=12 detector=0), sky(band=r)",
        ]
    );
    assert_eq!(
        column("coadd"),
        [
            "coadd band=g <- image(instrument=cam visit=10 detector=0)",
            "coadd band=r <- image(instrument=cam visit=12 detector=0)",
        ]
    );
    assert_eq!(
        column("again"),
        [
            "again instrument=cam visit=10 <- sky(band=g)",
            "again instrument=cam visit=11 <- sky(band=g)",
            "again instrument=cam visit=12 <- sky(band=r)",
        ]
    );
    assert_eq!(
        pruned(&graph),
        [
            "isr: 1 quantum pruned: no dataset of type `flat` for input `flat` (instrument=cam visit=11 detector=0)"
        ]
    );
}

#[test]
fn a_missing_record_is_an_error() {
    let mut source = TestSource::new(SURVEY);
    source.add_type("raw", &["visit"]);
    source.add("raw", vec!["cam".into(), 10.into()]);
    let pipeline = "version: 1\ntasks:\n  a: {dimensions: [visit], inputs: {r: raw}, task: x}\n";
    assert_eq!(
        source.try_build(pipeline).unwrap_err().to_string(),
        "there is no record of `visit` for instrument=cam visit=10, or it lacks a value; it is needed for `physical_filter`"
    );
}

#[test]
fn two_datasets_with_one_data_id_are_an_error() {
    let mut source = climate([4]);
    source.add("readings", vec!["bergen".into(), 4.into()]);
    let error = source.try_build(CLIMATE_PIPELINE).unwrap_err().to_string();
    assert!(
        error.ends_with("of type `readings` have the same data ID city=bergen month=4"),
        "{error}"
    );
}

#[test]
fn a_diamond_has_each_edge_once() {
    let source = climate([]);
    let task = |name: &str, inputs: &str, output: &str| {
        format!(
            "  {name}: {{dimensions: [city, month], inputs: {{{inputs}}}, outputs: {{o: {{type: {output}, storage_class: Csv}}}}, task: x}}\n"
        )
    };
    let graph = source.build(&format!(
        "version: 1\ntasks:\n{}{}{}{}",
        task("a", "h: readings", "ta"),
        task("b", "i: ta", "tb"),
        task("c", "i: ta", "tc"),
        task("d", "l: tb, r: tc, again: tc", "td"),
    ));
    assert_eq!(graph.len(), 48);
    let first = graph.quanta().next().unwrap();
    let middle = graph.downstream(first);
    assert_eq!(middle.len(), 2);
    let last = graph.downstream(middle[0]);
    assert_eq!(last, graph.downstream(middle[1]));
    assert_eq!(last.len(), 1);
    assert_eq!(graph.upstream(last[0]), middle);
    let read_twice = graph.quantum(middle[1]).outputs[0];
    assert_eq!(graph.consumers(read_twice).count(), 1);
}

#[test]
fn the_order_of_inputs_does_not_matter() {
    let (mut source, pipeline) = survey(5, 3);
    let one = source.build(pipeline);
    source.datasets.values_mut().for_each(|datasets| datasets.reverse());
    let other = source.build(pipeline);
    assert_eq!(describe(&one), describe(&other));
    assert_eq!(one.runs, other.runs);
    assert_eq!(one.existing, other.existing);
}
