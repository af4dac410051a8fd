//! Tasks written in Rust.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{FailureReason, QuantumContext, failure::chain};

/// What runs the quanta of a task.
pub trait Task: Send + Sync {
    /// Runs one quantum: reads its inputs, writes all of its outputs.
    ///
    /// # Errors
    /// Anything; the quantum has then failed, and what it wrote is deleted.
    fn run(&self, quantum: &mut QuantumContext<'_>) -> Result<(), TaskError>;
}

impl<F> Task for F
where
    F: Fn(&mut QuantumContext<'_>) -> Result<(), TaskError> + Send + Sync,
{
    fn run(&self, quantum: &mut QuantumContext<'_>) -> Result<(), TaskError> {
        self(quantum)
    }
}

/// Why a task failed: any error, as text.
///
/// It is no [`std::error::Error`] itself, so that `?` turns every one into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskError {
    message: String,
}

impl TaskError {
    /// Fails for a reason of its own.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl<E: std::error::Error> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self { message: chain(&error) }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Tasks by the names that pipelines call them.
#[derive(Clone, Default)]
pub struct TaskRegistry {
    tasks: BTreeMap<String, Arc<dyn Task>>,
}

impl TaskRegistry {
    /// No tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a task; a later one of the same name replaces it.
    pub fn register(&mut self, name: impl Into<String>, task: impl Task + 'static) {
        self.tasks.insert(name.into(), Arc::new(task));
    }

    /// Registers a closure as a task.
    pub fn register_fn<F>(&mut self, name: impl Into<String>, run: F)
    where
        F: Fn(&mut QuantumContext<'_>) -> Result<(), TaskError> + Send + Sync + 'static,
    {
        self.register(name, run);
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<dyn Task>> {
        self.tasks.get(name).map(Arc::clone)
    }

    pub(crate) fn known(&self) -> String {
        if self.tasks.is_empty() {
            return "none".to_owned();
        }
        self.tasks.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for TaskRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.tasks.keys()).finish()
    }
}

/// Runs a task; a panic is a failure like another.
pub(crate) fn call(task: &dyn Task, quantum: &mut QuantumContext<'_>) -> Result<(), FailureReason> {
    // What a panic left half done is the quantum's own: its outputs are deleted.
    match catch_unwind(AssertUnwindSafe(|| task.run(quantum))) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(FailureReason::Task { message: error.message }),
        Err(payload) => Err(FailureReason::Panic { message: panic_message(&*payload) }),
    }
}

/// What a panic said.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "(it said nothing)".to_owned())
}
