//! A workspace transaction as it stands in the database and in
//! `transaction.json`: version 1, or version 2 for one with shards.

use std::collections::BTreeSet;

use pantler_butler::transaction::{DecodeError, TransactionKind as _};
use pantler_core::{Checksum, CollectionName, ElementName};
use serde::{Deserialize, Serialize};

use super::WorkspaceTransaction;
use crate::Shard;

/// Without shards: what older programs read.
const WHOLE: u32 = 1;
const SHARDED: u32 = 2;

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

#[derive(Serialize, Deserialize)]
struct DataV2 {
    #[serde(flatten)]
    common: DataV1,
    shard_by: Vec<ElementName>,
    committed: BTreeSet<Shard>,
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
        shard_by,
        committed,
        pipeline: _,
    } = workspace.clone();
    let searched = (searched != input_runs).then_some(searched);
    let data = DataV1 {
        version: if shard_by.is_empty() { WHOLE } else { SHARDED },
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
    let text = if shard_by.is_empty() {
        serde_json::to_string(&data)
    } else {
        serde_json::to_string(&DataV2 { common: data, shard_by, committed })
    };
    text.expect("names serialize")
}

pub(super) fn decode(data: &str) -> Result<WorkspaceTransaction, DecodeError> {
    let kind = WorkspaceTransaction::KIND;
    let damaged = |e: serde_json::Error| DecodeError::Damaged { kind, reason: e.to_string() };
    let VersionOnly { version } = serde_json::from_str(data).map_err(damaged)?;
    let (data, shard_by, committed) = match version {
        WHOLE => (serde_json::from_str(data).map_err(damaged)?, Vec::new(), BTreeSet::new()),
        SHARDED => {
            let read: DataV2 = serde_json::from_str(data).map_err(damaged)?;
            (read.common, read.shard_by, read.committed)
        }
        found => return Err(DecodeError::Version { kind, found, supported: SHARDED }),
    };
    let data: DataV1 = data;
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
        shard_by,
        committed,
        pipeline: None,
    })
}
