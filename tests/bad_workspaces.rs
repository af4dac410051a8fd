//! Names that are in use, quanta that are not there, and files of newer programs: what
//! workspaces say of them, and that nothing comes of it.

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::{Project, Ran};

use crate::toy::{killed_verb, open_names, toy};

const NOBODY: &str = "01a20384-d360-79b7-90e0-e7ebe643a403";

/// A repository with two numbers in the RUN `raw`.
fn ingested() -> Project {
    let project = toy(&["a", "b"]);
    let (universe, repo) = (project.path().join("universe.yaml"), project.repo());
    project.program().run(&["init", repo.as_str(), "--universe", universe.as_str()]).expect(0);
    let pattern = format!("{}/data/{{item}}.txt", project.path());
    let ingest =
        ["ingest", "--type", "number", "--run", "raw", "--register", "--dimensions", "item"];
    project.pantler(&[&ingest[..], &["--storage-class", "Text", &pattern]].concat()).expect(0);
    project
}

fn create_args(project: &Project, args: &[&str]) -> Vec<String> {
    let pipeline = project.path().join("pipeline.yaml");
    let create = ["workspace", "create", "w", "--pipeline", pipeline.as_str(), "-i", "raw"];
    create.iter().chain(args).map(|part| (*part).to_owned()).collect()
}

fn create(project: &Project, args: &[&str]) -> Ran {
    let args = create_args(project, args);
    project.pantler(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn verb(project: &Project, verb: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, "w"], args].concat())
}

fn complete(args: &[&str]) -> Project {
    let project = ingested();
    create(&project, args).expect(0);
    verb(&project, "build", &[]).expect(0);
    verb(&project, "run", &[]).expect(0);
    project
}

fn root(project: &Project) -> Utf8PathBuf {
    let workspaces = project.repo().join("workspaces/w");
    let root = workspaces.read_dir_utf8().unwrap().next().unwrap().unwrap().into_path();
    assert!(root.is_dir());
    root
}

#[track_caller]
fn says(ran: &Ran, parts: &[&str]) {
    assert!(matches!(ran.code(), Some(1 | 4)), "{:?} {}", ran.status, ran.stderr);
    for part in parts {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}

#[test]
fn a_name_is_in_use_while_a_workspace_is_open_or_half_made_and_when_it_is_committed() {
    let steps = ["open.row.committed:1", "open.workspace.written:1", "workspace.pipeline.write:1"];
    for step in steps {
        let project = ingested();
        let args = create_args(&project, &[]);
        killed_verb(&project, step, &args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(open_names(&project, "workspace"), ["w"], "{step}");
        let next = "pantler workspace status w";
        // The same again, something else, and another way to make one.
        says(&create(&project, &[]), &["workspace w is open already, by tester", next]);
        says(&create(&project, &["--chain", "c"]), &["workspace w is open already", next]);
        let ledger = project.pantler(&["workspace", "create", "w", "--ledger"]);
        says(&ledger, &["workspace w is open already", next]);
        project.check();
        // What is half made is whole for whoever goes on with it.
        for step in ["build", "run", "commit"] {
            verb(&project, step, &[]).expect(0);
        }
        let taken = "collection w exists already: a workspace makes a new RUN";
        says(&create(&project, &[]), &[taken, "now: nothing has changed", "take another name"]);
        says(&project.pantler(&["workspace", "create", "w", "--ledger"]), &[taken]);
        let outside = project.path().join("outside");
        says(&create(&project, &["--external", outside.as_str()]), &[taken]);
        assert!(!outside.exists());
    }
}

#[test]
fn the_name_of_another_transaction_is_in_use() {
    let project = ingested();
    let file = project.path().join("data/a.txt");
    let put = ["put", file.as_str(), "number", "item=a", "--run", "w"];
    killed_verb(&project, "close.storage.done:1", &put);
    let refused = create(&project, &[]);
    assert_ne!(refused.code(), Some(0), "{}", refused.text());
    assert!(refused.stderr.contains("\nnext: "), "{}", refused.stderr);
    assert_eq!(open_names(&project, "workspace"), [""; 0]);
    let open = open_names(&project, "transaction").remove(0);
    project.pantler(&["transaction", "revert", &open]).expect(0);
    create(&project, &[]).expect(0);
    verb(&project, "revert", &[]).expect(0);
}

#[test]
fn a_quantum_that_the_graph_does_not_have_is_named() {
    let project = complete(&[]);
    let before = project.picture().rows;
    for step in ["run", "accept", "poison", "reset"] {
        says(&verb(&project, step, &[NOBODY]), &[NOBODY, "now: nothing has changed"]);
        // One that is there does not help it.
        let graph = project.pantler(&["graph", "export", "w", "--format", "json"]).expect(0).json();
        let one = graph["quanta"][0]["id"].as_str().unwrap();
        says(&verb(&project, step, &[one, NOBODY]), &[NOBODY, "now: nothing has changed"]);
    }
    assert_eq!(project.picture().rows, before);
    let status = verb(&project, "status", &["--json"]).expect(0).json();
    assert_eq!(status["complete"], true);
    verb(&project, "run", &["not-a-uuid"]).expect(2);
    verb(&project, "commit", &[]).expect(0);
}

/// Changes a file, tries verbs in vain, and changes it back.
#[track_caller]
fn with_changed(path: &Utf8Path, change: impl Fn(&str) -> String, tries: impl FnOnce()) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text, "{path}");
    std::fs::write(path, changed).unwrap();
    tries();
    std::fs::write(path, text).unwrap();
}

