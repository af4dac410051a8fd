use std::{
    collections::{HashMap, HashSet},
    io,
};

use camino::Utf8Path;
use pantler_core::{OpeningId, QuantumId};

use super::{Event, JournalError, QuantumHistory, SegmentHeader, segment::Segment};
use crate::{layout, takeover};

/// What all segments of a workspace say together.
#[derive(Debug, Clone, Default)]
pub struct JournalState {
    opening: Option<OpeningId>,
    segments: Vec<SegmentInfo>,
    read: Vec<Segment>,
    quanta: HashMap<QuantumId, QuantumHistory>,
    /// Of which quanta it tells; `None` for all.
    pub(super) only: Option<HashSet<QuantumId>>,
    /// How much was read by way of address tables.
    looked_up: u64,
}

/// A segment, and who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number, which is the number of the runner that wrote it.
    pub runner: u32,
    /// Who it was; `None` if it died before it had said so.
    pub header: Option<SegmentHeader>,
    /// Whether it ended in order; if not, it runs or died.
    pub sealed: bool,
}

impl JournalState {
    /// Reads all segments in `dir`; a directory that does not exist has none.
    ///
    /// # Errors
    /// [`JournalError`] if one is damaged, of a newer format or of another workspace.
    pub fn read(dir: &Utf8Path) -> Result<Self, JournalError> {
        let mut state = Self::default();
        state.read_on(dir)?;
        Ok(state)
    }

    /// Reads what all segments in `dir` say about these quanta. Of one that was sealed, no
    /// more than its header is read if that names other quanta, and if it has an address table
    /// no more than that takes.
    ///
    /// # Errors
    /// Those of [`Self::read`]; what is damaged and was not needed is not noticed.
    pub fn read_only(dir: &Utf8Path, quanta: &[QuantumId]) -> Result<Self, JournalError> {
        let quanta: HashSet<QuantumId> = quanta.iter().copied().collect();
        let mut state = Self::default();
        for runner in runners(dir)? {
            let path = dir.join(layout::segment_name(runner));
            if takeover::lines_that_count(dir, runner)?.is_none()
                && let Some((segment, events, bytes)) = Segment::find(&path, runner, &quanta)?
            {
                state.looked_up += bytes;
                for event in events {
                    take(&mut state.quanta, event);
                }
                state.read.push(segment);
            }
        }
        state.only = Some(quanta);
        state.read_on(dir)?;
        Ok(state)
    }

    /// Reads what was written since.
    pub(crate) fn read_on(&mut self, dir: &Utf8Path) -> Result<(), JournalError> {
        for runner in runners(dir)? {
            let at = match self.read.binary_search_by_key(&runner, |segment| segment.runner) {
                Ok(at) => at,
                Err(at) => {
                    self.read.insert(at, Segment::new(runner));
                    at
                }
            };
            self.read_segment(dir, at)?;
        }
        let info = |segment: &Segment| SegmentInfo {
            runner: segment.runner,
            header: segment.header.clone(),
            sealed: segment.sealed,
        };
        self.segments = self.read.iter().map(info).collect();
        Ok(())
    }

    /// How far each segment has been read.
    pub(crate) fn read_so_far(&self) -> &[Segment] {
        &self.read
    }

    /// The opening that the segments name; `None` without segments.
    pub fn opening(&self) -> Option<OpeningId> {
        self.opening
    }

    /// The segments, by runner number.
    pub fn segments(&self) -> &[SegmentInfo] {
        &self.segments
    }

    /// What happened to a quantum; `None` if nothing did.
    pub fn quantum(&self, quantum: QuantumId) -> Option<&QuantumHistory> {
        self.quanta.get(&quantum)
    }

    /// All quanta of which something is known, in no order.
    pub fn quanta(&self) -> impl Iterator<Item = (QuantumId, &QuantumHistory)> {
        self.quanta.iter().map(|(id, history)| (*id, history))
    }

    /// Whether nothing has happened to any quantum.
    pub fn is_empty(&self) -> bool {
        self.quanta.is_empty()
    }

