use std::{collections::BTreeMap, time::Instant};

use super::*;
use crate::{Event, how};

fn planned(variables: &[(&str, &str)]) -> Option<Plan> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Plan::read(&|name| variables.get(name).map(|&value| value.to_owned()))
}

#[test]
fn an_empty_environment_plans_nothing() {
    assert!(planned(&[]).is_none());
    assert!(planned(&[("PANTLER_CRASH", "a.b:1")]).is_some());
}

#[test]
fn faults_happen_at_the_calls_they_name() {
    let plan = planned(&[("PANTLER_FAULT", "a.x:2:full,a.y:2+:lost")]).unwrap();
    let x: Vec<_> = (0..3).map(|_| plan.fault("a.x", how::CHANGE)).collect();
    assert_eq!(x, [None, Some(How::Full), None]);
    let y: Vec<_> = (0..3).map(|_| plan.fault("a.y", how::CHANGE)).collect();
    assert_eq!(y, [None, Some(How::Lost), Some(How::Lost)]);
    assert_eq!(plan.fault("a.z", how::CHANGE), None);
}

#[test]
fn a_star_counts_all_and_passes_over_what_makes_no_sense() {
    let plan = planned(&[("PANTLER_FAULT", "*:2+:full")]).unwrap();
    assert_eq!(plan.fault("a.x", how::CHANGE), None);
    assert_eq!(plan.fault("a.look", how::LOOK), None);
    assert_eq!(plan.fault("a.y", how::CHANGE), Some(How::Full));
}

#[test]
fn slow_is_slow_and_goes_well() {
    let plan = planned(&[("PANTLER_FAULT", "a.x:1:slow")]).unwrap();
    let begin = Instant::now();
    assert_eq!(plan.fault("a.x", how::LOOK), None);
    assert!(begin.elapsed() >= SLOW);
}

#[test]
fn nonsense_is_refused() {
    let refused = |text: &str| {
        let text = text.to_owned();
        std::panic::catch_unwind(move || planned(&[("PANTLER_FAULT", &text)])).is_err()
    };
    for text in ["a.x", "a.x:1", "a.x:full", "a.x:one:full", "a.x:1:broken", "a.x:+:full"] {
        assert!(refused(text), "{text}");
    }
    let senseless = || planned(&[("PANTLER_FAULT", "a.x:1:full")])?.fault("a.x", how::LOOK);
    assert!(std::panic::catch_unwind(senseless).is_err());
}

#[test]
fn logs_say_what_was_reached() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (steps, faults) = (at("steps"), at("faults"));
    let plan = planned(&[("PANTLER_CRASH_LOG", &steps), ("PANTLER_FAULT_LOG", &faults)]).unwrap();
    plan.step("a.x");
    assert_eq!(plan.fault("a.x", &[How::Full, How::Lost]), None);
    plan.step("a.y");
    assert_eq!(plan.fault("a.look", &[How::Io]), None);
    assert_eq!(std::fs::read_to_string(steps).unwrap(), "a.x\na.y\n");
    assert_eq!(std::fs::read_to_string(faults).unwrap(), "a.x full,lost\na.look io\n");
}

#[test]
fn the_trace_has_what_was_done() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().to_str().unwrap();
    let path = format!("{dir}/trace");
    let plan = planned(&[("PANTLER_TRACE", &path)]).unwrap();
    let trace = plan.trace().unwrap();
    let (a, b) = (format!("{dir}/d/e/a"), format!("{dir}/d/e/b"));
    trace.make_directories(&scratch.path().join("d/e")).unwrap();
    trace.make_directories(&scratch.path().join("d/e")).unwrap();
    trace.around(Event::Write(&a), || File::create_new(&a)).unwrap();
    trace.around(Event::Write(&a), || File::create_new(&a)).unwrap_err();
    trace.around(Event::Rename(&a, &b), || std::fs::rename(&a, &b)).unwrap();
    trace.around(Event::Commit, || Ok::<_, ()>(())).unwrap();
    let expected =
        format!("mkdir\t{dir}/d\nmkdir\t{dir}/d/e\nwrite\t{a}\nrename\t{a}\t{b}\ncommit\n");
    assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
}
