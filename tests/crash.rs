//! Killed anywhere: what the harness of `survival` has no line for (a command that writes
//! beside the repository, two file systems, random moments), and that every step which
//! the source names is reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt as _,
    process::Stdio,
    time::Duration,
};

use camino::Utf8Path;
use pantler_testkit::{Picture, Project, Ran, copy_tree};
use rayon::prelude::*;

use crate::{program, small_weather, source_root};

/// Steps that no scenario here reaches, and the test that does.
pub(crate) const ELSEWHERE: &[(&str, &str)] = &[
    ("datastore.put", "object stores only: datastore::object::tests"),
    ("fs.linked", "file systems without renameat2: datastore::fs::noreplace::tests"),
    ("exec.journal.table", "segments of many quanta: exec::journal::table::tests"),
    ("exec.takeover.flush", "runners declared dead: runners"),
    ("exec.takeover.write", "runners declared dead: runners"),
    ("exec.takeover.written", "runners declared dead: runners"),
    ("build.reuse.write", "what may be taken over: reuse"),
    ("build.reuse.written", "what may be taken over: reuse"),
    ("exec.reuse.copied", "what may be taken over: reuse"),
    ("exec.reuse.copy", "what may be taken over: reuse"),
    ("exec.reuse.move", "what may be taken over: reuse"),
    ("exec.reuse.moved", "what may be taken over: reuse"),
    ("shard.part.note", "builds of shards: shards"),
    ("shard.part.noted", "builds of shards: shards"),
    ("shard.thawed", "commits of shards that fail: shards"),
    ("ledger.drop", "ledgers: ledger"),
    ("ledger.dropped", "ledgers: ledger"),
    ("ledger.types.write", "ledgers: ledger"),
    ("export.begun", "workspace export: external"),
    ("export.copied", "workspace export: external"),
    ("export.folder.make", "workspace export: external"),
    ("export.made", "workspace export: external"),
    ("external.artifacts.removed", "commit of an external workspace: external"),
    ("external.cleaned", "workspace convert: external"),
    ("external.commit.note", "commit of an external workspace: external"),
    ("external.commit.noted", "commit of an external workspace: external"),
    ("external.committed", "commit of an external workspace: external"),
    ("external.converted", "workspace convert: external"),
    ("external.create.begun", "workspace create --external: external"),
    ("external.create.described", "workspace create --external: external"),
    ("external.create.done", "workspace create --external: external"),
    ("external.discard.begin", "revert of an external workspace: external"),
    ("external.folder.make", "workspace create --external: external"),
    ("external.graph.removed", "workspace convert: external"),
    ("external.input.copy", "workspace transfer-inputs: external"),
    ("external.inputs.back", "workspace reopen: external"),
    ("external.inputs.flushed", "workspace transfer-inputs: external"),
    ("external.inputs.take", "workspace convert: external"),
    ("external.inputs.taken", "workspace convert: external"),
    ("external.leftovers.deleted", "workspace convert: external"),
    ("external.locked", "workspace convert: external"),
    ("external.logs.stored", "workspace convert: external"),
    ("external.mark.removed", "commit of an external workspace: external"),
    ("external.marker.set", "workspace convert: external"),
    ("external.pipeline.copy", "workspace create --external: external"),
    ("external.removed", "commit of an external workspace: external"),
    ("external.reopen.begin", "workspace reopen: external"),
    ("external.reopen.cleared", "workspace reopen: external"),
    ("external.reopen.marker", "workspace reopen: external"),
    ("external.reopened", "workspace reopen: external"),
    ("external.rows.written", "build of an external workspace: external"),
    ("standalone.begin", "workspace convert: external"),
    ("standalone.filled", "workspace convert: external"),
    ("standalone.publish", "workspace convert: external"),
    ("standalone.rename", "workspace convert: external"),
    ("standalone.renamed", "workspace convert: external"),
    ("repair.put_back", "somebody comes to own what is moved away: damage"),
    #[cfg(not(target_os = "linux"))]
    ("datastore.adopt.copied", "storage on two file systems: datastore::local::tests"),
];

