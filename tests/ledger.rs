//! Workspaces that a ledger fills, through the program and the library.

use std::{
    collections::BTreeMap, io::ErrorKind, os::unix::process::ExitStatusExt as _, process::Stdio,
    sync::Arc,
};

use pantler::{
    core::{DataId, DatasetType, DatasetTypeName, StorageClass, transaction::Closing},
    datastore::testing::Operation,
    direct::SystemClock,
    workspace::{
        WorkspaceClient,
        ledger::{LedgerError, LedgerWorkspace, PutOutcome},
    },
};
use pantler_testkit::{Project, Ran};
use serde_json::Value;

use crate::{
    library::{butler, butler_on_full_disk, close_workspace, collection, failing},
    program,
    toy::{UNIVERSE, datasets, open_names, until},
};

const NAME: &str = "night/1";

/// A repository with the items `a` to `d` and the dataset type `frame`, and nothing in it.
fn bare() -> Project {
    let project = Project::empty(&program());
    project.write("universe.yaml", UNIVERSE);
    let universe = project.path().join("universe.yaml");
    project
        .program()
        .run(&["init", project.repo().as_str(), "--universe", universe.as_str()])
        .expect(0);
    for item in ["a", "b", "c", "d"] {
        project.pantler(&["record", "insert", "item", &format!("item={item}")]).expect(0);
    }
    let register =
        ["dataset-type", "register", "frame", "--dimensions", "item", "--storage-class", "Text"];
    project.pantler(&register).expect(0);
    for (file, text) in [("one", "1\n"), ("two", "2\n"), ("three", "3\n")] {
        project.write(file, text);
    }
    project
}

/// The same with an open workspace.
fn opened() -> Project {
    let project = bare();
    let create = ["workspace", "create", NAME, "--ledger", "--chain", "nights"];
    let said = project.pantler(&create).expect(0).text();
    assert!(said.contains(&format!("next: pantler workspace put {NAME} FILE")), "{said}");
    project
}

fn put(project: &Project, file: &str, item: &str) -> Ran {
    let file = project.path().join(file);
    project.pantler(&["workspace", "put", NAME, file.as_str(), "frame", &format!("item={item}")])
}

fn verb(project: &Project, verb: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, NAME], args].concat())
}

/// Datasets done, artifacts begun, writers.
fn counts(project: &Project) -> [u64; 3] {
    let status = verb(project, "status", &["--json"]).expect(0).json();
    ["done", "begun", "writers"].map(|key| status["ledger"][key].as_u64().unwrap())
}

fn frame(project: &Project, item: &str) -> String {
    let item = format!("item={item}");
    project.pantler(&["get", "frame", &item, "--collections", "nights"]).expect(0).text()
}

fn artifacts(project: &Project) -> Vec<String> {
    let files = project.picture().files;
    files.into_keys().filter(|file| file.contains("/frame/")).collect()
}

#[test]
fn what_is_put_is_committed_as_one_run() {
    let project = opened();
    let a = put(&project, "one", "a").expect(0).text();
    put(&project, "two", "b").expect(0);
    assert_eq!(counts(&project), [2, 0, 2]);
    let said = verb(&project, "status", &[]).expect(0).text();
    assert!(said.starts_with("night/1 has 2 datasets (4 B), by 2 writers\n"), "{said}");
    assert!(datasets(&project, &["frame"]).is_empty(), "nothing is entered before the commit");
    project.check();

    verb(&project, "commit", &[]).expect(0);
    assert_eq!((frame(&project, "a"), frame(&project, "b")), ("1\n".into(), "2\n".into()));
    let found = project.pantler(&["query", "datasets", "frame", "item=a", "--json"]).expect(0);
    assert_eq!(found.json()[0]["id"], a.trim(), "the id is the one that was predicted");
    assert_eq!(found.json()[0]["run"], NAME);
    let again = verb(&project, "commit", &[]).expect(0).text();
    assert!(again.contains("was committed before"), "{again}");
    assert!(open_names(&project, "workspace").is_empty());
    assert!(put(&project, "one", "c").expect(1).stderr.contains("no open workspace"));
}

#[test]
fn the_first_wins_and_the_second_is_told() {
    let project = opened();
    let first = put(&project, "one", "a").expect(0);
    let again = put(&project, "one", "a").expect(0);
    assert_eq!(first.text(), again.text());
    assert!(again.stderr.contains("there already, with this content"), "{}", again.stderr);
    let other = put(&project, "two", "a").expect(1);
    let says = "frame item=a is in the ledger already, with other content (written by writer 1)";
    assert!(other.stderr.contains(says), "{}", other.stderr);
    assert_eq!(artifacts(&project).len(), 1);
    verb(&project, "commit", &[]).expect(0);
    assert_eq!(frame(&project, "a"), "1\n");
}

