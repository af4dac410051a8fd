//! Steps that fail in a process as they are told to, and the trace of what it did to files.

use std::collections::{BTreeMap, BTreeSet};

use pantler_testkit::{Project, Ran};

use crate::{small_weather, toy::open_names};

/// `pantler run` of the project with one variable set.
fn run_with(project: &Project, variable: &str, value: &str) -> Ran {
    let path = project.path();
    let mut command = project.program().command(&["run", path.as_str(), "-j1"]);
    command.env(variable, value);
    Ran::of(command)
}

/// Runs a fresh project with a fault, expects it to fail, and then to go on to the end.
#[track_caller]
fn fails_and_goes_on(fault: &str, code: i32, says: &str) {
    let project = small_weather();
    let ran = run_with(&project, "PANTLER_FAULT", fault);
    let stderr = ran.expect(code).stderr;
    assert!(stderr.contains(says), "{fault}: {stderr}");
    project.check();
    project.run(&[]).expect(0);
}

#[test]
fn every_way_of_failing_is_told_and_gone_on_from() {
    fails_and_goes_on("datastore.rename:2:denied", 1, "permission denied");
    fails_and_goes_on("datastore.rename:1:lost", 1, "a planned fault (lost)");
    fails_and_goes_on("datastore.stage:1:full", 1, "the storage is full");
    fails_and_goes_on("datastore.write.half:2:partial", 1, "the storage is full");
    fails_and_goes_on("registry.begin:2:locked", 1, "is busy");
    fails_and_goes_on("registry.statement:3:full", 1, "no room to write to the database");
    fails_and_goes_on("registry.commit:4:serialization", 1, "try again");
    fails_and_goes_on("registry.commit:2:lost", 5, "is unknown");
    fails_and_goes_on("registry.commit:2:connection", 5, "is unknown");
}

/// What failed is undone; if that fails too, it stays open and is listed.
#[test]
fn what_cannot_be_undone_stays_open() {
    let project = small_weather();
    let fault = "datastore.rename:2:io,datastore.delete:1+:denied,datastore.discard:1+:denied";
    let ran = run_with(&project, "PANTLER_FAULT", fault).expect(4);
    assert!(ran.stderr.contains("stays open"), "{}", ran.stderr);
    project.check();
    let open = open_names(&project, "transaction");
    assert_eq!(open.len(), 1);
    project.pantler(&["transaction", "revert", &open[0]]).expect(0);
    project.run(&[]).expect(0);
}

/// The disk is full from some moment on, and then there is room again.
#[test]
fn a_disk_full_for_everything() {
    for first in [40, 120, 200, 280, 360] {
        let project = small_weather();
        let fault = format!("*:{first}+:full");
        let code = run_with(&project, "PANTLER_FAULT", &fault).code();
        assert!(matches!(code, Some(1 | 3 | 4)), "{fault}: {code:?}");
        project.check();
        for open in open_names(&project, "transaction") {
            project.pantler(&["transaction", "revert", &open]).expect(0);
        }
        project.run(&[]).expect(0);
    }
}

/// A fault that is slow, or never reached, is none.
#[test]
fn slow_goes_well() {
    let project = small_weather();
    let fault = "datastore.rename:1:slow,datastore.rename:1000:denied";
    run_with(&project, "PANTLER_FAULT", fault).expect(0);
}

#[test]
fn the_log_lists_what_can_fail_and_how() {
    let project = small_weather();
    let log = project.path().join("faults.log");
    run_with(&project, "PANTLER_FAULT_LOG", log.as_str()).expect(0);
    let text = std::fs::read_to_string(&log).unwrap();
    let reached: BTreeMap<&str, &str> = text.lines().map(|l| l.split_once(' ').unwrap()).collect();
    assert_eq!(reached["datastore.rename"], "denied,full,io,timeout,slow,lost");
    assert_eq!(reached["datastore.size"], "denied,io,timeout,slow");
    assert_eq!(reached["registry.commit"], "full,io,connection,serialization,lost,slow");
}

/// Every artifact was written, flushed, renamed, its directory flushed, and only then the
/// rows that name it committed.
#[test]
fn the_trace_shows_the_order_of_flushes() {
    let project = small_weather();
    let trace = project.path().join("trace");
    run_with(&project, "PANTLER_TRACE", trace.as_str()).expect(0);
    let text = std::fs::read_to_string(&trace).unwrap();
    let artifacts = project.repo().join("artifacts");
    let (mut written, mut flushed) = (BTreeSet::new(), BTreeSet::new());
    let (mut unflushed_names, mut published, mut commits) = (BTreeSet::new(), 0, 0);
    for line in text.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        match parts[..] {
            ["write", path] => {
                written.insert(path);
                flushed.remove(path);
            }
            ["sync", path] => {
                flushed.insert(path);
            }
            ["syncfs", _] => {
                flushed.append(&mut written);
                unflushed_names.clear();
            }
            ["rename", from, to]
                if from.strip_suffix(".tmp") == Some(to) && to.starts_with(artifacts.as_str()) =>
            {
                assert!(flushed.contains(from), "{to} was renamed before it was flushed");
                unflushed_names.insert(to);
                published += 1;
            }
            ["syncdir", path] => {
                unflushed_names.retain(|name: &&str| name.rsplit_once('/').unwrap().0 != path);
            }
            ["commit"] => {
                assert_eq!(unflushed_names, BTreeSet::new(), "committed before it was flushed");
                commits += 1;
            }
            ["mkdir" | "rmdir" | "unlink", _] | ["rename" | "link", _, _] => {}
            _ => panic!("{line}"),
        }
    }
    assert!(published > 0 && commits > 3, "{text}");
}
