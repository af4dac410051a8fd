//! `pantler run PROJECT_DIR`: from files to committed results, once and again.

use std::{collections::BTreeSet, process::Command};

use pantler_testkit::{Project, Ran};

use crate::{
    small_weather,
    toy::{Gate, UNIVERSE, datasets, killed_at, open_names, path_of, toy, toy_with, until},
    weather,
};

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn a_run_says_what_it_did_and_how_to_see_it() {
    let project = weather();
    let ran = project.run(&[]).expect(0);
    let text = ran.text();
    for row in [
        ["daily", "24", "24", "0", "0", "0", "0"],
        ["year", "2", "2", "0", "0", "0", "0"],
        ["compare", "1", "1", "0", "0", "0", "0"],
        ["all", "27", "27", "0", "0", "0", "0"],
    ] {
        assert!(text.lines().any(|line| words(line) == row), "{row:?} in\n{text}");
    }
    let line = |start: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_else(|| panic!("no {start:?} in\n{text}")).to_owned()
    };
    // 24 + 2 × 2 + 3 outputs, 27 logs, and provenance.
    assert!(line("committed ").starts_with("59 datasets in "), "{text}");
    let folder = line("results: weather, with ");
    let folder = folder.rsplit("; ").next().unwrap();
    assert!(camino::Utf8Path::new(folder).join("comparison_svg").is_dir(), "{folder}");

    let bin = project.program().path().parent().unwrap();
    let mut shown = Command::new("sh");
    shown.arg("-c").arg(line("see them: ")).env("PATH", format!("{bin}:/usr/bin:/bin"));
    let shown = Ran::of(shown).expect(0).text();
    assert_eq!(shown.lines().filter(|line| line.contains("comparison_svg")).count(), 1, "{shown}");
    assert_eq!(shown.lines().filter(|line| line.starts_with("hourly ")).count(), 24, "{shown}");
}

#[test]
fn a_second_run_skips_what_is_there_and_comes_first_in_the_chain() {
    let project = weather();
    project.run(&[]).expect(0);
    let first = project.contents("weather");
    let ran = project.run(&[]).expect(0);
    assert!(ran.stderr.contains("nothing new, 24 files there already"), "{}", ran.stderr);

    let collections = project.pantler(&["query", "collections", "--json"]).expect(0).json();
    let collections = collections.as_array().unwrap();
    let runs: Vec<&str> = collections
        .iter()
        .filter(|c| c["type"] == "RUN")
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    let [earlier, newest, "weather/raw"] = runs[..] else { panic!("{runs:?}") };
    assert!(earlier < newest);
    let chain = collections.iter().find(|c| c["name"] == "weather").unwrap();
    assert_eq!(chain["children"], serde_json::json!([newest, earlier, "weather/raw"]));

    let all = datasets(&project, &["--collections", "weather"]);
    assert_eq!(all.len(), 24 + 59 + 59);
    let found = datasets(&project, &["--collections", "weather", "--find-first"]);
    let ids: BTreeSet<String> =
        found.iter().map(|row| format!("{} {}", row["dataset_type"], row["data_id"])).collect();
    assert_eq!((found.len(), ids.len()), (24 + 59, 24 + 59));
    for row in &found {
        let raw = row["dataset_type"] == "hourly";
        assert_eq!(row["run"], if raw { "weather/raw" } else { newest }, "{row}");
        for field in ["id", "dataset_type", "run", "data_id", "stored", "uri", "size", "checksum"] {
            assert!(!row[field].is_null(), "{field} of {row}");
        }
    }
    assert_eq!(project.contents("weather"), first);
}

#[test]
fn changing_one_temperature_changes_table_and_picture() {
    let (calm, warmer) = (small_weather(), small_weather());
    let file = "data/seattle/01.csv";
    let (before, after) = ("2010/01/01 00:00,39.4\n", "2010/01/01 00:00,49.4\n");
    let text = warmer.read(file);
    assert_eq!(text.matches(before).count(), 1);
    warmer.write(file, text.replace(before, after));
    let outputs = |project: &Project| {
        project.run(&[]).expect(0);
        let get = |args: &[&str]| {
            project
                .pantler(&[&["get"], args, &["--collections", "weather"]].concat())
                .expect(0)
                .stdout
        };
        let changing = ["comparison", "comparison_json", "comparison_svg"].map(|name| get(&[name]));
        (changing, get(&["monthly", "city=san_francisco"]), get(&["monthly", "city=seattle"]))
    };
    let (calm, warmer) = (outputs(&calm), outputs(&warmer));
    for (calm, warmer) in calm.0.iter().zip(&warmer.0) {
        assert_ne!(String::from_utf8_lossy(calm), String::from_utf8_lossy(warmer));
    }
    assert_eq!(calm.1, warmer.1, "the other city is as it was");
    assert_ne!(calm.2, warmer.2);
}

