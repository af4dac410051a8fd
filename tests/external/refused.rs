//! What is not done, and what is said then; nothing is half-done.

use super::*;

/// Refused by `commit`, with nothing changed: neither in the parent nor here.
#[track_caller]
fn refused(root: &Utf8Path, repo: &Utf8Path, args: &[&str], parts: &[&str]) {
    let before = Picture::of(repo);
    let ran = verb("commit", root, &[&["--parent", repo.as_str()], args].concat());
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    for part in parts {
        assert!(ran.stderr.contains(part), "{part:?} is not in: {}", ran.stderr);
    }
    let mut after = Picture::of(repo);
    // Dataset types may have come already.
    for table in ["dataset_type", "dimension_group", "membership_2"] {
        let then = before.rows.get(table).cloned().unwrap_or_default();
        let now = after.rows.remove(table).unwrap_or_default();
        assert!(now.starts_with(&then), "{table}");
        after.rows.extend(before.rows.get(table).map(|rows| (table.to_owned(), rows.clone())));
    }
    assert_eq!(after, before, "nothing is half-done");
    let status = verb("status", root, &["--json"]).expect(0).json();
    assert_eq!(status["complete"], true, "the workspace is as before");
    assert!(!root.join("closing").exists(), "it can be run on");
    check(repo);
}

#[test]
fn a_parent_that_has_other_things_refuses_as_a_whole() {
    let scene = Scene::new();
    let root = scene.complete("ext");
    let parent = scene.parent.repo();
    let pipeline = scene.parent.path().join("pipeline.yaml");
    let pantler = |repo: &Utf8Path, args: &[&str]| {
        program().run(&[args, &["--repo", repo.as_str()]].concat()).expect(0);
    };
    // Somebody else's RUN of that name.
    let taken = scene.copied(&parent, "taken");
    pantler(&taken, &["run", pipeline.as_str(), "-i", "toy/raw", "-o", RUN]);
    refused(&root, &taken, &[], &["toy/out exists already", "workspace convert"]);
    // One that is being made.
    let made = scene.copied(&parent, "made");
    pantler(&made, &["workspace", "create", RUN, "--pipeline", pipeline.as_str(), "-i", "toy/raw"]);
    refused(&root, &made, &[], &["toy/out exists already"]);
    // Inputs that are not there any more.
    let gone = scene.copied(&parent, "gone");
    pantler(&gone, &["remove-run", "toy/raw"]);
    pantler(&gone, &["collection", "create", "toy/raw", "--type", "tagged"]);
    refused(&root, &gone, &[], &["3 of the input datasets", "are not registered any more"]);
    // A dataset type with another definition.
    let other = scene.copied(&parent, "other");
    let register =
        ["dataset-type", "register", "total", "--dimensions", "item", "--storage-class", "Text"];
    pantler(&other, &register);
    refused(&root, &other, &[], &["total"]);
    // The chain is something else.
    let chain = scene.copied(&parent, "chain");
    pantler(&chain, &["collection", "create", "toy", "--type", "tagged"]);
    refused(&root, &chain, &[], &["toy is there and is no chain"]);
    verb("commit", &root, &[]).expect(0);
}

#[test]
fn a_repository_that_is_not_the_parent_is_refused_unless_it_is_meant() {
    let scene = Scene::new();
    let stranger = Scene::new();
    let root = scene.complete("ext");
    let repo = stranger.parent.repo();
    refused(&root, &repo, &[], &["is not the parent of", "--force-repository"]);
    // It does not have the inputs.
    refused(&root, &repo, &["--force-repository"], &["input datasets"]);
    let ids: Vec<String> = query(&scene.parent.repo(), &["number"])
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    stranger.parent.pantler(&["remove-run", "toy/raw"]).expect(0);
    let (from, mut args) = (scene.parent.repo(), vec!["transfer"]);
    args.push(from.as_str());
    args.extend(ids.iter().map(String::as_str));
    stranger.parent.pantler(&args).expect(0);
    verb("commit", &root, &["--parent", repo.as_str(), "--force-repository"]).expect(0);
    assert_eq!(total(&repo), "6\n");
}

#[test]
fn a_repository_of_another_universe_is_refused_in_any_case() {
    let scene = Scene::new();
    let root = scene.complete("ext");
    let (universe, repo) = (scene.at("universe.yaml"), scene.at("other"));
    std::fs::write(&universe, "version: 1\nname: other\nelements:\n  item: {key: integer}\n")
        .unwrap();
    program().run(&["init", repo.as_str(), "--universe", universe.as_str()]).expect(0);
    refused(
        &root,
        &repo,
        &["--force-repository"],
        &["it is called other, not toy", "workspace convert"],
    );
    let build = scene.built("again");
    std::fs::remove_file(build.join("graph-1.qg")).unwrap();
    let ran = verb("build", &build, &["--parent", repo.as_str()]);
    assert!(ran.stderr.contains("is not the parent of"), "{}", ran.stderr);
}

