//! Format version 2 of segments, which is written: adds what `accept`, `poison` and
//! `reset` did. What version 1 knows has the shapes of version 1.

use pantler_core::{ArtifactKey, QuantumId, Tai};
use serde::{Deserialize, Serialize};

use super::{
    Event, Finish, LogSlice, SegmentHeader, Verdict,
    line::{self, LineError},
    v1::{HeaderV1, OutcomeV1, OutputV1},
};

/// The version that is written.
pub(super) const VERSION: &str = "2";

/// Appends the header line.
pub(super) fn write_header(header: &SegmentHeader, line: &mut Vec<u8>) {
    line::write_header(VERSION, &HeaderV1::from(header), line);
}

/// Reads the event of a header line.
pub(super) fn read_header(event: &[u8]) -> Result<SegmentHeader, LineError> {
    let header: HeaderV1<'_> = serde_json::from_slice(event).map_err(|e| LineError::damaged(&e))?;
    Ok(header.into())
}

/// Appends the line of a start.
pub(super) fn write_start(seq: u64, quantum: QuantumId, attempt: u32, line: &mut Vec<u8>) {
    line::write_event(seq, &EventV2::Start { quantum, attempt }, line);
}

/// Appends the line of a finish.
pub(super) fn write_finish(seq: u64, quantum: QuantumId, finish: &Finish, line: &mut Vec<u8>) {
    let event = EventV2::Finish {
        quantum,
        attempt: finish.attempt,
        outcome: (&finish.outcome).into(),
        started: finish.started,
        ended: finish.ended,
        exit: finish.exit,
        log: finish.log.map(|slice| (slice.offset, slice.len)),
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
        Verdict::Accepted { outputs } => EventV2::Accepted {
            quantum,
            attempt,
            number,
            outputs: outputs.iter().map(OutputV1::from).collect(),
        },
        Verdict::Poisoned => EventV2::Poisoned { quantum, attempt, number },
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
    line::write_event(seq, &EventV2::Reset { quantum, attempt, keys: keys.to_vec() }, line);
}

/// Appends the line that says that a reset has deleted them.
pub(super) fn write_reset_done(seq: u64, quantum: QuantumId, attempt: u32, line: &mut Vec<u8>) {
    line::write_event(seq, &EventV2::ResetDone { quantum, attempt }, line);
}

/// Appends the line that ends a segment.
pub(super) fn write_sealed(seq: u64, line: &mut Vec<u8>) {
    line::write_event(seq, &EventV2::Sealed, line);
}

/// Reads an event of `runner`'s segment.
pub(super) fn read_event(runner: u32, event: &[u8]) -> Result<Event, LineError> {
    let event: EventV2<'_> = serde_json::from_slice(event).map_err(|e| LineError::damaged(&e))?;
    Ok(match event {
        EventV2::Start { quantum, attempt } => Event::Start { quantum, attempt },
        EventV2::Finish { quantum, attempt, outcome, started, ended, exit, log } => {
            let log = log.map(|(offset, len)| LogSlice { runner, offset, len });
            let outcome = outcome.into();
            let finish = Finish { runner, attempt, outcome, started, ended, exit, log };
            Event::Finish { quantum, finish: Box::new(finish) }
        }
        EventV2::Accepted { quantum, attempt, number, outputs } => {
            let outputs = outputs.into_iter().map(Into::into).collect();
            Event::Verdict { quantum, attempt, number, verdict: Verdict::Accepted { outputs } }
        }
        EventV2::Poisoned { quantum, attempt, number } => {
            Event::Verdict { quantum, attempt, number, verdict: Verdict::Poisoned }
        }
        EventV2::Reset { quantum, attempt, keys } => Event::Reset { quantum, attempt, keys },
        EventV2::ResetDone { quantum, attempt } => Event::ResetDone { quantum, attempt },
        EventV2::Sealed => Event::Sealed,
    })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum EventV2<'a> {
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
