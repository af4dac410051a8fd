//! Running the quanta of a workspace.
//!
//! One thread, the caller's, owns the queue (`scheduler`). It writes start lines,
//! gives quanta to the pool (`worker`), and takes back how they ended. Outputs are
//! at their final keys by then and may be read; another thread (`flush`) brings
//! them to stable storage in groups, and only then their finish lines are written.

mod beside;
mod context;
mod error;
mod flush;
mod message;
mod others;
mod resume;
mod reuse;
mod scheduler;
mod window;
mod worker;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32},
        mpsc,
    },
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{OpeningId, TaskLabel, transaction::Process};
use pantler_datastore::{Datastore, RunPrefix};
use pantler_graph::{QuantumGraph, QuantumIndex, ReuseTable};

pub use self::{beside::Beside, error::RunError};
use self::{
    beside::Company,
    context::StoredTable,
    flush::{FlushJob, journal_failed},
    message::Message,
    others::Others,
    resume::{Resumed, resume},
    scheduler::{Ran, Scheduler},
};
pub(crate) use self::{context::RunContext, worker::Attempt};
use crate::{
    Clock, Counts, Environment, JournalError, JournalState, JournalWriter, Observer, RunSummary,
    RunnerLock, Selection, StopFlag, TaskCounts, TaskRegistry,
    command::Children,
    frozen::frozen_markers,
    heartbeat,
    identity::{TaskIdentity, task_identities},
    layout,
    logs::LogWriter,
    plan::Plan,
    queue::{Place, Queue, Standing},
    runners::{Life, life},
    takeover,
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
    /// How to go along with other runners.
    pub beside: &'a Beside,
    /// Whether the marker of this name freezes a shard of which `selection` means quanta:
    /// if there is one once the header of this runner is there, nothing runs.
    pub concerns: &'a dyn Fn(&str) -> bool,
    /// What may be taken over instead of running it.
    pub reuse: Option<&'a ReuseTable>,
}

