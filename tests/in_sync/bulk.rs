//! Saving one page and many: what fails, what it leaves, and what is saved again.

use std::{fs::File, io::ErrorKind};

use pantler::{
    butler::request::{
        IngestFile, IngestRequest, NoProgress, StoreOptions, StoreReport, TransferMode,
    },
    core::TransactionName,
    datastore::testing::Operation,
    direct::{DirectButler, StoreError, check},
};
use pantler_testkit::Project;

use super::{
    OLD, artifact, data_id, flip, old_is_whole, page, pages, put, put_file, read, request, row,
    run, set_chain,
};
use crate::{
    library::{butler, collection, failing},
    toy::open_names,
};

/// The pages that are saved in bulk, as many as were in the measurement.
const SIX: [(&str, &[u8]); 6] = [
    ("a", b"page a\n"),
    ("b", b"page b\n"),
    ("c", b"page c\n"),
    ("d", b"page d\n"),
    ("e", b"page e\n"),
    ("f", b"page f\n"),
];

#[track_caller]
fn whole(butler: &DirectButler) {
    let report = check::check_with(butler, check::CheckOptions { checksum: true }).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// P1: no permission to write.
#[test]
fn a_save_without_permission_saves_nothing() {
    let project = pages();
    let before = project.picture();
    for operation in [Operation::Stage, Operation::Write, Operation::Finish, Operation::Publish] {
        let butler = butler(&project);
        let (datastore, storage) = failing(butler.datastore());
        let butler = butler.with_datastore(datastore);
        storage.fail_from(operation, 1, ErrorKind::PermissionDenied);
        let error = put(&butler, "second", &SIX[..1]).unwrap_err();
        assert!(matches!(error, StoreError::Undone { .. }), "{operation:?}: {error:?}");
        drop(butler);
        before.assert_same(&project.picture(), &format!("refused at {operation:?}"));
    }
    let args = put_file(&project, "a", "second");
    let denied = super::armed(&project, &args, "PANTLER_FAULT", "datastore.stage:1+:denied");
    let ran = pantler_testkit::Ran::of(denied).expect(1);
    assert!(ran.stderr.to_lowercase().contains("permission denied"), "{}", ran.stderr);
    before.assert_same(&project.picture(), "refused in a process");
    run(&project, &args).expect(0);
}

/// P2: one of many is not what it should be. Nothing of any of them is saved.
#[test]
fn a_wrong_object_in_a_bulk_save_saves_nothing() {
    let project = pages();
    let before = project.picture();
    let butler = butler(&project);
    let refused = |what: &str, result: Result<StoreReport, StoreError>, says: &str| {
        let error = format!("{:#?}", result.unwrap_err());
        assert!(error.contains(says), "{what}: {error}");
        before.assert_same(&project.picture(), what);
    };
    // Another page of that item is there.
    let other = [SIX[0], SIX[1], ("old", b"not what is there"), SIX[2]];
    refused("other content", put(&butler, "first", &other), "Differs");
    // The same item twice.
    let twice = [SIX[0], SIX[1], ("a", b"a second page a")];
    refused("twice", put(&butler, "second", &twice), "Twice");
    // No such item.
    let unknown = [SIX[0], ("nowhere", b"page of no item"), SIX[1]];
    refused("no record", put(&butler, "second", &unknown), "nowhere");
    // No such dataset type.
    let mut request = request(&butler, "second", &SIX, StoreOptions::default());
    let mut wrong = (*page(&butler)).clone();
    wrong.name = pantler::core::DatasetTypeName::new("chapter").unwrap();
    request.items[3].dataset.dataset_type = wrong.into();
    refused("no type", butler.put_many(&request, &NoProgress), "chapter");
    // A chain is not a RUN.
    set_chain(&butler, "chain", &["first"]);
    let before_chain = project.picture();
    put(&butler, "chain", &SIX).unwrap_err();
    before_chain.assert_same(&project.picture(), "a chain");
    assert_eq!(put(&butler, "second", &SIX).unwrap().stored, 6);
}

fn files(project: &Project, butler: &DirectButler) -> Vec<IngestFile> {
    let file = |(item, content): &(&str, &[u8])| {
        let path = format!("pages/{item}.txt");
        project.write(&path, content);
        IngestFile::one(page(butler), data_id(butler, item), project.path().join(path))
    };
    SIX.iter().map(file).collect()
}

fn ingest(butler: &DirectButler, files: Vec<IngestFile>) -> Result<StoreReport, StoreError> {
    let name = TransactionName::new("pages/ingest").unwrap();
    butler.ingest(&IngestRequest::new(name, collection("second"), files), &NoProgress)
}

/// P3, first half: the third of six cannot be written, or its file is gone.
#[test]
fn a_failing_upload_in_a_bulk_save_saves_nothing() {
    let project = pages();
    let butler = butler(&project);
    let files = files(&project, &butler);
    let before = project.picture();
    for n in 1..=6 {
        let (datastore, storage) = failing(butler.datastore());
        let butler = crate::library::butler(&project).with_datastore(datastore);
        storage.fail_at(Operation::Write, n, ErrorKind::StorageFull);
        let error = put(&butler, "second", &SIX).unwrap_err();
        assert!(matches!(error, StoreError::Undone { .. }), "{n}: {error:?}");
        before.assert_same(&project.picture(), &format!("put, {n} fails"));
        storage.fail_at(Operation::Write, storage.calls(Operation::Write) + n, ErrorKind::Other);
        let error = ingest(&butler, files.clone()).unwrap_err();
        assert!(matches!(error, StoreError::Undone { .. }), "{n}: {error:?}");
        before.assert_same(&project.picture(), &format!("ingest, {n} fails"));
    }
    std::fs::remove_file(&files[2].source).unwrap();
    let error = ingest(&butler, files.clone()).unwrap_err();
    assert!(error.to_string().contains("pages/c.txt"), "{error}");
    before.assert_same(&project.picture(), "the third file is gone");
    project.write("pages/c.txt", SIX[2].1);
    assert_eq!(ingest(&butler, files).unwrap().stored, 6);
}

/// P3, second half: what succeeds is kept, and what failed is listed.
#[test]
fn with_keep_going_the_successes_are_kept_and_the_failure_is_listed() {
    let keep_going = StoreOptions { keep_going: true, ..StoreOptions::default() };
    let prepared = pages();
    for n in 1..=6 {
        let project = prepared.duplicate();
        let butler = butler(&project);
        let (datastore, storage) = failing(butler.datastore());
        let butler = butler.with_datastore(datastore);
        storage.fail_at(Operation::Write, n, ErrorKind::StorageFull);
        let request = request(&butler, "second", &SIX, keep_going);
        let report = butler.put_many(&request, &NoProgress).unwrap();
        assert_eq!((report.stored, report.failed.len()), (5, 1), "{report:?}");
        let (label, reason) = &report.failed[0];
        assert!(reason.contains("second@"), "{reason}");
        let missing: Vec<&str> = SIX
            .iter()
            .filter(|(item, content)| match read(&butler, &["second"], item) {
                Some(found) => found != *content,
                None => true,
            })
            .map(|(item, _)| *item)
            .collect();
        assert_eq!([format!("page item={}", missing[0])], [label.as_str()]);
        // What failed left nothing, not even a registration.
        assert_eq!(row(&project, "second", missing[0]), None);
        assert_eq!(open_names(&project, "transaction"), [""; 0]);
        whole(&butler);
        // The same call again stores what is missing.
        let again = butler.put_many(&request, &NoProgress).unwrap();
        assert_eq!((again.stored, again.skipped, again.failed.len()), (1, 5, 0), "{again:?}");
        whole(&butler);
    }
}

/// A dataset never changes: another page of the same item goes into another RUN, and
/// the first one stays what is found until that is whole.
#[test]
fn replacing_with_a_failing_upload_keeps_the_old_artifact() {
    let project = pages();
    let butler = butler(&project);
    let new: [(&str, &[u8]); 1] = [("old", b"what replaces it\n")];
    let error = put(&butler, "first", &new).unwrap_err();
    assert!(matches!(error, StoreError::Differs { .. }), "{error:?}");
    let old = artifact(&project, "first", "old");
    let mut failed = 0;
    for operation in [
        Operation::Stage,
        Operation::Write,
        Operation::Finish,
        Operation::Publish,
        Operation::Flusher,
        Operation::Flush,
    ] {
        for n in 1.. {
            let project = project.duplicate();
            let butler = crate::library::butler(&project);
            let (datastore, storage) = failing(butler.datastore());
            let butler = butler.with_datastore(datastore);
            // The chain names the new RUN already: it is made before it is filled.
            put(&butler, "second", &[("a", b"another\n")]).unwrap();
            set_chain(&butler, "pages", &["second", "first"]);
            let before = project.picture();
            storage.fail_at(operation, storage.calls(operation) + n, ErrorKind::StorageFull);
            let calls = storage.calls(operation);
            let result = put(&butler, "second", &new);
            if storage.calls(operation) < calls + n {
                result.unwrap();
                assert_eq!(read(&butler, &["pages"], "old").unwrap(), new[0].1);
                assert_eq!(read(&butler, &["first"], "old").unwrap(), OLD);
                break;
            }
            failed += 1;
            result.unwrap_err();
            before.assert_same(&project.picture(), &format!("{operation:?} {n}"));
            assert_eq!(read(&butler, &["pages"], "old").unwrap(), OLD);
        }
    }
    assert!(failed >= 6, "{failed}");
    assert_eq!(std::fs::read(old).unwrap(), OLD);
}

type Damage = fn(&camino::Utf8Path);

/// What vanished, was cut or rotted is stored again by the same call, which says so.
#[test]
fn saving_again_repairs_what_vanished_or_rotted() {
    let project = pages();
    let butler = butler(&project);
    put(&butler, "second", &SIX).unwrap();
    let damages: [(&str, Damage); 3] = [
        ("vanished", |path| std::fs::remove_file(path).unwrap()),
        ("cut", |path| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
            File::options().write(true).open(path).unwrap().set_len(3).unwrap();
        }),
        ("rotted", |path| flip(path, 4)),
    ];
    for (what, damage) in damages {
        let id = row(&project, "second", "c").unwrap()["id"].clone();
        damage(&artifact(&project, "second", "c"));
        let rows = butler.query_datasets(&pantler::registry::DatasetQuery::default()).unwrap();
        let found = rows.iter().find(|row| id == row.dataset.id.to_string()).unwrap();
        butler.get(found).unwrap_err();
        let report = put(&butler, "second", &SIX).unwrap();
        assert_eq!((report.repaired, report.skipped), (1, 5), "{what}: {report:?}");
        assert_eq!(read(&butler, &["second"], "c").unwrap(), SIX[2].1, "{what}");
        assert_eq!(row(&project, "second", "c").unwrap()["id"], id, "{what}: the same dataset");
        whole(&butler);
        let again = put(&butler, "second", &SIX).unwrap();
        assert_eq!((again.repaired, again.skipped), (0, 6), "{what}: {again:?}");
    }
    // From the command line, too.
    let args = put_file(&project, "a", "third");
    let id = run(&project, &args).expect(0).text();
    flip(&artifact(&project, "third", "a"), 100);
    assert_eq!(run(&project, &args).expect(0).text(), id);
    project.pantler(&["check", "--checksum"]).expect(0);
}

