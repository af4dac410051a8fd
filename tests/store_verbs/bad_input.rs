//! What the verbs say to input that they cannot use: the fault, the state that things are
//! in, and the way on. The dry run of each says the same, and nothing changes.

use super::*;

/// Exit code and error stream, without what differs from run to run.
#[track_caller]
fn said(project: &Project, ran: &Ran) -> String {
    assert_eq!(ran.text(), "", "errors go to the error stream");
    format!("exit {}\n{}", ran.code().unwrap(), without_ids(&tidy(project, &ran.stderr)))
}

/// `<uuid>` for each UUID, `<process>` for a process.
fn without_ids(text: &str) -> String {
    let is_uuid =
        |word: &str| word.len() == 36 && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if is_uuid(bare) { word.replace(bare, "<uuid>") } else { word.to_owned() }
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn refused(project: &Project, args: &[&str]) -> String {
    let before = project.picture();
    let text = said(project, &pantler(project, args));
    if !["transaction", "get", "query"].contains(&args[0]) {
        let dry = said(project, &pantler(project, &[args, &["--dry-run"]].concat()));
        assert_eq!(dry.replace("--dry-run ", ""), text, "the dry run says the same");
    }
    before.assert_same(&project.picture(), "after what was refused");
    text
}

#[test]
fn datasets_that_cannot_be_put() {
    let project = climate();
    let put = |args: &[&str]| refused(&project, &[&["put"], args].concat());
    let to_raw = |args: &[&str]| put(&[args, &["--run", "raw"]].concat());
    insta::assert_snapshot!(to_raw(&["one.csv", "dayly", "city=oslo"]), @r#"
    exit 1
    error: there is no dataset type `dayly`
    now: nothing has changed
    next: pantler query dataset-types --repo <project>/repo
    "#);
    insta::assert_snapshot!(to_raw(&["one.csv", "daily", "city=oslo"]), @r#"
    exit 2
    error: the data ID needs a value for dimension `month` (it has {city, month})
    "#);
    insta::assert_snapshot!(to_raw(&["one.csv", "daily", "city=oslo", "month=1", "day=2"]), @r#"
    exit 2
    error: the data ID has no dimension `day` (it has {city, month})
    "#);
    insta::assert_snapshot!(to_raw(&["one.csv", "daily", "city=oslo", "month=may"]), @r#"
    exit 2
    error: dimension `month`: expected an integer, found "may"
    "#);
    insta::assert_snapshot!(to_raw(&["one.csv", "daily", "city=bergen", "month=1"]), @r#"
    exit 1
    error: there is no city record for city=bergen; insert it first
    now: nothing has changed
    next: pantler record insert city city=bergen --repo <project>/repo
    "#);
    insta::assert_snapshot!(put(&["one.csv", "daily", "city=oslo", "month=1"]), @r#"
    exit 2
    error: the following required arguments were not provided:
      --run <RUN>

    Usage: pantler put --run <RUN> <FILE|-> <DATASET_TYPE> <KEY=VALUE>...

    For more information, try '--help'.
    "#);
    // Files that are none.
    let oslo = ["daily", "city=oslo", "month=1"];
    insta::assert_snapshot!(to_raw(&[&["none.csv"], &oslo[..]].concat()), @r#"
    exit 1
    error: cannot read <project>/none.csv
      because: No such file or directory (os error 2)
    now: nothing has changed
    "#);
    insta::assert_snapshot!(to_raw(&[&["."], &oslo[..]].concat()), @r#"
    exit 1
    error: cannot read <project>/.
      because: it is not a regular file
    now: nothing has changed
    "#);
    let gate = Gate::at(&project.path().join("pipe"));
    insta::assert_snapshot!(to_raw(&[&["pipe"], &oslo[..]].concat()), @r#"
    exit 1
    error: cannot read <project>/pipe
      because: it is not a regular file
    now: nothing has changed
    "#);
    drop(gate);
    // A RUN that is none.
    super::put(&project, "two.csv", "month=2");
    done(&project, &["collection", "chain", "all", "raw"]);
    insta::assert_snapshot!(put(&["one.csv", "daily", "city=oslo", "month=1", "--run", "all"]), @r#"
    exit 1
    error: collection `all` is CHAINED, and RUN is needed here
    now: nothing has changed
    "#);
    // Other content than what is there.
    insta::assert_snapshot!(to_raw(&["one.csv", "daily", "city=oslo", "month=2"]), @r#"
    exit 1
    error: content of 2 bytes differs from what raw has as daily city=oslo month=2 (<uuid>): a dataset never changes
    now: nothing has changed
    next: pantler get <uuid> --repo <project>/repo
      or: another RUN or data ID for the new content
    "#);
}

#[test]
fn files_that_cannot_be_ingested() {
    let project = climate();
    project.write("data/oslo/1.csv", "1\n");
    let ingest = |args: &[&str]| refused(&project, &[&["ingest", "--run", "raw"], args].concat());
    let daily = |args: &[&str]| ingest(&[&["--type", "daily"], args].concat());
    insta::assert_snapshot!(daily(&["data/{city}/{month}.txt"]), @r#"
    exit 1
    error: no file fits "data/{city}/{month}.txt"
    now: nothing has changed
    "#);
    insta::assert_snapshot!(daily(&["data/{city}/*.csv"]), @r#"
    exit 2
    error: the pattern "data/{city}/*.csv" does not fit daily {city, month}: it has no `{month}`
    "#);
    insta::assert_snapshot!(daily(&["{city}/oslo/{month}"]), @r#"
    exit 1
    error: <project>/data/oslo/1.csv: dimension `month`: expected an integer, found "1.csv"
    now: nothing has changed
    "#);
    insta::assert_snapshot!(daily(&["data/{city}/{month}.csv", "data/{city}/{month}.*"]), @r#"
    exit 1
    error: <project>/data/oslo/1.csv and <project>/data/oslo/1.csv are both daily city=oslo month=1
    now: nothing has changed
    "#);
    insta::assert_snapshot!(daily(&["data/{city}/{month}.csv", "--transfer", "in-place"]), @r#"
    exit 1
    error: <project>/data/oslo/1.csv does not lie in the storage <project>/repo/artifacts: copy, move or link it instead
    now: nothing has changed
    "#);
    // Two spellings of one data ID, and a record that cannot be made.
    project.write("data/oslo/01.csv", "1\n");
    insta::assert_snapshot!(daily(&["data/{city}/{month}.csv"]), @r#"
    exit 1
    error: <project>/data/oslo/01.csv and <project>/data/oslo/1.csv are both daily city=oslo month=1
    now: nothing has changed
    "#);
    let place = ["--type", "place", "--register", "--dimensions", "site", "--storage-class", "Csv"];
    insta::assert_snapshot!(ingest(&[&place[..], &["data/oslo/{site}.csv"]].concat()), @r#"
    exit 1
    error: <project>/data/oslo/01.csv needs the record site site=01, which has required metadata: insert it first, or name a record file in the project
    now: nothing has changed
    next: pantler record insert site site=01 FIELD=VALUE… --repo <project>/repo
    "#);
    // Names of transactions.
    let long = "x".repeat(161);
    for name in ["", "a/../b", &long] {
        let ran =
            pantler(&project, &["ingest", "--type", "daily", "--run", "raw", "--name", name, "x"]);
        let text = ran.expect(2).stderr;
        assert!(text.contains("invalid transaction name"), "{text}");
    }
}

#[test]
fn indexes_that_cannot_be_used() {
    let project = climate();
    project.write("a.csv", "1\n");
    let of = |text: &str| {
        project.write("index.csv", text);
        refused(&project, &["ingest", "--run", "raw", "--type", "daily", "--index", "index.csv"])
    };
    insta::assert_snapshot!(of("path,city,month\na.csv,oslo,1\n"), @r#"
    exit 1
    error: <project>/index.csv: the header has no column `file`
    now: nothing has changed
    "#);
    insta::assert_snapshot!(of("file,city,month\n"), @r#"
    exit 1
    error: index.csv names no file
    now: nothing has changed
    "#);
    insta::assert_snapshot!(of("file,city,day\na.csv,oslo,1\n"), @r#"
    exit 1
    error: index.csv: line 2: the data ID has no dimension `day` (it has {city, month})
    now: nothing has changed
    "#);
    insta::assert_snapshot!(of("file,city\na.csv,oslo\n"), @r#"
    exit 1
    error: index.csv: line 2: the data ID needs a value for dimension `month` (it has {city, month})
    now: nothing has changed
    "#);
    insta::assert_snapshot!(of("file,city,month\nb.csv,oslo,1\n"), @r#"
    exit 1
    error: cannot read <project>/b.csv
      because: No such file or directory (os error 2)
    now: nothing has changed
    "#);
    insta::assert_snapshot!(of("file,city,month\nrepo,oslo,1\n"), @r#"
    exit 1
    error: cannot read <project>/repo
      because: it is not a regular file
    now: nothing has changed
    "#);
    insta::assert_snapshot!(of("file,city,month,offset,size\na.csv,oslo,1,1,4\n"), @r#"
    exit 1
    error: cannot read <project>/a.csv
      because: it has fewer than 5 bytes
    now: nothing has changed
    "#);
    insta::assert_snapshot!(of("file,city,month,type\na.csv,oslo,1,hourly\n"), @r#"
    exit 1
    error: there is no dataset type `hourly`
    now: nothing has changed
    next: pantler dataset-type register hourly --dimensions A,B --storage-class CLASS --repo <project>/repo
      or: the same command with --register --dimensions A,B --storage-class CLASS
    "#);
    insta::assert_snapshot!(
        refused(&project, &["ingest", "--run", "raw", "--type", "daily", "--index", "a.txt"]), @r#"
    exit 1
    error: <project>/a.txt: the name must end with .csv or .json
    now: nothing has changed
    "#);
}

#[test]
fn a_file_that_changes_while_it_is_ingested() {
    let project = climate();
    project.write("data/oslo/1.csv", "1\n");
    let before = project.picture();
    let args = ["ingest", "--type", "daily", "--run", "raw", "data/{city}/{month}.csv"];
    let mut command = command(&project, &args);
    command.env("PANTLER_PAUSE", "open.row.committed:1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    until("it is paused", || is_paused(&child));
    project.write("data/oslo/1.csv", "other content\n");
    kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
    insta::assert_snapshot!(said(&project, &Ran::finish(child)), @r#"
    exit 1
    error: the ingest failed and was undone
      because: <project>/data/oslo/1.csv changed while it was being stored
    now: the repository is as it was before
    "#);
    before.assert_same(&project.picture(), "after what failed");
}

#[test]
fn datasets_that_cannot_be_removed() {
    let project = climate();
    let id = put(&project, "one.csv", "month=1");
    let other = "0192a7e8-c000-7000-8000-00000000000a";
    insta::assert_snapshot!(refused(&project, &["remove", other]), @r#"
    exit 1
    error: dataset <uuid> is not registered
    now: nothing has changed
    "#);
    insta::assert_snapshot!(refused(&project, &["remove"]), @r#"
    exit 2
    error: no dataset is named
    next: name UUIDs, or a --type with --collections
    "#);
    insta::assert_snapshot!(refused(&project, &["remove", "daily"]), @r#"
    exit 2
    error: invalid value 'daily' for '[UUID|KEY=VALUE]...': expected the UUID of a dataset or key=value: invalid character: found `i` at 2

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(refused(&project, &["remove", "--type", "daily"]), @r#"
    exit 2
    error: a --type needs --collections to look in
    next: pantler query collections --repo <project>/repo
    "#);
    insta::assert_snapshot!(
        refused(&project, &["remove", "--type", "daily", "--collections", "raw", "month=2"]), @r#"
    exit 1
    error: there is no daily month=2 in raw
    now: nothing has changed
    next: pantler query datasets daily --collections raw --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["restore", other, "one.csv"]), @r#"
    exit 1
    error: dataset <uuid> is not registered
    now: nothing has changed
    "#);
    insta::assert_snapshot!(refused(&project, &["restore", &id, "two.csv"]), @r#"
    exit 1
    error: <project>/two.csv differs from what raw has as daily city=oslo month=1 (<uuid>): a dataset never changes
    now: nothing has changed
    next: pantler get <uuid> --repo <project>/repo
      or: another RUN or data ID for the new content
    "#);
    // Tagged, chained.
    done(&project, &["collection", "create", "good"]);
    done(&project, &["collection", "tag", "good", &id]);
    insta::assert_snapshot!(refused(&project, &["remove", &id, "--purge"]), @r#"
    exit 1
    error: dataset <uuid> is in the TAGGED collection `good`
    now: nothing has changed
    next: pantler collection untag good <uuid> --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["remove-run", "raw"]), @r#"
    exit 1
    error: dataset <uuid> is in the TAGGED collection `good`
    now: nothing has changed
    next: pantler collection untag good <uuid> --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["remove-run", "good"]), @r#"
    exit 1
    error: `good` is a TAGGED collection, not a RUN
    now: nothing has changed
    next: pantler collection remove good --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["remove-run", "none"]), @r#"
    exit 1
    error: there is no collection `none`
    now: nothing has changed
    next: pantler query collections --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["remove-run", "none", "--unlink"]), @r#"
    exit 1
    error: there is no collection `none`
    now: nothing has changed
    next: pantler query collections --repo <project>/repo
    "#);
    done(&project, &["collection", "untag", "good", &id]);
    done(&project, &["collection", "chain", "all", "raw"]);
    insta::assert_snapshot!(refused(&project, &["remove-run", "raw"]), @r#"
    exit 1
    error: run `raw` is in the chain `all`
    now: nothing has changed
    next: pantler remove-run raw --unlink --repo <project>/repo
    "#);
    // A RUN at which another transaction is at work.
    killed(
        &project,
        "datastore.rename:1",
        &["put", "two.csv", "daily", "city=oslo", "month=2", "--run", "raw"],
    );
    insta::assert_snapshot!(refused(&project, &["remove", &id]), @r#"
    exit 1
    error: run `raw` is inserted into by the open transaction `put/daily-090f6e89fd21`
    now: nothing has changed
    next: pantler transaction show put/daily-090f6e89fd21 --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["remove-run", "raw", "--unlink"]), @r#"
    exit 1
    error: run `raw` is inserted into by the open transaction `put/daily-090f6e89fd21`
    now: nothing has changed
    next: pantler transaction show put/daily-090f6e89fd21 --repo <project>/repo
    "#);
}

#[test]
fn inputs_of_open_workspaces_stay() {
    let project = crate::toy::toy(&["a"]);
    project.run(&["--no-commit"]).expect(0);
    let id = datasets(&project, &["number"])[0]["id"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(refused(&project, &["remove", &id]), @r#"
    exit 1
    error: run `toy/raw` is an input of the open workspace `toy/<time>`, which may read it still
    now: nothing has changed
    next: pantler workspace commit toy/<time> --repo <project>/repo
      or: the same command with --force, if the workspace need not read it
    "#);
    insta::assert_snapshot!(refused(&project, &["remove-run", "toy/raw"]), @r#"
    exit 1
    error: run `toy/raw` is an input of the open workspace `toy/<time>`, which may read it still
    now: nothing has changed
    next: pantler workspace commit toy/<time> --repo <project>/repo
      or: the same command with --force, if the workspace need not read it
    "#);
    let name = open_names(&project, "workspace").pop().unwrap();
    insta::assert_snapshot!(refused(&project, &["remove-run", &name]), @r#"
    exit 1
    error: run `toy/<time>` is modified by the open transaction `toy/<time>`
    now: nothing has changed
    next: pantler transaction show toy/<time> --repo <project>/repo
    "#);
    assert_eq!(done(&project, &["remove", &id, "--force"]), "unstored 1 dataset: 1 artifact (2 B)");
    project.pantler(&["workspace", "revert", &name]).expect(0);
}

#[test]
fn sources_that_nothing_can_be_transferred_from() {
    let project = climate();
    let source = climate();
    let id = put(&source, "one.csv", "month=1");
    let transfer = |args: &[&str]| refused(&project, &[&["transfer"], args].concat());
    insta::assert_snapshot!(transfer(&["nowhere", &id]), @r#"
    exit 1
    error: <project>/nowhere is not a Pantler repository: it has no pantler.yaml
    now: nothing has changed
    next: pantler init <project>/nowhere --universe FILE
    "#);
    let from = source.repo().into_string();
    let said = |text: String| text.replace(source.path().as_str(), "<source>");
    insta::assert_snapshot!(said(transfer(&[&from, "0192a7e8-c000-7000-8000-00000000000a"])), @r#"
    exit 1
    error: cannot read the repository <source>/repo
      because: dataset <uuid> is not registered
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said(transfer(&[&from, &id, "--mode", "move"])), @r#"
    exit 1
    error: datasets of another repository cannot be transferred by move: take copy, hardlink, symlink or direct
    now: nothing has changed
    "#);
    put(&project, "two.csv", "month=1");
    insta::assert_snapshot!(said(transfer(&[&from, &id])), @r#"
    exit 1
    error: raw has daily city=oslo month=1 as <uuid>, and it cannot also be <uuid>
    now: nothing has changed
    next: pantler get <uuid> --repo <project>/repo
    "#);
    done(&source, &["remove", &id]);
    insta::assert_snapshot!(said(transfer(&[&from, &id])), @r#"
    exit 1
    error: daily city=oslo month=1 in raw (<uuid>) is registered in <source>/repo, but not stored there
    now: nothing has changed
    "#);
    let toy = crate::toy::toy(&["a"]);
    toy.run(&[]).expect(0);
    let number = datasets(&toy, &["number"])[0]["id"].as_str().unwrap().to_owned();
    let other = transfer(&[toy.repo().as_str(), &number]);
    insta::assert_snapshot!(other.replace(toy.path().as_str(), "<toy>"), @r#"
    exit 1
    error: <toy>/repo has the universe toy, and this repository has climate
    now: nothing has changed
    "#);
}

/// A put that was killed when its artifact was in place, and the transaction's name.
fn left_open(project: &Project) -> String {
    killed(
        project,
        "close.storage.done:1",
        &["put", "one.csv", "daily", "city=oslo", "month=1", "--run", "raw"],
    );
    open_names(project, "transaction").pop().unwrap()
}

#[test]
fn commits_of_what_is_missing_or_damaged_stay_open() {
    for damage in ["missing", "damaged"] {
        let project = climate();
        let name = left_open(&project);
        let path = project.picture().files.keys().next().unwrap().clone();
        let path = project.repo().join(path);
        match damage {
            "missing" => std::fs::remove_file(&path).unwrap(),
            _ => std::fs::write(&path, "longer than before\n").unwrap(),
        }
        let ran = pantler(&project, &["transaction", "commit", &name]);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said(&project, &ran).replace(&name, "<name>"), @r#"
            exit 4
            error: transaction <name> stays open: it could not be committed
              because: 1 artifact is missing or damaged: daily city=oslo month=1
            now: transaction <name> is open
            next: the command that opened it, which stores what is missing
              or: pantler transaction revert <name> --repo <project>/repo
              or: pantler transaction abandon <name> --repo <project>/repo
            "#);
        }
        assert_eq!(open_names(&project, "transaction"), [name.as_str()]);
        put(&project, "one.csv", "month=1");
    }
}

#[test]
fn closing_names_that_are_not_open() {
    let project = climate();
    let name = left_open(&project);
    pantler(&project, &["transaction", "revert", &name]).expect(0);
    let again = pantler(&project, &["transaction", "revert", &name]).expect(0);
    assert!(again.text().contains("reverted before; nothing to do"), "{}", again.text());
    let text = refused(&project, &["transaction", "commit", &name]);
    insta::assert_snapshot!(text.replace(&name, "<name>"), @r#"
    exit 1
    error: transaction <name> was reverted already
    now: nothing has changed
    next: pantler transaction show <name> --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["transaction", "commit", "put/none"]), @r#"
    exit 1
    error: no transaction is called put/none
    now: nothing has changed
    next: pantler transaction list --repo <project>/repo
    "#);
    let long = "x".repeat(161);
    for name in ["", "a/../b", &long] {
        for verb in ["show", "commit", "revert", "abandon"] {
            let text = pantler(&project, &["transaction", verb, name]).expect(2).stderr;
            assert!(text.contains("invalid transaction name"), "{text}");
        }
    }
}

#[test]
fn transactions_of_other_users_are_closed_and_named() {
    let project = climate();
    let args = ["put", "one.csv", "daily", "city=oslo", "month=1", "--run", "raw"];
    let mut command = command(&project, &args);
    command.env("USER", "somebody").env("PANTLER_CRASH", "close.storage.done:1");
    assert_eq!(Ran::of(command).status.signal(), Some(9));
    let name = open_names(&project, "transaction").pop().unwrap();
    let shown = pantler(&project, &["transaction", "list"]).expect(0).text();
    assert!(shown.contains("somebody"), "{shown}");
    let shown = pantler(&project, &["transaction", "show", &name]).expect(0).text();
    assert!(shown.contains("opened by somebody at"), "{shown}");
    let ran = pantler(&project, &["transaction", "commit", &name]).expect(0);
    assert_eq!(ran.stderr, format!("{name} was opened by somebody\n"));
    assert_eq!(ran.text(), format!("transaction {name} committed: 1 dataset\n"));
}
