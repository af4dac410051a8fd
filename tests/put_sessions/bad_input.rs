//! What `put-each` says to input that it cannot use, and that it ends its session all the
//! same.

use std::process::Stdio;

use pantler::core::Durability;
use pantler_testkit::Ran;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{RUN, Session, line, put_each, stored, tidy};
use crate::{
    players::{Depot, item},
    program,
    read_only::bound,
    toy::until,
};

/// Exit code and error stream, without what differs from run to run.
#[track_caller]
fn said(depot: &Depot, ran: &Ran) -> String {
    assert_eq!(depot.open_names(), [""; 0], "the session is ended");
    format!("exit {}\n{}", ran.code().unwrap(), tidy(depot, &ran.stderr))
}

/// `put-each` with these arguments and no lines.
fn put_each_with(depot: &Depot, args: &[&str]) -> Ran {
    let repo = depot.repo();
    program().run(&[&["put-each", "--repo", repo.as_str()], args].concat())
}

/// One line of each fault, and good ones between and after them.
fn faulty_lines(depot: &Depot) -> Vec<u8> {
    let file = depot.file("one", "1");
    let none = depot.beside("none");
    let folder = depot.beside("folder");
    std::fs::create_dir(&folder).unwrap();
    let mut lines = Vec::new();
    let mut add = |line: &[u8]| {
        lines.extend_from_slice(line);
        lines.push(b'\n');
    };
    add(b"nonsense");
    add(b"[]");
    add(b"{\"item\": \"i0000\", \"file\": \"\xff\xfe\"}");
    for value in [
        json!({"item": "i0000"}),
        json!({"file": file, "item": "i0000", "type": "nothing"}),
        json!({"file": file, "item": "i0000", "type": "No"}),
        json!({"file": file}),
        json!({"file": file, "item": "i0000"}),
        json!({"file": file, "item": "i0000", "month": 1}),
        json!({"file": file, "item": ["i0000"]}),
        json!({"file": file, "item": "i0007"}),
        json!({"file": none, "item": "i0001"}),
        json!({"file": folder, "item": "i0001"}),
        json!({"file": file, "item": "i0001", "offset": 0, "size": 1}),
        json!({"file": file, "item": "i0001", "offset": 0}),
        json!({"file": "-", "item": "i0001"}),
    ] {
        add(value.to_string().as_bytes());
    }
    add(b"  ");
    add(json!({"file": file, "item": "i0001", "type": "word"}).to_string().as_bytes());
    lines
}

