//! The lines of `ledger/<writer>.jsonl`, version 1.
//!
//! Each is `{"seq":<n>,"crc":"<16 hex digits>","event":{…}}`, as in the journal. The first,
//! number 0, says version, opening and writer.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    sync::Arc,
};

use camino::Utf8Path;
use pantler_core::{
    ArtifactKey, Checksum, DataId, DatasetId, DatasetType, DatasetTypeName, KeyValue, OpeningId,
    Tai, Universe, transaction::Process,
};
use pantler_exec::journal::line;
use serde::{Deserialize, Serialize};

use super::{LedgerError, types::TypeV1};

/// The newest version.
pub(super) const VERSION: u32 = 1;

/// Who wrote a segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HeaderV1 {
    pub(super) pantler_ledger: u32,
    pub(super) opening: OpeningId,
    pub(super) writer: u32,
    pub(super) process: Process,
    pub(super) started: Tai,
}

#[derive(Deserialize)]
struct VersionOnly {
    pantler_ledger: u32,
}

/// What a line says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EventV1 {
    /// A dataset type, before the first dataset of it.
    Type(TypeV1),
    /// An artifact is about to be written.
    Begin {
        id: DatasetId,
        #[serde(rename = "type")]
        dataset_type: DatasetTypeName,
        /// In the order of the dimensions.
        values: Vec<KeyValue>,
        key: ArtifactKey,
    },
    /// It has reached stable storage.
    Done { id: DatasetId, size: u64, checksum: Checksum },
    /// It was deleted, or is to be.
    Dropped { id: DatasetId },
    /// The writer ended in order.
    Sealed,
}

pub(super) fn write_line(seq: u64, event: &impl Serialize, lines: &mut Vec<u8>) {
    line::write_event(seq, event, lines);
}

/// A dataset that a writer has begun.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) dataset_type: Arc<DatasetType>,
    pub(super) data_id: DataId,
    pub(super) key: ArtifactKey,
}

/// What a segment said about a dataset.
#[derive(Debug)]
pub(super) enum Said {
    Begun,
    Done { begun: Begun, size: u64, checksum: Checksum },
    Dropped,
}

/// How far a segment has been read.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) writer: u32,
    pub(super) sealed: bool,
    opening: Option<OpeningId>,
    position: u64,
    lines: u64,
    types: HashMap<DatasetTypeName, Arc<DatasetType>>,
    begun: HashMap<DatasetId, Begun>,
}

impl Segment {
    pub(super) fn new(writer: u32) -> Self {
        Self {
            writer,
            sealed: false,
            opening: None,
            position: 0,
            lines: 0,
            types: HashMap::new(),
            begun: HashMap::new(),
        }
    }

    /// The opening that it names; `None` if it died before it had said so.
    pub(super) fn opening(&self) -> Option<OpeningId> {
        self.opening
    }

    /// How many datasets were begun and are neither done nor dropped.
    pub(super) fn begun(&self) -> usize {
        self.begun.len()
    }

    /// Reads what was written since. A last line without its end is left: its writer is at
    /// it, or has died.
    pub(super) fn read_on(
        &mut self,
        path: &Utf8Path,
        universe: &Universe,
        mut visit: impl FnMut(DatasetId, Said),
    ) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::Io { action: "read", path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        file.seek(SeekFrom::Start(self.position)).map_err(failed)?;
        let mut text = Vec::new();
        loop {
            text.clear();
            let length = file.read_until(b'\n', &mut text).map_err(failed)?;
            let Some(whole) = text.strip_suffix(b"\n") else { return Ok(()) };
            self.take(path, whole, universe, &mut visit)?;
            self.position += length as u64;
            self.lines += 1;
        }
    }

    fn take(
        &mut self,
        path: &Utf8Path,
        text: &[u8],
        universe: &Universe,
        visit: &mut impl FnMut(DatasetId, Said),
    ) -> Result<(), LedgerError> {
        let number = self.lines + 1;
        let damaged =
            |reason: String| LedgerError::Damaged { path: path.to_owned(), line: number, reason };
        let event = line::read_event(self.lines, text).map_err(|e| damaged(e.to_string()))?;
        let syntax = |e: serde_json::Error| damaged(e.to_string());
        if self.lines == 0 {
            let VersionOnly { pantler_ledger } = serde_json::from_slice(event).map_err(syntax)?;
            if pantler_ledger != VERSION {
                return Err(LedgerError::Version { path: path.to_owned(), found: pantler_ledger });
            }
            let header: HeaderV1 = serde_json::from_slice(event).map_err(syntax)?;
            if header.writer != self.writer {
                return Err(damaged(format!("it is the segment of writer {}", header.writer)));
            }
            self.opening = Some(header.opening);
            return Ok(());
        }
        if self.sealed {
            return Err(damaged("there is a line after the one that seals the segment".to_owned()));
        }
        match serde_json::from_slice(event).map_err(syntax)? {
            EventV1::Type(dataset_type) => {
                let name = dataset_type.name.clone();
                let dataset_type = dataset_type.read(universe).map_err(damaged)?;
                self.types.insert(name, Arc::new(dataset_type));
            }
            EventV1::Begin { id, dataset_type, values, key } => {
                let dataset_type = self.types.get(&dataset_type).cloned();
                let dataset_type =
                    dataset_type.ok_or_else(|| damaged("its dataset type is not known".into()))?;
                let named = dataset_type.dimensions.required().iter().map(ToString::to_string);
                let count = values.len();
                let given = named.zip(values).collect();
                let data_id = DataId::new(universe, &dataset_type.dimensions, given);
                let data_id = data_id.map_err(|e| damaged(e.to_string()))?;
                if count != data_id.values().len() {
                    return Err(damaged("it has more values than dimensions".to_owned()));
                }
                self.begun.insert(id, Begun { dataset_type, data_id, key });
                visit(id, Said::Begun);
            }
            EventV1::Done { id, size, checksum } => {
                let begun = self.begun.remove(&id);
                let begun = begun.ok_or_else(|| damaged(format!("{id} was not begun")))?;
                visit(id, Said::Done { begun, size, checksum });
            }
            EventV1::Dropped { id } => {
                self.begun.remove(&id);
                visit(id, Said::Dropped);
            }
            EventV1::Sealed => self.sealed = true,
        }
        Ok(())
    }
}
