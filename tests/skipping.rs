//! Quanta that are not built since their outputs exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt as _,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::{Project, Ran};
use serde_json::{Value, json};

use crate::{
    program, small_weather,
    toy::{COPY, datasets, killed_at, open_names, toy, toy_with},
};

/// Fails for one item.
const FAILS: &str = "test \"$4\" != b || exit 3\ncat \"$2\" > \"$3\"\n";

/// The first RUN of a chain.
fn newest(project: &Project, chain: &str) -> String {
    let shown = project.pantler(&["collection", "show", chain, "--json"]).expect(0).json();
    shown["children"][0].as_str().unwrap().to_owned()
}

fn workspace(project: &Project, verb: &str, name: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, name], args].concat())
}

/// Quanta of `query provenance EXPRESSION` in these collections, with where they are.
fn quanta(project: &Project, expression: &str, collections: &str) -> Vec<(String, Value)> {
    let args = ["query", "provenance", expression, "--collections", collections, "--json"];
    let mut found = project.pantler(&args).expect(0).json();
    let quanta = std::mem::take(found["quanta"].as_array_mut().unwrap());
    let name = |quantum: &Value| {
        let task = quantum["task"].as_str().unwrap();
        let values = quantum["data_id"].as_object().unwrap().values();
        let values = values.map(|value| value.to_string().replace('"', ""));
        [task.to_owned()].into_iter().chain(values).collect::<Vec<_>>().join(" ")
    };
    let mut named: Vec<_> = quanta.into_iter().map(|quantum| (name(&quantum), quantum)).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named
}

/// Which quanta a RUN has.
fn ran_in(project: &Project, run: &str) -> Vec<String> {
    quanta(project, "quanta", run).into_iter().map(|(name, _)| name).collect()
}

/// Items `a`, `b` and `c`, of which the copy of `b` failed; what succeeded is committed: the
/// RUN.
fn partial() -> (Project, String) {
    let project = toy_with(&["a", "b", "c"], FAILS);
    project.run(&[]).expect(3);
    let name = open_names(&project, "workspace").remove(0);
    workspace(&project, "commit", &name, &["--partial"]).expect(0);
    project.write("copy.sh", COPY);
    (project, name)
}

/// The same, all committed.
fn complete(items: &[&str]) -> (Project, String) {
    let project = toy(items);
    project.run(&[]).expect(0);
    let run = newest(&project, "toy");
    (project, run)
}

/// A workspace `trial` over what was ingested, without a graph.
fn created(project: &Project, args: &[&str]) {
    let pipeline = project.path().join("pipeline.yaml");
    let create = ["--pipeline", pipeline.as_str(), "-i", "toy/raw"];
    workspace(project, "create", "trial", &[&create, args].concat()).expect(0);
}

fn build(project: &Project, args: &[&str]) -> Ran {
    workspace(project, "build", "trial", args)
}

fn finish(project: &Project) {
    workspace(project, "run", "trial", &[]).expect(0);
    workspace(project, "commit", "trial", &[]).expect(0);
}

fn total(project: &Project, collection: &str) -> String {
    project.pantler(&["get", "total", "--collections", collection]).expect(0).text()
}

fn copy_of(project: &Project, run: &str, item: &str) -> Value {
    let copies = datasets(project, &["copy", "--collections", run]);
    copies.into_iter().find(|row| row["data_id"]["item"] == item).unwrap()
}

