//! The thread that brings finished quanta to stable storage, in groups.

use std::{
    sync::mpsc::{Receiver, Sender},
    time::{Duration, Instant},
};

use camino::Utf8PathBuf;
use pantler_core::ArtifactKey;
use pantler_datastore::Flusher;
use pantler_seam::step;

use super::{context::RunContext, error::RunError, message::Message};
use crate::{
    JournalError, LogError,
    journal::{Finish, JournalSync, Outcome},
};

/// A finished quantum and how it finished.
pub(super) type Finished = (u32, Box<Finish>);

/// Work for the flushing thread.
#[derive(Debug)]
pub(super) enum FlushJob {
    /// Outputs and logs of these; afterwards they may be journaled.
    Group(Vec<Finished>),
    /// The journal itself.
    Journal,
}

/// Finished quanta that wait for the next group.
#[derive(Debug, Default)]
pub(super) struct Group {
    finished: Vec<Finished>,
    oldest: Option<Instant>,
}

/// Leaves time for the flush itself, so that a quantum waits a second at most.
const WAIT: Duration = Duration::from_millis(500);
const FULL: usize = 512;

impl Group {
    pub(super) fn push(&mut self, finished: Finished, now: Instant) {
        self.oldest.get_or_insert(now);
        self.finished.push(finished);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.finished.is_empty()
    }

    /// When it has to go at the latest; `None` if it is empty.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.finished.len() >= FULL { self.oldest } else { self.oldest.map(|at| at + WAIT) }
    }

    pub(super) fn take(&mut self) -> Vec<Finished> {
        self.oldest = None;
        std::mem::take(&mut self.finished)
    }
}

/// Does jobs until there are no more. `flusher` was opened before the first write.
pub(super) fn work(
    context: &RunContext<'_>,
    flusher: &dyn Flusher,
    journal: &JournalSync,
    jobs: Receiver<FlushJob>,
    done: &Sender<Message>,
) {
    for job in jobs {
        let message = match job {
            FlushJob::Group(group) => {
                let result = flush_group(context, flusher, &group);
                Message::Flushed(group, result)
            }
            FlushJob::Journal => {
                let result = journal.sync();
                step("exec.journal.synced");
                Message::JournalSynced(result)
            }
        };
        if done.send(message).is_err() {
            return;
        }
    }
}

fn flush_group(
    context: &RunContext<'_>,
    flusher: &dyn Flusher,
    group: &[Finished],
) -> Result<(), RunError> {
    let keys: Vec<ArtifactKey> = group
        .iter()
        .flat_map(|(_, finish)| match &finish.outcome {
            Outcome::Succeeded { outputs } => outputs.as_slice(),
            Outcome::Failed { .. } => &[],
        })
        .map(|output| output.key.clone())
        .collect();
    step("exec.flush");
    if !keys.is_empty() {
        flusher.flush(&keys).map_err(|source| RunError::Flush { quanta: group.len(), source })?;
    }
    if group.iter().any(|(_, finish)| finish.log.is_some()) {
        let file = context.log().sync_handle().map_err(|source| RunError::Log { source })?;
        if let Some((file, path)) = file {
            file.sync_data().map_err(|source| RunError::Log {
                source: LogError::Io { action: "flush", path, source },
            })?;
        }
    }
    step("exec.flushed");
    Ok(())
}

/// The journal of `root` failed.
pub(super) fn journal_failed(root: &camino::Utf8Path) -> impl Fn(JournalError) -> RunError {
    let root: Utf8PathBuf = root.to_owned();
    move |source| RunError::Journal { root: root.clone(), source }
}

#[cfg(test)]
mod tests {
    use pantler_core::Tai;

    use super::*;

    #[test]
    fn a_group_goes_when_it_is_full_or_its_oldest_member_waited_enough() {
        let now = Instant::now();
        let finish = Finish {
            runner: 1,
            attempt: 1,
            outcome: Outcome::Succeeded { outputs: Vec::new() },
            started: Tai::from_nanos(0),
            ended: Tai::from_nanos(0),
            exit: None,
            log: None,
            made_from: crate::journal::MadeFrom::Own,
            taken_over: None,
            task_changed: false,
        };
        let mut group = Group::default();
        assert_eq!(group.due(), None);
        group.push((0, Box::new(finish.clone())), now);
        group.push((1, Box::new(finish.clone())), now + WAIT);
        assert_eq!(group.due(), Some(now + WAIT));
        for q in 2..512 {
            group.push((q, Box::new(finish.clone())), now);
        }
        assert_eq!(group.due(), Some(now));
        assert_eq!(group.take().len(), 512);
        assert_eq!(group.due(), None);
    }
}
