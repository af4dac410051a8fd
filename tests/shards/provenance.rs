//! What is known of shards that are committed: while the workspace is open, after the rest was
//! abandoned, and after the last commit, which tells of everything.

use std::os::unix::process::ExitStatusExt as _;

use pantler_testkit::{Project, Ran};
use serde_json::{Value, json};

use super::{COPY, NAME, PIPELINE, build_and_run, create, ingested, sharded, shards, there, verb};
use crate::toy::{datasets, path_of};

const TYPE: &str = "run_provenance_by_item";

/// Makes something of all shards, in another RUN.
const SECOND: &str = "\
version: 1
tasks:
  total:
    dimensions: []
    inputs: {parts: {type: again, multiple: true}}
    outputs: {total: {type: total, storage_class: Text}}
    command: [sh, \"{pipeline_dir}/total.sh\", \"{outputs.total}\", \"{inputs.parts}\"]
";

/// What the second task reads was made once, for all shards.
const INITS: &str = "\
version: 1
tasks:
  copy:
    dimensions: [item]
    config: {factor: 1}
    inputs: {number: {type: number}}
    init_outputs: {settings: {type: settings, storage_class: Json}}
    outputs: {copy: {type: copy, storage_class: Text}}
    command: [cp, \"{inputs.number}\", \"{outputs.copy}\"]
  again:
    dimensions: [item]
    init_inputs: {settings: settings}
    init_outputs: {header: {type: header, storage_class: Text}}
    init_command: [cp, \"{inputs.settings}\", \"{outputs.header}\"]
    inputs: {copy: copy}
    outputs: {again: {type: again, storage_class: Text}}
    command: [cp, \"{inputs.copy}\", \"{outputs.again}\"]
";

fn query(project: &Project, args: &[&str]) -> Ran {
    project.pantler(&[&["query", "provenance"], args].concat())
}

/// What an expression means: quanta and datasets, sorted by id.
fn found(project: &Project, expression: &str) -> Vec<Value> {
    let document = query(project, &[expression, "--json"]).expect(0).json();
    let nodes = |key: &str| document[key].as_array().unwrap().clone();
    let mut found = [nodes("quanta"), nodes("datasets")].concat();
    found.sort_by_key(|node| node["id"].as_str().unwrap().to_owned());
    for pair in found.windows(2) {
        assert_ne!(pair[0]["id"], pair[1]["id"], "{expression}: twice");
    }
    found
}

/// The same in short: `copy a` for a quantum, `(copy a)` for a dataset.
fn meant(project: &Project, expression: &str) -> Vec<String> {
    let name = |node: &Value| {
        let item = node["data_id"]["item"].as_str().unwrap_or("");
        if let Some(task) = node["task"].as_str() {
            return format!("{task} {item}").trim_end().to_owned();
        }
        let words = format!("{} {item}", node["dataset_type"].as_str().unwrap());
        format!("({})", words.trim_end())
    };
    let mut meant: Vec<String> = found(project, expression).iter().map(name).collect();
    meant.sort();
    meant
}

/// The files of provenance of shards in the storage.
fn stored(project: &Project) -> Vec<String> {
    let files = project.picture().files;
    files.keys().filter(|file| file.contains(&format!("/{TYPE}/"))).cloned().collect()
}

/// Whether there is that of the whole RUN.
fn has_that_of_all(project: &Project) -> bool {
    let rows = datasets(project, &["--collections", NAME]);
    rows.iter().any(|row| row["dataset_type"] == "run_provenance")
}

fn commit(project: &Project, item: &str) {
    build_and_run(project, &format!("item={item}"));
    verb(project, "commit", &["--shard", &format!("item={item}")]).expect(0);
}

#[test]
fn a_committed_shard_tells_how_it_was_made_while_the_rest_goes_on() {
    let project = sharded(&["a", "b", "c"]);
    build_and_run(&project, "item=b");
    let none = query(&project, &["quanta", "--collections", NAME]).expect(1);
    assert!(none.stderr.contains("has no provenance"), "{}", none.stderr);
    commit(&project, "a");

    let listed = datasets(&project, &[TYPE]);
    let said: Vec<_> =
        listed.iter().map(|row| (&row["run"], &row["data_id"], &row["state"])).collect();
    assert_eq!(said, [(&json!(NAME), &json!({"item": "a"}), &json!("stored"))]);
    assert_eq!(meant(&project, "quanta"), ["again a", "copy a"]);
    assert_eq!(
        meant(&project, "..again@{item=a}"),
        ["(again a)", "(copy a)", "(number a)", "again a", "copy a"]
    );
    let copy = found(&project, "copy@{item=a} & quanta").remove(0);
    let id = copy["id"].as_str().unwrap();
    assert_eq!(query(&project, &["--quantum", id, "--log"]).expect(0).text(), "copying a\n");
    assert_eq!(query(&project, &["--quantum", id, "--metadata"]).expect(0).json(), copy);
    assert_eq!(copy["attempts"][0]["exit"], 0);
    assert!(copy["attempts"][0]["pid"].is_u64(), "{copy}");
    let again = &found(&project, "again@{item=a} & datasets")[0];
    let row = &datasets(&project, &["again"])[0];
    for key in ["id", "run", "size", "checksum"] {
        assert_eq!(again[key], row[key], "{key}");
    }
    let refused = query(&project, &["copy@{item=b}"]).expect(1);
    assert!(refused.stderr.contains("means no quantum"), "{}", refused.stderr);

    // Through the chain, and of two shards as of one RUN.
    verb(&project, "commit", &["--shard", "item=b"]).expect(0);
    let ran = query(&project, &["again & quanta", "--collections", "toy", "--json"]).expect(0);
    assert_eq!(ran.json()["quanta"].as_array().unwrap().len(), 2);
    assert_eq!(meant(&project, "number@{item=b}.. & quanta"), ["again b", "copy b"]);
    assert_eq!(meant(&project, "copy@{item=b} | *@{item=a} & quanta").len(), 4);
    let refused = query(&project, &["failed"]).expect(1);
    assert!(refused.stderr.contains("in the provenance of 1 RUN"), "{}", refused.stderr);
    let dot = query(&project, &["..again", "--format", "dot"]).expect(0).text();
    assert_eq!(dot.matches(" -> ").count(), 2 * 4, "{dot}");
    verb(&project, "abandon", &[]).expect(0);
}

#[test]
fn what_is_known_of_shards_stays_when_the_rest_is_abandoned() {
    let project = sharded(&["a", "b", "c"]);
    commit(&project, "a");
    commit(&project, "b");
    build_and_run(&project, "item=c");
    verb(&project, "abandon", &[]).expect(0);
    assert_eq!(stored(&project).len(), 2);
    assert!(!has_that_of_all(&project));
    assert_eq!(meant(&project, "quanta"), ["again a", "again b", "copy a", "copy b"]);

    // It goes along to another repository.
    let (universe, from) = (project.path().join("universe.yaml"), project.repo());
    let other = project.path().join("other").into_string();
    project.program().run(&["init", &other, "--universe", universe.as_str()]).expect(0);
    for dataset_type in [TYPE, "again"] {
        let args = ["transfer", from.as_str(), "--type", dataset_type, "--collections", NAME];
        project.program().run(&[&args[..], &["--repo", &other]].concat()).expect(0);
    }
    let args = ["query", "provenance", "..again & quanta", "--json", "--repo", &other];
    let there = project.program().run(&args).expect(0).json();
    assert_eq!(there["quanta"].as_array().unwrap().len(), 4);
    project.program().run(&["check", "--repo", &other]).expect(0);

    // A later RUN reads both.
    project.write("second.yaml", SECOND);
    let file = project.path().join("second.yaml").into_string();
    let args = ["workspace", "create", "second", "--pipeline", &file, "-i", NAME];
    project.pantler(&args).expect(0);
    for step in ["build", "run", "commit"] {
        project.pantler(&["workspace", step, "second"]).expect(0);
    }
    let quanta = ["again a", "again b", "copy a", "copy b", "total"];
    assert_eq!(meant(&project, "..total & quanta"), quanta);
    assert_eq!(meant(&project, "number@{item=b}.. & quanta"), ["again b", "copy b", "total"]);
    assert_eq!(
        meant(&project, "copy@{item=a}..(total & quanta) & datasets"),
        ["(again a)", "(copy a)"]
    );
    assert_eq!(meant(&project, "again & datasets"), ["(again a)", "(again b)"]);

    // One of the files is gone: it is named, and what does not need it is answered.
    let gone = datasets(&project, &[TYPE]).remove(0);
    let id = gone["id"].as_str().unwrap();
    project.pantler(&["remove", id]).expect(0);
    let refused = query(&project, &["quanta"]).expect(1);
    assert!(refused.stderr.contains("cannot open the provenance of toy/trial"));
    assert!(refused.stderr.contains(id), "{}", refused.stderr);
    assert!(query(&project, &["quanta", "--collections", "second"]).expect(0).code() == Some(0));
    project.pantler(&["remove", id, "--purge"]).expect(0);
    assert_eq!(meant(&project, "quanta"), ["again b", "copy b", "total"]);
    project.pantler(&["remove-run", NAME, "--unlink", "--force"]).expect(0);
    assert_eq!(stored(&project), [""; 0]);
    assert_eq!(meant(&project, "quanta"), ["total"]);
}

/// A workspace with the steps of `pipeline`, of which the copy of `a` has failed once.
fn failing_once(pipeline: &str) -> Project {
    let copy = "echo \"copying $4\"\ntest ! -e \"$1/broken.$4\" || exit 3\ncat \"$2\" > \"$3\"\n";
    let project = ingested(&["a", "b", "c"], copy);
    let command = PIPELINE.lines().find(|line| line.contains("copy.sh")).unwrap();
    let cp = "    command: [cp, \"{inputs.number}\", \"{outputs.copy}\"]";
    project.write("pipeline.yaml", pipeline.replace(cp, command));
    create(&project, &["--shard-by", "item"]).expect(0);
    project.write("broken.a", "");
    verb(&project, "build", &["--shard", "item=a"]).expect(0);
    verb(&project, "run", &["--shard", "item=a"]).expect(3);
    std::fs::remove_file(project.path().join("broken.a")).unwrap();
    project
}

#[test]
fn the_last_commit_tells_the_same_of_shards_and_nothing_twice() {
    for pipeline in [PIPELINE, INITS] {
        let project = failing_once(pipeline);
        for item in ["a", "b", "c"] {
            commit(&project, item);
        }
        let before = found(&project, "quanta | datasets");
        let steps = if pipeline == INITS { 2 } else { 0 };
        assert_eq!(found(&project, "quanta").len(), 6 + steps);
        assert!(
            before.iter().all(|node| node["state"].is_null()
                || node["state"] == "present"
                || node["dataset_type"].as_str().unwrap().ends_with("_log")),
            "{before:?}"
        );
        let copy = &found(&project, "copy@{item=a} & quanta")[0];
        let exits: Vec<_> =
            copy["attempts"].as_array().unwrap().iter().map(|a| &a["exit"]).collect();
        assert_eq!(exits, [3, 0], "all attempts");
        let expressions: &[&str] = if pipeline == INITS {
            // What was entered with the first shard is read by all.
            assert_eq!(
                meant(&project, "..again@{item=c} & quanta"),
                ["again c", "again_init", "copy c", "copy_init"]
            );
            assert_eq!(
                meant(&project, "settings.. & (again - *_log)"),
                ["(again a)", "(again b)", "(again c)", "again a", "again b", "again c"]
            );
            &["header..", "..copy", "settings | header", "(settings & datasets)..again", "..again"]
        } else {
            &["..again", "number@{item=c}..", "present", "copy - *_log"]
        };
        let of_shards: Vec<_> = expressions.iter().map(|text| found(&project, text)).collect();
        let now =
            project.pantler(&["query", "provenance", "quanta", "--workspace", NAME, "--json"]);
        assert_eq!(now.expect(0).json()["quanta"].as_array().unwrap().len(), 6 + steps);

        verb(&project, "commit", &[]).expect(0);
        assert_eq!(there(&project, TYPE), 3);
        assert!(has_that_of_all(&project));
        assert_eq!(found(&project, "quanta | datasets"), before);
        for (text, expected) in expressions.iter().zip(of_shards) {
            assert_eq!(found(&project, text), expected, "{text}");
        }
        // That of the shards is not needed any more.
        let rows = datasets(&project, &[TYPE]);
        let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        project.pantler(&[&["remove", "--purge"], &ids[..]].concat()).expect(0);
        assert_eq!(found(&project, "quanta | datasets"), before);
        let id = copy["id"].as_str().unwrap();
        assert_eq!(query(&project, &["--quantum", id, "--log"]).expect(0).text(), "copying a\n");
    }
}

#[test]
fn a_shard_that_is_committed_in_part_tells_what_failed() {
    let project = failing_once(PIPELINE);
    verb(&project, "commit", &["--shard", "item=a", "--partial"]).expect(0);
    assert_eq!(meant(&project, "failed"), ["copy a"]);
    assert_eq!(meant(&project, "blocked"), ["again a"]);
    assert_eq!(meant(&project, "predicted"), ["(again a)", "(again_log a)", "(copy a)"]);
    let failed = &found(&project, "failed")[0];
    let failure = &failed["attempts"][0]["failure"];
    assert_eq!(failure, "the command ended with exit status 3");
    let id = failed["id"].as_str().unwrap();
    assert_eq!(query(&project, &["--quantum", id, "--log"]).expect(0).text(), "copying a\n");
    commit(&project, "b");
    assert_eq!(meant(&project, "succeeded"), ["again b", "copy b"]);
    verb(&project, "abandon", &[]).expect(0);
    assert_eq!(meant(&project, "failed"), ["copy a"]);
}

#[test]
fn what_shards_have_made_is_taken_over() {
    let project = ingested(&["a", "b"], COPY);
    let cp = "    command: [cp, \"{inputs.number}\", \"{outputs.copy}\"]";
    let lines = PIPELINE.lines().map(|line| if line.contains("copy.sh") { cp } else { line });
    project.write("pipeline.yaml", lines.collect::<Vec<_>>().join("\n"));
    create(&project, &["--shard-by", "item"]).expect(0);
    commit(&project, "a");
    verb(&project, "abandon", &[]).expect(0);
    let file = project.path().join("pipeline.yaml").into_string();
    let second =
        ["workspace", "create", "second", "--pipeline", &file, "-i", "raw", "--reuse", NAME];
    project.pantler(&second).expect(0);
    let said = project.pantler(&["workspace", "build", "second"]).expect(0).text();
    assert!(said.contains("2 quanta may be there already in earlier RUNs"), "{said}");
    project.pantler(&["workspace", "run", "second"]).expect(0);
    project.pantler(&["workspace", "commit", "second"]).expect(0);
    let args = ["quanta & *@{item=a}", "--collections", "second", "--json"];
    let taken = query(&project, &args).expect(0).json();
    let taken = taken["quanta"].as_array().unwrap();
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|quantum| quantum["taken_over"]["run"] == NAME), "{taken:?}");
}

#[test]
fn in_development_mode_nothing_is_told_of_shards() {
    let project = sharded(&["a", "b"]);
    commit(&project, "a");
    verb(&project, "dev", &[]).expect(0);
    commit(&project, "b");
    verb(&project, "commit", &[]).expect(0);
    assert_eq!((there(&project, "again"), there(&project, TYPE)), (2, 1));
    assert!(!has_that_of_all(&project));
    assert_eq!(meant(&project, "quanta"), ["again a", "copy a"], "what was entered before");
}

#[test]
fn the_names_are_reserved() {
    let project = ingested(&["a"], COPY);
    project.write("pipeline.yaml", PIPELINE.replace("type: again,", "type: run_provenance_by_x,"));
    let refused = create(&project, &[]).expect(1);
    let says = "`run_provenance_by_x` cannot be written by a task";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    project.write("pipeline.yaml", PIPELINE);
    let register = ["dataset-type", "register", TYPE, "--storage-class", "Text"];
    project.pantler(&register).expect(0);
    let refused = create(&project, &["--shard-by", "item"]).expect(1);
    let says = format!("`{TYPE}` is Text {{}}, and cannot also be Bytes {{item}}");
    assert!(refused.stderr.contains(&says), "{}", refused.stderr);
    // It does not matter where there are no shards.
    create(&project, &[]).expect(0);
    for step in ["build", "run", "commit"] {
        verb(&project, step, &[]).expect(0);
    }
    assert_eq!(meant(&project, "quanta"), ["again a", "copy a"]);
}

fn armed(project: &Project, variable: (&str, &str)) -> Ran {
    let args = ["workspace", "commit", NAME, "--shard", "item=b", "--repo"];
    let mut command = project.program().command(&args);
    command.arg(project.repo().as_str()).env(variable.0, variable.1);
    Ran::of(command)
}

/// From the logs to the rows: the shard is there with its provenance or not at all, and what a
/// killed commit has left is gone when the workspace is.
#[test]
fn a_commit_of_a_shard_that_is_cut_off_stores_provenance_once() {
    let project = sharded(&["a", "b"]);
    commit(&project, "a");
    build_and_run(&project, "item=b");
    let log = project.path().join("steps.log");
    let calm = project.duplicate();
    armed(&calm, ("PANTLER_CRASH_LOG", log.as_str())).expect(0);
    verb(&calm, "abandon", &[]).expect(0);
    let text = std::fs::read_to_string(&log).unwrap();
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    let mut steps = Vec::new();
    for step in text.lines() {
        let n = seen.entry(step).or_default();
        *n += 1;
        steps.push(format!("{step}:{n}"));
    }
    let from = steps.iter().position(|step| step == "commit.logs.stored:1").unwrap();
    for named in ["commit.provenance.write:1", "commit.provenance.stored:1"] {
        assert!(steps[from..].contains(&named.to_owned()), "{named}: {steps:?}");
    }
    for step in &steps[from..] {
        let copy = project.duplicate();
        let ran = armed(&copy, ("PANTLER_CRASH", step));
        assert_eq!(ran.status.signal(), Some(9), "{step}: {}", ran.stderr);
        copy.check();
        let entered = there(&copy, "again");
        assert_eq!(there(&copy, TYPE), entered, "{step}");
        assert_eq!(meant(&copy, "quanta").len(), 2 * entered, "{step}");
        // Abandoned: what no row names is deleted.
        let other = copy.duplicate();
        verb(&other, "abandon", &[]).expect(0);
        assert_eq!(stored(&other).len(), entered, "{step}: {:?}", stored(&other));
        assert_eq!(meant(&other, "quanta").len(), 2 * entered, "{step}");
        // Committed: by the same call, and then the whole.
        armed(&copy, ("PANTLER_CRASH_LOG", log.as_str())).expect(0);
        assert_eq!(meant(&copy, "quanta").len(), 4, "{step}");
        verb(&copy, "commit", &[]).expect(0);
        let named: Vec<_> = datasets(&copy, &[TYPE]).iter().map(path_of).collect();
        assert_eq!((named.len(), stored(&copy).len()), (2, 2), "{step}: {:?}", stored(&copy));
        assert_eq!(meant(&copy, "quanta").len(), 4, "{step}");
    }
    for fault in ["commit.provenance.write:1:full", "commit.provenance.write:1:lost"] {
        let copy = project.duplicate();
        let ran = armed(&copy, ("PANTLER_FAULT", fault));
        assert_ne!(ran.code(), Some(0), "{fault}");
        let says = "provenance of shard item=b was not written";
        assert!(ran.stderr.contains(says), "{fault}: {}", ran.stderr);
        assert_eq!(shards(&copy), ["a 2/2 committed", "b 2/2 open"], "{fault}");
        assert_eq!(meant(&copy, "quanta").len(), 2, "{fault}");
        verb(&copy, "commit", &["--shard", "item=b"]).expect(0);
        assert_eq!(meant(&copy, "quanta").len(), 4, "{fault}");
        verb(&copy, "commit", &[]).expect(0);
    }
    verb(&project, "abandon", &[]).expect(0);
}

/// Shards by two dimensions, one of which the other requires; what their tasks make has more.
#[test]
fn shards_of_several_dimensions_have_a_type_of_their_own() {
    const UNIVERSE: &str = "version: 1\nname: survey\nelements:\n  instrument: {key: string}\n  filter: {key: string}\n  visit: {key: integer, requires: [instrument], implies: [filter]}\n  detector: {key: integer, requires: [instrument]}\n";
    const PIPELINE: &str = "\
version: 1
tasks:
  isr:
    dimensions: [visit, detector]
    inputs: {raw: raw, flat: flat}
    outputs: {image: {type: image, storage_class: Text}}
    command: [cp, \"{inputs.raw}\", \"{outputs.image}\"]
  sum:
    dimensions: [visit]
    inputs: {images: {type: image, multiple: true}}
    outputs: {table: {type: table, storage_class: Text}}
    command: [sh, -c, \"cat $* > $0\", \"{outputs.table}\", \"{inputs.images}\"]
";
    let project = Project::empty(&crate::program());
    project.write("universe.yaml", UNIVERSE);
    project.write("pipeline.yaml", PIPELINE);
    let (universe, repo) = (project.path().join("universe.yaml"), project.repo());
    let init = ["init", repo.as_str(), "--universe", universe.as_str()];
    project.program().run(&init).expect(0);
    for (element, value) in [("instrument", "instrument=x"), ("filter", "filter=r")] {
        project.pantler(&["record", "insert", element, value]).expect(0);
    }
    for visit in ["1", "2"] {
        let values = ["instrument=x", &format!("visit={visit}"), "filter=r"];
        project.pantler(&[&["record", "insert", "visit"], &values[..]].concat()).expect(0);
        for detector in ["1", "2"] {
            project
                .write(&format!("raw/x/{visit}-{detector}.txt"), format!("{visit} {detector}\n"));
            project.write(&format!("flat/x/{detector}.txt"), format!("{detector}\n"));
        }
    }
    for (name, dimensions, files) in [
        ("raw", "visit,detector", "raw/{instrument}/{visit}-{detector}.txt"),
        ("flat", "detector", "flat/{instrument}/{detector}.txt"),
    ] {
        let pattern = format!("{}/{files}", project.path());
        let args = [
            "ingest",
            "--type",
            name,
            "--run",
            "raw",
            "--register",
            "--dimensions",
            dimensions,
            "--storage-class",
            "Text",
            &pattern,
        ];
        project.pantler(&args).expect(0);
    }
    create(&project, &["--shard-by", "visit"]).expect(0);
    for visit in ["1", "2"] {
        let shard = format!("instrument=x,visit={visit}");
        build_and_run(&project, &shard);
        verb(&project, "commit", &["--shard", &shard]).expect(0);
    }
    let rows = datasets(&project, &["run_provenance_by_instrument_visit"]);
    let data_ids: Vec<&Value> = rows.iter().map(|row| &row["data_id"]).collect();
    let expected = [1, 2].map(|visit| json!({"instrument": "x", "visit": visit}));
    assert_eq!(data_ids, [&expected[0], &expected[1]]);
    let before = found(&project, "quanta | datasets");
    assert_eq!(found(&project, "..table@{visit=2} & quanta").len(), 3);
    assert_eq!(found(&project, "flat@{detector=1}.. & isr & quanta").len(), 2);
    assert_eq!(found(&project, "flat").len(), 2);
    verb(&project, "commit", &[]).expect(0);
    assert_eq!(found(&project, "quanta | datasets"), before);
}
