use pantler_butler::transaction::{DoorError, KindError};
use pantler_core::{CollectionName, transaction::Closing};

use super::*;

fn name() -> TransactionName {
    TransactionName::new("w/1").unwrap()
}

fn status(error: impl Into<CommandError>) -> Status {
    error.into().status()
}

fn still_open(source: KindError) -> CloseError {
    CloseError::StillOpen { name: name(), closing: Closing::Commit, workspace: false, source }
}

fn unknown() -> CloseError {
    let source = RegistryError::Full { path: "r".into() };
    CloseError::Unknown { name: name(), closing: Closing::Commit, source }
}

#[test]
fn closings_say_whether_the_transaction_is_open() {
    assert_eq!(status(CloseError::NoTransaction(name())), Status::Failed);
    let closing = Closing::Revert;
    assert_eq!(status(CloseError::AlreadyClosed { name: name(), closing }), Status::Failed);
    let source = DoorError { began: Closing::Revert };
    assert_eq!(status(CloseError::Door { name: name(), source }), Status::LeftOpen);
    assert_eq!(status(still_open(KindError::Invalid(String::new()))), Status::LeftOpen);
    assert_eq!(status(still_open(KindError::Unfinished(String::new()))), Status::QuantaFailed);
    assert_eq!(status(unknown()), Status::Unknown);
    let source = RegistryError::Full { path: "r".into() };
    assert_eq!(status(CloseError::from(source)), Status::Failed);
    let source = RegistryError::Full { path: "r".into() };
    let around = CloseError::Around { name: name(), closing, source: Box::new(source.into()) };
    assert_eq!(status(around), Status::LeftOpen);
}

#[test]
fn an_unknown_outcome_stays_one_however_deep_it_is() {
    assert_eq!(status(WorkspaceError::Close(unknown())), Status::Unknown);
    let ingest = StoreError::LeftOpen {
        what: "the ingest",
        name: name(),
        failure: String::new(),
        source: Box::new(unknown()),
    };
    assert_eq!(status(ProjectError::Ingest(ingest)), Status::Unknown);
    let run = CollectionName::new("w/1").unwrap();
    assert_eq!(
        status(ProjectError::Commit { name: run, source: Box::new(unknown()) }),
        Status::Unknown
    );
}

#[test]
fn an_ingest_that_was_undone_changed_nothing() {
    let undone = StoreError::Undone { what: "the ingest", source: "disk full".into() };
    assert_eq!(status(undone), Status::Failed);
    let left = StoreError::LeftOpen {
        what: "the ingest",
        name: name(),
        failure: String::new(),
        source: Box::new(still_open(KindError::Invalid(String::new()))),
    };
    let report = CommandError::from(left).report(None);
    assert!(report.contains("next: pantler transaction show w/1"), "{report}");
}
