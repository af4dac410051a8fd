//! Format version 1 of segments: lines as text, and the private types behind them.

use std::borrow::Cow;

use pantler_core::{ArtifactKey, Checksum, OpeningId, QuantumId, Tai, transaction::Process};
use serde::{Deserialize, Serialize};

use super::{Event, Finish, LogSlice, Outcome, SegmentHeader, StoredOutput};
use crate::FailureReason;

/// The version that is written.
pub(super) const VERSION: &str = "1";

const HEADER_START: &str = "{\"pantler_journal\":";
const DIGEST_LEN: usize = 16;

/// Why a line is refused.
#[derive(Debug)]
pub(super) enum LineError {
    /// It is a header of another version.
    Version(String),
    /// It is not as it was written.
    Damaged(String),
}

impl LineError {
    fn damaged(reason: impl Into<String>) -> Self {
        Self::Damaged(reason.into())
    }
}

/// Appends the header line.
pub(super) fn write_header(header: &SegmentHeader, line: &mut Vec<u8>) {
    let header = HeaderV1 {
        opening: header.opening,
        runner: header.runner,
        process: Cow::Borrowed(&header.process),
        started: header.started,
    };
    line.extend_from_slice(HEADER_START.as_bytes());
    line.extend_from_slice(VERSION.as_bytes());
    line.push(b',');
    write_rest(0, &header, line);
}

/// Reads the header line, without its newline.
pub(super) fn read_header(line: &[u8]) -> Result<SegmentHeader, LineError> {
    let rest = line
        .strip_prefix(HEADER_START.as_bytes())
        .ok_or_else(|| LineError::damaged("this is not the first line of a journal segment"))?;
    let comma = rest.iter().position(|b| *b == b',').unwrap_or(rest.len());
    let (version, rest) = rest.split_at(comma);
    if version != VERSION.as_bytes() {
        return Err(LineError::Version(String::from_utf8_lossy(version).into_owned()));
    }
    let event = read_rest(0, rest.strip_prefix(b",").unwrap_or(rest))?;
    let HeaderV1 { opening, runner, process, started } =
        serde_json::from_slice(event).map_err(|e| LineError::damaged(e.to_string()))?;
    Ok(SegmentHeader { opening, runner, process: process.into_owned(), started })
}

/// Appends the line of a start.
pub(super) fn write_start(seq: u64, quantum: QuantumId, attempt: u32, line: &mut Vec<u8>) {
    write_event(seq, &EventV1::Start { quantum, attempt }, line);
}

/// Appends the line of a finish.
pub(super) fn write_finish(seq: u64, quantum: QuantumId, finish: &Finish, line: &mut Vec<u8>) {
    let outcome = match &finish.outcome {
        Outcome::Succeeded { outputs } => {
            OutcomeV1::Succeeded(outputs.iter().map(OutputV1::from).collect())
        }
        Outcome::Failed { reason } => OutcomeV1::Failed(Cow::Borrowed(reason)),
    };
    let event = EventV1::Finish {
        quantum,
        attempt: finish.attempt,
        outcome,
        started: finish.started,
        ended: finish.ended,
        exit: finish.exit,
        log: finish.log.map(|slice| (slice.offset, slice.len)),
    };
    write_event(seq, &event, line);
}

/// Appends the line that ends a segment.
pub(super) fn write_sealed(seq: u64, line: &mut Vec<u8>) {
    write_event(seq, &EventV1::Sealed, line);
}

/// Reads the line with number `seq` of `runner`'s segment, without its newline.
pub(super) fn read_event(seq: u64, runner: u32, line: &[u8]) -> Result<Event, LineError> {
    let prefix = format!("{{\"seq\":{seq},");
    let rest = line.strip_prefix(prefix.as_bytes()).ok_or_else(|| {
        LineError::damaged(format!("the line with sequence number {seq} should stand here"))
    })?;
    let event = read_rest(seq, rest)?;
    let event: EventV1<'_> =
        serde_json::from_slice(event).map_err(|e| LineError::damaged(e.to_string()))?;
    Ok(match event {
        EventV1::Start { quantum, attempt } => Event::Start { quantum, attempt },
        EventV1::Finish { quantum, attempt, outcome, started, ended, exit, log } => {
            let outcome = match outcome {
                OutcomeV1::Succeeded(outputs) => Outcome::Succeeded {
                    outputs: outputs.into_iter().map(StoredOutput::from).collect(),
                },
                OutcomeV1::Failed(reason) => Outcome::Failed { reason: reason.into_owned() },
            };
            let log = log.map(|(offset, len)| LogSlice { runner, offset, len });
            let finish = Finish { runner, attempt, outcome, started, ended, exit, log };
            Event::Finish { quantum, finish: Box::new(finish) }
        }
        EventV1::Sealed => Event::Sealed,
    })
}

