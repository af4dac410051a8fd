use std::{
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::testing::conformance::{self, entries, get, key, put, stage};

fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(directory.path()).unwrap().to_owned();
    (directory, path)
}

fn storage() -> (tempfile::TempDir, LocalStorage) {
    let (keep, path) = scratch();
    (keep, LocalStorage::new(path.join("artifacts"), Durability::None))
}

#[test]
fn conforms() {
    for durability in [Durability::Flushed, Durability::None] {
        let (_keep, path) = scratch();
        let storage = LocalStorage::new(path.join("artifacts"), durability);
        conformance::suite(&storage, &path).unwrap();
    }
}

#[test]
fn adopts_from_another_file_system() {
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let other = Utf8Path::from_path(other.path()).unwrap().to_owned();
    let (_keep, path) = scratch();
    let storage = LocalStorage::new(path.join("artifacts"), Durability::None);
    conformance::suite(&storage, &other).unwrap();
    assert!(other.exists());
}

#[test]
fn foreign_things_are_shown_and_not_followed() {
    let (_keep, path) = scratch();
    let storage = LocalStorage::new(path.join("artifacts"), Durability::None);
    put(&storage, &key("a@1/t/x").unwrap(), b"x").unwrap();
    let directory = path.join("artifacts/a@1/t");
    std::fs::create_dir(path.join("outside")).unwrap();
    File::create(path.join("outside/file")).unwrap();
    symlink(path.join("outside"), directory.join("link")).unwrap();
    for (target, name) in
        [("x", "alias"), ("x", "y.tmp"), ("nowhere", "dangling"), ("circle", "circle")]
    {
        symlink(target, directory.join(name)).unwrap();
    }
    std::fs::create_dir(directory.join("empty")).unwrap();
    for name in [".tmp", "z.tmp.tmp", "new\nline"] {
        File::create(directory.join(name)).unwrap();
    }
    let bytes = std::ffi::OsStr::from_bytes(b"not\xffutf8");
    File::create(directory.as_std_path().join(bytes)).unwrap();
    let foreign = |path: &str| Entry::Foreign { path: path.to_owned() };
    let found = entries(&storage, Some("a@1")).unwrap();
    let expected = [
        Entry::Artifact { key: key("a@1/t/alias").unwrap(), size: 1 },
        Entry::Artifact { key: key("a@1/t/x").unwrap(), size: 1 },
        foreign("a@1/t/.tmp"),
        foreign("a@1/t/circle"),
        foreign("a@1/t/dangling"),
        foreign("a@1/t/link"),
        foreign("a@1/t/new\nline"),
        foreign("a@1/t/not\u{fffd}utf8"),
        foreign("a@1/t/y.tmp"),
        foreign("a@1/t/z.tmp.tmp"),
    ];
    assert_eq!(found, expected);
    assert_eq!(entries(&storage, Some("a@1/t/link")).unwrap(), [foreign("a@1/t/link")]);
    storage.prune("a@1").unwrap();
    storage.prune("a@1/t/link").unwrap();
    assert!(path.join("outside/file").exists() && !directory.join("empty").exists());
}

#[test]
fn a_link_is_what_it_leads_to() {
    let (_keep, storage) = storage();
    let (real, alias) = (key("a@1/real").unwrap(), key("a@1/alias").unwrap());
    put(&storage, &real, b"x").unwrap();
    symlink("real", storage.path(&alias)).unwrap();
    assert_eq!(get(&storage, &alias).unwrap(), b"x");
    assert_eq!(storage.size(&alias).unwrap(), Some(1));
    assert!(storage.delete(&alias).unwrap(), "the link");
    assert_eq!(get(&storage, &real).unwrap(), b"x");
    let fifo = storage.path(&key("a@1/fifo").unwrap());
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, fifo.as_str(), rustix::fs::FileType::Fifo, mode, 0)
        .unwrap();
    for (target, kind) in [("../a@1", "directory"), ("fifo", "FIFO"), ("alias", CIRCLE)] {
        symlink(target, storage.path(&alias)).unwrap();
        for error in [storage.open(&alias).err().unwrap(), storage.size(&alias).unwrap_err()] {
            let StorageError::NotRegular { kind: found, .. } = error else { panic!("{error:?}") };
            assert_eq!(found, kind);
        }
        assert!(storage.delete(&alias).unwrap(), "{target}");
    }
    symlink("nowhere", storage.path(&alias)).unwrap();
    assert!(matches!(storage.open(&alias), Err(StorageError::Missing { .. })));
    assert_eq!(storage.size(&alias).unwrap(), None);
    assert!(storage.delete(&alias).unwrap(), "it was there, if not to be read");
    let directory = key("a@1").unwrap();
    assert!(matches!(storage.open(&directory), Err(StorageError::NotRegular { .. })));
    assert!(storage.delete(&directory).is_err(), "a directory is not an artifact");
    let moved = storage.rekey(&directory, &alias);
    assert!(matches!(moved, Err(StorageError::NotRegular { .. })));
}

