//! The file `reuse-<n>.jsonl.zst`, version 1: one zstd frame with its own checksum of JSON
//! lines. The first is the header, each other one a quantum with its candidates, in the order
//! of their UUIDs.

use std::io::{self, BufRead as _, BufReader, Read, Write};

use pantler_core::{Checksum, CollectionName, Location, QuantumId};
use serde::{Deserialize, Serialize};

use super::{Candidate, ReusableArtifact, ReuseTable};
use crate::TakenOver;

const FORMAT: &str = "pantler-reuse";
const VERSION: u32 = 1;
const LEVEL: i32 = 3;
/// What nothing is written with is not read either.
const WINDOW_LOG: u32 = 23;
/// The longest line: more candidates than are ever kept, with many outputs.
const MAX_LINE: u64 = 16 << 20;

/// A file of what may be taken over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReuseFileError {
    /// Reading or writing failed.
    #[error("it cannot be read or written")]
    Io(#[from] io::Error),
    /// A newer program wrote it.
    #[error("it has format version {found}, this program knows {VERSION}: use a newer pantler")]
    Version {
        /// Its version.
        found: u32,
    },
    /// It is not what was written.
    #[error("it is damaged: {0}; remove it, and the next build writes it again")]
    Damaged(String),
}

#[derive(Serialize, Deserialize)]
struct HeaderV1 {
    format: String,
    version: u32,
    /// How many lines follow.
    quanta: u64,
}

#[derive(Serialize, Deserialize)]
struct QuantumV1 {
    quantum: QuantumId,
    candidates: Vec<CandidateV1>,
}

#[derive(Serialize, Deserialize)]
struct CandidateV1 {
    run: CollectionName,
    quantum: QuantumId,
    task: Checksum,
    inputs: Checksum,
    outputs: Vec<ArtifactV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<ArtifactV1>,
}

#[derive(Serialize, Deserialize)]
struct ArtifactV1 {
    name: Box<str>,
    location: Location,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    size: u64,
    checksum: Checksum,
}

