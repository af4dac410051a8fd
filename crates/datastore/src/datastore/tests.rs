use std::{fs::File, io::ErrorKind};

use pantler_core::{DatasetId, Durability, StorageClass};
use uuid::Uuid;

use super::*;
use crate::{
    Depth, Expected, ObjectStorage, Verdict,
    testing::{FailingStorage, Operation},
};

fn key(text: &str) -> ArtifactKey {
    ArtifactKey::new(text).unwrap()
}

fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(directory.path()).unwrap().to_owned();
    (directory, path)
}

fn config() -> DatastoreConfig {
    DatastoreConfig { durability: Durability::None, ..DatastoreConfig::default() }
}

fn local() -> (tempfile::TempDir, Datastore) {
    let (keep, path) = scratch();
    let datastore = Datastore::local(&path, &config()).unwrap();
    (keep, datastore)
}

fn failing() -> (Arc<FailingStorage>, Datastore) {
    let storage = Arc::new(FailingStorage::new(Arc::new(ObjectStorage::in_memory())));
    let datastore = Datastore::with_storage(Arc::<FailingStorage>::clone(&storage), config());
    (storage, datastore)
}

fn record(key: ArtifactKey, offset: Option<u64>, content: &[u8]) -> FileRecord {
    let Written { size, checksum } = Written::of(content);
    FileRecord {
        dataset: DatasetId::from_uuid(Uuid::nil()),
        component: Box::default(),
        location: key.into(),
        offset,
        formatter: "bytes".into(),
        storage_class: StorageClass::Bytes,
        size,
        checksum,
    }
}

fn overwrite(datastore: &Datastore, key: &ArtifactKey, content: &[u8]) {
    File::create(datastore.local_path(key).unwrap()).unwrap().write_all(content).unwrap();
}

#[test]
fn roots_stay_in_the_repository() {
    for root in ["", "/tmp", "..", "a/../..", "."] {
        let config = DatastoreConfig { root: root.to_owned(), ..config() };
        let refused = Datastore::local("/nowhere".into(), &config);
        assert!(matches!(refused, Err(DatastoreError::Root { .. })), "{root:?}");
    }
}

#[test]
fn reads_the_whole_or_an_error() {
    let (_keep, datastore) = local();
    let key = key("a@1/t/x");
    assert_eq!(datastore.write(&key, b"content").unwrap(), Written::of(b"content"));
    let whole = record(key.clone(), None, b"content");
    assert_eq!(datastore.read(&whole).unwrap(), b"content");
    let mut out = Vec::new();
    datastore.copy_to(&whole, &mut out).unwrap();
    assert_eq!(out, b"content");
    assert!(matches!(
        datastore.copy_to(&whole, &mut &mut [0_u8; 3][..]),
        Err(DatastoreError::Output { .. })
    ));
    for damaged in [&b"conten"[..], b"content+", b"Content", b""] {
        overwrite(&datastore, &key, damaged);
        let error = datastore.read(&whole).unwrap_err();
        assert!(matches!(error, DatastoreError::Corrupt { .. }), "{error:?}");
        assert_eq!(error.to_string(), "artifact a@1/t/x is corrupt");
    }
    datastore.unstore([&key]).unwrap();
    assert!(matches!(datastore.read(&whole), Err(DatastoreError::Missing { .. })));
    let huge = FileRecord { size: u64::MAX, offset: Some(7), ..whole };
    datastore.write(&key, b"content").unwrap();
    assert!(matches!(datastore.read(&huge), Err(DatastoreError::Corrupt { .. })));
}

#[test]
fn shared_artifacts_are_read_in_parts() {
    let (_keep, datastore) = local();
    let key = key("a@1/t_log/all~1.log");
    datastore.write(&key, b"first|second|").unwrap();
    for (offset, part) in [(0, &b"first"[..]), (6, b"second"), (13, b"")] {
        let record = record(key.clone(), Some(offset), part);
        assert_eq!(datastore.read(&record).unwrap(), part);
        let verdict = datastore.verify_record(&record, Depth::Full).unwrap();
        assert!(matches!(verdict, Verdict::Present { .. }), "{verdict:?}");
    }
    let cut = record(key.clone(), Some(10), b"cut off");
    let verdict = datastore.verify_record(&cut, Depth::Presence).unwrap();
    let reason = Corruption::Size { expected: 17, found: 13 };
    assert_eq!(verdict, Verdict::Corrupt { reason });
}

