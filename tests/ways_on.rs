//! What workspaces say comes next: the command that is named goes on, and does not lead back.

use std::collections::BTreeMap;

use pantler_testkit::{Project, Ran};
use serde_json::json;

use crate::toy::toy_with;

/// Fails for an item while there is a file `broken.<item>`.
const COPY: &str = "test ! -e \"$1/broken.$4\" || exit 3\ncat \"$2\" > \"$3\"\n";

const PIPELINE: &str = "\
version: 1
tasks:
  copy:
    dimensions: [item]
    inputs: {number: {type: number}}
    outputs: {copy: {type: copy, storage_class: Text}}
    command: [sh, \"{pipeline_dir}/copy.sh\", \"{pipeline_dir}\", \"{inputs.number}\", \"{outputs.copy}\", \"{data_id.item}\"]
  again:
    dimensions: [item]
    inputs: {copy: {type: copy}}
    outputs: {again: {type: again, storage_class: Text}}
    command: [cp, \"{inputs.copy}\", \"{outputs.again}\"]
";

/// Both have init steps, and the second reads what the first makes.
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

/// A repository with numbers in the RUN `raw`.
fn ingested(pipeline: &str, items: &[&str]) -> Project {
    let project = toy_with(items, COPY);
    project.write("pipeline.yaml", pipeline);
    let (universe, repo) = (project.path().join("universe.yaml"), project.repo());
    project.program().run(&["init", repo.as_str(), "--universe", universe.as_str()]).expect(0);
    ingest(&project);
    project
}

fn ingest(project: &Project) {
    let pattern = format!("{}/data/{{item}}.txt", project.path());
    let ingest =
        ["ingest", "--type", "number", "--run", "raw", "--register", "--dimensions", "item"];
    project.pantler(&[&ingest[..], &["--storage-class", "Text", &pattern]].concat()).expect(0);
}

/// With a workspace of shards that is built.
fn sharded(pipeline: &str, items: &[&str]) -> Project {
    let project = ingested(pipeline, items);
    create(&project, &["--shard-by", "item"]).expect(0);
    verb(&project, "build", &[]).expect(0);
    project
}

fn create(project: &Project, args: &[&str]) -> Ran {
    let pipeline = project.path().join("pipeline.yaml");
    let create = ["workspace", "create", "w", "--pipeline", pipeline.as_str(), "-i", "raw"];
    project.pantler(&[&create, args].concat())
}

fn verb(project: &Project, verb: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, "w"], args].concat())
}

/// The commands that are named as next, without the repository.
fn next(project: &Project, said: &str) -> Vec<String> {
    let repo = format!(" --repo {}", project.repo());
    let way = |line: &str| {
        let way = line.strip_prefix("next: ").or_else(|| line.strip_prefix("  or: "))?;
        Some(way.replace(&repo, ""))
    };
    said.lines().filter_map(way).collect()
}

#[test]
fn a_run_after_shards_were_committed_leads_to_the_commit() {
    let project = sharded(PIPELINE, &["a", "b"]);
    let ran = verb(&project, "run", &["--shard", "item=a"]).expect(0).text();
    assert_eq!(
        next(&project, &ran),
        ["pantler workspace commit w --shard item=a", "pantler workspace run w (runs the rest)"]
    );
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    for _ in 0..2 {
        let ran = verb(&project, "run", &[]).expect(0).text();
        assert!(ran.contains("2 quanta more, of frozen shards"), "{ran}");
        assert_eq!(next(&project, &ran), ["pantler workspace commit w"], "{ran}");
    }
    verb(&project, "commit", &[]).expect(0);
}

#[test]
fn what_failed_in_a_committed_shard_does_not_keep_the_rest_from_its_commit() {
    let project = sharded(PIPELINE, &["a", "b"]);
    project.write("broken.a", "");
    verb(&project, "run", &["--shard", "item=a"]).expect(3);
    verb(&project, "commit", &["--shard", "item=a", "--partial"]).expect(0);
    let status = verb(&project, "status", &[]).expect(0).text();
    assert_eq!(next(&project, &status), ["pantler workspace run w"], "{status}");
    let ran = verb(&project, "run", &[]).expect(0).text();
    assert_eq!(next(&project, &ran), ["pantler workspace commit w"], "{ran}");
    let status = verb(&project, "status", &[]).expect(0).text();
    assert_eq!(next(&project, &status), ["pantler workspace commit w"], "{status}");
    verb(&project, "commit", &[]).expect(0);
}

#[test]
fn quanta_that_wait_for_an_init_step_that_was_reset_lead_to_the_activation() {
    let project = sharded(INITS, &["a", "b"]);
    verb(&project, "run", &["--shard", "item=a"]).expect(0);
    verb(&project, "reset", &["--task", "again_init"]).expect(0);
    for args in [["--shard", "item=a"], ["--task", "again"], ["--expr", "again"]] {
        let ran = verb(&project, "run", &args).expect(3).text();
        assert!(ran.contains("task again is not active: its init step has"), "{ran}");
        assert_eq!(next(&project, &ran), ["pantler workspace activate w"], "{ran}");
    }
    let refused = verb(&project, "commit", &["--shard", "item=a"]).expect(1);
    assert_eq!(next(&project, &refused.stderr), ["pantler workspace activate w"]);
    verb(&project, "activate", &[]).expect(0);
    verb(&project, "run", &["--shard", "item=a"]).expect(0);
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    verb(&project, "abandon", &[]).expect(0);
}

