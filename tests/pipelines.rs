//! Pipelines of several files, and what a command line or a project says on top of them.

use std::os::unix::process::ExitStatusExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    core::TaskLabel,
    graph::{Choices, Pipeline, PipelineText},
};
use pantler_testkit::{Project, Ran};

use crate::{
    source_root,
    toy::{open_names, tidy, toy},
};

/// Beside its script: multiplies a number.
const BASE: &str = "\
version: 1
parameters: {factor: 2}
config: {unit: C}
tasks:
  scale:
    dimensions: [item]
    inputs: {number: number}
    outputs: {scaled: {type: scaled, storage_class: Text}}
    config: {factor: \"{parameters.factor}\", label: \"times {parameters.factor}\"}
    command: [sh, \"{pipeline_dir}/scale.sh\", \"{inputs.number}\", \"{outputs.scaled}\", \"{config.factor}\", \"{config.label} {config.unit}\"]
  extra: {dimensions: [item], inputs: {number: number}, command: [\"false\"]}
";

const SCALE: &str = "\
test ! -e \"$(dirname \"$0\")/fails\" || exit 1
awk -v factor=\"$3\" -v label=\"$4\" '{ print $1 * factor, label }' \"$1\" > \"$2\"
";

/// Imports the scaling and adds up.
const ROOT: &str = "\
version: 1
imports:
  - {location: lib/base.yaml, exclude: [extra]}
tasks:
  total:
    dimensions: []
    inputs: {scaled: {type: scaled, multiple: true}}
    outputs: {total: {type: total, storage_class: Text}}
    config: {factor: \"{parameters.factor}\"}
    command: [sh, \"{pipeline_dir}/total.sh\", \"{outputs.total}\", \"{inputs.scaled}\"]
subsets:
  items: {subset: [scale], description: what is done for each item}
contracts:
  - contract: scale.factor == total.factor and scale.factor > 0
    message: both tasks use one factor
";

/// Two items, 1 and 2; ingested and run, so that there is a repository.
fn project() -> Project {
    let project = toy(&["a", "b"]);
    project.write("lib/base.yaml", BASE);
    project.write("lib/scale.sh", SCALE);
    project.write("pipeline.yaml", ROOT);
    project
}

/// The same after a first run.
fn project_that_ran() -> Project {
    let project = project();
    project.run(&[]).expect(0);
    project
}

/// Runs a pipeline of the project on its files.
fn run(project: &Project, pipeline: &str, output: &str, more: &[&str]) -> Ran {
    let pipeline = project.path().join(pipeline);
    let args = [&["run", pipeline.as_str(), "-i", "toy/raw", "-o", output], more].concat();
    project.pantler(&args)
}

fn get(project: &Project, dataset_type: &str, values: &[&str], collection: &str) -> String {
    let args = [&["get", dataset_type], values, &["--collections", collection]].concat();
    project.pantler(&args).expect(0).text().trim_end().to_owned()
}

/// What a refused command says; it must change nothing.
#[track_caller]
fn refused(project: &Project, ran: impl FnOnce() -> Ran) -> String {
    let before = project.picture();
    let ran = ran();
    before.assert_same(&project.picture(), "after what was refused");
    format!("exit {}\n{}", ran.code().unwrap(), tidy(project, &ran.stderr))
}

/// The root of an open workspace.
fn root_of(project: &Project, name: &str) -> Utf8PathBuf {
    let rows = project.pantler(&["workspace", "status", name, "--json"]).expect(0).json();
    rows["root"].as_str().unwrap().into()
}

fn create(project: &Project, name: &str, more: &[&str]) -> Ran {
    let pipeline = project.path().join("pipeline.yaml");
    let args = ["workspace", "create", name, "--pipeline", pipeline.as_str(), "-i", "toy/raw"];
    project.pantler(&[&args, more].concat())
}

#[test]
fn the_documented_pipeline_is_read() {
    let docs = std::fs::read_to_string(source_root().join("docs/pipelines.md")).unwrap();
    let (_, text) = docs.split_once("```yaml\n").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let read = |file: &Utf8Path| {
        let labels: &[&str] = match file.as_str() {
            "docs/lib/base.yaml" => &["first"],
            "docs/../other.yaml" => &["fit", "draw", "not_taken"],
            other => panic!("{other} is not imported"),
        };
        let tasks: Vec<_> =
            labels.iter().map(|l| format!("  {l}: {{dimensions: [], task: t}}\n")).collect();
        let mut text = format!("version: 1\ntasks:\n{}", tasks.concat());
        if labels.contains(&"draw") {
            text.push_str("subsets: {plots: [draw]}\n");
        }
        Ok(PipelineText { identity: file.to_owned(), text })
    };
    let root = PipelineText { identity: "docs/pipeline.yaml".into(), text: text.to_owned() };
    let file = Utf8Path::new("docs/pipeline.yaml");
    let pipeline = Pipeline::from_files(file, &root, &Choices::default(), &read).unwrap();
    let labels: Vec<&str> = pipeline.tasks().keys().map(TaskLabel::as_str).collect();
    assert_eq!(labels, ["draw", "first", "fit", "smooth", "year"]);
    let config = pipeline.config_of(&pipeline.tasks()["smooth"]);
    assert_eq!(config["label"].to_string(), "5 hours, in C");
}

#[test]
fn a_pipeline_of_two_files_runs_with_its_parameters() {
    let project = project_that_ran();
    assert_eq!(get(&project, "total", &[], "toy"), "6");
    assert_eq!(get(&project, "scaled", &["item=b"], "toy"), "4 times 2 C");
    // `extra` was left out and would have failed.
    let tasks = project.contents("toy");
    assert!(!tasks.iter().any(|dataset| dataset.contains("extra")), "{tasks:?}");

    run(&project, "pipeline.yaml", "five", &["--parameter", "factor=5"]).expect(0);
    assert_eq!(get(&project, "total", &[], "five"), "15");
    assert_eq!(get(&project, "scaled", &["item=b"], "five"), "10 times 5 C");
}

#[test]
fn values_come_from_files_and_then_from_the_command_line() {
    let project = project_that_ran();
    project.write("fine.yaml", "label: fine\nunit: F\n");
    let file = format!("scale:{}", project.path().join("fine.yaml"));
    run(&project, "pipeline.yaml", "fine", &["--set", "scale:unit=K", "--set-file", &file])
        .expect(0);
    assert_eq!(get(&project, "scaled", &["item=a"], "fine"), "2 fine K");
}

#[test]
fn tasks_are_selected_one_after_the_other() {
    let project = project_that_ran();
    run(&project, "pipeline.yaml#items", "first", &[]).expect(0);
    assert!(project.contents("first").iter().all(|dataset| !dataset.contains("total")));
    // What the one has made is an input of the other.
    let pipeline = project.path().join("pipeline.yaml#total");
    project.pantler(&["run", pipeline.as_str(), "-i", "first", "-o", "second"]).expect(0);
    assert_eq!(get(&project, "total", &[], "second"), "6");
    run(&project, "pipeline.yaml#scale..", "both", &[]).expect(0);
    assert_eq!(get(&project, "total", &[], "both"), "6");
}

#[test]
fn a_project_says_the_same_in_its_file() {
    let project = project();
    let text = project.read("project.yaml");
    project.write("fine.yaml", "label: fine\n");
    project.write(
        "project.yaml",
        text.replace("pipeline.yaml\n", "pipeline.yaml#items\n")
            + "parameters: {factor: 3}\nset_files: {scale: [fine.yaml]}\nset: {scale: {unit: no}}\n",
    );
    project.run(&[]).expect(0);
    assert_eq!(get(&project, "scaled", &["item=b"], "toy"), "6 fine no");
    assert!(project.contents("toy").iter().all(|dataset| !dataset.contains("total")));
    // A command line goes over it.
    project.run(&["--set", "scale:unit=K", "--parameter", "factor=4"]).expect(0);
    assert_eq!(get(&project, "scaled", &["item=b"], "toy"), "8 fine K");
    project.write("project.yaml", text + "set: {scale: {units: K}}\nparameters: {factor: two}\n");
    insta::assert_snapshot!(refused(&project, || project.run(&[])), @r#"
    exit 1
    error: <project>/project.yaml: parameters.factor: expected a number, as in the pipeline, found a text
    <project>/project.yaml: set.scale.units: task `scale` has no configuration value `units`; it has factor, label, unit
    now: nothing has changed
    "#);
}

#[test]
fn a_workspace_keeps_the_pipeline_that_it_was_created_with() {
    let project = project_that_ran();
    create(&project, "kept", &["--parameter", "factor=7"]).expect(0);
    let file = root_of(&project, "kept").join("pipeline.json");
    let kept: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(kept["version"], 1);
    assert_eq!(kept["source"], ROOT);
    assert_eq!(kept["pipeline"]["tasks"]["scale"]["config"]["factor"], 7);
    // What the user's files say later makes no difference, also if it is nothing.
    project.write("pipeline.yaml", "version: 1\ntasks: [\n");
    std::fs::remove_file(project.path().join("lib/base.yaml")).unwrap();
    for verb in ["build", "run", "commit"] {
        project.pantler(&["workspace", verb, "kept"]).expect(0);
    }
    assert_eq!(get(&project, "total", &[], "kept"), "21");
}

#[test]
fn a_creation_that_was_killed_still_has_its_pipeline() {
    for step in ["open.row.committed:1", "open.workspace.written:1", "workspace.pipeline.write:1"] {
        let project = project_that_ran();
        let pipeline = project.path().join("pipeline.yaml");
        let mut command = project.program().command(&[
            "workspace",
            "create",
            "kept",
            "--pipeline",
            pipeline.as_str(),
            "-i",
            "toy/raw",
            "--set",
            "scale:label=kept",
            "--repo",
            project.repo().as_str(),
        ]);
        command.env("PANTLER_CRASH", step);
        let ran = Ran::of(command);
        assert_eq!(ran.status.signal(), Some(9), "{step}: {}", ran.stderr);
        project.check();
        project.write("pipeline.yaml", "version: 1\ntasks: {}\n");
        for verb in ["build", "run", "commit"] {
            project.pantler(&["workspace", verb, "kept"]).expect(0);
        }
        assert_eq!(get(&project, "scaled", &["item=a"], "kept"), "2 kept C", "{step}");
    }
}

#[test]
fn a_run_goes_on_with_the_same_values() {
    let project = project_that_ran();
    project.write("lib/fails", "");
    let more = ["--set", "scale:label=a b", "--parameter", "factor=3"];
    let failed = run(&project, "pipeline.yaml#items", "again", &more).expect(3);
    let next = "#items' -i toy/raw -o again --parameter factor=3 --set 'scale:label=a b'";
    assert!(failed.text().contains(next) || failed.stderr.contains(next), "{failed:?}");
    std::fs::remove_file(project.path().join("lib/fails")).unwrap();
    // Without them it is other work.
    insta::assert_snapshot!(
        refused(&project, || run(&project, "pipeline.yaml#items", "again", &[])), @r#"
    exit 4
    error: workspace again of this project is open, with another pipeline
    now: workspace again is open
    next: pantler workspace run again --repo <project>/repo
      or: pantler workspace commit again --repo <project>/repo
      or: pantler workspace revert again --repo <project>/repo
      or: the same command with --new, which starts beside it
    "#);
    run(&project, "pipeline.yaml#items", "again", &more).expect(0);
    assert_eq!(get(&project, "scaled", &["item=b"], "again"), "6 a b C");
}

#[test]
fn a_kept_pipeline_that_cannot_be_used() {
    let project = project_that_ran();
    create(&project, "kept", &["--set", "scale:label=kept"]).expect(0);
    let file = root_of(&project, "kept").join("pipeline.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let build_with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let said = refused(&project, || project.pantler(&["workspace", "build", "kept"]));
        let id = file.parent().unwrap().file_name().unwrap();
        said.replace(id, "<opening>")
    };
    insta::assert_snapshot!(build_with(&text.replace("\"version\": 1,\n  \"source\"", "\"version\": 9,\n  \"source\"")), @r#"
    exit 1
    error: <project>/repo/workspaces/kept/<opening>/pipeline.json has format version 9, this program knows 1: use a newer pantler
    now: nothing has changed
    "#);
    insta::assert_snapshot!(build_with(&text[..100]), @r#"
    exit 1
    error: <project>/repo/workspaces/kept/<opening>/pipeline.json is damaged: EOF while parsing a string at line 3 column 82; remove it, and the next build writes it again from the database
    now: nothing has changed
    "#);
    insta::assert_snapshot!(build_with(&text.replace("\"kept\"", "\"other\"")), @r#"
    exit 1
    error: <project>/repo/workspaces/kept/<opening>/pipeline.json is damaged: it is not the pipeline that the workspace was created with; remove it, and the next build writes it again from the database
    now: nothing has changed
    "#);
    // As the message says.
    std::fs::remove_file(&file).unwrap();
    project.pantler(&["workspace", "build", "kept"]).expect(0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    project.pantler(&["workspace", "revert", "kept"]).expect(0);
    assert_eq!(open_names(&project, "workspace"), [""; 0]);
}

#[test]
fn what_is_said_and_cannot_be() {
    let project = project_that_ran();
    let said = |pipeline: &str, more: &[&str]| {
        refused(&project, || run(&project, pipeline, "other", more))
    };
    let nothing = format!("scale:{}", project.path().join("nothing.yaml"));
    insta::assert_snapshot!(said("pipeline.yaml#item,total,", &[]), @r#"
    exit 1
    error: <project>/pipeline.yaml: #item: there is no task or subset `item`; there is scale, total, items
    <project>/pipeline.yaml: #: there is no task or subset ``; there is scale, total, items
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said("pipeline.yaml#total..items", &[]), @r#"
    exit 1
    error: <project>/pipeline.yaml: #total..items: no task is in this range: the end needs nothing of what the start makes
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said("pipeline.yaml", &["--parameter", "faktor=2"]), @r#"
    exit 1
    error: --parameter faktor=2: there is no parameter `faktor`; there is factor
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said("pipeline.yaml", &["--parameter", "factor=two"]), @r#"
    exit 1
    error: --parameter factor=two: expected a number, as in the pipeline, found "two"
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said("pipeline.yaml", &["--parameter", "factor"]), @r#"
    exit 2
    error: invalid value 'factor' for '--parameter <NAME=VALUE>': expected NAME=VALUE, such as window=5

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(said("pipeline.yaml", &["--set", "scales:label=x", "--set", "scale:labl=x"]), @r#"
    exit 1
    error: --set scale:labl=x: task `scale` has no configuration value `labl`; it has factor, label, unit
    --set scales:label=x: there is no task `scales`; there is scale, total
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said("pipeline.yaml#total", &["--set", "scale:label=x"]), @r#"
    exit 1
    error: --set scale:label=x: task `scale` is not selected; select it too, or leave this out
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said("pipeline.yaml", &["--set", "label=x"]), @r#"
    exit 2
    error: invalid value 'label=x' for '--set <TASK:KEY=VALUE>': expected TASK:KEY=VALUE, such as daily:decimals=2

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(said("pipeline.yaml", &["--set-file", &nothing]), @r#"
    exit 1
    error: --set-file scale:<project>/nothing.yaml: cannot read <project>/nothing.yaml: No such file or directory (os error 2)
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said("pipeline.yaml", &["--set", "total:factor=3"]), @r#"
    exit 1
    error: <project>/pipeline.yaml:14: contracts[0].contract: both tasks use one factor: the contract `scale.factor == total.factor and scale.factor > 0` does not hold: scale.factor is 2, total.factor is 3
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said("pipeline.yaml#total", &["--dry-run"]), @r#"
    exit 1
    error: the pipeline has no quanta for these inputs; total: 1 quantum pruned: no dataset of type `scaled` for input `scaled`
    now: nothing has changed
    "#);
    insta::assert_snapshot!(
        refused(&project, || create(&project, "other", &["--set", "total:factor=3"])), @r#"
    exit 1
    error: <project>/pipeline.yaml:14: contracts[0].contract: both tasks use one factor: the contract `scale.factor == total.factor and scale.factor > 0` does not hold: scale.factor is 2, total.factor is 3
    now: nothing has changed
    "#);
}

#[test]
fn what_is_not_selected_and_was_never_made() {
    let project = toy(&["a"]);
    project.run(&[]).expect(0);
    project.write("lib/base.yaml", BASE);
    project.write("pipeline.yaml", ROOT);
    insta::assert_snapshot!(
        refused(&project, || run(&project, "pipeline.yaml#total", "other", &[])), @r#"
    exit 1
    error: <project>/pipeline.yaml:7: tasks.total.inputs.scaled: `scaled` is made by task `scale`, which was not selected, and no such dataset type is registered; select it too, or run it first
    now: nothing has changed
    "#);
}

#[test]
fn files_that_cannot_be() {
    let project = project_that_ran();
    let said = |file: &str, text: &str| {
        let before = project.read(file);
        project.write(file, text);
        let said = refused(&project, || run(&project, "pipeline.yaml", "other", &[]));
        project.write(file, before);
        said
    };
    let root = |from: &str, to: &str| said("pipeline.yaml", &ROOT.replace(from, to));
    insta::assert_snapshot!(root("lib/base.yaml", "lib/bas.yaml"), @r#"
    exit 1
    error: <project>/pipeline.yaml:3: imports[0].location: cannot read <project>/lib/bas.yaml: No such file or directory (os error 2)
    now: nothing has changed
    "#);
    insta::assert_snapshot!(root("lib/base.yaml", "lib"), @r#"
    exit 1
    error: <project>/pipeline.yaml:3: imports[0].location: cannot read <project>/lib: it is not a plain file
    now: nothing has changed
    "#);
    insta::assert_snapshot!(root("exclude: [extra]", "exclude: [extr], only: [scale]"), @r#"
    exit 1
    error: <project>/pipeline.yaml:3: imports[0].only: there is no such field; expected one of location, include, exclude
    now: nothing has changed
    "#);
    insta::assert_snapshot!(root("exclude: [extra]", "exclude: [extr]"), @r#"
    exit 1
    error: <project>/pipeline.yaml:3: imports[0].exclude[0]: there is no task or subset `extr`; there is extra, scale
    now: nothing has changed
    "#);
    insta::assert_snapshot!(root("subset: [scale]", "subset: [scales]"), @r#"
    exit 1
    error: <project>/pipeline.yaml:12: subsets.items: there is no task `scales`; there is scale, total
    now: nothing has changed
    "#);
    insta::assert_snapshot!(root("imports:", "parameters: {more: 1}\nimports:"), @r#"
    exit 1
    error: <project>/pipeline.yaml:2: parameters.more: no configuration value uses this parameter (as `{parameters.more}`); remove it, or use it
    now: nothing has changed
    "#);
    insta::assert_snapshot!(root("{parameters.factor}", "{parameters.faktor}"), @r#"
    exit 1
    error: <project>/pipeline.yaml:9: tasks.total.config.factor: there is no parameter `faktor`; there is factor
    now: nothing has changed
    "#);
    insta::assert_snapshot!(root("total.factor and", "total.factor & "), @r#"
    exit 1
    error: <project>/pipeline.yaml:14: contracts[0].contract: `&` is not understood
        scale.factor == total.factor &  scale.factor > 0
                                     ^
    now: nothing has changed
    "#);
    insta::assert_snapshot!(root("scale.factor >", "scale.label >"), @r#"
    exit 1
    error: <project>/pipeline.yaml:14: contracts[0].contract: a text cannot be compared with an integer
        scale.factor == total.factor and scale.label > 0
                                                     ^
    now: nothing has changed
    "#);
    insta::assert_snapshot!(root("total.factor and", "sum.factor and"), @r#"
    exit 1
    error: <project>/pipeline.yaml:14: contracts[0].contract: there is no task `sum`; there is scale, total
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said("lib/base.yaml", &BASE.replace("version: 1", "version: 1\nimports: [../pipeline.yaml]")), @r#"
    exit 1
    error: <project>/lib/base.yaml:2: imports[0]: cycle of imports: <project>/pipeline.yaml imports <project>/lib/base.yaml imports <project>/pipeline.yaml; remove one of them
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said("lib/base.yaml", &BASE.replace("{outputs.scaled}", "{output.scaled}")), @r#"
    exit 1
    error: <project>/lib/base.yaml:10: tasks.scale.command[3]: unknown placeholder `{output.scaled}`; there are {inputs.NAME}, {outputs.NAME}, {data_id.DIMENSION}, {config.KEY}, {pipeline_dir} and {pantler} (`{{` for a brace)
    now: nothing has changed
    "#);
    insta::assert_snapshot!(said("lib/base.yaml", &BASE.replace("number: number}\n    outputs", "number: numbers}\n    outputs")), @r#"
    exit 1
    error: <project>/lib/base.yaml:7: tasks.scale.inputs.number: no task makes `numbers` and no such dataset type is registered; ingest it first, or correct the name
    now: nothing has changed
    "#);
    project.write("lib/other.yaml", BASE);
    insta::assert_snapshot!(
        root("imports:\n", "imports:\n  - {location: lib/other.yaml, include: [scale]}\n"), @r#"
    exit 1
    error: <project>/pipeline.yaml:4: imports[1].location: task `scale` comes from <project>/lib/other.yaml and from <project>/lib/base.yaml, and they differ; exclude it from one of the imports, or give it here
    now: nothing has changed
    "#);
}

/// `copy` fails for `b`; `note` counts what it is given beside its output.
const CHOOSY: &str = "\
version: 1
tasks:
  copy:
    dimensions: [item]
    inputs: {number: number}
    outputs: {copy: {type: copy, storage_class: Text}}
    command: [sh, -c, 'test \"$3\" != b && cp \"$1\" \"$2\"', copy, \"{inputs.number}\", \"{outputs.copy}\", \"{data_id.item}\"]
  note:
    dimensions: [item]
    inputs:
      number: number
      extra: {type: extra, optional: true}
      copy: {type: copy, optional: true}
    outputs: {note: {type: note, storage_class: Text}}
    env: {EXTRA: \"{inputs.extra}\"}
    command: [sh, -c, 'out=$1; shift; echo \"$# [${{EXTRA:+extra}}]\" > \"$out\"', note, \"{outputs.note}\", \"{inputs.extra}\", \"{inputs.copy}\"]
  pair:
    dimensions: []
    inputs: {copies: {type: copy, multiple: true, minimum: 2}}
    outputs: {pair: {type: pair, storage_class: Text}}
    command: [touch, \"{outputs.pair}\"]
  crowd:
    dimensions: []
    inputs: {copies: {type: copy, multiple: true, minimum: 3}}
    command: [\"false\"]
";

#[test]
fn optional_inputs_may_be_missing_and_minimums_may_not() {
    let project = toy(&["a", "b"]);
    project.write("more/a.txt", "more\n");
    let spec = "ingest:\n  - {dataset_type: extra, dimensions: [item], storage_class: Text, files: \"more/{item}.txt\"}\n";
    project.write("project.yaml", project.read("project.yaml").replace("ingest:\n", spec));
    project.write("pipeline.yaml", CHOOSY);
    let plan = project.run(&["--dry-run"]).expect(0).text();
    let pruned = "left out: crowd: 1 quantum pruned: fewer than 3 datasets of type `copy` for input `copies`";
    assert!(plan.contains(pruned), "{plan}");

    // What a failed quantum was to make is waited for, until that is accepted.
    project.run(&[]).expect(3);
    let name = open_names(&project, "workspace").remove(0);
    let states = |project: &Project| {
        let args = ["workspace", "status", &name, "--json"];
        let status = project.pantler(&args).expect(0).json();
        let tasks = status["tasks"].as_array().unwrap().iter();
        tasks
            .map(|task| {
                ["task", "succeeded", "failed", "blocked"]
                    .map(|key| task[key].to_string())
                    .join(" ")
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(&project),
        ["\"copy\" 1 1 0", "\"crowd\" 0 0 0", "\"note\" 1 0 1", "\"pair\" 0 0 1"]
    );
    project.pantler(&["workspace", "accept", &name, "--failed"]).expect(0);
    let ran = project.pantler(&["workspace", "run", &name]).expect(3);
    assert_eq!(
        states(&project),
        ["\"copy\" 2 0 0", "\"crowd\" 0 0 0", "\"note\" 2 0 0", "\"pair\" 0 1 0"]
    );
    let said = ran.text() + &ran.stderr;
    assert!(said.contains("the input `copies` is not there"), "{said}");
    project.pantler(&["workspace", "commit", &name, "--partial"]).expect(0);
    assert_eq!(get(&project, "note", &["item=a"], "toy"), "2 [extra]");
    assert_eq!(get(&project, "note", &["item=b"], "toy"), "0 []");
}
