use pantler_core::{KeyValue, Restriction, TaskLabel};

use super::*;
use crate::testing::{CLIMATE, CLIMATE_PIPELINE, SURVEY, TestSource, climate, metadata};

fn explained(
    source: &TestSource,
    pipeline: &str,
    restriction: &str,
    task: &str,
    values: Vec<KeyValue>,
) -> String {
    let pipeline = source.resolve(pipeline);
    let restriction = match restriction {
        "" => None,
        text => Some(Restriction::parse(text, &source.universe).unwrap()),
    };
    let scope = BuildScope { restriction: restriction.as_ref(), ..BuildScope::default() };
    let graph = outline_part(&pipeline, source, metadata(), &scope).unwrap();
    let label = TaskLabel::new(task).unwrap();
    let resolved = pipeline.tasks().iter().find(|t| t.label == label).unwrap();
    let data_id = pantler_core::DataId::from_values(&resolved.dimensions, values).unwrap();
    let found = explain(&graph, source, &scope, &label, &data_id).unwrap().unwrap();
    found.to_string()
}

#[test]
fn a_missing_input_is_followed_upstream() {
    let source = climate([]);
    insta::assert_snapshot!(explained(&source, CLIMATE_PIPELINE, "", "year", vec!["bergen".into()]), @"
    year city=bergen: no quantum
      input `months`: no dataset of type `daily` fits; 12 of other data IDs
        daily city=bergen: no quantum
          input `temperatures`: no dataset of type `readings` fits; 12 of other data IDs
    ");
    let there = explained(&source, CLIMATE_PIPELINE, "", "year", vec!["oslo".into()]);
    assert!(there.starts_with("year city=oslo: there is quantum "), "{there}");
}

#[test]
fn what_was_not_asked_for_says_so() {
    let source = climate(1..=2);
    let found =
        explained(&source, CLIMATE_PIPELINE, "month = 1", "daily", vec!["oslo".into(), 2.into()]);
    assert_eq!(found, "daily city=oslo month=2: not asked for");
}

#[test]
fn records_and_combinations() {
    let mut source = TestSource::new(SURVEY);
    source.add_type("raw", &["visit", "detector"]);
    source.add_type("flat", &["physical_filter", "detector"]);
    source.add_record("visit", vec!["cam".into(), 1.into()], &[("physical_filter", "r1")]);
    source.add_record("physical_filter", vec!["cam".into(), "r1".into()], &[("band", "r")]);
    source.add("raw", vec!["cam".into(), 1.into(), 7.into()]);
    source.add("flat", vec!["cam".into(), "r1".into(), 8.into()]);
    let pipeline = "
version: 1
tasks:
  isr:
    dimensions: [visit, detector]
    inputs: {raw: raw, flat: flat}
    outputs: {image: {type: image, storage_class: Bytes}}
    command: [isr, '{inputs.raw}']
";
    let isr = |visit: i64, detector: i64| {
        let values = vec!["cam".into(), visit.into(), detector.into()];
        explained(&source, pipeline, "", "isr", values)
    };
    insta::assert_snapshot!(isr(1, 7), @"
    isr instrument=cam visit=1 detector=7: no quantum
      input `flat`: no dataset of type `flat` fits; 1 of other data IDs
    ");
    insta::assert_snapshot!(isr(2, 7), @"isr instrument=cam visit=2 detector=7: there is no record of dimension `visit` for these values");

    let mut source = TestSource::new(CLIMATE);
    source.add_type("readings", &["city", "month"]);
    source.add_type("weights", &["month"]);
    source.add("readings", vec!["oslo".into(), 1.into()]);
    source.add("weights", vec![2.into()]);
    let pipeline = "
version: 1
tasks:
  mean: {dimensions: [city], inputs: {r: {type: readings, multiple: true}}, task: x}
  pair: {dimensions: [], inputs: {r: {type: readings, multiple: true}, w: {type: weights, multiple: true}}, task: x}
";
    let mean = explained(&source, pipeline, "", "mean", vec!["bergen".into()]);
    insta::assert_snapshot!(mean, @"
    mean city=bergen: no quantum
      input `r`: no dataset of type `readings` fits; 1 of other data IDs
    ");
}

#[test]
fn a_prerequisite_that_is_missing_is_named() {
    let mut source = climate(1..=1);
    source.add_type("station", &["city"]);
    source.add_type("rain", &["city", "month"]);
    source.add("station", vec!["oslo".into()]);
    for month in 1..=2 {
        source.add("rain", vec!["oslo".into(), month.into()]);
    }
    let pipeline = "
version: 1
tasks:
  daily:
    dimensions: [city, month]
    inputs: {t: readings, s: {type: station, prerequisite: true}}
    outputs: {o: {type: daily, storage_class: Csv}}
    task: x
  year:
    dimensions: [city]
    inputs: {d: {type: daily, multiple: true}, r: {type: rain, multiple: true, minimum: 3, prerequisite: true}}
    task: x
";
    let explain =
        |task: &str, values: Vec<KeyValue>| explained(&source, pipeline, "", task, values);
    insta::assert_snapshot!(explain("year", vec!["bergen".into()]), @"
    year city=bergen: no quantum
      input `d`: no dataset of type `daily` fits; 12 of other data IDs
        daily city=bergen: building fails, it lacks a prerequisite
          prerequisite `s`: no dataset of type `station` fits; 1 of other data IDs
    ");
    insta::assert_snapshot!(explain("year", vec!["oslo".into()]), @"
    year city=oslo: building fails, it lacks a prerequisite
      prerequisite `r`: fewer than 3 datasets (2) of type `rain` fit; 0 of other data IDs
    ");
    let there = explain("daily", vec!["oslo".into(), 2.into()]);
    assert!(there.starts_with("daily city=oslo month=2: there is quantum "), "{there}");
    // What has no regular input is not asked for its prerequisites.
    let pruned = explain("daily", vec!["bergen".into(), 2.into()]);
    assert!(pruned.starts_with("daily city=bergen month=2: no quantum\n  input `t`"), "{pruned}");
}