impl ReuseTable {
    /// Writes it as a file of version 1. Nothing is flushed to stable storage.
    ///
    /// # Errors
    /// [`ReuseFileError::Io`] if `out` fails.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), ReuseFileError> {
        let mut encoder = zstd::stream::write::Encoder::new(out, LEVEL)?;
        encoder.include_checksum(true)?;
        let quanta = self.entries.len() as u64;
        line(&mut encoder, &HeaderV1 { format: FORMAT.to_owned(), version: VERSION, quanta })?;
        for (quantum, candidates) in &self.entries {
            let candidates = candidates.iter().cloned().map(Into::into).collect();
            line(&mut encoder, &QuantumV1 { quantum: *quantum, candidates })?;
        }
        encoder.finish()?;
        Ok(())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ReuseFileError`] if it is damaged, or a newer program wrote it.
    pub fn read(from: impl Read) -> Result<Self, ReuseFileError> {
        let damaged = |reason: &dyn ToString| ReuseFileError::Damaged(reason.to_string());
        let mut decoder = zstd::stream::read::Decoder::new(from)?;
        decoder.window_log_max(WINDOW_LOG)?;
        let mut lines = BufReader::new(decoder);
        let mut text = Vec::new();
        let mut next = |text: &mut Vec<u8>| {
            text.clear();
            let mut limited = (&mut lines).take(MAX_LINE);
            limited.read_until(b'\n', text).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::Other => damaged(&error),
                _ => ReuseFileError::Io(error),
            })
        };
        next(&mut text)?;
        let header: HeaderV1 = serde_json::from_slice(&text).map_err(|e| damaged(&e))?;
        if header.format != FORMAT {
            return Err(damaged(&"it is another kind of file"));
        }
        if header.version != VERSION {
            return Err(ReuseFileError::Version { found: header.version });
        }
        let mut entries: Vec<(QuantumId, Vec<Candidate>)> = Vec::new();
        while next(&mut text)? > 0 {
            let own: QuantumV1 = serde_json::from_slice(&text).map_err(|e| damaged(&e))?;
            if entries.last().is_some_and(|(before, _)| *before >= own.quantum) {
                return Err(damaged(&"quanta are not in order"));
            }
            entries.push((own.quantum, own.candidates.into_iter().map(Into::into).collect()));
        }
        if entries.len() as u64 == header.quanta {
            Ok(Self { entries })
        } else {
            Err(damaged(&format_args!("{} of {} quanta are there", entries.len(), header.quanta)))
        }
    }
}

fn line(out: &mut impl Write, value: &impl Serialize) -> Result<(), ReuseFileError> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

impl From<Candidate> for CandidateV1 {
    fn from(candidate: Candidate) -> Self {
        let Candidate { from, task, inputs, outputs, log } = candidate;
        Self {
            run: from.run,
            quantum: from.quantum,
            task,
            inputs,
            outputs: outputs.into_iter().map(Into::into).collect(),
            log: log.map(Into::into),
        }
    }
}

impl From<CandidateV1> for Candidate {
    fn from(v1: CandidateV1) -> Self {
        let CandidateV1 { run, quantum, task, inputs, outputs, log } = v1;
        Self {
            from: TakenOver { run, quantum },
            task,
            inputs,
            outputs: outputs.into_iter().map(Into::into).collect(),
            log: log.map(Into::into),
        }
    }
}

impl From<ReusableArtifact> for ArtifactV1 {
    fn from(artifact: ReusableArtifact) -> Self {
        let ReusableArtifact { name, location, offset, size, checksum } = artifact;
        Self { name, location, offset, size, checksum }
    }
}

impl From<ArtifactV1> for ReusableArtifact {
    fn from(v1: ArtifactV1) -> Self {
        let ArtifactV1 { name, location, offset, size, checksum } = v1;
        Self { name, location, offset, size, checksum }
    }
}

#[cfg(test)]
mod tests {
    use pantler_core::ArtifactKey;
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> QuantumId {
        QuantumId::from_uuid(Uuid::from_u128(n))
    }

    fn table() -> ReuseTable {
        let artifact = |name: &str, offset| ReusableArtifact {
            name: name.into(),
            location: ArtifactKey::new(format!("run@1/t/{name}")).unwrap().into(),
            offset,
            size: 3,
            checksum: Checksum::of(name.as_bytes()),
        };
        let candidate = |n| Candidate {
            from: TakenOver { run: CollectionName::new("a/b").unwrap(), quantum: id(n) },
            task: Checksum::of(b"task"),
            inputs: inputs_digest([Checksum::of(b"x")]),
            outputs: vec![artifact("o", None)],
            log: (n == 3).then(|| artifact("_log", Some(7))),
        };
        let later = ReuseTable::new(vec![(id(9), vec![candidate(4)])]);
        ReuseTable::new(vec![(id(2), vec![candidate(3), candidate(4)]), (id(1), Vec::new())])
            .with(later)
    }

    fn written(table: &ReuseTable) -> Vec<u8> {
        let mut bytes = Vec::new();
        table.write(&mut bytes).unwrap();
        bytes
    }

    use super::super::inputs_digest;

    #[test]
    fn what_is_written_is_read() {
        let table = table();
        let read = ReuseTable::read(&*written(&table)).unwrap();
        assert_eq!(read, table);
        assert_eq!((read.len(), read.candidates(id(2)).len()), (3, 2));
        assert!(read.candidates(id(5)).is_empty());
        assert_eq!(written(&read), written(&table));
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let whole = written(&table());
        for end in 0..whole.len() {
            assert!(ReuseTable::read(&whole[..end]).is_err(), "cut off at {end}");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 0x20;
            if let Ok(read) = ReuseTable::read(&*other) {
                assert_eq!(read, table(), "a changed byte at {at} changed what is read");
            }
        }
    }

    #[test]
    fn another_version_is_refused() {
        let pack = |text: &str| zstd::bulk::compress(text.as_bytes(), LEVEL).unwrap();
        let read = |text: &str| ReuseTable::read(&*pack(text)).unwrap_err().to_string();
        let newer = read("{\"format\":\"pantler-reuse\",\"version\":2,\"quanta\":0}\n");
        assert!(newer.contains("version 2, this program knows 1"), "{newer}");
        let other = read("{\"format\":\"x\",\"version\":1,\"quanta\":0}\n");
        assert!(other.contains("another kind"), "{other}");
        let short = read("{\"format\":\"pantler-reuse\",\"version\":1,\"quanta\":1}\n");
        assert!(short.contains("0 of 1 quanta"), "{short}");
    }
}