/// What a killed program was doing.
const ARMS: [&str; 2] = ["PANTLER_CRASH", "PANTLER_CRASH_LOG"];

fn armed(project: &Project, args: &[&str], crash: Option<&str>, log: Option<&Utf8Path>) -> Ran {
    let mut command = project.program().command(args);
    if let Some(crash) = crash {
        command.env(ARMS[0], crash);
    }
    if let Some(log) = log {
        command.env(ARMS[1], log);
    }
    Ran::of(command)
}

fn run_args(project: &Project) -> Vec<String> {
    vec!["run".into(), project.path().into_string(), "-j1".into()]
}

fn was_killed(ran: &Ran) -> bool {
    ran.status.signal() == Some(9)
}

/// The steps that a program reaches, in order.
fn steps(project: &Project, args: &[&str], code: i32) -> Vec<String> {
    let log = project.path().join("steps.log");
    armed(project, args, None, Some(&log)).expect(code);
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    drop(std::fs::remove_file(&log));
    text.lines().map(str::to_owned).collect()
}

/// Every (step, count) in a list of steps.
fn occurrences(steps: &[String]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for step in steps {
        let count = counts.entry(step).or_default();
        *count += 1;
        found.push((step.clone(), *count));
    }
    found
}

fn open_names(project: &Project, noun: &str) -> Vec<String> {
    let rows = project.pantler(&[noun, "list", "--json"]).expect(0).json();
    rows.as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect()
}

/// Closes everything that is open.
fn revert_all(project: &Project) {
    for name in open_names(project, "transaction") {
        project.pantler(&["transaction", "revert", &name]).expect(0);
    }
    assert_eq!(open_names(project, "transaction"), [""; 0]);
    project.pantler(&["workspace", "vacuum"]).expect(0);
}

/// A repository that is made and prepared, with nothing ingested.
fn stage_prepared() -> Project {
    let project = small_weather();
    let args = run_args(&project);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = armed(&project, &args, Some("ingest.prepared:1"), None);
    assert!(was_killed(&ran), "{ran:?}");
    project
}

/// A repository with its files ingested, and no workspace.
fn stage_ingested() -> Project {
    let project = stage_prepared();
    let args = run_args(&project);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = armed(&project, &args, Some("close.rows.committed:1"), None);
    assert!(was_killed(&ran), "{ran:?}");
    assert_eq!(open_names(&project, "transaction"), [""; 0]);
    project
}

fn kill_first(project: &Project, step: Option<&str>) {
    if let Some(step) = step {
        let args = run_args(project);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ran = armed(project, &args, Some(step), None);
        assert!(was_killed(&ran), "{step}: {}", ran.stderr);
    }
}

/// What must hold after a kill: `check` is clean, the lists tell the truth, a revert
/// on a copy gives what was before, and running again gives what was expected.
fn settle(project: &Project, at: &str, before: Option<&Picture>, expected: &[String]) {
    if project.repo().join("pantler.yaml").exists() {
        let checked = project.pantler(&["check"]);
        assert_eq!(checked.code(), Some(0), "{at}: {}{}", checked.text(), checked.stderr);
        let transactions = open_names(project, "transaction");
        let workspaces = open_names(project, "workspace");
        for name in &workspaces {
            assert!(transactions.contains(name), "{at}: workspace {name} has no transaction");
        }
        let picture = project.picture();
        let rows = picture.rows["artifact_transaction"].len();
        assert_eq!(transactions.len(), rows, "{at}: {transactions:?}");
        if let (Some(before), false) = (before, transactions.is_empty()) {
            let copy = project.duplicate();
            // Not through a link into what is copied.
            let workspaces = copy.repo().join("workspaces");
            if workspaces.is_symlink() {
                std::fs::remove_file(&workspaces).unwrap();
                copy_tree(&project.repo().join("workspaces"), &workspaces, &|_| true);
            }
            revert_all(&copy);
            before.assert_same(&copy.picture(), at);
        }
    }
    let again = project.run(&["-j1"]);
    assert_eq!(again.code(), Some(0), "{at}: {}", again.stderr);
    assert_eq!(project.contents("weather"), expected, "{at}");
    assert_eq!(open_names(project, "transaction"), [""; 0], "{at}");
    let swept = project.pantler(&["workspace", "vacuum"]);
    assert_eq!(swept.code(), Some(0), "{at}: {}", swept.stderr);
}

