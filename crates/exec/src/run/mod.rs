//! Running the quanta of a workspace.
//!
//! One thread, the caller's, owns the queue (`scheduler`). It writes start lines,
//! gives quanta to the pool (`worker`), and takes back how they ended. Outputs are
//! at their final keys by then and may be read; another thread (`flush`) brings
//! them to stable storage in groups, and only then their finish lines are written.

mod context;
mod error;
mod flush;
mod message;
mod resume;
mod scheduler;
mod window;
mod worker;

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32},
        mpsc,
    },
    time::{Duration, Instant},
};

use camino::Utf8Path;
use pantler_core::{OpeningId, transaction::Process};
use pantler_datastore::{Datastore, RunPrefix};
use pantler_graph::QuantumGraph;

pub use self::error::RunError;
pub(crate) use self::{context::RunContext, worker::Attempt};
use self::{
    context::StoredTable,
    flush::{FlushJob, journal_failed},
    message::Message,
    resume::{Resumed, resume},
    scheduler::{Ran, Scheduler},
};
use crate::{
    Clock, Counts, Environment, JournalError, JournalState, JournalWriter, Observer, RunSummary,
    RunnerLock, Selection, StopFlag, TaskCounts, TaskRegistry,
    command::Children,
    layout,
    logs::LogWriter,
    plan::Plan,
    queue::{Queue, Standing},
};

/// What to run, where, and with what.
#[expect(missing_debug_implementations, reason = "an observer need not be printable")]
pub struct RunRequest<'a> {
    /// The graph.
    pub graph: &'a QuantumGraph,
    /// The quanta to run.
    pub selection: &'a Selection,
    /// The lock of the workspace, whose root it names.
    pub lock: &'a RunnerLock,
    /// Where inputs are and outputs go.
    pub datastore: &'a Datastore,
    /// The opening of the workspace.
    pub opening: OpeningId,
    /// The prefix of the output RUN's keys.
    pub run_prefix: &'a RunPrefix,
    /// The Rust tasks.
    pub tasks: &'a TaskRegistry,
    /// What commands see.
    pub environment: &'a Environment,
    /// How many quanta run at a time; `None` for as many as there are cores.
    pub jobs: Option<NonZeroUsize>,
    /// Asks the run to stop.
    pub stop: &'a StopFlag,
    /// Is told what happens.
    pub observer: &'a mut dyn Observer,
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// This process.
    pub process: &'a Process,
}

/// Runs the quanta asked for that have not succeeded yet, as far as they can.
///
/// Quanta that failed, or were cut off, or lost their outputs, run again as a new
/// attempt. A quantum that fails is no error of the run.
///
/// # Errors
/// [`RunError`] if the run cannot begin, or cannot be journaled any more. What it
/// had journaled stays true.
pub fn run(request: RunRequest<'_>) -> Result<RunSummary, RunError> {
    let since = Instant::now();
    let RunRequest { graph, lock, datastore, opening, run_prefix, tasks, environment, .. } =
        request;
    let RunRequest { selection, jobs, stop, observer, clock, process, .. } = request;
    let root = lock.root();
    refuse_closing(root)?;
    let meant = selection.of(graph)?;
    let plan = Plan::new(graph, tasks)?;
    let failed = journal_failed(root);
    let journal_dir = layout::journal_dir(root);
    let state = JournalState::read(&journal_dir).map_err(&failed)?;
    check_opening(&state, opening, &journal_dir).map_err(&failed)?;
    let stored = StoredTable::new(graph.dataset_count());
    let Resumed { finished, attempts, vanished } =
        resume(&plan, &state, datastore, run_prefix, &stored)?;
    drop(state);
    let queue = Queue::new(plan.len(), &plan.edges(), finished, |q| meant[plan.index(q).get()]);
    observer.on_start(&counts(&plan, &queue));
    if queue.ready() == 0 {
        let ran = Ran { queue, failures: Vec::new(), stopped: false };
        return Ok(summary(&plan, ran, None, vanished, since.elapsed()));
    }

    // Left by runners that died; we hold the lock. What resists is in nobody's way.
    drop(pantler_datastore::fs::remove_tree(&layout::scratch_dir(root)));
    let journal =
        JournalWriter::create(&journal_dir, opening, process, clock.now()).map_err(&failed)?;
    let runner = journal.runner();
    let root = camino::absolute_utf8(root).map_err(|source| RunError::Io {
        action: "find",
        path: root.to_owned(),
        source,
    })?;
    let (sender, messages) = mpsc::channel();
    let context = RunContext {
        log: Mutex::new(LogWriter::new(&root, runner)),
        root,
        plan,
        datastore,
        run_prefix,
        opening,
        runner,
        environment,
        clock,
        stored,
        children: Children::default(),
        scratches: AtomicU32::new(0),
        stopping: AtomicBool::new(false),
        messages: sender.clone(),
    };
    let jobs = jobs.or_else(|| std::thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, NonZeroUsize::get);
    let (flush, flush_receiver) = mpsc::channel();
    let scheduler = Scheduler {
        context: &context,
        queue,
        journal,
        attempts,
        jobs,
        stop,
        observer,
        flush,
        messages,
        failures: Vec::new(),
    };
    let ran = drive(scheduler, sender, flush_receiver)?;
    Ok(summary(&context.plan, ran, Some(runner), vanished, since.elapsed()))
}