    fn read_segment(&mut self, dir: &Utf8Path, at: usize) -> Result<(), JournalError> {
        let segment = &mut self.read[at];
        let path = dir.join(layout::segment_name(segment.runner));
        segment.limit = takeover::lines_that_count(dir, segment.runner)?;
        let (quanta, only) = (&mut self.quanta, self.only.as_ref());
        segment.read_on(&path, |event| {
            if event.quantum().is_some_and(|quantum| only.is_none_or(|o| o.contains(&quantum))) {
                take(quanta, event);
            }
        })?;
        if let Some(header) = &segment.header {
            let expected = *self.opening.get_or_insert(header.opening);
            if header.opening != expected {
                return Err(JournalError::OtherOpening { path, found: header.opening, expected });
            }
        }
        Ok(())
    }
}

fn take(quanta: &mut HashMap<QuantumId, QuantumHistory>, event: Event) {
    match event {
        Event::Start { quantum, attempt } => {
            quanta.entry(quantum).or_default().started(attempt);
        }
        Event::Finish { quantum, finish } => {
            quanta.entry(quantum).or_default().finished(finish);
        }
        Event::Verdict { quantum, attempt, number, verdict } => {
            quanta.entry(quantum).or_default().judged(attempt, number, verdict);
        }
        Event::Reset { quantum, attempt, keys } => {
            quanta.entry(quantum).or_default().reset(attempt, keys);
        }
        Event::ResetDone { quantum, attempt } => {
            quanta.entry(quantum).or_default().reset_done(attempt);
        }
        Event::Sealed => {}
    }
}

