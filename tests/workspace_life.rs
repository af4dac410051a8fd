//! Workspaces: run without the database, quanta that fail, stop, wait for each other
//! and outlive their runner.

use std::process::Child;

use pantler_testkit::{Project, Ran};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::{
    main_job::WAITING,
    toy::{COPY, Gate, datasets, killed_at, open_names, path_of, toy, toy_with, until},
};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn is_alive(pid: &str) -> bool {
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    // A dead child whose parent is gone may not be reaped here: it is a zombie then.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let zombie = stat.is_ok_and(|stat| stat.rsplit(") ").next().unwrap_or("").starts_with('Z'));
    test_kill_process(pid).is_ok() && !zombie
}

/// Waits for a child, but not for ever.
fn finish(mut child: Child) -> Ran {
    until("the program ends", || child.try_wait().unwrap().is_some());
    Ran::finish(child)
}

fn workspace(project: &Project) -> String {
    let mut names = open_names(project, "workspace");
    assert_eq!(names.len(), 1, "{names:?}");
    names.remove(0)
}

/// A workspace that is built, with no quantum run.
fn built(project: &Project) -> String {
    project.run(&["--dry-run"]).expect(0);
    killed_at(project, "exec.spawn:1", &["-j1"]);
    workspace(project)
}

#[test]
fn a_workspace_runs_without_a_database() {
    let project = toy(&["a", "b", "c"]);
    let name = built(&project);
    let (repo, away) = (project.repo(), project.path().join("away"));
    std::fs::create_dir(&away).unwrap();
    let files = ["registry.sqlite3", "registry.sqlite3-wal", "registry.sqlite3-shm"];
    let shift = |from: &camino::Utf8Path, to: &camino::Utf8Path| {
        for file in files {
            // A database that was closed in order has no WAL.
            match std::fs::rename(from.join(file), to.join(file)) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound && file != files[0] => {}
                other => other.unwrap(),
            }
        }
    };
    shift(&repo, &away);
    project.pantler(&["workspace", "run", &name]).expect(0);
    project.pantler(&["workspace", "status", &name]).expect(0);
    for file in files {
        assert!(!repo.join(file).exists(), "{file} was made");
    }
    shift(&away, &repo);
    project.pantler(&["workspace", "commit", &name]).expect(0);
    let total = project.pantler(&["get", "total", "--collections", "toy"]).expect(0);
    assert_eq!(total.text(), "6\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_has_no_connection_to_the_database_while_quanta_run() {
    let script = format!("ls -l /proc/$PPID/fd > \"$1/files.$4\"\n{COPY}");
    let project = toy_with(&["a"], &script);
    project.run(&[]).expect(0);
    let files = project.read("files.a");
    // The listing is of the right process: it holds the lock of the workspace.
    assert!(files.contains("/runner.lock"), "{files}");
    assert!(!files.contains("registry.sqlite3"), "{files}");
}

#[test]
fn a_workspace_is_made_built_run_and_committed_verb_by_verb() {
    let project = toy(&["a", "b"]);
    project.run(&[]).expect(0);
    let pipeline = project.path().join("pipeline.yaml");
    let args = ["workspace", "create", "trial", "--pipeline", pipeline.as_str(), "-i", "toy/raw"];
    project.pantler(&args).expect(0);
    let status = |key: &str| {
        project.pantler(&["workspace", "status", "trial", "--json"]).expect(0).json()[key].clone()
    };
    assert_eq!((status("built"), status("complete")), (false.into(), false.into()));
    project.pantler(&["workspace", "build", "trial"]).expect(0);
    assert_eq!((status("built"), status("complete")), (true.into(), false.into()));
    project.pantler(&["workspace", "run", "trial", "-j2"]).expect(0);
    assert_eq!(status("complete"), true);
    assert!(datasets(&project, &["--collections", "trial"]).is_empty(), "not before the commit");
    project.pantler(&["workspace", "commit", "trial"]).expect(0);
    assert_eq!(datasets(&project, &["total", "--collections", "trial"]).len(), 1);
    assert_eq!(open_names(&project, "workspace"), [""; 0]);
}

#[test]
fn a_part_of_the_quanta_runs_when_only_that_is_asked_for() {
    let project = toy(&["a", "b", "c"]);
    let name = built(&project);
    let run =
        |arguments: &[&str]| project.pantler(&[&["workspace", "run", &name], arguments].concat());
    // One was cut off by the kill; nothing is stored yet.
    let refused = run(&["--task", "nope"]).expect(1);
    assert!(refused.stderr.contains("there is no task `nope` in the pipeline"), "{refused:?}");
    let refused = run(&["00000000-0000-0000-0000-000000000007"]).expect(1);
    assert!(refused.stderr.contains("there is no quantum 00000000-"), "{refused:?}");
    let waits = run(&["--task", "total"]).expect(3);
    assert!(
        waits.text().contains("what they read is made by quanta that were not asked for"),
        "{waits:?}"
    );
    let part = run(&["--task", "copy"]).expect(0);
    assert!(part.text().contains("all that was asked for succeeded"), "{part:?}");
    assert!(part.text().contains("1 quantum more, not asked for"), "{part:?}");
    project.pantler(&["workspace", "commit", &name]).expect(3);
    run(&[]).expect(0);
    project.pantler(&["workspace", "commit", &name]).expect(0);
}

