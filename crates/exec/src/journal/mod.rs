//! What happened in a workspace: one append-only segment per runner process.
//!
//! A segment is `journal/<runner>.jsonl`. Its first line says format version,
//! opening and process; each other line is
//! `{"seq":<n>,"crc":"<16 hex digits>","event":{…}}`, where `crc` is the start of
//! the blake3 digest of the sequence number (8 bytes, little-endian) and the
//! event's text. Lines come in this order:
//!
//! 1. a *start* line per attempt, in the file before the quantum runs;
//! 2. a *finish* line per attempt, appended after its outputs and its log have
//!    reached stable storage, so that it never outlives them;
//! 3. a *sealed* line when the runner ended in order.
//!
//! An attempt with a start and no finish was cut off. A runner that died may
//! leave a last line without its end: that is dropped. Anything else that does
//! not read as it was written is damage, and an error that names file and line.

mod event;
mod segment;
mod state;
mod v1;
mod writer;

use std::io;

use camino::Utf8PathBuf;
pub use event::{Event, Finish, LogSlice, Outcome, SegmentHeader, StoredOutput};
use pantler_core::OpeningId;
pub use state::{JournalState, QuantumHistory, SegmentInfo};
pub use writer::{JournalSync, JournalWriter};

/// A journal that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is not as it was written.
    #[error("{path}:{line}: the journal is damaged: {reason}")]
    Damaged {
        /// The segment.
        path: Utf8PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A format that this program does not know.
    #[error(
        "{path}: journal format version {found}, but this program reads version {}: use the Pantler that wrote it",
        v1::VERSION
    )]
    Version {
        /// The segment.
        path: Utf8PathBuf,
        /// The version found.
        found: String,
    },
    /// A segment of another workspace.
    #[error("{path}: belongs to opening {found}, not {expected}")]
    OtherOpening {
        /// The segment.
        path: Utf8PathBuf,
        /// The opening it names.
        found: OpeningId,
        /// The opening expected.
        expected: OpeningId,
    },
    /// An earlier write failed, so the end of the segment is not known.
    #[error("{path}: not written any more, because an earlier write failed")]
    Broken {
        /// The segment.
        path: Utf8PathBuf,
    },
}
