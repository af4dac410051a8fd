//! The thread that owns the queue: hands out ready quanta, takes what comes back,
//! writes the journal.

use std::{
    sync::mpsc::{Receiver, Sender},
    time::{Duration, Instant},
};

use pantler_seam::step;
use rayon::Scope;
use rustix::process::Signal;

use super::{
    beside::{Board, Company},
    context::RunContext,
    error::RunError,
    flush::{Finished, FlushJob, Group, journal_failed},
    message::{Attempted, Message},
    window::Window,
    worker,
};
use crate::{
    Failure, FailureReason, JournalWriter, ObservedQuantum, Observer, RunSummary, StopFlag, Unmade,
    journal::{Finish, MadeFrom, Outcome},
    layout,
    queue::{Ended, Queue},
    takeover,
};

/// What commands get between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

pub(super) struct Scheduler<'r> {
    pub(super) context: &'r RunContext<'r>,
    pub(super) queue: Queue,
    pub(super) journal: JournalWriter,
    /// How often each quantum was attempted before.
    pub(super) attempts: Vec<u32>,
    /// Of each quantum whose outputs are there, runner and number of the attempt.
    pub(super) made: Vec<Option<(u32, u32)>>,
    pub(super) company: Company,
    pub(super) jobs: usize,
    pub(super) stop: &'r StopFlag,
    pub(super) observer: &'r mut dyn Observer,
    pub(super) flush: Sender<FlushJob>,
    pub(super) messages: Receiver<Message>,
    pub(super) failures: Vec<Failure>,
    pub(super) taken_over: usize,
}

/// What a run ends with.
pub(super) struct Ran {
    pub(super) queue: Queue,
    pub(super) failures: Vec<Failure>,
    pub(super) elsewhere: usize,
    pub(super) unmade: Vec<Unmade>,
    pub(super) stopped: bool,
    pub(super) taken_over: usize,
}

/// What changes while a run goes on.
struct Progress {
    in_flight: usize,
    window: Window,
    group: Group,
    /// Whether the flushing thread has a job.
    flushing: bool,
    stopping: Option<Stopping>,
    /// Why the run breaks off once nothing runs any more.
    fatal: Option<RunError>,
}

struct Stopping {
    kill_at: Instant,
    killed: bool,
}

