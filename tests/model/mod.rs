//! Random sequences of all operations, with faults, deaths and outside damage, against a
//! model in memory.
//!
//! After each step the butler's answers must be what the model says, each stored dataset
//! must read as it was stored, and `check` must find exactly what was damaged on purpose.
//! After a fault or a death several outcomes are allowed; which one it is, is seen, and
//! it must be one of them, for a transaction all or nothing.
//!
//! `PANTLER_MODEL_CASES` is the number of sequences, `PANTLER_MODEL_SEED` where to begin.

mod apply;
mod operation;
mod regressions;
mod rules;
mod seen;
mod sessions;
mod state;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use pantler::direct::DirectButler;
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use self::{
    apply::{Tally, Twin},
    operation::{Fault, Step},
    world::Template,
};

const CASES: u64 = 2_000;

/// How often a sequence that fails is tried to be made shorter.
const SHORTER: u32 = 3_000;

/// Where sequences are done.
struct Place<'a> {
    template: &'a Template,
    source: DirectButler,
    tally: &'a Tally,
    /// Whether a rule of the model is wrong on purpose.
    wrong: bool,
}

impl Place<'_> {
    /// Does all steps, and closes what they left open.
    fn sequence(&self, steps: &[Step]) -> Result<(), String> {
        let all = || {
            let mut twin = Twin::new(self.template, &self.source, self.tally, self.wrong);
            for (n, step) in steps.iter().enumerate() {
                twin.step(step).map_err(|reason| format!("step {n}, {step:?}: {reason}"))?;
            }
            twin.finish().map_err(|reason| format!("at the end: {reason}"))
        };
        catch_unwind(AssertUnwindSafe(all)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(format!("a panic: {}", text.unwrap_or_default()))
        })
    }

    /// Draws the sequence of a case, does it, and makes it shorter if it fails.
    fn case(&self, case: u64) -> Option<Failure> {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&case.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut tree = operation::steps().new_tree(&mut runner).unwrap();
        let steps = tree.current();
        let reason = self.sequence(&steps).err()?;
        let mut failure = Failure { case, steps, reason };
        let mut more = tree.simplify();
        for _ in 0..SHORTER {
            if !more {
                break;
            }
            let steps = tree.current();
            more = match self.sequence(&steps) {
                Err(reason) => {
                    failure = Failure { case, steps, reason };
                    tree.simplify()
                }
                Ok(()) => tree.complicate(),
            };
        }
        Some(self.without(failure))
    }

    /// Leaves out every step, and every fault, that is not needed to fail.
    fn without(&self, mut failure: Failure) -> Failure {
        let mut n = failure.steps.len();
        while n > 0 {
            n -= 1;
            let mut fewer = failure.steps.clone();
            fewer.remove(n);
            let mut calmer = failure.steps.clone();
            calmer[n].fault = Fault::None;
            for steps in [fewer, calmer] {
                if let Err(reason) = self.sequence(&steps) {
                    failure = Failure { steps, reason, ..failure };
                    break;
                }
            }
        }
        failure
    }
}

/// A sequence that failed, made as short as it can be.
struct Failure {
    case: u64,
    steps: Vec<Step>,
    reason: String,
}

#[expect(clippy::disallowed_methods, reason = "how many cases is for who runs the tests to say")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Does many cases on all cores, until one fails.
fn cases(first: u64, count: u64, wrong: bool, tally: &Tally) -> Option<Failure> {
    let template = Template::new();
    let next = AtomicU64::new(first);
    let stop = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let work = || {
        let place = Place { template: &template, source: template.source(), tally, wrong };
        // Alone, so that the same case does the same in the same order.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        while !stop.load(Ordering::Relaxed) {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= first + count {
                break;
            }
            if let Some(found) = pool.install(|| place.case(n)) {
                stop.store(true, Ordering::Relaxed);
                failure.lock().unwrap().get_or_insert(found);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    failure.into_inner().unwrap()
}

/// What a run of the usual length must have met, or else it shows little.
const MET: [&str; 30] = [
    "put: done",
    "put: failed",
    "put: left open",
    "put: died",
    "ingest: done",
    "ingest: failed",
    "ingest: left open",
    "ingest: died",
    "restore: done",
    "restore: died",
    "transfer: done",
    "transfer: left open",
    "transfer: died",
    "remove: done",
    "remove: left open",
    "remove: died",
    "removerun: done",
    "removerun: died",
    "tag: done",
    "chain: done",
    "begin: done",
    "session: done",
    "session: failed",
    "session: left open",
    "session: died",
    "commit: done",
    "commit: failed",
    "commit: died",
    "revert: done",
    "abandon: done",
];

#[test]
fn sequences_leave_what_the_model_says() {
    let first = setting("PANTLER_MODEL_SEED", 0);
    let count = setting("PANTLER_MODEL_CASES", CASES);
    let tally = Tally::default();
    if let Some(Failure { case, steps, reason }) = cases(first, count, false, &tally) {
        let steps: Vec<String> = steps.iter().map(|step| format!("    {step:?},")).collect();
        let steps = steps.join("\n");
        panic!(
            "PANTLER_MODEL_SEED={case} PANTLER_MODEL_CASES=1 fails; shortest:\n{steps}\n{reason}"
        );
    }
    let tally = tally.into_inner().unwrap();
    println!("{tally:#?}");
    if count >= CASES {
        for met in MET {
            assert!(tally.contains_key(met), "never met: {met}");
        }
    }
}

/// The machine can fail: a rule that is wrong is found, and the sequence is made short.
#[test]
fn a_wrong_rule_is_found() {
    let failure = cases(0, 100, true, &Tally::default()).expect("a wrong rule was not found");
    assert!(failure.steps.len() <= 5, "{:?}", failure.steps);
}