#[test]
fn verdicts() {
    let (_keep, datastore) = local();
    let key = key("a@1/t/x");
    let Written { size, checksum } = Written::of(b"content");
    let expected = Expected { size, checksum: Some(checksum) };
    let verify = |expected: &Expected, depth| datastore.verify(&key, expected, depth).unwrap();
    assert_eq!(verify(&expected, Depth::Full), Verdict::Missing);
    assert_eq!(datastore.measure(&key).unwrap(), None);
    datastore.write(&key, b"content").unwrap();
    assert_eq!(datastore.measure(&key).unwrap(), Some(Written { size, checksum }));
    let present = |checksum| Verdict::Present { size, checksum };
    assert_eq!(verify(&expected, Depth::Presence), present(None));
    assert_eq!(verify(&expected, Depth::Full), present(Some(checksum)));
    let unknown = Expected { checksum: None, ..expected };
    assert_eq!(verify(&unknown, Depth::Full), present(Some(checksum)));
    overwrite(&datastore, &key, b"CONTENT");
    assert_eq!(verify(&expected, Depth::Presence), present(None));
    assert!(matches!(
        verify(&expected, Depth::Full),
        Verdict::Corrupt { reason: Corruption::Checksum { .. } }
    ));
    datastore.unstore([&key]).unwrap();
    std::fs::create_dir(datastore.local_path(&key).unwrap()).unwrap();
    let reason = Corruption::NotRegular { kind: "directory" };
    assert_eq!(verify(&expected, Depth::Presence), Verdict::Corrupt { reason });
}

#[test]
fn a_batch_shows_nothing_before_it_is_published() {
    let (_keep, path) = scratch();
    // With real flushes, of few and of many.
    for count in [3_u8, 40] {
        let root = format!("artifacts{count}");
        let config = DatastoreConfig { root, ..DatastoreConfig::default() };
        let datastore = Datastore::local(&path, &config).unwrap();
        let source = path.join("source");
        File::create(&source).unwrap().write_all(b"file").unwrap();
        let prefix = RunPrefix::parse("a@1").unwrap();
        let batch = datastore.begin_batch().unwrap();
        std::thread::scope(|scope| {
            for i in 0..count {
                let (batch, source) = (&batch, &source);
                scope.spawn(move || {
                    let key = key(&format!("a@1/t/{i}"));
                    let written = if i == 0 {
                        batch.copy_file(source, &key)
                    } else {
                        batch.write(&key, &mut &b"file"[..])
                    };
                    assert_eq!(written.unwrap(), Written::of(b"file"));
                });
            }
        });
        let twice = batch.write(&key("a@1/t/0"), &mut &b""[..]);
        assert!(matches!(twice, Err(DatastoreError::WrittenTwice { .. })));
        let listed = datastore.list(&prefix).unwrap();
        assert_eq!(listed.len(), usize::from(count));
        assert!(listed.iter().all(|e| matches!(e, Entry::Unfinished { size: 4, .. })));
        batch.publish().unwrap();
        let listed = datastore.list(&prefix).unwrap();
        assert_eq!(listed.len(), usize::from(count));
        assert!(listed.iter().all(|e| matches!(e, Entry::Artifact { size: 4, .. })));
        assert!(source.exists());
    }
}

#[test]
fn a_batch_discards_its_own_only() {
    let (_keep, datastore) = local();
    let (mine, theirs) = (key("a@1/t/mine"), key("a@1/t/theirs"));
    drop(datastore.storage().stage(&theirs).unwrap());
    let batch = datastore.begin_batch().unwrap();
    batch.write(&mine, &mut &b"x"[..]).unwrap();
    batch.discard().unwrap();
    let left = datastore.list(&RunPrefix::parse("a@1").unwrap()).unwrap();
    assert_eq!(left, [Entry::Unfinished { key: theirs, size: 0 }]);
}