#[test]
fn the_next_run_makes_what_a_partial_one_lacks() {
    let project = small_weather();
    let script = project.read("tasks/year.sh");
    project.write("tasks/year.sh", format!("test \"$1\" != seattle || exit 3\n{script}"));
    project.run(&[]).expect(3);
    let first = open_names(&project, "workspace").remove(0);
    workspace(&project, "commit", &first, &["--partial"]).expect(0);
    project.write("tasks/year.sh", &script);

    let ran = project.run(&["--skip-existing-in", "weather"]).expect(0);
    let said = format!("{}{}", ran.text(), ran.stderr);
    let daily = format!("daily: 4 quanta skipped: outputs are in {first}");
    let year = format!("year: 1 quantum skipped: outputs are in {first}");
    assert!(said.contains(&daily) && said.contains(&year), "{said}");
    let second = newest(&project, "weather");
    assert_ne!(first, second);
    assert_eq!(ran_in(&project, &second), ["compare", "year seattle"]);

    // The chain leads to all of it, and it is what one run would have made.
    let other = small_weather();
    other.run(&[]).expect(0);
    for (dataset_type, n) in [("daily", 4), ("monthly", 2), ("summary", 2), ("comparison", 1)] {
        let sums = |project: &Project| -> BTreeSet<String> {
            let args = [dataset_type, "--collections", "weather", "--find-first"];
            let rows = datasets(project, &args);
            assert_eq!(rows.len(), n, "{dataset_type}");
            rows.iter().map(|row| format!("{} {}", row["data_id"], row["checksum"])).collect()
        };
        assert_eq!(sums(&project), sums(&other), "{dataset_type}");
    }

    // Provenance goes on from one RUN to the other.
    let upstream = quanta(&project, "..comparison & succeeded", "weather");
    assert_eq!(upstream.len(), 4 + 2 + 1, "{upstream:?}");
    let made_in: BTreeMap<String, String> = upstream
        .iter()
        .map(|(name, quantum)| (name.clone(), quantum["run"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(made_in["year san_francisco"], first);
    assert_eq!(made_in["year seattle"], second);
    let days: Vec<_> = made_in.iter().filter(|(name, _)| name.starts_with("daily ")).collect();
    assert!(days.len() == 4 && days.iter().all(|(_, run)| **run == first), "{made_in:?}");
    let downstream = quanta(&project, "daily@{city=seattle, month=1}.. & quanta", "weather");
    let names: Vec<&str> = downstream.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"compare") && names.contains(&"year seattle"), "{names:?}");
    // Of the RUN alone, the skipped outputs are known as inputs.
    let inputs = quanta(&project, "..comparison & succeeded", &second);
    assert_eq!(inputs.len(), 2);
    project.pantler(&["check", "--checksum"]).expect(0);

    // Nothing is left.
    let before = project.picture();
    let ran = project.run(&["--skip-existing-in", "weather"]).expect(0);
    assert!(ran.text().contains("nothing is left to do: no RUN is made"), "{ran:?}");
    let ran = project.run(&["--skip-existing-in", "weather", "--dry-run"]).expect(0);
    assert!(ran.text().contains("nothing is left to do: no RUN is made"), "{ran:?}");
    before.assert_same(&project.picture(), "after nothing was left to do");
}

#[test]
fn what_is_left_to_build_may_be_taken_over() {
    let (project, first) = partial();
    // Beside it, a RUN that is whole, and has another version of the copies.
    project.run(&[]).expect(0);
    let whole = newest(&project, "toy");
    let args = ["--skip-existing-in", &first, "--reuse", &whole];
    project.run(&args).expect(0);
    let last = newest(&project, "toy");
    let made = quanta(&project, "quanta", &last);
    let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["copy b", "total"]);
    // The copy has read the same; the total has not: two of its inputs are of the first RUN.
    assert_eq!(made[0].1["taken_over"]["run"], json!(whole));
    assert_eq!(made[1].1["taken_over"], Value::Null);
    assert_eq!(total(&project, &last), "6\n");
    // Now it would.
    project.run(&["--skip-existing-in", &first, "--reuse", &last]).expect(0);
    let again = newest(&project, "toy");
    let made = quanta(&project, "quanta", &again);
    assert_eq!(made.len(), 2);
    assert!(made.iter().all(|(_, own)| own["taken_over"]["run"] == json!(last)), "{made:?}");
    assert_eq!(total(&project, &again), "6\n");
}

#[test]
fn datasets_decide() {
    let (project, first) = complete(&["a", "b", "c"]);
    // A log is not needed, nor what a skipped quantum was made from.
    for log in datasets(&project, &["copy_log", "--collections", &first]) {
        project.pantler(&["remove", log["id"].as_str().unwrap(), "--purge"]).expect(0);
    }
    // Registered is not enough.
    let id = copy_of(&project, &first, "b")["id"].as_str().unwrap().to_owned();
    project.pantler(&["remove", &id]).expect(0);
    created(&project, &[]);
    let built = build(&project, &["--skip-existing-in", &first, "--json"]).expect(0).json();
    let expected = json!([
        {"task": "copy", "collection": first, "quanta": 2, "incomplete": 0},
        {"task": "total", "collection": first, "quanta": 1, "incomplete": 0},
    ]);
    assert_eq!(built["skipped"], expected, "{built}");
    assert_eq!(
        built["tasks"],
        json!([{"task": "copy", "quanta": 1}, {"task": "total", "quanta": 0}])
    );
    finish(&project);
    assert_eq!(ran_in(&project, "trial"), ["copy b"]);
}

