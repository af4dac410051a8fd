//! What workspaces refuse, and what they say then.

use pantler_testkit::{Project, Ran};

use crate::{
    toy::{COPY, PIPELINE, PROJECT, killed_verb, open_names, toy_with},
    zombies::{go_on, paused},
};

const SHARDED: &str = "\
version: 1
tasks:
  copy:
    dimensions: [item]
    inputs: {number: {type: number}}
    outputs: {copy: {type: copy, storage_class: Text}}
    command: [sh, \"{pipeline_dir}/copy.sh\", \"{pipeline_dir}\", \"{inputs.number}\", \"{outputs.copy}\", \"{data_id.item}\"]
";

/// A repository with numbers in the RUN `raw`, and nothing open.
fn ingested(pipeline: &str) -> Project {
    let project = toy_with(&["a", "b"], COPY);
    project.write("pipeline.yaml", pipeline);
    project.write("project.yaml", PROJECT);
    let (universe, repo) = (project.path().join("universe.yaml"), project.repo());
    project.program().run(&["init", repo.as_str(), "--universe", universe.as_str()]).expect(0);
    let pattern = format!("{}/data/{{item}}.txt", project.path());
    let ingest =
        ["ingest", "--type", "number", "--run", "raw", "--register", "--dimensions", "item"];
    project.pantler(&[&ingest[..], &["--storage-class", "Text", &pattern]].concat()).expect(0);
    project
}

fn create(project: &Project, name: &str, args: &[&str]) -> Ran {
    let pipeline = project.path().join("pipeline.yaml");
    let create = ["workspace", "create", name, "--pipeline", pipeline.as_str(), "-i", "raw"];
    project.pantler(&[&create, args].concat())
}

fn verb(project: &Project, verb: &str, name: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, name], args].concat())
}

/// A workspace in which everything has run.
fn complete(pipeline: &str, args: &[&str]) -> Project {
    let project = ingested(pipeline);
    create(&project, "w", args).expect(0);
    verb(&project, "build", "w", &[]).expect(0);
    verb(&project, "run", "w", &[]).expect(0);
    project
}

/// The artifact of a copy.
fn artifact(project: &Project) -> camino::Utf8PathBuf {
    let files = project.picture().files;
    let copy = files.keys().find(|file| file.contains("/copy/")).unwrap();
    project.repo().join(copy)
}

#[test]
fn a_chain_that_the_commit_could_not_make_is_refused() {
    let project = ingested(PIPELINE);
    let refused = create(&project, "w", &["--chain", "w"]).expect(1);
    assert!(refused.stderr.contains("it would be the RUN itself"), "{}", refused.stderr);
    let ledger = ["workspace", "create", "w", "--ledger", "--chain", "w"];
    project.pantler(&ledger).expect(1);
    let outside = project.path().join("outside");
    create(&project, "w", &["--chain", "w", "--external", outside.as_str()]).expect(1);
    assert!(open_names(&project, "workspace").is_empty());
    create(&project, "w", &["--chain", "all"]).expect(0);
    let refused = create(&project, "all", &[]).expect(1);
    assert!(
        refused.stderr.contains("all is the chain that the open workspace w makes"),
        "{}",
        refused.stderr
    );
    verb(&project, "revert", "w", &[]).expect(0);
    create(&project, "all", &[]).expect(0);
    verb(&project, "revert", "all", &[]).expect(0);
}