#[test]
fn after_a_shard_was_committed_no_revert_is_offered() {
    let project = sharded(PIPELINE, &["a", "b"]);
    project.write("broken.b", "");
    verb(&project, "run", &[]).expect(3);
    let refused = verb(&project, "commit", &[]).expect(3);
    assert!(refused.stderr.contains("workspace revert w"), "nothing is committed yet");
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    for noun in ["workspace", "transaction"] {
        let refused = project.pantler(&[noun, "commit", "w"]).expect(3);
        assert_eq!(
            next(&project, &refused.stderr),
            [
                "pantler workspace run w",
                "pantler workspace accept w --failed",
                "pantler workspace reset w --failed",
                "pantler workspace commit w --partial",
                "pantler workspace abandon w"
            ]
        );
    }
    // Each of them is possible.
    for way in ["run", "accept --failed", "reset --failed", "commit --partial", "abandon"] {
        let copy = project.duplicate();
        std::fs::remove_file(copy.path().join("broken.b")).unwrap();
        let (one, flags) = way.split_once(' ').unwrap_or((way, ""));
        let flags: Vec<&str> = flags.split_whitespace().collect();
        verb(&copy, one, &flags).expect(0);
    }
    verb(&project, "commit", &["--partial"]).expect(0);
}

#[test]
fn what_came_for_a_committed_shard_does_not_keep_the_others_from_being_built() {
    let project = ingested(PIPELINE, &["a", "b", "c"]);
    create(&project, &["--shard-by", "item"]).expect(0);
    verb(&project, "build", &["--shard", "item=a", "--task", "copy"]).expect(0);
    verb(&project, "run", &[]).expect(0);
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    let before = project.picture();
    let refused = verb(&project, "build", &[]).expect(1);
    let after = project.picture();
    assert_eq!(after.rows, before.rows);
    // Locks say who had them last.
    let names = |files: &BTreeMap<String, _>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&after.files), names(&before.files));
    let says = "shard item=a of workspace w is frozen, since committed or about to be, and there are new quanta of it";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    let left = "shards item=b, item=c can be built, each by a command of its own";
    assert!(refused.stderr.contains(left), "{}", refused.stderr);
    assert_eq!(next(&project, &refused.stderr), ["pantler workspace build w --shard item=b"]);
    for shard in ["item=b", "item=c"] {
        verb(&project, "build", &["--shard", shard]).expect(0);
        verb(&project, "run", &["--shard", shard]).expect(0);
    }
    // Of the committed shard itself nothing more can be made here.
    let refused = verb(&project, "build", &["--shard", "item=a"]).expect(1);
    assert!(!refused.stderr.contains("workspace commit"), "{}", refused.stderr);
    assert!(refused.stderr.contains("next: a workspace of another name"), "{}", refused.stderr);
    verb(&project, "commit", &[]).expect(0);
}

#[test]
fn a_build_beside_a_cut_off_commit_of_a_shard_leads_to_that_commit() {
    let project = ingested(PIPELINE, &["a", "b"]);
    create(&project, &["--shard-by", "item"]).expect(0);
    verb(&project, "build", &["--shard", "item=a", "--task", "copy"]).expect(0);
    verb(&project, "run", &[]).expect(0);
    let commit = ["workspace", "commit", "w", "--shard", "item=a"];
    crate::toy::killed_verb(&project, "part.storage.done:1", &commit);
    let refused = verb(&project, "build", &[]).expect(1);
    assert_eq!(
        next(&project, &refused.stderr),
        ["pantler workspace build w --shard item=b", "pantler workspace commit w --shard item=a"]
    );
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    verb(&project, "commit", &[]).expect(0);
}

#[test]
fn the_task_that_must_be_activated_before_is_named_with_its_workspace() {
    let project = ingested(INITS, &["a"]);
    create(&project, &[]).expect(0);
    let refused = verb(&project, "activate", &["again"]).expect(1);
    assert_eq!(
        next(&project, &refused.stderr),
        ["pantler workspace activate w copy", "pantler workspace activate w"]
    );
    verb(&project, "activate", &["copy"]).expect(0);
    verb(&project, "activate", &["again"]).expect(0);
    let outside = project.path().join("outside");
    create(&project, &["--external", outside.as_str()]).expect(1);
    verb(&project, "revert", &[]).expect(0);
    create(&project, &["--external", outside.as_str()]).expect(0);
    let activate = ["workspace", "activate", outside.as_str()];
    let refused = project.program().run(&[&activate[..], &["again"]].concat()).expect(1);
    let ways = next(&project, &refused.stderr);
    assert_eq!(ways[0], format!("pantler workspace activate {outside} copy"), "{ways:?}");
    project.program().run(&[&activate[..], &["copy"]].concat()).expect(0);
    project.program().run(&[&activate[..], &["again"]].concat()).expect(0);
}