impl<'r> Scheduler<'r> {
    /// Runs until nothing is left to run, or the run was stopped or broke off, and
    /// seals the journal unless it broke off.
    pub(super) fn run<'s>(mut self, scope: &Scope<'s>) -> Result<Ran, RunError>
    where
        'r: 's,
    {
        let mut progress = Progress {
            in_flight: 0,
            window: Window::new(self.jobs, Instant::now()),
            group: Group::default(),
            flushing: false,
            stopping: None,
            fatal: None,
        };
        loop {
            self.look_at_stop(&mut progress);
            self.look_at_others(&mut progress);
            if progress.stopping.is_none()
                && let Err(error) = self.dispatch(scope, &mut progress)
            {
                self.break_off(&mut progress, error);
            }
            self.send_group(&mut progress);
            if progress.in_flight > 0 || progress.flushing {
                self.company.is_busy();
            } else if progress.stopping.is_some() || !self.waits_for_others(&mut progress) {
                break;
            } else if self.queue.ready() > 0 {
                continue;
            }
            self.take_messages(&mut progress);
        }
        if let Some(error) = progress.fatal {
            return Err(error);
        }
        self.journal.seal().map_err(journal_failed(self.context.root()))?;
        let stopped = progress.stopping.is_some();
        let elsewhere = self.company.elsewhere();
        let unmade = self.company.close(&mut self.queue);
        let Self { queue, failures, taken_over, .. } = self;
        Ok(Ran { queue, failures, elsewhere, unmade, stopped, taken_over })
    }

    /// Takes what other runners have made, and what they have left, if it is time.
    fn look_at_others(&mut self, progress: &mut Progress) {
        if progress.stopping.is_none()
            && self.company.due().is_some_and(|due| due <= Instant::now())
            && let Err(error) = self.hear_others()
        {
            self.break_off(progress, error);
        }
    }

    fn hear_others(&mut self) -> Result<(), RunError> {
        let Self { company, context, queue, attempts, made, failures, observer, .. } = self;
        let mut board = Board { queue, attempts, made, failures };
        company.look(context, &mut board, *observer)
    }

    /// Nothing runs here. Whether what can run here depends on others.
    fn waits_for_others(&mut self, progress: &mut Progress) -> bool {
        if !self.queue.is_waiting() && !self.queue.is_elsewhere() {
            return false;
        }
        if self.company.begins_to_idle()
            && let Err(error) = self.hear_others()
        {
            self.break_off(progress, error);
        }
        self.queue.ready() > 0 || self.company.is_worth_waiting(&self.queue, self.observer)
    }

    /// Refuses to go on once somebody has declared this runner dead.
    fn check_taken_over(&self) -> Result<(), RunError> {
        let (context, runner) = (self.context, self.context.runner());
        let dir = layout::journal_dir(context.root());
        match takeover::by(&dir, runner).map_err(journal_failed(context.root()))? {
            Some(by) => Err(RunError::TakenOver { runner, by }),
            None if dir.exists() => Ok(()),
            None => Err(RunError::Gone { root: context.root().to_owned() }),
        }
    }

    /// Gives ready quanta to the pool, after their start lines are in the file.
    fn dispatch<'s>(&mut self, scope: &Scope<'s>, progress: &mut Progress) -> Result<(), RunError>
    where
        'r: 's,
    {
        let context = self.context;
        let mut batch = Vec::new();
        while let Some(q) = self.queue.peek() {
            // A command occupies its thread for long: none is started ahead.
            let limit =
                if context.plan().is_command(q) { self.jobs } else { progress.window.size() };
            if progress.in_flight + batch.len() >= limit {
                break;
            }
            self.queue.dequeue();
            let attempt = self.attempts[q as usize] + 1;
            self.journal.start(context.plan().id(q), attempt);
            batch.push((q, attempt));
        }
        if batch.is_empty() {
            return Ok(());
        }
        let appended = self
            .check_taken_over()
            .and_then(|()| self.journal.append().map_err(journal_failed(context.root())));
        if let Err(error) = appended {
            for (q, _) in batch {
                self.queue.give_back(q);
            }
            return Err(error);
        }
        step("exec.start.journaled");
        progress.in_flight += batch.len();
        for (q, attempt) in batch {
            self.observer.quantum_started(&observed(context, q));
            scope.spawn(move |_| worker::attempt(context, q, attempt));
        }
        Ok(())
    }

    /// Gives finished quanta to the flushing thread, if it is idle and it is time.
    fn send_group(&mut self, progress: &mut Progress) {
        if progress.flushing || progress.fatal.is_some() || progress.group.is_empty() {
            return;
        }
        let due = progress.group.due().is_some_and(|due| due <= Instant::now());
        if due || progress.in_flight == 0 {
            progress.flushing = self.flush.send(FlushJob::Group(progress.group.take())).is_ok();
        }
    }

    /// Waits for a message and takes all there are.
    fn take_messages(&mut self, progress: &mut Progress) {
        let wake_at = [
            progress.group.due().filter(|_| !progress.flushing && progress.fatal.is_none()),
            progress.stopping.as_ref().filter(|s| !s.killed).map(|s| s.kill_at),
            self.company.due().filter(|_| progress.stopping.is_none()),
        ];
        if let Some(pause) = progress.window.pause(progress.in_flight) {
            std::thread::sleep(pause);
        }
        // Blocks only if nothing has come meanwhile: then the next one wakes us.
        let mut next =
            self.messages.try_recv().ok().or_else(|| match wake_at.into_iter().flatten().min() {
                Some(at) => {
                    let wait = at.saturating_duration_since(Instant::now());
                    self.messages.recv_timeout(wait).ok()
                }
                None => self.messages.recv().ok(),
            });
        let now = Instant::now();
        let mut ended = false;
        while let Some(message) = next {
            match message {
                Message::Ended(q, attempted) => {
                    ended = true;
                    progress.in_flight -= 1;
                    if let Attempted::Finished(mut finish) = attempted {
                        finish.made_from = self.made_from(q);
                        self.ended(q, &finish);
                        progress.group.push((q, finish), now);
                    }
                }
                Message::Flushed(group, Ok(())) => match self.journal_group(&group) {
                    Ok(()) => progress.flushing = self.flush.send(FlushJob::Journal).is_ok(),
                    Err(error) => {
                        progress.flushing = false;
                        self.break_off(progress, error);
                    }
                },
                Message::Flushed(_, Err(error)) => {
                    progress.flushing = false;
                    self.break_off(progress, error);
                }
                Message::JournalSynced(result) => {
                    progress.flushing = false;
                    if let Err(error) = result {
                        let error = journal_failed(self.context.root())(error);
                        self.break_off(progress, error);
                    }
                }
                Message::Stop => {}
                Message::TakenOver => {
                    if let Err(error) = self.check_taken_over() {
                        self.break_off(progress, error);
                    }
                }
            }
            next = self.messages.try_recv().ok();
        }
        if ended {
            progress.window.turn(now);
        }
    }

    /// Which attempts made what a quantum has read. Outputs are noted once in a run, so
    /// what is upstream by now is what it was when the quantum began.
    fn made_from(&self, q: u32) -> MadeFrom {
        let plan = self.context.plan();
        let upstream = plan.graph().upstream(plan.index(q));
        let made = upstream.iter().filter_map(|up| self.made[plan.number(*up)? as usize]);
        MadeFrom::of(self.context.runner(), made)
    }

    /// Takes notice of how a quantum ended.
    fn ended(&mut self, q: u32, finish: &Finish) {
        let observed = observed(self.context, q);
        match &finish.outcome {
            Outcome::Succeeded { .. } => {
                self.made[q as usize] = Some((finish.runner, finish.attempt));
                self.taken_over += usize::from(finish.taken_over.is_some());
                self.queue.finish(q, Ended::Succeeded);
                self.observer.quantum_finished(&observed, None);
            }
            Outcome::Failed { reason } => {
                self.queue.finish(q, Ended::Failed);
                self.observer.quantum_finished(&observed, Some(reason));
                if self.failures.len() < RunSummary::MAX_FAILURES {
                    self.failures.push(failure(&observed, finish, reason));
                }
            }
        }
    }

    /// Appends the finish lines of a group whose outputs and logs are safe.
    fn journal_group(&mut self, group: &[Finished]) -> Result<(), RunError> {
        self.check_taken_over()?;
        for (q, finish) in group {
            self.journal.finish(self.context.plan().id(*q), finish);
        }
        step("exec.journal.append");
        self.journal.append().map_err(journal_failed(self.context.root()))?;
        step("exec.journal.appended");
        Ok(())
    }

    fn look_at_stop(&self, progress: &mut Progress) {
        let requests = self.stop.requests();
        if requests > 0 && progress.stopping.is_none() {
            self.begin_to_stop(progress);
        }
        if let Some(stopping) = &mut progress.stopping
            && !stopping.killed
            && (requests > 1 || stopping.kill_at <= Instant::now())
        {
            stopping.killed = true;
            self.context.children().signal_all(Signal::KILL);
        }
    }

    fn begin_to_stop(&self, progress: &mut Progress) {
        self.context.begin_to_stop();
        self.context.children().signal_all(Signal::TERM);
        let kill_at = Instant::now() + GRACE;
        progress.stopping = Some(Stopping { kill_at, killed: false });
    }

    /// Nothing can be journaled any more: what runs would run in vain.
    fn break_off(&self, progress: &mut Progress, error: RunError) {
        progress.fatal.get_or_insert(error);
        if progress.stopping.is_none() {
            self.begin_to_stop(progress);
        }
    }
}

pub(super) fn observed<'r>(context: &'r RunContext<'r>, q: u32) -> ObservedQuantum<'r> {
    ObservedQuantum::new(context.plan(), q)
}

pub(super) fn failure(
    quantum: &ObservedQuantum<'_>,
    finish: &Finish,
    reason: &FailureReason,
) -> Failure {
    Failure {
        task: quantum.task().clone(),
        data_id: quantum.data_id(),
        quantum: quantum.id(),
        attempt: finish.attempt,
        reason: reason.clone(),
        log: finish.log,
    }
}