#[test]
fn what_is_there_in_part_is_built_whole() {
    let project = toy(&["a", "b"]);
    let pipeline = project.read("pipeline.yaml").replace(
        "    outputs: {copy: {type: copy, storage_class: Text}}\n",
        "    outputs: {copy: {type: copy, storage_class: Text}, more: {type: more, storage_class: Text}}\n",
    );
    let pipeline = pipeline.replace(
        "\"{outputs.copy}\", \"{data_id.item}\"",
        "\"{outputs.copy}\", \"{data_id.item}\", \"{outputs.more}\"",
    );
    project.write("pipeline.yaml", pipeline);
    project.write("copy.sh", format!("{COPY}echo more > \"$5\"\n"));
    project.run(&[]).expect(0);
    let first = newest(&project, "toy");
    let more = &datasets(&project, &["more", "--collections", &first])[0];
    project.pantler(&["remove", more["id"].as_str().unwrap()]).expect(0);
    created(&project, &[]);
    let explain = |args: &[&str]| {
        let args = [&["--skip-existing-in", &first, "--explain"], args].concat();
        build(&project, &args).expect(0)
    };
    let whole = explain(&["copy", "item=a"]).text();
    assert!(whole.starts_with("copy item=a: there is quantum "), "{whole}");
    assert!(whole.contains(&format!("; {first} has its outputs without `more`\n")), "{whole}");
    let skipped = explain(&["copy", "item=b"]).text();
    assert_eq!(skipped, format!("copy item=b: skipped, its outputs are in {first}\n"));
    let document = explain(&["copy", "item=b", "--json"]).json();
    assert_eq!(document["finding"], json!({"kind": "skipped", "collection": first}));
    let document = explain(&["copy", "item=a", "--json"]).json();
    assert_eq!(document["finding"]["kind"], "incomplete");
    assert_eq!(document["finding"]["missing"], json!(["more"]));
    let said = build(&project, &["--skip-existing-in", &first]).expect(0).text();
    let line = format!(
        "copy: 1 quantum skipped: outputs are in {first}; 1 quantum built whole: {first} has some outputs only"
    );
    assert!(said.contains(&line), "{said}");
    finish(&project);
    // Both outputs are new, and the old one stays where it is.
    assert_eq!(ran_in(&project, "trial"), ["copy a"]);
    assert_eq!(datasets(&project, &["copy", "--collections", "trial"]).len(), 1);
    assert_eq!(datasets(&project, &["copy", "--collections", &first]).len(), 2);
}

#[test]
fn files_come_in_the_order_of_data_ids() {
    let project = toy_with(&["a", "b", "c"], FAILS);
    project.write("total.sh", "out=$1\nshift\ncat \"$@\" > \"$out\"\n");
    project.run(&[]).expect(3);
    let name = open_names(&project, "workspace").remove(0);
    workspace(&project, "commit", &name, &["--partial"]).expect(0);
    project.write("copy.sh", COPY);
    project.run(&["--skip-existing-in", "toy"]).expect(0);
    assert_eq!(total(&project, "toy"), "1\n2\n3\n");
}

#[test]
fn each_part_finds_what_earlier_ones_have_skipped() {
    let (project, first) = partial();
    created(&project, &[]);
    let args = ["--task", "copy", "--where", "item IN ('a', 'b')", "--skip-existing-in", "toy"];
    let one = build(&project, &args).expect(0);
    assert!(one.text().contains("built the graph of trial: 1 quantum"), "{one:?}");
    workspace(&project, "run", "trial", &[]).expect(0);
    // Without saying it again.
    let two = build(&project, &["--task", "copy"]).expect(0);
    assert!(two.text().contains("trial has a graph already: 1 quantum"), "{two:?}");
    let line = format!("copy: 2 quanta skipped: outputs are in {first}");
    assert!(two.text().contains(&line), "{two:?}");
    let three = build(&project, &[]).expect(0);
    assert!(three.text().contains("added 1 quantum to the graph of trial: 2 quanta"), "{three:?}");
    finish(&project);
    assert_eq!(ran_in(&project, "trial"), ["copy b", "total"]);
    assert_eq!(total(&project, "trial"), "6\n");
}