/// Reading never gives bytes that are not those that were stored, wherever they are.
#[test]
fn what_others_changed_is_an_error_and_never_data() {
    let mut project = pages();
    let butler = butler(&project);
    put(&butler, "second", &SIX[..1]).unwrap();
    let own = project.path().join("own.txt");
    for (run, mode) in [
        ("linked", TransferMode::Hardlink),
        ("pointed", TransferMode::Symlink),
        ("direct", TransferMode::Direct),
    ] {
        project.write("own.txt", "what the user has\n");
        let name = TransactionName::new(run).unwrap();
        let file = IngestFile::one(page(&butler), data_id(&butler, "b"), own.clone());
        let mut request = IngestRequest::new(name, collection(run), vec![file]);
        request.mode = mode;
        butler.ingest(&request, &NoProgress).unwrap();
        assert_eq!(read(&butler, &[run], "b").unwrap(), b"what the user has\n");
        flip(&own, 5);
        let get = project.pantler(&["get", "page", "item=b", "--collections", run]).expect(1);
        assert_eq!(get.text(), "", "{run}");
        std::fs::remove_file(&own).unwrap();
    }
    flip(&artifact(&project, "second", "a"), 2);
    let get = project.pantler(&["get", "page", "item=a", "--collections", "second"]).expect(1);
    assert_eq!(get.text(), "");
    assert!(get.stderr.contains("checksum"), "{}", get.stderr);
    old_is_whole(&project);
    project.expect_damage();
    // The link has the inode still and has changed; the others point to nothing.
    let report = project.pantler(&["check", "--checksum", "--json"]).expect(6).json();
    assert_eq!(report["findings"].as_array().unwrap().len(), 4, "{report}");
}

/// A file of 200 MB that differs in one byte in its middle is another file.
#[test]
fn a_change_in_the_middle_of_a_large_file_is_another_content() {
    const SIZE: u64 = 200_000_000;
    let project = pages();
    let butler = butler(&project);
    let path = project.path().join("large.txt");
    File::create(&path).unwrap().set_len(SIZE).unwrap();
    let request = |name: &str, run: &str| {
        let file = IngestFile::one(page(&butler), data_id(&butler, "a"), path.clone());
        IngestRequest::new(TransactionName::new(name).unwrap(), collection(run), vec![file])
    };
    butler.ingest(&request("one", "second"), &NoProgress).unwrap();
    flip(&path, SIZE / 2);
    let error = butler.ingest(&request("two", "second"), &NoProgress).unwrap_err();
    assert!(matches!(error, StoreError::Differs { .. }), "{error:?}");
    butler.ingest(&request("three", "third"), &NoProgress).unwrap();
    let of = |run: &str| row(&project, run, "a").unwrap();
    assert_eq!(of("second")["size"], of("third")["size"]);
    assert_ne!(of("second")["checksum"], of("third")["checksum"]);
}
