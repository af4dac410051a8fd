//! The address table: quantum ids, sorted, each with its position in the graph and the
//! offset of its block. Fixed rows in small pages, so that one is found by bisection.
//!
//! ```text
//! page: 8  blake3 of the rows, first eight bytes
//!       26 per row, 50 rows (fewer in the last page):
//!          16  quantum id, big-endian
//!          u32 position of the quantum
//!          u48 offset of its block in `quantum_datasets`
//! ```

use std::io::{Read, Seek, SeekFrom};

use pantler_core::QuantumId;
use uuid::Uuid;

use super::{GraphFileError, block::checksum, container::Span};

const ROW: usize = 26;
const ROWS: usize = 50;
const SUM: usize = 8;
const PAGE: u64 = (SUM + ROW * ROWS) as u64;

/// Offsets have 48 bits.
pub(crate) const MAX_OFFSET: u64 = 1 << 48;

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) id: QuantumId,
    pub(crate) index: u32,
    pub(crate) offset: u64,
}

/// How long the table is with `quanta` rows.
pub(crate) fn length(quanta: u64) -> Option<u64> {
    let sums = quanta.div_ceil(ROWS as u64).checked_mul(SUM as u64)?;
    quanta.checked_mul(ROW as u64)?.checked_add(sums)
}

/// The table as pages of bytes, from rows sorted by id.
pub(crate) fn pages(rows: impl Iterator<Item = Address>) -> impl Iterator<Item = Vec<u8>> {
    let mut rows = rows.peekable();
    std::iter::from_fn(move || {
        rows.peek()?;
        let mut body = Vec::with_capacity(ROW * ROWS);
        for row in rows.by_ref().take(ROWS) {
            body.extend(row.id.as_uuid().as_bytes());
            body.extend(row.index.to_le_bytes());
            body.extend(&row.offset.to_le_bytes()[..6]);
        }
        let mut page = checksum(&[], &[&body]).to_vec();
        page.extend(body);
        Some(page)
    })
}

/// The number of pages in `span`.
pub(crate) fn page_count(span: &Span) -> u64 {
    span.len.div_ceil(PAGE)
}

/// The rows of page `number`; not empty.
pub(crate) fn read_page<R: Read + Seek>(
    reader: &mut R,
    span: &Span,
    number: u64,
) -> Result<Vec<Address>, GraphFileError> {
    let offset = number * PAGE;
    let len = PAGE.min(span.len - offset);
    let mut page = vec![0; usize::try_from(len).expect("a page is small")];
    reader
        .seek(SeekFrom::Start(span.start + offset))
        .and_then(|_| reader.read_exact(&mut page))
        .map_err(|e| GraphFileError::read(span.member, e))?;
    let rows = match page.split_at_checked(SUM) {
        Some((_, body)) if body.is_empty() || !body.len().is_multiple_of(ROW) => None,
        Some((sum, body)) if checksum(&[], &[body]) == sum => Some(body),
        Some(_) => return Err(GraphFileError::Checksum { member: span.member, offset }),
        None => None,
    };
    let rows = rows.ok_or_else(|| GraphFileError::malformed(span.member, "a page is cut"))?;
    Ok(rows.chunks_exact(ROW).map(decode).collect())
}

/// Finds a quantum.
pub(crate) fn find<R: Read + Seek>(
    reader: &mut R,
    span: &Span,
    id: QuantumId,
) -> Result<Option<Address>, GraphFileError> {
    let (mut low, mut high) = (0, page_count(span));
    while low < high {
        let middle = u64::midpoint(low, high);
        let rows = read_page(reader, span, middle)?;
        if id < rows[0].id {
            high = middle;
        } else if id > rows[rows.len() - 1].id {
            low = middle + 1;
        } else {
            return Ok(rows.binary_search_by_key(&id, |row| row.id).ok().map(|i| rows[i]));
        }
    }
    Ok(None)
}

fn decode(row: &[u8]) -> Address {
    let mut id = [0; 16];
    id.copy_from_slice(&row[..16]);
    let mut index = [0; 4];
    index.copy_from_slice(&row[16..20]);
    let mut offset = [0; 8];
    offset[..6].copy_from_slice(&row[20..ROW]);
    Address {
        id: QuantumId::from_uuid(Uuid::from_bytes(id)),
        index: u32::from_le_bytes(index),
        offset: u64::from_le_bytes(offset),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn rows_are_found_in_tables_of_any_size() {
        for n in [0_u32, 1, 49, 50, 51, 1000] {
            let row = |i: u32| Address {
                id: QuantumId::from_uuid(Uuid::from_u128(u128::from(i) * 2 + 1)),
                index: n - i,
                offset: u64::from(i) << 30,
            };
            let bytes: Vec<u8> = pages((0..n).map(row)).flatten().collect();
            assert_eq!(length(n.into()), Some(bytes.len() as u64));
            let span = Span { member: "quanta", start: 0, len: bytes.len() as u64 };
            for i in 0..n {
                let found = find(&mut Cursor::new(&bytes), &span, row(i).id).expect("whole");
                assert_eq!(found, Some(row(i)));
            }
            for gap in [0, 2, u128::from(n) * 2] {
                let id = QuantumId::from_uuid(Uuid::from_u128(gap));
                assert_eq!(find(&mut Cursor::new(&bytes), &span, id).expect("whole"), None);
            }
        }
    }
}