#[test]
fn a_pipeline_of_a_sharded_workspace_is_replaced_by_one_that_can_be_sharded() {
    let project = complete(SHARDED, &["--shard-by", "item", "--dev"]);
    let path = project.path().join("pipeline.yaml");
    let replace = ["--pipeline", path.as_str()];
    project.write("pipeline.yaml", PIPELINE);
    let refused = verb(&project, "pipeline", "w", &replace).expect(1);
    assert!(refused.stderr.contains("task `total` has the dimensions"), "{}", refused.stderr);
    // Parts of the graph get the numbers of those that are dropped.
    project.write("pipeline.yaml", SHARDED.replace("[sh,", "[sh, -u,"));
    verb(&project, "pipeline", "w", &replace).expect(0);
    for shard in ["item=b", "item=a"] {
        verb(&project, "build", "w", &["--shard", shard]).expect(0);
        verb(&project, "run", "w", &["--shard", shard]).expect(0);
    }
    project.write("pipeline.yaml", SHARDED);
    verb(&project, "pipeline", "w", &replace).expect(0);
    for shard in ["item=a", "item=b"] {
        verb(&project, "build", "w", &["--shard", shard]).expect(0);
        verb(&project, "run", "w", &["--shard", shard]).expect(0);
    }
    verb(&project, "commit", "w", &["--shard", "item=a"]).expect(0);
    project.write("pipeline.yaml", SHARDED.replace("[sh,", "[sh, -e,"));
    let refused = verb(&project, "pipeline", "w", &replace).expect(1);
    assert!(refused.stderr.contains("shard item=a of workspace w is frozen"), "{}", refused.stderr);
    verb(&project, "commit", "w", &[]).expect(0);
}

#[test]
fn what_changed_after_its_quantum_with_the_same_size_is_found_by_a_full_look() {
    for (pipeline, shards, commit) in [
        (PIPELINE, &[][..], &["--verify", "full"][..]),
        (SHARDED, &["--shard-by", "item"][..], &["--verify", "full", "--shard", "item=a"][..]),
    ] {
        let project = complete(pipeline, shards);
        let path = artifact(&project);
        let content = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, content.replace('1', "7")).unwrap();
        let refused = verb(&project, "commit", "w", commit).expect(4);
        assert!(refused.stderr.contains("1 artifact is changed since"), "{}", refused.stderr);
        assert!(refused.stderr.contains("/copy/item=a"), "{}", refused.stderr);
        std::fs::write(&path, content).unwrap();
        verb(&project, "commit", "w", commit).expect(0);
        if !shards.is_empty() {
            verb(&project, "commit", "w", &["--verify", "full"]).expect(0);
        }
    }
}

#[test]
fn a_closing_that_has_begun_is_said_with_the_ways_on() {
    let project = complete(PIPELINE, &[]);
    killed_verb(&project, "close.storage.done:1", &["workspace", "commit", "w"]);
    let status = verb(&project, "status", "w", &[]).expect(0).text();
    assert!(status.contains("a closing of it has begun"), "{status}");
    assert!(status.contains("workspace reopen w"), "{status}");
    assert_eq!(verb(&project, "status", "w", &["--json"]).expect(0).json()["closing"], true);
    verb(&project, "reopen", "w", &[]).expect(0);
    let status = verb(&project, "status", "w", &[]).expect(0).text();
    assert!(!status.contains("closing"), "{status}");
    verb(&project, "commit", "w", &[]).expect(0);
}

#[test]
fn a_damaged_journal_leaves_the_ways_that_need_none() {
    let project = complete(PIPELINE, &[]);
    let root = verb(&project, "status", "w", &["--json"]).expect(0).json()["root"].to_string();
    let segment = format!("{}/journal/1.jsonl", root.replace('"', ""));
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replacen("\"finish\"", "\"finisH\"", 1)).unwrap();
    let refused = verb(&project, "commit", "w", &[]).expect(4);
    assert!(refused.stderr.contains("workspace revert w"), "{}", refused.stderr);
    assert!(refused.stderr.contains("1.jsonl"), "{}", refused.stderr);
    verb(&project, "revert", "w", &[]).expect(0);
}

#[test]
fn an_expression_is_shown_once_with_the_place() {
    let project = ingested(PIPELINE);
    create(&project, "w", &[]).expect(0);
    let refused = verb(&project, "build", "w", &["--where", "item ="]).expect(2);
    assert_eq!(refused.stderr.matches('^').count(), 1, "{}", refused.stderr);
    let taken = verb(&project, "run", "w", &["--take-over", "7"]);
    assert_ne!(taken.code(), Some(0));
    verb(&project, "build", "w", &[]).expect(0);
    let refused = verb(&project, "run", "w", &["--take-over", "7"]).expect(1);
    assert!(refused.stderr.contains("nobody has run anything in it"), "{}", refused.stderr);
    verb(&project, "revert", "w", &[]).expect(0);
}

