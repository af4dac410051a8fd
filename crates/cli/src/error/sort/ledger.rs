//! Workspaces that a ledger fills.

use pantler_registry::RegistryError;
use pantler_workspace::ledger::LedgerError;

use super::{Next, Sorted, Status, repository};

pub(super) fn ledger(error: &LedgerError) -> Sorted {
    let unchanged = Sorted::unchanged();
    let open = |next: Next| Sorted {
        status: Status::LeftOpen,
        state: "the workspace is open; what was written is kept".to_owned(),
        next: Some(next),
    };
    match error {
        LedgerError::NotALedger(run) => {
            unchanged.then(Next::command(format_args!("workspace status {run}")))
        }
        LedgerError::IsALedger(run) => {
            let ways = ["put", "commit"].map(|verb| format!("workspace {verb} {run}"));
            unchanged.then(Next::one_of(ways.map(Next::command)))
        }
        LedgerError::UnknownTypes { run, names } => {
            let first = names.first().map(ToString::to_string).unwrap_or_default();
            open(Next::plain(format!(
                "`pantler dataset-type register {first}`, then `pantler workspace commit {run}`"
            )))
        }
        LedgerError::MissingRecord { run, source } => {
            let record = match &**source {
                RegistryError::MissingDimensionRecord { element, data_id } => {
                    format!("{element} {}", repository::assignments(data_id))
                }
                _ => "ELEMENT KEY=VALUE…".to_owned(),
            };
            open(Next::plain(format!(
                "`pantler record insert {record}`, then `pantler workspace commit {run}`"
            )))
        }
        LedgerError::Taken { dataset_type, .. } => unchanged.then(Next::plain(format!(
            "give it another data ID, or keep the {dataset_type} that is there"
        ))),
        LedgerError::Datastore(_)
        | LedgerError::Storage(_)
        | LedgerError::Io { .. }
        | LedgerError::Journal(_) => {
            open(Next::plain("the same command again: it tells whether the dataset is there"))
        }
        LedgerError::Damaged { .. } => {
            open(Next::plain("`pantler workspace revert NAME` or `abandon` need no ledger"))
        }
        _ => unchanged,
    }
}
