//! Format version 3 of segments, which is written. A header names the quanta that its
//! runner was to run, and a finish line the attempts that made what was read, so that
//! several runners can work at a time. A sealed line may be followed by an address table
//! (`table`). What earlier versions know has their shapes.

use std::{borrow::Cow, collections::BTreeMap};

use pantler_core::{
    ArtifactKey, Checksum, CollectionName, OpeningId, QuantumId, Tai, TaskLabel,
    transaction::Process,
};
use pantler_graph::TakenOver;
use serde::{Deserialize, Serialize};

use super::{
    Event, Finish, LogSlice, MadeBy, MadeFrom, SegmentHeader, Verdict,
    line::{self, LineError},
    v1::{OutcomeV1, OutputV1},
};
use crate::Selection;

/// The version that is written.
pub(super) const VERSION: &str = "3";

/// Appends the header line.
pub(super) fn write_header(header: &SegmentHeader, line: &mut Vec<u8>) {
    line::write_header(VERSION, &HeaderV3::from(header), line);
}

/// Reads the event of a header line.
pub(super) fn read_header(event: &[u8]) -> Result<SegmentHeader, LineError> {
    let header: HeaderV3<'_> = serde_json::from_slice(event).map_err(|e| LineError::damaged(&e))?;
    Ok(header.into())
}

/// Appends the line of a start.
pub(super) fn write_start(seq: u64, quantum: QuantumId, attempt: u32, line: &mut Vec<u8>) {
    line::write_event(seq, &EventV3::Start { quantum, attempt }, line);
}

/// Appends the line of a finish.
pub(super) fn write_finish(seq: u64, quantum: QuantumId, finish: &Finish, line: &mut Vec<u8>) {
    let event = EventV3::Finish {
        quantum,
        attempt: finish.attempt,
        outcome: (&finish.outcome).into(),
        started: finish.started,
        ended: finish.ended,
        exit: finish.exit,
        log: finish.log.map(|slice| (slice.offset, slice.len)),
        made_from: match &finish.made_from {
            MadeFrom::Unknown | MadeFrom::Own => None,
            MadeFrom::Attempts(made) => {
                Some(made.iter().map(|by| (by.runner, by.attempt, by.count)).collect())
            }
        },
        taken_over: finish.taken_over.as_ref().map(|from| (from.run.clone(), from.quantum)),
        task_changed: finish.task_changed,
    };
    line::write_event(seq, &event, line);
}

/// Appends the line of a verdict.
pub(super) fn write_verdict(
    seq: u64,
    quantum: QuantumId,
    attempt: u32,
    number: u32,
    verdict: &Verdict,
    line: &mut Vec<u8>,
) {
    let event = match verdict {
        Verdict::Accepted { outputs } => EventV3::Accepted {
            quantum,
            attempt,
            number,
            outputs: outputs.iter().map(OutputV1::from).collect(),
        },
        Verdict::Poisoned => EventV3::Poisoned { quantum, attempt, number },
    };
    line::write_event(seq, &event, line);
}

/// Appends the line that says which artifacts a reset is about to delete.
pub(super) fn write_reset(
    seq: u64,
    quantum: QuantumId,
    attempt: u32,
    keys: &[ArtifactKey],
    line: &mut Vec<u8>,
) {
    line::write_event(seq, &EventV3::Reset { quantum, attempt, keys: keys.to_vec() }, line);
}

/// Appends the line that says that a reset has deleted them.
pub(super) fn write_reset_done(seq: u64, quantum: QuantumId, attempt: u32, line: &mut Vec<u8>) {
    line::write_event(seq, &EventV3::ResetDone { quantum, attempt }, line);
}

/// Appends the line that ends a segment.
pub(super) fn write_sealed(seq: u64, line: &mut Vec<u8>) {
    line::write_event(seq, &EventV3::Sealed, line);
}