#[test]
fn the_choice_is_that_of_a_call() {
    let (project, first) = complete(&["a", "b"]);
    // A task that is not asked for, and exists.
    created(&project, &[]);
    build(&project, &["--task", "total", "--skip-existing-in", &first]).expect(0);
    let rest = build(&project, &["--json"]).expect(0).json();
    assert_eq!(rest["tasks"][0]["quanta"], 2, "{rest}");
    assert_eq!(rest["tasks"][1]["quanta"], 0, "total was skipped, and stays skipped: {rest}");
    finish(&project);
    assert_eq!(ran_in(&project, "trial"), ["copy a", "copy b"]);
}

#[test]
fn all_of_a_part_may_exist() {
    let (project, first) = complete(&["a", "b"]);
    created(&project, &[]);
    let built = build(&project, &["--task", "copy", "--skip-existing-in", &first]).expect(0);
    assert!(built.text().contains("built the graph of trial: 0 quanta"), "{built:?}");
    let again = build(&project, &["--task", "copy", "--skip-existing-in", &first]).expect(0);
    assert!(again.text().contains("trial has a graph already: 0 quanta"), "{again:?}");
    build(&project, &[]).expect(0);
    finish(&project);
    assert_eq!(ran_in(&project, "trial"), ["total"]);
    assert_eq!(total(&project, "trial"), "3\n");
}

#[test]
fn what_is_read_stays_while_the_workspace_is_open() {
    let (project, first) = partial();
    created(&project, &[]);
    build(&project, &["--skip-existing-in", &first]).expect(0);
    let shown = project.pantler(&["collection", "show", &first, "--json"]).expect(0).json();
    assert_eq!(shown["transactions"], json!([{"name": "trial", "lock": "read"}]));
    let id = copy_of(&project, &first, "a")["id"].as_str().unwrap().to_owned();
    let ran = project.pantler(&["remove", &id]).expect(1);
    assert!(ran.stderr.contains("trial"), "{}", ran.stderr);
    project.pantler(&["collection", "remove", "toy"]).expect(0);
    let ran = project.pantler(&["remove-run", &first]).expect(1);
    assert!(ran.stderr.contains("trial"), "{}", ran.stderr);
    workspace(&project, "revert", "trial", &[]).expect(0);
    assert_eq!(datasets(&project, &["copy", "--collections", &first]).len(), 2);
    project.pantler(&["remove-run", &first]).expect(0);
}

#[test]
fn collections_of_any_type_are_searched_in_order() {
    let (project, first) = partial();
    project.run(&[]).expect(0);
    let second = newest(&project, "toy");
    // Some are tagged; the chain has the tags in front, and the rest is in the second RUN.
    project.pantler(&["collection", "create", "some"]).expect(0);
    let id = copy_of(&project, &first, "a")["id"].as_str().unwrap().to_owned();
    project.pantler(&["collection", "tag", "some", &id]).expect(0);
    project.pantler(&["collection", "chain", "all", "some", &second]).expect(0);
    created(&project, &[]);
    let args = ["--task", "copy", "--skip-existing-in", "all", "--json"];
    let built = build(&project, &args).expect(0).json();
    let expected = json!([
        {"task": "copy", "collection": "some", "quanta": 1, "incomplete": 0},
        {"task": "copy", "collection": second, "quanta": 2, "incomplete": 0},
    ]);
    assert_eq!(built["skipped"], expected, "{built}");
    build(&project, &[]).expect(0);
    let exported = graph(&project);
    let copies = exported["datasets"].as_array().unwrap().iter();
    let copies = copies.filter(|dataset| dataset["dataset_type"] == "copy");
    let runs: Vec<_> = copies.map(|dataset| dataset["run"].as_str().unwrap()).collect();
    assert_eq!(runs, [&first, &second, &second], "{exported}");
    // Both RUNs are read.
    for run in [&first, &second] {
        let shown = project.pantler(&["collection", "show", run, "--json"]).expect(0).json();
        assert_eq!(shown["transactions"], json!([{"name": "trial", "lock": "read"}]));
    }
    finish(&project);
    assert_eq!(total(&project, "trial"), "6\n");
}