/// Kills a run whose workspaces are on another file system than its artifacts, where
/// outputs are copied and not renamed, at every copy.
#[cfg(target_os = "linux")]
fn kill_across_file_systems(stage: &Project, before: &Picture) -> BTreeSet<String> {
    const STEP: &str = "datastore.adopt.copied";
    let split = || {
        let project = stage.duplicate();
        let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
        let workspaces = project.repo().join("workspaces");
        std::fs::remove_dir_all(&workspaces).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &workspaces).unwrap();
        (project, elsewhere)
    };
    let (calm, _elsewhere) = split();
    let args = run_args(&calm);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let reached = steps(&calm, &args, 0);
    let expected = calm.contents("weather");
    let copies = reached.iter().filter(|step| *step == STEP).count();
    assert!(copies > 0, "the outputs are copied");
    for count in 1..=copies {
        let (project, _elsewhere) = split();
        let at = format!("{STEP}:{count}");
        kill_first(&project, Some(&at));
        settle(&project, &at, Some(before), &expected);
    }
    reached.into_iter().collect()
}

/// Kills `pantler get -o FILE` at every step: the file has the old content or the new.
fn kill_get_at_every_step(stage: &Project) -> BTreeSet<String> {
    let target = stage.path().join("out.csv");
    let repo = stage.repo();
    let rows = stage.pantler(&["query", "datasets", "--json"]).expect(0).json();
    let id = rows[0]["id"].as_str().unwrap().to_owned();
    let args = ["get", &id, "-o", target.as_str(), "--repo", repo.as_str()];
    let reached = steps(stage, &args, 0);
    let new = std::fs::read(&target).unwrap();
    for (step, count) in occurrences(&reached) {
        std::fs::write(&target, b"old").unwrap();
        let ran = armed(stage, &args, Some(&format!("{step}:{count}")), None);
        assert!(was_killed(&ran), "get at {step}:{count}: {}", ran.stderr);
        let found = std::fs::read(&target).unwrap();
        assert!(found == b"old" || found == new, "get at {step}:{count}: part of the content");
    }
    reached.into_iter().collect()
}

/// The names of the steps in one file: the first argument of each function that is one.
fn steps_of(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for function in ["step", "around", "fallible", "write_in_halves"] {
        for (at, _) in text.match_indices(function) {
            // Not the end of a longer name.
            if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let Some(arguments) = text[at + function.len()..].strip_prefix('(') else { continue };
            if let Some(name) = arguments.trim_start().strip_prefix('"') {
                names.push(name.split('"').next().unwrap());
            }
        }
    }
    names
}

/// All names of steps in the source.
fn named_steps() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![source_root().join("crates")];
    while let Some(at) = folders.pop() {
        for entry in at.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() && path.file_name() != Some("seam") {
                folders.push(path);
            } else if path.extension() == Some("rs") {
                for name in steps_of(&std::fs::read_to_string(&path).unwrap()) {
                    assert!(names.insert(name.to_owned()), "{path}: step {name} stands twice");
                }
            }
        }
    }
    assert!(names.len() > 20, "{names:?}");
    names
}

