//! Every verb of an external workspace, killed at every step.

use super::*;

#[test]
fn a_creation_killed_anywhere_begins_again() {
    let scene = Scene::in_memory();
    let pipeline = scene.parent.path().join("pipeline.yaml");
    let repo = scene.parent.repo();
    let args = |root: &Utf8PathBuf| {
        owned(&[
            "workspace",
            "create",
            RUN,
            "--pipeline",
            pipeline.as_str(),
            "-i",
            "toy/raw",
            "--external",
            root.as_str(),
            "--repo",
            repo.as_str(),
        ])
    };
    let reached = at_every_step(
        &scene,
        |name| scene.at(name),
        args,
        |root, step| {
            if root.join("external.json").exists() {
                let again = scene.create(&root, &[]);
                assert!(
                    again.stderr.contains("is an external workspace already"),
                    "{step}: {}",
                    again.stderr
                );
            } else {
                let none = verb("status", &root, &[]);
                assert_eq!(none.code(), Some(1), "{step}: it does not pass for a workspace");
                scene.create(&root, &[]).expect(0);
            }
            verb("build", &root, &[]).expect(0);
            verb("run", &root, &["-j1"]).expect(0);
            verb("revert", &root, &[]).expect(0);
            assert!(!root.exists(), "{step}: nothing is left");
        },
    );
    assert!(reached.iter().any(|step| step == "external.create.done:1"), "{reached:?}");
}

#[test]
fn a_build_killed_anywhere_is_built_again() {
    let scene = Scene::in_memory();
    let stage = |name: &str| {
        let root = scene.at(name);
        scene.create(&root, &[]).expect(0);
        root
    };
    let args = |root: &Utf8PathBuf| owned(&["workspace", "build", root.as_str()]);
    at_every_step(&scene, stage, args, |root, step| {
        verb("build", &root, &[]).expect(0);
        verb("run", &root, &["-j1"]).expect(0);
        verb("convert", &root, &[]).expect(0);
        assert_eq!(total(&root), "6\n", "{step}");
        check(&root);
    });
}

#[test]
fn a_transfer_of_inputs_killed_anywhere_goes_on() {
    let scene = Scene::in_memory();
    let built = scene.built("built");
    let stage = |name: &str| scene.copied(&built, name);
    let args = |root: &Utf8PathBuf| owned(&["workspace", "transfer-inputs", root.as_str()]);
    let reached = at_every_step(&scene, stage, args, |root, step| {
        let said = verb("transfer-inputs", &root, &[]).expect(0).text();
        assert!(said.contains("3 inputs"), "{step}: {said}");
        let again = verb("transfer-inputs", &root, &[]).expect(0).text();
        assert!(again.contains("all 3 inputs were there already"), "{step}: {again}");
        verb("run", &root, &["-j1"]).expect(0);
        verb("convert", &root, &[]).expect(0);
        check(&root);
    });
    assert!(reached.iter().any(|step| step.starts_with("external.inputs.flushed")), "{reached:?}");
}

#[test]
fn a_conversion_killed_anywhere_is_a_workspace_or_a_repository() {
    let scene = Scene::in_memory();
    let complete = scene.complete("complete");
    let calm = scene.copied(&complete, "expected");
    verb("convert", &calm, &[]).expect(0);
    let expected = contents(&calm, "toy");
    let stage = |name: &str| scene.copied(&complete, name);
    let args = |root: &Utf8PathBuf| owned(&["workspace", "convert", root.as_str()]);
    let both = std::cell::Cell::new((0, 0));
    let reached = at_every_step(&scene, stage, args, |root, step| {
        let (workspaces, repositories) = both.get();
        if root.join("pantler.yaml").exists() {
            both.set((workspaces, repositories + 1));
            assert_eq!(contents(&root, "toy"), expected, "{step}");
            check(&root);
        } else {
            both.set((workspaces + 1, repositories));
            let status = verb("status", &root, &["--json"]).expect(0).json();
            assert_eq!(status["complete"], true, "{step}");
            let query = program().run(&["query", "datasets", "--repo", root.as_str()]);
            assert_eq!(query.code(), Some(1), "{step}: it does not pass for a repository");
        }
        verb("convert", &root, &[]).expect(0);
        assert_eq!(contents(&root, "toy"), expected, "{step}");
        check(&root);
        let mut left: Vec<_> =
            root.read_dir_utf8().unwrap().map(|e| e.unwrap().file_name().to_owned()).collect();
        left.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
        left.sort();
        let whole = ["artifacts", "pantler.yaml", "pipeline", "registry.sqlite3", "workspaces"];
        assert_eq!(left, whole, "{step}");
    });
    let (workspaces, repositories) = both.get();
    assert!(workspaces > 20 && repositories > 3, "{workspaces} {repositories} {reached:?}");
}

