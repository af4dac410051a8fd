//! Why a quantum failed.

/// Why a quantum failed: a kind and its details; text is made from them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FailureReason {
    /// The command ended with an exit status that is not zero.
    #[error("the command ended with exit status {code}")]
    Exit {
        /// The exit status.
        code: i32,
    },
    /// A signal ended the command.
    #[error("the command was ended by signal {signal}")]
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// The command line could not be made.
    #[error("cannot make the command line: {message}")]
    Command {
        /// What is wrong.
        message: String,
    },
    /// The command could not be started.
    #[error("cannot start {program:?}: {message}")]
    Spawn {
        /// The program.
        program: String,
        /// What the system said.
        message: String,
    },
    /// A declared output was not written.
    #[error("the output `{name}` was not written")]
    MissingOutput {
        /// The output's name in the pipeline.
        name: String,
    },
    /// A file lies between the outputs that is none.
    #[error("the file {file:?} in the output directory is not a declared output")]
    UndeclaredOutput {
        /// The file's name.
        file: String,
    },
    /// A declared output is a directory, link, pipe or something else.
    #[error("the output `{name}` is not a regular file")]
    NotAFile {
        /// The output's name in the pipeline.
        name: String,
    },
    /// Processes that the command left behind could not be ended.
    #[error("the command left processes behind that do not end (process group {group})")]
    Leftover {
        /// Their process group.
        group: i32,
    },
    /// An input could not be read.
    #[error("the input `{name}` cannot be read: {message}")]
    Input {
        /// The input's name in the pipeline.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The command changed a file that it was given to read.
    #[error("the command changed its input `{name}` ({path})")]
    ChangedInput {
        /// The input's name in the pipeline.
        name: String,
        /// The file.
        path: String,
    },
    /// The task returned an error.
    #[error("{message}")]
    Task {
        /// The error.
        message: String,
    },
    /// The task panicked.
    #[error("the task panicked: {message}")]
    Panic {
        /// What it said.
        message: String,
    },
    /// An output, a log or scratch space could not be written.
    #[error("cannot write: {message}")]
    Storage {
        /// What is wrong.
        message: String,
    },
    /// It had succeeded, and was poisoned afterwards.
    #[error("it had succeeded, and was poisoned afterwards")]
    Poisoned,
}

/// An error with everything that caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
