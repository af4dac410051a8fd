//! Data IDs of one group in a block: for each dimension its values, then a number a row.

use std::{collections::BTreeSet, sync::Arc};

use pantler_core::{DataId, DimensionGroup, KeyType, KeyValue};

use crate::{
    format::codec::{Decoder, Encoder, Garbled},
    values::narrow,
};

pub(super) fn encode<'a>(
    encoder: &mut Encoder,
    width: usize,
    rows: &(impl Iterator<Item = &'a DataId> + Clone),
) {
    for column in 0..width {
        let column = rows.clone().filter_map(|row| row.values().get(column));
        let values: BTreeSet<&KeyValue> = column.clone().collect();
        let values: Vec<&KeyValue> = values.into_iter().collect();
        encoder.values(&values);
        encoder.numbers(column.map(|value| narrow(values.binary_search(&value).unwrap_or(0))));
    }
}

pub(super) fn decode(
    decoder: &mut Decoder<'_>,
    group: &Arc<DimensionGroup>,
    keys: &[KeyType],
    rows: usize,
) -> Result<Vec<DataId>, Garbled> {
    let mut columns = Vec::with_capacity(keys.len());
    for key in keys {
        let values = decoder.values(*key)?;
        columns.push((decoder.numbers(rows, values.len() as u64)?, values));
    }
    let row = |i: usize| {
        let values = columns.iter().map(|(codes, values)| values[codes[i] as usize].clone());
        DataId::from_values(group, values.collect()).map_err(|error| Garbled(error.to_string()))
    };
    (0..rows).map(row).collect()
}
