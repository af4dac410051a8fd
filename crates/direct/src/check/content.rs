//! Reading artifacts in full: whether their bytes have the checksums that records say.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
};

use camino::Utf8Path;
use rustix::fs::OFlags;

use super::rows::Record;

/// Large enough that the system reads ahead, small enough for a thread each.
const BUFFER: u64 = 256 * 1024;

/// The first of `records` whose bytes in the file at `path` have another checksum;
/// bytes that are not there have none.
pub(crate) fn differing<'r>(
    path: &Utf8Path,
    records: &'r [Record],
) -> io::Result<Option<&'r Record>> {
    // A FIFO that was put in its place since it was looked at must not stop the check.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    // Datasets that share an artifact as a whole are one reading.
    let mut read: HashMap<(u64, u64), Option<[u8; 32]>> = HashMap::new();
    // A digest that cannot be one is damage of the row, and said there.
    for record in records.iter().filter(|record| record.checksum.len() == 32) {
        let (offset, size) = (record.offset.unwrap_or(0), record.size);
        let found = if let Some(found) = read.get(&(offset, size)) {
            *found
        } else {
            let found = digest(&file, offset, size)?;
            read.insert((offset, size), found);
            found
        };
        if found.is_none_or(|found| found[..] != record.checksum[..]) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// The digest of `size` bytes from `offset` on; `None` if the file ends before.
fn digest(file: &File, offset: u64, size: u64) -> io::Result<Option<[u8; 32]>> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; usize::try_from(size.min(BUFFER)).unwrap_or(0)];
    let mut done = 0;
    while done < size {
        let wanted = usize::try_from((size - done).min(BUFFER)).unwrap_or(0);
        match file.read_at(&mut buffer[..wanted], offset + done) {
            Ok(0) => return Ok(None),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                done += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(*hasher.finalize().as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn record(offset: Option<u64>, size: u64, content: &[u8]) -> Record {
        let checksum = blake3::hash(content).as_bytes().to_vec();
        Record {
            dataset: None,
            dataset_type: "t".into(),
            component: "".into(),
            offset,
            size,
            checksum,
        }
    }

    #[test]
    fn wholes_and_slices_are_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let long: Vec<u8> = (0..700_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        file.write_all(&long).unwrap();
        let path = Utf8Path::from_path(file.path()).unwrap();
        let whole = record(None, 700_000, &long);
        let slice = record(Some(1000), 500_000, &long[1000..501_000]);
        let empty = record(Some(700_000), 0, b"");
        let sound = [whole, slice, empty];
        assert_eq!(differing(path, &sound).unwrap(), None);
        let other = record(Some(999), 500_000, &long[1000..501_000]);
        let short = record(Some(300_000), 500_000, &long);
        for wrong in [other, short] {
            let records = [sound[0].clone(), wrong.clone()];
            assert_eq!(differing(path, &records).unwrap(), Some(&wrong));
        }
    }
}
