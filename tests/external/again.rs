//! External workspaces that are built in parts, closings of them that are undone, and what is
//! said about folders and parents that are not what was expected.

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::Ran;

use super::{
    OUTPUTS, RUN, Scene, at_every_step, check, contents, expect_provenance, killed, owned, query,
    total, verb,
};
use crate::{program, toy::names};

#[track_caller]
fn says(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code(), Some(code), "{}{}", ran.text(), ran.stderr);
    for part in parts {
        assert!(ran.stderr.contains(part), "{part:?} is not in: {}", ran.stderr);
    }
}

fn verb_in(folder: &Utf8Path, args: &[&str]) -> Ran {
    let mut command = program().command(&[&["workspace"], args].concat());
    command.current_dir(folder).env_remove("PANTLER_REPO");
    Ran::of(command)
}

/// How many inputs of the repository are stored in it.
fn stored(repo: &Utf8Path) -> usize {
    query(repo, &["--collections", "toy/raw"]).iter().filter(|row| row["stored"] == true).count()
}

/// A workspace whose inputs are those of a TAGGED collection, built for one of them, which has
/// been transferred and run.
fn begun(scene: &Scene, name: &str) -> Utf8PathBuf {
    if names_of_collections(scene).iter().all(|name| name != "some") {
        scene.parent.pantler(&["collection", "create", "some", "--type", "tagged"]).expect(0);
        let tag = ["collection", "tag", "some", "--type", "number", "--collections", "toy/raw"];
        scene.parent.pantler(&tag).expect(0);
    }
    let root = scene.at(name);
    let pipeline = scene.parent.path().join("pipeline.yaml");
    let args = ["workspace", "create", RUN, "--pipeline", pipeline.as_str(), "-i", "some"];
    scene.parent.pantler(&[&args[..], &["--external", root.as_str()]].concat()).expect(0);
    verb("build", &root, &["--task", "copy", "--where", "item = 'a'"]).expect(0);
    verb("transfer-inputs", &root, &[]).expect(0);
    verb("run", &root, &["-j1"]).expect(0);
    root
}

fn names_of_collections(scene: &Scene) -> Vec<String> {
    names(&scene.parent.pantler(&["query", "collections", "--json"]).expect(0))
}

#[test]
fn what_is_built_after_its_inputs_were_transferred_has_them_transferred_too() {
    let mut scene = Scene::new();
    let root = scene.at("ext");
    scene.create(&root, &["--chain", "toy"]).expect(0);
    verb("build", &root, &["--task", "copy", "--where", "item = 'a'"]).expect(0);
    let first = verb("transfer-inputs", &root, &[]).expect(0).text();
    assert!(first.contains("copied 1 of 1 input"), "{first}");
    let ran = verb("run", &root, &["-j1"]).expect(0).text();
    assert!(ran.contains("the graph of") && ran.contains("was built in part"), "{ran}");
    assert!(ran.contains("workspace build"), "{ran}");
    // The parent is needed to add something, and for nothing else.
    scene.parent.rename("away");
    let covered = verb("build", &root, &["--task", "copy", "--where", "item = 'a'"]).expect(0);
    assert!(covered.text().contains("has a graph already: 1 quantum"), "{covered:?}");
    let more = verb("build", &root, &[]);
    says(&more, 1, &["the parent repository", "what there is to build", "--parent REPO"]);
    assert!(!more.stderr.contains("transfer-inputs"), "{}", more.stderr);
    verb("transfer-inputs", &root, &[]).expect(0);
    scene.parent.rename("project");
    let built = verb("build", &root, &[]).expect(0);
    assert!(built.text().contains("added 3 quanta to the graph"), "{built:?}");
    assert!(built.text().contains("next: pantler workspace transfer-inputs"), "{built:?}");
    assert!(built.stderr.contains("2 inputs of it are not in the folder yet"), "{built:?}");
    assert!(root.join("graph-2.qg").exists());
    scene.parent.rename("away");
    says(&verb("run", &root, &[]), 1, &["2 inputs are read from it", "--parent REPO"]);
    says(&verb("transfer-inputs", &root, &[]), 1, &["2 inputs are read from it"]);
    scene.parent.rename("project");
    let second = verb("transfer-inputs", &root, &[]).expect(0).text();
    assert!(second.contains("copied 2 of 3 inputs"), "{second}");
    let again = verb("transfer-inputs", &root, &[]).expect(0).text();
    assert!(again.contains("all 3 inputs were there already"), "{again}");
    scene.parent.rename("away");
    verb("run", &root, &["-j1"]).expect(0);
    let copy = scene.copied(&root, "copy");
    verb("convert", &copy, &[]).expect(0);
    check(&copy);
    assert_eq!((total(&copy), stored(&copy)), ("6\n".to_owned(), 3));
    assert_eq!(contents(&copy, "toy").len(), OUTPUTS + 3);
    expect_provenance(&copy, 3);
    let repo = scene.parent.repo();
    verb("commit", &root, &["--parent", repo.as_str()]).expect(0);
    assert_eq!(contents(&repo, RUN), contents(&copy, RUN));
    check(&repo);
}

