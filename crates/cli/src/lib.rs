//! The `pantler` program as a library.
//!
//! One file per verb in `commands/`: its arguments and one short function; the
//! work is in the libraries. Only this crate prints (`output.rs`, and `progress.rs` on
//! the error stream), reads the environment (`environment.rs`) and knows exit codes
//! (`error.rs`).
//!
//! | exit | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | failed, nothing changed |
//! | 2 | wrong usage |
//! | 3 | quanta failed, the workspace is open |
//! | 4 | a transaction was left open |
//! | 5 | the outcome is unknown |
//! | 6 | `check` found something |
//! | 130 | stopped by the user |

mod arguments;
mod changes;
mod choices;
mod close;
mod commands;
mod context;
mod environment;
mod error;
mod execution;
mod interrupt;
mod json;
mod output;
mod progress;
mod removing;
mod selection;
mod shard;
mod state;
mod storing;
mod summary;
mod table;
mod target;
mod time;
mod transitions;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::{
    commands::Cli, context::Context, environment::Environment, error::Status, output::Output,
};

/// Runs the program with the arguments and the environment of this process.
pub fn main() -> ExitCode {
    let parsed = Cli::command()
        .try_get_matches()
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let output = Output::default();
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come here too, and go to standard output.
            drop(error.print());
            let status = if error.use_stderr() { Status::Usage } else { Status::Done };
            return status.into();
        }
    };
    let context = Context::new(Environment::of_this_process(), cli.repo, output);
    let status = match cli.command.run(&context) {
        Ok(status) => status,
        Err(error) => {
            context.output().note(&error.report(context.located()));
            error.status()
        }
    };
    status.into()
}