#[test]
fn sources_that_are_no_files_are_named() {
    let (_keep, path) = scratch();
    let datastore = Datastore::local(&path, &config()).unwrap();
    let fifo = path.join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, fifo.as_str(), rustix::fs::FileType::Fifo, mode, 0)
        .unwrap();
    let link = path.join("link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    let batch = datastore.begin_batch().unwrap();
    for (i, odd) in [&fifo, &path].into_iter().enumerate() {
        for refused in
            [datastore.adopt(odd, &key("a@1/x")), batch.copy_file(odd, &key(&format!("a@1/{i}")))]
        {
            let error = refused.unwrap_err();
            assert!(matches!(error, DatastoreError::NotRegular { .. }), "{error:?}");
            assert!(error.to_string().starts_with(odd.as_str()), "{error}");
        }
    }
    let adopted = datastore.adopt(&link, &key("a@1/x"));
    assert!(matches!(adopted, Err(DatastoreError::NotRegular { kind: "symbolic link", .. })));
    let missing = datastore.adopt(&path.join("nothing"), &key("a@1/x"));
    assert!(matches!(missing, Err(DatastoreError::Source { .. })));
    assert!(batch.is_empty());
    batch.discard().unwrap();
}

#[test]
fn adopting_gives_the_checksum() {
    let (_keep, path) = scratch();
    let datastore = Datastore::local(&path, &config()).unwrap();
    let file = path.join("output");
    File::create(&file).unwrap().write_all(b"output").unwrap();
    let key = key("a@1/t/x");
    assert_eq!(datastore.adopt(&file, &key).unwrap(), Written::of(b"output"));
    assert_eq!(datastore.read(&record(key, None, b"output")).unwrap(), b"output");
    assert!(!file.exists());
}

#[test]
fn writes_that_fail_leave_nothing() {
    for operation in [Operation::Stage, Operation::Write, Operation::Finish, Operation::Publish] {
        let (storage, datastore) = failing();
        storage.fail_at(operation, 1, ErrorKind::StorageFull);
        let key = key("a@1/x");
        let error = datastore.write(&key, b"content").unwrap_err();
        assert!(error.is_full(), "{operation:?}: {error:?}");
        datastore.walk_all(&mut |entry| panic!("{operation:?} left {entry:?}")).unwrap();
        datastore.write(&key, b"content").unwrap();
        assert!(matches!(
            datastore.write(&key, b"other").unwrap_err().storage(),
            Some(StorageError::AlreadyExists { .. })
        ));
        assert_eq!(datastore.read(&record(key, None, b"content")).unwrap(), b"content");
    }
}

/// The others are published; what failed is never under its key, not even in part.
#[test]
fn what_could_not_be_staged_or_was_withdrawn_is_not_published() {
    for operation in [Operation::Stage, Operation::Write, Operation::Finish] {
        let (storage, datastore) = failing();
        storage.fail_at(operation, 2, ErrorKind::StorageFull);
        let batch = datastore.begin_batch().unwrap();
        let keys: Vec<_> = (0..4).map(|i| key(&format!("a@1/{i}"))).collect();
        let written = keys.iter().map(|key| batch.write(key, &mut &b"content"[..]).is_ok());
        assert_eq!(written.collect::<Vec<_>>(), [true, false, true, true], "{operation:?}");
        batch.withdraw(&keys[3]);
        batch.publish().unwrap();
        let whole: Vec<_> = keys.iter().map(|key| datastore.size(key).unwrap().is_some()).collect();
        assert_eq!(whole, [true, false, true, false], "{operation:?}");
        datastore.discard_unfinished(&keys).unwrap();
        assert_eq!(datastore.list(&RunPrefix::parse("a@1").unwrap()).unwrap().len(), 2);
    }
}

#[test]
fn batches_that_fail_can_be_told_what_stands() {
    let prefix = RunPrefix::parse("a@1").unwrap();
    let stage = |datastore: &Datastore| {
        let batch = datastore.begin_batch().unwrap();
        for i in 0..3 {
            batch.write(&key(&format!("a@1/{i}")), &mut &b"x"[..]).unwrap();
        }
        batch.publish()
    };
    let (storage, datastore) = failing();
    storage.fail_at(Operation::Publish, 2, ErrorKind::TimedOut);
    let error = stage(&datastore).unwrap_err();
    assert_eq!(error.to_string(), "only 1 of 3 artifacts were published");
    let (storage, datastore) = failing();
    storage.fail_at(Operation::Flush, 1, ErrorKind::Other);
    assert!(matches!(stage(&datastore), Err(DatastoreError::Flush { .. })));
    let unfinished = datastore.list(&prefix).unwrap();
    assert!(unfinished.iter().all(|e| matches!(e, Entry::Unfinished { .. })));
    let keys: Vec<_> = (0..4).map(|i| key(&format!("a@1/{i}"))).collect();
    let unstored = datastore.unstore(&keys).unwrap();
    assert_eq!(unstored, Unstored { deleted: 3, missing: 1 });
    assert_eq!(datastore.list(&prefix).unwrap(), []);
}