#[test]
fn what_changed_after_its_quantum_is_not_committed() {
    let scene = Scene::new();
    let root = scene.complete("ext");
    let folder = root.join("artifacts/toy%2Fout@1/copy");
    let file = folder.read_dir_utf8().unwrap().next().unwrap().unwrap().into_path();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, text.replace(char::is_numeric, "9")).unwrap();
    refused(&root, &scene.parent.repo(), &[], &["is not what"]);
    let ran = verb("convert", &root, &["--verify", "full"]);
    assert_ne!(ran.code(), Some(0), "{}", ran.text());
    assert!(ran.stderr.contains("1 artifacts of"), "{}", ran.stderr);
    assert_eq!(verb("status", &root, &["--json"]).expect(0).json()["complete"], true);
    std::fs::remove_file(&file).unwrap();
    refused(&root, &scene.parent.repo(), &[], &["1 artifacts of", "missing or damaged"]);
}

#[test]
fn copies_that_have_made_different_things_do_not_pass_for_each_other() {
    // What a copy is depends on when it is made.
    let scene = Scene::with("cat \"$2\" > \"$3\"\ncat /proc/sys/kernel/random/uuid >> \"$3\"\n");
    let cut = scene.cut_off("ext");
    let (a, b) = (scene.copied(&cut, "a"), scene.copied(&cut, "b"));
    for root in [&a, &b] {
        verb("run", root, &["-j1"]).expect(0);
    }
    verb("commit", &a, &[]).expect(0);
    let repo = scene.parent.repo();
    refused(&b, &repo, &[], &["was committed before", "not there with the same content"]);
    verb("convert", &b, &[]).expect(0);
    check(&b);
}

#[test]
fn unfinished_work_is_not_closed_unless_part_of_it_is_enough() {
    let scene = Scene::with("test \"$4\" != b || exit 3\ncat \"$2\" > \"$3\"\n");
    let root = scene.cut_off("ext");
    verb("run", &root, &["-j1"]).expect(3);
    for closing in ["convert", "commit"] {
        let ran = verb(closing, &root, &[]);
        assert_eq!(ran.code(), Some(3), "{}", ran.stderr);
        assert!(ran.stderr.contains("2 of 4 quanta succeeded"), "{}", ran.stderr);
    }
    verb("accept", &root, &["--failed"]).expect(0);
    verb("reset", &root, &["--task", "copy"]).expect(0);
    verb("run", &root, &["-j1"]).expect(3);
    let copy = scene.copied(&root, "copy");
    verb("convert", &copy, &["--partial"]).expect(0);
    assert_eq!(contents(&copy, RUN).iter().filter(|row| row.starts_with("\"copy\"")).count(), 2);
    check(&copy);
    verb("commit", &root, &["--partial"]).expect(0);
    assert_eq!(contents(&scene.parent.repo(), RUN), contents(&copy, RUN));
}

#[test]
fn an_input_that_changed_is_not_transferred() {
    let scene = Scene::new();
    let root = scene.built("ext");
    let folder = scene.parent.repo().join("artifacts/toy%2Fraw@1/number");
    let file = folder.read_dir_utf8().unwrap().next().unwrap().unwrap().into_path();
    let text = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "9\n").unwrap();
    let ran = verb("transfer-inputs", &root, &[]);
    assert!(ran.stderr.contains("is not what it was when the graph was built"), "{}", ran.stderr);
    assert!(!root.join("inputs.json").exists());
    std::fs::write(&file, text).unwrap();
    verb("transfer-inputs", &root, &[]).expect(0);
}

#[test]
fn places_that_are_taken_are_refused() {
    let scene = Scene::new();
    let root = scene.at("ext");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("mine"), "mine").unwrap();
    let says = |ran: &Ran, code: i32, part: &str| {
        assert_eq!(ran.code(), Some(code), "{}", ran.stderr);
        assert!(ran.stderr.contains(part), "{part:?} is not in: {}", ran.stderr);
    };
    says(&scene.create(&root, &[]), 1, "is not empty (it holds \"mine\")");
    std::fs::rename(root.join("mine"), root.join("pipeline")).unwrap();
    says(&scene.create(&root, &[]), 1, "is not empty (it holds \"pipeline\")");
    says(&scene.create(&root.join("pipeline"), &[]), 1, "is not a folder");
    assert_eq!(std::fs::read_to_string(root.join("pipeline")).unwrap(), "mine");
    std::fs::remove_file(root.join("pipeline")).unwrap();
    says(&scene.create(&scene.parent.repo().join("x"), &[]), 1, "lies in the repository");
    says(&scene.create(Utf8Path::new("/proc/ext"), &[]), 1, "cannot access /proc/ext");
    scene.create(&root, &[]).expect(0);
    says(&scene.create(&root, &[]), 1, "is an external workspace already");
    says(&verb("status", &scene.at("none"), &[]), 1, "there is no such folder");
    for closing in ["convert", "commit", "transfer-inputs", "run"] {
        let ran = verb(closing, &root, &[]);
        says(&ran, 1, "has no quantum graph yet");
        assert!(ran.stderr.contains(&format!("workspace build {root}")), "{}", ran.stderr);
    }
    let newer = root.join("external.json");
    let text = std::fs::read_to_string(&newer).unwrap();
    std::fs::write(&newer, text.replacen("\"version\": 1", "\"version\": 99", 1)).unwrap();
    says(&verb("status", &root, &[]), 1, "has format version 99");
    std::fs::write(&newer, "{").unwrap();
    says(&verb("status", &root, &[]), 1, "is damaged");
}

