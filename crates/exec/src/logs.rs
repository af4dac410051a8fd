//! What quanta said: one file per runner, addressed from the journal.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, Read, Seek as _, SeekFrom, Write as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_seam::step;

use crate::{journal::LogSlice, layout};

/// A log that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file ends before the slice does.
    #[error("{path} ends before byte {end}")]
    Short {
        /// The file.
        path: Utf8PathBuf,
        /// Where the slice ends.
        end: u64,
    },
}

/// Reads what a quantum said, all of it, of the workspace at `root`.
///
/// # Errors
/// [`LogError`].
pub fn read_log(root: &Utf8Path, slice: &LogSlice) -> Result<Vec<u8>, LogError> {
    read_from(root, slice, 0)
}

/// Reads the last `lines` lines of what a quantum said, in a form that is safe to
/// show: control characters and bytes that are not UTF-8 stand as `\xNN`. Lines
/// are looked for in the last 64 KiB.
///
/// # Errors
/// [`LogError`].
pub fn log_tail(root: &Utf8Path, slice: &LogSlice, lines: usize) -> Result<String, LogError> {
    let skip = slice.len.saturating_sub(64 << 10);
    let bytes = read_from(root, slice, skip)?;
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let mut shown: Vec<&[u8]> = text.rsplit(|b| *b == b'\n').take(lines).collect();
    shown.reverse();
    Ok(escape(&shown.join(&b'\n')))
}

/// Makes bytes safe to show on a terminal: newlines and tabs stay, other control
/// characters and bytes that are not UTF-8 become `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    let hex = |shown: &mut String, bytes: &[u8]| {
        for byte in bytes {
            write!(shown, "\\x{byte:02X}").expect("a string takes text");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() && c != '\n' && c != '\t' {
                hex(&mut shown, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                shown.push(c);
            }
        }
        hex(&mut shown, chunk.invalid());
    }
    shown
}

fn read_from(root: &Utf8Path, slice: &LogSlice, skip: u64) -> Result<Vec<u8>, LogError> {
    let path = layout::log_file(root, slice.runner);
    let failed = |source| LogError::Io { action: "read", path: path.clone(), source };
    let mut file = File::open(&path).map_err(failed)?;
    file.seek(SeekFrom::Start(slice.offset + skip)).map_err(failed)?;
    let wanted = slice.len - skip;
    let mut bytes = Vec::new();
    file.take(wanted).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 == wanted {
        Ok(bytes)
    } else {
        Err(LogError::Short { path, end: slice.offset + slice.len })
    }
}

/// Appends to a runner's log. The file is made by the first who says something.
#[derive(Debug)]
pub(crate) struct LogWriter {
    path: Utf8PathBuf,
    runner: u32,
    file: Option<File>,
    end: u64,
}

impl LogWriter {
    pub(crate) fn new(root: &Utf8Path, runner: u32) -> Self {
        Self { path: layout::log_file(root, runner), runner, file: None, end: 0 }
    }

    /// Appends all of `from`, unchanged; `None` if it is empty.
    pub(crate) fn append(&mut self, from: &mut impl Read) -> Result<Option<LogSlice>, LogError> {
        let mut first = [0_u8; 8192];
        let n = self.failed("append to", read_some(from, &mut first))?;
        if n == 0 {
            return Ok(None);
        }
        if self.file.is_none() {
            let opened = open_new(&self.path);
            self.file = Some(self.failed("create", opened)?);
        }
        let file = self.file.as_mut().expect("it was opened above");
        let offset = self.end;
        step("exec.log.append");
        let copied = file.write_all(&first[..n]).and_then(|()| io::copy(from, file));
        match copied {
            Ok(more) => {
                let len = n as u64 + more;
                self.end += len;
                Ok(Some(LogSlice { runner: self.runner, offset, len }))
            }
            Err(source) => {
                // Bytes of a failed append belong to no slice; the next one starts
                // behind them.
                self.end = file.seek(SeekFrom::End(0)).unwrap_or(self.end);
                Err(LogError::Io { action: "append to", path: self.path.clone(), source })
            }
        }
    }

    /// What brings the log to stable storage; `None` if nobody said anything.
    pub(crate) fn sync_handle(&self) -> Result<Option<(File, Utf8PathBuf)>, LogError> {
        let file = self.failed("open", self.file.as_ref().map(File::try_clone).transpose())?;
        Ok(file.map(|file| (file, self.path.clone())))
    }

    fn failed<T>(&self, action: &'static str, result: io::Result<T>) -> Result<T, LogError> {
        result.map_err(|source| LogError::Io { action, path: self.path.clone(), source })
    }
}

fn read_some(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Makes the file, and sees to it that its name outlives a power loss.
fn open_new(path: &Utf8Path) -> io::Result<File> {
    let dir = path.parent().expect("a log lies in a directory");
    std::fs::create_dir_all(dir)?;
    let file = OpenOptions::new().append(true).create_new(true).open(path)?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_kept_byte_for_byte() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let root = Utf8Path::from_path(dir.path()).ok_or("a UTF-8 path")?;
        let mut writer = LogWriter::new(root, 3);
        assert_eq!(writer.append(&mut io::empty())?, None);
        assert!(writer.sync_handle()?.is_none());
        let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let first = writer.append(&mut &b"one\ntwo\x1b[0m\nthree \xff\n"[..])?.ok_or("a slice")?;
        let second = writer.append(&mut &binary[..])?.ok_or("a slice")?;
        assert_eq!((second.offset, second.len), (first.len, 100_000));
        assert_eq!(read_log(root, &second)?, binary);
        assert_eq!(log_tail(root, &first, 2)?, "two\\x1B[0m\nthree \\xFF");
        assert_eq!(log_tail(root, &first, 9)?, "one\ntwo\\x1B[0m\nthree \\xFF");
        let beyond = LogSlice { len: second.len + 1, ..second };
        assert!(matches!(read_log(root, &beyond), Err(LogError::Short { .. })));
        Ok(())
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(escape(b"a\tb\nc\r\x07\x7f"), "a\tb\nc\\x0D\\x07\\x7F");
        assert_eq!(escape("é\u{9b}x".as_bytes()), "é\\xC2\\x9Bx");
        assert_eq!(escape(b"\xc3("), "\\xC3(");
    }
}
