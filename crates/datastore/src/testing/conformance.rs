//! What every [`Storage`] must do.
//!
//! Each function is one behaviour, under a prefix of its own, and takes a directory for
//! local files that are handed in. [`suite`] runs them all.

mod moving;

use std::{
    collections::BTreeSet,
    error::Error,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
};

use camino::Utf8Path;
use pantler_core::ArtifactKey;

use crate::{Entry, Storage, StorageError, Written};

/// What a behaviour reports; a broken one panics or is an error.
pub type Outcome = Result<(), Box<dyn Error>>;

/// Runs everything on an empty storage.
///
/// # Errors
/// The first that the storage reported where it should not have.
pub fn suite(storage: &dyn Storage, scratch: &Utf8Path) -> Outcome {
    what_is_written_is_read(storage)?;
    unfinished_is_not_there(storage)?;
    staging_again_starts_anew(storage)?;
    nothing_is_replaced(storage)?;
    missing_is_fine(storage)?;
    adopting(storage, scratch)?;
    names(storage)?;
    walking(storage)?;
    deleting_while_walking(storage)?;
    pruning(storage)?;
    flushing(storage)?;
    moving::linking(storage, scratch)?;
    moving::rekeying(storage)?;
    moving::flushing_what_is_gone(storage)?;
    prefixes_are_checked(storage);
    Ok(())
}

/// Makes a key.
///
/// # Errors
/// If `text` is none.
pub fn key(text: &str) -> Result<ArtifactKey, Box<dyn Error>> {
    Ok(ArtifactKey::new(text)?)
}

/// Stages `content`.
///
/// # Errors
/// What the storage reports.
pub fn stage(
    storage: &dyn Storage,
    key: &ArtifactKey,
    content: &[u8],
) -> Result<Written, Box<dyn Error>> {
    let mut staged = storage.stage(key)?;
    staged.write_all(content)?;
    Ok(staged.finish()?)
}

/// Stages and publishes `content`.
///
/// # Errors
/// What the storage reports.
pub fn put(
    storage: &dyn Storage,
    key: &ArtifactKey,
    content: &[u8],
) -> Result<Written, Box<dyn Error>> {
    let written = stage(storage, key, content)?;
    storage.publish(key)?;
    Ok(written)
}

/// The content of an artifact.
///
/// # Errors
/// What the storage reports.
pub fn get(storage: &dyn Storage, key: &ArtifactKey) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut content = Vec::new();
    storage.open(key)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Everything below `prefix`, sorted; nothing may be shown twice.
///
/// # Errors
/// What the storage reports.
pub fn entries(storage: &dyn Storage, prefix: Option<&str>) -> Result<Vec<Entry>, StorageError> {
    let mut found = BTreeSet::new();
    storage.walk(prefix, &mut |entry| {
        assert!(found.insert(entry.clone()), "{entry:?} is shown twice");
        Ok(())
    })?;
    Ok(found.into_iter().collect())
}

