use pantler_core::{Restriction, TaskLabel};
use proptest::prelude::*;

use super::*;
use crate::testing::{SURVEY, TestSource, climate, metadata};

/// One that all months of a city share, and one with a dimension of its own.
const CALIBRATED: &str = "
version: 1
tasks:
  daily:
    dimensions: [city, month]
    inputs: {t: readings, s: {type: station, prerequisite: true}}
    outputs: {o: {type: daily, storage_class: Csv}}
    task: x
  year:
    dimensions: [city]
    inputs: {d: {type: daily, multiple: true}, n: {type: normal, multiple: true, minimum: 2, prerequisite: true}}
    outputs: {o: {type: yearly, storage_class: Csv}}
    task: x
";

fn calibrated(months: impl IntoIterator<Item = i64>, stations: &[&str]) -> TestSource {
    let mut source = climate(months);
    source.add_type("station", &["city"]);
    source.add_type("normal", &["city", "month"]);
    for station in stations {
        source.add("station", vec![(*station).into()]);
        for month in 1..=3 {
            source.add("normal", vec![(*station).into(), month.into()]);
        }
    }
    source
}

/// `task data-ID <- inputs`, with ids.
fn describe(graph: &QuantumGraph) -> BTreeSet<String> {
    let quantum = |index| {
        let quantum = graph.quantum(index);
        let inputs = quantum.inputs.iter().flat_map(|inputs| inputs.datasets);
        let inputs: Vec<_> = inputs.map(|dataset| graph.dataset(*dataset).id.to_string()).collect();
        format!("{} {} {} <- {inputs:?}", quantum.id, quantum.task.label, quantum.data_id)
    };
    graph.quanta().map(quantum).collect()
}

fn error(source: &TestSource, pipeline: &str) -> String {
    source.try_build(pipeline).unwrap_err().to_string()
}

fn part(
    source: &TestSource,
    tasks: &[&str],
    restriction: &str,
    base: Option<&QuantumGraph>,
) -> Result<QuantumGraph, BuildError<std::convert::Infallible>> {
    let tasks: BTreeSet<_> = tasks.iter().map(|task| TaskLabel::new(*task).unwrap()).collect();
    let restriction = Restriction::parse(restriction, &source.universe).unwrap();
    let (tasks, restriction) = (Some(&tasks), Some(&restriction));
    let scope = BuildScope { tasks, restriction, base };
    build_part(&source.resolve(CALIBRATED), source, metadata(), &scope)
}

#[test]
fn each_quantum_has_its_prerequisites() {
    let graph = calibrated(1..=2, &["oslo", "bergen"]).build(CALIBRATED);
    let counts: Vec<_> = graph.counts().map(|(t, n)| format!("{} {n}", t.label)).collect();
    assert_eq!(counts, ["daily 14", "year 2"]);
    assert!(graph.pruned().is_empty());
    let year = graph.quanta().last().unwrap();
    let view = graph.quantum(year);
    assert_eq!(view.inputs[1].datasets.len(), 3);
    assert_eq!(graph.overall_inputs().count(), 14 + 2 + 6);
}

#[test]
fn a_prerequisite_that_is_missing_fails_the_build_and_names_the_quanta() {
    let source = calibrated(1..=7, &["oslo"]);
    assert_eq!(
        error(&source, CALIBRATED),
        "quanta lack prerequisites\n  \
         daily: 7 quanta have no dataset of type `station` for prerequisite `s`: city=bergen month=1, city=bergen month=2, city=bergen month=3, city=bergen month=4, city=bergen month=5, and 2 more\n  \
         year: 1 quantum has fewer than 2 datasets of type `normal` for prerequisite `n`: city=bergen"
    );
    let optional = CALIBRATED.replace("s: {type", "s: {optional: true, type");
    assert_eq!(error(&source, &optional).lines().count(), 2);
    // A regular input leaves out what has none.
    let regular = CALIBRATED.replace(", prerequisite: true", "");
    assert_eq!(source.build(&regular).len(), 12 + 1);
}

#[test]
fn quanta_that_are_not_built_need_none() {
    // Without readings there are no quanta of the city, and nothing is missed.
    let source = calibrated([], &["oslo"]);
    assert_eq!(source.build(CALIBRATED).len(), 13);
    // Those that are not asked for, and those whose outputs exist.
    let mut source = calibrated(1..=2, &["oslo", "bergen"]);
    source.add_outputs(CALIBRATED, |_, data_id, _| {
        data_id.values()[0] == pantler_core::KeyValue::from("bergen")
    });
    source.datasets.values_mut().for_each(|datasets| {
        datasets.retain(|d| {
            d.dataset_type.as_str() == "readings"
                || d.data_id.values()[0] != pantler_core::KeyValue::from("bergen")
        });
    });
    let skipping = source.build(CALIBRATED);
    assert_eq!(skipping.skipped().iter().map(|own| own.quanta).sum::<usize>(), 3);
    source.outputs.clear();
    assert_eq!(part(&source, &["daily"], "city = 'oslo'", None).unwrap().len(), 12);
    let failed = part(&source, &["daily"], "month = 1", None).unwrap_err().to_string();
    assert!(failed.ends_with("prerequisite `s`: city=bergen month=1"), "{failed}");
}

