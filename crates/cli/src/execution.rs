//! What a run of quanta needs from the program: environment, tasks, clock, threads.

use std::num::NonZeroUsize;

use camino::Utf8Path;
use pantler_direct::SystemClock;
use pantler_exec::{Environment, Selection, StopFlag, TaskRegistry};
use pantler_workspace::RunOptions;

use crate::context::Context;

/// How many quanta run at once.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct JobsArgs {
    /// How many quanta run at a time [default: as many as there are cores]
    #[arg(short = 'j', long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

/// Everything that [`RunOptions`] borrows.
#[derive(Debug)]
pub(crate) struct Execution {
    selection: Selection,
    jobs: Option<NonZeroUsize>,
    tasks: TaskRegistry,
    environment: Environment,
    clock: SystemClock,
}

impl Execution {
    /// For the pipeline in the file `pipeline`.
    pub(crate) fn new(context: &Context, jobs: JobsArgs, pipeline: &Utf8Path) -> Self {
        let environment = context.environment();
        let pipeline = context.absolute(pipeline);
        Self {
            selection: Selection::default(),
            jobs: jobs.jobs,
            // The program has no Rust tasks; those that embed Pantler register theirs.
            tasks: TaskRegistry::new(),
            environment: Environment {
                path: environment.path.clone(),
                home: environment.home.clone(),
                variables: environment.variables.clone(),
                pipeline_dir: pipeline.parent().unwrap_or(&pipeline).to_owned(),
                pantler: environment.program.clone(),
            },
            clock: SystemClock,
        }
    }

    /// Runs these quanta only.
    pub(crate) fn only(self, selection: Selection) -> Self {
        Self { selection, ..self }
    }

    /// The options of a run that `stop` ends.
    pub(crate) fn options<'a>(&'a self, stop: &'a StopFlag) -> RunOptions<'a> {
        RunOptions {
            selection: &self.selection,
            jobs: self.jobs,
            tasks: &self.tasks,
            environment: &self.environment,
            stop,
            clock: &self.clock,
        }
    }
}
