//! Places that cannot be written: what is to be done there is refused with a clear error,
//! nothing is half done, and all goes on once they can be written again.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::{Picture, Ran};

use crate::{
    external::{RUN, Scene, verb},
    program,
    toy::open_names,
};

/// Folders and files that nobody may write, until this is dropped.
struct Locked(Vec<(Utf8PathBuf, u32)>);

impl Locked {
    /// This folder only.
    fn folder(path: &Utf8Path) -> Self {
        let mut locked = Self(Vec::new());
        locked.lock(path);
        locked
    }

    /// Everything below.
    fn tree(path: &Utf8Path) -> Self {
        let mut found = Vec::new();
        walk(path, &mut found);
        let mut locked = Self(Vec::new());
        for path in found {
            locked.lock(&path);
        }
        locked
    }

    fn lock(&mut self, path: &Utf8Path) {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o222)).unwrap();
        self.0.push((path.to_owned(), mode));
    }
}

/// Folders and files below, each folder after what is in it; no links.
fn walk(path: &Utf8Path, found: &mut Vec<Utf8PathBuf>) {
    let kind = fs::symlink_metadata(path).unwrap().file_type();
    if kind.is_dir() {
        let mut entries: Vec<_> = path.read_dir_utf8().unwrap().map(Result::unwrap).collect();
        entries.sort_by(|a, b| a.path().cmp(b.path()));
        for entry in entries {
            walk(entry.path(), found);
        }
    }
    if !kind.is_symlink() {
        found.push(path.to_owned());
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        for (path, mode) in &self.0 {
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
}

/// Runs the program so that modes of files count for it: for root they do not, unless it goes
/// without the capabilities that pass over them.
pub(crate) fn bound(args: &[&str]) -> Ran {
    let plain = program().command(args);
    if !rustix::process::geteuid().is_root() {
        return Ran::of(plain);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-dac_override,-dac_read_search,-fowner", "--"]);
    command.arg(plain.get_program()).args(plain.get_args()).env_clear();
    for (name, value) in plain.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    Ran::of(command)
}

fn in_parent(scene: &Scene, args: &[&str]) -> Vec<String> {
    let repo = scene.parent.repo();
    args.iter().copied().chain(["--repo", repo.as_str()]).map(str::to_owned).collect()
}

/// What is refused: an error that says why, where and what next.
#[track_caller]
fn refused(args: &[String]) -> Ran {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = bound(&args);
    let said = &ran.stderr;
    assert!(matches!(ran.code(), Some(1 | 4)), "{args:?}: {:?} {said}", ran.status);
    let why = ["ermission denied", "may not be written to"];
    assert!(why.iter().any(|why| said.contains(why)), "{args:?}: {said}");
    for part in ["error: ", "\nnow: ", "\nnext: "] {
        assert!(said.contains(part), "{args:?} says no {part:?}: {said}");
    }
    ran
}

/// Rows, and names of files; what locks say differs.
fn standing(scene: &Scene) -> (Picture, Vec<String>) {
    let Picture { rows, files } = scene.parent.picture();
    let names = files
        .keys()
        .filter(|name| Utf8Path::new(name).extension() != Some("lock"))
        .cloned()
        .collect();
    (Picture { rows, files: std::collections::BTreeMap::default() }, names)
}

#[track_caller]
fn assert_same(scene: &Scene, before: &(Picture, Vec<String>), what: &str) {
    let after = standing(scene);
    after.0.assert_same(&before.0, what);
    assert_eq!(after.1, before.1, "{what}");
    scene.parent.check();
}

fn create_args(scene: &Scene) -> Vec<String> {
    let pipeline = scene.parent.path().join("pipeline.yaml");
    let create = ["workspace", "create", "w", "--pipeline", pipeline.as_str(), "-i", "toy/raw"];
    in_parent(scene, &create)
}

#[test]
fn modes_count_for_the_program_that_is_bound() {
    let scene = Scene::new();
    let repo = scene.at("new");
    let universe = scene.parent.path().join("universe.yaml");
    let init = ["init", repo.as_str(), "--universe", universe.as_str()];
    let locked = Locked::folder(repo.parent().unwrap());
    bound(&init).expect(1);
    drop(locked);
    bound(&init).expect(0);
}

/// Does what is to be done while `lock` is in force, in vain, and then.
#[track_caller]
fn in_vain_and_then(scene: &Scene, args: &[String], lock: impl FnOnce() -> Locked) -> Ran {
    let before = standing(scene);
    let locked = lock();
    let ran = refused(args);
    drop(locked);
    assert_same(scene, &before, &args.join(" "));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    program().run(&args).expect(0);
    ran
}

#[test]
fn a_workspace_in_a_repository_that_cannot_be_written_is_left_as_it_is() {
    let scene = Scene::new();
    let repo = scene.parent.repo();
    let all = || Locked::tree(&repo);
    in_vain_and_then(&scene, &create_args(&scene), all);
    for step in ["dev", "build", "run", "commit"] {
        in_vain_and_then(&scene, &in_parent(&scene, &["workspace", step, "w"]), all);
    }
    assert_eq!(open_names(&scene.parent, "transaction"), [""; 0]);
}

#[test]
fn a_workspace_root_that_cannot_be_written_is_left_as_it_is() {
    let scene = Scene::new();
    // The repository itself can be written: the transaction is open, and waits for its root.
    let workspaces = scene.parent.repo().join("workspaces");
    let locked = Locked::tree(&workspaces);
    let ran = refused(&create_args(&scene));
    assert_eq!(ran.code(), Some(4), "{}", ran.stderr);
    drop(locked);
    assert_eq!(open_names(&scene.parent, "transaction"), ["w"]);
    scene.parent.check();
    let tree = || Locked::tree(&workspaces.join("w"));
    let built = in_parent(&scene, &["workspace", "build", "w"]);
    // That root was not made: the build makes it.
    let args: Vec<&str> = built.iter().map(String::as_str).collect();
    program().run(&args).expect(0);
    for step in ["run", "commit"] {
        in_vain_and_then(&scene, &in_parent(&scene, &["workspace", step, "w"]), tree);
    }
    scene.parent.check();
    let args = create_args(&scene);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    program().run(&args).expect(1);
}

#[test]
fn an_external_workspace_in_a_place_that_cannot_be_written_is_left_as_it_is() {
    let scene = Scene::new();
    let place = scene.at("place");
    fs::create_dir(&place).unwrap();
    let root = place.join("ext");
    let mut args = create_args(&scene);
    args.extend(["--external".to_owned(), root.to_string()]);
    RUN.clone_into(&mut args[2]);
    in_vain_and_then(&scene, &args, || Locked::folder(&place));
    for step in ["build", "transfer-inputs", "run"] {
        let names = || {
            let mut names = Vec::new();
            walk(&root, &mut names);
            names
        };
        let before = names();
        let args = ["workspace", step, root.as_str()].map(str::to_owned);
        let locked = Locked::tree(&root);
        refused(&args);
        drop(locked);
        assert_eq!(names(), before, "{step}");
        verb(step, &root, &[]).expect(0);
    }
    for step in ["convert", "commit"] {
        let copy = scene.copied(&root, step);
        let locked = Locked::tree(&copy);
        refused(&["workspace", step, copy.as_str()].map(str::to_owned));
        drop(locked);
        scene.parent.check();
        // It is a workspace still, and the other way is open as well.
        verb("status", &copy, &[]).expect(0);
        let other = if step == "commit" { "convert" } else { step };
        verb(other, &copy, &[]).expect(0);
        program().run(&["check", "--repo", copy.as_str()]).expect(0);
    }
    // A parent that cannot be written gets nothing, and is read all the same.
    let args = ["workspace", "commit", root.as_str()].map(str::to_owned);
    let locked = Locked::tree(&scene.parent.repo());
    refused(&args);
    drop(locked);
    scene.parent.check();
    verb("commit", &root, &[]).expect(0);
    scene.parent.check();
}

/// Runs a verb of an external workspace on copies, with everything denied from the n-th call
/// on: of the first all, later some.
fn with_all_denied(scene: &Scene, ready: &Utf8Path, step: &str, settle: impl Fn(&Utf8Path, &str)) {
    let (mut n, mut failures) = (1, 0);
    loop {
        let root = scene.copied(ready, &format!("{step}-{n}"));
        let mut command = program().command(&["workspace", step, root.as_str()]);
        command.env("PANTLER_FAULT", format!("*:{n}+:denied"));
        let ran = Ran::of(command);
        let at = format!("{step}, denied from call {n}: {}", ran.stderr);
        match ran.code() {
            Some(0) => break,
            // Quanta may be what fails.
            Some(1 | 3 | 4) => {}
            code => panic!("{code:?}: {at}"),
        }
        failures += 1;
        scene.parent.check();
        settle(&root, &at);
        verb("convert", &root, &[]).expect(0);
        program().run(&["check", "--repo", root.as_str()]).expect(0);
        fs::remove_dir_all(&root).unwrap();
        n += 1 + n / 6;
    }
    assert!(failures > 5, "{step}: {failures}");
}

#[test]
fn what_is_denied_at_any_call_of_an_external_workspace_is_done_by_the_same_command() {
    let scene = Scene::in_memory();
    let root = scene.at("ready");
    scene.create(&root, &[]).expect(0);
    let does = |step: &str, root: &Utf8Path, at: &str| {
        let ran = verb(step, root, &[]);
        assert_eq!(ran.code(), Some(0), "{at}\nthen: {}", ran.stderr);
    };
    with_all_denied(&scene, &root, "build", |root, at| {
        does("build", root, at);
        does("run", root, at);
    });
    verb("build", &root, &[]).expect(0);
    with_all_denied(&scene, &root, "run", |root, at| does("run", root, at));
    verb("run", &root, &[]).expect(0);
    with_all_denied(&scene, &root, "convert", |root, at| {
        if root.join("external.json").exists() && !root.join("pantler.yaml").exists() {
            does("status", root, at);
        }
    });
}
