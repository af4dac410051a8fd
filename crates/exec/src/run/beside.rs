//! What the thread that owns the queue does about other runners.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    context::RunContext,
    error::RunError,
    flush::journal_failed,
    others::{Heard, Others},
    scheduler::{failure, observed},
};
use crate::{
    Failure, Observer, RunSummary, Unmade, Waiting,
    journal::Outcome,
    queue::{Ended, Place, Queue, Standing},
};

/// How a run goes along with others in the same workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// How long to wait for what others make without their finishing anything. `None`: an
    /// hour for a runner that gives signs of life, half a minute for one that does not, and
    /// not at all for one that is not there.
    pub wait: Option<Duration>,
    /// Runners to declare dead before.
    pub take_over: Vec<u32>,
}

/// How often the others are looked at.
pub(super) const POLL: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(3600);

/// What a run knows about others.
#[derive(Debug)]
pub(super) struct Company {
    others: Others,
    /// Whether each quantum is to run here, by number.
    meant: Vec<bool>,
    wait: Option<Duration>,
    /// Whether others matter already while something runs here.
    matters: bool,
    looked: Instant,
    /// Since when nothing runs here.
    idle: Option<Instant>,
    told: Option<Waiting>,
    /// Whether what is waited for has to be found out again.
    dirty: bool,
    waiting: Option<Waiting>,
    /// Quanta that others had and have not finished, with whom.
    left: BTreeMap<u32, u32>,
    elsewhere: usize,
}

impl Company {
    pub(super) fn new(others: Others, meant: Vec<bool>, wait: Option<Duration>) -> Self {
        Self {
            others,
            meant,
            wait,
            matters: false,
            looked: Instant::now(),
            idle: None,
            told: None,
            dirty: true,
            waiting: None,
            left: BTreeMap::new(),
            elsewhere: 0,
        }
    }

    /// Where a quantum is to run.
    pub(super) fn place(&self, context: &RunContext<'_>, q: u32) -> Place {
        let is_meant = self.meant[q as usize];
        match self.others.owner(context.plan().index(q).get(), is_meant) {
            Some(_) => Place::Elsewhere,
            None if is_meant => Place::Here,
            None => Place::Nowhere,
        }
    }

    /// Finds out whether others matter, once the queue is there.
    pub(super) fn look_ahead(&mut self, queue: &Queue) {
        self.matters = !queue.awaited(Standing::Elsewhere, |q| self.meant[q as usize]).is_empty()
            || self.others.are_there() && !queue.awaited(Standing::Excluded, |_| false).is_empty();
    }

