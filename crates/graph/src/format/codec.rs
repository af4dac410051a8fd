//! Integers, differences and values as bytes.

use pantler_core::{KeyType, KeyValue};

/// Appends; the counterpart of [`Decoder`].
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
}

impl Encoder {
    /// Seven bits a byte, the lowest first.
    pub(crate) fn unsigned(&mut self, mut value: u64) {
        loop {
            let low = u8::try_from(value & 0x7f).expect("seven bits");
            value >>= 7;
            if value == 0 {
                return self.bytes.push(low);
            }
            self.bytes.push(low | 0x80);
        }
    }

    pub(crate) fn count(&mut self, value: usize) {
        self.unsigned(value as u64);
    }

    /// Small for small absolute values.
    fn signed(&mut self, value: i64) {
        self.unsigned((value << 1).cast_unsigned() ^ (value >> 63).cast_unsigned());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Numbers as differences.
    pub(crate) fn numbers(&mut self, numbers: impl IntoIterator<Item = u32>) {
        let mut last = 0;
        for number in numbers {
            self.signed(i64::from(number) - last);
            last = i64::from(number);
        }
    }

    /// Texts as what they share with the one before, and the rest.
    pub(crate) fn texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) {
        let mut last = "";
        for text in texts {
            let mut shared = last.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
            while !text.is_char_boundary(shared) {
                shared -= 1;
            }
            self.count(shared);
            self.text(&text[shared..]);
            last = text;
        }
    }

    /// Sorted values of one dimension.
    pub(crate) fn values<'a>(&mut self, values: &[&'a KeyValue]) {
        self.count(values.len());
        let mut last = 0_i64;
        for value in values {
            if let KeyValue::Integer(value) = value {
                self.signed(value.wrapping_sub(last));
                last = *value;
            }
        }
        let text = |value: &&'a KeyValue| match value {
            KeyValue::String(text) => Some(&**text),
            KeyValue::Integer(_) => None,
        };
        self.texts(values.iter().filter_map(text));
    }
}

/// Reads what [`Encoder`] wrote; never more items than there are bytes for.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
}

/// Bytes that no encoder wrote.
#[derive(Debug)]
pub(crate) struct Garbled(pub(crate) String);

type Decoded<T> = Result<T, Garbled>;