/// Runs the quanta asked for that have not succeeded yet, as far as they can.
///
/// Quanta that failed, or were cut off, or lost their outputs, run again as a new
/// attempt. A quantum that fails is no error of the run. Quanta that another runner is to
/// run are left to it, and waited for.
///
/// # Errors
/// [`RunError`] if the run cannot begin, or cannot be journaled any more. What it
/// had journaled stays true.
#[expect(clippy::too_many_lines, reason = "each step takes what those before it found")]
pub fn run(request: RunRequest<'_>) -> Result<RunSummary, RunError> {
    let since = Instant::now();
    let RunRequest { graph, lock, datastore, opening, run_prefix, tasks, environment, .. } =
        request;
    let RunRequest { selection, jobs, stop, observer, clock, process, .. } = request;
    let RunRequest { beside, concerns, reuse, .. } = request;
    let root = lock.root();
    refuse_closing(root)?;
    let asked = selection.of(graph)?;
    let plan = Plan::new(graph, tasks)?;
    let meant: Vec<bool> = (0..plan.len()).map(|q| asked[plan.index(q).get()]).collect();
    let failed = journal_failed(root);
    let dir = layout::journal_dir(root);
    for runner in &beside.take_over {
        takeover::declare_dead(root, *runner, process, clock.now())?;
    }
    let needed = selection.with_upstream(graph)?;
    let mut state = read_journal(graph, &dir, needed.as_deref()).map_err(&failed)?;
    let needed = needed.as_deref();
    check_opening(&state, opening, &dir).map_err(&failed)?;
    let mut stored = StoredTable::new(graph.dataset_count());
    let mut resumed = resume(&plan, &state, needed, datastore, run_prefix, &stored)?;
    let place = |q: u32| if meant[q as usize] { Place::Here } else { Place::Nowhere };
    let finished = resumed.finished.iter().copied();
    let queue = Queue::beside(plan.len(), &plan.edges(), finished, place);
    let alone = beside.wait.is_none() && !Others::any(&dir, &state, process).map_err(&failed)?;
    if queue.ready() == 0 && (alone || !queue.is_waiting()) {
        observer.on_start(&counts(&plan, &queue));
        let (failures, unmade) = (Vec::new(), Vec::new());
        let ran = Ran { queue, failures, elsewhere: 0, unmade, stopped: false, taken_over: 0 };
        return Ok(summary(&plan, ran, None, resumed.vanished, since.elapsed()));
    }
    drop(queue);

    sweep(root, &dir, &state, process);
    let identities = task_identities(graph.pipeline(), &environment.pipeline_dir);
    let tasks_here =
        identities.iter().map(|(label, task)| (label.clone(), task.fingerprint())).collect();
    let now = clock.now();
    let journal =
        JournalWriter::create_for(&dir, opening, process, now, Some(selection), &tasks_here)
            .map_err(&failed)?;
    let runner = journal.runner();
    let journal = refuse_closing_after(root, journal)?;
    let journal = refuse_frozen_after(root, journal, concerns)?;
    let lines = |state: &JournalState| -> u64 {
        let others = state.read_so_far().iter().filter(|segment| segment.runner != runner);
        others.map(|segment| segment.lines).sum()
    };
    let before = lines(&state);
    state.read_on(&dir).map_err(&failed)?;
    if lines(&state) != before {
        stored = StoredTable::new(graph.dataset_count());
        resumed = resume(&plan, &state, needed, datastore, run_prefix, &stored)?;
    }
    let others = Others::of(&dir, &state, runner, process, graph).map_err(&failed)?;
    let failed_elsewhere = failed_elsewhere(&plan, &state, &others, &meant);
    drop(state);
    let root = absolute(root)?;
    let Resumed { finished, attempts, made, decided, vanished } = resumed;
    let (sender, messages) = mpsc::channel();
    let context = RunContext {
        log: Mutex::new(LogWriter::new(&root, runner)),
        root,
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
        identities: by_number(&plan, identities),
        plan,
        decided,
        reuse,
    };
    let mut company = Company::new(others, meant, beside.wait);
    let place = |q| company.place(&context, q);
    let plan = &context.plan;
    let mut queue = Queue::beside(plan.len(), &plan.edges(), finished, place);
    for q in failed_elsewhere {
        queue.finish_elsewhere(q, crate::queue::Ended::Failed);
    }
    company.note_owners(&context, &queue);
    company.look_ahead(&queue);
    observer.on_start(&counts(plan, &queue));
    let jobs = jobs.or_else(|| std::thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, NonZeroUsize::get);
    let (flush, flush_receiver) = mpsc::channel();
    let scheduler = Scheduler {
        context: &context,
        queue,
        journal,
        attempts,
        made,
        company,
        jobs,
        stop,
        observer,
        flush,
        messages,
        failures: Vec::new(),
        taken_over: 0,
    };
    let ran = drive(scheduler, sender, flush_receiver)?;
    heartbeat::end(&layout::journal_dir(context.root()), runner);
    Ok(summary(&context.plan, ran, Some(runner), vanished, since.elapsed()))
}

/// What the tasks of a plan are.
fn by_number(
    plan: &Plan<'_>,
    mut identities: BTreeMap<TaskLabel, TaskIdentity>,
) -> Vec<Option<TaskIdentity>> {
    plan.tasks().iter().map(|task| identities.remove(&task.task.label)).collect()
}

/// What a live runner has failed of what is its own: it does not try that again, and
/// neither do others while it runs.
fn failed_elsewhere(
    plan: &Plan<'_>,
    state: &JournalState,
    others: &Others,
    meant: &[bool],
) -> Vec<u32> {
    if !others.are_there() {
        return Vec::new();
    }
    let is_failed = |q: &u32| {
        let owner = others.owner(plan.index(*q).get(), meant[*q as usize]);
        let history = state.quantum(plan.id(*q));
        history.is_some_and(|history| {
            matches!(history.standing(), crate::Standing::Failed { finish } if Some(finish.runner) == owner)
        })
    };
    (0..plan.len()).filter(is_failed).collect()
}

