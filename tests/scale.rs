//! One transaction with very many datasets: no large row, memory in proportion. With a
//! million: `cargo bench --bench scale`.

#[path = "../benches/bare.rs"]
mod bare;
#[path = "../benches/many.rs"]
mod many;
#[path = "../benches/measure.rs"]
mod measure;
#[path = "../benches/survey.rs"]
mod survey;

use std::process::Command;

use camino::Utf8Path;

use self::many::{Ending, Measured, Store};

/// Set in the process that is measured.
const ALONE: &str = "PANTLER_SCALE_ALONE";
/// Four datasets each.
const VISITS: i64 = 12_500;
/// Bytes that a dataset may take, and that the program takes without any; a million
/// then take 1.5 GB.
const EACH: u64 = 1_400;
const PROGRAM: u64 = 100_000_000;

#[test]
fn fifty_thousand_datasets_in_memory_committed_in_one_transaction() {
    let name = "fifty_thousand_datasets_in_memory_committed_in_one_transaction";
    alone(name, VISITS, Store::Memory, Ending::Committed);
}

#[test]
fn fifty_thousand_datasets_in_memory_reverted_in_one_transaction() {
    let name = "fifty_thousand_datasets_in_memory_reverted_in_one_transaction";
    alone(name, VISITS, Store::Memory, Ending::Reverted);
}

#[test]
fn ten_thousand_datasets_in_files_committed_in_one_transaction() {
    let name = "ten_thousand_datasets_in_files_committed_in_one_transaction";
    alone(name, VISITS / 5, Store::Files, Ending::Committed);
}

#[test]
fn ten_thousand_datasets_in_files_reverted_in_one_transaction() {
    let name = "ten_thousand_datasets_in_files_reverted_in_one_transaction";
    alone(name, VISITS / 5, Store::Files, Ending::Reverted);
}

/// Memory is that of a process, so the test runs itself in a process of its own.
fn alone(name: &str, visits: i64, store: Store, ending: Ending) {
    if std::env::var_os(ALONE).is_some() {
        return assert_scale(visits, store, ending);
    }
    let test = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
    let out = Command::new(std::env::current_exe().unwrap())
        .args([&test, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && shown.contains("1 passed"),
        "{shown}{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

fn assert_scale(visits: i64, store: Store, ending: Ending) {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let measured: Measured = many::one_transaction(folder, visits, store, ending).unwrap();
    let refs = u64::try_from(measured.refs).unwrap();
    assert!(measured.memory() < PROGRAM + EACH * refs, "{measured:?}");
    // Several chunks: the bound on rows is not met by there being little.
    assert!(measured.manifest > measured.largest_row, "{measured:?}");
    println!("{measured:?}");
}
