//! Format version 2 of segments: read, and not written any more. It adds what `accept`,
//! `poison` and `reset` did. What version 1 knows has the shapes of version 1.

use pantler_core::{ArtifactKey, QuantumId};
use serde::Deserialize;

use super::{
    Event, SegmentHeader, Verdict,
    line::LineError,
    v1::{FinishV1, HeaderV1, OutputV1},
};

/// Reads the event of a header line.
pub(super) fn read_header(event: &[u8]) -> Result<SegmentHeader, LineError> {
    let header: HeaderV1<'_> = serde_json::from_slice(event).map_err(|e| LineError::damaged(&e))?;
    Ok(header.into())
}

/// Reads an event of `runner`'s segment.
pub(super) fn read_event(runner: u32, event: &[u8]) -> Result<Event, LineError> {
    let event: EventV2<'_> = serde_json::from_slice(event).map_err(|e| LineError::damaged(&e))?;
    Ok(match event {
        EventV2::Start { quantum, attempt } => Event::Start { quantum, attempt },
        EventV2::Finish(finish) => finish.of_runner(runner),
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

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum EventV2<'a> {
    Start { quantum: QuantumId, attempt: u32 },
    Finish(FinishV1<'a>),
    Accepted { quantum: QuantumId, attempt: u32, number: u32, outputs: Vec<OutputV1<'a>> },
    Poisoned { quantum: QuantumId, attempt: u32, number: u32 },
    Reset { quantum: QuantumId, attempt: u32, keys: Vec<ArtifactKey> },
    ResetDone { quantum: QuantumId, attempt: u32 },
    Sealed,
}
