//! `pantler graph show` and `pantler graph export`.

use std::{collections::BTreeSet, process::Command};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::{Project, Ran};
use serde_json::{Value, json};

use crate::{
    program, source_root,
    toy::{killed_at, open_names, tidy, toy},
    weather,
};

/// A value of a data ID with all that formats take for their own.
const ODD: &str = "<b>&\"q\"'s]]>-->; #1 \\n é";

const FORMATS: [&str; 5] = ["json", "graphml", "dot", "mermaid", "svg"];

/// The name of its workspace, built, with no quantum run.
fn built(project: &Project) -> String {
    killed_at(project, "exec.spawn:1", &["-j1"]);
    let mut names = open_names(project, "workspace");
    assert_eq!(names.len(), 1, "{names:?}");
    names.remove(0)
}

/// Where the graph of a workspace is.
fn graph_file(project: &Project, name: &str) -> Utf8PathBuf {
    let status = project.pantler(&["workspace", "status", name, "--json"]).expect(0).json();
    Utf8Path::new(status["root"].as_str().unwrap()).join("graph-1.qg")
}

fn export(project: &Project, name: &str, format: &str, more: &[&str]) -> String {
    let args = [&["graph", "export", name, "--format", format], more].concat();
    project.pantler(&args).expect(0).text()
}

/// Exit code and error stream of the program in the project folder.
#[track_caller]
fn said(project: &Project, args: &[&str]) -> String {
    let mut command = project.program().command(args);
    command.current_dir(project.path());
    let ran = Ran::of(command);
    assert_eq!(ran.text(), "", "errors go to the error stream");
    format!("exit {}\n{}", ran.code().unwrap(), tidy(project, &ran.stderr))
}

/// The same of what must change nothing.
#[track_caller]
fn refused(project: &Project, args: &[&str]) -> String {
    let before = project.picture();
    let said = said(project, args);
    before.assert_same(&project.picture(), "after what was refused");
    said
}

/// Runs a program of Python's standard library with text on its standard input.
#[track_caller]
fn python(python: &Utf8Path, script: &str, input: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    std::fs::write(&path, input).unwrap();
    let mut command = Command::new(python);
    command.args(["-I", "-c", script]).arg(&path);
    Ran::of(command).expect(0).json()
}

/// Reads XML with a parser that takes no faults, and gives (tag, attributes, text).
fn elements(xml: &str) -> Vec<(String, Value, String)> {
    let script = "
import json, sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
print(json.dumps([[e.tag.split('}')[1], e.attrib, e.text or ''] for e in root.iter()]))
";
    let found = python("python3".into(), script, xml);
    serde_json::from_value(found).unwrap()
}

#[test]
fn show_counts_quanta_and_datasets() {
    let project = weather();
    let name = built(&project);
    let shown = project.pantler(&["graph", "show", &name]).expect(0).text();
    let has = |row: &[&str]| {
        let found = shown.lines().any(|line| line.split_whitespace().eq(row.iter().copied()));
        assert!(found, "{row:?} in\n{shown}");
    };
    has(&["RUN", &name]);
    has(&"content 27 quanta, 82 datasets: 24 existing, 58 predicted"
        .split(' ')
        .collect::<Vec<_>>());
    has(&["daily", "{city,", "month}", "24"]);
    has(&["compare", "{}", "1"]);
    has(&["hourly", "{city,", "month}", "Csv", "24", "existing"]);
    has(&["comparison_svg", "{}", "Svg", "1", "predicted"]);
    has(&["year_log", "{city}", "Bytes", "2", "predicted"]);

    let json = project.pantler(&["graph", "show", &name, "--json"]).expect(0).json();
    assert_eq!(
        (&json["run"], &json["quanta"], &json["datasets"]),
        (&json!(name), &json!(27), &json!(82))
    );
    assert_eq!(
        json["tasks"][0],
        json!({"task": "daily", "dimensions": ["city", "month"], "quanta": 24})
    );
    assert_eq!(
        json["dataset_types"][0],
        json!({"dataset_type": "hourly", "dimensions": ["city", "month"], "storage_class": "Csv", "datasets": 24, "predicted": false})
    );
    assert_eq!(json["generation"], 0);
    let created = json["created_at"].as_str().unwrap();
    assert!(shown.contains(&created[..19]), "{created} in\n{shown}");
}

