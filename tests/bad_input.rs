//! What the program says to input that it cannot use: the fault, the state that things
//! are in, and the way on.

use pantler_testkit::{Program, Project, Ran};

use crate::{
    program, small_weather,
    toy::{PIPELINE, PROJECT, UNIVERSE, killed_at, open_names, tidy, toy},
};

/// Exit code and error stream, without what differs from run to run.
#[track_caller]
fn said(project: &Project, ran: &Ran) -> String {
    assert_eq!(ran.text(), "", "errors go to the error stream");
    format!("exit {}\n{}", ran.code().unwrap(), tidy(project, &ran.stderr))
}

/// Runs a command on the repository; it must change nothing.
#[track_caller]
fn refused(project: &Project, args: &[&str]) -> String {
    let before = project.picture();
    let ran = project.pantler(args);
    before.assert_same(&project.picture(), "after what was refused");
    said(project, &ran)
}

/// Runs the program in the project folder, on no repository in particular.
fn run_in(project: &Project, args: &[&str]) -> Ran {
    let mut command = project.program().command(args);
    command.current_dir(project.path());
    Ran::of(command)
}

fn toy_that_ran() -> Project {
    let project = toy(&["a", "b"]);
    project.run(&[]).expect(0);
    project
}

#[test]
fn no_repository() {
    let project = Project::empty(&program());
    insta::assert_snapshot!(said(&project, &run_in(&project, &["query", "collections"])), @r#"
    exit 2
    error: no repository: there is no pantler.yaml in <project> or above it, and no project with one
    next: name one with --repo REPO or PANTLER_REPO=REPO
    "#);
    insta::assert_snapshot!(
        said(&project, &run_in(&project, &["query", "collections", "--repo", "nowhere"])), @r#"
    exit 1
    error: <project>/nowhere is not a Pantler repository: it has no pantler.yaml
    now: nothing has changed
    next: pantler init <project>/nowhere --universe FILE
    "#);
    // A folder that a killed `init` left.
    project.write("repo/registry.sqlite3", "");
    insta::assert_snapshot!(refused(&project, &["check"]), @r#"
    exit 1
    error: <project>/repo is not a Pantler repository: it has no pantler.yaml
    now: nothing has changed
    next: pantler init <project>/repo --universe FILE
    "#);
}

#[test]
fn a_repository_that_is_newer_or_damaged() {
    let mut project = toy_that_ran();
    project.expect_damage();
    let config = project.read("repo/pantler.yaml");
    let with = |text: &str| {
        project.write("repo/pantler.yaml", text);
        said(&project, &project.pantler(&["query", "datasets"]))
    };
    insta::assert_snapshot!(with(&config.replace("version: 1", "version: 9")), @r#"
    exit 1
    error: <project>/repo/pantler.yaml has format version 9, this program knows 1: use a newer pantler
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("version: 1\nstorage: x\n"), @r#"
    exit 1
    error: <project>/repo/pantler.yaml: unknown field `storage`, expected one of version, database, workspaces at line 2, column 1
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with(&config.replace("registry.sqlite3", "elsewhere")), @r#"
    exit 1
    error: there is no database file <project>/repo/elsewhere
    now: nothing has changed
    next: put the database back, or restore the repository from a backup
    "#);
    project.write("repo/pantler.yaml", &config);
    let schema = |version: u32| {
        project.sql(&format!(
            "UPDATE attributes SET value = '{version}' WHERE name = 'schema_version'"
        ));
    };
    schema(9);
    insta::assert_snapshot!(refused(&project, &["query", "datasets"]), @r#"
    exit 1
    error: the database has schema version 9, and this program supports up to 1: use a newer pantler
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said(&project, &project.run(&[])), @r#"
    exit 1
    error: the database has schema version 9, and this program supports up to 1: use a newer pantler
    now: nothing has changed
    "#);
    schema(1);
    project.pantler(&["query", "datasets"]).expect(0);
    project
        .write("repo/registry.sqlite3", "no database, but long enough to have a header".repeat(9));
    insta::assert_snapshot!(said(&project, &project.pantler(&["query", "datasets"])), @r#"
    exit 1
    error: <project>/repo/registry.sqlite3 is not a SQLite database
    now: nothing has changed
    next: put the database back, or restore the repository from a backup
    "#);
}

#[test]
fn unknown_names() {
    let project = toy_that_ran();
    insta::assert_snapshot!(refused(&project, &["query", "datasets", "town=oslo"]), @r#"
    exit 2
    error: unknown dimension "town" in universe "toy": it has item
    "#);
    insta::assert_snapshot!(refused(&project, &["query", "records", "town"]), @r#"
    exit 1
    error: unknown dimension "town" in universe "toy": it has item
    "#);
    insta::assert_snapshot!(refused(&project, &["query", "datasets", "copies"]), @r#"
    exit 1
    error: there is no dataset type `copies`
    now: nothing has changed
    next: pantler query dataset-types --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["get", "copies", "item=a", "--collections", "toy"]), @r#"
    exit 1
    error: there is no dataset type `copies`
    now: nothing has changed
    next: pantler query dataset-types --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["query", "datasets", "--collections", "toys"]), @r#"
    exit 1
    error: there is no collection `toys`
    now: nothing has changed
    next: pantler query collections --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["get", "copy", "item=a", "--collections", "toys"]), @r#"
    exit 1
    error: there is no collection `toys`
    now: nothing has changed
    next: pantler query collections --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["get", "copy", "item=a"]), @r#"
    exit 2
    error: a dataset type needs --collections to look in
    next: pantler query collections --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["get", "Copy", "item=a", "--collections", "toy"]), @r#"
    exit 2
    error: invalid dataset type name "Copy": it must start with a lower-case letter (a-z)
    "#);
    insta::assert_snapshot!(
        refused(&project, &["get", "0192a7e8-c000-7000-8000-00000000000a"]), @r#"
    exit 1
    error: there is no dataset with the id 0192a7e8-c000-7000-8000-00000000000a
    "#);
    let pipeline = project.path().join("pipeline.yaml");
    insta::assert_snapshot!(
        refused(&project, &["run", pipeline.as_str(), "-i", "toys", "-o", "other"]), @r#"
    exit 1
    error: there is no collection `toys`
    now: nothing has changed
    next: pantler query collections --repo <project>/repo
    "#);
}

#[test]
fn data_ids_that_do_not_fit() {
    let project = small_weather();
    project.run(&[]).expect(0);
    let get = |values: &[&str]| {
        refused(&project, &[&["get", "hourly"], values, &["--collections", "weather"]].concat())
    };
    insta::assert_snapshot!(get(&["city=seattle"]), @r#"
    exit 2
    error: the data ID needs a value for dimension `month` (it has {city, month})
    "#);
    insta::assert_snapshot!(get(&["city=seattle", "month=1", "day=1"]), @r#"
    exit 2
    error: the data ID has no dimension `day` (it has {city, month})
    "#);
    insta::assert_snapshot!(get(&["city=seattle", "month=january"]), @r#"
    exit 2
    error: dimension `month`: expected an integer, found "january"
    "#);
    insta::assert_snapshot!(get(&["city=seattle", "city=seattle", "month=1"]), @r#"
    exit 2
    error: `city` was given twice
    "#);
    insta::assert_snapshot!(get(&["city=oslo", "month=1"]), @r#"
    exit 1
    error: there is no hourly city=oslo month=1 in weather
    next: pantler query datasets hourly --collections weather --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["query", "datasets", "hourly", "month=january"]), @r#"
    exit 2
    error: dimension `month`: expected an integer, found "january"
    "#);
    insta::assert_snapshot!(refused(&project, &["query", "datasets", "comparison", "month=1"]), @r#"
    exit 1
    error: none of the dataset types asked for has the dimension `month`
    now: nothing has changed
    next: pantler query dataset-types --repo <project>/repo
    "#);
}

/// What `pantler run` says to a toy project with one file replaced.
fn run_with(file: &str, text: &str) -> String {
    let project = toy(&["a", "b"]);
    project.write(file, text);
    let dry = project.run(&["--dry-run"]);
    assert!(!project.repo().exists(), "a dry run makes nothing");
    let ran = project.run(&[]);
    let text = said(&project, &ran);
    assert_eq!(said(&project, &dry), text, "a dry run tells the same");
    assert!(!project.repo().exists(), "it is told before the first change");
    text
}

#[test]
fn pipelines_that_cannot_be() {
    let with = |old: &str, new: &str| {
        assert!(PIPELINE.contains(old), "{old}");
        run_with("pipeline.yaml", &PIPELINE.replacen(old, new, 1))
    };
    // A cycle: the copies need the total.
    insta::assert_snapshot!(
        with("{number: {type: number}}", "{number: {type: number}, sum: {type: total}}"), @r#"
    exit 1
    error: <project>/pipeline.yaml:3: tasks.copy: cycle: copy needs total needs copy; each needs an output of the next
    now: nothing has changed
    "#);
    // An input that nothing makes.
    insta::assert_snapshot!(with("{type: copy, multiple: true}", "{type: copies, multiple: true}"), @r#"
    exit 1
    error: <project>/pipeline.yaml:10: tasks.total.inputs.copies: no task makes `copies` and no such dataset type is registered; ingest it first, or correct the name
    now: nothing has changed
    "#);
    // Two producers.
    insta::assert_snapshot!(with("type: total", "type: copy"), @r#"
    exit 1
    error: <project>/pipeline.yaml:11: tasks.total.outputs.total: `copy` is also made by tasks.copy.outputs.copy; a dataset type has one producer, rename one
    now: nothing has changed
    "#);
    // An unknown placeholder, an unknown output in one, an unknown dimension in one.
    insta::assert_snapshot!(with("{inputs.number}", "{input.number}"), @r#"
    exit 1
    error: <project>/pipeline.yaml:7: tasks.copy.command[3]: unknown placeholder `{input.number}`; there are {inputs.NAME}, {outputs.NAME}, {data_id.DIMENSION}, {config.KEY}, {pipeline_dir} and {pantler} (`{{` for a brace)
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("{outputs.copy}", "{outputs.copies}"), @r#"
    exit 1
    error: <project>/pipeline.yaml:7: tasks.copy.command[4]: placeholder `{outputs.copies}`: the task has no such output; it has copy
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("{data_id.item}", "{data_id.month}"), @r#"
    exit 1
    error: <project>/pipeline.yaml:7: tasks.copy.command[5]: placeholder `{data_id.month}`: the task has no such dimension; it has {item}
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("dimensions: [item]", "dimensions: [town]"), @r#"
    exit 1
    error: <project>/pipeline.yaml:4: tasks.copy.dimensions: unknown dimension "town" in universe "toy": it has item
    <project>/pipeline.yaml:5: tasks.copy.inputs.number: `number` has dimensions {item}, the task only {}: several datasets per quantum; add `multiple: true`
    <project>/pipeline.yaml:7: tasks.copy.command[5]: placeholder `{data_id.item}`: the task has no such dimension; it has {}
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("storage_class: Text", "storage_class: Prose"), @r#"
    exit 1
    error: <project>/pipeline.yaml:6: tasks.copy.outputs.copy.storage_class: unknown storage class "Prose": expected one of Bytes, Text, Json, Csv, Svg
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("version: 1", "version: 2"), @r#"
    exit 1
    error: <project>/pipeline.yaml:1: version: this program reads pipelines of version 1, not 2; a newer pantler may read it
    now: nothing has changed
    "#);
    // Several faults are told at once.
    insta::assert_snapshot!(
        run_with("pipeline.yaml", "version: 1\ntasks:\n  Copy: {}\n  sum:\n    dimension: []\n    command: x\n"), @r#"
    exit 1
    error: <project>/pipeline.yaml:3: tasks.Copy: invalid task label "Copy": it must start with a lower-case letter (a-z)
    <project>/pipeline.yaml:3: tasks.Copy: the field `dimensions` is missing
    <project>/pipeline.yaml:3: tasks.Copy: the task has nothing to run; give it a `command` or a `task`
    <project>/pipeline.yaml:4: tasks.sum: the field `dimensions` is missing
    <project>/pipeline.yaml:5: tasks.sum.dimension: there is no such field; expected one of dimensions, inputs, outputs, config, env, pass_env, version, command, task, init_inputs, init_outputs, init_command, init_task
    <project>/pipeline.yaml:6: tasks.sum.command: expected a list, found a text
    now: nothing has changed
    "#);
    insta::assert_snapshot!(run_with("pipeline.yaml", "version: 1\ntasks: [\n"), @r#"
    exit 1
    error: <project>/pipeline.yaml:2: not well formed: unclosed bracket '[' at line 2, column 8
    now: nothing has changed
    "#);
}

#[test]
fn projects_that_cannot_be() {
    let with = |old: &str, new: &str| {
        assert!(PROJECT.contains(old), "{old}");
        run_with("project.yaml", &PROJECT.replacen(old, new, 1))
    };
    insta::assert_snapshot!(with("data/{item}.txt", "date/{item}.txt"), @r#"
    exit 1
    error: no file fits "date/{item}.txt" below <project>
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("{item}.txt", "{thing}.txt"), @r#"
    exit 1
    error: <project>/project.yaml: ingest[0].files: `{thing}` is not one of the dimensions
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("dimensions: [item]", "dimensions: [items]"), @r#"
    exit 1
    error: <project>/project.yaml: ingest[0].files: `{item}` is not one of the dimensions
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("pipeline.yaml", "pipelines.yaml"), @r#"
    exit 1
    error: cannot access <project>/pipelines.yaml
      because: No such file or directory (os error 2)
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("universe.yaml", "universes.yaml"), @r#"
    exit 1
    error: cannot read <project>/universes.yaml
      because: No such file or directory (os error 2)
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("version: 1", "version: 2"), @r#"
    exit 1
    error: <project>/project.yaml has version 2, this program knows 1: use a newer pantler
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("name: toy", "named: toy"), @r#"
    exit 1
    error: <project>/project.yaml: unknown field `named`, expected one of version, name, repository, universe, records, ingest, pipeline, parameters, set_files, set, inputs, output, chain at line 2, column 1
    now: nothing has changed
    "#);
    insta::assert_snapshot!(run_with("universe.yaml", &UNIVERSE.replace("string", "text")), @r#"
    exit 1
    error: <project>/universe.yaml: not a universe file: unknown variant `text`, expected one of integer, string at line 4, column 15
    now: nothing has changed
    "#);

    let project = Project::empty(&program());
    insta::assert_snapshot!(said(&project, &project.run(&[])), @r#"
    exit 1
    error: <project> is not a project: it has no project.yaml
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said(&project, &run_in(&project, &["run", "nowhere"])), @r#"
    exit 1
    error: <project>/nowhere is not a project: it has no project.yaml
    now: nothing has changed
    "#);
}

#[test]
fn files_whose_names_do_not_fit() {
    let project = small_weather();
    project.write("data/seattle/january.csv", "date,temp\n");
    insta::assert_snapshot!(said(&project, &project.run(&[])), @r#"
    exit 1
    error: <project>/project.yaml: ingest[0]: <project>/data/seattle/january.csv: dimension `month`: expected an integer, found "january"
    now: nothing has changed
    "#);
}

#[test]
fn record_files_that_cannot_be() {
    let with = |records: &str| {
        let project = toy(&["a"]);
        project.write("project.yaml", format!("{PROJECT}records: [items.yaml]\n"));
        project.write("items.yaml", records);
        let dry = said(&project, &project.run(&["--dry-run"]));
        assert!(dry.starts_with("exit 1"), "{dry}");
        said(&project, &project.run(&[]))
    };
    insta::assert_snapshot!(with("version: 1\nrecords:\n  item:\n    - {item: a, title: A}\n"), @r#"
    exit 1
    error: <project>/items.yaml: records.item[0]: element `item` has no field `title`
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("version: 1\nrecords:\n  item:\n    - {title: A}\n"), @r#"
    exit 1
    error: <project>/items.yaml: records.item[0]: the data ID needs a value for dimension `item` (it has {item})
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("version: 1\nrecords:\n  thing:\n    - {item: a}\n"), @r#"
    exit 1
    error: <project>/items.yaml: unknown dimension "thing" in universe "toy": it has item
    now: nothing has changed
    "#);
    insta::assert_snapshot!(with("version: 2\nrecords: {}\n"), @r#"
    exit 1
    error: <project>/items.yaml has version 2, this program knows 1: use a newer pantler
    now: nothing has changed
    "#);
}

#[test]
fn a_missing_record_is_named() {
    let project = toy(&["a"]);
    let required = "{key: string, metadata: {title: {type: string, required: true}}}";
    project.write("universe.yaml", UNIVERSE.replace("{key: string}", required));
    insta::assert_snapshot!(said(&project, &project.run(&[])), @r#"
    exit 1
    made the repository <project>/repo
    error: <project>/data/a.txt needs the record item item=a, which has required metadata: insert it first, or name a record file in the project
    now: the repository is made; nothing else has changed
    next: pantler record insert item item=a FIELD=VALUE… --repo <project>/repo
    "#);
}

#[test]
fn other_bytes_for_a_data_id() {
    let project = toy_that_ran();
    project.write("data/b.txt", "7\n");
    let rows = crate::toy::datasets(&project, &["number", "item=b"]);
    let text = said(&project, &project.run(&[]));
    insta::assert_snapshot!(text.replace(rows[0]["id"].as_str().unwrap(), "<uuid>"), @r#"
    exit 1
    error: <project>/data/b.txt differs from what toy/raw has as number item=b (<uuid>): a dataset never changes
    now: nothing has changed
    next: give the changed file another data ID
      or: give the project another `name`: it then ingests into a RUN of its own
    "#);
}

#[test]
fn another_universe() {
    let project = toy_that_ran();
    project.write("universe.yaml", UNIVERSE.replace("item:", "thing: {key: string}\n  item:"));
    insta::assert_snapshot!(said(&project, &project.run(&[])), @r#"
    exit 1
    error: <project>/repo was made with another universe than <project>/universe.yaml describes
    now: nothing has changed
    next: put the universe file back as it was
      or: name another `repository` in the project: the universe of one is fixed
    "#);
}

#[test]
fn an_output_run_that_exists_or_is_locked() {
    let project = toy(&["a", "b"]);
    project.write("project.yaml", format!("{PROJECT}output: toy/result\n"));
    project.run(&[]).expect(0);
    insta::assert_snapshot!(said(&project, &project.run(&[])), @r#"
    exit 1
    ingest: nothing new, 2 files there already
    error: collection toy/result exists already: a workspace makes a new RUN
    now: nothing has changed
    next: take another name; `pantler run -o NAME/{time}` makes one for each run
    "#);
    let pipeline = project.path().join("pipeline.yaml");
    let run = |output: &str| {
        refused(&project, &["run", pipeline.as_str(), "-i", "toy/raw", "-o", output])
    };
    insta::assert_snapshot!(run("toy/result"), @r#"
    exit 1
    error: collection toy/result exists already: a workspace makes a new RUN
    now: nothing has changed
    next: take another name; `pantler run -o NAME/{time}` makes one for each run
    "#);
    insta::assert_snapshot!(run("toy"), @r#"
    exit 1
    error: collection toy exists already: a workspace makes a new RUN
    now: nothing has changed
    next: take another name; `pantler run -o NAME/{time}` makes one for each run
    "#);
    insta::assert_snapshot!(run("toy//result"), @r#"
    exit 2
    error: invalid collection name "toy//result": no part between slashes may be empty, '.' or '..'
    "#);
    let create = ["workspace", "create", "trial", "--pipeline", pipeline.as_str(), "-i", "toy/raw"];
    project.pantler(&create).expect(0);
    let masked = |text: String| mask_processes(&text);
    insta::assert_snapshot!(masked(run("trial")), @r#"
    exit 1
    error: workspace trial is open already, by tester (<process>)
    now: nothing has changed
    next: pantler workspace status trial --repo <project>/repo
    "#);
    insta::assert_snapshot!(masked(refused(&project, &create)), @r#"
    exit 1
    error: workspace trial is open already, by tester (<process>)
    now: nothing has changed
    next: pantler workspace status trial --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["workspace", "run", "trial"]), @r#"
    exit 1
    error: workspace trial has no quantum graph yet: build it first
    now: nothing has changed
    next: pantler workspace build trial --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["get", "total", "--collections", "trial"]), @r#"
    exit 1
    error: there is no total {} in trial
    next: pantler query datasets total --collections trial --repo <project>/repo
    "#);
}

/// A text without the numbers and hosts of processes: `12 on host (boot …)` or the like.
fn mask_processes(text: &str) -> String {
    let mut masked = String::new();
    for line in text.split_inclusive('\n') {
        match (line.find("(process "), line.find(')')) {
            (Some(from), Some(to)) if from < to => {
                masked.push_str(&line[..from]);
                masked.push_str("(<process>");
                masked.push_str(&line[to..]);
            }
            _ => masked.push_str(line),
        }
    }
    masked
}

#[test]
fn init_that_cannot_be() {
    let project = Project::empty(&program());
    insta::assert_snapshot!(said(&project, &run_in(&project, &["init", "repo"])), @r#"
    exit 2
    error: a repository needs a universe: a file that says by what its data is labelled, such as

      version: 1
      name: climate
      elements:
        city:
          key: string
          metadata:
            title: {type: string, required: true}
        month: {key: integer}
    next: pantler init repo --universe universe.yaml
    "#);
    project.write("universe.yaml", UNIVERSE);
    project.write("full/notes.txt", "mine");
    let init = |place: &str, universe: &str| {
        let ran = run_in(&project, &["init", place, "--universe", universe]);
        said(&project, &ran)
    };
    insta::assert_snapshot!(init("full", "universe.yaml"), @r#"
    exit 1
    error: <project>/full is not empty (it holds "notes.txt"): a repository needs a folder of its own
    now: nothing has changed
    "#);
    insta::assert_snapshot!(init("full/notes.txt", "universe.yaml"), @r#"
    exit 1
    error: <project>/full/notes.txt is not a folder
    now: nothing has changed
    "#);
    insta::assert_snapshot!(init("repo", "nowhere.yaml"), @r#"
    exit 1
    error: cannot use the universe file nowhere.yaml
      because: No such file or directory (os error 2)
    now: nothing has changed
    "#);
    project.write("bad.yaml", "version: 1\nname: u\nelements:\n  Item: {key: string}\n");
    insta::assert_snapshot!(init("repo", "bad.yaml"), @r#"
    exit 1
    error: cannot use the universe file bad.yaml
      because: not a universe file: invalid dimension element name "Item": it must start with a lower-case letter (a-z) at line 4, column 3
    now: nothing has changed
    "#);
    project.write(
        "bad.yaml",
        "version: 1\nname: u\nelements:\n  item: {key: string, requires: [day]}\n",
    );
    insta::assert_snapshot!(init("repo", "bad.yaml"), @r#"
    exit 1
    error: cannot use the universe file bad.yaml
      because: element `item` names `day`, which is not a dimension of this universe
    now: nothing has changed
    "#);
    assert!(!project.repo().exists());
    run_in(&project, &["init", "repo", "--universe", "universe.yaml"]).expect(0);
    insta::assert_snapshot!(init("repo", "universe.yaml"), @r#"
    exit 1
    error: <project>/repo is a Pantler repository already
    now: nothing has changed
    "#);
    assert_eq!(project.read("full/notes.txt"), "mine");
}

#[test]
fn transactions_that_are_not_there_or_closed() {
    let project = toy_that_ran();
    insta::assert_snapshot!(refused(&project, &["transaction", "commit", "nothing"]), @r#"
    exit 1
    error: no transaction is called nothing
    now: nothing has changed
    next: pantler transaction list --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["transaction", "show", "nothing"]), @r#"
    exit 1
    error: no open transaction is called nothing
    now: nothing has changed
    next: pantler transaction list --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["workspace", "run", "nothing"]), @r#"
    exit 1
    error: no open workspace is called nothing
    now: nothing has changed
    next: pantler workspace list --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["workspace", "revert", "nothing"]), @r#"
    exit 1
    error: no transaction is called nothing
    now: nothing has changed
    next: pantler transaction list --repo <project>/repo
    "#);
    // The ingest was committed; again is fine, otherwise is not.
    let before = project.picture();
    let again = project.pantler(&["transaction", "commit", "toy/raw/ingest"]).expect(0);
    assert_eq!(again.text(), "transaction toy/raw/ingest was committed before; nothing to do\n");
    before.assert_same(&project.picture(), "after closing twice");
    insta::assert_snapshot!(refused(&project, &["transaction", "revert", "toy/raw/ingest"]), @r#"
    exit 1
    error: transaction toy/raw/ingest was committed already
    now: nothing has changed
    next: pantler transaction show toy/raw/ingest --repo <project>/repo
    "#);
    insta::assert_snapshot!(refused(&project, &["workspace", "run", "toy/raw/ingest"]), @r#"
    exit 1
    error: no open workspace is called toy/raw/ingest
    now: nothing has changed
    next: pantler workspace list --repo <project>/repo
    "#);
}

#[test]
fn commits_of_what_is_not_done() {
    let project = toy(&["a", "b"]);
    killed_at(&project, "datastore.rename:1", &[]);
    insta::assert_snapshot!(refused(&project, &["workspace", "commit", "toy/raw/ingest"]), @r#"
    exit 1
    error: transaction toy/raw/ingest is of kind ingest, not a workspace
    now: nothing has changed
    next: pantler transaction show toy/raw/ingest --repo <project>/repo
    "#);
    insta::assert_snapshot!(said(&project, &project.pantler(&["transaction", "commit", "toy/raw/ingest"])), @r#"
    exit 4
    error: transaction toy/raw/ingest stays open: it could not be committed
      because: 2 artifacts are missing or damaged: number item=a, number item=b
    now: transaction toy/raw/ingest is open
    next: the command that opened it, which stores what is missing
      or: pantler transaction revert toy/raw/ingest --repo <project>/repo
      or: pantler transaction abandon toy/raw/ingest --repo <project>/repo
    "#);
    project.pantler(&["transaction", "revert", "toy/raw/ingest"]).expect(0);

    killed_at(&project, "exec.spawn:1", &["-j1"]);
    let name = open_names(&project, "workspace").remove(0);
    insta::assert_snapshot!(said(&project, &project.pantler(&["workspace", "commit", &name])), @r#"
    exit 3
    error: transaction toy/<time> stays open: it could not be committed
      because: 0 of 3 quanta succeeded, 0 failed and 3 did not run
    now: transaction toy/<time> is open
    next: pantler workspace run toy/<time> --repo <project>/repo
      or: pantler workspace commit toy/<time> --partial --repo <project>/repo
      or: pantler workspace revert toy/<time> --repo <project>/repo
      or: pantler workspace abandon toy/<time> --repo <project>/repo
    "#);
}

#[test]
fn arguments_that_cannot_be() {
    let project = toy_that_ran();
    let pipeline = project.path().join("pipeline.yaml");
    let path = project.path();
    insta::assert_snapshot!(said(&project, &program().run(&["run", pipeline.as_str()])), @r#"
    exit 2
    error: the pipeline <project>/pipeline.yaml needs to know its inputs (-i) and the RUN that it makes (-o)
    next: pantler run <project>/pipeline.yaml -i COLLECTION -o RUN
    "#);
    insta::assert_snapshot!(
        said(&project, &program().run(&["run", path.as_str(), "-i", "toy/raw", "-o", "x"])), @r#"
    exit 2
    error: <project> is a project, and says itself what its inputs and outputs are: -i, -o and --chain go with a pipeline file
    "#);
    insta::assert_snapshot!(said(&project, &program().run(&["run", pipeline.as_str(), "-o", "x"])), @r#"
    exit 2
    error: a pipeline needs both -i COLLECTION and -o RUN
    "#);
    let usage = |args: &[&str]| Program::run(&program(), args).expect(2).stderr;
    for args in [
        &["no-such-verb"][..],
        &["get"],
        &["query", "datasets", "--find-first"],
        &["run", "x", "-j0"],
    ] {
        let stderr = usage(args);
        assert!(stderr.contains("--help"), "{stderr}");
    }
}
