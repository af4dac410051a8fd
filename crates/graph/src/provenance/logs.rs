//! The member `logs`: a stream of bytes in blocks.

use std::io::{self, Read, Seek, Write};

use super::{LOGS, metadata::LogV1};
use crate::format::{
    GraphFileError,
    block::{self, Block},
    container::Span,
};

/// Bytes in a block, decompressed.
const IN_BLOCK: usize = 128 << 10;

/// Cuts what is written into blocks.
pub(super) struct LogStream<W> {
    out: W,
    offset: u64,
    pending: Vec<u8>,
    written: u64,
}

impl<W: Write> LogStream<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, offset: 0, pending: Vec::with_capacity(IN_BLOCK), written: 0 }
    }

    /// Where the next byte goes.
    pub(super) fn place(&mut self) -> LogV1 {
        self.written = 0;
        let at = crate::values::narrow(self.pending.len());
        LogV1 { block: self.offset, at, length: 0 }
    }

    /// How much was written since [`Self::place`].
    pub(super) fn length(&self) -> u64 {
        self.written
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let data = std::mem::replace(&mut self.pending, Vec::with_capacity(IN_BLOCK));
        let bytes = Block { plain: Vec::new(), data }.encode(LOGS).map_err(io::Error::other)?;
        self.out.write_all(&bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.end_block()
    }
}

impl<W: Write> Write for LogStream<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(IN_BLOCK - self.pending.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        self.written += taken as u64;
        if self.pending.len() == IN_BLOCK {
            self.end_block()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies a log out of the file.
pub(super) fn copy<R: Read + Seek>(
    reader: &mut R,
    span: &Span,
    log: LogV1,
    out: &mut dyn Write,
) -> Result<(), GraphFileError> {
    let (mut offset, mut at, mut left) = (log.block, log.at as usize, log.length);
    while left > 0 {
        let (block, next) = block::read(reader, span, offset)?;
        let rest = block.data.get(at..).filter(|rest| !rest.is_empty());
        let rest = rest
            .ok_or_else(|| GraphFileError::malformed(LOGS, "a log starts outside of its block"))?;
        let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        out.write_all(&rest[..taken]).map_err(GraphFileError::write)?;
        left -= taken as u64;
        (offset, at) = (next, 0);
    }
    Ok(())
}
