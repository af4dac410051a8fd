//! Where an export goes: standard output, or a file that is whole or not there. Either
//! takes what is written as it comes; a large graph is never held as text.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, ErrorKind, Write},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_datastore::{
    StorageError,
    fs::{rename_noreplace, sync_dir},
};
use pantler_graph::ExportError;

use crate::{error::CommandError, output::Output};

/// The export did not get where it should go.
#[derive(Debug, thiserror::Error)]
pub(in crate::commands) enum SinkError {
    #[error("{0} is there already: --force replaces it")]
    Exists(Utf8PathBuf),
    #[error("{0} is a directory")]
    Directory(Utf8PathBuf),
    #[error("cannot write to {path}")]
    File { path: Utf8PathBuf, source: io::Error },
    #[error(transparent)]
    Flush(#[from] StorageError),
    #[error(transparent)]
    Export(ExportError),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

/// What writes an export.
type Writing<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<(), ExportError>;

/// Refuses a file that may not be written, before the graph is read.
pub(in crate::commands) fn check(path: &Utf8Path, force: bool) -> Result<(), CommandError> {
    let error = match fs::metadata(path) {
        Ok(there) if there.is_dir() => SinkError::Directory(path.to_owned()),
        Ok(there) if there.is_file() && !force => SinkError::Exists(path.to_owned()),
        _ => return Ok(()),
    };
    Err(CommandError::failed(error))
}

/// Writes to standard output.
pub(in crate::commands) fn to_output(output: &Output, write: Writing<'_>) -> Result<(), SinkError> {
    let mut out = BufWriter::with_capacity(1 << 16, Printed(output));
    let written = write(&mut out).and_then(|()| Ok(out.flush()?));
    written.map_err(|error| match error {
        ExportError::Io(source) => SinkError::Output(source),
        error @ ExportError::TooLarge { .. } => SinkError::Export(error),
    })
}

/// Writes a file beside its place and renames it. What is no regular file (a terminal,
/// `/dev/null`, a pipe) is written to; it must not be replaced.
pub(in crate::commands) fn to_file(
    path: &Utf8Path,
    force: bool,
    write: Writing<'_>,
) -> Result<(), SinkError> {
    let failed = |source| SinkError::File { path: path.to_owned(), source };
    let target = match fs::metadata(path) {
        Ok(there) if !there.is_file() => {
            let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
            return fill(path, file, write).map(drop);
        }
        // The file that a link leads to is replaced, not the link.
        Ok(_) if force => path.canonicalize_utf8().map_err(failed)?,
        _ => path.to_owned(),
    };
    let (unfinished, file) = unfinished(&target).map_err(failed)?;
    let moved = fill(path, file, write).and_then(|file| {
        file.sync_all().map_err(failed)?;
        if force {
            return fs::rename(&unfinished, &target).map_err(failed);
        }
        rename_noreplace(&unfinished, &target).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => SinkError::Exists(path.to_owned()),
            _ => failed(source),
        })
    });
    if let Err(error) = moved {
        // After an error that is reported; what stays is never taken for the file.
        drop(fs::remove_file(&unfinished));
        return Err(error);
    }
    let folder = target.parent().filter(|folder| !folder.as_str().is_empty());
    Ok(sync_dir(folder.unwrap_or(Utf8Path::new(".")))?)
}

fn fill(path: &Utf8Path, file: File, write: Writing<'_>) -> Result<File, SinkError> {
    let failed = |source| SinkError::File { path: path.to_owned(), source };
    let mut out = BufWriter::with_capacity(1 << 16, file);
    write(&mut out).map_err(|error| match error {
        ExportError::Io(source) => failed(source),
        error @ ExportError::TooLarge { .. } => SinkError::Export(error),
    })?;
    out.into_inner().map_err(|error| failed(error.into_error()))
}

/// A new file beside `path`, with the first name that is free.
fn unfinished(path: &Utf8Path) -> io::Result<(Utf8PathBuf, File)> {
    let mut n = 0_u32;
    loop {
        let unfinished = Utf8PathBuf::from(format!("{path}.{n}.tmp"));
        match OpenOptions::new().write(true).create_new(true).open(&unfinished) {
            Ok(file) => return Ok((unfinished, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => n += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Standard output as the program uses it: once nobody reads, nothing is printed.
struct Printed<'a>(&'a Output);

impl Write for Printed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.bytes(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => Err(io::Error::other(error.report(None))),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
