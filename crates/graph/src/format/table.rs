//! The [address table](super::address) for other files that are addressed by quantum.

use std::io::{Read, Seek};

use pantler_core::QuantumId;

use super::{
    GraphFileError,
    address::{self, Address},
    container::Span,
};

/// A row of an address table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRow {
    /// The quantum.
    pub quantum: QuantumId,
    /// A number that its file gives a meaning.
    pub index: u32,
    /// Where in its file something stands, in bytes; less than 2⁴⁸.
    pub offset: u64,
}

/// Where an address table stands in a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressTable {
    /// Where it starts.
    pub start: u64,
    /// How long it is.
    pub len: u64,
}

impl AddressTable {
    /// The table as pages of bytes, from rows sorted by quantum, each named once.
    pub fn pages(rows: impl Iterator<Item = AddressRow>) -> impl Iterator<Item = Vec<u8>> {
        address::pages(rows.map(|row| {
            let AddressRow { quantum, index, offset } = row;
            Address { id: quantum, index, offset }
        }))
    }

    /// How long a table with so many rows is; `None` if no file could hold it.
    pub fn length(rows: u64) -> Option<u64> {
        address::length(rows)
    }

    /// Finds a quantum by bisection, reading some pages.
    ///
    /// # Errors
    /// [`GraphFileError`] if a page is damaged or the file is shorter.
    pub fn find<R: Read + Seek>(
        self,
        reader: &mut R,
        quantum: QuantumId,
    ) -> Result<Option<AddressRow>, GraphFileError> {
        let span = Span { member: "address table", start: self.start, len: self.len };
        let found = address::find(reader, &span, quantum)?;
        Ok(found.map(|Address { id, index, offset }| AddressRow { quantum: id, index, offset }))
    }
}
