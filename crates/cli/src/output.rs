//! The one place that prints.
//!
//! What a command was asked for goes to standard output, everything else to standard
//! error. When the reader of standard output has gone away (`pantler … | head`), the
//! rest is not printed and the command ends as it would have: its work may not stop
//! half-way because nobody reads.

use std::{
    cell::Cell,
    io::{self, ErrorKind, Write as _},
};

use pantler_exec::escape;
use serde::Serialize;

use crate::{error::CommandError, table::Table};

/// Standard output and standard error.
#[derive(Debug, Default)]
pub(crate) struct Output {
    closed: Cell<bool>,
}

/// Standard output takes nothing more.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(crate) struct OutputError(#[source] io::Error);

impl Output {
    /// Prints a line of text.
    pub(crate) fn line(&self, text: &str) -> Result<(), CommandError> {
        self.bytes(format!("{}\n", escape(text.as_bytes())).as_bytes())
    }

    /// Prints a line about something that has been done. If nobody can take it, that
    /// changes nothing about what was done, nor about the exit status.
    pub(crate) fn say(&self, text: &str) {
        if let Err(error) = self.line(text) {
            self.note(&error.report(None));
        }
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), CommandError> {
        if self.closed.get() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed.set(true);
                Ok(())
            }
            Err(error) => Err(OutputError(error).into()),
        }
    }

    /// Prints a JSON document.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), CommandError> {
        let mut text = serde_json::to_string_pretty(value).expect("keys are strings");
        text.push('\n');
        self.bytes(text.as_bytes())
    }

    /// Prints a table, or `empty` if it has no rows.
    pub(crate) fn table(&self, table: &Table, empty: &str) -> Result<(), CommandError> {
        if table.is_empty() { self.line(empty) } else { self.line(&table.to_string()) }
    }

    /// Prints lines to standard error. Nobody may be there to read them, and that
    /// must not change what happens.
    #[expect(clippy::unused_self, reason = "whoever prints was given the output")]
    pub(crate) fn note(&self, text: &str) {
        let text = format!("{}\n", escape(text.as_bytes()));
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }
}
