//! All rows and files of a repository.

use std::collections::BTreeMap;

use camino::Utf8Path;

/// All rows (table → rows as text) and files (path → content digest and size) of a
/// repository, the closed log and folders without files aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Table → rows.
    pub rows: BTreeMap<String, Vec<String>>,
    /// Path below the repository → content.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Picture {
    /// Takes the picture of the repository at `root`.
    pub fn of(root: &Utf8Path) -> Self {
        let mut rows = pantler_registry::testing::dump(&root.join("registry.sqlite3")).unwrap();
        rows.remove("artifact_transaction_closed");
        rows.remove("sqlite_sequence");
        let mut files = BTreeMap::new();
        for folder in ["artifacts", "workspaces"] {
            walk(root, &root.join(folder), &mut files);
        }
        files.retain(|path, _| !path.ends_with("/runner.lock") && !path.ends_with("/closer.lock"));
        Self { rows, files }
    }

    /// Fails the test with what differs, if anything does.
    #[track_caller]
    pub fn assert_same(&self, other: &Self, what: &str) {
        let names = |p: &Self| p.files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(self), names(other), "{what}: files");
        for (table, rows) in &self.rows {
            assert_eq!(Some(rows), other.rows.get(table), "{what}: rows of {table}");
        }
        assert!(self == other, "{what}: the content of files differs");
    }
}

fn walk(root: &Utf8Path, at: &Utf8Path, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = at.read_dir_utf8() else { return };
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            walk(root, entry.path(), files);
        } else {
            let path = entry.path().strip_prefix(root).unwrap().to_string();
            files.insert(path, std::fs::read(entry.path()).unwrap());
        }
    }
}
