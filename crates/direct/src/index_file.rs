//! Lists of files to be ingested: a table in CSV whose header names the columns, or a
//! list of mappings in JSON.
//!
//! The columns are `file`, one for each dimension, and where needed `type`, `offset` and
//! `size`. A dimension of one of these names cannot be given so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::DatasetTypeName;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

/// A dataset in a file, as an index has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    /// Where in the index it stands, for messages.
    pub place: String,
    /// The file, as it is written there.
    pub file: Utf8PathBuf,
    /// The dataset type, if the row says it.
    pub dataset_type: Option<DatasetTypeName>,
    /// The values of dimensions.
    pub values: BTreeMap<String, String>,
    /// Offset and size in bytes, if it is part of the file.
    pub slice: Option<(u64, u64)>,
}

/// An index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexFileError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not well formed.
    #[error("{path}: {reason}")]
    Syntax {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, with line and column where there is one.
        reason: String,
    },
    /// A row does not say what it must.
    #[error("{path}: {place}: {reason}")]
    Row {
        /// The file.
        path: Utf8PathBuf,
        /// The row.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The name does not say what it holds.
    #[error("{0}: the name must end with .csv or .json")]
    Ending(Utf8PathBuf),
}

/// Reads an index.
///
/// # Errors
/// [`IndexFileError`] naming the file and the row.
pub fn read_index(path: &Utf8Path) -> Result<Vec<IndexRow>, IndexFileError> {
    let rows = match path.extension() {
        Some("csv") => table(&text(path)?),
        Some("json") => list(&text(path)?),
        _ => return Err(IndexFileError::Ending(path.to_owned())),
    };
    let rows = rows.map_err(|reason| IndexFileError::Syntax { path: path.to_owned(), reason })?;
    let row = |(place, fields)| match row(place, fields) {
        Ok(row) => Ok(row),
        Err((place, reason)) => Err(IndexFileError::Row { path: path.to_owned(), place, reason }),
    };
    rows.into_iter().map(row).collect()
}

/// Reads one mapping in JSON, as a list has them; `place` says where it stands.
///
/// # Errors
/// What is wrong with it.
pub fn read_index_line(place: &str, line: &str) -> Result<IndexRow, String> {
    let mapping: Mapping = serde_json::from_str(line).map_err(|e| {
        // It is always the first line of what was given.
        let reason = e.to_string().replace(" at line 1 column ", " at column ");
        format!("it is not a JSON object: {reason}")
    })?;
    row(place.to_owned(), fields(mapping)?).map_err(|(_, reason)| reason)
}

fn text(path: &Utf8Path) -> Result<String, IndexFileError> {
    std::fs::read_to_string(path)
        .map_err(|source| IndexFileError::Io { path: path.to_owned(), source })
}

type Fields = BTreeMap<String, String>;

/// The rows of a table; an empty cell says nothing.
fn table(text: &str) -> Result<Vec<(String, Fields)>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| e.to_string())?.clone();
    for (i, name) in header.iter().enumerate() {
        if header.iter().take(i).any(|before| before == name) {
            return Err(format!("the header names `{name}` twice"));
        }
    }
    if !header.iter().any(|name| name == "file") {
        return Err("the header has no column `file`".to_owned());
    }
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|e| e.to_string())?;
        let line = row.position().map_or(0, csv::Position::line);
        let cells = header.iter().zip(&row).filter(|(_, cell)| !cell.is_empty());
        let fields = cells.map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect();
        rows.push((format!("line {line}"), fields));
    }
    Ok(rows)
}

/// The mappings of a list; `null` says nothing.
fn list(text: &str) -> Result<Vec<(String, Fields)>, String> {
    let rows: Vec<Mapping> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut found = Vec::with_capacity(rows.len());
    for (i, row) in rows.into_iter().enumerate() {
        let place = format!("row [{i}]");
        let fields = fields(row).map_err(|reason| format!("{place}: {reason}"))?;
        found.push((place, fields));
    }
    Ok(found)
}

