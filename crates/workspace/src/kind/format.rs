//! A workspace transaction as it stands in the database and in
//! `transaction.json`, version 1.

use pantler_butler::transaction::{DecodeError, TransactionKind as _};
use pantler_core::{Checksum, CollectionName};
use serde::{Deserialize, Serialize};

use super::WorkspaceTransaction;

const VERSION: u32 = 1;

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct DataV1 {
    version: u32,
    run: CollectionName,
    chain: Option<CollectionName>,
    inputs: Vec<CollectionName>,
    input_runs: Vec<CollectionName>,
    /// Given only where it differs from the input RUNs: where TAGGED collections are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    searched: Option<Vec<CollectionName>>,
    pipeline_file: String,
    pipeline_digest: Checksum,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reuse: Vec<CollectionName>,
    project: Option<String>,
}

pub(super) fn data(workspace: &WorkspaceTransaction) -> String {
    let WorkspaceTransaction {
        run,
        chain,
        inputs,
        input_runs,
        searched,
        pipeline_file,
        pipeline_digest,
        reuse,
        project,
        pipeline: _,
    } = workspace.clone();
    let searched = (searched != input_runs).then_some(searched);
    let data = DataV1 {
        version: VERSION,
        run,
        chain,
        inputs,
        input_runs,
        searched,
        pipeline_file,
        pipeline_digest,
        reuse,
        project,
    };
    serde_json::to_string(&data).expect("names serialize")
}

pub(super) fn decode(data: &str) -> Result<WorkspaceTransaction, DecodeError> {
    let kind = WorkspaceTransaction::KIND;
    let damaged = |e: serde_json::Error| DecodeError::Damaged { kind, reason: e.to_string() };
    let VersionOnly { version } = serde_json::from_str(data).map_err(damaged)?;
    if version != VERSION {
        return Err(DecodeError::Version { kind, found: version, supported: VERSION });
    }
    let data: DataV1 = serde_json::from_str(data).map_err(damaged)?;
    Ok(WorkspaceTransaction {
        run: data.run,
        chain: data.chain,
        inputs: data.inputs,
        searched: data.searched.unwrap_or_else(|| data.input_runs.clone()),
        input_runs: data.input_runs,
        pipeline_file: data.pipeline_file,
        pipeline_digest: data.pipeline_digest,
        reuse: data.reuse,
        project: data.project,
        pipeline: None,
    })
}