#[test]
fn putting_needs_no_database() {
    let project = opened();
    let (there, away) = (project.repo().join("registry.sqlite3"), project.path().join("away"));
    std::fs::rename(&there, &away).unwrap();
    put(&project, "one", "a").expect(0);
    assert_eq!(counts(&project), [1, 0, 1]);
    for (dataset_type, value, says) in [
        ("frame", "month=1", "the data ID has no dimension `month`"),
        ("frame", "item=", "there is no value after `item=`"),
    ] {
        let file = project.path().join("one");
        let args = ["workspace", "put", NAME, file.as_str(), dataset_type, value];
        let ran = project.pantler(&args).expect(2);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    std::fs::rename(&away, &there).unwrap();
    verb(&project, "commit", &[]).expect(0);
}

#[test]
fn a_revert_and_an_abandon_leave_nothing() {
    for closing in ["revert", "abandon"] {
        let project = opened();
        let before = artifacts(&project);
        put(&project, "one", "a").expect(0);
        verb(&project, closing, &[]).expect(0);
        assert_eq!(artifacts(&project), before);
        assert!(datasets(&project, &["frame"]).is_empty());
        assert!(open_names(&project, "transaction").is_empty());
    }
}

#[test]
fn what_the_repository_lacks_keeps_the_workspace_open() {
    let project = opened();
    put(&project, "one", "a").expect(0);
    put(&project, "two", "z").expect(0);
    let refused = verb(&project, "commit", &[]).expect(4);
    assert!(refused.stderr.contains("there is no item record for item=z"), "{}", refused.stderr);
    assert!(refused.stderr.contains("what was written is kept"), "{}", refused.stderr);
    assert!(refused.stderr.contains("pantler record insert item"), "{}", refused.stderr);
    // It goes on as if nothing had been tried.
    put(&project, "three", "b").expect(0);
    project.check();

    let workspace = workspace(&project);
    let mut writer = workspace.writer(&SystemClock).unwrap();
    let note = Arc::new(DatasetType {
        name: DatasetTypeName::new("note").unwrap(),
        dimensions: Arc::clone(DataId::empty().group()),
        storage_class: StorageClass::Text,
    });
    writer.put(&note, &DataId::empty(), b"cloudy\n").unwrap();
    writer.finish().unwrap();
    let refused = verb(&project, "commit", &[]).expect(4);
    assert!(
        refused.stderr.contains("a dataset type is not registered in the repository: note"),
        "{}",
        refused.stderr
    );
    let file = project.path().join("one");
    let unknown = project.pantler(&["workspace", "put", NAME, file.as_str(), "nothing"]).expect(1);
    assert!(unknown.stderr.contains("there is no dataset type `nothing`"), "{}", unknown.stderr);

    project.pantler(&["dataset-type", "register", "note", "--storage-class", "Text"]).expect(0);
    project.pantler(&["record", "insert", "item", "item=z"]).expect(0);
    verb(&project, "commit", &[]).expect(0);
    assert_eq!((frame(&project, "z"), frame(&project, "b")), ("2\n".into(), "3\n".into()));
    let read = project.pantler(&["get", "note", "--collections", "nights"]).expect(0);
    assert_eq!(read.text(), "cloudy\n");
}

#[test]
fn a_ledger_has_no_quanta_and_a_graph_no_ledger() {
    let project = opened();
    for verb_of_graphs in ["build", "run"] {
        let refused = verb(&project, verb_of_graphs, &[]).expect(1);
        assert!(refused.stderr.contains("is filled by a ledger"), "{}", refused.stderr);
    }
    let refused = verb(&project, "accept", &["--failed"]).expect(1);
    assert!(refused.stderr.contains("is filled by a ledger"), "{}", refused.stderr);
    let toy = crate::toy::toy(&["a"]);
    crate::toy::killed_at(&toy, "exec.spawn:1", &[]);
    let name = open_names(&toy, "workspace").remove(0);
    let file = toy.path().join("data/a.txt");
    let args = ["workspace", "put", &name, file.as_str(), "number", "item=a"];
    let refused = toy.pantler(&args).expect(1);
    assert!(refused.stderr.contains("is filled by a pipeline"), "{}", refused.stderr);
    let both = project.pantler(&["workspace", "create", "x", "--ledger", "--pipeline", "p.yaml"]);
    assert_eq!(both.code(), Some(2), "{}", both.stderr);
    let neither = project.pantler(&["workspace", "create", "x", "-i", "nights"]);
    assert_eq!(neither.code(), Some(2), "{}", neither.stderr);
}

fn workspace(project: &Project) -> LedgerWorkspace {
    let client = WorkspaceClient::find(&project.repo(), &collection(NAME)).unwrap().unwrap();
    LedgerWorkspace::open(client).unwrap()
}

fn data_id(workspace: &LedgerWorkspace, dataset_type: &DatasetType, item: &str) -> DataId {
    let texts = BTreeMap::from([("item".to_owned(), item.to_owned())]);
    DataId::parse(workspace.universe(), &dataset_type.dimensions, &texts).unwrap()
}

fn frame_type(workspace: &LedgerWorkspace) -> Arc<DatasetType> {
    let name = DatasetTypeName::new("frame").unwrap();
    Arc::clone(workspace.dataset_type(&name).unwrap())
}

#[test]
fn two_writers_at_once_agree_on_who_was_first() {
    let project = opened();
    let workspace = workspace(&project);
    let frame = frame_type(&workspace);
    let item = data_id(&workspace, &frame, "a");
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let put = |text: &'static str| {
            let (workspace, frame, item) = (&workspace, &frame, &item);
            move || {
                let mut writer = workspace.writer(&SystemClock).unwrap();
                let put = writer.put(frame, item, text.as_bytes());
                writer.finish().unwrap();
                put
            }
        };
        let texts = ["1\n", "2\n", "3\n", "4\n", "5\n", "6\n"];
        let threads: Vec<_> = texts.into_iter().map(|text| scope.spawn(put(text))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let written = outcomes.iter().filter(|o| matches!(o, Ok(PutOutcome::Written(_)))).count();
    let told = outcomes.iter().filter(|o| matches!(o, Err(LedgerError::Taken { .. }))).count();
    assert_eq!((written, told), (1, 5), "{outcomes:?}");
    assert_eq!(artifacts(&project).len(), 1, "the others have deleted theirs");
    assert_eq!(counts(&project), [1, 0, 6]);
    verb(&project, "commit", &[]).expect(0);
}

#[test]
fn a_commit_waits_for_writers_and_lets_no_new_one_begin() {
    let project = opened();
    let workspace = workspace(&project);
    let frame_type = frame_type(&workspace);
    let mut writer = workspace.writer(&SystemClock).unwrap();
    writer.put(&frame_type, &data_id(&workspace, &frame_type, "a"), b"1\n").unwrap();
    let repo = project.repo();
    let commit = project.program().start(&["workspace", "commit", NAME, "--repo", repo.as_str()]);
    let marker = workspace.client().root().join("closing");
    until("the commit has set its marker", || marker.exists());
    let late = put(&project, "two", "b").expect(4);
    assert!(late.stderr.contains("a closing of workspace night/1 has begun"), "{}", late.stderr);
    writer.put(&frame_type, &data_id(&workspace, &frame_type, "c"), b"3\n").unwrap();
    writer.finish().unwrap();
    Ran::finish(commit).expect(0);
    assert_eq!((frame(&project, "a"), frame(&project, "c")), ("1\n".into(), "3\n".into()));
}

/// The steps of an operation, each with how often it is reached.
fn steps(project: &Project, args: &[&str]) -> Vec<String> {
    let log = project.path().join("steps.log");
    let mut command = project.program().command(args);
    command.args(["--repo", project.repo().as_str()]).env("PANTLER_CRASH_LOG", log.as_str());
    Ran::of(command).expect(0);
    let text = std::fs::read_to_string(&log).unwrap();
    let mut seen = BTreeMap::<&str, u32>::new();
    let name = |step| {
        let n = seen.entry(step).or_default();
        *n += 1;
        format!("{step}:{n}")
    };
    text.lines().map(name).collect()
}

fn kill(project: &Project, args: &[&str], step: &str) {
    let mut command = project.program().command(args);
    command.args(["--repo", project.repo().as_str()]).env("PANTLER_CRASH", step);
    let ran = Ran::of(command);
    assert_eq!(ran.status.signal(), Some(9), "{step}: {}{}", ran.text(), ran.stderr);
    project.check();
}

#[test]
fn a_create_that_is_killed_leaves_nothing_or_a_workspace() {
    let args = ["workspace", "create", NAME, "--ledger", "--chain", "nights"];
    let project = bare();
    let steps = steps(&project.duplicate(), &args);
    assert!(steps.contains(&"ledger.types.write:1".to_owned()), "{steps:?}");
    for step in steps {
        let copy = project.duplicate();
        kill(&copy, &args, &step);
        if open_names(&copy, "workspace").is_empty() {
            copy.pantler(&args).expect(0);
        }
        put(&copy, "one", "a").expect(0);
        verb(&copy, "commit", &[]).expect(0);
        assert_eq!(frame(&copy, "a"), "1\n", "{step}");
    }
}

#[test]
fn a_put_that_is_killed_is_done_by_the_same_call_or_is_not_there() {
    let project = opened();
    put(&project, "one", "a").expect(0);
    let file = project.path().join("two");
    let args = ["workspace", "put", NAME, file.as_str(), "frame", "item=b"];
    let steps = steps(&project.duplicate(), &args);
    for step in ["ledger.begun:1", "ledger.artifact.flushed:1", "ledger.done.flush:1"] {
        assert!(steps.contains(&step.to_owned()), "{steps:?}");
    }
    let line = steps.iter().position(|step| step == "ledger.done.append:1").unwrap();
    for (at, step) in steps.iter().enumerate() {
        let copy = project.duplicate();
        kill(&copy, &args, step);
        let other = copy.duplicate();
        verb(&other, "commit", &[]).expect(0);
        let found = datasets(&other, &["frame"]).len();
        assert_eq!(found, if at > line { 2 } else { 1 }, "{step}");
        assert_eq!(artifacts(&other).len(), found, "{step}: the rest is deleted");

        put(&copy, "two", "b").expect(0);
        put(&copy, "three", "c").expect(0);
        verb(&copy, "commit", &[]).expect(0);
        assert_eq!((frame(&copy, "b"), frame(&copy, "c")), ("2\n".into(), "3\n".into()), "{step}");
        assert_eq!(artifacts(&copy).len(), 3, "{step}");
    }
}

#[test]
fn a_closing_that_is_killed_is_finished_by_any_other() {
    let project = opened();
    put(&project, "one", "a").expect(0);
    // One that was cut off.
    let file = project.path().join("two");
    let cut = ["workspace", "put", NAME, file.as_str(), "frame", "item=b"];
    kill(&project, &cut, "ledger.artifact.flushed:1");
    assert_eq!(counts(&project), [1, 1, 2]);
    for closing in ["commit", "revert", "abandon"] {
        let args = ["workspace", closing, NAME];
        for step in steps(&project.duplicate(), &args) {
            let copy = project.duplicate();
            kill(&copy, &args, &step);
            let other = copy.duplicate();
            verb(&copy, closing, &[]).expect(0);
            let expected = usize::from(closing == "commit");
            assert_eq!(datasets(&copy, &["frame"]).len(), expected, "{step}");
            assert_eq!(artifacts(&copy).len(), expected, "{step}");
            assert!(open_names(&copy, "transaction").is_empty(), "{step}");
            if closing == "commit" && !open_names(&other, "workspace").is_empty() {
                verb(&other, "revert", &[]).expect(0);
                assert!(artifacts(&other).is_empty(), "{step}");
            }
        }
    }
}

/// A writer in this process and a program write the same dataset at once, and both wait to
/// say that they are done, this one first. Returns whether the program was killed at `step`;
/// it is not if it came first after all.
fn loser_is_killed_at(project: &Project, step: &str) -> bool {
    let workspace = workspace(project);
    let frame_type = frame_type(&workspace);
    let lock = std::fs::File::create(workspace.client().root().join("ledger.lock")).unwrap();
    lock.lock().unwrap();
    let mut writer = workspace.writer(&SystemClock).unwrap();
    let item = data_id(&workspace, &frame_type, "a");
    let first = std::thread::spawn(move || {
        let put = writer.put(&frame_type, &item, b"1\n");
        writer.finish().unwrap();
        put
    });
    until("this one has written its artifact", || artifacts(project).len() == 1);
    let file = project.path().join("two");
    let mut command = project.program().command(&["workspace", "put", NAME]);
    command.args([file.as_str(), "frame", "item=a", "--repo", project.repo().as_str()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).env("PANTLER_CRASH", step);
    let child = command.spawn().unwrap();
    until("both have", || artifacts(project).len() == 2);
    lock.unlock().unwrap();
    let ran = Ran::finish(child);
    let put = first.join().unwrap();
    if ran.status.signal() == Some(9) {
        assert!(matches!(put, Ok(PutOutcome::Written(_))), "{put:?}");
        return true;
    }
    ran.expect(0);
    assert!(matches!(put, Err(LedgerError::Taken { .. })), "{put:?}");
    false
}

#[test]
fn a_loser_that_is_killed_leaves_what_a_commit_deletes() {
    for step in [
        "ledger.drop:1",
        "datastore.delete:1",
        "datastore.discard:1",
        "ledger.dropped.append:1",
        "ledger.dropped:1",
    ] {
        let killed = (0..20).any(|_| {
            let project = opened();
            let killed = loser_is_killed_at(&project, step);
            project.check();
            verb(&project, "commit", &[]).expect(0);
            assert_eq!(artifacts(&project).len(), 1, "{step}");
            killed
        });
        assert!(killed, "{step}: it came first each time");
    }
}

#[test]
fn without_room_nothing_is_lost_and_the_same_put_goes_on() {
    let project = opened();
    put(&project, "one", "a").expect(0);
    let mut failures = 0;
    for operation in [
        Operation::Stage,
        Operation::Write,
        Operation::Finish,
        Operation::Publish,
        Operation::Flusher,
        Operation::Flush,
    ] {
        let copy = project.duplicate();
        let client = WorkspaceClient::find(&copy.repo(), &collection(NAME)).unwrap().unwrap();
        let (datastore, storage) = failing(client.datastore());
        let workspace = LedgerWorkspace::open(client.with_datastore(datastore)).unwrap();
        let frame_type = frame_type(&workspace);
        let item = data_id(&workspace, &frame_type, "b");
        let mut writer = workspace.writer(&SystemClock).unwrap();
        storage.fail_at(operation, 1, ErrorKind::StorageFull);
        let put = writer.put(&frame_type, &item, b"2\n");
        if storage.calls(operation) > 0 {
            failures += 1;
            assert!(matches!(put, Err(LedgerError::Datastore(_))), "{operation:?}: {put:?}");
            assert_eq!(artifacts(&copy).len(), 1, "{operation:?}: it is deleted again");
        }
        storage.heal();
        writer.put(&frame_type, &item, b"2\n").unwrap();
        writer.finish().unwrap();
        assert_eq!(counts(&copy)[..2], [2, 0], "{operation:?}");
        // The database has no room either.
        let full = close_workspace(&butler_on_full_disk(&copy), NAME, Closing::Commit);
        drop(full);
        copy.check();
        close_workspace(&butler(&copy), NAME, Closing::Commit).unwrap();
        assert_eq!(frame(&copy, "b"), "2\n");
    }
    assert!(failures >= 5, "{failures}");
}

#[test]
fn lines_that_could_not_be_written_end_the_writer_and_nothing_else() {
    let project = opened();
    put(&project, "one", "a").expect(0);
    let file = project.path().join("two");
    for step in ["ledger.begin.append", "ledger.done.append", "ledger.done.flush", "ledger.seal"] {
        for how in ["full", "lost"] {
            let copy = project.duplicate();
            let mut command = copy.program().command(&["workspace", "put", NAME]);
            command.args([file.as_str(), "frame", "item=b", "--repo", copy.repo().as_str()]);
            command.env("PANTLER_FAULT", format!("{step}:1:{how}"));
            let ran = Ran::of(command);
            assert_eq!(ran.code(), Some(4), "{step} {how}: {}{}", ran.text(), ran.stderr);
            assert!(ran.stderr.contains("what was written is kept"), "{}", ran.stderr);
            copy.check();
            put(&copy, "two", "b").expect(0);
            verb(&copy, "commit", &[]).expect(0);
            assert_eq!((frame(&copy, "a"), frame(&copy, "b")), ("1\n".into(), "2\n".into()));
            assert_eq!(artifacts(&copy).len(), 2, "{step} {how}");
        }
    }
}

#[test]
fn damage_is_named_and_a_revert_needs_no_ledger() {
    let project = opened();
    put(&project, "one", "a").expect(0);
    let status: Value = verb(&project, "status", &["--json"]).expect(0).json();
    let segment = format!("{}/ledger/1.jsonl", status["root"].as_str().unwrap());
    let text = std::fs::read_to_string(&segment).unwrap();
    // A last line without its end is that of a writer that died.
    std::fs::write(&segment, format!("{text}{{\"seq\":5,")).unwrap();
    assert_eq!(counts(&project), [1, 0, 1]);
    for (from, to, says) in [
        ("\"size\":2", "\"size\":3", ":4: the ledger is damaged: the checksum does not fit"),
        ("\"seq\":2", "\"seq\":7", ":3: the ledger is damaged: the line with sequence number 2"),
    ] {
        std::fs::write(&segment, text.replace(from, to)).unwrap();
        for verb_that_reads in ["status", "commit"] {
            let ran = verb(&project, verb_that_reads, &[]).expect(4);
            assert!(ran.stderr.contains(says), "{}", ran.stderr);
        }
    }
    verb(&project, "revert", &[]).expect(0);
    assert!(artifacts(&project).is_empty());
}
