//! What a file system holds after its power was lost, told from a trace of what a
//! process did to files.
//!
//! Two things can be lost: *entries* of directories (names that were made, changed or
//! taken away since the last flush of their directory), and the *data* of files written
//! since they were last flushed. A journaling file system loses the entries from some
//! moment on, but for those that were flushed after it; the data of an unflushed file may
//! be lost however old it is, and the file is empty then.
//!
//! The database is not traced: it flushes what it commits, and its files are as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use camino::{Utf8Path, Utf8PathBuf};

/// A file, a link or a directory, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Node(usize);

type Names = BTreeMap<Utf8PathBuf, Node>;

/// A file system during a trace.
#[derive(Debug)]
struct Disk {
    /// As processes see it.
    now: Names,
    /// As it is on stable storage.
    stable: Names,
    /// Whose data is not on stable storage.
    unflushed: BTreeSet<Node>,
    /// Where the content of what was there at the beginning can be found.
    original: BTreeMap<Node, Utf8PathBuf>,
    next: usize,
}

/// What was lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Names that are gone, or are back.
    pub(crate) entries: usize,
    /// Files that are empty now.
    pub(crate) files: usize,
}

/// Takes from the folder `path` what was not flushed. `trace` are the lines of what a
/// process did that began when `path` was as `before` is; entries were on their way to
/// stable storage until, and with, the line number `cut`.
pub(crate) fn lose_power(path: &Utf8Path, before: &Utf8Path, trace: &[String], cut: usize) -> Loss {
    let mut disk = Disk::of(path, before);
    for (number, line) in trace.iter().enumerate() {
        if number == cut {
            disk.stable = disk.now.clone();
        }
        disk.happened(path, line);
    }
    if cut >= trace.len() {
        disk.stable = disk.now.clone();
    }
    disk.apply(before, path)
}