#[test]
fn a_build_of_a_further_part_killed_anywhere_leaves_what_was_built() {
    let scene = Scene::in_memory();
    let begun = begun(&scene, "begun");
    let stage = |name: &str| scene.copied(&begun, name);
    let args = |root: &Utf8PathBuf| owned(&["workspace", "build", root.as_str()]);
    let reached = at_every_step(&scene, stage, args, |root, step| {
        // What is there is enough, with what was noted for a part that is not there.
        let early = root.with_extension("early");
        pantler_testkit::copy_tree(&root, &early, &|_| true);
        verb("convert", &early, &["--partial"]).expect(0);
        check(&early);
        assert_eq!(stored(&early), 1, "{step}");
        verb("build", &root, &[]).expect(0);
        verb("transfer-inputs", &root, &[]).expect(0);
        verb("run", &root, &["-j1"]).expect(0);
        verb("convert", &root, &[]).expect(0);
        assert_eq!((total(&root), stored(&root)), ("6\n".to_owned(), 3), "{step}");
        assert_eq!(contents(&root, "some"), contents(&root, "toy/raw"), "{step}");
        check(&root);
    });
    assert!(reached.iter().any(|step| step == "external.rows.written:1"), "{reached:?}");
    assert!(reached.iter().any(|step| step == "build.graph.write:1"), "{reached:?}");
}

#[test]
fn a_further_transfer_of_inputs_killed_anywhere_goes_on_or_is_forgotten() {
    let scene = Scene::in_memory();
    let built = begun(&scene, "built");
    // It has been converted in part and failed, so its inputs may be where those of a repository are.
    killed("external.inputs.taken:1", &["workspace", "convert", built.as_str()]);
    says(&verb("build", &built, &[]), 4, &["workspace reopen"]);
    verb("reopen", &built, &[]).expect(0);
    verb("build", &built, &[]).expect(0);
    verb("run", &built, &["-j1"]).expect(0);
    let stage = |name: &str| scene.copied(&built, name);
    let args = |root: &Utf8PathBuf| owned(&["workspace", "transfer-inputs", root.as_str()]);
    let both = std::cell::Cell::new((0, 0));
    at_every_step(&scene, stage, args, |root, step| {
        let early = root.with_extension("early");
        pantler_testkit::copy_tree(&root, &early, &|_| true);
        verb("convert", &early, &[]).expect(0);
        check(&early);
        let (old, new) = both.get();
        match stored(&early) {
            1 => both.set((old + 1, new)),
            3 => both.set((old, new + 1)),
            other => panic!("{step}: {other} inputs are stored"),
        }
        let said = verb("transfer-inputs", &root, &[]).expect(0).text();
        assert!(said.contains("3 inputs"), "{step}: {said}");
        verb("convert", &root, &[]).expect(0);
        assert_eq!((total(&root), stored(&root)), ("6\n".to_owned(), 3), "{step}");
        check(&root);
    });
    let (old, new) = both.get();
    assert!(old > 3 && new > 0, "{old} {new}");
}

