//! The keys of artifacts: the only place that builds them.
//!
//! ```text
//! climate%2Fraw@12/daily/city=oslo,month=1~90aabbcc7000800000000001-1.csv
//! ^ RUN          ^ id    ^ readable data ID   ^ write id               ^ extension
//! ```
//!
//! - The first part is the RUN's prefix. It is one path component and holds the RUN's
//!   id, so no RUN's directory is inside another's, also not that of a later RUN of the
//!   same name.
//! - The readable part is there for people; values are percent-encoded, and no two
//!   data IDs of a dataset type have the same. One that is very long is cut and ends
//!   with `+` and a digest of the whole.
//! - The write id makes a key one that is written once, by one process. `~` stands only
//!   before it.

use std::fmt;

use pantler_core::{
    ArtifactKey, CollectionName, DataId, DatasetTypeName, RunId, TaskLabel, WriteId,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands as it is in a value; `+` does not, because it marks a cut.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b':');

/// Longest readable data ID, write id and extension in bytes. Together with the part
/// number of a log and `.tmp` they stay below the 255 bytes that file systems allow.
const MAX_READABLE: usize = 120;
const MAX_WRITE: usize = 56;
const MAX_EXTENSION: usize = 40;

/// The directory of a RUN's artifacts: `<percent-encoded name>@<id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunPrefix {
    text: Box<str>,
    id: RunId,
}

/// A text that is not the prefix of a RUN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the prefix of a RUN (`<name>@<id>`)")]
pub struct RunPrefixError(String);

impl RunPrefix {
    /// Takes a prefix that [`run_prefix`] made.
    ///
    /// # Errors
    /// [`RunPrefixError`] if `text` is no such prefix.
    pub fn parse(text: &str) -> Result<Self, RunPrefixError> {
        let wrong = || RunPrefixError(text.to_owned());
        let (name, id) = text.split_once('@').ok_or_else(wrong)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.+=:%".contains(&b);
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.bytes().all(plain)
        {
            return Err(wrong());
        }
        let number: i64 = id.parse().map_err(|_| wrong())?;
        if number.to_string() != id {
            return Err(wrong());
        }
        Ok(Self { text: text.into(), id: RunId::new(number) })
    }

    /// The prefix that `key` is under; `None` if it is not under that of a RUN.
    pub fn of_key(key: &ArtifactKey) -> Option<Self> {
        Self::parse(key.as_str().split_once('/')?.0).ok()
    }

    /// The prefix as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id of the RUN.
    pub const fn id(&self) -> RunId {
        self.id
    }

    /// A key right below it that no artifact ever has.
    pub fn unused_key(&self) -> ArtifactKey {
        checked(format!("{self}/unused"))
    }

    /// Whether `key` is under this prefix.
    pub fn contains(&self, key: &ArtifactKey) -> bool {
        key.as_str().strip_prefix(self.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for RunPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// The prefix of the RUN `run` with the database id `id`.
pub fn run_prefix(run: &CollectionName, id: RunId) -> RunPrefix {
    RunPrefix { text: format!("{}@{id}", run.path_component()).into(), id }
}

/// The key of an artifact that holds one dataset:
/// `<prefix>/<type>/<readable data ID>~<write>.<extension>`.
///
/// `extension` is given without or with its leading dot, and may be empty.
pub fn dataset_key(
    prefix: &RunPrefix,
    dataset_type: &DatasetTypeName,
    data_id: &DataId,
    write: &WriteId,
    extension: &str,
) -> ArtifactKey {
    let readable = readable_data_id(data_id);
    let write = encode_write(write);
    let extension = encode_extension(extension);
    checked(format!("{prefix}/{dataset_type}/{readable}~{write}{extension}"))
}

/// The key of an artifact that the log datasets of `task` share:
/// `<prefix>/<task>_log/all~<write>.log`, and `…~<write>-<part>.log` for parts
/// after the first, which is 0.
pub fn log_key(prefix: &RunPrefix, task: &TaskLabel, write: &WriteId, part: u32) -> ArtifactKey {
    let directory = task.log_dataset_type();
    let write = encode_write(write);
    let part = if part == 0 { String::new() } else { format!("-{part}") };
    checked(format!("{prefix}/{directory}/all~{write}{part}.log"))
}

/// A file name for a dataset outside of the storage: `<readable data ID>.<extension>`.
pub fn file_name(data_id: &DataId, extension: &str) -> String {
    format!("{}{}", readable_data_id(data_id), encode_extension(extension))
}

/// Whether `key` was made for `write`. What reverts or abandons deletes only such keys.
pub fn is_written_by(key: &ArtifactKey, write: &WriteId) -> bool {
    let Some((_, rest)) = key.as_str().rsplit_once('~') else { return false };
    if rest.contains('/') {
        return false;
    }
    let found = rest.split_once('.').map_or(rest, |(found, _extension)| found);
    // Part numbers stand in logs only; a write id of an opening has one number and that
    // of a quantum has two behind an `r`, so a part is never taken for an attempt.
    found.strip_prefix(encode_write(write).as_str()).is_some_and(|part| {
        part.is_empty()
            || part.strip_prefix('-').is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
            })
    })
}

/// `city=oslo,month=1`; `all` for the empty data ID.
fn readable_data_id(data_id: &DataId) -> String {
    let mut text = String::with_capacity(64);
    for (name, value) in data_id.iter() {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name.as_str());
        text.push('=');
        let value = value.to_string();
        let dots = value.bytes().take_while(|b| *b == b'.').count();
        (0..dots).for_each(|_| text.push_str("%2E"));
        text.extend(utf8_percent_encode(&value[dots..], PLAIN));
    }
    if text.is_empty() { "all".to_owned() } else { cut(text, MAX_READABLE) }
}