/// The graph of `trial`, exported.
fn graph(project: &Project) -> Value {
    project.pantler(&["graph", "export", "trial", "--format", "json"]).expect(0).json()
}

#[test]
fn the_graph_shows_what_exists_and_what_is_made() {
    let (project, first) = partial();
    created(&project, &[]);
    build(&project, &["--skip-existing-in", &first]).expect(0);
    let shown = project.pantler(&["graph", "show", "trial", "--json"]).expect(0).json();
    let copies: Vec<_> = shown["dataset_types"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|own| own["dataset_type"] == "copy")
        .map(|own| (own["datasets"].as_u64().unwrap(), own["predicted"].as_bool().unwrap()))
        .collect();
    assert_eq!(copies, [(2, false), (1, true)], "{shown}");
    for format in ["graphml", "dot", "mermaid", "svg"] {
        project.pantler(&["graph", "export", "trial", "--format", format]).expect(0);
    }
    let args = ["--expr", "..total & copy & datasets"];
    let ran = workspace(&project, "run", "trial", &args);
    assert!(ran.stderr.contains("no quantum is"), "{ran:?}");
    workspace(&project, "run", "trial", &["--expr", "..total"]).expect(0);
    workspace(&project, "commit", "trial", &[]).expect(0);
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let (project, first) = complete(&["a", "b"]);
    created(&project, &[]);
    let refused = |args: &[&str], parts: &[&str]| {
        let ran = build(&project, &[&["--skip-existing-in"], args].concat()).expect(1);
        for part in parts {
            assert!(ran.stderr.contains(part), "{part:?} is not in {}", ran.stderr);
        }
    };
    refused(&["nowhere"], &["nowhere", "now: nothing has changed"]);
    refused(&["trial"], &["the workspace makes trial itself", "next: "]);
    refused(&["trial", "--explain", "copy", "item=a"], &["the workspace makes trial itself"]);
    build(&project, &["--skip-existing-in", "no name"]).expect(2);
    // Of another open workspace nobody knows yet what it makes.
    let pipeline = project.path().join("pipeline.yaml");
    let create = ["--pipeline", pipeline.as_str(), "-i", "toy/raw"];
    workspace(&project, "create", "other", &create).expect(0);
    refused(&["other"], &["other", "next: pantler transaction show other"]);
    let ran = project.run(&["--skip-existing-in", "other"]).expect(1);
    assert!(ran.stderr.contains("other"), "{}", ran.stderr);
    workspace(&project, "revert", "other", &[]).expect(0);
    assert_eq!(open_names(&project, "workspace"), ["trial"]);
    build(&project, &["--skip-existing-in", "toy/raw"]).expect(0);
    finish(&project);
    assert_eq!(ran_in(&project, "trial"), ["copy a", "copy b", "total"]);

    let fresh = toy(&["a"]);
    let ran = fresh.run(&["--skip-existing-in", "toy"]).expect(1);
    assert!(ran.stderr.contains("nothing exists that could be skipped"), "{}", ran.stderr);
    assert!(!fresh.repo().exists());
    let before = project.picture();
    let ran = project.run(&["--skip-existing-in", "nowhere"]).expect(1);
    assert!(ran.stderr.contains("nowhere"), "{}", ran.stderr);
    before.assert_same(&project.picture(), "after what was refused");
    assert!(!first.is_empty());
}

#[test]
fn an_open_workspace_is_gone_on_with_by_the_same_command_only() {
    let (project, _) = partial();
    project.write("total.sh", "exit 3\n");
    project.run(&["--skip-existing-in", "toy"]).expect(3);
    let open = open_names(&project, "workspace");
    assert_eq!(open.len(), 1);
    let ran = project.run(&[]);
    assert!(ran.stderr.contains("list of collections in which outputs exist"), "{}", ran.stderr);
    assert_ne!(ran.code(), Some(0));
    project.write("total.sh", "out=$1\nshift\ncat \"$@\" > \"$out\"\n");
    project.run(&["--skip-existing-in", "toy"]).expect(0);
    assert_eq!(newest(&project, "toy"), open[0]);
    assert_eq!(ran_in(&project, &open[0]), ["copy b", "total"]);
}

