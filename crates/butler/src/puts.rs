//! The kind `put-session`: datasets are put into a RUN one by one, each committed by itself.
//!
//! | step | effect | a kill after it leaves | commit, abandon | revert |
//! | --- | --- | --- | --- | --- |
//! | open (one database transaction) | the RUN if it was missing, insert-only lock, row | open | ends it | refused |
//! | put: stage, flush, rename, flush | one artifact, with the opening and a number of its own in its key | open, and the artifact the session's | deletes it | refused |
//! | put: rows (one database transaction) | only under the attempt that is held: registration and record in | open, the dataset stored | the dataset stays | refused |
//! | finish: rows (one database transaction) | row and lock out | closed | – | – |
//!
//! Whoever closes a session that did not end by itself claims it first, so that no put of it
//! enters any more, and then deletes what carries its opening below the RUN's prefix and is
//! named by no record. A closer that was paused deletes nothing else when it wakes up:
//! nothing enters under an opening after a claim, and no key is written twice. Why it is a
//! kind of its own: `docs/decisions/0022-put-sessions.md`.

use std::collections::BTreeSet;

use pantler_core::{
    ArtifactKey, CollectionName,
    transaction::{Closing, RunLocks},
};
use serde::{Deserialize, Serialize};

use crate::{
    artifacts::Found,
    transaction::{
        ArtifactTransaction, CloseContext, CommitContext, DecodeError, KindError, OpenContext,
        RevertContext, TransactionKind,
    },
};

/// Puts into one RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutSession {
    run: CollectionName,
    settled: bool,
}

impl PutSession {
    /// Puts into `run`, which is made if it is missing.
    pub fn new(run: CollectionName) -> Self {
        Self { run, settled: true }
    }

    /// The RUN.
    pub fn run(&self) -> &CollectionName {
        &self.run
    }

    /// Notes that an artifact may be there that no record names, so that a commit has to
    /// look for it. Of a session that was decoded this is always so.
    pub fn unsettle(&mut self) {
        self.settled = false;
    }

    fn delete_unnamed(context: &CloseContext<'_>) -> Result<(), KindError> {
        let facts = context.facts();
        let (opening, prefix) = (facts.opening, facts.run_prefix);
        if prefix.is_empty() {
            // Without a RUN nothing was ever put.
            return Ok(());
        }
        let present: BTreeSet<ArtifactKey> = (context.artifacts().list(prefix)?.into_iter())
            .filter_map(|found| match found {
                Found::Artifact { key, .. } | Found::Unfinished { key } => Some(key),
                Found::Foreign { .. } => None,
            })
            .collect();
        let written: Vec<_> = present.iter().filter(|key| key.is_of(opening)).cloned().collect();
        if !written.is_empty() {
            let doomed = context.confirm_unnamed(written)?;
            context.artifacts().unstore(&doomed)?;
        }
        context.artifacts().prune(prefix)?;
        // A put that deleted its artifact again may have been killed before it flushed that,
        // and nothing says any more which it was.
        let present: Vec<_> = present.into_iter().collect();
        Ok(context.artifacts().flush_removals(prefix, &present)?)
    }
}

impl ArtifactTransaction for PutSession {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn data(&self, _: Option<&[u8]>) -> String {
        let data = DataV1 { version: 1, run: self.run.clone() };
        serde_json::to_string(&data).expect("names and numbers serialize")
    }

    fn locks(&self) -> RunLocks {
        RunLocks { insert_only: vec![self.run.clone()], ..RunLocks::default() }
    }

    fn commit_deletes(&self) -> bool {
        !self.settled
    }

    fn writes_unnamed(&self) -> bool {
        true
    }

    fn expect_closing(&self, closing: Closing) -> Result<(), KindError> {
        if closing != Closing::Revert {
            return Ok(());
        }
        Err(KindError::Final(
            "each put of a session is committed by itself and stays: commit or abandon ends the \
             session, and datasets are taken away by a removal"
                .to_owned(),
        ))
    }

    fn begin(&self, context: &mut OpenContext) -> Result<(), KindError> {
        context.ensure_run(self.run.clone());
        Ok(())
    }

    fn commit(&self, context: &mut CommitContext<'_>) -> Result<(), KindError> {
        if self.settled { Ok(()) } else { Self::delete_unnamed(context) }
    }

    fn revert(&self, _: &mut RevertContext<'_>) -> Result<(), KindError> {
        self.expect_closing(Closing::Revert)
    }

    fn abandon(&self, context: &mut CloseContext<'_>) -> Result<(), KindError> {
        Self::delete_unnamed(context)
    }
}

#[derive(Serialize, Deserialize)]
struct DataV1 {
    version: u32,
    run: CollectionName,
}

impl TransactionKind for PutSession {
    const KIND: &'static str = "put-session";

    fn decode(data: &str, _: &[u8]) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct VersionOnly {
            version: u32,
        }
        let damaged =
            |e: serde_json::Error| DecodeError::Damaged { kind: Self::KIND, reason: e.to_string() };
        let VersionOnly { version: found } = serde_json::from_str(data).map_err(damaged)?;
        if found != 1 {
            return Err(DecodeError::Version { kind: Self::KIND, found, supported: 1 });
        }
        let DataV1 { run, .. } = serde_json::from_str(data).map_err(damaged)?;
        Ok(Self { run, settled: false })
    }
}

#[cfg(test)]
mod tests;