#[test]
fn what_is_wrong_with_a_line_is_said_and_the_next_is_gone_on_with() {
    let depot = Depot::new(2);
    let lines = faulty_lines(&depot);
    let mut session = Session::start(&depot, &[]);
    session.tell(&lines);
    let ran = session.end();
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 1
    failed: line 1: it is not a JSON object: expected ident at column 2
    failed: line 2: it is not a JSON object: invalid type: sequence, expected an object at column 0
    failed: line 3: it is not UTF-8
    failed: line 4: `file` is missing
    failed: line 5: there is no dataset type `nothing`
      next: pantler query dataset-types --repo <depot>/repo
    failed: line 6: invalid dataset type name "No": it must start with a lower-case letter (a-z)
    failed: line 7: the data ID needs a value for dimension `item` (it has {item})
    failed: line 9: the data ID has no dimension `month` (it has {item})
    failed: line 10: `item` is neither a text nor a number
    failed: line 11: there is no item record for item=i0007; insert it first
      next: pantler record insert item item=i0007 --repo <depot>/repo
    failed: line 12: cannot read <depot>/none: No such file or directory (os error 2)
    failed: line 13: cannot read <depot>/folder: it is not a regular file
    failed: line 14: a part of a file cannot be put: ingest it
    failed: line 15: `offset` needs `size` beside it
    failed: line 16: `file` is `-`: only `pantler put` reads content from standard input
    error: 15 lines could not be stored
    now: 2 other datasets are stored; what failed is as it was before
    next: the same lines again, when the reasons are gone
    "#);
    // An answer for each line but the empty one.
    let (refused, stored_lines): (Vec<String>, Vec<String>) =
        ran.text().lines().map(str::to_owned).partition(|answer| answer == "-");
    assert_eq!((refused.len(), stored_lines.len()), (15, 2));
    let mut contents = depot.contents(RUN);
    contents.sort();
    assert_eq!(contents, [stored(&item(0), "1"), stored(&item(1), "1")]);
    assert_eq!(depot.artifacts().len(), 2);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    let depot = Depot::new(4);
    depot.put(RUN, &item(0), "there");
    let unstored = depot.put(RUN, &item(1), "unstored").to_string();
    depot.pantler(&["remove", &unstored]).expect(0);
    let picture = depot.picture();
    let lines = [
        line(&depot, &item(0), "there"),
        line(&depot, &item(0), "other"),
        line(&depot, &item(1), "unstored"),
        line(&depot, &item(2), "new"),
        line(&depot, "i0007", "without a record"),
    ];
    let lines = depot.file("lines", &lines.concat());
    let all = ["--run", RUN, "--type", "number"];
    let ran = put_each_with(&depot, &[&[lines.as_str(), "--dry-run"], &all[..]].concat());
    insta::assert_snapshot!(ran.text(), @r#"
    number item=i0000 is in live already, with this content
    -
    -
    would store number item=i0002 in live
    -
    "#);
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 1
    failed: line 2: content of 5 bytes differs from what live has as number item=i0000 (<uuid>): a dataset never changes
      next: pantler get <uuid> --repo <depot>/repo
      or: another RUN or data ID for the new content
    failed: line 3: live has number item=i0001 and it is not stored: a put session only adds datasets
      next: `pantler put` of it, which stores it again
    failed: line 5: there is no item record for item=i0007; insert it first
      next: pantler record insert item item=i0007 --repo <depot>/repo
    error: 3 lines could not be stored
    now: nothing has changed
    next: the same lines again, when the reasons are gone
    "#);
    picture.assert_same(&depot.picture(), "after a dry run");
    // Done, each is told how to go on.
    let ran = put_each_with(&depot, &[&[lines.as_str()], &all[..]].concat());
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 1
    failed: line 2: content of 5 bytes differs from what live has as number item=i0000 (<uuid>): a dataset never changes
      next: pantler get <uuid> --repo <depot>/repo
      or: another RUN or data ID for the new content
    failed: line 3: live has number item=i0001 (<uuid>), registered but not stored: put session put-session/<uuid> only adds datasets
      next: `pantler put` of it, which stores it again, after the session
    failed: line 5: there is no item record for item=i0007; insert it first
      next: pantler record insert item item=i0007 --repo <depot>/repo
    error: 3 lines could not be stored
    now: 2 other datasets are stored; what failed is as it was before
    next: the same lines again, when the reasons are gone
    "#);
}

#[test]
fn in_json_there_is_a_line_for_each_line() {
    let depot = Depot::new(2);
    let lines = faulty_lines(&depot);
    let mut session = Session::start(&depot, &["--json"]);
    session.tell(&lines);
    let ran = session.end();
    let answers: Vec<Value> =
        ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = answers.iter().map(|a| a["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=16).chain([18]).collect::<Vec<_>>(), "the empty one is counted");
    for answer in &answers {
        let (id, error) = (&answer["id"], &answer["error"]);
        assert!(id.is_string() != error.is_string(), "{answer}");
        assert_eq!(id.is_string(), matches!(answer["line"].as_u64(), Some(8 | 18)), "{answer}");
    }
    assert_eq!(answers[2]["error"], "it is not UTF-8");
    assert_eq!((&answers[2]["next"], &answers[2]["stored"]), (&Value::Null, &json!(false)));
    assert!(answers[4]["next"].as_str().unwrap().starts_with("pantler query dataset-types"));
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 1
    error: 15 lines could not be stored
    now: 2 other datasets are stored; what failed is as it was before
    next: the same lines again, when the reasons are gone
    "#);
}

#[test]
fn without_a_type_each_line_has_to_say_its_own() {
    let depot = Depot::new(2);
    let file = depot.file("one", "1");
    let lines = depot.file(
        "lines",
        &format!(
            "{}\n{}\n",
            json!({"file": file, "item": "i0000"}),
            json!({"file": file, "item": "i0001", "type": "word"})
        ),
    );
    let ran = put_each_with(&depot, &[lines.as_str(), "--run", RUN]);
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 1
    failed: line 1: it says no `type`, and --type is not given
    error: 1 line could not be stored
    now: 1 other dataset is stored; what failed is as it was before
    next: the same lines again, when the reasons are gone
    "#);
    assert_eq!(depot.contents(RUN), [stored(&item(1), "1")]);
}

#[test]
fn lines_that_are_none() {
    let depot = Depot::new(1);
    put_each(&depot, "", &[]).expect(0);
    put_each(&depot, "\n\n", &[]).expect(0);
    let empty = depot.file("empty", "");
    assert_eq!(put_each_with(&depot, &[empty.as_str(), "--run", RUN]).expect(0).text(), "");
    let before = depot.picture();
    let none = depot.beside("none");
    let ran = put_each_with(&depot, &[none.as_str(), "--run", "other"]);
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 1
    error: cannot read <depot>/none
      because: No such file or directory (os error 2)
    now: nothing has changed
    "#);
    let folder = depot.beside("");
    let ran = put_each_with(&depot, &[folder.as_str(), "--run", "other"]);
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 1
    error: cannot read <depot>/
      because: is a directory
    now: nothing has changed
    "#);
    before.assert_same(&depot.picture(), "not even the RUN is made");
    // A file that can be opened and not read.
    let ran = put_each_with(&depot, &["/proc/self/mem", "--run", RUN]);
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 1
    error: cannot read /proc/self/mem
      because: Input/output error (os error 5)
    now: nothing is stored; the session is ended
    "#);
}

#[test]
fn arguments_that_cannot_be_used() {
    let depot = Depot::new(2);
    depot.pantler(&["collection", "create", "good"]).expect(0);
    let before = depot.picture();
    let refused = |args: &[&str]| said(&depot, &put_each_with(&depot, args));
    insta::assert_snapshot!(refused(&["--run", "good"]), @r#"
    exit 1
    error: collection `good` is TAGGED, and RUN is needed here
    now: nothing has changed
    "#);
    insta::assert_snapshot!(refused(&["--run", RUN, "--type", "nothing"]), @r#"
    exit 1
    error: there is no dataset type `nothing`
    now: nothing has changed
    next: pantler query dataset-types --repo <depot>/repo
    "#);
    insta::assert_snapshot!(refused(&["--run", "../x"]), @r#"
    exit 2
    error: invalid value '../x' for '--run <RUN>': invalid collection name "../x": no part between slashes may be empty, '.' or '..'

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(refused(&["--run", RUN, "--name", "a/../b"]), @r#"
    exit 2
    error: invalid value 'a/../b' for '--name <NAME>': invalid transaction name "a/../b": no part between slashes may be empty, '.' or '..'

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(refused(&["--run", RUN, "--take-over"]), @r#"
    exit 2
    error: the following required arguments were not provided:
      --name <NAME>

    Usage: pantler put-each --run <RUN> --name <NAME> --repo <REPO> --take-over [LINES|-]

    For more information, try '--help'.
    "#);
    before.assert_same(&depot.picture(), "after what was refused");
}

#[test]
fn a_repository_that_may_only_be_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let depot = Depot::new(1);
    depot.put(RUN, &item(0), "there");
    let database = depot.repo().join("registry.sqlite3");
    let mode = |mode| {
        std::fs::set_permissions(&database, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o444);
    let repo = depot.repo();
    let ran = bound(&["put-each", "--run", RUN, "--repo", repo.as_str()]);
    mode(0o644);
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 1
    error: the database <depot>/repo/registry.sqlite3 was opened for reading only, or its file may not be written to
    now: nothing has changed
    next: let it be written to; then the same command again
    "#);
}

#[test]
fn a_full_disk_is_said_of_each_line_and_gone_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::at(dir, 3, Durability::None);
    let full = [("PANTLER_FAULT", "datastore.write.half:2:full")];
    let mut session = Session::armed(&depot, &[], &full);
    session.put(&depot, &item(0), "before");
    session.ask(&depot, &item(1), "in between");
    assert_eq!(session.answer(), "-");
    session.put(&depot, &item(2), "after");
    let ran = session.end();
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 1
    failed: line 2: the put failed and was undone: cannot write artifact live@1/number/item=i0001~<opening>-1-2.txt: cannot write <depot>/repo/artifacts/live@1/number/item=i0001~<opening>-1-2.txt.tmp: the storage is full: a planned fault (full)
      next: make room; then the same command again
    error: 1 line could not be stored
    now: 2 other datasets are stored; what failed is as it was before
    next: the same lines again, when the reasons are gone
    "#);
    assert_eq!(depot.artifacts().len(), 2);
}

/// Whatever could not be done before, it is said that the session is open.
#[test]
fn a_session_that_cannot_be_ended_is_named() {
    let depot = Depot::new(2);
    let faults = "registry.commit:3:full,datastore.delete:1+:denied";
    let mut session = Session::armed(&depot, &["--name", "s"], &[("PANTLER_FAULT", faults)]);
    session.put(&depot, &item(0), "stored");
    session.ask(&depot, &item(1), "refused");
    let ran = session.end();
    assert_eq!(depot.open_names(), ["s"]);
    depot.pantler(&["transaction", "commit", "s"]).expect(0);
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 4
    failed: line 2: no room to write to the database <depot>/repo/registry.sqlite3: the disk is full or the database has reached its largest size
      next: make room; then the same command again
    error: put session s could not be ended; what was put is stored
      because: transaction s stays open: it could not be committed
      because: the artifact storage failed
      because: deleting artifacts
      because: cannot delete artifact live@1/number/item=i0001~<opening>-1-2.txt (1 of 1 could not be deleted)
      because: cannot delete <depot>/repo/artifacts/live@1/number/item=i0001~<opening>-1-2.txt: permission denied
      because: a planned fault (denied)
    now: put session s is open; what it said to be stored is stored
    next: pantler transaction commit s --repo <depot>/repo
    "#);
    assert_eq!(depot.contents(RUN), [stored(&item(0), "stored")]);
    assert_eq!(depot.artifacts().len(), 1);
}

#[test]
fn a_put_of_which_the_database_says_nothing_is_put_again() {
    for (answer, left) in [("connection", 1), ("lost", 2)] {
        let depot = Depot::new(2);
        let fault = format!("registry.commit:3:{answer}");
        let mut session = Session::armed(&depot, &["--json"], &[("PANTLER_FAULT", &fault)]);
        let lines = [0, 1].map(|n| line(&depot, &item(n), "x")).concat();
        session.tell(&lines);
        let ran = session.end();
        let answers: Vec<Value> =
            ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(answers[0]["id"].is_string(), "{answers:?}");
        assert_eq!(answers[1]["id"].is_string(), answer == "lost", "{answers:?}");
        assert!(answers[1].get("stored").is_none_or(Value::is_null), "{answers:?}");
        if answer == "connection" {
            insta::assert_snapshot!(said(&depot, &ran), @r#"
            exit 5
            error: it is not known whether number item=i0001 was stored in put session put-session/<uuid>
              because: committing to the database <depot>/repo/registry.sqlite3 failed half-way; whether its rows are there is unknown
              because: a planned fault (connection)
              because: Error code 10: disk I/O error
            now: it is stored whole, or nothing of it is left when its session has ended
            next: the same command again, which finds it or stores it
            "#);
        } else {
            assert_eq!(ran.code(), Some(0));
        }
        assert_eq!((depot.rows(RUN).len(), depot.artifacts().len()), (left, left));
        let again = put_each(&depot, &lines, &[]).expect(0).text();
        assert!(again.starts_with(answers[0]["id"].as_str().unwrap()), "{again}");
        assert_eq!((depot.rows(RUN).len(), depot.artifacts().len()), (2, 2));
    }
}

/// Asks to stop while it waits for a line.
#[test]
fn a_request_to_stop_ends_the_session() {
    for signal in [Signal::TERM, Signal::INT] {
        let depot = Depot::new(2);
        let mut session = Session::start(&depot, &[]);
        session.put(&depot, &item(0), "stored");
        session.signal(signal);
        // Its lines do not end.
        until("it has ended", || session.child.try_wait().unwrap().is_some());
        let mut ran = session.end();
        // Said only if the file takes a while.
        ran.stderr = ran.stderr.replace("stopping after this file; once more ends at once\n", "");
        insta::allow_duplicates! {
            insta::assert_snapshot!(said(&depot, &ran), @r#"
            exit 130
            error: stopped
            now: 1 dataset is stored; the session is ended
            "#);
        }
        assert_eq!(depot.contents(RUN), [stored(&item(0), "stored")]);
    }
}

/// `put-each` of three lines whose answers go somewhere.
fn put_each_to(depot: &Depot, answers: impl Into<Stdio>) -> Ran {
    let lines: String = (0..3).map(|n| line(depot, &item(n), "x")).collect();
    let lines = depot.file("lines", &lines);
    let mut command = program().command(&["put-each", lines.as_str(), "--type", "number"]);
    command.args(["--run", RUN, "--repo", depot.repo().as_str()]).stdout(answers);
    Ran::of(command)
}

/// It is as for every command: that nobody reads what it says changes nothing.
#[test]
fn without_a_reader_of_the_answers_all_is_stored() {
    let depot = Depot::new(3);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(said(&depot, &put_each_to(&depot, writer)), "exit 0\n");
    assert_eq!(depot.rows(RUN).len(), 3);
}

#[test]
fn an_answer_that_cannot_be_written_ends_the_session() {
    let depot = Depot::new(3);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ran = put_each_to(&depot, full);
    insta::assert_snapshot!(said(&depot, &ran), @r#"
    exit 1
    error: cannot write to standard output
      because: No space left on device (os error 28)
    now: 1 dataset is stored; the session is ended
    "#);
    assert_eq!(depot.contents(RUN), [stored(&item(0), "x")]);
}
