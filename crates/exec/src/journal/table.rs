//! The address table at the end of a sealed segment: where the last line about each
//! quantum stands, so that a few quanta are read without the rest.
//!
//! ```text
//! pages   of `pantler_graph::AddressTable`: quantum, sequence number of the line, its offset
//! 8       PANTLERT
//! u64     where the pages start
//! u64     how many rows they have
//! 8       blake3 of the twenty-four bytes above, first eight bytes
//! ```
//!
//! It is written after the sealed line has reached stable storage, and repeats what the
//! lines say: one that is damaged, cut or missing costs a reading of the lines.

use std::{
    collections::HashMap,
    io::{Read, Seek, SeekFrom},
};

use pantler_core::QuantumId;
use pantler_graph::{AddressRow, AddressTable};

const MAGIC: &[u8; 8] = b"PANTLERT";
const FOOTER: usize = 32;
/// Segments with fewer quanta are read as fast without.
const FROM: usize = 64;
const MAX_OFFSET: u64 = 1 << 48;

/// Where the last line about each quantum stands.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<QuantumId, (u32, u64)>);

impl Lines {
    /// Notes a line.
    pub(super) fn note(&mut self, quantum: QuantumId, seq: u64, offset: u64) {
        // A segment with more lines gets no table: its length shows in `encode`.
        self.0.insert(quantum, (u32::try_from(seq).unwrap_or(u32::MAX), offset));
    }

    /// The table for a file that is `start` bytes long; `None` where it is of no use.
    pub(super) fn encode(&self, start: u64) -> Option<Vec<u8>> {
        if self.0.len() < FROM || start >= MAX_OFFSET {
            return None;
        }
        let mut rows: Vec<AddressRow> = self
            .0
            .iter()
            .map(|(quantum, (index, offset))| AddressRow {
                quantum: *quantum,
                index: *index,
                offset: *offset,
            })
            .collect();
        if rows.iter().any(|row| row.index == u32::MAX) {
            return None;
        }
        rows.sort_unstable_by_key(|row| row.quantum);
        let count = rows.len() as u64;
        let mut bytes: Vec<u8> = AddressTable::pages(rows.into_iter()).flatten().collect();
        let mut footer = MAGIC.to_vec();
        footer.extend(start.to_le_bytes());
        footer.extend(count.to_le_bytes());
        let sum = checksum(&footer);
        footer.extend(sum);
        bytes.extend(footer);
        Some(bytes)
    }
}

/// Whether a file that ends so ends with a table.
pub(super) fn ends(tail: &[u8]) -> bool {
    tail.len().checked_sub(FOOTER).is_some_and(|at| decode(&tail[at..]).is_some())
}

/// Finds the table of a file; `None` if it has none that can be used.
pub(super) fn of<R: Read + Seek>(file: &mut R) -> Option<AddressTable> {
    let length = file.seek(SeekFrom::End(0)).ok()?;
    let at = length.checked_sub(FOOTER as u64)?;
    file.seek(SeekFrom::Start(at)).ok()?;
    let mut footer = [0; FOOTER];
    file.read_exact(&mut footer).ok()?;
    let (start, rows) = decode(&footer)?;
    let len = AddressTable::length(rows)?;
    (start.checked_add(len)? == at).then_some(AddressTable { start, len })
}

fn decode(footer: &[u8]) -> Option<(u64, u64)> {
    let (content, sum) = footer.split_at_checked(FOOTER - 8)?;
    let (magic, numbers) = content.split_at_checked(MAGIC.len())?;
    if magic != MAGIC || checksum(content) != sum {
        return None;
    }
    let (start, rows) = numbers.split_at_checked(8)?;
    Some((u64::from_le_bytes(start.try_into().ok()?), u64::from_le_bytes(rows.try_into().ok()?)))
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    sum
}