#[test]
fn a_damaged_journal_is_said_with_the_workspace_that_can_be_reverted() {
    let project = sharded(PIPELINE, &["a"]);
    project.write("broken.a", "");
    verb(&project, "run", &[]).expect(3);
    let root = verb(&project, "status", &["--json"]).expect(0).json();
    let segment = format!("{}/journal/1.jsonl", root["root"].as_str().unwrap());
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replacen("\"finish\"", "\"finisH\"", 1)).unwrap();
    let refused = verb(&project, "run", &[]);
    assert_ne!(refused.code(), Some(0));
    assert!(refused.stderr.contains("workspace revert w"), "{}", refused.stderr);
    verb(&project, "revert", &[]).expect(0);
}

#[test]
fn a_commit_says_how_many_datasets_it_has_entered() {
    let project = sharded(PIPELINE, &["a", "b", "c"]);
    verb(&project, "run", &[]).expect(0);
    let shard = ["--shard", "item=a", "--json"];
    let a = json!({"item": "a"});
    assert_eq!(
        verb(&project, "commit", &shard).expect(0).json(),
        json!({"name": "w", "shards": [{"shard": a, "before": false, "skipped": false, "datasets": 3}]})
    );
    assert_eq!(
        verb(&project, "commit", &shard).expect(0).json(),
        json!({"name": "w", "shards": [{"shard": a, "before": true, "skipped": false, "datasets": null}]})
    );
    let copy = project.duplicate();
    let said = verb(&project, "commit", &[]).expect(0).text();
    // Two of each shard that was left, and the provenance of all.
    assert_eq!(said, "workspace w committed: 5 datasets\n");
    assert_eq!(
        verb(&copy, "commit", &["--json"]).expect(0).json(),
        json!({"name": "w", "before": false, "datasets": 5})
    );
    assert_eq!(
        verb(&copy, "commit", &["--json"]).expect(0).json(),
        json!({"name": "w", "before": true, "datasets": null})
    );
    let held = project.pantler(&["query", "datasets", "--collections", "w", "--json"]).expect(0);
    assert_eq!(held.json().as_array().unwrap().len(), 3 + 5);
}

#[test]
fn a_commit_of_an_external_workspace_says_it_too() {
    let project = ingested(PIPELINE, &["a", "b"]);
    let outside = project.path().join("outside");
    create(&project, &["--external", outside.as_str()]).expect(0);
    let run = |verb: &str, args: &[&str]| {
        project.program().run(&[&["workspace", verb, outside.as_str()], args].concat())
    };
    run("build", &[]).expect(0);
    run("run", &[]).expect(0);
    let done = run("commit", &["--json"]).expect(0).json();
    assert_eq!((&done["name"], &done["datasets"]), (&json!("w"), &json!(5)), "{done}");
    assert_eq!((&done["before"], &done["resumed"]), (&json!(false), &json!(false)), "{done}");
    assert_eq!(done["parent"], project.repo().as_str());
    let name = done["transaction"].as_str().unwrap();
    project.pantler(&["transaction", "show", name]).expect(0);
}

#[test]
fn a_build_that_fails_after_it_noted_what_it_searched_says_so() {
    let project = ingested(PIPELINE, &["a", "b"]);
    let pipeline = project.path().join("pipeline.yaml");
    let old = ["workspace", "create", "old", "--pipeline", pipeline.as_str(), "-i", "raw"];
    project.pantler(&old).expect(0);
    project.pantler(&["workspace", "build", "old", "--where", "item = 'a'"]).expect(0);
    project.pantler(&["workspace", "run", "old"]).expect(0);
    project.pantler(&["workspace", "commit", "old"]).expect(0);
    create(&project, &[]).expect(0);
    let repo = project.repo();
    let build = ["workspace", "build", "w", "--skip-existing-in", "old", "--repo", repo.as_str()];
    let full = || {
        let mut command = project.program().command(&build);
        command.env("PANTLER_FAULT", "fs.write.half:1:full");
        Ran::of(command).expect(1).stderr
    };
    let said = full();
    let now =
        "now: the RUNs that were searched are inputs of the workspace; nothing else has changed";
    assert!(said.contains(now), "{said}");
    // So it is.
    let refused = project.pantler(&["remove-run", "old"]).expect(1);
    assert!(refused.stderr.contains("workspace commit w"), "{}", refused.stderr);
    assert!(full().contains("now: nothing has changed"), "they were before");
    project.program().run(&build).expect(0);
    verb(&project, "run", &[]).expect(0);
    verb(&project, "commit", &[]).expect(0);
    project.pantler(&["remove-run", "old"]).expect(0);
}
