//! T1: killed at every step.

use std::{collections::BTreeSet, time::Instant};

use rayon::prelude::*;

use super::{
    arms::{steps, turns, was_killed},
    operation::Operation,
    settle::Trial,
};

/// Kills an operation at every step that it reaches; each time everything must hold, and
/// the same command again must finish it. Returns the steps.
pub(crate) fn kill_everywhere(operation: &Operation) -> BTreeSet<String> {
    let since = Instant::now();
    let trial = Trial::of(operation);
    let reached = reached(&trial);
    let (turns, left_out) = turns(reached.iter().map(String::as_str));
    turns.par_iter().for_each(|(step, count)| {
        let copy = trial.stage.copy();
        let at = format!("{}: killed at {step}:{count}", operation.name);
        let crash = format!("{step}:{count}");
        let ran = copy.run(operation.command, &[("PANTLER_CRASH", &crash)]);
        // Groups of flushes depend on time: a count may not be reached again.
        let ended = ran.code() == Some(trial.code);
        assert!(was_killed(&ran) || ended, "{at}: {:?} {}", ran.status, ran.stderr);
        trial.assert_acknowledged(&copy, &ran, &at);
        trial.settle(&copy, &at);
    });
    println!(
        "{}: {} kills at {} steps ({left_out} turns of steps that come often left out), {:.1} s",
        operation.name,
        turns.len(),
        reached.iter().collect::<BTreeSet<_>>().len(),
        since.elapsed().as_secs_f64()
    );
    reached.into_iter().collect()
}

/// The steps of an undisturbed run, up to where the operation ends.
pub(crate) fn reached(trial: &Trial<'_>) -> Vec<String> {
    let copy = trial.stage.copy();
    let (ran, mut reached) = steps(&copy, trial.operation.command);
    assert_eq!(ran.code(), Some(trial.code), "{}: {}", trial.operation.name, ran.stderr);
    assert!(!reached.is_empty(), "{} reaches no step", trial.operation.name);
    if let Some(until) = trial.operation.until {
        let end = reached.iter().position(|step| step == until).unwrap();
        reached.truncate(end + 1);
    }
    reached
}