#[test]
fn unstoring_goes_on_after_a_failure() {
    let (storage, datastore) = failing();
    let keys: Vec<_> = (0..4).map(|i| key(&format!("a@1/{i}"))).collect();
    for key in &keys[..3] {
        datastore.write(key, b"x").unwrap();
    }
    storage.fail_at(Operation::Delete, 2, ErrorKind::PermissionDenied);
    let error = datastore.unstore(&keys).unwrap_err();
    assert_eq!(error.to_string(), "cannot delete artifact a@1/1 (1 of 4 could not be deleted)");
    let left = datastore.list(&RunPrefix::parse("a@1").unwrap()).unwrap();
    assert_eq!(left, [Entry::Artifact { key: keys[1].clone(), size: 1 }]);
}

#[test]
fn deleting_durably_needs_no_directories() {
    let (_keep, path) = scratch();
    let datastore = Datastore::local(&path, &DatastoreConfig::default()).unwrap();
    assert_eq!(datastore.unstore_durably(&[]).unwrap(), Unstored::default());
    assert!(!path.join(&datastore.config().root).exists(), "it did nothing at all");
    let keys: Vec<_> = (0..3).map(|i| key(&format!("a@1/{i}/x"))).collect();
    for key in &keys {
        datastore.write(key, b"x").unwrap();
    }
    datastore.unstore(&keys[..2]).unwrap();
    datastore.prune(&RunPrefix::parse("a@1").unwrap()).unwrap();
    let unstored = datastore.unstore_durably(&keys).unwrap();
    assert_eq!(unstored, Unstored { deleted: 1, missing: 2 });
    datastore.prune(&RunPrefix::parse("a@1").unwrap()).unwrap();
    assert_eq!(datastore.unstore_durably(&keys).unwrap().missing, 3);
    std::fs::remove_dir(path.join(&datastore.config().root)).unwrap();
    assert_eq!(datastore.unstore_durably(&keys).unwrap().missing, 3);
}

#[test]
fn deleting_is_not_done_before_it_is_flushed() {
    let (storage, datastore) = failing();
    let keys = [key("a@1/x")];
    datastore.write(&keys[0], b"x").unwrap();
    storage.fail_at(Operation::Flush, 1, ErrorKind::Other);
    assert!(matches!(datastore.unstore_durably(&keys), Err(DatastoreError::Flush { .. })));
    assert_eq!(datastore.unstore_durably(&keys).unwrap().missing, 1);
    assert_eq!(storage.calls(Operation::Flush), 2, "also if there was nothing to delete");
}

#[test]
fn moves_to_other_keys_go_on_after_an_interruption() {
    let (_keep, path) = scratch();
    let durable = Datastore::local(&path, &DatastoreConfig::default()).unwrap();
    let (storage, failing) = failing();
    for datastore in [&durable, &failing] {
        let moves: Vec<_> =
            (0..20).map(|i| (key(&format!("a@1/{i}")), key(&format!("a@1/new/{i}")))).collect();
        for (i, (from, _)) in moves.iter().enumerate().skip(1) {
            datastore.write(from, &vec![0; i]).unwrap();
        }
        storage.fail_at(Operation::Rekey, 4, ErrorKind::TimedOut);
        storage.lose_answer_at(Operation::Rekey, 8, ErrorKind::TimedOut);
        let mut errors = Vec::new();
        let moved = loop {
            match datastore.rekey_all(&moves) {
                Ok(moved) => break moved,
                Err(error) => errors.push(error.to_string()),
            }
        };
        if datastore.storage().local_path(&moves[0].0).is_none() {
            let failed = |i: usize| format!("cannot move artifact a@1/{i} to a@1/new/{i}");
            assert_eq!(errors, [failed(3), failed(3)]);
        }
        assert!(!moved[0], "there was nothing");
        assert!(moved[4..].iter().all(|moved| *moved));
        let listed = datastore.list(&RunPrefix::parse("a@1").unwrap()).unwrap();
        assert_eq!(listed.len(), 19);
        for (i, (from, to)) in moves.iter().enumerate().skip(1) {
            assert_eq!(datastore.size(from).unwrap(), None);
            assert_eq!(datastore.size(to).unwrap(), Some(i as u64));
        }
        assert!(datastore.rekey_all(&[]).unwrap().is_empty());
        assert!(datastore.rekey(&moves[1].1, &moves[1].0).unwrap());
        assert!(!datastore.rekey(&moves[1].1, &moves[1].0).unwrap());
        assert!(matches!(
            datastore.rekey(&moves[2].1, &moves[1].0).unwrap_err().storage(),
            Some(StorageError::AlreadyExists { .. })
        ));
    }
}