#[test]
fn a_converted_or_running_workspace_is_left_alone() {
    let scene = Scene::with("read line < \"$1/gate\"\ncat \"$2\" > \"$3\"\n");
    let root = scene.cut_off("ext");
    let gate = crate::toy::Gate::at(&root.join("pipeline/gate"));
    let mut running = program().start(&["workspace", "run", root.as_str(), "-j1"]);
    crate::toy::until("it runs", || root.join("journal").exists());
    for verb_name in ["convert", "commit", "revert"] {
        let ran = verb(verb_name, &root, &[]);
        assert!(ran.stderr.contains("runs quanta in"), "{}", ran.stderr);
        assert!(!root.join("closing").exists(), "{verb_name}");
    }
    gate.open(3);
    assert!(running.wait().unwrap().success());
    verb("convert", &root, &[]).expect(0);
    for name in ["run", "status", "commit", "revert"] {
        let ran = verb(name, &root, &[]);
        assert_eq!(ran.code(), Some(1), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains("is a repository, not a workspace"), "{name}: {}", ran.stderr);
    }
    check(&root);
}

#[test]
fn what_says_nothing_about_a_workspace_in_a_repository_is_refused() {
    let scene = Scene::new();
    let refused = [
        ["commit", "x", "--transfer", "move"].as_slice(),
        &["commit", "x", "--force-repository"],
        &["commit", "x", "--parent", "y"],
        &["run", "x", "--parent", "y"],
        &["build", "x", "--parent", "y"],
    ];
    for args in refused {
        let ran = scene.parent.pantler(&[&["workspace"], args].concat());
        assert_eq!(ran.code(), Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains("is for external workspaces"), "{}", ran.stderr);
    }
    let mode = verb("commit", &scene.complete("ext"), &["--transfer", "symlink"]);
    assert_eq!(mode.code(), Some(2), "{}", mode.stderr);
    assert!(mode.stderr.contains("[possible values: copy, hardlink, move]"), "{}", mode.stderr);
}

#[test]
fn files_that_are_damaged_are_named_and_nothing_is_lost() {
    let scene = Scene::new();
    let complete = scene.complete("complete");
    for (n, name) in [
        "external.json",
        "rows.json",
        "inputs.json",
        "transaction.json",
        "graph-1.qg",
        "journal/1.jsonl",
    ]
    .into_iter()
    .enumerate()
    {
        let root = scene.copied(&complete, &format!("damaged-{n}"));
        let file = root.join(name);
        let whole = std::fs::read(&file).unwrap();
        // A flipped byte near the beginning, where every format has something to say.
        let mut flipped = whole.clone();
        flipped[whole.len().min(1500) / 3] ^= 0x41;
        let newer = String::from_utf8_lossy(&whole).replacen("\"version\": 1", "\"version\": 9", 1);
        let mut damages = vec![whole[..whole.len() / 2].to_vec(), Vec::new()];
        if name == "journal/1.jsonl" {
            damages = vec![flipped];
        } else if Utf8Path::new(name).extension() == Some("json") {
            damages.push(newer.into_bytes());
        } else {
            damages.push(flipped);
        }
        for damage in damages {
            std::fs::write(&file, &damage).unwrap();
            for closing in ["convert", "commit"] {
                let ran = verb(closing, &root, &[]);
                let code = ran.code().unwrap();
                assert!([1, 4].contains(&code), "{name}: {code} {}", ran.stderr);
                assert!(ran.stderr.contains(name), "{name}: {}", ran.stderr);
            }
            assert!(!root.join("pantler.yaml").exists(), "{name}");
        }
        std::fs::write(&file, whole).unwrap();
        verb("convert", &root, &[]).expect(0);
        check(&root);
    }
    assert_eq!(contents(&scene.parent.repo(), "toy/raw").len(), 3);
    assert!(open_names(&scene.parent, "transaction").is_empty());
}
