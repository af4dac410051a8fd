//! Tasks that are commands: a program per quantum, in a directory of its own.
//!
//! The program sees its inputs as local files and writes its outputs as
//! `<output>.<ending>` into `out/`. It never learns a final key: when it and all of
//! its process group are gone, its outputs are looked at and moved.

mod process;
mod scratch;

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io,
    process::{Command, Stdio},
    time::SystemTime,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::ArtifactKey;
use pantler_graph::{Bindings, CommandTemplate, DatasetIndex, QuantumView};
use pantler_seam::step;

use self::process::{Exit, ProcessError};
pub(crate) use self::{process::Children, scratch::Scratch};
use crate::{
    FailureReason,
    failure::chain,
    journal::StoredOutput,
    plan::TaskPlan,
    run::{Attempt, RunContext},
};

/// One attempt; `None` if the stopping run ended it.
pub(crate) fn attempt(
    context: &RunContext<'_>,
    task: &TaskPlan<'_>,
    template: &CommandTemplate,
    view: &QuantumView<'_>,
    attempt: u32,
) -> Option<Attempt> {
    let place = match Place::prepare(context) {
        Ok(place) => place,
        Err(error) => {
            let message = format!("no scratch directory: {error}");
            return Some(Attempt::failed(FailureReason::Storage { message }));
        }
    };
    let declared: Vec<(&str, String)> = task
        .outputs()
        .iter()
        .map(|output| {
            let extension = output.dataset_type.storage_class.extension();
            (output.name.as_str(), format!("{}.{extension}", output.name))
        })
        .collect();
    let mut given = Vec::new();
    let exit = place.command(context, task, template, view, &declared).and_then(
        |(program, mut command, inputs)| {
            given = marks(&inputs)?;
            process::run(&mut command, context.children()).map_err(|error| match error {
                ProcessError::Spawn(error) => {
                    FailureReason::Spawn { program, message: error.to_string() }
                }
                ProcessError::Wait(error) => FailureReason::Storage {
                    message: format!("the end of {program:?} cannot be seen: {error}"),
                },
            })
        },
    );
    let exit = match exit {
        Ok(Exit::Stopped) => return None,
        Ok(exit) => exit,
        Err(reason) => return Some(Attempt::failed(reason)),
    };
    let code = if let Exit::Code(code) = exit { Some(code) } else { None };
    let log = match place.keep_log(context) {
        Ok(log) => log,
        Err(reason) => {
            return Some(Attempt { result: Err(reason), exit: code, log: None });
        }
    };
    let result = match exit {
        Exit::Code(0) => match changed(&given) {
            Some(reason) => Err(reason),
            None => place.keep_outputs(context, task, view, attempt, &declared),
        },
        Exit::Code(code) => Err(FailureReason::Exit { code }),
        Exit::Signal(signal) => Err(FailureReason::Signal { signal }),
        Exit::Leftover(group) => Err(FailureReason::Leftover { group }),
        Exit::Stopped => return None,
    };
    Some(Attempt { result, exit: code, log })
}

/// Paths of inputs by connection.
type Inputs = BTreeMap<String, Vec<Utf8PathBuf>>;

/// An input as the command was given it: connection, file, size in bytes, and when it
/// was last written.
type Mark = (String, Utf8PathBuf, u64, Option<SystemTime>);

/// Notes what the inputs are. Artifacts are read-only, which does not stop root.
fn marks(inputs: &Inputs) -> Result<Vec<Mark>, FailureReason> {
    let mut marks = Vec::new();
    for (name, path) in inputs.iter().flat_map(|(name, paths)| paths.iter().map(move |p| (name, p)))
    {
        let there = path.metadata().map_err(|error| FailureReason::Input {
            name: name.clone(),
            message: format!("{path}: {error}"),
        })?;
        marks.push((name.clone(), path.clone(), there.len(), there.modified().ok()));
    }
    Ok(marks)
}

/// The first input that is not as it was given.
fn changed(given: &[Mark]) -> Option<FailureReason> {
    let other = given.iter().find(|(_, path, size, modified)| {
        path.metadata().map_or(true, |now| now.len() != *size || now.modified().ok() != *modified)
    });
    other.map(|(name, path, ..)| FailureReason::ChangedInput {
        name: name.clone(),
        path: path.to_string(),
    })
}

/// Where an attempt works.
#[derive(Debug)]
struct Place {
    scratch: Scratch,
    out: Utf8PathBuf,
    work: Utf8PathBuf,
    tmp: Utf8PathBuf,
    log: Utf8PathBuf,
}

impl Place {
    fn prepare(context: &RunContext<'_>) -> io::Result<Self> {
        let scratch = context.new_scratch()?;
        Ok(Self {
            out: scratch.subdir("out")?,
            work: scratch.subdir("work")?,
            tmp: scratch.subdir("tmp")?,
            log: scratch.path().join("log"),
            scratch,
        })
    }

