use std::{
    fs::File,
    io::Write as _,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;

use crate::How;

mod trace;

pub(crate) use trace::Trace;

/// The variable that plans faults.
const FAULT: &str = "PANTLER_FAULT";

/// How long something slow takes.
const SLOW: Duration = Duration::from_millis(150);

/// The name that stands for everything that can fail.
const ANY: &str = "*";

/// A step at which this process sends itself a signal.
struct Mine {
    name: String,
    count: u64,
    signal: Signal,
    hits: AtomicU64,
}

/// A call, or all from one on, that must fail.
struct Fault {
    name: String,
    count: u64,
    onwards: bool,
    how: How,
    hits: AtomicU64,
}

/// What the environment of this process says.
pub(crate) struct Plan {
    mines: Vec<Mine>,
    log: Option<File>,
    faults: Vec<Fault>,
    fault_log: Option<File>,
    trace: Option<Trace>,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

/// The plan for this process, if there is one.
pub(crate) fn plan() -> Option<&'static Plan> {
    PLAN.get_or_init(|| Plan::read(&variable)).as_ref()
}

#[expect(clippy::disallowed_methods, reason = "tests arm a process through its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Plan {
    fn read(variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let file = |name: &str| {
            let open = |path| File::options().append(true).create(true).open(path);
            variable(name).map(|path| open(path).unwrap_or_else(|e| panic_at(name, &e)))
        };
        let mine = |name: &str, signal| variable(name).map(|text| Mine::read(name, &text, signal));
        let mines: Vec<Mine> =
            [mine("PANTLER_CRASH", Signal::KILL), mine("PANTLER_PAUSE", Signal::STOP)]
                .into_iter()
                .flatten()
                .collect();
        let faults = variable(FAULT).unwrap_or_default();
        let faults: Vec<Fault> =
            faults.split(',').filter(|text| !text.is_empty()).map(Fault::read).collect();
        let plan = Self {
            mines,
            log: file("PANTLER_CRASH_LOG"),
            faults,
            fault_log: file("PANTLER_FAULT_LOG"),
            trace: file("PANTLER_TRACE").map(Trace::new),
        };
        let empty = plan.mines.is_empty()
            && plan.faults.is_empty()
            && plan.log.is_none()
            && plan.fault_log.is_none()
            && plan.trace.is_none();
        (!empty).then_some(plan)
    }

    pub(crate) fn step(&self, name: &'static str) {
        if let Some(mut log) = self.log.as_ref() {
            log.write_all(format!("{name}\n").as_bytes()).expect("PANTLER_CRASH_LOG takes a line");
        }
        for mine in &self.mines {
            if mine.name == name && mine.hits.fetch_add(1, Ordering::SeqCst) + 1 == mine.count {
                // Other threads do nothing to files that is not traced yet.
                let _quiet = self.trace.as_ref().map(Trace::quiet);
                if mine.signal == Signal::STOP {
                    // To this thread, which then stops all others. One sent to the process
                    // goes to the main thread, and this one would go on until that runs.
                    signal_hook::low_level::raise(mine.signal.as_raw())
                        .expect("a thread may signal itself");
                    continue;
                }
                rustix::process::kill_process(rustix::process::getpid(), mine.signal)
                    .expect("a process may signal itself");
                loop {
                    std::thread::park();
                }
            }
        }
    }

    pub(crate) fn fault(&self, name: &'static str, hows: &'static [How]) -> Option<How> {
        if let Some(mut log) = self.fault_log.as_ref() {
            let names: Vec<_> = hows.iter().map(|how| how.name()).collect();
            let line = format!("{name} {}\n", names.join(","));
            log.write_all(line.as_bytes()).expect("PANTLER_FAULT_LOG takes a line");
        }
        let mut planned = None;
        for fault in &self.faults {
            if fault.name != name && fault.name != ANY {
                continue;
            }
            let n = fault.hits.fetch_add(1, Ordering::SeqCst) + 1;
            if n == fault.count || (fault.onwards && n > fault.count) {
                let sensible = hows.contains(&fault.how);
                assert!(
                    sensible || fault.name == ANY,
                    "{FAULT}: {} makes no sense at {name}",
                    fault.how
                );
                if sensible {
                    planned.get_or_insert(fault.how);
                }
            }
        }
        if planned == Some(How::Slow) {
            std::thread::sleep(SLOW);
            return None;
        }
        planned
    }

    pub(crate) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }
}

impl Mine {
    fn read(variable: &str, text: &str, signal: Signal) -> Self {
        let (name, count) = text.rsplit_once(':').unwrap_or_else(|| panic_at(variable, &text));
        let count = count.parse().unwrap_or_else(|e| panic_at(variable, &e));
        Self { name: name.to_owned(), count, signal, hits: AtomicU64::new(0) }
    }
}

impl Fault {
    fn read(text: &str) -> Self {
        let [name, count, how] = text
            .split(':')
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_else(|_| panic_at(FAULT, &text));
        let (count, onwards) = match count.strip_suffix('+') {
            Some(count) => (count, true),
            None => (count, false),
        };
        Self {
            name: name.to_owned(),
            count: count.parse().unwrap_or_else(|e| panic_at(FAULT, &e)),
            onwards,
            how: how.parse().unwrap_or_else(|e| panic_at(FAULT, &e)),
            hits: AtomicU64::new(0),
        }
    }
}

#[expect(clippy::panic, reason = "a test that is not armed as it says must fail")]
fn panic_at(variable: &str, what: &dyn std::fmt::Display) -> ! {
    panic!("{variable}: {what}")
}

#[cfg(test)]
mod tests;
