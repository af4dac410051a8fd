//! What is known of one quantum.

use pantler_core::ArtifactKey;

use super::{Finish, Outcome, StoredOutput, Verdict};

/// What happened to a quantum. See [the journal](super#order) for why the order in which
/// events are read does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuantumHistory {
    /// The highest number that was given to an attempt or a reset.
    pub attempts: u32,
    /// How its last attempt that ended did so.
    pub finish: Option<Box<Finish>>,
    /// Most quanta have none.
    rare: Option<Box<Rare>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rare {
    judged: Option<Judged>,
    reset: Option<Reset>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Judged {
    attempt: u32,
    number: u32,
    verdict: Verdict,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Reset {
    attempt: u32,
    keys: Vec<ArtifactKey>,
    done: bool,
}

/// Where a quantum stands by itself, whatever became of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It was reset since it last ran.
    Reset,
    /// Its last attempt did not end: it runs, or was cut off.
    Started,
    /// Its last attempt succeeded.
    Succeeded {
        /// That attempt.
        finish: &'a Finish,
        /// What it made.
        outputs: &'a [StoredOutput],
    },
    /// Its last attempt counts as a success since somebody accepted it.
    Accepted {
        /// That attempt.
        finish: &'a Finish,
        /// What there is of its outputs.
        outputs: &'a [StoredOutput],
    },
    /// Its last attempt failed.
    Failed {
        /// That attempt.
        finish: &'a Finish,
    },
    /// Its last attempt counts as a failure since somebody poisoned it.
    Poisoned {
        /// That attempt.
        finish: &'a Finish,
    },
}

impl QuantumHistory {
    /// How the last attempt ended, whatever it counts as by now; `None` if it was cut
    /// off, or the quantum was reset since.
    pub fn last(&self) -> Option<&Finish> {
        self.finish.as_deref().filter(|finish| finish.attempt == self.attempts)
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing<'_> {
        if self
            .rare
            .as_ref()
            .and_then(|r| r.reset.as_ref())
            .is_some_and(|r| r.attempt == self.attempts)
        {
            return Standing::Reset;
        }
        let Some(finish) = self.last() else { return Standing::Started };
        match (self.verdict(), &finish.outcome) {
            (Some((_, Verdict::Accepted { outputs })), _) => Standing::Accepted { finish, outputs },
            // One that failed by itself stays so: its own reason says more.
            (Some((_, Verdict::Poisoned)), Outcome::Succeeded { .. }) => {
                Standing::Poisoned { finish }
            }
            (None, Outcome::Succeeded { outputs }) => Standing::Succeeded { finish, outputs },
            (_, Outcome::Failed { .. }) => Standing::Failed { finish },
        }
    }

    /// Whether its last attempt counts as a success, as far as the quantum itself goes.
    pub fn is_success(&self) -> bool {
        matches!(self.standing(), Standing::Succeeded { .. } | Standing::Accepted { .. })
    }

    /// Whether its last attempt was poisoned, whatever came of it.
    pub fn is_poisoned(&self) -> bool {
        matches!(self.verdict(), Some((_, Verdict::Poisoned)))
    }

    /// Whether somebody has ever accepted, poisoned or reset it.
    pub fn was_decided(&self) -> bool {
        self.rare.is_some()
    }

    /// The number that the next verdict on the last attempt gets.
    pub fn next_verdict(&self) -> u32 {
        self.verdict().map_or(1, |(number, _)| number.saturating_add(1))
    }

    /// The reset whose deleting is not known to be done: its number, and what it was to
    /// delete. Its keys are never written again, so it can be done at any time.
    pub fn unfinished_reset(&self) -> Option<(u32, &[ArtifactKey])> {
        let reset = self.rare.as_ref()?.reset.as_ref()?;
        (!reset.done).then_some((reset.attempt, reset.keys.as_slice()))
    }

    /// What it made that was journaled and may be there still.
    pub fn keys(&self) -> Vec<ArtifactKey> {
        let finished = match self.finish.as_ref().map(|finish| &finish.outcome) {
            Some(Outcome::Succeeded { outputs }) => outputs.as_slice(),
            Some(Outcome::Failed { .. }) | None => &[],
        };
        let judged = self.rare.as_ref().and_then(|rare| rare.judged.as_ref());
        let accepted = match judged.map(|judged| &judged.verdict) {
            Some(Verdict::Accepted { outputs }) => outputs.as_slice(),
            Some(Verdict::Poisoned) | None => &[],
        };
        let reset = self.unfinished_reset().map_or(&[][..], |(_, keys)| keys);
        let outputs = finished.iter().chain(accepted).map(|output| &output.key);
        let mut keys: Vec<ArtifactKey> = outputs.chain(reset).cloned().collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// The verdict on the last attempt, and its number.
    fn verdict(&self) -> Option<(u32, &Verdict)> {
        let judged = self.rare.as_ref()?.judged.as_ref()?;
        (judged.attempt == self.attempts).then_some((judged.number, &judged.verdict))
    }

    pub(super) fn started(&mut self, attempt: u32) {
        self.attempts = self.attempts.max(attempt);
    }

    pub(super) fn finished(&mut self, finish: Box<Finish>) {
        self.started(finish.attempt);
        let order = |finish: &Finish| (finish.attempt, finish.runner);
        if self.finish.as_ref().is_none_or(|before| order(before) <= order(&finish)) {
            self.finish = Some(finish);
        }
    }

    pub(super) fn judged(&mut self, attempt: u32, number: u32, verdict: Verdict) {
        self.started(attempt);
        let order = |judged: &Judged| {
            (judged.attempt, judged.number, matches!(judged.verdict, Verdict::Poisoned))
        };
        let judged = Judged { attempt, number, verdict };
        let before = &mut self.rare.get_or_insert_default().judged;
        if before.as_ref().is_none_or(|before| order(before) <= order(&judged)) {
            *before = Some(judged);
        }
    }

    pub(super) fn reset(&mut self, attempt: u32, keys: Vec<ArtifactKey>) {
        if let Some(reset) = self.reset_numbered(attempt) {
            reset.keys.extend(keys);
            reset.keys.sort();
            reset.keys.dedup();
        }
    }

    pub(super) fn reset_done(&mut self, attempt: u32) {
        if let Some(reset) = self.reset_numbered(attempt) {
            reset.done = true;
        }
    }

    /// The reset with this number; `None` if a later one is known.
    fn reset_numbered(&mut self, attempt: u32) -> Option<&mut Reset> {
        self.started(attempt);
        let reset = self.rare.get_or_insert_default().reset.get_or_insert_default();
        if reset.attempt < attempt {
            *reset = Reset { attempt, ..Reset::default() };
        }
        (reset.attempt == attempt).then_some(reset)
    }
}

#[cfg(test)]
mod tests {
    use pantler_core::{Checksum, Tai};

    use super::*;
    use crate::FailureReason;

    type Apply = Box<dyn Fn(&mut QuantumHistory)>;

    fn key(name: &str) -> ArtifactKey {
        ArtifactKey::new(format!("run@1/t/{name}")).expect("a key")
    }

    fn output(name: &str) -> StoredOutput {
        let (size, checksum) = (1, Checksum::of(b"x"));
        StoredOutput { name: name.into(), key: key(name), size, checksum }
    }

    fn finish(runner: u32, attempt: u32, outcome: Outcome) -> Finish {
        let (started, ended) = (Tai::from_nanos(1), Tai::from_nanos(2));
        let (log, made_from) = (None, crate::journal::MadeFrom::Own);
        Finish {
            runner,
            attempt,
            outcome,
            started,
            ended,
            exit: None,
            log,
            made_from,
            taken_over: None,
            task_changed: false,
        }
    }

    fn success(name: &str) -> Outcome {
        Outcome::Succeeded { outputs: vec![output(name)] }
    }

    fn failure() -> Outcome {
        Outcome::Failed { reason: FailureReason::Exit { code: 1 } }
    }

    fn all_orders(events: &[Apply]) -> Vec<QuantumHistory> {
        fn go(
            left: &[usize],
            made: &QuantumHistory,
            events: &[Apply],
            out: &mut Vec<QuantumHistory>,
        ) {
            if left.is_empty() {
                out.push(made.clone());
            }
            for (at, event) in left.iter().enumerate() {
                let mut next = made.clone();
                events[*event](&mut next);
                let mut rest = left.to_vec();
                rest.remove(at);
                go(&rest, &next, events, out);
            }
        }
        let mut out = Vec::new();
        let left: Vec<usize> = (0..events.len()).collect();
        go(&left, &QuantumHistory::default(), events, &mut out);
        out
    }

    #[test]
    fn any_order_of_events_gives_the_same() {
        let accepted = || Verdict::Accepted { outputs: Vec::new() };
        let events: [Apply; 7] = [
            Box::new(|h| h.finished(Box::new(finish(1, 1, failure())))),
            Box::new(move |h| h.judged(1, 1, accepted())),
            Box::new(|h| h.judged(1, 2, Verdict::Poisoned)),
            Box::new(|h| h.reset(2, vec![key("a")])),
            Box::new(|h| h.reset_done(2)),
            Box::new(|h| h.started(3)),
            Box::new(|h| h.finished(Box::new(finish(4, 3, success("b"))))),
        ];
        for n in 1..=events.len() {
            let orders = all_orders(&events[..n]);
            assert!(orders.windows(2).all(|two| two[0] == two[1]), "the first {n}");
        }
        let all = all_orders(&events).remove(0);
        assert!(matches!(all.standing(), Standing::Succeeded { finish, .. } if finish.runner == 4));
        assert_eq!((all.attempts, all.unfinished_reset()), (3, None));
    }

    #[test]
    fn the_highest_verdict_counts() {
        let mut history = QuantumHistory::default();
        history.finished(Box::new(finish(1, 1, success("a"))));
        assert!(history.is_success() && history.next_verdict() == 1);
        history.judged(1, 1, Verdict::Poisoned);
        assert!(matches!(history.standing(), Standing::Poisoned { .. }));
        assert_eq!((history.next_verdict(), history.keys()), (2, vec![key("a")]));
        history.judged(1, 2, Verdict::Accepted { outputs: vec![output("a")] });
        assert!(matches!(history.standing(), Standing::Accepted { outputs: [_], .. }));
        assert!(history.is_success() && history.next_verdict() == 3);
        history.started(2);
        assert_eq!(history.standing(), Standing::Started, "verdicts were on the attempt before");
        assert_eq!(history.next_verdict(), 1);
    }

    #[test]
    fn a_finish_of_an_attempt_before_a_reset_does_not_count() {
        let mut history = QuantumHistory::default();
        history.started(1);
        history.reset(2, Vec::new());
        history.finished(Box::new(finish(1, 1, success("late"))));
        assert_eq!((history.standing(), history.last()), (Standing::Reset, None));
        assert_eq!(history.unfinished_reset(), Some((2, &[][..])));
        history.reset_done(2);
        assert_eq!(history.unfinished_reset(), None);
        assert_eq!(history.keys(), [key("late")], "another reset would delete what it made");
    }

    #[test]
    fn a_verdict_without_its_finish_says_nothing() {
        let mut history = QuantumHistory::default();
        history.judged(1, 1, Verdict::Accepted { outputs: vec![output("a")] });
        assert_eq!(history.standing(), Standing::Started);
        history.finished(Box::new(finish(1, 1, failure())));
        assert!(matches!(history.standing(), Standing::Accepted { .. }));
    }
}
