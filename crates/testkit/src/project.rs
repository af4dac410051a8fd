//! Copies of project folders.

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use crate::{Picture, Program, Ran};

/// A copy of a project folder in a place of its own.
///
/// When it goes out of scope and the test has not failed, `pantler check` must find
/// nothing in its repository.
#[derive(Debug)]
pub struct Project {
    program: Program,
    dir: TempDir,
    name: String,
    /// Where it and its copies are; `None` for the usual place of temporary files.
    place: Option<Utf8PathBuf>,
    checked: bool,
}

impl Project {
    /// Copies the files below `from` for which `keep` says so (given their relative path).
    pub fn copy(program: &Program, from: &Utf8Path, keep: impl Fn(&str) -> bool) -> Self {
        let project = Self::empty(program);
        copy_tree(from, &project.path(), &|path| {
            path != "repo" && !path.starts_with("repo/") && keep(path)
        });
        project
    }

    /// An empty folder to be filled.
    pub fn empty(program: &Program) -> Self {
        Self::empty_at(program, None)
    }

    /// An empty folder in memory, where the system has that, for tests that need many.
    pub fn in_memory(program: &Program) -> Self {
        let memory = Utf8Path::new("/dev/shm");
        Self::empty_at(program, memory.is_dir().then(|| memory.to_owned()))
    }

    fn empty_at(program: &Program, place: Option<Utf8PathBuf>) -> Self {
        let dir = match &place {
            Some(place) => tempfile::tempdir_in(place).unwrap(),
            None => tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(dir.path().join("project")).unwrap();
        Self { program: program.clone(), dir, name: "project".to_owned(), place, checked: true }
    }

    /// Another project with the same files, repository included.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let mut copy = Self::empty_at(&self.program, self.place.clone());
        copy_tree(&self.path(), &copy.path(), &|_| true);
        copy.checked = self.checked;
        copy
    }

    /// Gives the project folder another name.
    pub fn rename(&mut self, name: &str) {
        let before = self.path();
        name.clone_into(&mut self.name);
        std::fs::rename(before, self.path()).unwrap();
    }

    /// For a test that leaves its repository damaged on purpose.
    pub fn expect_damage(&mut self) {
        self.checked = false;
    }

    /// The project folder.
    pub fn path(&self) -> Utf8PathBuf {
        // Without symbolic links, as the program names it.
        let dir = Utf8Path::from_path(self.dir.path()).unwrap();
        dir.canonicalize_utf8().unwrap().join(&self.name)
    }

    /// Its repository.
    pub fn repo(&self) -> Utf8PathBuf {
        self.path().join("repo")
    }

    /// Writes a file of the project.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Reads a file of the project.
    pub fn read(&self, path: &str) -> String {
        let path = self.path().join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// `pantler run` of the project with more arguments.
    pub fn run(&self, args: &[&str]) -> Ran {
        let path = self.path();
        let mut all = vec!["run", path.as_str()];
        all.extend(args);
        self.program.run(&all)
    }

    /// `pantler … --repo` of its repository.
    pub fn pantler(&self, args: &[&str]) -> Ran {
        let repo = self.repo();
        let mut all = args.to_vec();
        all.extend(["--repo", repo.as_str()]);
        self.program.run(&all)
    }

    /// Runs SQL on its database, to damage it.
    pub fn sql(&self, sql: &str) {
        pantler_registry::testing::execute(&self.repo().join("registry.sqlite3"), sql).unwrap();
    }

    /// All rows and files of its repository.
    pub fn picture(&self) -> Picture {
        Picture::of(&self.repo())
    }

    /// What find-first over `collections` gives: (type, data ID, checksum), sorted. What a
    /// commit says of times and processes differs from run to run, so it stands without.
    pub fn contents(&self, collections: &str) -> Vec<String> {
        let ran = self
            .pantler(&["query", "datasets", "--collections", collections, "--find-first", "--json"])
            .expect(0);
        let rows = ran.json();
        let mut rows: Vec<String> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let dataset_type = row["dataset_type"].as_str().unwrap();
                let is_provenance = dataset_type == "run_provenance"
                    || dataset_type.starts_with("run_provenance_by_");
                let checksum =
                    if is_provenance { &serde_json::Value::Null } else { &row["checksum"] };
                format!("{} {} {checksum}", row["dataset_type"], row["data_id"])
            })
            .collect();
        rows.sort();
        rows
    }

    /// Fails the test unless `pantler check` finds nothing.
    #[track_caller]
    pub fn check(&self) {
        if self.repo().join("pantler.yaml").exists() {
            self.pantler(&["check"]).expect(0);
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if self.checked && !std::thread::panicking() {
            self.check();
        }
    }
}

/// Copies a folder, times of files and symbolic links as they are; `keep` is asked with
/// the path relative to `from`.
pub fn copy_tree(from: &Utf8Path, to: &Utf8Path, keep: &dyn Fn(&str) -> bool) {
    fn walk(top: &Utf8Path, from: &Utf8Path, to: &Utf8Path, keep: &dyn Fn(&str) -> bool) {
        std::fs::create_dir_all(to).unwrap();
        for entry in from.read_dir_utf8().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            let target = to.join(entry.file_name());
            if kind.is_dir() {
                if keep(path.strip_prefix(top).unwrap().as_str()) {
                    walk(top, path, &target, keep);
                }
            } else if kind.is_file() && keep(path.strip_prefix(top).unwrap().as_str()) {
                std::fs::copy(path, &target).unwrap();
                let modified = entry.metadata().unwrap().modified().unwrap();
                std::fs::File::open(target).unwrap().set_modified(modified).unwrap();
            } else if kind.is_symlink() && keep(path.strip_prefix(top).unwrap().as_str()) {
                std::os::unix::fs::symlink(std::fs::read_link(path).unwrap(), target).unwrap();
            }
        }
    }
    walk(from, from, to, keep);
}
