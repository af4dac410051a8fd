//! T6: power lost at every step.

use std::{collections::BTreeSet, time::Instant};

use camino::Utf8Path;
use pantler_testkit::Ran;
use rayon::prelude::*;

use super::{
    arms::{beside, draw, every_way, seed, turns, was_killed},
    disk::{Loss, lose_power},
    kill::reached,
    operation::{Copy, Operation, has_repository},
    settle::{Trial, open},
    state::findings,
};

/// How much of what was not flushed is lost.
#[derive(Debug, Clone, Copy)]
enum Extent {
    /// All of it.
    All,
    /// The data of files; every entry is there.
    Data,
    /// The data, and the entries from some moment on.
    Since,
}

/// Loses power at every step of an operation, with all that was not flushed, and with a
/// part of it; each time everything must
/// hold, and the same command again must finish it.
pub(crate) fn lose_power_everywhere(operation: &Operation) {
    let since = Instant::now();
    let seed = seed();
    let trial = Trial::of(operation);
    let reached = reached(&trial);
    let (turns, _) = turns(reached.iter().map(String::as_str));
    let drawn = |turn: &(&str, usize)| {
        let parts = [Extent::Data, Extent::Since];
        if every_way() { parts.to_vec() } else { vec![parts[draw(seed, &format!("{turn:?}"), 2)]] }
    };
    let extents = |turn| [vec![Extent::All], drawn(turn)].concat();
    let losses: Vec<_> = turns
        .iter()
        .flat_map(|turn| extents(turn).into_iter().map(move |extent| (extent, *turn)))
        .collect();
    let lost: Vec<Loss> = losses
        .par_iter()
        .map(|(extent, (step, count))| {
            let copy = trial.stage.copy();
            let at = format!(
                "{}: power lost ({extent:?}, PANTLER_SEED={seed}) at {step}:{count}",
                operation.name
            );
            let (lost, ran, trace) =
                lose(&trial, &copy, &format!("{step}:{count}"), &|trace| match extent {
                    Extent::All => 0,
                    Extent::Data => trace,
                    Extent::Since => draw(seed, &at, trace + 1),
                });
            let at = format!("{at}: {lost:?}\n{}\n", trace.join("\n"));
            trial.check(&copy, &at);
            trial.assert_acknowledged(&copy, &ran, &at);
            if has_repository(&copy.project) && !open(&copy.project).is_empty() {
                // In place of all copies that a kill is followed by.
                let abandoned = copy.duplicate();
                for name in open(&abandoned.project) {
                    let ran = abandoned.run(&format!("transaction abandon {name}"), &[]);
                    assert_eq!(ran.code(), Some(0), "{at}: abandon: {}", ran.stderr);
                }
                trial.check(&abandoned, &format!("{at}, abandoned"));
            }
            trial.finish(&copy, &at);
            lost
        })
        .collect();
    println!(
        "{}: power lost {} times, and with it {} entries and {} contents of files, seed {seed}, {:.1} s",
        operation.name,
        lost.len(),
        lost.iter().map(|loss| loss.entries).sum::<usize>(),
        lost.iter().map(|loss| loss.files).sum::<usize>(),
        since.elapsed().as_secs_f64()
    );
}

/// Kills at a step, and takes away what was not flushed. `cut` is given the length of the
/// trace, and says up to where entries are kept.
fn lose(
    trial: &Trial<'_>,
    copy: &Copy,
    crash: &str,
    cut: &dyn Fn(usize) -> usize,
) -> (Loss, Ran, Vec<String>) {
    let (ran, trace) = traced(trial, copy, crash);
    let (path, before) = (copy.project.path(), trial.stage.project.path());
    (lose_power(&path, &before, &trace, cut(trace.len())), ran, trace)
}

/// Kills at a step, and returns the trace of what was done to files.
fn traced(trial: &Trial<'_>, copy: &Copy, crash: &str) -> (Ran, Vec<String>) {
    let trace = beside(&copy.project, "trace");
    let variables = [("PANTLER_CRASH", crash), ("PANTLER_TRACE", trace.as_str())];
    let ran = copy.run(trial.operation.command, &variables);
    let ended = ran.code() == Some(trial.code);
    assert!(was_killed(&ran) || ended, "{crash}: {:?} {}", ran.status, ran.stderr);
    (ran, lines(&trace))
}

fn lines(trace: &Utf8Path) -> Vec<String> {
    let text = std::fs::read_to_string(trace).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Without the flushes, what was committed is lost: the test would see it.
pub(crate) fn without_flushes_something_is_lost(operation: &Operation) {
    const AT: &str = "close.rows.committed:1";
    let trial = Trial::of(operation);
    let flushed = trial.stage.copy();
    let (_, _, trace) = lose(&trial, &flushed, AT, &|_| 0);
    assert!(trace.iter().any(|line| line.starts_with("sync")), "{trace:?}");
    assert_eq!(findings(&flushed.project), [""; 0]);

    for (cut, code) in [(0, "artifact-missing"), (usize::MAX, "artifact-size")] {
        let copy = trial.stage.copy();
        let (_, mut trace) = traced(&trial, &copy, AT);
        trace.retain(|line| !line.starts_with("sync"));
        lose_power(&copy.project.path(), &trial.stage.project.path(), &trace, cut);
        let found = findings(&copy.project);
        assert!(found.iter().any(|finding| finding.starts_with(code)), "{found:?}");
    }
}

/// A process is killed when it has deleted an artifact, and has not flushed that: when what
/// it was at has been closed, no loss of power brings the artifact back.
pub(crate) fn what_a_dead_process_deleted_stays_away(
    operation: &Operation,
    fault: &str,
    closing: &str,
) {
    let stage = (operation.stage)();
    let begun = stage.copy();
    let deleting = [("PANTLER_CRASH", "datastore.delete:1"), ("PANTLER_FAULT", fault)];
    let ran = begun.run(operation.command, &deleting);
    assert!(was_killed(&ran), "{}", ran.stderr);
    let [name] = &open(&begun.project)[..] else { panic!("it is not open") };
    let close = format!("transaction {closing} {name}");
    let closed = begun.duplicate();
    assert_eq!(closed.run(&close, &[]).code(), Some(0));
    let (left, kept) = (artifacts(&begun), artifacts(&closed));
    let deleted: Vec<&String> = left.difference(&kept).collect();
    assert!(!deleted.is_empty(), "{left:?}, and closed {kept:?}");
    for deleted in deleted {
        // One step further.
        let copy = begun.duplicate();
        let path = copy.project.repo().join(deleted);
        std::fs::remove_file(&path).unwrap();
        let trace = beside(&copy.project, "trace");
        std::fs::write(&trace, format!("unlink\t{path}\n")).unwrap();
        let ran = copy.run(&close, &[("PANTLER_TRACE", trace.as_str())]);
        assert_eq!(ran.code(), Some(0), "{}", ran.stderr);
        lose_power(&copy.project.path(), &begun.project.path(), &lines(&trace), 0);
        let at = format!("{} {closing}, {deleted}: {:?}", operation.command, lines(&trace));
        assert_eq!(findings(&copy.project), [""; 0], "{at}");
    }
}

/// The files in the storage.
fn artifacts(copy: &Copy) -> BTreeSet<String> {
    let files = copy.project.picture().files.into_keys();
    files.filter(|path| path.starts_with("artifacts/")).collect()
}