/// Fails the test unless every step that the source names is in `reached`, by what has no
/// line in `survival`, or by a test named above.
pub(crate) fn assert_all_are_reached(mut reached: BTreeSet<String>) {
    let ingested = stage_ingested();
    reached.extend(kill_get_at_every_step(&ingested));
    #[cfg(target_os = "linux")]
    reached.extend(kill_across_file_systems(&ingested, &ingested.picture()));

    let known: BTreeSet<String> = ELSEWHERE.iter().map(|(step, _)| (*step).to_owned()).collect();
    let named = named_steps();
    let missed: Vec<_> =
        named.iter().filter(|s| !reached.contains(*s) && !known.contains(*s)).collect();
    assert!(missed.is_empty(), "no test reaches these steps: {missed:?}");
    for step in &known {
        assert!(named.contains(step), "{step} is gone: take it out of the list");
        assert!(!reached.contains(step), "{step} is reached here: take it out of the list");
    }
}

/// A small generator: the seed is printed, and the same one gives the same draws.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n as u64).unwrap()
    }
}

/// What the program was doing when it had reached these steps.
fn phase(steps: &[String]) -> &'static str {
    let has = |prefix: &str| steps.iter().any(|s| s.starts_with(prefix));
    if steps.iter().filter(|s| *s == "close.claimed").count() > 0 {
        "close"
    } else if has("exec.") {
        "run"
    } else if has("ingest.prepared") {
        "ingest"
    } else {
        "init"
    }
}

#[test]
fn killed_at_random_moments() {
    const KILLS: usize = 50;
    const EACH: usize = 5;
    let seed = std::env::var("PANTLER_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()));
    println!("PANTLER_SEED={seed}");
    let mut draws = Draws(seed);
    let fresh = small_weather();
    let calm = fresh.duplicate();
    let args = run_args(&calm);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let all = steps(&calm, &args, 0);
    let expected = calm.contents("weather");
    let mut of_phase: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for n in 1..=all.len() {
        of_phase.entry(phase(&all[..n])).or_default().push(n);
    }
    let phases: Vec<&str> = of_phase.keys().copied().collect();
    assert_eq!(phases, ["close", "ingest", "init", "run"]);

    let mut histogram: BTreeMap<&str, usize> = BTreeMap::new();
    let mut killed = Vec::new();
    let mut tries = 0;
    while killed.len() < KILLS
        || phases.iter().any(|p| histogram.get(p).copied().unwrap_or(0) < EACH)
    {
        tries += 1;
        assert!(tries < 10 * KILLS, "the program keeps ending before it is killed: {histogram:?}");
        let wanted = &of_phase[phases[tries % phases.len()]];
        let target = wanted[draws.below(wanted.len())];
        let delay = Duration::from_micros(draws.below(3000) as u64);
        let project = fresh.duplicate();
        if let Some(reached) = kill_after(&project, target, delay) {
            *histogram.entry(phase(&reached)).or_default() += 1;
            killed.push((
                project,
                format!("seed {seed}, kill {}, after {} steps", killed.len(), reached.len()),
            ));
        }
    }
    println!("{} kills in {tries} tries: {histogram:?}", killed.len());
    killed.into_par_iter().for_each(|(project, at)| settle(&project, &at, None, &expected));
}

/// Starts a run, waits until it has reached `target` steps, waits `delay`, kills it.
/// `None` if it had ended by then; else the steps it had reached.
fn kill_after(project: &Project, target: usize, delay: Duration) -> Option<Vec<String>> {
    let log = project.path().join("steps.log");
    let args = run_args(project);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut command = project.program().command(&args);
    command.env(ARMS[1], &log).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let reached = || std::fs::read_to_string(&log).unwrap_or_default();
    while reached().lines().count() < target {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::yield_now();
    }
    std::thread::sleep(delay);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let steps = reached().lines().map(str::to_owned).collect();
    drop(std::fs::remove_file(&log));
    (status.signal() == Some(9)).then_some(steps)
}

/// The copies that the tests make are whole: the program is the armed one.
#[test]
fn steps_are_armed_in_tests() {
    let project = small_weather();
    let args = run_args(&project);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = armed(&project, &args, Some("init.folder.made:1"), None);
    assert!(was_killed(&ran), "{ran:?}");
    assert!(!project.repo().join("pantler.yaml").exists());
    drop(program());
}