fn what_is_written_is_read(storage: &dyn Storage) -> Outcome {
    let large: Vec<u8> = (0..600_000_u32).map(|i| (i % 251).to_le_bytes()[0]).collect();
    for (name, content) in [("empty", &b""[..]), ("small", b"some bytes"), ("large", &large)] {
        let key = key(&format!("read@1/type/{name}"))?;
        // In pieces of odd sizes, so that gathering and direct writing mix.
        let mut staged = storage.stage(&key)?;
        let mut rest = content;
        for size in (1..).map(|i: usize| i * i * 37) {
            let (piece, next) = rest.split_at(size.min(rest.len()));
            staged.write_all(piece)?;
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
        let written = staged.finish()?;
        assert_eq!(written, Written::of(content), "{name}");
        storage.publish(&key)?;
        assert_eq!(storage.size(&key)?, Some(content.len() as u64), "{name}");
        assert!(get(storage, &key)? == content, "{name} differs");
        let mut opened = storage.open(&key)?;
        let half = content.len() / 2;
        opened.seek(SeekFrom::Start(half as u64))?;
        let mut end = Vec::new();
        opened.read_to_end(&mut end)?;
        assert!(end == content[half..], "{name} differs from its middle on");
        if let Some(path) = storage.local_path(&key) {
            assert!(std::fs::read(path)? == content, "{name} differs as a file");
        }
    }
    Ok(())
}

fn unfinished_is_not_there(storage: &dyn Storage) -> Outcome {
    let key = key("unfinished@1/type/x.csv")?;
    let mut staged = storage.stage(&key)?;
    staged.write_all(b"half")?;
    assert_eq!(storage.size(&key)?, None);
    // Dropped in the middle, as by an error.
    drop(staged);
    assert!(matches!(storage.open(&key), Err(StorageError::Missing { .. })));
    assert!(storage.discard(&key)?);
    stage(storage, &key, b"whole")?;
    assert_eq!(storage.size(&key)?, None);
    let unfinished = Entry::Unfinished { key: key.clone(), size: 5 };
    assert_eq!(entries(storage, Some("unfinished@1"))?, [unfinished]);
    assert!(!storage.delete(&key)?, "only the artifact is deleted");
    assert!(storage.discard(&key)?);
    assert!(!storage.discard(&key)?);
    assert!(matches!(storage.publish(&key), Err(StorageError::Missing { .. })));
    assert_eq!(entries(storage, Some("unfinished@1"))?, []);
    Ok(())
}

fn staging_again_starts_anew(storage: &dyn Storage) -> Outcome {
    let key = key("again@1/x")?;
    stage(storage, &key, b"a long first attempt")?;
    put(storage, &key, b"second")?;
    assert_eq!(get(storage, &key)?, b"second");
    assert!(!storage.discard(&key)?);
    Ok(())
}

fn nothing_is_replaced(storage: &dyn Storage) -> Outcome {
    let key = key("twice@1/x")?;
    put(storage, &key, b"first")?;
    assert!(matches!(storage.publish(&key), Err(StorageError::Missing { .. })));
    stage(storage, &key, b"second")?;
    assert!(matches!(storage.publish(&key), Err(StorageError::AlreadyExists { .. })));
    assert_eq!(get(storage, &key)?, b"first");
    assert!(storage.discard(&key)?, "it is still there in unfinished form");
    assert_eq!(get(storage, &key)?, b"first");
    Ok(())
}

fn missing_is_fine(storage: &dyn Storage) -> Outcome {
    let there = key("missing@1/there")?;
    put(storage, &there, b"x")?;
    // Also below what is an artifact and no directory.
    for name in ["missing@1/x", "missing@2/a/b/c", "missing@1/there/x"] {
        let key = key(name)?;
        assert!(!storage.delete(&key)?, "{name}");
        assert!(!storage.discard(&key)?, "{name}");
        assert_eq!(storage.size(&key)?, None, "{name}");
        assert!(matches!(storage.open(&key), Err(StorageError::Missing { .. })), "{name}");
    }
    assert!(storage.delete(&there)?);
    assert!(!storage.delete(&there)?);
    assert_eq!(storage.size(&there)?, None);
    Ok(())
}

fn adopting(storage: &dyn Storage, scratch: &Utf8Path) -> Outcome {
    let file = scratch.join("output");
    let write = |content: &[u8]| File::create(&file)?.write_all(content);
    let key = key("adopt@1/type/x")?;
    write(b"first")?;
    storage.adopt(&file, &key)?;
    assert_eq!(get(storage, &key)?, b"first");
    assert!(!file.exists());
    assert!(matches!(storage.adopt(&file, &key), Err(StorageError::Missing { .. })));
    write(b"second")?;
    assert!(matches!(storage.adopt(&file, &key), Err(StorageError::AlreadyExists { .. })));
    assert_eq!(get(storage, &key)?, b"first");
    assert_eq!(std::fs::read(&file)?, b"second");
    // A second name through which the artifact could be changed later.
    let (other, linked) = (scratch.join("other"), self::key("adopt@1/type/linked")?);
    std::fs::hard_link(&file, &other)?;
    storage.adopt(&file, &linked)?;
    File::options().append(true).open(&other)?.write_all(b" changed")?;
    assert_eq!(get(storage, &linked)?, b"second");
    let link = scratch.join("link");
    std::os::unix::fs::symlink(&other, &link)?;
    for odd in [&link, &scratch.to_owned()] {
        let refused = storage.adopt(odd, &self::key("adopt@1/odd")?);
        assert!(matches!(refused, Err(StorageError::NotRegular { .. })), "{odd}");
    }
    let size = |name: &str| Ok::<_, Box<dyn Error>>(storage.size(&self::key(name)?)?);
    assert_eq!(size("adopt@1/odd")?, None);
    assert_eq!(entries(storage, Some("adopt@1"))?.len(), 2);
    Ok(())
}

fn names(storage: &dyn Storage) -> Outcome {
    let names = [
        "names@1/%2E%2E/city=a%2Fb%25,month=1~0-1.csv",
        "names@1/å/日本語 with spaces~1",
        "names@1/.hidden/a:b+c#d?e*f\"g'h",
        "names@1/x.tmp/inside",
    ];
    for name in names {
        put(storage, &key(name)?, name.as_bytes())?;
    }
    let mut expected = Vec::new();
    for name in names {
        assert_eq!(get(storage, &key(name)?)?, name.as_bytes(), "{name}");
        expected.push(Entry::Artifact { key: key(name)?, size: name.len() as u64 });
    }
    expected.sort();
    assert_eq!(entries(storage, Some("names@1"))?, expected);
    for name in names {
        assert!(storage.delete(&key(name)?)?, "{name}");
    }
    assert_eq!(entries(storage, Some("names@1"))?, []);
    Ok(())
}

fn walking(storage: &dyn Storage) -> Outcome {
    for (i, name) in
        ["walk@1/a/x", "walk@1/a.b", "walk@1/b/c/d", "walk@10/a/x", "walk@2/x"].iter().enumerate()
    {
        put(storage, &key(name)?, &vec![0; i])?;
    }
    stage(storage, &key("walk@1/a/y")?, b"12345")?;
    let artifact =
        |name: &str, size| Ok::<_, Box<dyn Error>>(Entry::Artifact { key: key(name)?, size });
    let mut expected = vec![
        artifact("walk@1/a/x", 0)?,
        artifact("walk@1/a.b", 1)?,
        artifact("walk@1/b/c/d", 2)?,
        Entry::Unfinished { key: key("walk@1/a/y")?, size: 5 },
    ];
    expected.sort();
    assert_eq!(entries(storage, Some("walk@1"))?, expected, "and nothing of walk@10");
    assert_eq!(entries(storage, Some("walk@1/b"))?, [artifact("walk@1/b/c/d", 2)?]);
    assert_eq!(entries(storage, Some("walk@3"))?, []);
    let all = entries(storage, None)?;
    assert!(expected.iter().all(|entry| all.contains(entry)));
    assert!(all.contains(&artifact("walk@2/x", 4)?));
    let stopped = storage
        .walk(Some("walk@1"), &mut |_| Err(StorageError::Missing { path: "my own".to_owned() }));
    assert!(matches!(stopped, Err(StorageError::Missing { path }) if path == "my own"));
    Ok(())
}

fn deleting_while_walking(storage: &dyn Storage) -> Outcome {
    for i in 0..50 {
        put(storage, &key(&format!("sweep@1/{}/x{i}", i % 3))?, b"x")?;
        stage(storage, &key(&format!("sweep@1/{}/y{i}", i % 3))?, b"x")?;
    }
    let mut count = 0;
    storage.walk(Some("sweep@1"), &mut |entry| {
        count += 1;
        let gone = match entry {
            Entry::Artifact { key, .. } => storage.delete(&key)?,
            Entry::Unfinished { key, .. } => storage.discard(&key)?,
            Entry::Foreign { .. } => false,
        };
        assert!(gone);
        Ok(())
    })?;
    assert_eq!(count, 100);
    assert_eq!(entries(storage, Some("sweep@1"))?, []);
    Ok(())
}

fn pruning(storage: &dyn Storage) -> Outcome {
    let (kept, gone) = (key("prune@1/a/kept")?, key("prune@1/b/c/gone")?);
    put(storage, &kept, b"x")?;
    put(storage, &gone, b"x")?;
    storage.delete(&gone)?;
    storage.prune("prune@1")?;
    assert_eq!(get(storage, &kept)?, b"x");
    if let Some(path) = storage.local_path(&key("prune@1/b")?) {
        assert!(!path.exists());
    }
    storage.delete(&kept)?;
    storage.prune("prune@1")?;
    storage.prune("prune@1")?;
    if let Some(path) = storage.local_path(&key("prune@1")?) {
        assert!(!path.exists());
    }
    put(storage, &kept, b"again")?;
    assert_eq!(get(storage, &kept)?, b"again");
    Ok(())
}

fn flushing(storage: &dyn Storage) -> Outcome {
    for count in [0, 1, 100] {
        let flusher = storage.flusher()?;
        let keys = (0..count)
            .map(|i| key(&format!("flush@{count}/a/b/{i}")))
            .collect::<Result<Vec<_>, _>>()?;
        for key in &keys {
            stage(storage, key, b"x")?;
        }
        flusher.flush_data(&keys)?;
        for key in &keys {
            storage.publish(key)?;
        }
        flusher.flush_entries(&keys)?;
        flusher.flush(&keys)?;
    }
    Ok(())
}

fn prefixes_are_checked(storage: &dyn Storage) {
    for prefix in ["", "/", "..", "a/../b", "a//b", "/etc", "a/", "."] {
        let walked = entries(storage, Some(prefix));
        assert!(matches!(walked, Err(StorageError::InvalidPrefix { .. })), "{prefix:?}");
        let pruned = storage.prune(prefix);
        assert!(matches!(pruned, Err(StorageError::InvalidPrefix { .. })), "{prefix:?}");
    }
}
