//! Where blocks start: fixed rows in small pages, so that one is found by its number.
//!
//! ```text
//! page: 8   blake3 of the rows, first eight bytes
//!       8   per row, 64 rows (fewer in the last page): u64 offset of a block, little-endian
//! ```

use std::io::{Read, Seek, SeekFrom};

use super::BLOCK_OFFSETS;
use crate::format::{GraphFileError, block::checksum, container::Span};

const ROW: u64 = 8;
const ROWS: u64 = 64;
const SUM: u64 = 8;
const PAGE: u64 = SUM + ROW * ROWS;

/// How long the table is with `blocks` rows.
pub(super) fn length(blocks: u64) -> Option<u64> {
    blocks.checked_mul(ROW)?.checked_add(blocks.div_ceil(ROWS).checked_mul(SUM)?)
}

/// The table as pages of bytes.
pub(super) fn pages(offsets: &[u64]) -> impl Iterator<Item = Vec<u8>> {
    offsets.chunks(64).map(|rows| {
        let body: Vec<u8> = rows.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        let mut page = checksum(&[], &[&body]).to_vec();
        page.extend(body);
        page
    })
}

/// The page that block `number` is in, and the row in it.
pub(super) fn place(number: u64) -> (u64, usize) {
    (number / ROWS, usize::try_from(number % ROWS).unwrap_or(0))
}

/// Reads a page.
pub(super) fn read_page<R: Read + Seek>(
    reader: &mut R,
    span: &Span,
    page: u64,
) -> Result<Vec<u64>, GraphFileError> {
    let malformed = |reason| GraphFileError::malformed(BLOCK_OFFSETS, reason);
    let offset = page.saturating_mul(PAGE);
    let len = PAGE.min(span.len.saturating_sub(offset));
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| malformed("a page is too long"))?];
    reader
        .seek(SeekFrom::Start(span.start + offset))
        .and_then(|_| reader.read_exact(&mut bytes))
        .map_err(|e| GraphFileError::read(span.member, e))?;
    let Some((sum, body)) = bytes.split_at_checked(8).filter(|(_, body)| !body.is_empty()) else {
        return Err(malformed("a block has no row"));
    };
    if checksum(&[], &[body]) != sum {
        return Err(GraphFileError::Checksum { member: span.member, offset });
    }
    let rows = body.chunks_exact(8).map(|row| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(row);
        u64::from_le_bytes(bytes)
    });
    Ok(rows.collect())
}
