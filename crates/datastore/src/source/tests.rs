use std::{io::Write as _, os::unix::fs::symlink};

use pantler_core::{DatasetId, DatastoreConfig, Durability, FileRecord, StorageClass};
use uuid::Uuid;

use super::*;
use crate::{Corruption, ObjectStorage};

struct Place {
    _keep: tempfile::TempDir,
    path: Utf8PathBuf,
    datastore: Datastore,
}

fn place() -> Place {
    let keep = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(keep.path()).unwrap().canonicalize_utf8().unwrap();
    let config = DatastoreConfig { durability: Durability::None, ..DatastoreConfig::default() };
    let datastore = Datastore::local(&path.join("repository"), &config).unwrap();
    Place { _keep: keep, path, datastore }
}

impl Place {
    fn file(&self, content: &[u8]) -> Utf8PathBuf {
        let path = self.path.join("file");
        File::create(&path).unwrap().write_all(content).unwrap();
        path
    }
}

fn key(text: &str) -> ArtifactKey {
    ArtifactKey::new(text).unwrap()
}

fn mode(path: &Utf8Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o777
}

#[test]
fn a_link_has_the_checksum_of_its_file() {
    for kind in [LinkKind::Hard, LinkKind::Symbolic] {
        let place = place();
        let file = place.file(b"content");
        let written = place.datastore.link(&file, &key("a@1/x"), kind).unwrap();
        assert_eq!(written, Written::of(b"content"));
        let record = FileRecord {
            dataset: DatasetId::from_uuid(Uuid::nil()),
            component: Box::default(),
            location: key("a@1/x").into(),
            offset: None,
            formatter: "bytes".into(),
            storage_class: StorageClass::Bytes,
            size: written.size,
            checksum: written.checksum,
        };
        assert_eq!(place.datastore.read(&record).unwrap(), b"content");
        // What is linked can still be written; then it is not passed off as the dataset.
        place.file(b"CONTENT");
        let error = place.datastore.read(&record).unwrap_err();
        assert!(
            matches!(error, DatastoreError::Corrupt { reason: Corruption::Checksum { .. }, .. }),
            "{error:?}"
        );
        place.datastore.unstore([&key("a@1/x")]).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"CONTENT");
    }
}

#[test]
fn links_that_cannot_be_made_say_why() {
    let place = place();
    let objects = Datastore::with_storage(
        std::sync::Arc::new(ObjectStorage::in_memory()),
        DatastoreConfig::default(),
    );
    let file = place.file(b"x");
    let unsupported = objects.link(&file, &key("a@1/x"), LinkKind::Hard).unwrap_err();
    assert!(unsupported.is_unsupported() && !unsupported.crosses_devices());
    let missing = place.datastore.link(&place.path.join("no"), &key("a@1/x"), LinkKind::Hard);
    assert!(matches!(missing, Err(DatastoreError::Source { .. })));
    let directory = place.datastore.link(&place.path, &key("a@1/x"), LinkKind::Symbolic);
    assert!(matches!(directory, Err(DatastoreError::NotRegular { .. })));
    let crossing = DatastoreError::Write {
        key: key("a@1/x"),
        source: StorageError::io("link to", "/f", io::ErrorKind::CrossesDevices.into()),
    };
    assert!(crossing.crosses_devices() && !crossing.is_unsupported());
    place.datastore.walk_all(&mut |entry| panic!("{entry:?}")).unwrap();
}

#[test]
fn a_link_to_what_changed_or_was_exchanged_goes_again() {
    let place = place();
    let (file, stored) = (place.file(b"first"), key("a@1/x"));
    let read = || HashedFile::read(&file, Links::Follow).unwrap();
    let link = |hashed: &HashedFile| {
        place.datastore.storage().link(&file, &stored, LinkKind::Symbolic).unwrap();
        place.datastore.confirm_link(hashed, &stored)
    };
    assert_eq!(link(&read()).unwrap(), Written::of(b"first"));
    assert!(place.datastore.storage().delete(&stored).unwrap());
    let hashed = read();
    File::options().append(true).open(&file).unwrap().write_all(b" and more").unwrap();
    assert!(matches!(link(&hashed), Err(DatastoreError::Changed { .. })));
    assert!(!place.datastore.storage().delete(&stored).unwrap(), "the link is gone");
    // Another file took its name between the reading and the linking.
    let hashed = read();
    let other = place.path.join("other");
    File::create(&other).unwrap().write_all(b"first and less").unwrap();
    std::fs::rename(&other, &file).unwrap();
    assert!(hashed.unchanged().is_ok(), "nobody wrote what was read");
    assert!(matches!(link(&hashed), Err(DatastoreError::Changed { .. })));
    assert!(!place.datastore.storage().delete(&stored).unwrap(), "the link is gone");
    assert_eq!(std::fs::read(&file).unwrap(), b"first and less");
}

