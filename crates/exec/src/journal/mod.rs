//! What happened in a workspace: one append-only segment per process that changed it.
//!
//! A segment is `journal/<runner>.jsonl`. Its first line says format version,
//! opening and process; each other line is
//! `{"seq":<n>,"crc":"<16 hex digits>","event":{…}}`, where `crc` is the start of
//! the blake3 digest of the sequence number (8 bytes, little-endian) and the
//! event's text. Lines of a runner come in this order:
//!
//! 1. a *start* line per attempt, in the file before the quantum runs;
//! 2. a *finish* line per attempt, appended after its outputs and its log have
//!    reached stable storage, so that it never outlives them;
//! 3. a *sealed* line when the process ended in order, after which an address table may
//!    stand, so that a few quanta are read without the rest.
//!
//! An attempt with a start and no finish was cut off. Who accepts, poisons or resets
//! quanta ([`crate::transitions`]) writes, before its sealed line:
//!
//! - an *accepted* or a *poisoned* line per quantum;
//! - a *reset* line per quantum, flushed before anything is deleted, and a
//!   *`reset_done`* line after it was.
//!
//! A process that died may leave a last line without its end: that is dropped.
//! Anything else that does not read as it was written is damage, and an error that
//! names file and line.
//!
//! # Order
//!
//! No meaning lies in the order of segments or lines. Every event names the quantum and
//! an attempt at it, and what is known of a quantum is the maximum of what its events
//! say ([`QuantumHistory`] keeps it):
//!
//! - the attempts are counted from 1 over all processes, and the highest counts. A reset
//!   takes the next number for itself, so a finish of an attempt before it does not
//!   count, however late it is written or read;
//! - verdicts on one attempt are counted from 1 too, and the highest counts;
//! - the intent of a reset and its completion are two facts about one number; both are
//!   kept, whichever is read first.
//!
//! A maximum does not depend on the order in which it is taken and is defined for every
//! set of events, so any segments whatever, read in any order, give one outcome. Who
//! changes quanta is alone; runners give numbers to the quanta that are theirs. If a number
//! were given twice, the higher runner's finish counts, and *poisoned* before *accepted*. A
//! verdict on an attempt whose finish is not known (a power loss took it) says nothing: the
//! attempt was cut off.
//!
//! Whether a success is of what its inputs are now follows from the attempts that its
//! finish line names ([`MadeFrom`]), not from the order of runners.
//!
//! # Several runners
//!
//! Each runner's header names the quanta that it is to run. A quantum belongs to the live
//! runner with the lowest number that names it; the others leave it to that one, and
//! follow its segment for the finish line. Numbers are given in the order in which headers
//! appear, so whoever begins knows all that go before it, and nobody has to look back.
//!
//! | step of a runner | killed after it | the others |
//! | --- | --- | --- |
//! | 1. shares `runner.lock`; no `closing` | nothing | |
//! | 2. runners are declared dead, if told so: `<runner>.over`, made once | a runner taken over | go on without it |
//! | 3. a file with the header is prepared, locked (flock) and flushed | a `.tmp` that nobody reads | |
//! | 4. it is renamed to the next free number, the directory flushed | a dead runner: its lock is gone | take over what is theirs as well, report the rest |
//! | 5. `closing` is looked for again: a closer that has not seen the header has set it | the same | |
//! | 6. it reads what was written since, and knows what belongs to whom | the same | |
//! | 7. `<runner>.alive`, every other second | the same | on other machines: it falls silent |
//! | 8. start line, attempt, outputs, flush, finish line | a start without a finish: cut off | run it again as the next attempt, with other keys |
//! | 9. sealed line, flushed; table, flushed | ended; without a table its lines are read | take what it has not finished |
//!
//! A runner that was declared dead breaks off when it finds `<runner>.over`; what it wrote
//! beyond the lines that count there is never read, and its outputs belong to nobody. A
//! finish line that others have read and built on, and that a power loss takes away, leaves
//! successes made from an attempt that is not known: they do not count, and run again.

mod event;
mod finishes;
mod history;
pub mod line;
mod made_from;
pub(crate) mod segment;
mod state;
mod table;
mod v1;
mod v2;
mod v3;
mod writer;

use std::io;

use camino::Utf8PathBuf;
pub use event::{Event, Finish, LogSlice, Outcome, SegmentHeader, StoredOutput, Verdict};
pub use history::{QuantumHistory, Standing};
pub use made_from::{MadeBy, MadeFrom};
use pantler_core::OpeningId;
pub(crate) use state::runners;
pub use state::{JournalState, SegmentInfo};
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
        "{path}: journal format version {found}, but this program reads versions up to {}: use the Pantler that wrote it",
        v3::VERSION
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

/// Appends a value in the frame of a line, for files of one line beside the segments.
pub(crate) fn write_frame(value: &impl serde::Serialize, line: &mut Vec<u8>) {
    line::write_event(1, value, line);
}

/// Takes the text of a value out of such a file, or says what is wrong with it.
pub(crate) fn read_frame(text: &[u8]) -> Result<&[u8], String> {
    let line = text.strip_suffix(b"\n").ok_or("it is cut")?;
    line::read_event(1, line).map_err(|error| match error {
        line::LineError::Damaged(reason) | line::LineError::Version(reason) => reason,
    })
}