/// Reads an event of `runner`'s segment.
pub(super) fn read_event(runner: u32, event: &[u8]) -> Result<Event, LineError> {
    let event: EventV3<'_> = serde_json::from_slice(event).map_err(|e| LineError::damaged(&e))?;
    Ok(match event {
        EventV3::Start { quantum, attempt } => Event::Start { quantum, attempt },
        EventV3::Finish {
            quantum,
            attempt,
            outcome,
            started,
            ended,
            exit,
            log,
            made_from,
            taken_over,
            task_changed,
        } => {
            let log = log.map(|(offset, len)| LogSlice { runner, offset, len });
            let outcome = outcome.into();
            let made_from = made_from.map_or(MadeFrom::Own, |made| {
                let by = |(runner, attempt, count)| MadeBy { runner, attempt, count };
                MadeFrom::Attempts(made.into_iter().map(by).collect())
            });
            let taken_over = taken_over.map(|(run, quantum)| Box::new(TakenOver { run, quantum }));
            let finish = Finish {
                runner,
                attempt,
                outcome,
                started,
                ended,
                exit,
                log,
                made_from,
                taken_over,
                task_changed,
            };
            Event::Finish { quantum, finish: Box::new(finish) }
        }
        EventV3::Accepted { quantum, attempt, number, outputs } => {
            let outputs = outputs.into_iter().map(Into::into).collect();
            Event::Verdict { quantum, attempt, number, verdict: Verdict::Accepted { outputs } }
        }
        EventV3::Poisoned { quantum, attempt, number } => {
            Event::Verdict { quantum, attempt, number, verdict: Verdict::Poisoned }
        }
        EventV3::Reset { quantum, attempt, keys } => Event::Reset { quantum, attempt, keys },
        EventV3::ResetDone { quantum, attempt } => Event::ResetDone { quantum, attempt },
        EventV3::Sealed => Event::Sealed,
    })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderV3<'a> {
    opening: OpeningId,
    runner: u32,
    process: Cow<'a, Process>,
    started: Tai,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    selection: Option<SelectionV3<'a>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    tasks: Cow<'a, BTreeMap<TaskLabel, Checksum>>,
}

fn is_empty(tasks: &BTreeMap<TaskLabel, Checksum>) -> bool {
    tasks.is_empty()
}

/// With nothing in it: all quanta.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SelectionV3<'a> {
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    tasks: Cow<'a, [TaskLabel]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    quanta: Cow<'a, [QuantumId]>,
}

impl<'a> From<&'a SegmentHeader> for HeaderV3<'a> {
    fn from(header: &'a SegmentHeader) -> Self {
        Self {
            opening: header.opening,
            runner: header.runner,
            process: Cow::Borrowed(&header.process),
            started: header.started,
            selection: header.selection.as_ref().map(|selection| SelectionV3 {
                tasks: Cow::Borrowed(&selection.tasks),
                quanta: Cow::Borrowed(&selection.quanta),
            }),
            tasks: Cow::Borrowed(&header.tasks),
        }
    }
}

impl From<HeaderV3<'_>> for SegmentHeader {
    fn from(header: HeaderV3<'_>) -> Self {
        let HeaderV3 { opening, runner, process, started, selection, tasks } = header;
        let selection = selection.map(|selection| Selection {
            tasks: selection.tasks.into_owned(),
            quanta: selection.quanta.into_owned(),
        });
        let (process, tasks) = (process.into_owned(), tasks.into_owned());
        Self { opening, runner, process, started, selection, tasks }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum EventV3<'a> {
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
        /// Runner, attempt, how many in a row; without it, the runner's own first attempts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        made_from: Option<Vec<(u32, u32, u32)>>,
        /// RUN and quantum.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        taken_over: Option<(CollectionName, QuantumId)>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        task_changed: bool,
    },
    Accepted {
        quantum: QuantumId,
        attempt: u32,
        number: u32,
        outputs: Vec<OutputV1<'a>>,
    },
    Poisoned {
        quantum: QuantumId,
        attempt: u32,
        number: u32,
    },
    Reset {
        quantum: QuantumId,
        attempt: u32,
        keys: Vec<ArtifactKey>,
    },
    ResetDone {
        quantum: QuantumId,
        attempt: u32,
    },
    Sealed,
}
