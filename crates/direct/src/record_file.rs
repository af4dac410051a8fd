//! Files of dimension records.
//!
//! Records of several elements, version 1, as projects name them:
//!
//! ```yaml
//! version: 1
//! records:
//!   city:
//!     - {city: oslo, title: Oslo, latitude: 59.9}
//! ```
//!
//! Records of one element: such a file, a list of mappings in YAML or JSON, or a table
//! in CSV whose header names the fields.

use std::{collections::BTreeMap, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{DimensionRecord, Element, ElementName, MetadataValue, Universe};
use serde::Deserialize;

const VERSION: u32 = 1;

/// A file of dimension records cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordFileError {
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
        /// What is wrong, with line and column.
        reason: String,
    },
    /// It was written for a newer program.
    #[error("{path} has version {found}, this program knows {supported}: use a newer pantler")]
    Version {
        /// The file.
        path: Utf8PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known.
        supported: u32,
    },
    /// A record in it is not one of its element.
    #[error("{path}: {reason}")]
    Invalid {
        /// The file.
        path: Utf8PathBuf,
        /// Which record, and what is wrong with it.
        reason: String,
    },
    /// The name does not say what it holds.
    #[error("{0}: the name must end with .csv, .json, .yaml or .yml")]
    Ending(Utf8PathBuf),
}

type Fields = BTreeMap<String, MetadataValue>;

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordsV1 {
    #[serde(rename = "version")]
    _version: u32,
    records: BTreeMap<ElementName, Vec<Fields>>,
}

/// Reads a file with records of several elements.
///
/// # Errors
/// [`RecordFileError`] naming the file and the record.
pub fn read_record_file(
    path: &Utf8Path,
    universe: &Universe,
) -> Result<Vec<DimensionRecord>, RecordFileError> {
    let file = File { path, universe };
    file.versioned(&file.text()?, |text| serde_saphyr::from_str(text).map_err(|e| yaml(&e)))
}

/// Reads a file with records of one element.
///
/// # Errors
/// [`RecordFileError`] naming the file and the record or line.
pub fn read_records_of(
    path: &Utf8Path,
    universe: &Universe,
    element: &Arc<Element>,
) -> Result<Vec<DimensionRecord>, RecordFileError> {
    let file = File { path, universe };
    let records = match path.extension() {
        Some("csv") => return file.table(&file.text()?, element),
        Some("json") => {
            let text = file.text()?;
            if serde_json::from_str::<VersionOnly>(&text).is_ok() {
                file.versioned(&text, |text| serde_json::from_str(text).map_err(|e| json(&e)))?
            } else {
                let rows = serde_json::from_str(&text).map_err(|e| file.syntax(json(&e)))?;
                file.records(element, "record ", rows)?
            }
        }
        Some("yaml" | "yml") => {
            let text = file.text()?;
            if serde_saphyr::from_str::<VersionOnly>(&text).is_ok() {
                file.versioned(&text, |text| serde_saphyr::from_str(text).map_err(|e| yaml(&e)))?
            } else {
                let rows = serde_saphyr::from_str(&text).map_err(|e| file.syntax(yaml(&e)))?;
                file.records(element, "record ", rows)?
            }
        }
        _ => return Err(RecordFileError::Ending(path.to_owned())),
    };
    match records.iter().find(|record| record.element != element.name) {
        None => Ok(records),
        Some(other) => Err(file.invalid(format!(
            "it also has records of element `{}`, and only those of `{}` were asked for",
            other.element, element.name
        ))),
    }
}

fn yaml(error: &serde_saphyr::Error) -> String {
    error.without_snippet().to_string()
}

fn json(error: &serde_json::Error) -> String {
    error.to_string()
}

struct File<'a> {
    path: &'a Utf8Path,
    universe: &'a Universe,
}