/// Undoes copies, makes them again and converts.
fn goes_on(root: &Utf8Path, why: &str) {
    verb("reset", root, &["--task", "copy"]).expect(0);
    verb("run", root, &["-j1"]).expect(0);
    verb("convert", root, &[]).expect(0);
    assert_eq!((total(root), stored(root)), ("6\n".to_owned(), 3), "{why}");
    check(root);
}

#[test]
fn a_conversion_killed_anywhere_before_there_is_a_repository_can_be_undone() {
    let scene = Scene::in_memory();
    let complete = scene.complete("complete");
    let stage = |name: &str| scene.copied(&complete, name);
    let args = |root: &Utf8PathBuf| owned(&["workspace", "convert", root.as_str()]);
    let both = std::cell::Cell::new((0, 0));
    let reached = at_every_step(&scene, stage, args, |root, step| {
        let (undone, done) = both.get();
        if root.join("pantler.yaml").exists() {
            both.set((undone, done + 1));
            says(&verb("reopen", &root, &[]), 1, &["is a repository, not a workspace"]);
            verb("convert", &root, &[]).expect(0);
            return check(&root);
        }
        both.set((undone + 1, done));
        if root.join("closing").exists() {
            let ran = verb("run", &root, &[]);
            says(&ran, 4, &["workspace reopen"]);
        }
        verb("reopen", &root, &[]).expect(0);
        let again = verb("reopen", &root, &[]).expect(0).text();
        assert!(again.contains("nothing to do"), "{step}: {again}");
        assert!(!root.join("registry.sqlite3").exists(), "{step}");
        goes_on(&root, step);
    });
    let (undone, done) = both.get();
    assert!(undone > 20 && done > 3, "{undone} {done} {reached:?}");
}

#[test]
fn undoing_a_conversion_killed_anywhere_is_done_again() {
    let scene = Scene::in_memory();
    let complete = scene.complete("complete");
    killed("standalone.renamed:1", &["workspace", "convert", complete.as_str()]);
    let stage = |name: &str| scene.copied(&complete, name);
    let args = |root: &Utf8PathBuf| owned(&["workspace", "reopen", root.as_str()]);
    let reached = at_every_step(&scene, stage, args, |root, step| {
        verb("reopen", &root, &[]).expect(0);
        goes_on(&root, step);
    });
    assert!(reached.iter().any(|step| step == "external.inputs.back:1"), "{reached:?}");
    // Killed between, it can also be finished as it was begun.
    for step in &reached {
        let root = scene.copied(&complete, &format!("{}-converted", step.replace(':', "-")));
        killed(step, &["workspace", "reopen", root.as_str()]);
        verb("convert", &root, &[]).expect(0);
        assert_eq!(stored(&root), 3, "{step}");
        check(&root);
    }
}

