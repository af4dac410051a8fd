//! Data IDs as rows of small integers.
//!
//! Each dimension has its values once, sorted, in a [`ValueTable`]; a data ID is a row
//! of positions in it (*codes*). As values are sorted, rows compare as data IDs do.

use std::sync::Arc;

use pantler_core::{DataId, DimensionGroup, ElementName, KeyValue, Universe};

/// The values of each dimension, sorted, without duplicates. Dimensions are counted as
/// in `Universe::elements`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ValueTable {
    pub(crate) columns: Vec<Vec<KeyValue>>,
}

impl ValueTable {
    pub(crate) fn code(&self, dimension: usize, value: &KeyValue) -> Option<u32> {
        self.columns[dimension].binary_search(value).ok().map(narrow)
    }

    pub(crate) fn value(&self, dimension: usize, code: u32) -> &KeyValue {
        &self.columns[dimension][code as usize]
    }

    /// The data ID of `group` whose required dimensions are `columns` with `codes`.
    pub(crate) fn data_id(
        &self,
        group: &Arc<DimensionGroup>,
        columns: &[usize],
        codes: &[u32],
    ) -> DataId {
        let values = columns.iter().zip(codes).map(|(c, code)| self.value(*c, *code).clone());
        DataId::from_values(group, values.collect()).expect("a row has a code per dimension")
    }
}

/// Rows of codes, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    width: usize,
    len: usize,
    codes: Vec<u32>,
}

impl Rows {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, len: 0, codes: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn row(&self, i: usize) -> &[u32] {
        &self.codes[i * self.width..(i + 1) * self.width]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.len).map(|i| self.row(i))
    }

    /// Appends a row of `width` codes.
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = u32>) {
        self.codes.extend(row);
        self.len += 1;
        debug_assert_eq!(self.codes.len(), self.len * self.width);
    }

    /// The rows `order`, in that order.
    pub(crate) fn take(&self, order: &[u32]) -> Self {
        let mut taken = Self::new(self.width);
        taken.codes.reserve_exact(order.len() * self.width);
        for &i in order {
            taken.push(self.row(i as usize).iter().copied());
        }
        taken
    }

    /// The first `width` columns.
    pub(crate) fn narrowed(&self, width: usize) -> Self {
        let mut narrowed = Self::new(width);
        narrowed.codes.reserve_exact(self.len * width);
        for row in self.iter() {
            narrowed.push(row[..width].iter().copied());
        }
        narrowed
    }

    /// Replaces each code of column `c` by `maps[c][code]`.
    pub(crate) fn recode(&mut self, maps: &[&[u32]]) {
        if self.width > 0 {
            for row in self.codes.chunks_exact_mut(self.width) {
                for (code, map) in row.iter_mut().zip(maps) {
                    *code = map[*code as usize];
                }
            }
        }
    }

    /// The first row that starts with `key`, in sorted rows.
    pub(crate) fn find(&self, key: &[u32]) -> Option<usize> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.row(middle)[..key.len()] < *key { low = middle + 1 } else { high = middle }
        }
        (low < self.len && self.row(low)[..key.len()] == *key).then_some(low)
    }

    /// Whether each row is greater than the one before.
    pub(crate) fn is_sorted_set(&self) -> bool {
        (1..self.len).all(|i| self.row(i - 1) < self.row(i))
    }
}

/// The positions of `names` in the universe.
pub(crate) fn columns<'a>(
    universe: &Universe,
    names: impl IntoIterator<Item = &'a ElementName>,
) -> Vec<usize> {
    names
        .into_iter()
        .map(|name| {
            let elements = universe.elements();
            let position = elements.iter().position(|element| element.name == *name);
            position.expect("a group holds dimensions of its universe")
        })
        .collect()
}

/// A count as an index.
pub(crate) fn narrow(n: usize) -> u32 {
    u32::try_from(n).expect("rows are counted in memory, each of more than one byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_prefix() {
        let mut rows = Rows::new(2);
        for row in [[0, 5], [1, 2], [1, 3], [4, 0]] {
            rows.push(row);
        }
        assert!(rows.is_sorted_set());
        assert_eq!(rows.find(&[1]), Some(1));
        assert_eq!(rows.find(&[1, 3]), Some(2));
        assert_eq!(rows.find(&[2]), None);
        assert_eq!(rows.find(&[9, 9]), None);
        assert_eq!(rows.take(&[3, 0]).row(1), [0, 5]);
        assert_eq!(rows.narrowed(0).len(), 4);
    }
}