#[test]
fn a_copied_object_is_deleted_by_the_next_move() {
    let (storage, datastore) = failing();
    let (from, to) = (key("a@1/from"), key("a@1/to"));
    // As an interruption between the copy and the delete leaves it.
    for key in [&from, &to] {
        datastore.write(key, b"x").unwrap();
    }
    assert!(storage.rekey(&from, &to).unwrap());
    assert_eq!(datastore.size(&from).unwrap(), None);
    assert_eq!(datastore.size(&to).unwrap(), Some(1));
}

#[test]
fn locations_have_uris() {
    let (_keep, path) = scratch();
    let datastore = Datastore::local(&path, &config()).unwrap();
    let artifact = Location::from(key("a@1/x y"));
    let root = &datastore.config().root;
    assert_eq!(datastore.uri_of(&artifact), format!("file://{path}/{root}/a@1/x y"));
    let direct = Location::new("file:///data/a b.csv").unwrap();
    assert_eq!(datastore.uri_of(&direct), direct.as_str());
    let relative = Datastore::local("some/where".into(), &config()).unwrap();
    let uri = relative.uri_of(&artifact);
    assert!(uri.starts_with("file:///") && uri.ends_with("/some/where/artifacts/a@1/x y"), "{uri}");
    let (_, objects) = failing();
    assert_eq!(objects.uri_of(&artifact), "a@1/x y");
}

#[test]
fn direct_files_are_looked_at_where_they_are() {
    let (keep, datastore) = local();
    let path = Utf8Path::from_path(keep.path()).unwrap().join("direct");
    let location = Location::new(&format!("file://{path}")).unwrap();
    assert_eq!(datastore.size_at(&location).unwrap(), None);
    assert_eq!(datastore.measure_at(&location).unwrap(), None);
    File::create(&path).unwrap().write_all(b"content").unwrap();
    assert_eq!(datastore.size_at(&location).unwrap(), Some(7));
    assert_eq!(datastore.measure_at(&location).unwrap(), Some(Written::of(b"content")));
}

#[test]
fn deferred_reads_give_the_whole_or_a_part() {
    let (_keep, datastore) = local();
    let key = key("a@1/t/x");
    datastore.write(&key, b"first|second").unwrap();
    let whole = datastore.deferred(&record(key.clone(), None, b"first|second"));
    let slice = datastore.deferred(&record(key.clone(), Some(6), b"second"));
    assert_eq!((whole.size(), slice.size()), (12, 6));
    assert_eq!(slice.location(), &Location::from(key.clone()));
    assert_eq!(slice.uri(), datastore.uri_of(slice.location()));
    assert_eq!(whole.read().unwrap(), b"first|second");
    let mut out = Vec::new();
    slice.copy_to(&mut out).unwrap();
    assert_eq!(out, b"second");
    assert_eq!(whole.read_range(5, 4).unwrap(), b"|sec");
    assert_eq!(slice.read_range(3, 3).unwrap(), b"ond");
    assert_eq!(slice.read_range(6, 0).unwrap(), b"");
    for (offset, length) in [(7, 0), (0, 7), (6, 1), (u64::MAX, 1), (1, u64::MAX)] {
        let error = slice.read_range(offset, length).unwrap_err();
        assert!(matches!(error, DatastoreError::Range { size: 6, .. }), "{error:?}");
    }
    overwrite(&datastore, &key, b"FIRST|second");
    assert!(matches!(whole.read(), Err(DatastoreError::Corrupt { .. })));
    assert_eq!(slice.read().unwrap(), b"second");
    overwrite(&datastore, &key, b"cut");
    assert!(matches!(slice.read_range(0, 1), Err(DatastoreError::Corrupt { .. })));
    datastore.unstore([&key]).unwrap();
    assert!(matches!(whole.read_range(0, 1), Err(DatastoreError::Missing { .. })));
}
