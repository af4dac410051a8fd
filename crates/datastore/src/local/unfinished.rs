//! Which unfinished forms are not there, without a look at each.

use std::collections::{HashMap, HashSet};

use camino::Utf8Path;
use pantler_core::ArtifactKey;

/// Fewer keys of a directory are asked for one by one.
const FEW: usize = 32;
/// Names in a directory read for each key that is looked for. Reading a name takes about a
/// tenth of the time of asking for a file.
const NAMES_FOR_A_KEY: usize = 8;

/// Says of each key whether it was seen to have no unfinished form. What came or went while
/// the directories were read may be missed, as by a look at each just before.
pub(super) fn seen_absent(root: &Utf8Path, keys: &[&ArtifactKey]) -> Vec<bool> {
    let mut folders: HashMap<&str, Vec<usize>> = HashMap::new();
    for (position, key) in keys.iter().enumerate() {
        folders.entry(parted(key).0).or_default().push(position);
    }
    let mut absent = vec![false; keys.len()];
    for (folder, positions) in folders {
        if positions.len() < FEW {
            continue;
        }
        let Some(there) = unfinished_in(&root.join(folder), positions.len() * NAMES_FOR_A_KEY)
        else {
            continue;
        };
        for position in positions {
            absent[position] = !there.contains(parted(keys[position]).1);
        }
    }
    absent
}

/// Folder and name.
fn parted(key: &ArtifactKey) -> (&str, &str) {
    key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()))
}

/// The names that unfinished forms in a directory have when they are finished; `None` if it
/// cannot be read or holds more names than that: then each is asked for.
fn unfinished_in(folder: &Utf8Path, most: usize) -> Option<HashSet<String>> {
    let mut there = HashSet::new();
    for (count, entry) in folder.read_dir_utf8().ok()?.enumerate() {
        if count >= most {
            return None;
        }
        if let Some(name) = entry.ok()?.file_name().strip_suffix(".tmp") {
            there.insert(name.to_owned());
        }
    }
    Some(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_is_seen_absent() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::create_dir_all(root.join("run/type")).unwrap();
        let keys: Vec<ArtifactKey> = (0..40)
            .map(|n| ArtifactKey::new(format!("run/type/{n}")).unwrap())
            .chain([ArtifactKey::new("run/other/1").unwrap()])
            .collect();
        std::fs::File::create_new(root.join("run/type/7.tmp")).unwrap();
        std::fs::File::create_new(root.join("run/type/8")).unwrap();
        let keys: Vec<&ArtifactKey> = keys.iter().collect();
        let absent = seen_absent(root, &keys);
        let unseen: Vec<&str> =
            keys.iter().zip(&absent).filter(|(_, a)| !**a).map(|(k, _)| k.as_str()).collect();
        assert_eq!(unseen, ["run/type/7", "run/other/1"]);
    }

    #[test]
    fn a_directory_of_many_names_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        for n in 0..=FEW * NAMES_FOR_A_KEY {
            std::fs::File::create_new(root.join(format!("other-{n}"))).unwrap();
        }
        let keys: Vec<ArtifactKey> =
            (0..FEW).map(|n| ArtifactKey::new(format!("{n}")).unwrap()).collect();
        let keys: Vec<&ArtifactKey> = keys.iter().collect();
        assert!(seen_absent(root, &keys).iter().all(|absent| !absent));
    }
}