#[test]
fn a_commit_killed_anywhere_can_be_undone_until_the_parent_knows_of_it() {
    let scene = Scene::in_memory();
    let complete = scene.complete("complete");
    let parent = scene.parent.repo();
    let stage = |name: &str| {
        (scene.copied(&complete, name), scene.copied(&parent, &format!("{name}-parent")))
    };
    let args = |(root, repo): &(Utf8PathBuf, Utf8PathBuf)| {
        owned(&["workspace", "commit", root.as_str(), "--parent", repo.as_str()])
    };
    let seen = std::cell::Cell::new((0, 0, 0));
    at_every_step(&scene, stage, args, |(root, repo), step| {
        if !root.join("external.json").exists() {
            return;
        }
        let (undone, open, decided) = seen.get();
        let to = ["--parent", repo.as_str()];
        // The marker says where the commit was going.
        let ran = verb("reopen", &root, &[]);
        if ran.code() == Some(0) {
            seen.set((undone + 1, open, decided));
            verb("reset", &root, &["--task", "copy"]).expect(0);
            verb("run", &root, &["-j1"]).expect(0);
        } else if ran.stderr.contains("is open: it transfers") {
            seen.set((undone, open + 1, decided));
            says(&ran, 1, &["workspace commit", "transaction revert"]);
            says(&verb("reset", &root, &["--task", "copy"]), 4, &["reopen"]);
            // A conversion that fails does not make it look as if nothing were open.
            let broken = scene.copied(&root, &format!("{}-broken", step.replace(':', "-")));
            std::fs::write(broken.join("rows.json"), "{").unwrap();
            says(&verb("convert", &broken, &[]), 1, &["rows.json"]);
            assert!(broken.join("closing").exists(), "{step}");
            if open % 4 == 0 {
                let name = std::fs::read_to_string(root.join("transaction.json")).unwrap();
                let open = names(
                    &program()
                        .run(&["transaction", "list", "--json", "--repo", repo.as_str()])
                        .expect(0),
                );
                assert!(open.len() == 1 && name.contains(&open[0]), "{step}: {open:?}");
                let revert = ["transaction", "revert", &open[0], "--repo", repo.as_str()];
                program().run(&revert).expect(0);
                verb("reopen", &root, &[]).expect(0);
                verb("reset", &root, &["--task", "copy"]).expect(0);
                verb("run", &root, &["-j1"]).expect(0);
            }
        } else {
            seen.set((undone, open, decided + 1));
            says(&ran, 1, &["was committed there, and cannot be undone", "workspace commit"]);
        }
        verb("commit", &root, &to).expect(0);
        assert_eq!(contents(&repo, "toy").len(), OUTPUTS + 3, "{step}");
        check(&repo);
    });
    let (undone, open, decided) = seen.get();
    assert!(undone > 5 && open > 5 && decided > 0, "{undone} {open} {decided}");
}

#[test]
fn a_commit_that_was_begun_is_not_undone_without_asking_where_it_went() {
    let mut scene = Scene::new();
    let root = scene.complete("ext");
    killed("external.marker.set:1", &["workspace", "commit", root.as_str()]);
    scene.parent.rename("away");
    says(&verb("reopen", &root, &[]), 1, &["how far a commit to it has come", "--parent REPO"]);
    let stranger = Scene::new();
    let other = stranger.parent.repo();
    let ran = verb("reopen", &root, &["--parent", other.as_str()]);
    says(&ran, 1, &["is not the parent of"]);
    assert!(!ran.stderr.contains("--force-repository"), "{}", ran.stderr);
    let repo = scene.parent.repo();
    verb("reopen", &root, &["--parent", repo.as_str()]).expect(0);
    goes_on(&root, "the parent was named");
}

#[test]
fn a_parent_that_is_gone_or_another_one_is_told_for_what_it_is_needed() {
    let mut scene = Scene::new();
    let root = scene.built("ext");
    let ran = scene.complete("ran");
    scene.parent.rename("away");
    let gone = verb("commit", &ran, &[]);
    says(&gone, 1, &["it is to get what was made", "--parent REPO", "workspace convert"]);
    let gone = verb("transfer-inputs", &root, &[]);
    says(&gone, 1, &["3 inputs are read from it", "--parent REPO"]);
    assert!(!gone.stderr.contains("transfer-inputs"), "{}", gone.stderr);
    // Another repository stands in its place.
    let stranger = Scene::new();
    let place = scene.parent.repo().as_str().replace("/away/", "/project/");
    let place = Utf8PathBuf::from(place);
    pantler_testkit::copy_tree(&stranger.parent.repo(), &place, &|_| true);
    stranger.parent.pantler(&["check"]).expect(0);
    let numbers = place.join("artifacts/toy%2Fraw@1");
    std::fs::remove_dir_all(&numbers).unwrap();
    let other = verb("transfer-inputs", &root, &[]);
    says(&other, 1, &["is not the parent of", "with --parent REPO"]);
    assert!(!other.stderr.contains("--force-repository"), "{}", other.stderr);
    let repo = scene.parent.repo();
    verb("transfer-inputs", &root, &["--parent", repo.as_str()]).expect(0);
}