    /// When the others are to be looked at next; `None` if they do not matter.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.matters || self.idle.is_some()).then_some(self.looked + POLL)
    }

    /// How many quanta others have finished meanwhile.
    pub(super) fn elsewhere(&self) -> usize {
        self.elsewhere
    }

    /// Looks at the others: takes what they have made, and what they have left.
    pub(super) fn look(
        &mut self,
        context: &RunContext<'_>,
        board: &mut Board<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let graph = context.plan().graph();
        let polled = self.others.poll(graph).map_err(journal_failed(context.root()));
        self.looked = Instant::now();
        let (heard, changed) = polled?;
        for heard in heard {
            self.dirty |= self.hear(context, board, observer, heard);
        }
        if changed {
            self.dirty = true;
            for q in 0..context.plan().len() {
                let before = board.queue.standing(q);
                if !matches!(before, Standing::Elsewhere | Standing::Excluded) {
                    continue;
                }
                let position = context.plan().index(q).get();
                let is_meant = self.meant[q as usize];
                let place = match self.others.owner(position, is_meant) {
                    Some(owner) => {
                        self.left.insert(q, owner);
                        Place::Elsewhere
                    }
                    None if is_meant => Place::Here,
                    None => Place::Nowhere,
                };
                board.queue.place(q, place);
            }
        }
        Ok(())
    }

    fn hear(
        &mut self,
        context: &RunContext<'_>,
        board: &mut Board<'_>,
        observer: &mut dyn Observer,
        heard: Heard,
    ) -> bool {
        let plan = context.plan();
        let Some(index) = plan.graph().find(heard.quantum) else { return false };
        let Some(q) = plan.number(index) else { return false };
        let attempts = &mut board.attempts[q as usize];
        *attempts = (*attempts).max(heard.attempt);
        let Some(finish) = heard.finish else { return false };
        match &finish.outcome {
            Outcome::Succeeded { outputs } => {
                if !board.queue.finish_elsewhere(q, Ended::Succeeded) {
                    return false;
                }
                context.stored.set(plan, &plan.quantum(q), outputs);
                board.made[q as usize] = Some((finish.runner, finish.attempt));
                self.elsewhere += 1;
                observer.quantum_finished(&observed(context, q), None);
            }
            Outcome::Failed { reason } => {
                if !board.queue.finish_elsewhere(q, Ended::Failed) {
                    return false;
                }
                let observed = observed(context, q);
                observer.quantum_finished(&observed, Some(reason));
                if board.failures.len() < RunSummary::MAX_FAILURES {
                    board.failures.push(failure(&observed, &finish, reason));
                }
            }
        }
        true
    }

    /// Nothing runs here; whether that is new.
    pub(super) fn begins_to_idle(&mut self) -> bool {
        let begins = self.idle.is_none();
        if begins {
            self.dirty = true;
            self.idle = Some(Instant::now());
        }
        begins
    }

    /// Whether it is worth waiting for others when nothing can run here.
    pub(super) fn is_worth_waiting(&mut self, queue: &Queue, observer: &mut dyn Observer) -> bool {
        let idle = self.idle.unwrap_or_else(Instant::now);
        if self.dirty {
            self.dirty = false;
            self.waiting = self.what_for(queue);
        }
        let Some(waiting) = &self.waiting else { return false };
        if self.told.as_ref() != Some(waiting) {
            observer.waiting(waiting);
            self.told = Some(waiting.clone());
        }
        if self.wait.is_none()
            && waiting.runner.as_ref().is_some_and(|(runner, _)| self.others.is_silent(*runner))
        {
            return false;
        }
        let heard = waiting.runner.as_ref().and_then(|(runner, _)| self.others.heard(*runner));
        heard.map_or(idle, |heard| heard.max(idle)).elapsed() < waiting.limit
    }

    /// Something runs here again.
    pub(super) fn is_busy(&mut self) {
        if self.idle.take().is_some() {
            self.told = None;
        }
    }

    fn what_for(&mut self, queue: &Queue) -> Option<Waiting> {
        let awaited = queue.awaited(Standing::Elsewhere, |q| self.meant[q as usize]);
        if let Some(&owner) = awaited.first().and_then(|q| self.left.get(q)) {
            let process = self.others.process(owner)?.clone();
            let (runner, limit) = (Some((owner, process)), self.wait.unwrap_or(PATIENCE));
            return Some(Waiting { quanta: awaited.len(), runner, limit });
        }
        let limit = self.wait.filter(|wait| !wait.is_zero())?;
        let quanta = queue.awaited(Standing::Excluded, |_| false).len();
        (quanta > 0).then_some(Waiting { quanta, runner: None, limit })
    }

    /// Notes who has the quanta that are elsewhere.
    pub(super) fn note_owners(&mut self, context: &RunContext<'_>, queue: &Queue) {
        for q in 0..context.plan().len() {
            if queue.standing(q) == Standing::Elsewhere
                && let Some(owner) =
                    self.others.owner(context.plan().index(q).get(), self.meant[q as usize])
            {
                self.left.insert(q, owner);
            }
        }
    }

    /// What was waited for in vain. What is elsewhere still counts as not run here.
    pub(super) fn close(&self, queue: &mut Queue) -> Vec<Unmade> {
        let mut quanta: BTreeMap<u32, usize> = BTreeMap::new();
        for standing in [Standing::Elsewhere, Standing::Excluded] {
            for q in queue.awaited(standing, |q| self.meant[q as usize]) {
                if let Some(owner) = self.left.get(&q) {
                    *quanta.entry(*owner).or_default() += 1;
                }
            }
        }
        for (q, meant) in (0_u32..).zip(&self.meant) {
            if !meant {
                queue.place(q, Place::Nowhere);
            }
        }
        let unmade = |(runner, quanta)| {
            let process = self.others.process(runner)?.clone();
            Some(Unmade { runner, process, state: self.others.state(runner), quanta })
        };
        quanta.into_iter().filter_map(unmade).collect()
    }
}

/// What changes when others have made something.
#[derive(Debug)]
pub(super) struct Board<'m> {
    pub(super) queue: &'m mut Queue,
    pub(super) attempts: &'m mut [u32],
    pub(super) made: &'m mut [Option<(u32, u32)>],
    pub(super) failures: &'m mut Vec<Failure>,
}