#[test]
fn symbolic_links_name_the_file_itself() {
    let (_keep, path) = scratch();
    let storage = LocalStorage::new(path.join("artifacts"), Durability::None);
    std::fs::create_dir(path.join("data")).unwrap();
    File::create(path.join("data/file")).unwrap();
    symlink("data", path.join("current")).unwrap();
    let key = key("a@1/x").unwrap();
    storage.link(&path.join("current/../current/file"), &key, LinkKind::Symbolic).unwrap();
    let target = storage.path(&key).read_link_utf8().unwrap();
    assert_eq!(target, path.join("data/file").canonicalize_utf8().unwrap());
}

#[test]
fn hard_links_to_another_file_system_are_told_apart() {
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let (_keep, path) = scratch();
    let other = Utf8Path::from_path(other.path()).unwrap();
    let device = |path: &Utf8Path| std::fs::metadata(path).unwrap().dev();
    if device(other) == device(&path) {
        return;
    }
    let storage = LocalStorage::new(path.join("artifacts"), Durability::None);
    let (file, key) = (other.join("file"), key("a@1/x").unwrap());
    File::create(&file).unwrap().write_all(b"x").unwrap();
    let error = storage.link(&file, &key, LinkKind::Hard).unwrap_err();
    assert!(matches!(error, StorageError::CrossesDevices { .. }), "{error:?}");
    assert_eq!(storage.size(&key).unwrap(), None);
    storage.link(&file, &key, LinkKind::Symbolic).unwrap();
    assert_eq!(get(&storage, &key).unwrap(), b"x");
}

#[test]
fn staging_writes_through_no_link() {
    let (_keep, storage) = storage();
    let (published, other) = (key("a@1/published").unwrap(), key("a@1/other").unwrap());
    put(&storage, &published, b"whole").unwrap();
    // As a publishing by hard link leaves it that was killed half-way.
    std::fs::hard_link(storage.path(&published), storage.unfinished_path(&published)).unwrap();
    stage(&storage, &published, b"x").unwrap();
    symlink("published", storage.unfinished_path(&other)).unwrap();
    stage(&storage, &other, b"y").unwrap();
    assert_eq!(get(&storage, &published).unwrap(), b"whole");
}

#[test]
fn a_failed_write_is_never_finished() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else { return };
    let mut staged = Box::new(staged::LocalStagedWrite::new(full, "/dev/full".into()));
    let error = staged.write_all(&[0; 10_000]).unwrap_err();
    let error = StorageError::io("copy", "elsewhere", error);
    assert!(matches!(&error, StorageError::Full { path, .. } if path == "/dev/full"), "{error}");
    assert!(matches!(staged.finish(), Err(StorageError::Full { .. })));
}

#[test]
fn flushing_what_is_not_there_is_an_error() {
    let (_keep, path) = scratch();
    let storage = LocalStorage::new(path.join("artifacts"), Durability::Flushed);
    let flusher = storage.flusher().unwrap();
    let missing = flusher.flush_data(&[key("a@1/x").unwrap()]);
    assert!(matches!(missing, Err(StorageError::Missing { .. })));
}

#[test]
fn staging_survives_a_clean_up_at_the_same_time() {
    let (_keep, storage) = storage();
    let key = key("a@1/t/x").unwrap();
    let done = AtomicBool::new(false);
    let staged = std::thread::scope(|scope| {
        let pruning = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                storage.prune("a@1")?;
            }
            Ok::<_, StorageError>(())
        });
        let staged = (0..500).try_for_each(|_| {
            storage.stage(&key)?.finish()?;
            storage.discard(&key).map(|_| ())
        });
        done.store(true, Ordering::Relaxed);
        pruning.join().unwrap().and(staged)
    });
    staged.unwrap();
}

#[test]
fn a_directory_is_made_as_often_as_it_is_removed() {
    let (_keep, storage) = storage();
    let path = storage.path(&key("a@1/t/x").unwrap());
    let directory = path.parent().unwrap();
    let mut removals = 10;
    let made = in_directory(&path, || {
        // What a clean-up does between the making of the directory and the next try.
        if removals > 0 && directory.exists() {
            removals -= 1;
            std::fs::remove_dir(directory)?;
        }
        create_new(&path)
    });
    made.unwrap();
    assert_eq!(removals, 0);
}

#[test]
fn one_of_many_publishers_wins() {
    let (_keep, storage) = storage();
    let key = key("a@1/x").unwrap();
    let (_other, scratch) = scratch();
    let won = std::thread::scope(|scope| {
        let (storage, key, scratch) = (&storage, &key, &scratch);
        let threads: Vec<_> = (0..8)
            .map(|i| {
                scope.spawn(move || {
                    let file = scratch.join(i.to_string());
                    File::create(&file).unwrap().write_all(file.as_str().as_bytes()).unwrap();
                    storage.adopt(&file, key).is_ok().then_some(file)
                })
            })
            .collect();
        threads.into_iter().filter_map(|t| t.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(won.len(), 1);
    assert_eq!(get(&storage, &key).unwrap(), won[0].as_str().as_bytes());
}