/// Takes away what runners that are gone have left in their scratch directories. What
/// resists is in nobody's way.
fn sweep(root: &Utf8Path, dir: &Utf8Path, state: &JournalState, here: &Process) {
    let scratch = layout::scratch_dir(root);
    let Ok(entries) = scratch.read_dir_utf8() else { return };
    let is_gone = |runner: u32| {
        let segment = state.read_so_far().iter().find(|segment| segment.runner == runner);
        segment.is_some_and(|segment| {
            life(dir, segment, here).is_ok_and(|life| matches!(life, Life::Ended | Life::Dead))
        })
    };
    for entry in entries.flatten() {
        let runner = entry.file_name().split('-').next().and_then(|runner| runner.parse().ok());
        if runner.is_none_or(is_gone) {
            drop(pantler_datastore::fs::remove_tree(entry.path()));
        }
    }
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
        // Dropped when the scheduler has ended, however it has.
        let (_alive, ended) = mpsc::channel();
        std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn_scoped(threads, move || beat(context, &ended))
            .map_err(|error| RunError::Threads { threads: 1, source: Box::new(error) })?;
        pool.in_place_scope(|scope| scheduler.run(scope))
    })
}

/// Gives signs of life, and looks whether anybody has missed them.
fn beat(context: &RunContext<'_>, ended: &mpsc::Receiver<()>) {
    let dir = layout::journal_dir(context.root());
    heartbeat::beat(&dir, context.runner(), context.clock, ended, || {
        if dir.join(layout::over_name(context.runner())).exists() || !dir.exists() {
            context.send(Message::TakenOver);
        }
    });
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

fn absolute(root: &Utf8Path) -> Result<Utf8PathBuf, RunError> {
    let path = root.to_owned();
    camino::absolute_utf8(root).map_err(|source| RunError::Io { action: "find", path, source })
}

/// A closer that has not seen the header of `journal` has set its marker before.
fn refuse_closing_after(
    root: &Utf8Path,
    journal: JournalWriter,
) -> Result<JournalWriter, RunError> {
    match refuse_closing(root) {
        Ok(()) => Ok(journal),
        Err(closing) => {
            journal.seal().map_err(journal_failed(root))?;
            Err(closing)
        }
    }
}

/// One that freezes a shard and has not seen the header of `journal` has made its marker
/// before.
fn refuse_frozen_after(
    root: &Utf8Path,
    journal: JournalWriter,
    concerns: &dyn Fn(&str) -> bool,
) -> Result<JournalWriter, RunError> {
    let path = layout::frozen_dir(root);
    let now =
        frozen_markers(root).map_err(|source| RunError::Io { action: "look for", path, source })?;
    if !now.iter().any(|marker| concerns(marker)) {
        return Ok(journal);
    }
    journal.seal().map_err(journal_failed(root))?;
    Err(RunError::Frozen { root: root.to_owned() })
}

/// Reads what the journal says about these quanta, or all.
fn read_journal(
    graph: &QuantumGraph,
    dir: &Utf8Path,
    needed: Option<&[QuantumIndex]>,
) -> Result<JournalState, JournalError> {
    match needed {
        Some(needed) => {
            let ids: Vec<_> = needed.iter().map(|index| graph.quantum_id(*index)).collect();
            JournalState::read_only(dir, &ids)
        }
        None => JournalState::read(dir),
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
            Standing::Waiting | Standing::Ready | Standing::Running | Standing::Elsewhere => {
                &mut counts.not_run
            }
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
    let Ran { queue, failures, elsewhere, unmade, stopped, taken_over } = ran;
    let tasks = counts(plan, &queue);
    RunSummary { runner, tasks, failures, vanished, taken_over, elsewhere, unmade, stopped, wall }
}

#[cfg(test)]
mod tests;