/// The numbers of the segments in `dir`, in order; a directory that does not exist has none.
pub(crate) fn runners(dir: &Utf8Path) -> Result<Vec<u32>, JournalError> {
    let failed = |source| JournalError::Io { action: "list", path: dir.to_owned(), source };
    let mut runners = Vec::new();
    match dir.read_dir_utf8() {
        Ok(entries) => {
            for entry in entries {
                runners.extend(layout::segment_runner(entry.map_err(failed)?.file_name()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    runners.sort_unstable();
    Ok(runners)
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use pantler_core::{ArtifactKey, Checksum, Tai, transaction::Process};
    use uuid::Uuid;

    use super::*;
    use crate::{
        FailureReason, Selection,
        journal::{
            Finish, JournalWriter, LogSlice, MadeFrom, Outcome, Standing, StoredOutput, Verdict,
        },
    };

    type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

    fn opening() -> OpeningId {
        OpeningId::from_uuid(Uuid::from_u128(7))
    }

    fn quantum(n: u128) -> QuantumId {
        QuantumId::from_uuid(Uuid::from_u128(n))
    }

    fn succeeded(attempt: u32) -> Finish {
        let output = StoredOutput {
            name: "days".into(),
            key: ArtifactKey::new("run@1/daily/x~1.csv").expect("a key"),
            size: 3,
            checksum: Checksum::of(b"abc"),
        };
        Finish {
            runner: 1,
            attempt,
            outcome: Outcome::Succeeded { outputs: vec![output] },
            started: Tai::from_nanos(1),
            ended: Tai::from_nanos(2),
            exit: Some(0),
            log: Some(LogSlice { runner: 1, offset: 5, len: 6 }),
            made_from: MadeFrom::Own,
            taken_over: None,
            task_changed: false,
        }
    }

    fn failed(runner: u32, attempt: u32) -> Finish {
        let reason = FailureReason::Input { name: "a\"\n".to_owned(), message: "é".to_owned() };
        let outcome = Outcome::Failed { reason };
        Finish { runner, outcome, exit: None, log: None, ..succeeded(attempt) }
    }

    fn begin(dir: &Utf8Path) -> Result<JournalWriter> {
        let process = Process { host: "h".to_owned(), boot_id: "b".to_owned(), pid: 1 };
        Ok(JournalWriter::create(dir, opening(), &process, Tai::from_nanos(0), None)?)
    }

    fn temporary() -> Result<(tempfile::TempDir, Utf8PathBuf)> {
        let dir = tempfile::tempdir()?;
        let journal = Utf8Path::from_path(dir.path()).ok_or("a UTF-8 path")?.join("journal");
        Ok((dir, journal))
    }

    /// A segment with two quanta: the first succeeded, the second failed.
    fn specimen(dir: &Utf8Path) -> Result<Vec<u8>> {
        let mut writer = begin(dir)?;
        writer.start(quantum(1), 1);
        writer.start(quantum(2), 1);
        writer.append()?;
        writer.finish(quantum(1), &succeeded(1));
        writer.finish(quantum(2), &failed(1, 1));
        writer.append()?;
        writer.seal()?;
        Ok(std::fs::read(dir.join("1.jsonl"))?)
    }

    #[test]
    fn a_journal_reads_as_it_was_written() -> Result<()> {
        let (_dir, journal) = temporary()?;
        specimen(&journal)?;
        let mut writer = begin(&journal)?;
        assert_eq!(writer.runner(), 2);
        writer.start(quantum(2), 2);
        writer.start(quantum(3), 1);
        writer.finish(quantum(3), &failed(2, 1));
        writer.append()?;
        let state = JournalState::read(&journal)?;
        assert_eq!(state.opening(), Some(opening()));
        let segments: Vec<_> = state.segments().iter().map(|s| (s.runner, s.sealed)).collect();
        assert_eq!(segments, [(1, true), (2, false)]);
        let first = state.quantum(quantum(1)).ok_or("known")?;
        assert_eq!(first.last(), Some(&succeeded(1)));
        let second = state.quantum(quantum(2)).ok_or("known")?;
        assert_eq!((second.attempts, second.last()), (2, None), "the second attempt was cut off");
        assert_eq!(second.finish.as_deref(), Some(&failed(1, 1)));
        assert_eq!(state.quantum(quantum(3)).and_then(|q| q.last()), Some(&failed(2, 1)));
        assert_eq!(state.quantum(quantum(4)), None);
        Ok(())
    }

    #[test]
    fn verdicts_and_resets_read_as_they_were_written() -> Result<()> {
        let (_dir, journal) = temporary()?;
        specimen(&journal)?;
        let Outcome::Succeeded { outputs } = succeeded(1).outcome else {
            return Err("it is".into());
        };
        let key = outputs[0].key.clone();
        let mut writer = begin(&journal)?;
        writer.verdict(quantum(1), 1, 1, &Verdict::Poisoned);
        writer.verdict(quantum(2), 1, 1, &Verdict::Accepted { outputs: outputs.clone() });
        writer.reset(quantum(3), 2, std::slice::from_ref(&key));
        writer.append()?;
        let state = JournalState::read(&journal)?;
        let standing = |n| state.quantum(quantum(n)).map(QuantumHistory::standing);
        assert_eq!(standing(1), Some(Standing::Poisoned { finish: &succeeded(1) }));
        let accepted = Standing::Accepted { finish: &failed(1, 1), outputs: &outputs };
        assert_eq!(standing(2), Some(accepted));
        assert_eq!(standing(3), Some(Standing::Reset));
        let unfinished = state.quantum(quantum(3)).and_then(QuantumHistory::unfinished_reset);
        assert_eq!(unfinished, Some((2, &[key][..])));
        writer.reset_done(quantum(3), 2);
        writer.append()?;
        writer.seal()?;
        let state = JournalState::read(&journal)?;
        assert!(state.segments()[1].sealed);
        let third = state.quantum(quantum(3)).ok_or("known")?;
        assert_eq!((third.attempts, third.unfinished_reset()), (2, None));
        Ok(())
    }

    #[test]
    fn a_segment_of_version_1_reads_beside_one_of_version_3() -> Result<()> {
        let (_dir, journal) = temporary()?;
        specimen(&journal)?;
        let path = journal.join("1.jsonl");
        // Its lines are the same; the header's checksum does not cover the version.
        let text = std::fs::read_to_string(&path)?;
        write(
            &path,
            text.replacen("{\"pantler_journal\":3,", "{\"pantler_journal\":1,", 1).as_bytes(),
        )?;
        let mut writer = begin(&journal)?;
        writer.verdict(quantum(2), 1, 1, &Verdict::Accepted { outputs: Vec::new() });
        writer.append()?;
        let state = JournalState::read(&journal)?;
        let standing = |n| state.quantum(quantum(n)).map(QuantumHistory::is_success);
        assert_eq!((standing(1), standing(2)), (Some(true), Some(true)));
        // What version 1 did not know is damage in it.
        let lines = std::fs::read_to_string(journal.join("2.jsonl"))?;
        write(
            &journal.join("2.jsonl"),
            (lines.replacen("\"pantler_journal\":3", "\"pantler_journal\":1", 1) + "{}\n")
                .as_bytes(),
        )?;
        let error = JournalState::read(&journal).map(|_| ()).map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("2.jsonl:2: ") && e.contains("accepted")));
        Ok(())
    }

    #[test]
    fn a_tail_cut_at_any_byte_is_dropped() -> Result<()> {
        let (_dir, journal) = temporary()?;
        let whole = specimen(&journal)?;
        let path = journal.join("1.jsonl");
        for len in 0..=whole.len() {
            write(&path, &whole[..len])?;
            let state = JournalState::read(&journal)?;
            let lines = whole[..len].split(|b| *b == b'\n').count() - 1;
            assert_eq!(state.segments()[0].header.is_some(), lines >= 1, "at {len}");
            assert_eq!(state.segments()[0].sealed, lines >= 6, "at {len}");
            assert_eq!(state.quanta().count(), lines.saturating_sub(1).min(2), "at {len}");
            let finished = state.quanta().filter(|(_, q)| q.last().is_some()).count();
            assert_eq!(finished, lines.saturating_sub(3).min(2), "at {len}");
        }
        assert_eq!(begin(&journal)?.runner(), 2, "a number is never used again");
        Ok(())
    }

    #[test]
    fn a_flipped_byte_inside_is_an_error_and_in_the_last_line_a_tail() -> Result<()> {
        let (_dir, journal) = temporary()?;
        let whole = specimen(&journal)?;
        let path = journal.join("1.jsonl");
        let mut line = 1;
        let last = whole.split(|b| *b == b'\n').count() as u64 - 1;
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            write(&path, &damaged)?;
            match JournalState::read(&journal) {
                Err(JournalError::Version { .. }) if line == 1 => {}
                Err(error) => {
                    let place = format!("{path}:{line}: ");
                    assert!(error.to_string().starts_with(&place), "byte {at}: {error}");
                }
                Ok(state) if line == last => {
                    assert!(!state.segments()[0].sealed, "byte {at}: the line was dropped");
                }
                // Without its newline, the line before the last runs into it.
                Ok(_) if line + 1 == last && whole[at] == b'\n' => {}
                Ok(_) => return Err(format!("byte {at} was accepted").into()),
            }
            line += u64::from(whole[at] == b'\n');
        }
        Ok(())
    }

    #[test]
    fn a_lost_line_and_a_foreign_segment_are_errors() -> Result<()> {
        let (_dir, journal) = temporary()?;
        let whole = specimen(&journal)?;
        let path = journal.join("1.jsonl");
        let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
        write(&path, &[lines[0], lines[1], lines[3], lines[4]].concat())?;
        let error = JournalState::read(&journal).map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(
            error,
            Err(format!(
                "{path}:3: the journal is damaged: the line with sequence number 2 should stand here"
            ))
        );
        write(&path, &whole)?;
        write(&journal.join("2.jsonl"), &whole)?;
        let error = JournalState::read(&journal).map(|_| ()).map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("2.jsonl:1: ") && e.contains("runner 1")));
        Ok(())
    }

    #[test]
    fn of_a_sealed_segment_only_what_is_asked_for_is_read() -> Result<()> {
        let (_dir, journal) = temporary()?;
        let mut writer = begin(&journal)?;
        for n in 0..20_000 {
            writer.start(quantum(n), 1);
            if n != 77 {
                writer.finish(quantum(n), &succeeded(1));
            }
        }
        writer.append()?;
        writer.seal()?;
        let path = journal.join("1.jsonl");
        let whole = std::fs::read(&path)?;
        let wanted = [quantum(3), quantum(77), quantum(19_999), quantum(1 << 60)];
        let state = JournalState::read_only(&journal, &wanted)?;
        let all = JournalState::read(&journal)?;
        for id in wanted {
            assert_eq!(state.quantum(id), all.quantum(id));
        }
        assert_eq!(state.quantum(quantum(77)).map(|q| (q.attempts, q.last())), Some((1, None)));
        assert_eq!((state.quanta().count(), state.segments()[0].sealed), (3, true));
        let (read, size) = (state.looked_up, whole.len() as u64);
        assert!(0 < read && read < 100_000 && 50 * read < size, "{read} of {size} bytes");

        // Without a table that can be used, the lines are read.
        let table = whole.len() - 32 - usize::try_from(20_000_u64 * 26 + 400 * 8)?;
        for at in [whole.len() - 1, whole.len() - 20, table + 3, table + 300_000] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            write(&path, &damaged)?;
            for id in wanted {
                assert_eq!(JournalState::read_only(&journal, &[id])?.quantum(id), all.quantum(id));
            }
        }
        write(&path, &whole[..whole.len() - 5])?;
        let cut = JournalState::read_only(&journal, &wanted)?;
        assert_eq!((cut.looked_up, cut.quantum(wanted[0])), (0, all.quantum(wanted[0])));
        assert!(cut.segments()[0].sealed);

        // So are those of a segment that grows.
        let mut writer = begin(&journal)?;
        writer.start(wanted[0], 2);
        writer.start(quantum(5), 2);
        writer.append()?;
        let state = JournalState::read_only(&journal, &wanted)?;
        assert_eq!(state.quantum(wanted[0]).map(|q| q.attempts), Some(2));
        assert_eq!(state.quantum(quantum(5)), None);
        Ok(())
    }

    #[test]
    fn a_sealed_segment_of_other_quanta_is_not_read() -> Result<()> {
        let (_dir, journal) = temporary()?;
        let process = Process { host: "h".to_owned(), boot_id: "b".to_owned(), pid: 1 };
        let named = |n| Selection { quanta: vec![quantum(n)], tasks: Vec::new() };
        // The third is to run all, and the fourth runs nothing.
        let selections = [Some(named(1)), Some(named(2)), Some(Selection::default()), None];
        for (n, selection) in (1..).zip(&selections) {
            let (started, selection) = (Tai::from_nanos(0), selection.as_ref());
            let mut writer =
                JournalWriter::create(&journal, opening(), &process, started, selection)?;
            match selection {
                Some(_) => writer.finish(quantum(n), &Finish { runner: 1, ..succeeded(1) }),
                None => writer.verdict(quantum(1), 1, 1, &Verdict::Poisoned),
            }
            writer.append()?;
            writer.seal()?;
        }
        let path = journal.join("2.jsonl");
        let whole = std::fs::read(&path)?;
        let text = String::from_utf8(whole.clone())?;
        write(&path, text.replace("\"finish\"", "\"finis!\"").as_bytes())?;
        assert_ne!(std::fs::read(&path)?, whole);
        let state = JournalState::read_only(&journal, &[quantum(1), quantum(3)])?;
        assert!(matches!(
            state.quantum(quantum(1)).map(QuantumHistory::standing),
            Some(Standing::Poisoned { .. })
        ));
        assert!(state.quantum(quantum(3)).is_some());
        assert!(state.segments().iter().all(|segment| segment.sealed));
        assert!(JournalState::read_only(&journal, &[quantum(2)]).is_err());

        // One that goes on stays to be followed.
        let begun = named(5);
        let started = Tai::from_nanos(0);
        let mut writer =
            JournalWriter::create(&journal, opening(), &process, started, Some(&begun))?;
        writer.start(quantum(5), 1);
        writer.append()?;
        let state = JournalState::read_only(&journal, &[quantum(1)])?;
        assert!(state.segments().last().is_some_and(|segment| !segment.sealed));
        assert_eq!(state.quantum(quantum(5)), None);
        Ok(())
    }

    #[test]
    fn another_version_is_named() -> Result<()> {
        let (_dir, journal) = temporary()?;
        std::fs::create_dir(&journal)?;
        write(&journal.join("1.jsonl"), b"{\"pantler_journal\":4,\"new\":true}\n")?;
        let error = JournalState::read(&journal).map(|_| ()).map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("version 4") && e.contains("versions up to 3")));
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "tests make the damage")]
    fn write(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
        std::fs::write(path, bytes)
    }
}