fn garbled<T>(what: &str) -> Decoded<T> {
    Err(Garbled(what.to_owned()))
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn take(&mut self, n: usize) -> Decoded<&'a [u8]> {
        match self.bytes.split_at_checked(n) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => garbled("it ends too early"),
        }
    }

    pub(crate) fn unsigned(&mut self) -> Decoded<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        garbled("an integer is too long")
    }

    fn signed(&mut self) -> Decoded<i64> {
        let value = self.unsigned()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A count of things that take at least a byte each.
    pub(crate) fn count(&mut self) -> Decoded<usize> {
        match usize::try_from(self.unsigned()?) {
            Ok(count) if count <= self.bytes.len() => Ok(count),
            _ => garbled("a count is larger than what follows"),
        }
    }

    pub(crate) fn small(&mut self) -> Decoded<u32> {
        match u32::try_from(self.unsigned()?) {
            Ok(value) => Ok(value),
            Err(_) => garbled("a number is too large"),
        }
    }

    pub(crate) fn text(&mut self) -> Decoded<&'a str> {
        let n = self.count()?;
        match std::str::from_utf8(self.take(n)?) {
            Ok(text) => Ok(text),
            Err(_) => garbled("a text is not UTF-8"),
        }
    }

    /// `n` numbers, each less than `limit`.
    pub(crate) fn numbers(&mut self, n: usize, limit: u64) -> Decoded<Vec<u32>> {
        if n > self.bytes.len() {
            return garbled("a count is larger than what follows");
        }
        let mut numbers = Vec::with_capacity(n);
        let mut last = 0_i64;
        for _ in 0..n {
            let next = last.checked_add(self.signed()?);
            match next.and_then(|next| u32::try_from(next).ok()) {
                Some(number) if u64::from(number) < limit => {
                    last = i64::from(number);
                    numbers.push(number);
                }
                _ => return garbled("a number is out of range"),
            }
        }
        Ok(numbers)
    }

    pub(crate) fn texts(&mut self, n: usize) -> Decoded<Vec<String>> {
        if n > self.bytes.len() {
            return garbled("a count is larger than what follows");
        }
        let mut texts: Vec<String> = Vec::with_capacity(n);
        for _ in 0..n {
            let shared = usize::try_from(self.unsigned()?).unwrap_or(usize::MAX);
            let last = texts.last().map_or("", String::as_str);
            // What is shared costs no bytes here: without a limit, texts could double
            // what they take with each one.
            let Some(shared) = last.get(..shared).filter(|s| s.len() <= MAX_TEXT) else {
                return garbled("a text shares more than there is");
            };
            let text = format!("{shared}{}", self.text()?);
            texts.push(text);
        }
        Ok(texts)
    }

    /// Sorted values of a dimension with keys of type `key_type`.
    pub(crate) fn values(&mut self, key_type: KeyType) -> Decoded<Vec<KeyValue>> {
        let n = self.count()?;
        let values: Vec<KeyValue> = match key_type {
            KeyType::Integer => {
                let mut last = 0_i64;
                let mut values = Vec::with_capacity(n);
                for _ in 0..n {
                    last = last.wrapping_add(self.signed()?);
                    values.push(KeyValue::Integer(last));
                }
                values
            }
            KeyType::String => {
                let mut values = Vec::with_capacity(n);
                for text in self.texts(n)? {
                    match KeyValue::String(text.into()).checked(key_type) {
                        Ok(value) => values.push(value),
                        Err(reason) => return garbled(&reason),
                    }
                }
                values
            }
        };
        if values.is_sorted_by(|a, b| a < b) {
            Ok(values)
        } else {
            garbled("values are not sorted")
        }
    }

    pub(crate) fn end(&self) -> Decoded<()> {
        if self.bytes.is_empty() { Ok(()) } else { garbled("something follows its end") }
    }
}

/// Longest prefix that a text can share with the one before: keys and names are shorter.
const MAX_TEXT: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_back() {
        let mut encoder = Encoder::default();
        for value in [0, 1, 127, 128, u64::MAX] {
            encoder.unsigned(value);
        }
        encoder.numbers([5, 4, u32::MAX, 0]);
        encoder.texts(["añb", "añc", "aó", ""]);
        let integers = [KeyValue::from(i64::MIN), KeyValue::from(-1), KeyValue::from(i64::MAX)];
        encoder.values(&integers.iter().collect::<Vec<_>>());
        let texts = [KeyValue::from("oslo"), KeyValue::from("oslo_2")];
        encoder.values(&texts.iter().collect::<Vec<_>>());
        let mut decoder = Decoder::new(&encoder.bytes);
        for value in [0, 1, 127, 128, u64::MAX] {
            assert_eq!(decoder.unsigned().unwrap(), value);
        }
        assert_eq!(decoder.numbers(4, 1 << 32).unwrap(), [5, 4, u32::MAX, 0]);
        assert_eq!(decoder.texts(4).unwrap(), ["añb", "añc", "aó", ""]);
        assert_eq!(decoder.values(KeyType::Integer).unwrap(), integers);
        assert_eq!(decoder.values(KeyType::String).unwrap(), texts);
        decoder.end().unwrap();
    }

    #[test]
    fn garbled_bytes_are_refused() {
        assert!(Decoder::new(&[0xff; 12]).unsigned().is_err());
        assert!(Decoder::new(&[200, 1]).count().is_err());
        assert!(Decoder::new(&[1, 2, 3]).numbers(1_000_000_000, 9).is_err());
        assert!(Decoder::new(&[20]).numbers(1, 10).is_err());
        assert!(Decoder::new(&[5, 1, b'x']).texts(1).is_err());
        assert!(Decoder::new(&[2, 2, 0]).values(KeyType::Integer).is_err());
    }
}