#[test]
fn a_commit_killed_anywhere_is_finished_by_the_same_call() {
    let scene = Scene::in_memory();
    let complete = scene.complete("complete");
    let parent = scene.parent.repo();
    for mode in ["copy", "hardlink", "move"] {
        let expected = {
            let (root, repo) =
                (scene.copied(&complete, "calm"), scene.copied(&parent, "calm-parent"));
            verb("commit", &root, &["--parent", repo.as_str()]).expect(0);
            contents(&repo, "toy")
        };
        std::fs::remove_dir_all(scene.at("calm-parent")).unwrap();
        let stage = |name: &str| {
            let root = scene.copied(&complete, &format!("{mode}-{name}"));
            (root, scene.copied(&parent, &format!("{mode}-{name}-parent")))
        };
        let args = |(root, repo): &(Utf8PathBuf, Utf8PathBuf)| {
            owned(&[
                "workspace",
                "commit",
                root.as_str(),
                "--transfer",
                mode,
                "--parent",
                repo.as_str(),
            ])
        };
        let reached = at_every_step(&scene, stage, args, |(root, repo), step| {
            check(&repo);
            let query = program().run(&[
                "query",
                "datasets",
                "--collections",
                RUN,
                "--repo",
                repo.as_str(),
            ]);
            let whole = query.code() == Some(0) && query.text().contains("total");
            // Killed before the last thing that goes, an empty folder is left.
            let is_empty = |root: &Utf8Path| {
                root.read_dir_utf8().is_ok_and(|mut entries| entries.next().is_none())
            };
            if !root.exists() || is_empty(&root) {
                assert!(whole, "{step}: what is gone is in the parent");
                return;
            }
            let args = ["--transfer", mode, "--parent", repo.as_str()];
            verb("commit", &root, &args).expect(0);
            assert!(!root.exists(), "{step}: what was made here is gone");
            assert_eq!(contents(&repo, "toy"), expected, "{step}");
            check(&repo);
        });
        assert!(reached.iter().any(|step| step == "external.committed:1"), "{reached:?}");
    }
}

#[test]
fn a_revert_or_abandon_killed_anywhere_is_finished_by_the_same_call() {
    let scene = Scene::in_memory();
    let complete = scene.complete("complete");
    let before = scene.parent.picture();
    for (closing, outcome) in [("revert", "reverted"), ("abandon", "abandoned")] {
        let whole = scene.copied(&complete, closing);
        let said = verb(closing, &whole, &[]).expect(0).text();
        assert!(said.contains(outcome), "{said}");
        assert!(!whole.exists(), "{closing}");
        let stage = |name: &str| scene.copied(&complete, &format!("{closing}-{name}"));
        let args = |root: &Utf8PathBuf| owned(&["workspace", closing, root.as_str()]);
        let reached = at_every_step(&scene, stage, args, |root, step| {
            if root.exists() && root.read_dir_utf8().unwrap().next().is_some() {
                verb(closing, &root, &[]).expect(0);
                assert!(!root.exists(), "{closing} {step}");
            }
        });
        assert!(reached.iter().any(|step| step == "external.discard.begin:1"), "{reached:?}");
    }
    scene.parent.picture().assert_same(&before, "the parent is as before");
}

/// Every step of these verbs is one at which a test above kills them.
#[test]
fn every_step_is_reached() {
    let scene = Scene::new();
    let log = scene.at("steps.log");
    let root = scene.at("ext");
    let pipeline = scene.parent.path().join("pipeline.yaml");
    let repo = scene.parent.repo();
    let text = |path: &Utf8Path| path.to_owned().into_string();
    let (root_text, repo_text) = (text(&root), text(&repo));
    let mut reached = std::collections::BTreeSet::new();
    let mut run = |args: &[&str]| reached.extend(steps(&log, args));
    run(&[
        "workspace",
        "create",
        RUN,
        "--pipeline",
        pipeline.as_str(),
        "-i",
        "toy/raw",
        "--external",
        &root_text,
        "--repo",
        &repo_text,
    ]);
    run(&["workspace", "build", &root_text]);
    run(&["workspace", "transfer-inputs", &root_text]);
    verb("run", &root, &[]).expect(0);
    let (convert, revert) = (scene.copied(&root, "convert"), scene.copied(&root, "revert"));
    killed("external.inputs.taken:1", &["workspace", "convert", convert.as_str()]);
    run(&["workspace", "reopen", convert.as_str()]);
    run(&["workspace", "convert", convert.as_str()]);
    run(&["workspace", "revert", revert.as_str()]);
    run(&["workspace", "commit", &root_text]);
    let args = ["workspace", "create", "x", "--pipeline", pipeline.as_str(), "-i", "toy/raw"];
    scene.parent.pantler(&args).expect(0);
    scene.parent.pantler(&["workspace", "build", "x"]).expect(0);
    scene.parent.pantler(&["workspace", "run", "x"]).expect(0);
    let export = scene.at("export");
    run(&["workspace", "export", "x", "--to", export.as_str(), "--repo", &repo_text]);
    for (step, test) in crate::crash::ELSEWHERE {
        if test.ends_with(": external") {
            assert!(reached.contains(&format!("{step}:1")), "{step} is not reached");
        }
    }
}