/// Starts the pool and the flushing thread, and runs the scheduler on this one.
fn drive(
    scheduler: Scheduler<'_>,
    sender: mpsc::Sender<Message>,
    flush_jobs: mpsc::Receiver<FlushJob>,
) -> Result<Ran, RunError> {
    let (context, jobs) = (scheduler.context, scheduler.jobs);
    // Before the first output is written, so that it sees the errors of all of them.
    let flusher = context.datastore().storage().flusher();
    let flusher = flusher.map_err(|source| RunError::Flush { quanta: 0, source })?;
    let sync = scheduler.journal.sync().map_err(journal_failed(context.root()))?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .thread_name(|n| format!("quantum-{n}"))
        .build()
        .map_err(|error| RunError::Threads { threads: jobs, source: Box::new(error) })?;
    let _waking = Waking::begin(scheduler.stop, sender.clone());
    std::thread::scope(|threads| {
        std::thread::Builder::new()
            .name("flush".to_owned())
            .spawn_scoped(threads, move || {
                flush::work(context, &*flusher, &sync, flush_jobs, &sender);
            })
            .map_err(|error| RunError::Threads { threads: 1, source: Box::new(error) })?;
        pool.in_place_scope(|scope| scheduler.run(scope))
    })
}

/// Makes requests to stop wake the scheduler, while this lives.
struct Waking<'a>(&'a StopFlag);

impl<'a> Waking<'a> {
    fn begin(stop: &'a StopFlag, sender: mpsc::Sender<Message>) -> Self {
        stop.wake(Some(Box::new(move || {
            // Not heard only if the run has just ended.
            let _unheard = sender.send(Message::Stop);
        })));
        Self(stop)
    }
}

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        self.0.wake(None);
    }
}

fn refuse_closing(root: &Utf8Path) -> Result<(), RunError> {
    let marker = layout::closing_marker(root);
    match marker.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(RunError::Closing { root: root.to_owned() }),
        Err(source) => Err(RunError::Io { action: "look for", path: marker, source }),
    }
}

fn check_opening(
    state: &JournalState,
    expected: OpeningId,
    dir: &Utf8Path,
) -> Result<(), JournalError> {
    match state.opening() {
        Some(found) if found != expected => {
            Err(JournalError::OtherOpening { path: dir.to_owned(), found, expected })
        }
        _ => Ok(()),
    }
}

fn counts(plan: &Plan<'_>, queue: &Queue) -> Vec<TaskCounts> {
    let mut tasks: Vec<TaskCounts> = plan
        .tasks()
        .iter()
        .map(|task| TaskCounts {
            task: task.task.label.clone(),
            counts: Counts { total: task.quanta, ..Counts::default() },
        })
        .collect();
    for q in 0..plan.len() {
        let counts = &mut tasks[plan.task_number(q)].counts;
        *match queue.standing(q) {
            Standing::Waiting | Standing::Ready | Standing::Running => &mut counts.not_run,
            Standing::Succeeded => &mut counts.succeeded,
            Standing::Skipped => &mut counts.skipped,
            Standing::Failed => &mut counts.failed,
            Standing::Blocked => &mut counts.blocked,
            Standing::Excluded => &mut counts.excluded,
        } += 1;
    }
    tasks
}

fn summary(
    plan: &Plan<'_>,
    ran: Ran,
    runner: Option<u32>,
    vanished: usize,
    wall: Duration,
) -> RunSummary {
    let Ran { queue, failures, stopped } = ran;
    RunSummary { runner, tasks: counts(plan, &queue), failures, vanished, stopped, wall }
}

#[cfg(test)]
mod tests;