fn newer(text: &str) -> String {
    let text = text.replacen("\"version\": 1", "\"version\": 99", 1);
    text.replacen("\"version\":1", "\"version\":99", 1)
}

#[test]
fn files_of_a_newer_program_are_named_and_left_alone() {
    let project = complete(&["--dev"]);
    let root = root(&project);
    for (file, verbs) in [
        ("transaction.json", &["status", "run", "build"][..]),
        ("development.json", &["run", "build", "commit"]),
    ] {
        let path = root.join(file);
        with_changed(&path, newer, || {
            for step in verbs {
                says(&verb(&project, step, &[]), &[file, "99", "newer"]);
            }
            // Ways that need no file are open.
            let copy = project.duplicate();
            verb(&copy, "revert", &[]).expect(0);
        });
    }
    verb(&project, "commit", &[]).expect(0);
}

#[test]
fn a_journal_of_a_newer_program_or_with_damage_in_the_middle_stops_run_and_commit() {
    let project = complete(&[]);
    let path = root(&project).join("journal/1.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = text.lines().count();
    assert!(lines > 6, "{text}");
    let middle = lines / 2;
    let changes: [&dyn Fn(&str) -> String; 4] = [
        // A byte, a line that is missing, one that is there twice, a header of another version.
        &|text| with_line(text, middle, |line| vec![line.replacen('1', "2", 1)]),
        &|text| with_line(text, middle, |_| Vec::new()),
        &|text| with_line(text, middle, |line| vec![line.to_owned(), line.to_owned()]),
        &|text| text.replacen("\"pantler_journal\":3", "\"pantler_journal\":9", 1),
    ];
    for change in changes {
        with_changed(&path, change, || {
            for step in ["run", "commit"] {
                says(&verb(&project, step, &[]), &["1.jsonl", "workspace revert w"]);
            }
            let copy = project.duplicate();
            verb(&copy, "revert", &[]).expect(0);
            let copy = project.duplicate();
            verb(&copy, "abandon", &[]).expect(0);
        });
    }
    verb(&project, "commit", &[]).expect(0);
}

fn with_line(text: &str, number: usize, change: impl Fn(&str) -> Vec<String>) -> String {
    let mut lines = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if n == number {
            lines.extend(change(line));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn an_external_workspace_of_a_newer_program_is_left_alone() {
    let project = ingested();
    let outside = project.path().join("outside");
    create(&project, &["--external", outside.as_str()]).expect(0);
    let run = |verb: &str| project.program().run(&["workspace", verb, outside.as_str()]);
    for step in ["build", "transfer-inputs", "run"] {
        run(step).expect(0);
    }
    for (file, verbs) in [
        ("external.json", &["status", "run", "convert", "commit"][..]),
        ("transaction.json", &["status", "run", "convert", "commit"]),
        ("inputs.json", &["run", "convert", "commit"]),
        ("rows.json", &["convert", "commit"]),
    ] {
        with_changed(&outside.join(file), newer, || {
            for step in verbs {
                says(&run(step), &[file, "99"]);
            }
        });
        project.check();
    }
    run("commit").expect(0);
    assert!(!outside.exists());
}

#[test]
fn an_artifact_that_has_another_size_than_its_quantum_left_is_not_committed() {
    let project = complete(&[]);
    let files = project.picture().files;
    let copy = files.keys().find(|file| file.contains("/copy/")).unwrap();
    let path = project.repo().join(copy);
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&content[..], b"more"].concat()).unwrap();
    let name = path.file_name().unwrap();
    says(&verb(&project, "commit", &[]), &[name, "workspace run w"]);
    std::fs::write(&path, content).unwrap();
    verb(&project, "commit", &[]).expect(0);
}
