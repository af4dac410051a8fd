//! Links, moves to another key, and flushing what is gone.

use std::{fs::File, io::Write as _, os::unix::fs::symlink};

use camino::Utf8Path;

use super::{Outcome, entries, get, key, put, stage};
use crate::{Entry, LinkKind, Storage, StorageError};

pub(super) fn linking(storage: &dyn Storage, scratch: &Utf8Path) -> Outcome {
    let file = scratch.join("linked");
    File::create(&file)?.write_all(b"content")?;
    let alias = scratch.join("alias of linked");
    symlink(&file, &alias)?;
    for (kind, name) in [(LinkKind::Hard, "hard"), (LinkKind::Symbolic, "symbolic")] {
        let here = key(&format!("link@1/type/{name}"))?;
        if storage.local_path(&here).is_none() {
            let refused = storage.link(&file, &here, kind);
            assert!(matches!(refused, Err(StorageError::Unsupported { .. })), "{name}");
            assert_eq!(storage.size(&here)?, None, "{name}");
            continue;
        }
        match storage.link(&file, &here, kind) {
            // The files may be given on another file system.
            Err(StorageError::CrossesDevices { .. }) if kind == LinkKind::Hard => continue,
            linked => linked?,
        }
        assert_eq!(get(storage, &here)?, b"content", "{name}");
        assert_eq!(storage.size(&here)?, Some(7), "{name}");
        let shown = Entry::Artifact { key: here.clone(), size: 7 };
        assert_eq!(entries(storage, Some("link@1"))?, [shown], "{name}");
        let again = storage.link(&file, &here, kind);
        assert!(matches!(again, Err(StorageError::AlreadyExists { .. })), "{name}");
        stage(storage, &here, b"other")?;
        let published = storage.publish(&here);
        assert!(matches!(published, Err(StorageError::AlreadyExists { .. })), "{name}");
        assert!(storage.discard(&here)?, "{name}");
        storage.flusher()?.flush(std::slice::from_ref(&here))?;
        let elsewhere = key(&format!("link@1/type/{name}-moved"))?;
        assert!(storage.rekey(&here, &elsewhere)?, "{name}");
        assert_eq!(get(storage, &elsewhere)?, b"content", "{name}");
        assert!(storage.delete(&elsewhere)?, "{name}");
        assert_eq!(entries(storage, Some("link@1"))?, [], "{name}");
        // A link to the file, not to the link that was named.
        storage.link(&alias, &here, kind)?;
        std::fs::remove_file(&alias)?;
        assert_eq!(get(storage, &here)?, b"content", "{name}");
        symlink(&file, &alias)?;
        assert!(storage.delete(&here)?, "{name}");
        assert_eq!(std::fs::read(&file)?, b"content", "{name}");
        for (odd, is_missing) in [(scratch.to_owned(), false), (scratch.join("nothing"), true)] {
            match storage.link(&odd, &here, kind) {
                Err(StorageError::Missing { .. }) if is_missing => {}
                Err(StorageError::NotRegular { .. }) if !is_missing => {}
                result => return Err(format!("{name} link to {odd}: {result:?}").into()),
            }
        }
        assert_eq!(entries(storage, Some("link@1"))?, [], "{name}");
    }
    Ok(())
}

pub(super) fn rekeying(storage: &dyn Storage) -> Outcome {
    let (from, to) = (key("rekey@1/a/from")?, key("rekey@1/b/c/to")?);
    assert!(!storage.rekey(&from, &to)?, "there is nothing");
    put(storage, &from, b"first")?;
    stage(storage, &from, b"unfinished")?;
    assert!(storage.rekey(&from, &to)?);
    assert_eq!(storage.size(&from)?, None);
    assert_eq!(get(storage, &to)?, b"first");
    assert!(storage.discard(&from)?, "only the artifact moved");
    assert!(!storage.rekey(&from, &to)?, "it was done before");
    assert_eq!(get(storage, &to)?, b"first");
    put(storage, &from, b"second")?;
    let replaced = storage.rekey(&from, &to);
    assert!(matches!(replaced, Err(StorageError::AlreadyExists { .. })), "{replaced:?}");
    assert_eq!(get(storage, &to)?, b"first");
    assert_eq!(get(storage, &from)?, b"second");
    let itself = storage.rekey(&from, &from);
    assert!(matches!(itself, Err(StorageError::AlreadyExists { .. })), "{itself:?}");
    assert_eq!(get(storage, &from)?, b"second");
    Ok(())
}

pub(super) fn flushing_what_is_gone(storage: &dyn Storage) -> Outcome {
    let flusher = storage.flusher()?;
    flusher.flush_removals(&[])?;
    let kept = key("gone@1/kept/x")?;
    put(storage, &kept, b"x")?;
    let mut gone = vec![kept.clone(), key("gone@2/a/b/c/never")?, key("gone@1/kept/x/y/z")?];
    for i in 0..40 {
        let each = key(&format!("gone@1/{i}/{i}/x"))?;
        put(storage, &each, b"x")?;
        gone.push(each);
    }
    for key in &gone[3..] {
        assert!(storage.delete(key)?);
    }
    storage.prune("gone@1")?;
    // Of few directories, and of many.
    flusher.flush_removals(&gone[..5])?;
    flusher.flush_removals(&gone)?;
    assert_eq!(get(storage, &kept)?, b"x");
    Ok(())
}