#[test]
fn a_restriction_leaves_no_prerequisite_out_and_what_is_built_stays() {
    let mut source = calibrated([], &["oslo"]);
    let first = part(&source, &["daily"], "month = 2", None).unwrap();
    assert_eq!(first.len(), 1);
    let year = part(&source, &["year"], "month = 2", Some(&first)).unwrap();
    let view = year.quantum(year.quanta().last().unwrap());
    assert_eq!(view.inputs.iter().map(|input| input.datasets.len()).collect::<Vec<_>>(), [1, 3]);
    // What an earlier part reads is still there for it.
    source.datasets.values_mut().for_each(|datasets| {
        datasets.retain(|dataset| dataset.dataset_type.as_str() == "readings");
    });
    let failed = part(&source, &["daily"], "month IN (2, 3)", None).unwrap_err().to_string();
    assert!(failed.contains("daily: 2 quanta have no dataset"), "{failed}");
    let next = part(&source, &["daily"], "month IN (2, 3)", Some(&first)).unwrap();
    assert_eq!(next.len(), 1);
}

/// Of a dimension that visits imply.
const FLATS: &str = "
version: 1
tasks:
  isr:
    dimensions: [visit, detector]
    inputs: {raw: raw, flat: {type: flat, MARK}, sky: {type: sky, multiple: true, MARK}}
    outputs: {o: {type: image, storage_class: Bytes}}
    task: x
  coadd: {dimensions: [band], inputs: {i: {type: image, multiple: true}, sky: {type: sky, MARK}}, task: x}
";

fn flats(raws: &[bool], flats: &[bool]) -> TestSource {
    let mut source = TestSource::new(SURVEY);
    source.add_type("raw", &["visit", "detector"]);
    source.add_type("flat", &["physical_filter", "detector"]);
    source.add_type("sky", &["band"]);
    let filters = [("g_1", "g"), ("g_2", "g"), ("r_1", "r")];
    let mut flats = flats.iter().cycle();
    for (filter, band) in filters {
        source.add_record("physical_filter", vec!["cam".into(), filter.into()], &[("band", band)]);
        for detector in 0..2 {
            if *flats.next().unwrap() {
                source.add("flat", vec!["cam".into(), filter.into(), detector.into()]);
            }
        }
    }
    for band in ["g", "r"] {
        if *flats.next().unwrap() {
            source.add("sky", vec![band.into()]);
        }
    }
    let mut raws = raws.iter().cycle();
    for (visit, (filter, _)) in (0..6_i64).zip(filters.iter().cycle()) {
        let filter = [("physical_filter", *filter)];
        source.add_record("visit", vec!["cam".into(), visit.into()], &filter);
        for detector in 0..2 {
            if *raws.next().unwrap() {
                source.add("raw", vec!["cam".into(), visit.into(), detector.into()]);
            }
        }
    }
    source
}

/// How many quanta there are for each task and input without a dataset of it.
fn lacking(graph: &QuantumGraph) -> Vec<(String, String, usize)> {
    let mut found = Vec::new();
    for (task, (_, quanta)) in graph.pipeline().tasks().iter().zip(graph.tasks()) {
        let quanta: Vec<_> = quanta.collect();
        for (i, input) in task.inputs.iter().enumerate() {
            let lacks = |q: &&crate::QuantumIndex| graph.quantum(**q).inputs[i].datasets.is_empty();
            let count = quanta.iter().filter(lacks).count();
            if count > 0 {
                found.push((task.label.to_string(), input.name.clone(), count));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Where every prerequisite is there, the graph is that of regular inputs; where one is
    /// missing, just the quanta that lack it are named: those that would run without it if it
    /// were optional.
    #[test]
    fn prerequisites_are_as_inputs_that_are_there(
        raws in proptest::collection::vec(any::<bool>(), 12),
        some in proptest::collection::vec(proptest::bool::weighted(0.8), 8),
    ) {
        let marked = |mark: &str| FLATS.replace("MARK", mark);
        let all = flats(&raws, &[true]);
        let regular = all.build(&marked("optional: false"));
        prop_assert_eq!(describe(&all.build(&marked("prerequisite: true"))), describe(&regular));
        let source = flats(&raws, &some);
        let optional = source.build(&marked("optional: true"));
        let lacking = lacking(&optional);
        match source.try_build(&marked("prerequisite: true")) {
            Ok(graph) => {
                prop_assert_eq!(lacking, []);
                prop_assert_eq!(describe(&graph), describe(&optional));
            }
            Err(BuildError::Prerequisites(missing)) => {
                let missing: Vec<_> = missing
                    .into_iter()
                    .map(|one| (one.task.to_string(), one.input, one.count))
                    .collect();
                prop_assert_eq!(missing, lacking);
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }
}
