//! Processes that are killed or fail at a step, and which steps there are.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt as _};

use camino::Utf8PathBuf;
use pantler_testkit::{Project, Ran};

use super::operation::Copy;

/// Every step and fault of a long operation instead of a sample.
const ALL: &str = "PANTLER_SURVIVAL_ALL";

/// How often a step may come before only some of its turns are taken.
const OFTEN: usize = 6;

pub(crate) fn was_killed(ran: &Ran) -> bool {
    ran.status.signal() == Some(9)
}

/// A file beside the project, of which nothing takes notice.
pub(crate) fn beside(project: &Project, name: &str) -> Utf8PathBuf {
    project.path().parent().unwrap().join(name)
}

/// The steps that a command reaches, in order.
pub(crate) fn steps(copy: &Copy, command: &str) -> (Ran, Vec<String>) {
    let log = beside(&copy.project, "steps.log");
    let ran = copy.run(command, &[("PANTLER_CRASH_LOG", log.as_str())]);
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    (ran, text.lines().map(str::to_owned).collect())
}

/// The calls of a command that can fail, with the ways in which they can, in order.
pub(crate) fn fallible(copy: &Copy, command: &str) -> (Ran, Vec<(String, Vec<String>)>) {
    let log = beside(&copy.project, "faults.log");
    let ran = copy.run(command, &[("PANTLER_FAULT_LOG", log.as_str())]);
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let calls = text.lines().map(|line| {
        let (name, hows) = line.split_once(' ').unwrap();
        (name.to_owned(), hows.split(',').map(str::to_owned).collect())
    });
    (ran, calls.collect())
}

/// The turns (step, count) at which something is tried: all of them, but of a step that
/// comes often only the first three, one in the middle and the last two. And how many
/// were left out.
pub(crate) fn turns<'s>(steps: impl Iterator<Item = &'s str>) -> (Vec<(&'s str, usize)>, usize) {
    let mut found = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for step in steps {
        let count = counts.entry(step).or_default();
        *count += 1;
        found.push((step, *count));
    }
    let all = found.len();
    if std::env::var_os(ALL).is_none() {
        found.retain(|(step, count)| {
            let of = counts[step];
            of <= OFTEN || *count <= 3 || *count == of / 2 || *count + 2 > of
        });
    }
    let left_out = all - found.len();
    (found, left_out)
}

/// Whether every way of failing is to be tried at every call.
pub(crate) fn every_way() -> bool {
    std::env::var_os(ALL).is_some()
}

/// A seed, so that what was drawn can be drawn again.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("PANTLER_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()))
}

/// A number below `n` that depends on the seed and on what it is for.
pub(crate) fn draw(seed: u64, what: &str, n: usize) -> usize {
    let digest = blake3::hash(format!("{seed} {what}").as_bytes());
    let number = u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap());
    usize::try_from(number % n as u64).unwrap()
}

#[test]
fn of_many_turns_some_are_taken() {
    let steps = [vec!["a"; 2], vec!["b"; 10], vec!["a"]].concat();
    let (found, left_out) = turns(steps.into_iter());
    let of = |step| found.iter().filter(|t| t.0 == step).map(|t| t.1).collect::<Vec<_>>();
    assert_eq!(of("a"), [1, 2, 3]);
    if every_way() {
        assert_eq!((of("b").len(), left_out), (10, 0));
    } else {
        assert_eq!((of("b"), left_out), (vec![1, 2, 3, 5, 9, 10], 4));
    }
}