impl File<'_> {
    fn text(&self) -> Result<String, RecordFileError> {
        std::fs::read_to_string(self.path)
            .map_err(|source| RecordFileError::Io { path: self.path.to_owned(), source })
    }

    fn syntax(&self, reason: String) -> RecordFileError {
        RecordFileError::Syntax { path: self.path.to_owned(), reason }
    }

    fn invalid(&self, reason: String) -> RecordFileError {
        RecordFileError::Invalid { path: self.path.to_owned(), reason }
    }

    /// Records of several elements, from the form that `parse` knows.
    fn versioned(
        &self,
        text: &str,
        parse: impl FnOnce(&str) -> Result<RecordsV1, String>,
    ) -> Result<Vec<DimensionRecord>, RecordFileError> {
        // YAML contains JSON.
        if let Ok(VersionOnly { version }) = serde_saphyr::from_str(text)
            && version != VERSION
        {
            return Err(RecordFileError::Version {
                path: self.path.to_owned(),
                found: version,
                supported: VERSION,
            });
        }
        let file = parse(text).map_err(|reason| self.syntax(reason))?;
        let mut records = Vec::new();
        for (name, rows) in file.records {
            let element =
                self.universe.element(name.as_str()).map_err(|e| self.invalid(e.to_string()))?;
            records.extend(self.records(element, &format!("records.{name}"), rows)?);
        }
        Ok(records)
    }

    fn records(
        &self,
        element: &Arc<Element>,
        at: &str,
        rows: Vec<Fields>,
    ) -> Result<Vec<DimensionRecord>, RecordFileError> {
        let record = |(i, row)| {
            DimensionRecord::from_fields(self.universe, element, row)
                .map_err(|e| self.invalid(format!("{at}[{i}]: {e}")))
        };
        rows.into_iter().enumerate().map(record).collect()
    }

    fn table(
        &self,
        text: &str,
        element: &Arc<Element>,
    ) -> Result<Vec<DimensionRecord>, RecordFileError> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let fields = reader.headers().map_err(|e| self.syntax(e.to_string()))?.clone();
        for (i, name) in fields.iter().enumerate() {
            if fields.iter().take(i).any(|before| before == name) {
                return Err(self.invalid(format!("the header names `{name}` twice")));
            }
        }
        let mut records = Vec::new();
        for row in reader.records() {
            let row = row.map_err(|e| self.syntax(e.to_string()))?;
            let line = row.position().map_or(0, csv::Position::line);
            let texts =
                fields.iter().zip(&row).map(|(n, t)| (n.to_owned(), t.to_owned())).collect();
            let record = DimensionRecord::from_texts(self.universe, element, &texts)
                .map_err(|e| self.invalid(format!("line {line}: {e}")))?;
            records.push(record);
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn universe() -> Universe {
        Universe::from_yaml(
            "version: 1\nname: u\nelements:\n  band: {key: string}\n  filter: {key: string, implies: [band], metadata: {width: {type: float, required: true}, note: {type: string}}}\n",
        )
        .unwrap()
    }

    fn read(
        ending: &str,
        text: &str,
        read: impl FnOnce(&Utf8Path, &Universe) -> Result<Vec<DimensionRecord>, RecordFileError>,
    ) -> Result<Vec<DimensionRecord>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("records").with_extension(ending);
        pantler_datastore::fs::write_new(&path, text.as_bytes()).unwrap();
        read(&path, &universe()).map_err(|e| e.to_string().replace(path.as_str(), "FILE"))
    }

    fn filters(ending: &str, text: &str) -> Result<Vec<DimensionRecord>, String> {
        read(ending, text, |path, universe| {
            read_records_of(path, universe, universe.element("filter").unwrap())
        })
    }

    #[test]
    fn records_of_projects_are_checked() {
        let all = |text: &str| read("yaml", text, read_record_file);
        let records =
            all("version: 1\nrecords:\n  filter:\n    - {filter: g1, band: g, width: 150}\n")
                .expect("a record");
        assert_eq!(records[0].data_id.to_string(), "filter=g1");
        assert_eq!(records[0].implied.len(), 1);
        let fault = |row: &str| {
            all(&format!("version: 1\nrecords:\n  filter:\n    - {row}\n")).map(drop).unwrap_err()
        };
        assert_eq!(fault("{filter: g1, band: g}"), "FILE: records.filter[0]: `width` is missing");
        assert_eq!(fault("{filter: g1, width: 1.0}"), "FILE: records.filter[0]: `band` is missing");
        assert_eq!(
            fault("{filter: g1, band: g, width: 1.0, hue: 3}"),
            "FILE: records.filter[0]: element `filter` has no field `hue`"
        );
        assert_eq!(
            fault("{filter: 1, band: g, width: 1.0}"),
            "FILE: records.filter[0]: dimension `filter`: expected a string, found the integer 1"
        );
        assert_eq!(
            all("version: 2\nthings: []\n").map(drop).unwrap_err(),
            "FILE has version 2, this program knows 1: use a newer pantler"
        );
    }

    #[test]
    fn every_form_gives_the_same_records() {
        let yaml = filters("yaml", "- {filter: g1, band: g, width: 1}\n- {filter: r1, band: r, width: 2.5, note: 'a, b'}\n").unwrap();
        assert_eq!(yaml.len(), 2);
        let forms = [
            ("csv", "filter,band,width,note\ng1,g,1,\nr1,r,2.5,\"a, b\"\n"),
            (
                "json",
                "[\n\t{\"filter\": \"g1\", \"band\": \"g\", \"width\": 1, \"note\": null},\n\t{\"filter\": \"r1\", \"band\": \"r\", \"width\": 2.5, \"note\": \"a, b\"}\n]",
            ),
            (
                "yml",
                "version: 1\nrecords:\n  filter:\n  - {filter: g1, band: g, width: 1}\n  - {filter: r1, band: r, width: 2.5, note: 'a, b'}\n",
            ),
            (
                "json",
                "{\"version\": 1, \"records\": {\"filter\": [{\"filter\": \"g1\", \"band\": \"g\", \"width\": 1}, {\"filter\": \"r1\", \"band\": \"r\", \"width\": 2.5, \"note\": \"a, b\"}]}}",
            ),
        ];
        for (ending, text) in forms {
            assert_eq!(filters(ending, text).as_ref(), Ok(&yaml), "{ending}: {text}");
        }
        assert_eq!(filters("csv", "filter,band,width\n"), Ok(vec![]));
    }

    #[test]
    fn faults_name_their_place() {
        let fault = |ending: &str, text: &str| filters(ending, text).map(drop).unwrap_err();
        assert_eq!(
            fault("csv", "filter,band,width\ng1,g,1\nr1,r,wide\n"),
            "FILE: line 3: `width`: expected a number, found \"wide\""
        );
        assert_eq!(fault("csv", "filter,band,width,band\n"), "FILE: the header names `band` twice");
        assert_eq!(
            fault("csv", "filter,hue\ng1,3\n"),
            "FILE: line 2: element `filter` has no field `hue`"
        );
        assert!(fault("csv", "filter,band,width\ng1,g\n").contains("line: 2"));
        assert!(fault("yaml", "- {filter: g1, band: g").contains("line 1"));
        assert!(fault("yaml", "filter: g1\n").starts_with("FILE: "));
        assert!(fault("json", "[{]").contains("line 1 column 3"));
        assert_eq!(fault("json", "[{\"filter\": \"g1\"}]"), "FILE: record [0]: `band` is missing");
        assert_eq!(
            fault("yaml", "version: 1\nrecords: {band: [{band: g}]}\n"),
            "FILE: it also has records of element `band`, and only those of `filter` were asked for"
        );
        assert_eq!(fault("txt", ""), "FILE: the name must end with .csv, .json, .yaml or .yml");
    }
}