#[test]
fn other_bytes_for_a_data_id_are_refused_and_change_nothing() {
    let project = toy(&["a", "b"]);
    project.run(&[]).expect(0);
    let before = project.picture();
    project.write("data/b.txt", "7\n");
    let ran = project.run(&[]).expect(1);
    let file = project.path().join("data/b.txt");
    assert!(
        ran.stderr.contains(&format!("{file} differs from what toy/raw has")),
        "{}",
        ran.stderr
    );
    before.assert_same(&project.picture(), "after a refused ingest");
    // As many bytes as before or not makes no difference.
    project.write("data/b.txt", "77\n");
    project.run(&[]).expect(1);
    before.assert_same(&project.picture(), "after another");
    project.write("data/b.txt", "2\n");
    project.run(&[]).expect(0);
}

#[test]
fn a_record_with_required_metadata_comes_from_a_record_file() {
    let project = toy(&["a", "b"]);
    project.write(
        "universe.yaml",
        UNIVERSE.replace(
            "{key: string}",
            "{key: string, metadata: {title: {type: string, required: true}}}",
        ),
    );
    let ran = project.run(&[]).expect(1);
    assert!(ran.stderr.contains("needs the record item item=a"), "{}", ran.stderr);
    assert!(ran.stderr.contains("data/a.txt"), "{}", ran.stderr);
    assert_eq!(datasets(&project, &[]).len(), 0);

    project.write("items.yaml", "version: 1\nrecords:\n  item:\n    - {item: a, title: First}\n");
    let text = project.read("project.yaml");
    project.write("project.yaml", format!("{text}records: [items.yaml]\n"));
    let ran = project.run(&[]).expect(1);
    assert!(ran.stderr.contains("needs the record item item=b"), "{}", ran.stderr);

    let text = project.read("items.yaml");
    project.write("items.yaml", format!("{text}    - {{item: b, title: Second}}\n"));
    project.run(&[]).expect(0);
    let records = project.pantler(&["query", "records", "item", "--json"]).expect(0).json();
    let titles: Vec<_> =
        records.as_array().unwrap().iter().map(|r| &r["metadata"]["title"]).collect();
    assert_eq!(titles, ["First", "Second"]);
}

#[test]
fn records_without_required_metadata_are_inserted() {
    let project = toy(&["a", "b"]);
    project.run(&[]).expect(0);
    let records = project.pantler(&["query", "records", "item", "--json"]).expect(0).json();
    let items: Vec<_> = records.as_array().unwrap().iter().map(|r| &r["data_id"]["item"]).collect();
    assert_eq!(items, ["a", "b"]);
}

#[test]
fn a_dry_run_lists_ingests_and_quanta_and_changes_nothing() {
    let project = toy(&["a", "b"]);
    let counts = |text: &str, row: [&str; 2]| {
        assert!(text.lines().any(|line| words(line) == row), "{row:?} in\n{text}");
    };
    let text = project.run(&["--dry-run"]).expect(0).text();
    assert!(text.contains("would make the repository"), "{text}");
    assert!(text.contains("would ingest 2 files"), "{text}");
    for file in ["number item=a", "number item=b", "data/a.txt", "data/b.txt"] {
        assert!(text.contains(file), "{file} in\n{text}");
    }
    assert!(text.contains("would run 3 quanta"), "{text}");
    counts(&text, ["copy", "2"]);
    counts(&text, ["total", "1"]);
    assert!(!project.repo().exists());

    project.run(&[]).expect(0);
    let before = project.picture();
    project.write("data/c.txt", "3\n");
    let text = project.run(&["--dry-run"]).expect(0).text();
    assert!(text.contains("would ingest 1 file, 2 there already"), "{text}");
    assert!(text.contains("number item=c") && !text.contains("number item=a"), "{text}");
    counts(&text, ["copy", "3"]);
    before.assert_same(&project.picture(), "after a dry run");
}

#[test]
fn a_killed_run_is_gone_on_with_and_says_so() {
    let calm = toy(&["a", "b", "c"]);
    calm.run(&[]).expect(0);
    for (step, open, said) in [
        ("datastore.rename:2", "toy/raw/ingest", "going on with toy/raw/ingest"),
        ("exec.outputs.moved:2", "toy/2", "going on with the open workspace toy/2"),
        ("close.storage.done:2", "toy/2", "going on with the open workspace toy/2"),
    ] {
        let project = toy(&["a", "b", "c"]);
        killed_at(&project, step, &["-j1"]);
        let names = open_names(&project, "transaction");
        assert!(names.len() == 1 && names[0].starts_with(open), "{step}: {names:?}");
        let ran = project.run(&[]).expect(0);
        assert!(ran.stderr.contains(said), "{step}: {}", ran.stderr);
        assert_eq!(open_names(&project, "transaction"), [""; 0], "{step}");
        assert_eq!(project.contents("toy"), calm.contents("toy"), "{step}");
        if open != "toy/raw/ingest" {
            // What had finished before the kill is not run again, and the RUN is the same.
            let newest = &datasets(&project, &["--collections", "toy", "total"])[0]["run"];
            assert_eq!(newest, names[0].as_str(), "{step}");
        }
    }
}