#[test]
fn a_moved_file_goes_only_if_it_is_unchanged() {
    let place = place();
    let (file, stored) = (place.file(b"content"), key("a@1/x"));
    let state = SourceState::of(&file).unwrap();
    let remove = || place.datastore.remove_source(&file, &state, &stored).unwrap();
    assert_eq!(remove(), SourceRemoval::Needed, "nothing was stored");
    place.datastore.write(&stored, b"other size").unwrap();
    assert_eq!(remove(), SourceRemoval::Needed, "that is not its content");
    place.datastore.unstore([&stored]).unwrap();
    place.datastore.write(&stored, b"content").unwrap();
    let kept = place.path.join("kept");
    std::fs::rename(&file, &kept).unwrap();
    assert_eq!(remove(), SourceRemoval::Missing);
    File::create(&file).unwrap().write_all(b"CONTENT").unwrap();
    assert_eq!(remove(), SourceRemoval::Changed, "another file");
    std::fs::rename(&kept, &file).unwrap();
    File::options().append(true).open(&file).unwrap().write_all(b"!").unwrap();
    assert_eq!(remove(), SourceRemoval::Changed, "another size");
    let exchanged = SourceState { inode: Some(0), ..SourceState::of(&file).unwrap() };
    let removed = place.datastore.remove_source(&file, &exchanged, &stored).unwrap();
    assert_eq!(removed, SourceRemoval::Changed, "only the inode differs");
    File::options().write(true).open(&file).unwrap().set_len(7).unwrap();
    let state = SourceState { inode: None, ..SourceState::of(&file).unwrap() };
    let removed = place.datastore.remove_source(&file, &state, &stored).unwrap();
    assert_eq!(removed, SourceRemoval::Removed);
    assert!(!file.exists());
    assert_eq!(place.datastore.size(&stored).unwrap(), Some(7));
}

#[test]
fn what_the_artifact_needs_stays() {
    let place = place();
    let (file, linked) = (place.file(b"content"), key("a@1/symbolic"));
    let state = SourceState::of(&file).unwrap();
    place.datastore.link(&file, &linked, LinkKind::Symbolic).unwrap();
    let remove = |path: &Utf8Path, artifact: &ArtifactKey| {
        place.datastore.remove_source(path, &state, artifact).unwrap()
    };
    assert_eq!(remove(&file, &linked), SourceRemoval::Needed);
    place.datastore.unstore([&linked]).unwrap();
    // The artifact itself, under its own path, also if it has another name.
    let adopted = key("a@1/adopted");
    place.datastore.link(&file, &adopted, LinkKind::Hard).unwrap();
    let path = place.datastore.local_path(&adopted).unwrap();
    assert_eq!(remove(&path, &adopted), SourceRemoval::Needed);
    assert_eq!(remove(&file, &adopted), SourceRemoval::Removed);
    assert_eq!(remove(&path, &adopted), SourceRemoval::Needed, "its only name");
    assert_eq!(mode(&path) & 0o222, 0, "read-only, now that it belongs to the repository");
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
}

#[test]
fn only_regular_files_are_moved() {
    let place = place();
    let (file, link) = (place.file(b"x"), place.path.join("link"));
    symlink(&file, &link).unwrap();
    for odd in [&link, &place.path] {
        let refused = SourceState::of(odd);
        assert!(matches!(refused, Err(DatastoreError::NotRegular { .. })), "{odd}");
    }
    let missing = SourceState::of(&place.path.join("nothing"));
    assert!(matches!(missing, Err(DatastoreError::Source { .. })));
    let state = SourceState::of(&file).unwrap();
    std::fs::rename(&link, &file).unwrap();
    place.datastore.write(&key("a@1/x"), b"x").unwrap();
    let removed = place.datastore.remove_source(&file, &state, &key("a@1/x")).unwrap();
    assert_eq!(removed, SourceRemoval::Changed);
}
