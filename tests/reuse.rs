//! Quanta that take over what another RUN has made.

use std::os::unix::process::ExitStatusExt as _;

use pantler_testkit::{Project, Ran};
use serde_json::Value;

use crate::{
    small_weather,
    toy::{datasets, open_names, toy, toy_with},
};

/// The RUN that a chain begins with.
fn newest(project: &Project, chain: &str) -> String {
    let shown = project.pantler(&["collection", "show", chain, "--json"]).expect(0).json();
    shown["children"][0].as_str().unwrap().to_owned()
}

fn quanta(project: &Project, run: &str) -> Vec<Value> {
    let args = ["query", "provenance", "quanta", "--collections", run, "--json"];
    let mut found = project.pantler(&args).expect(0).json();
    std::mem::take(found["quanta"].as_array_mut().unwrap())
}

/// The quanta of a RUN that ran themselves, in short.
fn ran_in(project: &Project, run: &str) -> Vec<String> {
    let quanta = quanta(project, run);
    let own = quanta.iter().filter(|quantum| quantum["taken_over"].is_null());
    let item = |q: &Value| q["data_id"]["item"].as_str().unwrap_or("").to_owned();
    let mut names: Vec<String> = own
        .map(|q| format!("{} {}", q["task"].as_str().unwrap(), item(q)).trim_end().to_owned())
        .collect();
    names.sort();
    names
}

/// Runs again with `--reuse`; gives the new RUN.
fn again(project: &Project, collection: &str) -> String {
    project.run(&["--reuse", collection, "-j2"]).expect(0);
    newest(project, "toy")
}

#[test]
fn a_second_run_takes_over_everything() {
    let project = small_weather();
    project.run(&[]).expect(0);
    let first = newest(&project, "weather");
    let ran = project.run(&["--reuse", "weather"]).expect(0);
    assert!(ran.stderr.contains("7 quanta may be there already in earlier RUNs"), "{}", ran.stderr);
    let says = "7 quanta did not run: outputs of earlier RUNs were taken over";
    assert!(ran.stderr.contains(says) || ran.text().contains(says), "{}{}", ran.text(), ran.stderr);
    let second = newest(&project, "weather");
    assert_ne!(first, second);
    assert_eq!(project.contents(&first), project.contents(&second));
    let quanta = quanta(&project, &second);
    assert_eq!(quanta.len(), 7);
    for quantum in &quanta {
        assert_eq!(quantum["taken_over"]["run"], first.as_str(), "{quantum}");
    }
    // Each has artifacts of its own.
    project.pantler(&["remove-run", &first, "--force"]);
    project.check();
}
