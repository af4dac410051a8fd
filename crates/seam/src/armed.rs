use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::process::Signal;

/// A step at which this process sends itself a signal.
struct Mine {
    name: String,
    count: u64,
    signal: Signal,
    hits: AtomicU64,
}

struct Plan {
    mines: Vec<Mine>,
    log: Option<File>,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

#[expect(clippy::disallowed_methods, reason = "tests arm a process through its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn mine(variable_name: &str, signal: Signal) -> Option<Mine> {
    let text = variable(variable_name)?;
    let (name, count) = text.rsplit_once(':').expect("it is step:count");
    let count = count.parse().expect("it is step:count");
    Some(Mine { name: name.to_owned(), count, signal, hits: AtomicU64::new(0) })
}

fn read_plan() -> Option<Plan> {
    let mines: Vec<Mine> =
        [mine("PANTLER_CRASH", Signal::KILL), mine("PANTLER_PAUSE", Signal::STOP)]
            .into_iter()
            .flatten()
            .collect();
    let log = variable("PANTLER_CRASH_LOG").map(|path| {
        OpenOptions::new().append(true).create(true).open(path).expect("PANTLER_CRASH_LOG opens")
    });
    (!mines.is_empty() || log.is_some()).then_some(Plan { mines, log })
}

pub(crate) fn step(name: &'static str) {
    let Some(plan) = PLAN.get_or_init(read_plan) else { return };
    if let Some(mut log) = plan.log.as_ref() {
        log.write_all(format!("{name}\n").as_bytes()).expect("PANTLER_CRASH_LOG takes a line");
    }
    for mine in &plan.mines {
        if mine.name == name && mine.hits.fetch_add(1, Ordering::SeqCst) + 1 == mine.count {
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, mine.signal).expect("a process may signal itself");
            if mine.signal == Signal::KILL {
                loop {
                    std::thread::park();
                }
            }
        }
    }
}