impl Disk {
    fn of(path: &Utf8Path, before: &Utf8Path) -> Self {
        let mut disk = Self {
            now: Names::new(),
            stable: Names::new(),
            unflushed: BTreeSet::new(),
            original: BTreeMap::new(),
            next: 0,
        };
        let mut folders = vec![before.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir_utf8().unwrap() {
                let entry = entry.unwrap();
                let name = path.join(entry.path().strip_prefix(before).unwrap());
                let node = disk.node();
                disk.original.insert(node, entry.path().to_owned());
                disk.now.insert(name, node);
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.into_path());
                }
            }
        }
        disk.stable = disk.now.clone();
        disk
    }

    fn node(&mut self) -> Node {
        self.next += 1;
        Node(self.next)
    }

    /// What a line of the trace says; see `pantler_seam::Event`.
    fn happened(&mut self, path: &Utf8Path, line: &str) {
        let parts: Vec<&str> = line.split('\t').collect();
        if parts[1..].iter().any(|at| !Utf8Path::new(at).starts_with(path)) {
            // Somewhere else, or the file system as a whole.
            if parts[0] != "syncfs" {
                return;
            }
        }
        match parts[..] {
            ["write", at] => {
                let node = self.found(at);
                self.unflushed.insert(node);
            }
            ["rename", from, to] => self.renamed(from, to),
            ["link", from, to] => {
                // Another name, or a link whose whole content is its entry.
                let symbolic = fs::symlink_metadata(to).is_ok_and(|there| there.is_symlink());
                let node = if symbolic { self.node() } else { self.found(from) };
                self.now.insert(to.into(), node);
            }
            ["mkdir", at] => {
                let node = self.node();
                self.now.insert(at.into(), node);
            }
            ["unlink" | "rmdir", at] => self.now.retain(|name, _| !name.starts_with(at)),
            ["sync", at] => {
                let node = self.found(at);
                self.unflushed.remove(&node);
            }
            ["syncdir", at] => {
                let inside = |name: &Utf8Path| name.parent() == Some(Utf8Path::new(at));
                // A directory that is gone for good holds nothing that could come back.
                let there: BTreeSet<Node> = self.now.values().copied().collect();
                let gone: Vec<Utf8PathBuf> = (self.stable.iter())
                    .filter(|(name, node)| inside(name) && !there.contains(node))
                    .map(|(name, _)| name.clone())
                    .collect();
                let below_gone = |name: &Utf8Path| gone.iter().any(|gone| name.starts_with(gone));
                self.stable.retain(|name, _| !inside(name) && !below_gone(name));
                let entries = self.now.iter().filter(|(name, _)| inside(name));
                self.stable.extend(entries.map(|(name, node)| (name.clone(), *node)));
            }
            ["syncfs", _] => {
                self.stable = self.now.clone();
                self.unflushed.clear();
            }
            ["commit"] => {}
            _ => panic!("not a line of a trace: {line}"),
        }
    }

    /// What is at a name. If nobody has traced it, another program wrote it.
    fn found(&mut self, at: &str) -> Node {
        if let Some(node) = self.now.get(Utf8Path::new(at)) {
            return *node;
        }
        let node = self.node();
        self.unflushed.insert(node);
        self.now.insert(at.into(), node);
        node
    }

    fn renamed(&mut self, from: &str, to: &str) {
        self.found(from);
        let moved: Vec<_> =
            self.now.keys().filter(|name| name.starts_with(from)).cloned().collect();
        for name in moved {
            let node = self.now.remove(&name).unwrap();
            let rest = name.strip_prefix(from).unwrap();
            let name = if rest == "" { to.into() } else { Utf8Path::new(to).join(rest) };
            self.now.insert(name, node);
        }
    }

    /// Makes the folder what is on stable storage.
    fn apply(mut self, before: &Utf8Path, path: &Utf8Path) -> Loss {
        self.forget_unreachable();
        let mut loss = Loss::default();
        // What comes back is kept aside first: its name may be another's by now.
        let aside =
            before.parent().unwrap().join(format!("lost-{}", path.as_str().replace('/', "-")));
        fs::create_dir(&aside).unwrap();
        let mut returning = Vec::new();
        let wanted: Vec<_> =
            self.stable.iter().filter(|(name, node)| self.now.get(*name) != Some(node)).collect();
        for (name, node) in wanted {
            let place = self.now.iter().find(|(_, there)| *there == node).map(|(name, _)| name);
            let Some(from) = place.or_else(|| self.original.get(node)) else { continue };
            let kept = aside.join(returning.len().to_string());
            if copy(from, &kept) {
                returning.push((kept, name.clone()));
            }
        }
        let gone = self.now.iter().filter(|(name, node)| self.stable.get(*name) != Some(node));
        for (name, _) in gone.collect::<Vec<_>>().into_iter().rev() {
            loss.entries += 1;
            remove(name);
        }
        for (kept, name) in returning {
            loss.entries += 1;
            if kept.is_dir() && !kept.is_symlink() {
                fs::create_dir_all(&name).unwrap();
            } else {
                fs::create_dir_all(name.parent().unwrap()).unwrap();
                remove(&name);
                assert!(copy(&kept, &name));
            }
        }
        fs::remove_dir_all(&aside).unwrap();
        for (name, node) in &self.stable {
            let there = fs::symlink_metadata(name);
            if self.unflushed.contains(node)
                && there.as_ref().is_ok_and(|there| there.is_file() && there.len() > 0)
            {
                let permissions = there.unwrap().permissions();
                remove(name);
                fs::write(name, b"").unwrap();
                fs::set_permissions(name, permissions).unwrap();
                loss.files += 1;
            }
        }
        loss
    }

    /// What is in a directory that is lost is lost with it.
    fn forget_unreachable(&mut self) {
        let lost: Vec<_> =
            self.now.keys().filter(|name| !self.stable.contains_key(*name)).cloned().collect();
        let made: BTreeSet<_> = lost
            .into_iter()
            .filter(|name| self.stable.keys().any(|other| other.parent() == Some(name)))
            .collect();
        self.stable.retain(|name, _| !name.ancestors().skip(1).any(|above| made.contains(above)));
    }
}

fn remove(name: &Utf8Path) {
    let Ok(there) = fs::symlink_metadata(name) else { return };
    if there.is_dir() {
        fs::remove_dir_all(name).unwrap();
    } else {
        fs::remove_file(name).unwrap();
    }
}