#[test]
fn a_build_that_is_killed_anywhere_is_run_again() {
    let (project, first) = partial();
    created(&project, &[]);
    let steps = [
        "build.inputs.lock:1",
        "registry.commit.before:1",
        "build.inputs.locked:1",
        "build.graph.write:1",
        "fs.write_new.renamed:1",
    ];
    for step in steps {
        let copy = project.duplicate();
        let repo = copy.repo();
        let args = ["workspace", "build", "trial", "--skip-existing-in", &first];
        let args = [&args[..], &["--repo", repo.as_str()]].concat();
        let mut command = copy.program().command(&args);
        command.env("PANTLER_CRASH", step);
        let killed = Ran::of(command);
        assert_eq!(killed.status.signal(), Some(9), "{step}: {killed:?}");
        copy.check();
        let other = copy.duplicate();
        workspace(&other, "revert", "trial", &[]).expect(0);
        assert_eq!(datasets(&other, &["copy", "--collections", &first]).len(), 2);
        build(&copy, &["--skip-existing-in", &first]).expect(0);
        finish(&copy);
        assert_eq!(ran_in(&copy, "trial"), ["copy b", "total"], "{step}");
    }
}

#[test]
fn a_run_that_is_killed_before_its_graph_goes_on() {
    let (project, _) = partial();
    for step in ["build.inputs.lock:1", "build.inputs.locked:1", "build.graph.write:1"] {
        let copy = project.duplicate();
        killed_at(&copy, step, &["--skip-existing-in", "toy"]);
        copy.check();
        let open = open_names(&copy, "workspace");
        copy.run(&["--skip-existing-in", "toy"]).expect(0);
        assert_eq!([newest(&copy, "toy")], open[..], "{step}");
        assert_eq!(ran_in(&copy, &open[0]), ["copy b", "total"], "{step}");
    }
}

#[test]
fn quanta_that_are_poisoned_or_reset_stay_in_the_workspace() {
    let (project, first) = partial();
    created(&project, &[]);
    build(&project, &["--skip-existing-in", &first]).expect(0);
    workspace(&project, "run", "trial", &[]).expect(0);
    workspace(&project, "poison", "trial", &["--expr", "copy@{item=b}"]).expect(0);
    let ran = workspace(&project, "reset", "trial", &["--expr", "copy@{item=a}"]);
    assert_ne!(ran.code(), Some(0), "{ran:?}");
    workspace(&project, "reset", "trial", &["--expr", "copy@{item=b}"]).expect(0);
    finish(&project);
    assert_eq!(total(&project, "trial"), "6\n");
    assert_eq!(datasets(&project, &["copy", "--collections", &first]).len(), 2);
}

#[test]
fn shards_are_skipped_in_part() {
    let (project, first) = partial();
    let text = project.read("pipeline.yaml");
    project.write("pipeline.yaml", text.split_once("  total:").unwrap().0.to_owned() + AGAIN);
    created(&project, &["--shard-by", "item"]);
    for (item, ran) in [("a", "0"), ("b", "1")] {
        let shard = format!("item={item}");
        build(&project, &["--shard", &shard, "--skip-existing-in", &first]).expect(0);
        let status = workspace(&project, "status", "trial", &["--json"]).expect(0).json();
        assert_eq!(status["tasks"][0]["total"].to_string(), ran, "{status}");
        workspace(&project, "run", "trial", &["--shard", &shard]).expect(0);
        workspace(&project, "commit", "trial", &["--shard", &shard]).expect(0);
    }
    // Own outputs are not looked for in what a chain has of them.
    build(&project, &["--shard", "item=c", "--skip-existing-in", "toy"]).expect(0);
    finish(&project);
    let expected = ["again a", "again b", "again c", "copy b"];
    assert_eq!(ran_in(&project, "trial"), expected);
}