#[test]
fn a_graph_is_read_without_the_database() {
    let project = toy(&["a", "b"]);
    let name = built(&project);
    let (database, away) = (project.repo().join("registry.sqlite3"), project.path().join("away"));
    std::fs::rename(&database, &away).unwrap();
    project.pantler(&["graph", "show", &name]).expect(0);
    export(&project, &name, "json", &[]);
    assert!(!database.exists(), "it was made");
    std::fs::rename(&away, &database).unwrap();
}

#[test]
fn the_pipeline_as_text() {
    let project = weather();
    let name = built(&project);
    insta::assert_snapshot!(export(&project, &name, "mermaid", &["--pipeline"]), @r#"
    flowchart LR
      s0["daily<br/>{city, month}"]
      s1["year<br/>{city}"]
      s2["compare<br/>{}"]
      d0(["hourly<br/>Csv {city, month}"])
      d1(["daily<br/>Csv {city, month}"])
      d3(["summary<br/>Json {city}"])
      d4(["monthly<br/>Csv {city}"])
      d6(["comparison_json<br/>Json {}"])
      d7(["comparison_svg<br/>Svg {}"])
      d8(["comparison<br/>Csv {}"])
      d0 --> s0
      s0 --> d1
      d1 --> s1
      s1 --> d3
      s1 --> d4
      d4 --> s2
      s2 --> d6
      s2 --> d7
      s2 --> d8
    "#);
    insta::assert_snapshot!(export(&project, &name, "dot", &["--pipeline"]), @r##"
    digraph "pipeline.yaml" {
      rankdir=LR;
      node [fontname="sans-serif", fontsize=11];
      node [shape=box, style=filled, fillcolor="#dbe9f6"];
      "task:daily" [label="daily\n{city, month}"];
      "task:year" [label="year\n{city}"];
      "task:compare" [label="compare\n{}"];
      node [shape=ellipse, fillcolor="#ffffff"];
      "dataset_type:hourly" [label="hourly\nCsv {city, month}", fillcolor="#eeeeee"];
      "dataset_type:daily" [label="daily\nCsv {city, month}"];
      "dataset_type:summary" [label="summary\nJson {city}"];
      "dataset_type:monthly" [label="monthly\nCsv {city}"];
      "dataset_type:comparison_json" [label="comparison_json\nJson {}"];
      "dataset_type:comparison_svg" [label="comparison_svg\nSvg {}"];
      "dataset_type:comparison" [label="comparison\nCsv {}"];
      "dataset_type:hourly" -> "task:daily";
      "task:daily" -> "dataset_type:daily";
      "dataset_type:daily" -> "task:year";
      "task:year" -> "dataset_type:summary";
      "task:year" -> "dataset_type:monthly";
      "dataset_type:monthly" -> "task:compare";
      "task:compare" -> "dataset_type:comparison_json";
      "task:compare" -> "dataset_type:comparison_svg";
      "task:compare" -> "dataset_type:comparison";
    }
    "##);
    let document: Value =
        serde_json::from_str(&export(&project, &name, "json", &["--pipeline"])).unwrap();
    assert_eq!(
        (&document["format"], &document["version"]),
        (&json!("pantler-pipeline-export"), &json!(1))
    );
    assert_eq!(
        document["tasks"][1],
        json!({
            "task": "year",
            "dimensions": ["city"],
            "inputs": {"months": {"dataset_type": "daily", "multiple": true}},
            "outputs": {"table": "monthly", "summary": "summary", "_log": "year_log"},
        })
    );
    let svg = elements(&export(&project, &name, "svg", &["--pipeline"]));
    let titles: Vec<_> =
        svg.iter().filter(|(tag, ..)| tag == "title").map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(titles.len(), 1 + 3 + 7, "{titles:?}");
    assert!(titles.contains(&"year {city}") && titles.contains(&"hourly Csv {city, month}"));
}

#[test]
fn the_graph_in_each_format() {
    let project = weather();
    let name = built(&project);
    let [json, graphml, dot, mermaid, svg] = FORMATS.map(|f| export(&project, &name, f, &[]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["quanta"].as_array().unwrap().len(), 27);
    assert_eq!(json["datasets"].as_array().unwrap().len(), 82);
    let of = |tag: &str| elements(&graphml).iter().filter(|e| e.0 == tag).count();
    // Readings, months of each year, tables; outputs and logs.
    let (reads, outputs) = (24 + 24 + 2, 24 + 4 + 3);
    assert_eq!((of("node"), of("edge")), (27 + 82, reads + outputs + 27));
    let drawn = 27 + 24 + outputs;
    assert_eq!(
        (dot.matches("[label=").count(), dot.matches(" -> ").count()),
        (drawn, reads + outputs)
    );
    assert_eq!(mermaid.matches("<br/>").count(), drawn);
    assert_eq!(mermaid.matches(" --> ").count(), reads + outputs);
    let boxes = elements(&svg).iter().filter(|e| e.0 == "rect").count();
    assert_eq!(boxes, drawn + 1, "and the background");

    // A file gives the same as the workspace that it is of.
    let file = graph_file(&project, &name);
    let again = program().run(&["graph", "export", file.as_str(), "--format", "svg"]).expect(0);
    assert_eq!(again.text(), svg);
}

#[test]
fn text_of_data_ids_stays_text() {
    let project = toy(&[ODD, "plain"]);
    let name = built(&project);
    let json: Value = serde_json::from_str(&export(&project, &name, "json", &[])).unwrap();
    let quanta = json["quanta"].as_array().unwrap();
    assert!(quanta.iter().any(|q| q["data_id"]["item"] == ODD), "{quanta:?}");

    let graphml = elements(&export(&project, &name, "graphml", &[]));
    let texts = |key: &str| -> BTreeSet<&str> {
        let of_key = graphml.iter().filter(|(tag, with, _)| tag == "data" && with["key"] == key);
        of_key.map(|(_, _, text)| text.as_str()).collect()
    };
    assert!(texts("label").contains(format!("copy item={ODD}").as_str()));
    assert!(texts("data_id").contains(json!({"item": ODD}).to_string().as_str()));

    let svg = elements(&export(&project, &name, "svg", &[]));
    assert!(svg.iter().any(|(tag, _, text)| tag == "text" && *text == format!("item={ODD}")));
    let tags: BTreeSet<_> = svg.iter().map(|(tag, ..)| tag.as_str()).collect();
    assert_eq!(
        tags,
        ["defs", "g", "marker", "path", "rect", "svg", "text", "title"].into(),
        "nothing of a data ID has become an element"
    );
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let project = toy(&["a"]);
    let name = built(&project);
    let out = project.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let file = out.join("graph.dot");
    let to_file = ["-o", file.as_str()];
    let names = || -> Vec<String> {
        let entries = out.read_dir_utf8().unwrap().map(|e| e.unwrap().file_name().to_owned());
        entries.collect()
    };
    let expected = export(&project, &name, "dot", &[]);
    assert_eq!(export(&project, &name, "dot", &to_file), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    assert_eq!(names(), ["graph.dot"]);

    let again =
        ["graph", "export", &name, "--format", "mermaid", "-o", file.as_str(), "--repo", "repo"];
    insta::assert_snapshot!(refused(&project, &again), @r#"
    exit 1
    error: <project>/out/graph.dot is there already: --force replaces it
    "#);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    let forced = ["-o", file.as_str(), "--force"];
    export(&project, &name, "mermaid", &forced);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), export(&project, &name, "mermaid", &[]));
    assert_eq!(names(), ["graph.dot"]);

    // The link stays, and what it leads to is replaced.
    let link = project.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    export(&project, &name, "dot", &["-o", link.as_str(), "--force"]);
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    assert_eq!(names(), ["graph.dot"]);

    let null = ["-o", "/dev/null"];
    export(&project, &name, "dot", &null);
    let full = project.pantler(&["graph", "export", &name, "--format", "dot", "-o", "/dev/full"]);
    assert!(full.expect(1).stderr.starts_with("error: cannot write to /dev/full"));
}

#[test]
fn what_is_refused() {
    let project = toy(&["a"]);
    project.run(&[]).expect(0);
    project.write("text.qg", "no graph");
    let name = "trial";
    let pipeline = project.path().join("pipeline.yaml");
    let args = ["workspace", "create", name, "--pipeline", pipeline.as_str(), "-i", "toy/raw"];
    project.pantler(&args).expect(0);
    let show = |graph: &str| refused(&project, &["graph", "show", graph, "--repo", "repo"]);
    insta::assert_snapshot!(show(name), @r#"
    exit 1
    error: workspace trial has no quantum graph yet: build it first
    now: nothing has changed
    next: pantler workspace build trial --repo <project>/repo
    "#);
    insta::assert_snapshot!(show("nothing/here"), @r#"
    exit 1
    error: there is no file "nothing/here", and no open workspace has that name
    next: pantler workspace list --repo <project>/repo
      or: pantler query provenance quanta --collections nothing/here --repo <project>/repo
    "#);
    insta::assert_snapshot!(show("no name?"), @r#"
    exit 2
    error: there is no file "no name?", and no workspace can have that name
      because: invalid collection name "no name?": only letters, digits and _ - . + : = / are allowed
    "#);
    insta::assert_snapshot!(show("nothing.qg"), @r#"
    exit 1
    error: cannot access <project>/nothing.qg
      because: No such file or directory (os error 2)
    now: nothing has changed
    "#);
    insta::assert_snapshot!(show("text.qg"), @r#"
    exit 1
    error: cannot use the quantum graph <project>/text.qg
      because: this is not a whole graph file: invalid Zip archive: Could not find EOCD
    now: nothing has changed
    "#);
    insta::assert_snapshot!(show("pipeline.yaml"), @r#"
    exit 1
    error: cannot use the quantum graph <project>/pipeline.yaml
      because: this is not a whole graph file: invalid Zip archive: Could not find EOCD
    now: nothing has changed
    "#);
    insta::assert_snapshot!(show("repo"), @r#"
    exit 1
    error: there is no file "repo", and no open workspace has that name
    next: pantler workspace list --repo <project>/repo
      or: pantler query provenance quanta --collections repo --repo <project>/repo
    "#);
    insta::assert_snapshot!(show("/dev/null"), @r#"
    exit 1
    error: /dev/null is not a file
    "#);
    let specimens = source_root().join("workspaces/broken");
    for (broken, says) in
        [("graph-truncated", "not a whole graph file"), ("graph-newer", "graph file version 9")]
    {
        let file = specimens.join(broken).join("graph-1.qg");
        for verb in [&["show"][..], &["export", "--format", "json"]] {
            let args = [&["graph"], verb, &[file.as_str()]].concat();
            let said = refused(&project, &args);
            assert!(said.starts_with("exit 1\nerror: cannot use the quantum graph"), "{said}");
            assert!(said.contains(says), "{said}");
        }
    }
    let nowhere = Project::empty(&program());
    insta::assert_snapshot!(said(&nowhere, &["graph", "show", "trial"]), @r#"
    exit 2
    error: no repository: there is no pantler.yaml in <project> or above it, and no project with one
    now: trial is no file, so a workspace of that name was looked for
    next: name one with --repo REPO or PANTLER_REPO=REPO
    "#);
    let wrong = program().run(&["graph", "export", "x", "--format", "png"]).expect(2);
    assert!(wrong.stderr.contains("[possible values: json, graphml, dot, mermaid, svg]"));
    program().run(&["graph", "export", "x"]).expect(2);
    program().run(&["graph", "export", "x", "--format", "dot", "--force"]).expect(2);
    project.pantler(&["workspace", "revert", name]).expect(0);
}

#[test]
fn a_damaged_graph_of_a_workspace_is_an_error() {
    let project = toy(&["a", "b"]);
    let name = built(&project);
    let file = graph_file(&project, &name);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let said = refused(&project, &["graph", "show", &name, "--repo", "repo"]);
    assert!(
        said.starts_with("exit 1\nerror: cannot use the quantum graph <project>/repo"),
        "{said}"
    );
    std::fs::write(&file, &bytes).unwrap();
    project.pantler(&["graph", "show", &name]).expect(0);
}

#[test]
fn a_large_graph_has_no_picture_but_its_pipeline_has() {
    let items: Vec<String> = (0..70).map(|i| format!("i{i:02}")).collect();
    let project = toy(&items.iter().map(String::as_str).collect::<Vec<_>>());
    let name = built(&project);
    let args = ["graph", "export", &name, "--format", "svg", "--repo", "repo"];
    insta::assert_snapshot!(refused(&project, &args), @r#"
    exit 1
    error: the graph has 212 quanta and datasets (without logs), and a picture shows 200 at most: take json, graphml, dot or mermaid, or the picture of its pipeline
    next: pantler graph export toy/<time> --format svg --pipeline --repo <project>/repo
    "#);
    let file = project.path().join("picture.svg");
    let args = ["graph", "export", &name, "--format", "svg", "-o", file.as_str()];
    project.pantler(&args).expect(1);
    let left = project.path().read_dir_utf8().unwrap();
    assert!(!left.into_iter().any(|e| e.unwrap().file_name().starts_with("picture")));
    export(&project, &name, "svg", &["--pipeline"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = toy(&["a"]);
    let name = built(&project);
    let repo = project.repo();
    let args = ["graph", "export", &name, "--format", "json", "--repo", repo.as_str()];
    let mut child = project.program().start(&args);
    drop(child.stdout.take());
    Ran::finish(child).expect(0);
}

/// A Python that has networkx, installed once below the target directory.
fn networkx() -> Utf8PathBuf {
    const VERSION: &str = "networkx==3.4.2";
    let place = Utf8Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ready = place.join("networkx-3.4.2");
    let python = ready.join("bin/python");
    if python.exists() {
        return python;
    }
    // Prepared beside it, so that what is there is whole.
    let folder = tempfile::tempdir_in(place).unwrap();
    let fresh = Utf8Path::from_path(folder.path()).unwrap().join("venv");
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", fresh.as_str()]);
    let made = Ran::of(venv);
    assert_eq!(made.code(), Some(0), "install python3 and python3-venv: {}", made.stderr);
    let mut pip = Command::new(fresh.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", VERSION]);
    Ran::of(pip).expect(0);
    match std::fs::rename(&fresh, &ready) {
        Ok(()) => {}
        // Another test process was faster.
        Err(error) => assert!(python.exists(), "{error}"),
    }
    python
}

const READ_BACK: &str = "
import json, sys, networkx
graph = networkx.read_graphml(sys.argv[1])
steps = {n for n, kind in graph.nodes(data='kind') if kind in ('quantum', 'task')}
print(json.dumps({
    'directed': graph.is_directed(),
    'acyclic': networkx.is_directed_acyclic_graph(graph),
    'bipartite': all((a in steps) != (b in steps) for a, b in graph.edges()),
    'title': graph.graph.get('title'),
    'nodes': dict(graph.nodes(data=True)),
    'edges': sorted([a, b, c] for a, b, c in graph.edges(data='connection')),
    'ancestors': {n: sorted(networkx.ancestors(graph, n)) for n in graph if graph.out_degree(n) == 0},
}))
";

#[test]
fn networkx_reads_the_graph_back() {
    let networkx = networkx();
    let project = toy(&[ODD, "a", "b"]);
    let name = built(&project);
    let found = python(&networkx, READ_BACK, &export(&project, &name, "graphml", &[]));
    let json: Value = serde_json::from_str(&export(&project, &name, "json", &[])).unwrap();
    for what in ["directed", "acyclic", "bipartite"] {
        assert_eq!(found[what], true, "{what}");
    }
    assert_eq!(found["title"], name.as_str());

    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let nodes = found["nodes"].as_object().unwrap();
    let mut edges = Vec::new();
    let (quanta, datasets) =
        (json["quanta"].as_array().unwrap(), json["datasets"].as_array().unwrap());
    assert_eq!(nodes.len(), quanta.len() + datasets.len());
    for quantum in quanta {
        let id = text(&quantum["id"]);
        let node = &nodes[&id];
        assert_eq!((&node["kind"], &node["task"]), (&json!("quantum"), &quantum["task"]));
        assert_eq!(node["data_id"], quantum["data_id"].to_string());
        for (connection, inputs) in quantum["inputs"].as_object().unwrap() {
            let inputs = inputs.as_array().unwrap();
            edges.extend(inputs.iter().map(|d| [text(d), id.clone(), connection.clone()]));
        }
        for (connection, dataset) in quantum["outputs"].as_object().unwrap() {
            edges.push([id.clone(), text(dataset), connection.clone()]);
        }
    }
    for dataset in datasets {
        let node = &nodes[&text(&dataset["id"])];
        assert_eq!(
            (&node["kind"], &node["dataset_type"]),
            (&json!("dataset"), &dataset["dataset_type"])
        );
        assert_eq!(node["data_id"], dataset["data_id"].to_string());
        assert_eq!((&node["run"], &node["predicted"]), (&dataset["run"], &dataset["predicted"]));
    }
    edges.sort();
    assert_eq!(found["edges"], json!(edges));
    let total = datasets.iter().find(|d| d["dataset_type"] == "total").unwrap();
    // Three numbers, their copies, the quanta of both tasks.
    assert_eq!(found["ancestors"][text(&total["id"])].as_array().unwrap().len(), 3 + 3 + 3 + 1);

    let found = python(&networkx, READ_BACK, &export(&project, &name, "graphml", &["--pipeline"]));
    assert_eq!((&found["acyclic"], &found["bipartite"]), (&json!(true), &json!(true)));
    let expected = json!([
        ["dataset_type:copy", "task:total", "copies"],
        ["dataset_type:number", "task:copy", "number"],
        ["task:copy", "dataset_type:copy", "copy"],
        ["task:copy", "dataset_type:copy_log", "_log"],
        ["task:total", "dataset_type:total", "total"],
        ["task:total", "dataset_type:total_log", "_log"],
    ]);
    assert_eq!(found["edges"], expected);
    assert_eq!(found["nodes"]["dataset_type:number"]["overall_input"], true);
}

/// A file of provenance is no quantum graph, and a committed RUN has none: the way on is said.
#[test]
fn what_is_provenance_is_asked_for_elsewhere() {
    let project = toy(&["a"]);
    project.run(&["-j1"]).expect(0);
    let files = project.picture().files;
    let file = files.keys().find(|file| file.contains("/run_provenance/")).unwrap();
    let refused = project.pantler(&["graph", "show", project.repo().join(file).as_str()]);
    let refused = refused.expect(1);
    assert!(refused.stderr.contains("`pantler query provenance` reads it"), "{}", refused.stderr);
    let refused = project.pantler(&["graph", "show", "toy/committed"]).expect(1);
    assert!(
        refused.stderr.contains("query provenance quanta --collections toy/committed"),
        "{}",
        refused.stderr
    );
}
