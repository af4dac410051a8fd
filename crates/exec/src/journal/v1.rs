//! Format version 1 of segments: read, and not written any more. It knows starts and
//! finishes only.

use std::{borrow::Cow, collections::BTreeMap};

use pantler_core::{ArtifactKey, Checksum, OpeningId, QuantumId, Tai, transaction::Process};
use serde::{Deserialize, Serialize};

use super::{
    Event, Finish, LogSlice, MadeFrom, Outcome, SegmentHeader, StoredOutput, line::LineError,
};
use crate::FailureReason;

/// Reads the event of a header line.
pub(super) fn read_header(event: &[u8]) -> Result<SegmentHeader, LineError> {
    let header: HeaderV1<'_> = serde_json::from_slice(event).map_err(|e| LineError::damaged(&e))?;
    Ok(header.into())
}

/// Reads an event of `runner`'s segment.
pub(super) fn read_event(runner: u32, event: &[u8]) -> Result<Event, LineError> {
    let event: EventV1<'_> = serde_json::from_slice(event).map_err(|e| LineError::damaged(&e))?;
    Ok(match event {
        EventV1::Start { quantum, attempt } => Event::Start { quantum, attempt },
        EventV1::Finish(finish) => finish.of_runner(runner),
        EventV1::Sealed => Event::Sealed,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderV1<'a> {
    opening: OpeningId,
    runner: u32,
    process: Cow<'a, Process>,
    started: Tai,
}

impl From<HeaderV1<'_>> for SegmentHeader {
    fn from(header: HeaderV1<'_>) -> Self {
        let HeaderV1 { opening, runner, process, started } = header;
        let (process, tasks) = (process.into_owned(), BTreeMap::new());
        Self { opening, runner, process, started, selection: None, tasks }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum EventV1<'a> {
    Start { quantum: QuantumId, attempt: u32 },
    Finish(FinishV1<'a>),
    Sealed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FinishV1<'a> {
    quantum: QuantumId,
    attempt: u32,
    outcome: OutcomeV1<'a>,
    started: Tai,
    ended: Tai,
    #[serde(default)]
    exit: Option<i32>,
    /// Offset and length.
    #[serde(default)]
    log: Option<(u64, u64)>,
}

impl FinishV1<'_> {
    pub(super) fn of_runner(self, runner: u32) -> Event {
        let Self { quantum, attempt, outcome, started, ended, exit, log } = self;
        let finish = Finish {
            runner,
            attempt,
            outcome: outcome.into(),
            started,
            ended,
            exit,
            log: log.map(|(offset, len)| LogSlice { runner, offset, len }),
            made_from: MadeFrom::Unknown,
            taken_over: None,
            task_changed: false,
        };
        Event::Finish { quantum, finish: Box::new(finish) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OutcomeV1<'a> {
    Succeeded(Vec<OutputV1<'a>>),
    Failed(#[serde(with = "ReasonV1Cow")] Cow<'a, FailureReason>),
}

impl<'a> From<&'a Outcome> for OutcomeV1<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        match outcome {
            Outcome::Succeeded { outputs } => {
                Self::Succeeded(outputs.iter().map(OutputV1::from).collect())
            }
            Outcome::Failed { reason } => Self::Failed(Cow::Borrowed(reason)),
        }
    }
}

impl From<OutcomeV1<'_>> for Outcome {
    fn from(outcome: OutcomeV1<'_>) -> Self {
        match outcome {
            OutcomeV1::Succeeded(outputs) => {
                Self::Succeeded { outputs: outputs.into_iter().map(StoredOutput::from).collect() }
            }
            OutcomeV1::Failed(reason) => Self::Failed { reason: reason.into_owned() },
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputV1<'a> {
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
    Exit {
        code: i32,
    },
    Signal {
        signal: i32,
    },
    Command {
        message: String,
    },
    Spawn {
        program: String,
        message: String,
    },
    MissingOutput {
        name: String,
    },
    UndeclaredOutput {
        file: String,
    },
    NotAFile {
        name: String,
    },
    Leftover {
        group: i32,
    },
    Input {
        name: String,
        message: String,
    },
    ChangedInput {
        name: String,
        path: String,
    },
    Task {
        message: String,
    },
    Panic {
        message: String,
    },
    Storage {
        message: String,
    },
    /// Follows from another line; no finish line says it.
    #[serde(skip)]
    Poisoned,
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