/// A loop over shards comes to its end where all of some is there.
#[test]
fn a_shard_that_is_skipped_as_a_whole_is_nothing_to_do() {
    let (project, first) = complete(&["a", "b", "c"]);
    let made = copy_of(&project, &first, "c")["id"].as_str().unwrap().to_owned();
    project.pantler(&["remove", &made]).expect(0);
    let text = project.read("pipeline.yaml");
    project.write("pipeline.yaml", text.split_once("  total:").unwrap().0);
    created(&project, &["--shard-by", "item"]);
    let nothing = |item: &str| {
        format!(
            "nothing to do for shard item={item}: all its quanta were skipped, outputs are in {first}\n"
        )
    };
    for item in ["a", "c", "b"] {
        let shard = format!("item={item}");
        build(&project, &["--shard", &shard, "--skip-existing-in", &first]).expect(0);
        let ran = workspace(&project, "run", "trial", &["--shard", &shard]).expect(0).text();
        if item == "c" {
            // Together with one that has nothing to do.
            let both = ["--shard", "item=a", "--shard", "item=c"];
            let ran = workspace(&project, "run", "trial", &both).expect(0).text();
            assert!(ran.starts_with(&nothing("a")), "{ran}");
            assert!(ran.contains("all succeeded"), "{ran}");
        }
        let done = workspace(&project, "commit", "trial", &["--shard", &shard]).expect(0).text();
        if item == "c" {
            assert!(done.contains("shard item=c of workspace trial committed"), "{done}");
        } else {
            assert_eq!(ran, nothing(item));
            assert_eq!(done, format!("workspace trial: {}", nothing(item)));
        }
    }
    // Again, and together with others.
    let commit = ["--shard", "item=a", "--shard", "item=c"];
    let done = workspace(&project, "commit", "trial", &commit).expect(0).text();
    assert!(done.contains(&nothing("a")), "{done}");
    assert!(done.contains("was committed before"), "{done}");
    let status = workspace(&project, "status", "trial", &["--json"]).expect(0).json();
    let expected = json!([
        {"shard": {"item": "a"}, "total": 0, "succeeded": 0, "failed": 0, "state": "skipped", "skipped_in": [first]},
        {"shard": {"item": "b"}, "total": 0, "succeeded": 0, "failed": 0, "state": "skipped", "skipped_in": [first]},
        {"shard": {"item": "c"}, "total": 1, "succeeded": 1, "failed": 0, "state": "committed"},
    ]);
    assert_eq!(status["shards"], expected);
    // One that nobody has built is another matter.
    for verb in ["run", "commit"] {
        let refused = workspace(&project, verb, "trial", &["--shard", "item=z"]).expect(1);
        assert!(refused.stderr.contains("item=z"), "{}", refused.stderr);
    }
    workspace(&project, "commit", "trial", &[]).expect(0);
    assert_eq!(ran_in(&project, "trial"), ["copy c"]);
}

#[test]
fn a_workspace_of_which_all_is_skipped_has_nothing_to_commit() {
    let (project, first) = complete(&["a", "b"]);
    let text = project.read("pipeline.yaml");
    project.write("pipeline.yaml", text.split_once("  total:").unwrap().0);
    created(&project, &["--shard-by", "item"]);
    for shard in ["item=a", "item=b"] {
        build(&project, &["--shard", shard, "--skip-existing-in", &first]).expect(0);
        workspace(&project, "commit", "trial", &["--shard", shard]).expect(0);
    }
    let refused = workspace(&project, "commit", "trial", &[]);
    assert_ne!(refused.code(), Some(0));
    let says = "no quanta are built: all that was asked for was skipped";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    assert!(refused.stderr.contains("pantler workspace revert trial"), "{}", refused.stderr);
    workspace(&project, "revert", "trial", &[]).expect(0);
}

/// Of those that were built at once it is not known which were skipped and which never were.
#[test]
fn shards_that_are_built_at_once_are_passed_over_as_well() {
    let (project, first) = complete(&["a", "b"]);
    let made = copy_of(&project, &first, "b")["id"].as_str().unwrap().to_owned();
    project.pantler(&["remove", &made]).expect(0);
    let text = project.read("pipeline.yaml");
    project.write("pipeline.yaml", text.split_once("  total:").unwrap().0);
    created(&project, &["--shard-by", "item"]);
    build(&project, &["--skip-existing-in", &first]).expect(0);
    for item in ["a", "b"] {
        for verb in ["run", "commit"] {
            let shard = format!("item={item}");
            let said = workspace(&project, verb, "trial", &["--shard", &shard]).expect(0).text();
            let nothing = format!(
                "nothing to do for shard item=a: no quanta were built, outputs are in {first}, or there are no inputs"
            );
            assert_eq!(said.contains(&nothing), item == "a", "{said}");
        }
    }
    workspace(&project, "commit", "trial", &[]).expect(0);
    assert_eq!(ran_in(&project, "trial"), ["copy b"]);
}

