//! What a Rust task sees of its quantum.

use std::io;

use camino::Utf8Path;
use pantler_core::{ArtifactKey, DataId};
use pantler_datastore::DatastoreError;
use pantler_graph::{ConfigValue, QuantumInputs, QuantumView};

use crate::{
    FailureReason, command::Scratch, journal::StoredOutput, plan::TaskPlan, run::RunContext,
};

/// A quantum while it runs: its inputs, its outputs, and nothing else.
#[derive(Debug)]
pub struct QuantumContext<'a> {
    context: &'a RunContext<'a>,
    task: &'a TaskPlan<'a>,
    quantum: &'a QuantumView<'a>,
    attempt: u32,
    written: Vec<Option<StoredOutput>>,
    log: Vec<u8>,
    scratch: Option<Scratch>,
}

/// What a task asked for and did not get.
#[derive(Debug, thiserror::Error)]
pub enum QuantumError {
    /// No input of that name.
    #[error("the task has no input `{name}`")]
    UnknownInput {
        /// The name asked for.
        name: String,
    },
    /// Not exactly one dataset.
    #[error("the input `{name}` has {count} datasets; read_all reads them")]
    NotOne {
        /// The input.
        name: String,
        /// How many datasets it has.
        count: usize,
    },
    /// An input could not be read.
    #[error("the input `{name}` cannot be read")]
    Read {
        /// The input.
        name: String,
        /// Why.
        #[source]
        source: DatastoreError,
    },
    /// An upstream output that nobody stored.
    #[error("the input `{name}` is not there")]
    NotThere {
        /// The input.
        name: String,
    },
    /// No output of that name.
    #[error("the task has no output `{name}`")]
    UnknownOutput {
        /// The name asked for.
        name: String,
    },
    /// An output was written before.
    #[error("the output `{name}` is written twice")]
    WrittenTwice {
        /// The output.
        name: String,
    },
    /// An output could not be written.
    #[error("the output `{name}` cannot be written")]
    Write {
        /// The output.
        name: String,
        /// Why.
        #[source]
        source: DatastoreError,
    },
    /// There is no room to work.
    #[error("cannot make a scratch directory")]
    Scratch(#[source] io::Error),
}

impl<'a> QuantumContext<'a> {
    pub(crate) fn new(
        context: &'a RunContext<'a>,
        task: &'a TaskPlan<'a>,
        quantum: &'a QuantumView<'a>,
        attempt: u32,
    ) -> Self {
        let written = vec![None; task.outputs().len()];
        Self { context, task, quantum, attempt, written, log: Vec::new(), scratch: None }
    }

    /// Its data ID.
    pub fn data_id(&self) -> &DataId {
        &self.quantum.data_id
    }

    /// A configuration value of the task, else of the pipeline.
    pub fn config(&self, key: &str) -> Option<&ConfigValue> {
        self.task.config.get(key)
    }

    /// Reads an input that is one dataset, and verifies it. One that is optional may have
    /// none: [`Self::read_all`] then gives nothing.
    ///
    /// # Errors
    /// [`QuantumError`] if there is no such input, or it cannot be read.
    pub fn read(&self, input: &str) -> Result<Vec<u8>, QuantumError> {
        let inputs = self.input(input)?;
        let [dataset] = inputs.datasets else {
            return Err(QuantumError::NotOne {
                name: input.to_owned(),
                count: inputs.datasets.len(),
            });
        };
        self.context.read(input, *dataset)
    }

    /// Reads all datasets of an input in the order of their data IDs, and verifies them.
    /// What quanta that failed and were accepted have not made is left out.
    ///
    /// # Errors
    /// [`QuantumError`] if there is no such input, or one cannot be read.
    pub fn read_all(&self, input: &str) -> Result<Vec<(DataId, Vec<u8>)>, QuantumError> {
        let inputs = self.input(input)?;
        let read = |dataset| {
            let content = self.context.read(input, dataset)?;
            Ok((self.context.plan().graph().dataset(dataset).data_id, content))
        };
        self.context.given(inputs).into_iter().map(|dataset| read(*dataset)).collect()
    }

    /// Writes an output, once. Others see it when the task has succeeded.
    ///
    /// # Errors
    /// [`QuantumError`] if there is no such output, or it cannot be written.
    pub fn write(&mut self, output: &str, content: &[u8]) -> Result<(), QuantumError> {
        let outputs = self.task.outputs();
        let Some(at) = outputs.iter().position(|o| o.name == output) else {
            return Err(QuantumError::UnknownOutput { name: output.to_owned() });
        };
        if self.written[at].is_some() {
            return Err(QuantumError::WrittenTwice { name: output.to_owned() });
        }
        let key = self.context.key(&outputs[at], &self.quantum.data_id, self.attempt);
        let written = self
            .context
            .datastore()
            .write(&key, content)
            .map_err(|source| QuantumError::Write { name: output.to_owned(), source })?;
        self.written[at] = Some(StoredOutput {
            name: output.into(),
            key,
            size: written.size,
            checksum: written.checksum,
        });
        Ok(())
    }

    /// Says something: it is kept in the log of the quantum, as lines.
    pub fn log(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        self.log.extend_from_slice(text);
        if !text.ends_with(b"\n") {
            self.log.push(b'\n');
        }
    }

    /// A directory of its own to work in, made when first asked for and removed when
    /// the quantum ends.
    ///
    /// # Errors
    /// [`QuantumError::Scratch`] if it cannot be made.
    pub fn scratch(&mut self) -> Result<&Utf8Path, QuantumError> {
        if self.scratch.is_none() {
            self.scratch = Some(self.context.new_scratch().map_err(QuantumError::Scratch)?);
        }
        Ok(self.scratch.as_ref().expect("it was made above").path())
    }

    /// Whether the run is asked to stop. A task that takes long may then fail early;
    /// otherwise the run waits for it.
    pub fn is_stopping(&self) -> bool {
        self.context.is_stopping()
    }

    /// What was said.
    pub(crate) fn take_log(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.log)
    }

    /// The outputs, if all were written; otherwise, or if the task has failed, those
    /// that were are deleted.
    pub(crate) fn finish(
        self,
        result: Result<(), FailureReason>,
    ) -> Result<Vec<StoredOutput>, FailureReason> {
        let missing = self.written.iter().position(Option::is_none);
        let reason = match (result, missing) {
            (Ok(()), None) => return Ok(self.written.into_iter().flatten().collect()),
            (Err(reason), _) => reason,
            (Ok(()), Some(at)) => {
                FailureReason::MissingOutput { name: self.task.outputs()[at].name.clone() }
            }
        };
        let keys: Vec<ArtifactKey> = self.written.into_iter().flatten().map(|o| o.key).collect();
        self.context.unstore(&keys);
        Err(reason)
    }

    pub(crate) fn run_context(&self) -> &RunContext<'a> {
        self.context
    }

    pub(crate) fn quantum_view(&self) -> &QuantumView<'a> {
        self.quantum
    }

    fn input(&self, name: &str) -> Result<&QuantumInputs<'a>, QuantumError> {
        self.quantum
            .inputs
            .iter()
            .find(|input| input.connection.name == name)
            .ok_or_else(|| QuantumError::UnknownInput { name: name.to_owned() })
    }
}