fn write_event(seq: u64, event: &EventV1<'_>, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"seq\":");
    line.extend_from_slice(seq.to_string().as_bytes());
    line.push(b',');
    write_rest(seq, event, line);
}

/// Appends `"crc":"…","event":…}` and the newline.
fn write_rest(seq: u64, event: &impl Serialize, line: &mut Vec<u8>) {
    line.extend_from_slice(b"\"crc\":\"");
    let crc_at = line.len();
    line.extend_from_slice(&[b'0'; DIGEST_LEN]);
    line.extend_from_slice(b"\",\"event\":");
    let event_at = line.len();
    serde_json::to_writer(&mut *line, event).expect("memory takes bytes, and keys are strings");
    let crc = digest(seq, &line[event_at..]);
    line[crc_at..crc_at + DIGEST_LEN].copy_from_slice(&crc);
    line.extend_from_slice(b"}\n");
}

/// Takes the event's text out of `"crc":"…","event":…}`, if its checksum is right.
fn read_rest(seq: u64, rest: &[u8]) -> Result<&[u8], LineError> {
    let parts = rest
        .strip_prefix(b"\"crc\":\"")
        .and_then(|rest| rest.split_at_checked(DIGEST_LEN))
        .and_then(|(crc, rest)| {
            let event = rest.strip_prefix(b"\",\"event\":")?.strip_suffix(b"}")?;
            Some((crc, event))
        });
    let (crc, event) = parts.ok_or_else(|| LineError::damaged("this is not a journal line"))?;
    if digest(seq, event) == *crc {
        Ok(event)
    } else {
        Err(LineError::damaged("the checksum does not fit the line"))
    }
}

fn digest(seq: u64, event: &[u8]) -> [u8; DIGEST_LEN] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seq.to_le_bytes());
    hasher.update(event);
    let hex = hasher.finalize().to_hex();
    let mut digest = [0; DIGEST_LEN];
    digest.copy_from_slice(&hex.as_bytes()[..DIGEST_LEN]);
    digest
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderV1<'a> {
    opening: OpeningId,
    runner: u32,
    process: Cow<'a, Process>,
    started: Tai,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum EventV1<'a> {
    Start {
        quantum: QuantumId,
        attempt: u32,
    },
    Finish {
        quantum: QuantumId,
        attempt: u32,
        outcome: OutcomeV1<'a>,
        started: Tai,
        ended: Tai,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<i32>,
        /// Offset and length.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<(u64, u64)>,
    },
    Sealed,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeV1<'a> {
    Succeeded(Vec<OutputV1<'a>>),
    Failed(#[serde(with = "ReasonV1Cow")] Cow<'a, FailureReason>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputV1<'a> {
    name: Cow<'a, str>,
    key: Cow<'a, ArtifactKey>,
    size: u64,
    checksum: Checksum,
}

impl<'a> From<&'a StoredOutput> for OutputV1<'a> {
    fn from(output: &'a StoredOutput) -> Self {
        Self {
            name: Cow::Borrowed(&output.name),
            key: Cow::Borrowed(&output.key),
            size: output.size,
            checksum: output.checksum,
        }
    }
}

impl From<OutputV1<'_>> for StoredOutput {
    fn from(output: OutputV1<'_>) -> Self {
        Self {
            name: output.name.into(),
            key: output.key.into_owned(),
            size: output.size,
            checksum: output.checksum,
        }
    }
}

/// [`FailureReason`] as it is written: a copy of its shape that stays when the
/// original changes.
#[derive(Serialize, Deserialize)]
#[serde(remote = "FailureReason", rename_all = "snake_case")]
enum ReasonV1 {
    Exit { code: i32 },
    Signal { signal: i32 },
    Command { message: String },
    Spawn { program: String, message: String },
    MissingOutput { name: String },
    UndeclaredOutput { file: String },
    NotAFile { name: String },
    Leftover { group: i32 },
    Input { name: String, message: String },
    ChangedInput { name: String, path: String },
    Task { message: String },
    Panic { message: String },
    Storage { message: String },
}

/// [`ReasonV1`] for a borrowed or owned reason.
struct ReasonV1Cow;

#[expect(clippy::ptr_arg, reason = "the shape that serde calls")]
impl ReasonV1Cow {
    fn serialize<S: serde::Serializer>(
        reason: &Cow<'_, FailureReason>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        ReasonV1::serialize(reason, serializer)
    }

    fn deserialize<'de, 'a, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Cow<'a, FailureReason>, D::Error> {
        ReasonV1::deserialize(deserializer).map(Cow::Owned)
    }
}
