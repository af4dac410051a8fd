//! Blocks of `edges`: positions, one list after the other.

use super::EDGES;
use crate::format::{
    GraphFileError,
    block::Block,
    codec::{Decoder, Encoder, Garbled},
};

/// Positions in a block.
pub(super) const IN_BLOCK: u64 = 1024;

pub(super) fn encode(positions: &[u32]) -> Block {
    let mut encoder = Encoder::default();
    encoder.count(positions.len());
    encoder.numbers(positions.iter().copied());
    Block { plain: Vec::new(), data: encoder.bytes }
}

/// Reads a block of `expected` positions.
pub(super) fn decode(block: &Block, expected: u64) -> Result<Vec<u32>, GraphFileError> {
    let parts = || {
        let mut decoder = Decoder::new(&block.data);
        let count = decoder.count()?;
        let positions = decoder.numbers(count, 1 << 32)?;
        decoder.end()?;
        Ok(positions)
    };
    let positions: Vec<u32> =
        parts().map_err(|Garbled(reason)| GraphFileError::malformed(EDGES, reason))?;
    if positions.len() as u64 == expected {
        Ok(positions)
    } else {
        Err(GraphFileError::malformed(EDGES, "a block has another number of edges"))
    }
}
