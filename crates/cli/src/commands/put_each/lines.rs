//! The lines that name what is to be stored, as they come.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::Duration,
};

use camino::Utf8Path;
use pantler_exec::StopFlag;

use crate::context::Context;

/// How often it is looked whether somebody asked to stop, while no line comes.
const LOOK: Duration = Duration::from_millis(50);

/// How many lines are read ahead.
const AHEAD: usize = 64;

/// Lines, which a thread of its own waits for as long as it takes.
pub(super) struct Lines(Receiver<io::Result<Vec<u8>>>);

impl Lines {
    /// The lines of a file, or of standard input if it is called `-`. Waits for the writer of
    /// a pipe.
    pub(super) fn open(context: &Context, path: &Utf8Path) -> io::Result<Self> {
        if path == "-" {
            return Self::read_ahead(io::stdin());
        }
        let file = File::open(context.absolute(path))?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Self::read_ahead(file)
    }

    fn read_ahead(from: impl Read + Send + 'static) -> io::Result<Self> {
        let (send, lines) = sync_channel(AHEAD);
        let read = move || {
            for line in BufReader::new(from).split(b'\n') {
                // Nobody takes it: the command has ended.
                if send.send(line).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("lines".to_owned()).spawn(read)?;
        Ok(Self(lines))
    }

    /// The next line; `None` if there is none, or if somebody asked to stop.
    pub(super) fn next(&self, stop: &StopFlag) -> io::Result<Option<Vec<u8>>> {
        loop {
            if stop.is_set() {
                return Ok(None);
            }
            match self.0.recv_timeout(LOOK) {
                Ok(line) => return line.map(Some),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}