/// A write id comes out as it is; one that somebody wrote into a manifest by hand
/// cannot leave its place either.
fn encode_write(write: &WriteId) -> String {
    const SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    cut(utf8_percent_encode(write.as_str(), SET).to_string(), MAX_WRITE)
}

/// The extension with its dot, or nothing.
fn encode_extension(extension: &str) -> String {
    let extension = extension.trim_start_matches('.');
    if extension.is_empty() {
        return String::new();
    }
    let mut text = cut(utf8_percent_encode(extension, PLAIN).to_string(), MAX_EXTENSION);
    // `.tmp` is the ending of unfinished forms.
    if text.rsplit('.').next() == Some("tmp") {
        text.replace_range(text.len() - 3.., "%74mp");
    }
    text.insert(0, '.');
    text
}

/// Cuts an encoded (so ASCII) text, and marks it with a digest of the whole.
fn cut(mut encoded: String, max: usize) -> String {
    const DIGITS: usize = 24;
    if encoded.len() > max {
        let digest = blake3::hash(encoded.as_bytes()).to_hex();
        encoded.truncate(max - DIGITS - 1);
        encoded.push('+');
        encoded.push_str(&digest[..DIGITS]);
    }
    encoded
}

fn checked(text: String) -> ArtifactKey {
    ArtifactKey::new(text).expect("every part of it is encoded and of bounded length")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use pantler_core::{DimensionGroup, KeyValue, OpeningId, Universe};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn write_id(attempt: u32) -> WriteId {
        let uuid = Uuid::from_u128(0x0190_aaaa_bbbb_7000_8000_0000_0000_0001);
        WriteId::of_opening(OpeningId::from_uuid(uuid), attempt)
    }

    fn quantum_write(runner: u32, attempt: u32) -> WriteId {
        let uuid = Uuid::from_u128(0x0190_aaaa_bbbb_7000_8000_0000_0000_0001);
        WriteId::of_quantum(OpeningId::from_uuid(uuid), runner, attempt)
    }

    fn group() -> (Universe, Arc<DimensionGroup>) {
        let universe = Universe::from_yaml(
            "version: 1\nname: w\nelements:\n  city: {key: string}\n  kind: {key: string}\n  \
             month: {key: integer}\n",
        )
        .unwrap();
        let group = universe.group(["city", "kind", "month"]).unwrap();
        (universe, group)
    }

    /// Without the check of `KeyValue`: what a damaged file could hold, too.
    fn data_id(city: &str, kind: &str, month: i64) -> DataId {
        let (_, group) = group();
        let values: BTreeMap<_, _> = [
            ("city", KeyValue::from(city)),
            ("kind", KeyValue::from(kind)),
            ("month", KeyValue::from(month)),
        ]
        .into();
        let ordered = group.required().iter().map(|n| values[n.as_str()].clone()).collect();
        DataId::from_values(&group, ordered).unwrap()
    }

    fn prefix() -> RunPrefix {
        run_prefix(&CollectionName::new("climate/raw").unwrap(), RunId::new(12))
    }

    fn daily(data_id: &DataId, extension: &str) -> ArtifactKey {
        let daily = DatasetTypeName::new("daily").unwrap();
        dataset_key(&prefix(), &daily, data_id, &write_id(1), extension)
    }

    #[test]
    fn keys_read_well() {
        let key = daily(&data_id("oslo", "a/b, c=d~e%", 1), "csv");
        assert_eq!(
            key.as_str(),
            "climate%2Fraw@12/daily/city=oslo,kind=a%2Fb%2C%20c%3Dd%7Ee%25,month=1\
             ~bbbb70008000000000000001-1.csv"
        );
        assert_eq!(
            daily(&DataId::empty(), "").as_str(),
            "climate%2Fraw@12/daily/all~bbbb70008000000000000001-1"
        );
        assert!(daily(&data_id("..", "é", -1), ".fits.gz").as_str().ends_with(".fits.gz"));
        assert!(daily(&DataId::empty(), "tmp").as_str().ends_with("-1.%74mp"));
        assert!(daily(&DataId::empty(), "x.tmp").as_str().ends_with("-1.x.%74mp"));
        assert!(daily(&DataId::empty(), "../x/y").as_str().ends_with("-1.%2Fx%2Fy"));
    }

    #[test]
    fn logs_are_shared_by_task_and_part() {
        let task = TaskLabel::new("average").unwrap();
        let key = |part| log_key(&prefix(), &task, &quantum_write(3, 1), part).to_string();
        assert_eq!(key(0), "climate%2Fraw@12/average_log/all~bbbb70008000000000000001-r3-1.log");
        assert_eq!(key(2), "climate%2Fraw@12/average_log/all~bbbb70008000000000000001-r3-1-2.log");
    }

    #[test]
    fn keys_know_their_write() {
        let task = TaskLabel::new("average").unwrap();
        for part in [0, 2] {
            let key = log_key(&prefix(), &task, &quantum_write(3, 1), part);
            assert!(is_written_by(&key, &quantum_write(3, 1)));
            for other in [quantum_write(3, 2), quantum_write(3, 11), quantum_write(1, 1)] {
                assert!(!is_written_by(&key, &other), "{key} {other}");
            }
            assert!(!is_written_by(&key, &write_id(1)));
        }
        let key = daily(&data_id("a", "b.c-2", 1), "csv");
        assert!(is_written_by(&key, &write_id(1)));
        assert!(!is_written_by(&key, &write_id(11)));
        assert!(!is_written_by(&ArtifactKey::new("a~x/b").unwrap(), &write_id(1)));
    }

    #[test]
    fn prefixes_are_parsed_strictly() {
        let made = prefix();
        assert_eq!(made.as_str(), "climate%2Fraw@12");
        assert_eq!(RunPrefix::parse(made.as_str()), Ok(made.clone()));
        assert_eq!(made.id(), RunId::new(12));
        let key = daily(&DataId::empty(), "csv");
        assert_eq!(RunPrefix::of_key(&key).as_ref(), Some(&made));
        assert!(made.contains(&key));
        for bad in [
            "", "a", "@1", "a@", "a@01", "a@+1", "a@x", "a/b@1", ".a@1", "a@1/", "a@1@2", "a b@1",
            "é@1",
        ] {
            assert!(RunPrefix::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_write_id_from_a_damaged_manifest_stays_inside() {
        // Decoded without a check in core; here it must not become a path.
        let daily = DatasetTypeName::new("daily").unwrap();
        let long = "~/..\n".repeat(100);
        for text in ["../../x", "", ".tmp", long.as_str()] {
            let write: WriteId = serde_json::from_value(text.into()).unwrap();
            let key = dataset_key(&prefix(), &daily, &DataId::empty(), &write, "");
            assert!(prefix().contains(&key));
            assert_eq!(key.as_str().split('/').count(), 3, "{key}");
        }
        assert_eq!(encode_write(&write_id(7)), write_id(7).as_str());
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[a-c.,=/~%+ \\\\\n\0-]{0,12}",
            "[.%/é+]{100,300}",
            Just("..".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn keys_are_valid_and_stay_in_their_prefix(
            city in any_text(), kind in any_text(), month: i64, extension in any_text(),
        ) {
            let key = daily(&data_id(&city, &kind, month), &extension);
            prop_assert!(ArtifactKey::new(key.as_str()).is_ok());
            prop_assert!(prefix().contains(&key));
            prop_assert_eq!(key.as_str().split('/').count(), 3);
            prop_assert!(key.as_str().split('/').all(|part| part.len() + ".tmp".len() <= 255));
            prop_assert!(key.as_str().is_ascii());
            prop_assert!(is_written_by(&key, &write_id(1)));
            prop_assert!(!is_written_by(&key, &write_id(2)));
        }

        #[test]
        fn different_data_ids_have_different_keys(
            a in (any_text(), any_text(), 0..3_i64), b in (any_text(), any_text(), 0..3_i64),
        ) {
            let (x, y) = (data_id(&a.0, &a.1, a.2), data_id(&b.0, &b.1, b.2));
            prop_assert_eq!(a == b, daily(&x, "csv") == daily(&y, "csv"));
            // The same texts, divided elsewhere.
            let moved = data_id(&format!("{}{}", a.0, a.1), "", a.2);
            if moved != x {
                prop_assert_ne!(daily(&moved, "csv"), daily(&x, "csv"));
            }
        }

        #[test]
        fn no_prefix_is_inside_another(
            a in "[a-zA-Z0-9_.+:=][a-z0-9_.+:=/-]{0,159}", i: i64,
            b in "[a-zA-Z0-9_.+:=][a-z0-9_.+:=/-]{0,159}", j: i64,
        ) {
            let (Ok(a), Ok(b)) = (CollectionName::new(a), CollectionName::new(b)) else {
                return Ok(());
            };
            let (x, y) = (run_prefix(&a, RunId::new(i)), run_prefix(&b, RunId::new(j)));
            prop_assert!(!x.as_str().contains('/') && x.as_str().len() <= 255);
            prop_assert_eq!(RunPrefix::parse(x.as_str()), Ok(x.clone()));
            if i != j {
                prop_assert_ne!(&x, &y);
                let (inside, other) = (format!("{x}/"), format!("{y}/"));
                prop_assert!(!other.starts_with(&inside));
            }
        }
    }
}