/// A JSON object with its members as they stand there: one that is there twice is an error,
/// which a map would hide.
struct Mapping(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Mapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Mapping;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Mapping, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                Ok(Mapping(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn fields(Mapping(members): Mapping) -> Result<Fields, String> {
    let mut fields = Fields::new();
    let mut seen = BTreeSet::new();
    for (name, value) in members {
        if !seen.insert(name.clone()) {
            return Err(format!("`{name}` is there twice"));
        }
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Err(format!("`{name}` is neither a text nor a number"));
            }
        };
        fields.insert(name, text);
    }
    Ok(fields)
}

fn row(place: String, mut fields: Fields) -> Result<IndexRow, (String, String)> {
    let mut read = || -> Result<_, String> {
        let file = fields.remove("file").ok_or("`file` is missing")?;
        let dataset_type = match fields.remove("type") {
            None => None,
            Some(name) => Some(DatasetTypeName::new(name).map_err(|e| e.to_string())?),
        };
        let mut bytes = |name: &str| match fields.remove(name) {
            None => Ok(None),
            Some(text) => match text.parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(format!("`{name}`: expected a number of bytes, found {text:?}")),
            },
        };
        let slice = match (bytes("offset")?, bytes("size")?) {
            (None, None) => None,
            (Some(offset), Some(size)) => Some((offset, size)),
            (Some(_), None) => return Err("`offset` needs `size` beside it".to_owned()),
            (None, Some(_)) => return Err("`size` needs `offset` beside it".to_owned()),
        };
        Ok((Utf8PathBuf::from(file), dataset_type, slice))
    };
    match read() {
        Ok((file, dataset_type, slice)) => {
            Ok(IndexRow { place, file, dataset_type, values: fields, slice })
        }
        Err(reason) => Err((place, reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ending: &str, text: &str) -> Result<Vec<IndexRow>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("index").with_extension(ending);
        pantler_datastore::fs::write_new(&path, text.as_bytes()).unwrap();
        read_index(&path).map_err(|e| e.to_string().replace(path.as_str(), "FILE"))
    }

    #[test]
    fn both_forms_give_the_same_rows() {
        let table =
            read("csv", "file,city,type,offset,size\na.csv,oslo,,,\nb.csv,bergen,daily,3,4\n")
                .unwrap();
        let list = read(
            "json",
            r#"[{"file": "a.csv", "city": "oslo", "type": null},
                {"file": "b.csv", "city": "bergen", "type": "daily", "offset": 3, "size": 4}]"#,
        )
        .unwrap();
        let without_place = |rows: &[IndexRow]| -> Vec<IndexRow> {
            rows.iter().map(|row| IndexRow { place: String::new(), ..row.clone() }).collect()
        };
        assert_eq!(without_place(&table), without_place(&list));
        assert_eq!(table[1].slice, Some((3, 4)));
        assert_eq!(table[1].values["city"], "bergen");
        assert_eq!((table[0].place.as_str(), list[1].place.as_str()), ("line 2", "row [1]"));
    }

    #[test]
    fn faults_name_their_place() {
        let fault = |ending: &str, text: &str| read(ending, text).map(drop).unwrap_err();
        assert_eq!(fault("csv", "path,city\n"), "FILE: the header has no column `file`");
        assert_eq!(fault("csv", "file,city,city\n"), "FILE: the header names `city` twice");
        assert_eq!(fault("csv", "file,city\n,oslo\n"), "FILE: line 2: `file` is missing");
        assert_eq!(
            fault("csv", "file,offset,size\na,x,1\n"),
            "FILE: line 2: `offset`: expected a number of bytes, found \"x\""
        );
        assert_eq!(
            fault("csv", "file,offset\na,1\n"),
            "FILE: line 2: `offset` needs `size` beside it"
        );
        assert_eq!(
            fault("json", r#"[{"file": "a", "type": "No"}]"#),
            "FILE: row [0]: invalid dataset type name \"No\": it must start with a lower-case letter (a-z)"
        );
        assert_eq!(
            fault("json", r#"[{"file": ["a"]}]"#),
            "FILE: row [0]: `file` is neither a text nor a number"
        );
        assert!(fault("json", "{}").starts_with("FILE: invalid type: map"));
        assert!(fault("json", "[3]").contains("expected an object"));
        assert_eq!(
            fault("json", r#"[{"file": "a", "city": "oslo", "city": "bergen"}]"#),
            "FILE: row [0]: `city` is there twice"
        );
        assert_eq!(fault("txt", ""), "FILE: the name must end with .csv or .json");
    }
}
