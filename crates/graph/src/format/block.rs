//! Blocks: length-prefixed, each with a checksum of its own, so that a ranged read
//! notices damage.
//!
//! ```text
//! u32  bytes that follow the header
//! u32  of these, bytes that stand as they are (ids and checksums do not compress)
//! u32  length of the rest when decompressed
//! 8    blake3 of the twelve bytes above and of what follows, first eight bytes
//! ...  plain bytes, then one zstd frame
//! ```
//!
//! All integers are little-endian.

use std::io::{Read, Seek, SeekFrom};

use super::{GraphFileError, container::Span};

const HEADER: usize = 20;

/// No block is larger than this, decompressed: what a hostile file can make us hold.
pub(crate) const MAX_BLOCK: u32 = 64 << 20;

const LEVEL: i32 = 6;

/// A block's two parts.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) plain: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Block {
    /// The block as bytes.
    pub(crate) fn encode(&self, member: &'static str) -> Result<Vec<u8>, GraphFileError> {
        let size = (self.plain.len() + self.data.len()) as u64;
        let too_large = || GraphFileError::TooLarge { member, size, limit: MAX_BLOCK.into() };
        if size > MAX_BLOCK.into() {
            return Err(too_large());
        }
        let packed = zstd::bulk::compress(&self.data, LEVEL).map_err(GraphFileError::write)?;
        let small = |n: usize| u32::try_from(n).map_err(|_| too_large());
        let mut bytes = Vec::with_capacity(self.plain.len() + packed.len() + 20);
        bytes.extend(small(self.plain.len() + packed.len())?.to_le_bytes());
        bytes.extend(small(self.plain.len())?.to_le_bytes());
        bytes.extend(small(self.data.len())?.to_le_bytes());
        let sum = checksum(&bytes, &[&self.plain, &packed]);
        bytes.extend(sum);
        bytes.extend(&self.plain);
        bytes.extend(packed);
        Ok(bytes)
    }
}

/// Reads the block that starts `offset` bytes into `span`; gives the offset of the next.
pub(crate) fn read<R: Read + Seek>(
    reader: &mut R,
    span: &Span,
    offset: u64,
) -> Result<(Block, u64), GraphFileError> {
    let member = span.member;
    let malformed = |reason: &str| GraphFileError::malformed(member, reason);
    if offset.checked_add(HEADER as u64).is_none_or(|end| end > span.len) {
        return Err(malformed("a block starts outside of it"));
    }
    reader
        .seek(SeekFrom::Start(span.start + offset))
        .map_err(|e| GraphFileError::read(member, e))?;
    let mut header = [0; HEADER];
    reader.read_exact(&mut header).map_err(|e| GraphFileError::read(member, e))?;
    let [len, plain_len, data_len] = [0, 4, 8]
        .map(|at| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let end = offset + HEADER as u64 + u64::from(len);
    if end > span.len || plain_len > len {
        return Err(malformed("a block is longer than the member"));
    }
    let size = u64::from(plain_len) + u64::from(data_len);
    if size > MAX_BLOCK.into() {
        return Err(GraphFileError::TooLarge { member, size, limit: MAX_BLOCK.into() });
    }
    // Not allocated ahead: the file may end before.
    let mut bytes = Vec::new();
    reader
        .by_ref()
        .take(len.into())
        .read_to_end(&mut bytes)
        .map_err(|e| GraphFileError::read(member, e))?;
    if bytes.len() as u64 != u64::from(len) {
        return Err(malformed("the file ends inside it"));
    }
    if checksum(&header[..12], &[&bytes]) != header[12..] {
        return Err(GraphFileError::Checksum { member, offset });
    }
    let packed = bytes.split_off(plain_len as usize);
    let data = zstd::bulk::decompress(&packed, data_len as usize)
        .map_err(|e| GraphFileError::malformed(member, e.to_string()))?;
    if data.len() != data_len as usize {
        return Err(malformed("a block has another length than its header says"));
    }
    Ok((Block { plain: bytes, data }, end))
}

/// The first eight bytes of the blake3 digest of all parts.
pub(crate) fn checksum(head: &[u8], parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head);
    for part in parts {
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut sum = [0; 8];
    sum.copy_from_slice(&digest.as_bytes()[..8]);
    sum
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const MEMBER: &str = "quanta";

    fn bytes() -> Vec<u8> {
        let block = Block { plain: b"0123".to_vec(), data: vec![7; 1000] };
        block.encode(MEMBER).expect("small")
    }

    fn read_all(bytes: &[u8]) -> Result<(Block, u64), GraphFileError> {
        let span = Span { member: MEMBER, start: 0, len: bytes.len() as u64 };
        read(&mut Cursor::new(bytes), &span, 0)
    }

    #[test]
    fn a_block_comes_back() {
        let bytes = bytes();
        let (block, next) = read_all(&bytes).expect("a block");
        assert_eq!((&*block.plain, &*block.data), (&b"0123"[..], &[7; 1000][..]));
        assert_eq!(next, bytes.len() as u64);
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let bytes = bytes();
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 0x10;
            assert!(read_all(&damaged).is_err(), "byte {i}");
            assert!(read_all(&bytes[..i]).is_err(), "cut at {i}");
        }
    }

    #[test]
    fn a_block_that_says_it_is_huge_is_refused() {
        let mut header = Vec::new();
        header.extend(4_u32.to_le_bytes());
        header.extend(0_u32.to_le_bytes());
        header.extend(u32::MAX.to_le_bytes());
        let sum = checksum(&header, &[b"abcd"]);
        header.extend(sum);
        header.extend(b"abcd");
        assert!(matches!(read_all(&header), Err(GraphFileError::TooLarge { .. })));
    }
}