#[test]
fn folders_are_told_from_names() {
    let scene = Scene::new();
    let root = scene.complete("ext");
    let folder = root.parent().unwrap().to_owned();
    verb_in(&folder, &["status", "ext"]).expect(0);
    verb_in(&folder, &["convert", "ext"]).expect(0);
    for name in ["ext", "./ext"] {
        for verb in ["status", "run", "commit", "reopen"] {
            let ran = verb_in(&folder, &[verb, name]);
            says(&ran, 1, &["is a repository, not a workspace"]);
        }
        let again = verb_in(&folder, &["convert", name]).expect(0).text();
        assert!(again.contains("is a repository already"), "{again}");
    }
    for verb in ["status", "commit", "revert"] {
        let gone = verb_in(&folder, &[verb, "gone"]);
        says(&gone, 2, &["no repository", "no external workspace in the folder gone"]);
        says(&verb_in(&folder, &[verb, "./gone"]), 1, &["there is no such folder"]);
    }
    for verb in ["convert", "transfer-inputs"] {
        says(&verb_in(&folder, &[verb, "gone"]), 1, &["there is no such folder"]);
    }
    // What is in a repository is none.
    let pipeline = scene.parent.path().join("pipeline.yaml");
    let args = ["workspace", "create", "in/t", "--pipeline", pipeline.as_str(), "-i", "toy/raw"];
    scene.parent.pantler(&args).expect(0);
    for verb in ["convert", "transfer-inputs"] {
        let ran = scene.parent.pantler(&["workspace", verb, "in/t"]);
        says(&ran, 2, &["in/t is a workspace inside of a repository", "workspace export in/t"]);
    }
    let ran = scene.parent.pantler(&["workspace", "reopen", "in/t", "--parent", "x"]);
    says(&ran, 2, &["--parent is for external workspaces"]);
}

#[test]
fn a_commit_that_has_ended_says_where_its_run_is() {
    let scene = Scene::new();
    let root = scene.complete("ext");
    let name = std::fs::read_to_string(root.join("transaction.json")).unwrap();
    let said = verb("commit", &root, &[]).expect(0).text();
    assert!(!root.exists());
    let again = verb("commit", &root, &[]);
    says(&again, 1, &["there is no such folder", "its RUN is in its parent"]);
    // The parent knows it by the workspace's UUID.
    let words = said.split_whitespace().map(|word| word.trim_end_matches(':'));
    let id = words.clone().find(|word| word.len() == 36).unwrap();
    assert!(name.contains(id), "{said}");
    let shown = scene.parent.pantler(&["transaction", "show", id]).expect(0).text();
    assert!(shown.contains("committed"), "{shown}");
}

#[test]
fn what_a_full_disk_left_of_a_segment_goes() {
    let scene = Scene::new();
    let root = scene.complete("ext");
    std::fs::write(root.join("journal/begin-7-0.tmp"), "").unwrap();
    let copy = scene.copied(&root, "copy");
    verb("revert", &root, &[]).expect(0);
    assert!(!root.exists());
    std::fs::write(copy.join("journal/begin-mine.tmp"), "").unwrap();
    verb("commit", &copy, &[]).expect(0);
    assert!(copy.join("journal/begin-mine.tmp").exists(), "it is not Pantler's");
}

#[test]
fn an_element_that_differs_is_named() {
    let scene = Scene::new();
    let root = scene.complete("ext");
    let (universe, repo) = (scene.at("universe.yaml"), scene.at("other"));
    std::fs::write(&universe, "version: 1\nname: toy\nelements:\n  item: {key: integer}\n")
        .unwrap();
    program().run(&["init", repo.as_str(), "--universe", universe.as_str()]).expect(0);
    let ran = verb("commit", &root, &["--force-repository", "--parent", repo.as_str()]);
    says(&ran, 1, &["the element item has a key of another type", "workspace convert"]);
}