/// Copies a file with its times, a link or an empty directory; `false` if nothing is there.
fn copy(from: &Utf8Path, to: &Utf8Path) -> bool {
    let Ok(there) = fs::symlink_metadata(from) else { return false };
    if there.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from).unwrap(), to).unwrap();
    } else if there.is_dir() {
        fs::create_dir(to).unwrap();
    } else {
        fs::copy(from, to).unwrap();
        fs::File::open(to).unwrap().set_modified(there.modified().unwrap()).unwrap();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder `before` with the file `old`, and a copy `now` of it to work on.
    struct Scratch {
        dir: tempfile::TempDir,
        trace: Vec<String>,
    }

    impl Scratch {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for folder in ["before", "now"] {
                fs::create_dir(dir.path().join(folder)).unwrap();
                fs::write(dir.path().join(folder).join("old"), b"old").unwrap();
            }
            Self { dir, trace: Vec::new() }
        }

        fn at(&self, name: &str) -> Utf8PathBuf {
            Utf8Path::from_path(self.dir.path()).unwrap().join(name)
        }

        fn note(&mut self, word: &str, names: &[&str]) {
            let paths = names.iter().map(|name| format!("\t{}", self.at("now").join(name)));
            self.trace.push(format!("{word}{}", paths.collect::<String>()));
        }

        fn write(&mut self, name: &str) {
            fs::write(self.at("now").join(name), b"new").unwrap();
            self.note("write", &[name]);
        }

        fn rename(&mut self, from: &str, to: &str) {
            fs::rename(self.at("now").join(from), self.at("now").join(to)).unwrap();
            self.note("rename", &[from, to]);
        }

        fn unlink(&mut self, name: &str) {
            fs::remove_file(self.at("now").join(name)).unwrap();
            self.note("unlink", &[name]);
        }

        /// Names with contents after a loss of power.
        fn lose(&self, cut: usize) -> Vec<(String, String)> {
            lose_power(&self.at("now"), &self.at("before"), &self.trace, cut);
            let mut left = Vec::new();
            for entry in self.at("now").read_dir_utf8().unwrap() {
                let entry = entry.unwrap();
                let content = fs::read_to_string(entry.path()).unwrap_or("directory".to_owned());
                left.push((entry.file_name().to_owned(), content));
            }
            left.sort();
            left
        }
    }

    fn left(names: &[(&str, &str)]) -> Vec<(String, String)> {
        names.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
    }

    #[test]
    fn what_was_flushed_stays() {
        let mut scratch = Scratch::new();
        scratch.write("a.tmp");
        scratch.note("sync", &["a.tmp"]);
        scratch.rename("a.tmp", "a");
        scratch.note("syncdir", &[""]);
        assert_eq!(scratch.lose(0), left(&[("a", "new"), ("old", "old")]));
    }

    #[test]
    fn names_without_a_flush_of_their_directory_are_undone() {
        let mut scratch = Scratch::new();
        scratch.write("a.tmp");
        scratch.note("sync", &["a.tmp"]);
        scratch.note("syncdir", &[""]);
        scratch.rename("a.tmp", "a");
        scratch.unlink("old");
        assert_eq!(scratch.lose(0), left(&[("a.tmp", "new"), ("old", "old")]));
    }

    #[test]
    fn data_without_a_flush_is_empty_however_its_name_fared() {
        let mut scratch = Scratch::new();
        scratch.write("a.tmp");
        scratch.rename("a.tmp", "a");
        let all = scratch.trace.len();
        assert_eq!(scratch.lose(all), left(&[("a", ""), ("old", "old")]));
    }

    #[test]
    fn entries_are_lost_from_some_moment_on() {
        let mut scratch = Scratch::new();
        scratch.write("a.tmp");
        scratch.note("sync", &["a.tmp"]);
        scratch.rename("a.tmp", "a");
        scratch.rename("a", "b");
        assert_eq!(scratch.lose(3), left(&[("a", "new"), ("old", "old")]));
    }

    #[test]
    fn a_directory_is_lost_with_what_is_in_it() {
        let mut scratch = Scratch::new();
        fs::create_dir(scratch.at("now/d")).unwrap();
        scratch.note("mkdir", &["d"]);
        scratch.write("d/a");
        scratch.note("sync", &["d/a"]);
        scratch.note("syncdir", &["d"]);
        assert_eq!(scratch.lose(0), left(&[("old", "old")]));
    }

    #[test]
    fn what_was_in_a_directory_whose_removal_was_flushed_stays_away() {
        let mut scratch = Scratch::new();
        for place in ["before/d", "now/d"] {
            fs::create_dir(scratch.at(place)).unwrap();
            fs::write(scratch.at(place).join("a"), b"a").unwrap();
        }
        scratch.unlink("d/a");
        fs::remove_dir(scratch.at("now/d")).unwrap();
        scratch.note("rmdir", &["d"]);
        let unflushed = scratch.trace.len();
        scratch.note("syncdir", &[""]);
        assert_eq!(scratch.lose(0), left(&[("old", "old")]));
        scratch.trace.truncate(unflushed);
        assert_eq!(scratch.lose(0), left(&[("d", "directory"), ("old", "old")]));
    }

    #[test]
    fn a_flush_of_everything_is_one() {
        let mut scratch = Scratch::new();
        scratch.write("a");
        scratch.unlink("old");
        scratch.note("syncfs", &[""]);
        assert_eq!(scratch.lose(0), left(&[("a", "new")]));
    }
}
