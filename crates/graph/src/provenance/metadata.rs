//! Blocks of `metadata`: a JSON list, an entry a quantum.

use pantler_core::{CollectionName, QuantumId, Tai};
use serde::{Deserialize, Serialize};

use super::{
    METADATA,
    model::{Attempt, AttemptEnd, QuantumExecution, TakenOver},
};
use crate::format::{GraphFileError, block::Block};

/// The longest reason of a failure that is kept, in bytes. With [`MAX_ATTEMPTS`], 64 quanta
/// fit into a block, whatever JSON makes of the characters.
const MAX_REASON: usize = 4 << 10;

/// The last attempts that are kept of each quantum.
const MAX_ATTEMPTS: usize = 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ExecutionV1 {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<AttemptV1>,
    begun: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken_over: Option<TakenOverV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<LogV1>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct AttemptV1 {
    attempt: u32,
    runner: u32,
    /// Nanoseconds TAI.
    started: Tai,
    ended: Tai,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit: Option<i32>,
    /// Why it failed; not there if it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    task_changed: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TakenOverV1 {
    run: CollectionName,
    quantum: QuantumId,
}

/// Where a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogV1 {
    /// The offset of a block of `logs`.
    pub(super) block: u64,
    /// Where in that block, decompressed, it starts; it may go on in the next ones.
    pub(super) at: u32,
    /// Its length in bytes.
    pub(super) length: u64,
}

impl ExecutionV1 {
    pub(super) fn new(execution: QuantumExecution, log: Option<LogV1>) -> Self {
        let QuantumExecution { attempts, begun, taken_over } = execution;
        let skipped = attempts.len().saturating_sub(MAX_ATTEMPTS);
        let attempts = attempts.into_iter().skip(skipped).map(|attempt| AttemptV1 {
            attempt: attempt.number,
            runner: attempt.runner,
            started: attempt.started,
            ended: attempt.ended,
            exit: attempt.exit,
            failure: match attempt.end {
                AttemptEnd::Succeeded => None,
                AttemptEnd::Failed { reason } => Some(shortened(reason)),
            },
            task_changed: attempt.task_changed,
        });
        let taken_over = taken_over.map(|TakenOver { run, quantum }| TakenOverV1 { run, quantum });
        Self { attempts: attempts.collect(), begun, taken_over, log }
    }

    pub(super) fn execution(&self) -> QuantumExecution {
        let attempts = self.attempts.iter().cloned().map(|attempt| Attempt {
            number: attempt.attempt,
            runner: attempt.runner,
            started: attempt.started,
            ended: attempt.ended,
            exit: attempt.exit,
            end: match attempt.failure {
                None => AttemptEnd::Succeeded,
                Some(reason) => AttemptEnd::Failed { reason },
            },
            task_changed: attempt.task_changed,
        });
        let taken_over = self.taken_over.clone();
        QuantumExecution {
            attempts: attempts.collect(),
            begun: self.begun,
            taken_over: taken_over.map(|TakenOverV1 { run, quantum }| TakenOver { run, quantum }),
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_REASON {
        let mut end = MAX_REASON;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

pub(super) fn encode(entries: &[ExecutionV1]) -> Result<Block, GraphFileError> {
    let data = serde_json::to_vec(entries)
        .map_err(|error| GraphFileError::malformed(METADATA, error.to_string()))?;
    Ok(Block { plain: Vec::new(), data })
}

/// Reads a block of `expected` quanta.
pub(super) fn decode(block: &Block, expected: usize) -> Result<Vec<ExecutionV1>, GraphFileError> {
    let entries: Vec<ExecutionV1> = serde_json::from_slice(&block.data)
        .map_err(|error| GraphFileError::malformed(METADATA, error.to_string()))?;
    if entries.len() == expected && block.plain.is_empty() {
        Ok(entries)
    } else {
        Err(GraphFileError::malformed(METADATA, "a block is of another number of quanta"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_reasons_fit_into_a_block() {
        let attempt = |number| Attempt {
            number,
            runner: 1,
            started: Tai::from_nanos(0),
            ended: Tai::from_nanos(1),
            exit: None,
            // Six bytes of JSON each.
            end: AttemptEnd::Failed { reason: "\u{1}".repeat(100_000) },
            task_changed: true,
        };
        let attempts: Vec<Attempt> = (1..=30).map(attempt).collect();
        let execution = QuantumExecution { attempts, begun: 30, taken_over: None };
        let entries = vec![ExecutionV1::new(execution, None); super::super::IN_BLOCK];
        let block = encode(&entries).unwrap();
        block.encode(METADATA).unwrap();
        let read = decode(&block, super::super::IN_BLOCK).unwrap();
        let last = read[63].execution();
        assert_eq!((last.begun, last.attempts.len(), last.attempts[19].number), (30, 20, 30));
        assert_eq!(shortened("é".repeat(5000)).chars().count(), MAX_REASON / 2 + 1);
    }
}
