use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

struct Plan {
    crash: Option<(String, u64)>,
    hits: AtomicU64,
    log: Option<File>,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

#[expect(clippy::disallowed_methods, reason = "tests arm a process through its environment")]
fn read_plan() -> Option<Plan> {
    let crash = std::env::var("PANTLER_CRASH").ok().map(|text| {
        let (name, n) = text.rsplit_once(':').expect("PANTLER_CRASH is name:n");
        (name.to_owned(), n.parse().expect("PANTLER_CRASH is name:n"))
    });
    let log = std::env::var("PANTLER_CRASH_LOG").ok().map(|path| {
        OpenOptions::new().append(true).create(true).open(path).expect("PANTLER_CRASH_LOG opens")
    });
    (crash.is_some() || log.is_some()).then(|| Plan { crash, hits: AtomicU64::new(0), log })
}

pub(crate) fn step(name: &'static str) {
    let Some(plan) = PLAN.get_or_init(read_plan) else { return };
    if let Some(mut log) = plan.log.as_ref() {
        log.write_all(format!("{name}\n").as_bytes()).expect("PANTLER_CRASH_LOG takes a line");
    }
    if let Some((wanted, n)) = &plan.crash
        && wanted == name
        && plan.hits.fetch_add(1, Ordering::SeqCst) + 1 == *n
    {
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, rustix::process::Signal::KILL)
            .expect("a process may kill itself");
        loop {
            std::thread::park();
        }
    }
}