#[test]
fn other_work_than_that_of_an_open_workspace_is_refused_with_the_ways_on() {
    let project = toy(&["a", "b"]);
    killed_at(&project, "exec.outputs.moved:1", &["-j1"]);
    let name = open_names(&project, "workspace").remove(0);
    let pipeline = project.read("pipeline.yaml");
    let refused = |what: &str| {
        let ran = project.run(&[]).expect(4);
        for way in [
            format!("workspace {name} of this project is open, with another {what}"),
            format!("pantler workspace commit {name}"),
            format!("pantler workspace revert {name}"),
            "--new".to_owned(),
        ] {
            assert!(ran.stderr.contains(&way), "{way:?} in\n{}", ran.stderr);
        }
        assert_eq!(open_names(&project, "workspace"), [name.as_str()]);
    };
    project.write("pipeline.yaml", pipeline.replace("type: total", "type: sum"));
    refused("pipeline");
    project.write("pipeline.yaml", &pipeline);
    // Ingested by the run that is refused: another input than the open graph has.
    project.write("data/c.txt", "3\n");
    refused("set of input datasets");

    project.run(&["--new"]).expect(0);
    assert_eq!(open_names(&project, "workspace"), [name.as_str()]);
    let total = project.pantler(&["get", "total", "--collections", "toy"]).expect(0);
    assert_eq!(total.text(), "6\n");
    // The other one is whole: its own graph, run to its end, has two files.
    project.pantler(&["workspace", "run", &name]).expect(0);
    project.pantler(&["workspace", "commit", &name]).expect(0);
    let total = project.pantler(&["get", "total", "--collections", &name]).expect(0);
    assert_eq!(total.text(), "3\n");
}

/// Copies that say that they have started, and wait at the gate.
pub(crate) const WAITING: &str = "\
echo $$ > \"$1/started.$4.tmp\" && mv \"$1/started.$4.tmp\" \"$1/started.$4\"
read _ < \"$1/gate\"
cat \"$2\" > \"$3\"
";

#[test]
fn the_second_of_two_runs_of_a_project_is_refused_and_by_name_it_waits_naming_the_first() {
    let project = toy_with(&["a"], WAITING);
    let gate = Gate::at(&project.path().join("gate"));
    let path = project.path();
    let first = project.program().start(&["run", path.as_str()]);
    until("the first runs", || path.join("started.a").exists());
    let second = project.run(&[]).expect(1);
    assert!(second.stderr.contains(&format!("process {} on ", first.id())), "{}", second.stderr);
    let name = open_names(&project, "workspace").remove(0);
    let by_name = project.pantler(&["workspace", "run", &name, "--wait", "1"]).expect(3);
    assert!(by_name.stderr.contains(&format!("process {} on ", first.id())), "{}", by_name.stderr);
    gate.open(1);
    Ran::finish(first).expect(0);
    assert_eq!(open_names(&project, "transaction"), [""; 0]);
}

/// A closer waits for the runner, says for whom, and then does its work.
#[test]
fn a_closing_waits_for_the_runner_and_names_it() {
    use std::io::{BufRead as _, BufReader};
    let project = toy_with(&["a"], WAITING);
    let gate = Gate::at(&project.path().join("gate"));
    killed_at(&project, "build.graph.write:1", &[]);
    let name = open_names(&project, "workspace").remove(0);
    project.pantler(&["workspace", "build", &name]).expect(0);
    let (path, repo) = (project.path(), project.repo());
    let runner = project.program().start(&["workspace", "run", &name, "--repo", repo.as_str()]);
    until("it runs", || path.join("started.a").exists());
    let mut closer =
        project.program().start(&["workspace", "commit", &name, "--repo", repo.as_str()]);
    let mut said = String::new();
    BufReader::new(closer.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains(&format!("waiting for process {} on ", runner.id())), "{said}");
    gate.open(1);
    Ran::finish(runner).expect(0);
    Ran::finish(closer).expect(0);
    assert_eq!(open_names(&project, "transaction"), [""; 0]);
    assert_eq!(datasets(&project, &["total"]).len(), 1);
}

#[test]
fn a_pipeline_is_run_on_collections_without_a_project() {
    let project = toy(&["a", "b"]);
    project.run(&[]).expect(0);
    let pipeline = project.path().join("pipeline.yaml");
    let args =
        ["run", pipeline.as_str(), "-i", "toy/raw", "-o", "again/{time}", "--chain", "again"];
    project.pantler(&args).expect(0);
    let rows = datasets(&project, &["total", "--collections", "again"]);
    assert_eq!(rows.len(), 1);
    assert_eq!(std::fs::read_to_string(path_of(&rows[0])).unwrap(), "3\n");
}
