//! T2: every step fails.

use std::{collections::BTreeMap, time::Instant};

use rayon::prelude::*;

use super::{
    arms::{draw, every_way, fallible, seed, turns},
    operation::{Operation, Special, has_repository},
    settle::{Trial, open},
};

/// Makes every call of an operation that can fail do so, in a way that is drawn from those
/// that make sense there: the first of a name this time, and from this time on; later ones
/// one of the two.
pub(crate) fn fail_everywhere(operation: &Operation) {
    // Which calls come before that step is not known; the whole has a line of its own.
    if operation.until.is_some() {
        return;
    }
    let since = Instant::now();
    let seed = seed();
    let trial = Trial::of(operation);
    let faults = planned(&trial, seed);
    let codes: Vec<i32> = faults.par_iter().map(|fault| fail(&trial, fault, seed)).collect();
    let mut histogram: BTreeMap<i32, usize> = BTreeMap::new();
    for code in codes {
        *histogram.entry(code).or_default() += 1;
    }
    println!(
        "{}: {} faults, exit status → times {histogram:?}, seed {seed}, {:.1} s",
        operation.name,
        faults.len(),
        since.elapsed().as_secs_f64()
    );
}

/// The faults, as `PANTLER_FAULT` has them.
fn planned(trial: &Trial<'_>, seed: u64) -> Vec<String> {
    let copy = trial.stage.copy();
    let operation = trial.operation;
    let (ran, calls) = fallible(&copy, operation.command);
    assert_eq!(ran.code(), Some(trial.code), "{}: {}", operation.name, ran.stderr);
    let hows: BTreeMap<&str, &[String]> =
        calls.iter().map(|(name, hows)| (name.as_str(), hows.as_slice())).collect();
    let (turns, _) = turns(calls.iter().map(|(name, _)| name.as_str()));
    let mut faults = Vec::new();
    for (name, count) in turns {
        // What is slow goes well.
        let hows: Vec<&str> =
            hows[name].iter().map(String::as_str).filter(|how| *how != "slow").collect();
        let both = ["", "+"];
        let one = draw(seed, &format!("{} {name}:{count}", operation.name), both.len());
        let times = if every_way() || count == 1 { &both[..] } else { &both[one..=one] };
        for times in times {
            let what = format!("{} {name}:{count}{times}", operation.name);
            let drawn = draw(seed, &what, hows.len());
            let chosen = if every_way() { &hows[..] } else { &hows[drawn..=drawn] };
            faults.extend(chosen.iter().map(|how| format!("{name}:{count}{times}:{how}")));
        }
    }
    faults
}

fn fail(trial: &Trial<'_>, fault: &str, seed: u64) -> i32 {
    let operation = trial.operation;
    let at = format!("{}: PANTLER_FAULT={fault} (PANTLER_SEED={seed})", operation.name);
    let copy = trial.stage.copy();
    let ran = copy.run(operation.command, &[("PANTLER_FAULT", fault)]);
    let at = format!("{at}\n{}\n", ran.stderr);
    let code = ran.code().unwrap_or_else(|| panic!("{at}: {:?}", ran.status));
    trial.check(&copy, &at);
    trial.assert_acknowledged(&copy, &ran, &at);
    match code {
        code if code == trial.code => {
            if !(operation.is(Special::Notes) && ran.stderr.contains("which is stored")) {
                trial.assert_expected(&copy, &at);
            }
        }
        1 if !operation.is(Special::InParts) => trial.assert_unchanged(&copy, &at),
        1 if operation.is(Special::EachByItself) => trial.assert_nothing_opened(&copy, &at),
        1 => {}
        // Quanta failed.
        3 => assert!(operation.chain.is_some() || operation.workspace.is_some(), "{at}: {code}"),
        // Findings are left.
        6 => assert!(operation.is(Special::Mends), "{at}: {code}"),
        4 => {
            let open = open(&copy.project);
            assert!(!open.is_empty(), "{at}: nothing is open");
            for name in open {
                assert!(ran.stderr.contains(&name), "{at}: {name} is open and not named");
            }
        }
        5 => trial.assert_nothing_deleted(&copy, &at),
        code => panic!("{at}: ended with {code}"),
    }
    if has_repository(&copy.project) {
        trial.close_copies(&copy, &at);
    }
    trial.finish_as_advised(&copy, &at);
    code
}
