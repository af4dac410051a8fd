//! The values that a block uses, by dimension, so that a block can be read alone.

use std::collections::BTreeMap;

use pantler_core::{KeyValue, Universe};

use super::codec::{Decoder, Encoder, Garbled};
use crate::values::{ValueTable, narrow};

/// Collects the codes of a block; then gives them block-local codes.
#[derive(Debug)]
pub(super) struct DictionaryBuilder {
    codes: BTreeMap<usize, Vec<u32>>,
}

impl DictionaryBuilder {
    pub(super) fn new(dimensions: &[usize]) -> Self {
        Self { codes: dimensions.iter().map(|d| (*d, Vec::new())).collect() }
    }

    pub(super) fn add(&mut self, dimension: usize, code: u32) {
        let codes = self.codes.get_mut(&dimension).expect("the dimension is one of the block's");
        if codes.last() != Some(&code) {
            codes.push(code);
        }
    }

    /// To be called once, between adding and [`Self::local`].
    pub(super) fn finish(&mut self, values: &ValueTable, encoder: &mut Encoder) {
        for (dimension, codes) in &mut self.codes {
            codes.sort_unstable();
            codes.dedup();
            let values: Vec<_> = codes.iter().map(|code| values.value(*dimension, *code)).collect();
            encoder.values(&values);
        }
    }

    pub(super) fn local(&self, dimension: usize, code: u32) -> u32 {
        narrow(self.codes[&dimension].binary_search(&code).expect("the code was added"))
    }
}

/// The values of a block that was read.
#[derive(Debug)]
pub(super) struct Dictionary {
    values: BTreeMap<usize, Vec<KeyValue>>,
}

impl Dictionary {
    /// Reads the values of `dimensions`, which are ascending.
    pub(super) fn decode(
        decoder: &mut Decoder<'_>,
        universe: &Universe,
        dimensions: &[usize],
    ) -> Result<Self, Garbled> {
        let mut values = BTreeMap::new();
        for &dimension in dimensions {
            let key = universe.elements()[dimension].key.expect("dimensions have keys");
            values.insert(dimension, decoder.values(key)?);
        }
        Ok(Self { values })
    }

    pub(super) fn len(&self, dimension: usize) -> u64 {
        self.values[&dimension].len() as u64
    }

    /// The values of a row; its codes were checked against [`Self::len`].
    pub(super) fn row(&self, columns: &[usize], codes: &[u32]) -> Vec<KeyValue> {
        columns.iter().zip(codes).map(|(c, code)| self.values[c][*code as usize].clone()).collect()
    }

    /// For each local code, the code in `table`; `None` if it lacks a value.
    pub(super) fn codes(&self, table: &ValueTable) -> Option<BTreeMap<usize, Vec<u32>>> {
        self.values
            .iter()
            .map(|(dimension, values)| {
                let codes = values.iter().map(|value| table.code(*dimension, value));
                Some((*dimension, codes.collect::<Option<Vec<_>>>()?))
            })
            .collect()
    }
}
