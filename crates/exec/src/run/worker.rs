//! One attempt at a quantum, on a thread of the pool.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    context::RunContext,
    message::{Attempted, Message},
    reuse,
};
use crate::{
    FailureReason, QuantumContext, Task, command,
    failure::chain,
    identity::TaskIdentity,
    journal::{Finish, LogSlice, MadeFrom, Outcome, StoredOutput},
    plan::{Body, TaskPlan},
    task::{call, panic_message},
};

/// What an attempt left.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) result: Result<Vec<StoredOutput>, FailureReason>,
    pub(crate) exit: Option<i32>,
    pub(crate) log: Option<LogSlice>,
}

impl Attempt {
    pub(crate) fn failed(reason: FailureReason) -> Self {
        Self { result: Err(reason), exit: None, log: None }
    }
}

/// Attempts a quantum, and says so to the queue-owning thread whatever happens.
pub(super) fn attempt(context: &RunContext<'_>, q: u32, attempt: u32) {
    let attempted = if context.is_stopping() {
        Attempted::CutOff
    } else {
        // The thread would otherwise wait for ever for a quantum that panicked here.
        catch_unwind(AssertUnwindSafe(|| run(context, q, attempt))).unwrap_or_else(|payload| {
            let now = context.now();
            let reason = FailureReason::Panic { message: panic_message(&*payload) };
            Attempted::Finished(Box::new(Finish {
                runner: context.runner(),
                attempt,
                outcome: Outcome::Failed { reason },
                started: now,
                ended: now,
                exit: None,
                log: None,
                made_from: MadeFrom::default(),
                taken_over: None,
                task_changed: false,
            }))
        })
    };
    context.send(Message::Ended(q, attempted));
}

fn run(context: &RunContext<'_>, q: u32, attempt: u32) -> Attempted {
    let started = context.now();
    let plan = context.plan();
    let view = plan.quantum(q);
    let task = plan.task(q);
    let reused = reuse::take_over(context, q, &view, attempt);
    let is_taken_over = reused.is_some();
    let (attempted, taken_over) = match (reused, &task.body) {
        (Some((from, attempted)), _) => (Some(attempted), Some(Box::new(from))),
        (None, Body::Command(template)) => {
            (command::attempt(context, task, template, &view, attempt), None)
        }
        (None, Body::Rust(body)) => (Some(run_rust(context, task, &**body, &view, attempt)), None),
    };
    let Some(Attempt { result, exit, log }) = attempted else { return Attempted::CutOff };
    // What was taken over was made by the task as its runner had found it then.
    let task_changed = !is_taken_over && context.identity(q).is_some_and(TaskIdentity::has_changed);
    let outcome = match result {
        Ok(outputs) => {
            context.stored.set(plan, &view, &outputs);
            Outcome::Succeeded { outputs }
        }
        Err(reason) => Outcome::Failed { reason },
    };
    let runner = context.runner();
    let ended = context.now();
    // The thread that owns the queue knows what it was made from.
    let made_from = MadeFrom::default();
    let finish = Finish {
        runner,
        attempt,
        outcome,
        started,
        ended,
        exit,
        log,
        made_from,
        taken_over,
        task_changed,
    };
    Attempted::Finished(Box::new(finish))
}

fn run_rust(
    context: &RunContext<'_>,
    task: &TaskPlan<'_>,
    body: &dyn Task,
    view: &pantler_graph::QuantumView<'_>,
    attempt: u32,
) -> Attempt {
    let mut quantum = QuantumContext::new(context, task, view, attempt);
    let result = call(body, &mut quantum);
    let said = quantum.take_log();
    let log = if said.is_empty() { Ok(None) } else { context.log().append(&mut &said[..]) };
    let result = match (&log, result) {
        (Err(error), Ok(())) => Err(FailureReason::Storage { message: chain(error) }),
        (_, result) => result,
    };
    Attempt { result: quantum.finish(result), exit: None, log: log.unwrap_or(None) }
}
