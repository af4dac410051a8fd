//! What the tasks of a pipeline are at the moment: their definitions, and the files beside the
//! pipeline that they name.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    time::SystemTime,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{Checksum, ChecksumHasher, TaskLabel};
use pantler_graph::{ResolvedPipeline, ResolvedTask, named_files, task_fingerprint};

/// More than the scripts of a task have: then it names a folder with data.
const MAX_FILES: usize = 1000;
const MAX_BYTES: u64 = 32 << 20;
/// Deeper than folders of scripts are; ends what symbolic links make endless.
const MAX_DEPTH: usize = 16;

/// What a task is, and the files that say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskIdentity {
    fingerprint: Checksum,
    marks: Vec<Mark>,
}

/// A file or folder as it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    path: Utf8PathBuf,
    state: Option<(u64, u64, Option<SystemTime>)>,
}

impl TaskIdentity {
    /// See [`task_fingerprint`].
    pub fn fingerprint(&self) -> Checksum {
        self.fingerprint
    }

    /// Whether a file that the task names is not as it was looked at, by size and time.
    pub fn has_changed(&self) -> bool {
        self.marks.iter().any(|mark| state(&mark.path) != mark.state)
    }
}

/// Looks at the files that tasks name below `pipeline_dir`. Tasks of which nothing can be said
/// are left out: they name what is not there, cannot be read, differs from quantum to quantum
/// or is too much, or are Rust tasks without a version.
pub fn task_identities(
    pipeline: &ResolvedPipeline,
    pipeline_dir: &Utf8Path,
) -> BTreeMap<TaskLabel, TaskIdentity> {
    task_identities_of(pipeline, pipeline_dir, &|_| true)
}

/// The same for those tasks that are `wanted`: no files of others are looked at.
pub fn task_identities_of(
    pipeline: &ResolvedPipeline,
    pipeline_dir: &Utf8Path,
    wanted: &dyn Fn(&ResolvedTask) -> bool,
) -> BTreeMap<TaskLabel, TaskIdentity> {
    let mut known: BTreeMap<String, Option<Looked>> = BTreeMap::new();
    let mut identities = BTreeMap::new();
    for task in pipeline.tasks().iter().filter(|task| wanted(task)) {
        let own = pipeline.pipeline();
        let Some(named) = named_files(own, &task.definition) else { continue };
        let mut files = BTreeMap::new();
        let mut marks = Vec::new();
        let mut complete = true;
        for name in named {
            let looked =
                known.entry(name.clone()).or_insert_with(|| look_at(&pipeline_dir.join(&name)));
            match looked {
                Some(looked) => {
                    files.insert(name, looked.checksum);
                    marks.extend(looked.marks.iter().cloned());
                }
                None => complete = false,
            }
        }
        let fingerprint = task_fingerprint(own, &task.definition, &files);
        if let (Some(fingerprint), true) = (fingerprint, complete) {
            identities.insert(task.label.clone(), TaskIdentity { fingerprint, marks });
        }
    }
    identities
}

/// A file, or all files of a folder.
#[derive(Debug)]
struct Looked {
    checksum: Checksum,
    marks: Vec<Mark>,
}

fn look_at(path: &Utf8Path) -> Option<Looked> {
    let mut looking = Looking { files: 0, bytes: 0, hasher: ChecksumHasher::new(), marks: vec![] };
    looking.visit(path, "", 0)?;
    let Looking { hasher, marks, .. } = looking;
    Some(Looked { checksum: hasher.finish(), marks })
}

struct Looking {
    files: usize,
    bytes: u64,
    hasher: ChecksumHasher,
    marks: Vec<Mark>,
}

impl Looking {
    /// `None` if what is there cannot be taken for part of a task.
    fn visit(&mut self, path: &Utf8Path, name: &str, depth: usize) -> Option<()> {
        // Before it is read: a change meanwhile is one after it.
        self.marks.push(Mark { path: path.to_owned(), state: state(path) });
        let metadata = fs::metadata(path).ok()?;
        if metadata.is_dir() {
            return self.folder(path, name, depth);
        }
        self.files += 1;
        self.bytes = self.bytes.checked_add(metadata.len())?;
        if !metadata.is_file() || self.files > MAX_FILES || self.bytes > MAX_BYTES {
            return None;
        }
        let mut content = blake3::Hasher::new();
        content.update_reader(File::open(path).ok()?).ok()?;
        self.hasher.update(&(name.len() as u64).to_le_bytes());
        self.hasher.update(name.as_bytes());
        self.hasher.update(content.finalize().as_bytes());
        Some(())
    }

    fn folder(&mut self, path: &Utf8Path, name: &str, depth: usize) -> Option<()> {
        if depth == MAX_DEPTH {
            return None;
        }
        let mut names = Vec::new();
        for entry in path.read_dir_utf8().ok()? {
            names.push(entry.ok()?.file_name().to_owned());
        }
        names.sort();
        for own in names {
            let below = path.join(&own);
            if !is_left_out(&below, &own) {
                self.visit(&below, &format!("{name}/{own}"), depth + 1)?;
            }
        }
        Some(())
    }
}

/// What programs make beside scripts, and the repositories and workspaces of this one.
fn is_left_out(path: &Utf8Path, name: &str) -> bool {
    [".git", "__pycache__"].contains(&name)
        || path.join("pantler.yaml").exists()
        || path.join("external.json").exists()
}

fn state(path: &Utf8Path) -> Option<(u64, u64, Option<SystemTime>)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "scripts of a test")]
mod tests {
    use super::*;

    type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

    #[test]
    fn a_folder_is_all_of_its_files() -> Result {
        let dir = tempfile::tempdir()?;
        let root = Utf8Path::from_path(dir.path()).ok_or("a UTF-8 path")?;
        fs::create_dir_all(root.join("lib/deep"))?;
        fs::write(root.join("lib/a.sh"), "a")?;
        fs::write(root.join("lib/deep/b.sh"), "b")?;
        let look = || look_at(&root.join("lib")).map(|looked| looked.checksum);
        let first = look().ok_or("it can be looked at")?;
        fs::create_dir(root.join("lib/__pycache__"))?;
        fs::write(root.join("lib/__pycache__/x"), "made")?;
        fs::create_dir(root.join("lib/repo"))?;
        fs::write(root.join("lib/repo/pantler.yaml"), "made")?;
        assert_eq!(look(), Some(first), "what programs make does not count");
        fs::rename(root.join("lib/deep/b.sh"), root.join("lib/deep/c.sh"))?;
        let renamed = look();
        assert_ne!(renamed, Some(first));
        fs::write(root.join("lib/a.sh"), "b")?;
        assert_ne!(look(), renamed);
        std::os::unix::fs::symlink("..", root.join("lib/deep/up"))?;
        assert_eq!(look(), None, "it has no end");
        fs::remove_file(root.join("lib/deep/up"))?;
        File::create(root.join("lib/large"))?.set_len(MAX_BYTES + 1)?;
        assert_eq!(look(), None, "that is data");
        assert!(look_at(&root.join("missing")).is_none());
        Ok(())
    }

    #[test]
    fn a_change_is_noticed() -> Result {
        let dir = tempfile::tempdir()?;
        let root = Utf8Path::from_path(dir.path()).ok_or("a UTF-8 path")?;
        fs::write(root.join("a.sh"), "a")?;
        let looked = look_at(root).ok_or("it can be looked at")?;
        let identity = TaskIdentity { fingerprint: looked.checksum, marks: looked.marks };
        assert!(!identity.has_changed());
        fs::write(root.join("b.sh"), "new")?;
        assert!(identity.has_changed());
        Ok(())
    }
}