#[test]
fn a_task_that_outlives_its_runner_changes_nothing_after_a_revert() {
    // In a session of its own and deaf to signals, so that only SIGKILL by number would end it.
    let script = "\
echo $$ > \"$1/started.$4.tmp\" && mv \"$1/started.$4.tmp\" \"$1/started.$4\"
trap '' HUP INT TERM
read _ < \"$1/gate\"
out=$(dirname \"$3\")
mkdir -p \"$out\"
echo late > \"$3\"
echo late
pwd > \"$1/woke.$4\"
";
    let project = toy(&["a", "b"]);
    project.run(&[]).expect(0);
    let before = project.picture();
    project.write("copy.sh", script);
    let path = project.path();
    let gate = Gate::at(&path.join("gate"));
    let mut runner = project.program().start(&["run", path.as_str(), "-j2"]);
    until("both run", || {
        ["a", "b"].iter().all(|item| path.join(format!("started.{item}")).exists())
    });
    signal(&runner, Signal::KILL);
    runner.wait().unwrap();
    let name = workspace(&project);
    project.pantler(&["workspace", "revert", &name]).expect(0);
    before.assert_same(&project.picture(), "after the revert");
    for item in ["a", "b"] {
        assert!(is_alive(&project.read(&format!("started.{item}"))), "it outlived its runner");
    }

    gate.open(2);
    until("both have written", || {
        ["a", "b"].iter().all(|item| path.join(format!("woke.{item}")).exists())
    });
    until("both have ended", || {
        ["a", "b"].iter().all(|item| !is_alive(&project.read(&format!("started.{item}"))))
    });
    let after = project.picture();
    assert_eq!(after.rows, before.rows);
    let artifacts = |picture: &pantler_testkit::Picture| {
        let mut files = picture.files.clone();
        files.retain(|path, _| path.starts_with("artifacts/"));
        files
    };
    assert_eq!(artifacts(&after), artifacts(&before));
    project.check();
    // What they made again of their scratch directories is nobody's.
    project.pantler(&["workspace", "vacuum"]).expect(0);
    before.assert_same(&project.picture(), "after the vacuum");
}

#[test]
fn a_task_that_outlives_its_runner_changes_nothing_after_a_resumed_run() {
    let script = "\
echo $$ > \"$1/started.$4.tmp\" && mv \"$1/started.$4.tmp\" \"$1/started.$4\"
trap '' HUP INT TERM
read _ < \"$1/gate\"
echo 1000 > \"$3\"
echo late
echo > \"$1/woke.$4\"
";
    let project = toy_with(&["a"], script);
    let path = project.path();
    let gate = Gate::at(&path.join("gate"));
    let mut runner = project.program().start(&["run", path.as_str()]);
    until("it runs", || path.join("started.a").exists());
    signal(&runner, Signal::KILL);
    runner.wait().unwrap();
    project.write("copy.sh", COPY);
    project.run(&["--no-commit"]).expect(0);

    gate.open(1);
    until("it has written", || path.join("woke.a").exists());
    until("it has ended", || !is_alive(&project.read("started.a")));
    project.check();
    let name = workspace(&project);
    project.pantler(&["workspace", "commit", &name]).expect(0);
    let get = |what: &[&str]| {
        project.pantler(&[&["get"], what, &["--collections", "toy"]].concat()).expect(0).text()
    };
    assert_eq!(get(&["copy", "item=a"]), "1\n");
    assert_eq!(get(&["copy_log", "item=a"]), "copying a\n");
    assert_eq!(get(&["total"]), "1\n");
}

#[test]
fn two_quanta_that_wait_for_each_other_finish_at_two_jobs() {
    let script = "\
case $4 in
a) echo a > \"$1/from_a\"; read line < \"$1/from_b\" ;;
b) read line < \"$1/from_a\"; echo b > \"$1/from_b\" ;;
esac
echo \"$line\" > \"$3\"
";
    let project = toy_with(&["a", "b"], script);
    for fifo in ["from_a", "from_b"] {
        drop(Gate::at(&project.path().join(fifo)));
    }
    project.write("total.sh", "out=$1\nshift\ncat \"$@\" > \"$out\"\n");
    let path = project.path();
    finish(project.program().start(&["run", path.as_str(), "-j2"])).expect(0);
    let total = project.pantler(&["get", "total", "--collections", "toy"]).expect(0);
    assert_eq!(total.text(), "b\na\n");
}