    /// The program's name, the command ready to start, and its inputs.
    fn command(
        &self,
        context: &RunContext<'_>,
        task: &TaskPlan<'_>,
        template: &CommandTemplate,
        view: &QuantumView<'_>,
        declared: &[(&str, String)],
    ) -> Result<(String, Command, Inputs), FailureReason> {
        let environment = context.environment();
        let inputs = self.inputs(context, view)?;
        let outputs =
            declared.iter().map(|(name, file)| ((*name).to_owned(), self.out.join(file))).collect();
        let bindings = Bindings {
            inputs: &inputs,
            outputs: &outputs,
            data_id: &view.data_id,
            config: &task.config,
            pipeline_dir: &environment.pipeline_dir,
            pantler: &environment.pantler,
        };
        let unbound = |error| FailureReason::Command { message: chain(&error) };
        let mut arguments = template.expand(&bindings).map_err(unbound)?.into_iter();
        let program = arguments.next().unwrap_or_default();
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", &environment.path)
            .env("HOME", &environment.home)
            .env("TMPDIR", &self.tmp)
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        let definition = &task.task.definition;
        for name in &definition.pass_env {
            if let Some(value) = environment.variables.get(name) {
                command.env(name, value);
            }
        }
        for (name, value) in &definition.env {
            command.env(name, value.expand(&bindings).map_err(unbound)?);
        }
        let storage =
            |error: io::Error| FailureReason::Storage { message: format!("{}: {error}", self.log) };
        // Appending, so that the two outputs do not overwrite each other.
        let log =
            OpenOptions::new().append(true).create_new(true).open(&self.log).map_err(storage)?;
        let errors = log.try_clone().map_err(storage)?;
        command.current_dir(&self.work).stdin(Stdio::null()).stdout(log).stderr(errors);
        Ok((program, command, inputs))
    }

    /// Local files for all inputs, by connection.
    fn inputs(
        &self,
        context: &RunContext<'_>,
        view: &QuantumView<'_>,
    ) -> Result<Inputs, FailureReason> {
        let mut inputs = BTreeMap::new();
        for input in &view.inputs {
            let name = &input.connection.name;
            let given = context.given(input);
            let mut paths = Vec::with_capacity(given.len());
            for (n, dataset) in given.into_iter().enumerate() {
                let path = self
                    .input(context, name, n, *dataset)
                    .map_err(|message| FailureReason::Input { name: name.clone(), message })?;
                paths.push(path);
            }
            inputs.insert(name.clone(), paths);
        }
        Ok(inputs)
    }

    /// The artifact itself where it is a local file, else a verified copy.
    fn input(
        &self,
        context: &RunContext<'_>,
        name: &str,
        n: usize,
        dataset: DatasetIndex,
    ) -> Result<Utf8PathBuf, String> {
        let record = context.record(name, dataset).map_err(|error| chain(&error))?;
        if record.offset.is_none()
            && let Some(path) = context.datastore().local_path_of(&record.location)
        {
            let size = path.metadata().map_err(|error| format!("{path}: {error}"))?.len();
            if size != record.size {
                return Err(format!("{path} has {size} bytes instead of {}", record.size));
            }
            // The command runs in another directory.
            return absolute(&path).map_err(|error| format!("{path}: {error}"));
        }
        let dir = self.scratch.path().join("in");
        let extension = record.storage_class.extension();
        let path = dir.join(format!("{name}-{n}.{extension}"));
        let failed = |error: io::Error| format!("{path}: {error}");
        std::fs::create_dir_all(&dir).map_err(failed)?;
        let mut file = File::create_new(&path).map_err(failed)?;
        context.datastore().copy_to(&record, &mut file).map_err(|error| chain(&error))?;
        Ok(path)
    }

    /// Appends what the command said to the runner's log, as it is.
    fn keep_log(&self, context: &RunContext<'_>) -> Result<Option<crate::LogSlice>, FailureReason> {
        let mut file = File::open(&self.log).map_err(|error| FailureReason::Storage {
            message: format!("{}: {error}", self.log),
        })?;
        let kept = context.log().append(&mut file);
        kept.map_err(|error| FailureReason::Storage { message: chain(&error) })
    }

    /// Checks all outputs, then moves all to their keys.
    fn keep_outputs(
        &self,
        context: &RunContext<'_>,
        task: &TaskPlan<'_>,
        view: &QuantumView<'_>,
        attempt: u32,
        declared: &[(&str, String)],
    ) -> Result<Vec<StoredOutput>, FailureReason> {
        let files = scratch::outputs(&self.out, declared)?;
        let mut stored: Vec<StoredOutput> = Vec::with_capacity(files.len());
        for (output, file) in task.outputs().iter().zip(&files) {
            let key = context.key(output, &view.data_id, attempt);
            step("exec.output.move");
            match context.datastore().adopt(file, &key) {
                Ok(written) => stored.push(StoredOutput {
                    name: output.name.as_str().into(),
                    key,
                    size: written.size,
                    checksum: written.checksum,
                }),
                Err(error) => {
                    let keys: Vec<ArtifactKey> = stored.into_iter().map(|o| o.key).collect();
                    context.unstore(&keys);
                    // Of the one that failed, only what it may have copied in part.
                    drop(context.datastore().discard_unfinished(&[key]));
                    return Err(FailureReason::Storage { message: chain(&error) });
                }
            }
        }
        step("exec.outputs.moved");
        Ok(stored)
    }
}

fn absolute(path: &Utf8Path) -> io::Result<Utf8PathBuf> {
    if path.is_absolute() { Ok(path.to_owned()) } else { camino::absolute_utf8(path) }
}