#[test]
fn a_shard_that_is_not_finished_is_gone_on_with_as_a_shard() {
    let project = ingested(SHARDED);
    create(&project, "w", &["--shard-by", "item"]).expect(0);
    verb(&project, "build", "w", &[]).expect(0);
    let refused = verb(&project, "commit", "w", &["--shard", "item=a"]).expect(3);
    assert!(refused.stderr.contains("workspace run w --shard item=a"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("revert"), "{}", refused.stderr);
    verb(&project, "revert", "w", &[]).expect(0);
}

#[test]
fn a_run_cannot_be_its_own_chain() {
    let project = ingested(PIPELINE);
    let pipeline = project.path().join("pipeline.yaml");
    let run = ["run", pipeline.as_str(), "-i", "raw", "-o", "w", "--chain"];
    let refused = project.pantler(&[&run[..], &["w"]].concat()).expect(1);
    assert!(refused.stderr.contains("it would be the RUN itself"), "{}", refused.stderr);
    project.pantler(&[&run[..], &["all"]].concat()).expect(0);
}

/// Commands that have read the graph before another process replaces the pipeline.
#[test]
fn a_graph_that_was_dropped_is_not_run_or_built_on() {
    let project = ingested(SHARDED);
    create(&project, "w", &["--dev"]).expect(0);
    verb(&project, "build", "w", &["--where", "item = 'a'"]).expect(0);
    let path = project.path().join("pipeline.yaml");
    let replace = ["--pipeline", path.as_str()];
    let builder = paused(&project, &["workspace", "build", "w"], "workspace.build.begin:1");
    let runner = paused(&project, &["workspace", "run", "w"], "workspace.run.begin:1");
    project.write("pipeline.yaml", SHARDED.replace("[sh,", "[sh, -e,"));
    verb(&project, "pipeline", "w", &replace).expect(0);
    go_on(builder).expect(0);
    let refused = go_on(runner).expect(1);
    assert!(refused.stderr.contains("was replaced while this began"), "{}", refused.stderr);
    let status = verb(&project, "status", "w", &["--json"]).expect(0).json();
    assert_eq!(status["tasks"][0]["built"], 2, "{status}");
    verb(&project, "run", "w", &[]).expect(0);
    verb(&project, "commit", "w", &[]).expect(0);
}

#[test]
fn a_part_of_the_graph_that_is_lost_is_missed() {
    let project = ingested(PIPELINE);
    create(&project, "w", &[]).expect(0);
    for args in [
        &["--task", "copy", "--where", "item = 'a'"][..],
        &["--task", "copy"],
        &["--task", "total"],
    ] {
        verb(&project, "build", "w", args).expect(0);
    }
    verb(&project, "run", "w", &[]).expect(0);
    let root = verb(&project, "status", "w", &["--json"]).expect(0).json()["root"].to_string();
    let part = camino::Utf8PathBuf::from(root.replace('"', "")).join("graph-2.qg");
    let content = std::fs::read(&part).unwrap();
    std::fs::remove_file(&part).unwrap();
    let says = "graph-2.qg is not there, but graph-3.qg is";
    for (command, code) in [("status", 1), ("run", 1), ("build", 1), ("commit", 4)] {
        let refused = verb(&project, command, "w", &[]).expect(code);
        assert!(refused.stderr.contains(says), "{command}: {}", refused.stderr);
    }
    let other = project.duplicate();
    verb(&other, "revert", "w", &[]).expect(0);
    std::fs::write(&part, content).unwrap();
    // Of the last one only the journal tells.
    let last = part.with_file_name("graph-3.qg");
    let content = std::fs::read(&last).unwrap();
    std::fs::remove_file(&last).unwrap();
    for args in [&[][..], &["--partial"]] {
        let refused = verb(&project, "commit", "w", args).expect(4);
        assert!(refused.stderr.contains("of which the journal tells"), "{}", refused.stderr);
    }
    let export = project.path().join("export");
    let refused = verb(&project, "export", "w", &["--to", export.as_str()]);
    assert!(refused.stderr.contains("of which the journal tells"), "{}", refused.stderr);
    std::fs::write(&last, content).unwrap();
    verb(&project, "commit", "w", &[]).expect(0);
}