#[test]
fn a_signal_stops_a_run_in_order_and_the_command_it_names_resumes() {
    for (number, name) in [(Signal::INT, "Ctrl-C"), (Signal::TERM, "SIGTERM")] {
        let project = toy_with(&["a", "b", "c", "d"], WAITING);
        let path = project.path();
        let gate = Gate::at(&path.join("gate"));
        let child = project.program().start(&["run", path.as_str(), "-j2"]);
        let started = || {
            let items = ["a", "b", "c", "d"].into_iter();
            items.filter(|item| path.join(format!("started.{item}")).exists()).collect::<Vec<_>>()
        };
        until("two run", || started().len() == 2);
        let running = started();
        // One ends and another begins: what has finished must be kept.
        gate.open(1);
        until("a third runs", || started().len() == 3);
        signal(&child, number);
        let ran = finish(child).expect(130);
        assert_eq!(started().len(), 3, "{name}: no new quanta");
        for item in started() {
            assert!(!is_alive(&project.read(&format!("started.{item}"))), "{name}: {item} lives");
        }
        let workspace = workspace(&project);
        let text = ran.text();
        assert!(text.contains(&format!("now: workspace {workspace} is open")), "{name}: {text}");
        let next = format!("next: pantler run {path}");
        assert!(text.contains(&next), "{name}: {text}");
        assert!(datasets(&project, &[]).iter().all(|row| row["dataset_type"] == "number"));
        let status =
            project.pantler(&["workspace", "status", &workspace, "--json"]).expect(0).json();
        assert_eq!(status["tasks"][0]["succeeded"], 1, "{name}: {status}");
        assert_eq!(running.len(), 2);

        gate.open(3);
        let ran = project.run(&["-j2"]).expect(0);
        assert!(
            ran.stderr.contains(&format!("open workspace {workspace}")),
            "{name}: {}",
            ran.stderr
        );
        let total = project.pantler(&["get", "total", "--collections", "toy"]).expect(0);
        assert_eq!(total.text(), "10\n", "{name}");
    }
}

#[test]
fn commands_that_ignore_the_signals_are_ended_all_the_same() {
    let project = toy_with(&["a"], &format!("trap '' INT TERM\n{WAITING}"));
    let path = project.path();
    let _gate = Gate::at(&path.join("gate"));
    let child = project.program().start(&["run", path.as_str()]);
    until("it runs", || path.join("started.a").exists());
    signal(&child, Signal::INT);
    signal(&child, Signal::TERM);
    finish(child).expect(130);
    assert!(!is_alive(&project.read("started.a")));
}

/// What `b` says, with bytes that are no text.
const BINARY: &[u8] = b"nul \0 and \xff end\n";

/// `b` fails with [`BINARY`], the others succeed.
const FAILING: &str = "\
if [ \"$4\" = b ]; then printf 'first line\\nnul \\000 and \\377 end\\n'; exit 3; fi
echo \"copying $4\"
cat \"$2\" > \"$3\"
";

#[test]
fn failed_quanta_block_only_what_needs_them_and_are_tried_again() {
    let project = toy_with(&["a", "b", "c"], FAILING);
    let ran = project.run(&[]).expect(3);
    let text = ran.text();
    let name = workspace(&project);
    for part in [
        "failed: copy item=b (attempt 1): the command ended with exit status 3".to_owned(),
        "  | first line\n  | nul \\x00 and \\xFF end".to_owned(),
        format!("now: workspace {name} is open"),
        format!("next: pantler run {}", project.path()),
        format!("pantler workspace commit {name} --partial"),
        format!("pantler workspace revert {name}"),
        format!("pantler workspace abandon {name}"),
    ] {
        assert!(text.contains(&part), "{part:?} in\n{text}");
    }
    let tasks = || {
        let status = project.pantler(&["workspace", "status", &name, "--json"]).expect(0).json();
        ["copy", "total"].map(|task| {
            let tasks = status["tasks"].as_array().unwrap();
            let row = tasks.iter().find(|row| row["task"] == task).unwrap();
            ["succeeded", "failed", "blocked"].map(|key| row[key].as_u64().unwrap())
        })
    };
    assert_eq!(tasks(), [[2, 1, 0], [0, 0, 1]]);

    let refused = project.pantler(&["workspace", "commit", &name]).expect(3);
    for part in [
        "2 of 4 quanta succeeded, 1 failed and 1 did not run".to_owned(),
        format!("pantler workspace run {name}"),
        format!("pantler workspace revert {name}"),
        format!("pantler workspace abandon {name}"),
    ] {
        assert!(refused.stderr.contains(&part), "{part:?} in\n{}", refused.stderr);
    }
    assert_eq!(workspace(&project), name);

    project.write("copy.sh", COPY);
    let ran = project.run(&[]).expect(0);
    let row = |text: &str, task: &str| {
        let line = text.lines().find(|line| line.starts_with(task)).unwrap().to_owned();
        line.split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect::<Vec<u32>>()
    };
    // quanta, succeeded, before, failed, blocked, not run
    assert_eq!(row(&ran.text(), "copy "), [3, 1, 2, 0, 0, 0]);
    assert_eq!(row(&ran.text(), "total "), [1, 1, 0, 0, 0, 0]);
    let copies = datasets(&project, &["copy"]);
    let attempts: Vec<bool> =
        copies.iter().map(|row| row["uri"].as_str().unwrap().ends_with("-2.txt")).collect();
    assert_eq!(attempts, [false, true, false], "b is of the second attempt: {copies:#?}");
}

