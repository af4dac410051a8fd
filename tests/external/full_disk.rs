//! The disk is full at any step.

use super::*;

/// Runs `args` with the disk full from the n-th step on, for every n, each time on a new
/// copy of what `stage` makes; hands the copy and the failure to `settle`. Returns how often
/// it failed.
pub(crate) fn with_a_full_disk<S>(
    stage: impl Fn(&str) -> S,
    args: impl Fn(&S) -> Vec<String>,
    settle: impl Fn(S, &Ran, usize),
) -> usize {
    for n in 1.. {
        let staged = stage(&format!("full-{n}"));
        let args = args(&staged);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = program().command(&args);
        command.env("PANTLER_FAULT", format!("*:{n}+:full"));
        let ran = Ran::of(command);
        if ran.code() == Some(0) {
            return n - 1;
        }
        assert!([Some(1), Some(4), Some(5)].contains(&ran.code()), "{n}: {:?}", ran.stderr);
        settle(staged, &ran, n);
    }
    unreachable!("there are not that many steps")
}

#[test]
fn a_full_disk_leaves_no_half_made_workspace() {
    let scene = Scene::in_memory();
    let pipeline = scene.parent.path().join("pipeline.yaml");
    let repo = scene.parent.repo();
    let create = |root: &Utf8PathBuf| {
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
    let failures = with_a_full_disk(
        |name| scene.at(name),
        create,
        |root, ran, n| {
            assert!(
                ran.stderr.contains("full") || ran.stderr.contains("no room"),
                "{n}: {}",
                ran.stderr
            );
            if !root.join("external.json").exists() {
                // It may not even have been possible to take away what was made.
                assert_eq!(verb("status", &root, &[]).code(), Some(1), "{n}");
                scene.create(&root, &[]).expect(0);
            }
            verb("build", &root, &[]).expect(0);
        },
    );
    assert!(failures > 5, "{failures}");
}

#[test]
fn a_full_disk_stops_a_conversion_that_can_be_done_again() {
    let scene = Scene::in_memory();
    let complete = scene.complete("complete");
    let stage = |name: &str| scene.copied(&complete, name);
    let args = |root: &Utf8PathBuf| owned(&["workspace", "convert", root.as_str()]);
    let failures = with_a_full_disk(stage, args, |root, ran, n| {
        if root.join("pantler.yaml").exists() {
            assert!(ran.stderr.contains("it is a repository"), "{n}: {}", ran.stderr);
            check(&root);
        } else {
            let status = verb("status", &root, &["--json"]).expect(0).json();
            assert_eq!(status["complete"], true, "{n}");
            verb("run", &root, &[]).expect(0);
        }
        verb("convert", &root, &[]).expect(0);
        assert_eq!(contents(&root, "toy").len(), OUTPUTS + 3, "{n}");
        check(&root);
    });
    assert!(failures > 10, "{failures}");
}

#[test]
fn a_full_disk_stops_a_commit_that_can_be_done_again() {
    let scene = Scene::in_memory();
    let complete = scene.complete("complete");
    let parent = scene.parent.repo();
    let stage = |name: &str| {
        (scene.copied(&complete, name), scene.copied(&parent, &format!("{name}-parent")))
    };
    let args = |(root, repo): &(Utf8PathBuf, Utf8PathBuf)| {
        owned(&["workspace", "commit", root.as_str(), "--parent", repo.as_str()])
    };
    let failures = with_a_full_disk(stage, args, |(root, repo), ran, n| {
        check(&repo);
        let closed = root.join("external.done.json").exists();
        let says = ran.stderr.contains("what it made is where it was to go");
        assert_eq!(closed, says, "{n}: {}", ran.stderr);
        let again = verb("commit", &root, &["--parent", repo.as_str()]);
        assert!(again.code() == Some(0), "{n}: {}\nthen: {}", ran.stderr, again.stderr);
        assert_eq!(contents(&repo, "toy").len(), OUTPUTS + 3, "{n}");
        check(&repo);
    });
    assert!(failures > 10, "{failures}");
}

#[test]
fn a_full_disk_stops_copies_that_can_be_done_again() {
    let scene = Scene::in_memory();
    let built = scene.built("built");
    let stage = |name: &str| scene.copied(&built, name);
    let args = |root: &Utf8PathBuf| owned(&["workspace", "transfer-inputs", root.as_str()]);
    let said = std::cell::Cell::new(0);
    let failures = with_a_full_disk(stage, args, |root, ran, n| {
        if ran.stderr.contains("of 3 inputs are in") {
            said.set(said.get() + 1);
            assert!(ran.stderr.contains("what was copied is kept"), "{n}: {}", ran.stderr);
            assert!(ran.stderr.contains("make room, and the same command again"), "{n}");
        }
        assert!(!root.join("inputs.json").exists() || n > 10, "{n}");
        verb("transfer-inputs", &root, &[]).expect(0);
        verb("run", &root, &[]).expect(0);
        verb("convert", &root, &[]).expect(0);
        check(&root);
    });
    assert!(failures > 5 && said.get() > 3, "{failures} {said:?}");

    let pipeline = scene.parent.path().join("pipeline.yaml");
    let create = ["workspace", "create", RUN, "--pipeline", pipeline.as_str(), "-i", "toy/raw"];
    scene.parent.pantler(&create).expect(0);
    scene.parent.pantler(&["workspace", "build", RUN]).expect(0);
    scene.parent.pantler(&["workspace", "run", RUN]).expect(0);
    let repo = scene.parent.repo();
    let args = |to: &Utf8PathBuf| {
        owned(&[
            "workspace",
            "export",
            RUN,
            "--to",
            to.as_str(),
            "--with-inputs",
            "--repo",
            repo.as_str(),
        ])
    };
    let stage = |name: &str| scene.at(&format!("export-{name}"));
    let failures = with_a_full_disk(stage, args, |to, _, n| {
        if !to.join("pantler.yaml").exists() {
            let args = args(&to);
            program().run(&args.iter().map(String::as_str).collect::<Vec<_>>()).expect(0);
        }
        assert_eq!(contents(&to, RUN).len(), OUTPUTS, "{n}");
        check(&to);
    });
    assert!(failures > 10, "{failures}");
}