const AGAIN: &str = "  again:
    dimensions: [item]
    inputs: {copy: {type: copy}}
    outputs: {again: {type: again, storage_class: Text}}
    command: [cp, \"{inputs.copy}\", \"{outputs.again}\"]
";

/// The folder of an external workspace of `project` with these inputs.
fn external(project: &Project, outside: &Utf8Path, inputs: &[&str]) -> Utf8PathBuf {
    let root = outside.join("ext");
    let pipeline = project.path().join("pipeline.yaml");
    let mut args = vec!["--pipeline", pipeline.as_str(), "--chain", "new"];
    args.extend(["--external", root.as_str()]);
    args.extend(inputs.iter().flat_map(|input| ["-i", input]));
    workspace(project, "create", "ext", &args).expect(0);
    root
}

#[test]
fn an_external_workspace_takes_along_what_exists() {
    let (project, first) = partial();
    let outside = tempfile::tempdir().unwrap();
    let outside = Utf8Path::from_path(outside.path()).unwrap().canonicalize_utf8().unwrap();
    let root = external(&project, &outside, &["toy/raw", &first]);
    let root = root.as_str();
    let verb =
        |verb: &str, args: &[&str]| program().run(&[&["workspace", verb, root], args].concat());
    let built = verb("build", &["--skip-existing-in", &first]).expect(0).text();
    assert!(built.contains("2 quanta"), "{built}");
    verb("transfer-inputs", &[]).expect(0);
    let copy = outside.join("copy");
    pantler_testkit::copy_tree(Utf8Path::new(root), &copy, &|_| true);
    verb("run", &[]).expect(0);
    verb("commit", &[]).expect(0);
    assert_eq!(total(&project, "ext"), "6\n");
    // The other copy becomes a repository without the parent.
    let mut project = project;
    project.rename("gone");
    let ran = |args: &[&str]| program().run(args);
    ran(&["workspace", "run", copy.as_str()]).expect(0);
    ran(&["workspace", "convert", copy.as_str()]).expect(0);
    ran(&["check", "--checksum", "--repo", copy.as_str()]).expect(0);
    let get = ["get", "copy", "item=a", "--collections", &first, "--repo", copy.as_str()];
    assert_eq!(ran(&get).expect(0).text(), "1\n");
    let get = ["get", "total", "--collections", "new", "--repo", copy.as_str()];
    assert_eq!(ran(&get).expect(0).text(), "6\n");
}

#[test]
fn an_external_workspace_searches_its_inputs_only() {
    let (project, first) = partial();
    let outside = tempfile::tempdir().unwrap();
    let outside = Utf8Path::from_path(outside.path()).unwrap().canonicalize_utf8().unwrap();
    let root = external(&project, &outside, &["toy/raw"]);
    let args = ["workspace", "build", root.as_str(), "--skip-existing-in", &first];
    let ran = program().run(&args).expect(1);
    let says = format!("{first} is no input of the external workspace in {root}");
    assert!(ran.stderr.contains(&says), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("-i {first}")), "{}", ran.stderr);
}

#[test]
fn what_exists_is_exported_as_inputs_are() {
    let (project, first) = partial();
    created(&project, &[]);
    build(&project, &["--skip-existing-in", &first]).expect(0);
    workspace(&project, "run", "trial", &[]).expect(0);
    let outside = tempfile::tempdir().unwrap();
    let outside = Utf8Path::from_path(outside.path()).unwrap().canonicalize_utf8().unwrap();
    let to = outside.join("all");
    workspace(&project, "export", "trial", &["--to", to.as_str(), "--with-inputs"]).expect(0);
    let ran = |args: &[&str]| program().run(&[args, &["--repo", to.as_str()]].concat());
    ran(&["check", "--checksum"]).expect(0);
    assert_eq!(ran(&["get", "copy", "item=c", "--collections", &first]).expect(0).text(), "3\n");
    assert_eq!(ran(&["get", "total", "--collections", "trial"]).expect(0).text(), "6\n");
    workspace(&project, "abandon", "trial", &[]).expect(0);
}