#[test]
fn a_partial_commit_keeps_what_succeeded_and_all_logs() {
    let project = toy_with(&["a", "b", "c"], FAILING);
    project.run(&[]).expect(3);
    let name = workspace(&project);
    project.pantler(&["workspace", "commit", &name, "--partial"]).expect(0);
    assert_eq!(open_names(&project, "workspace"), [""; 0]);
    let copies = datasets(&project, &["copy", "--collections", "toy"]);
    let items: Vec<_> = copies.iter().map(|row| &row["data_id"]["item"]).collect();
    assert_eq!(items, ["a", "c"]);
    assert_eq!(datasets(&project, &["--collections", &name]).len(), 2 + 3 + 1);

    let logs = datasets(&project, &["copy_log", "--collections", "toy"]);
    assert_eq!(logs.len(), 3);
    // In few files: one for all quanta of a task.
    assert!(logs.iter().all(|row| row["uri"] == logs[0]["uri"]), "{logs:#?}");
    let log = |item: &str| {
        let args = ["get", "copy_log", &format!("item={item}"), "--collections", "toy"];
        project.pantler(&args).expect(0).stdout
    };
    assert_eq!(log("a"), b"copying a\n");
    assert_eq!(log("b"), [b"first line\n", BINARY].concat());
    assert_eq!(log("c"), b"copying c\n");
}

#[test]
fn what_a_quantum_does_wrong_is_named() {
    for (script, reason) in [
        ("exit 7", "the command ended with exit status 7"),
        ("kill -9 $$", "the command was ended by signal 9"),
        ("true", "the output `copy` was not written"),
        (
            "cat \"$2\" > \"$3\"; echo > \"$(dirname \"$3\")/notes.log\"",
            "the file \"notes.log\" in the output directory is not a declared output",
        ),
        ("mkdir \"$3\"", "the output `copy` is not a regular file"),
        ("ln -s \"$2\" \"$3\"", "the output `copy` is not a regular file"),
    ] {
        let project = toy_with(&["a"], script);
        let before_run = project.run(&[]).expect(3);
        let text = before_run.text();
        assert!(text.contains(&format!("failed: copy item=a (attempt 1): {reason}")), "{text}");
        let name = workspace(&project);
        project.pantler(&["workspace", "revert", &name]).expect(0);
        assert!(datasets(&project, &["--collections", "toy/raw"]).len() == 1);
        let picture = project.picture();
        assert!(picture.files.keys().all(|path| path.contains("toy%2Fraw@")), "{script}");
    }
    let project = toy(&["a"]);
    let pipeline = project.read("pipeline.yaml");
    project.write("pipeline.yaml", pipeline.replacen("[sh,", "[/no/such/program,", 1));
    let text = project.run(&[]).expect(3).text();
    assert!(text.contains("cannot start \"/no/such/program\""), "{text}");
}

#[test]
fn logs_of_every_task_are_stored_in_one_file_each() {
    let items: Vec<String> = (0..30).map(|n| format!("item{n:02}")).collect();
    let project = toy(&items.iter().map(String::as_str).collect::<Vec<_>>());
    project.run(&[]).expect(0);
    let logs = datasets(&project, &["copy_log", "--collections", "toy"]);
    assert_eq!(logs.len(), 30);
    let path = path_of(&logs[0]);
    assert!(logs.iter().all(|row| path_of(row) == path));
    let expected =
        items.iter().map(|item| format!("copying {item}\n")).collect::<Vec<_>>().concat();
    assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
    for (row, item) in logs.iter().zip(&items) {
        let got = project.pantler(&["get", row["id"].as_str().unwrap()]).expect(0);
        assert_eq!(got.text(), format!("copying {item}\n"));
    }
}
