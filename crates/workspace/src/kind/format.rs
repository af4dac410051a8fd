//! A workspace transaction as it stands in the database and in
//! `transaction.json`: version 1 is a quantum graph's, version 2 that of one with shards,
//! version 3 a ledger's.

use std::collections::BTreeSet;

use pantler_butler::transaction::{DecodeError, TransactionKind as _};
use pantler_core::{Checksum, CollectionName, ElementName};
use serde::{Deserialize, Serialize};

use super::{Source, WorkspaceTransaction};
use crate::Shard;

/// Without shards: what older programs read.
const WHOLE: u32 = 1;
const SHARDED: u32 = 2;
const LEDGER: u32 = 3;

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

/// Programs that know graphs only must not take a ledger for a graph that was not built.
#[derive(Serialize, Deserialize)]
struct DataV3 {
    version: u32,
    run: CollectionName,
    chain: Option<CollectionName>,
    inputs: Vec<CollectionName>,
    input_runs: Vec<CollectionName>,
    searched: Vec<CollectionName>,
    source: SourceV3,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SourceV3 {
    Ledger,
}

pub(super) fn data(workspace: &WorkspaceTransaction) -> String {
    let text = match workspace.source {
        Source::Ledger => serde_json::to_string(&data_v3(workspace)),
        Source::Graph if workspace.shard_by.is_empty() => {
            serde_json::to_string(&data_v1(workspace))
        }
        Source::Graph => {
            let common = DataV1 { version: SHARDED, ..data_v1(workspace) };
            let (shard_by, committed) = (workspace.shard_by.clone(), workspace.committed.clone());
            serde_json::to_string(&DataV2 { common, shard_by, committed })
        }
    };
    text.expect("names serialize")
}

fn data_v3(workspace: &WorkspaceTransaction) -> DataV3 {
    let WorkspaceTransaction { run, chain, inputs, input_runs, searched, .. } = workspace.clone();
    DataV3 { version: LEDGER, run, chain, inputs, input_runs, searched, source: SourceV3::Ledger }
}

fn data_v1(workspace: &WorkspaceTransaction) -> DataV1 {
    let WorkspaceTransaction {
        run,
        chain,
        inputs,
        input_runs,
        searched,
        source: _,
        pipeline_file,
        pipeline_digest,
        reuse,
        project,
        shard_by: _,
        committed: _,
        pipeline: _,
    } = workspace.clone();
    let searched = (searched != input_runs).then_some(searched);
    DataV1 {
        version: WHOLE,
        run,
        chain,
        inputs,
        input_runs,
        searched,
        pipeline_file,
        pipeline_digest,
        reuse,
        project,
    }
}

pub(super) fn decode(data: &str) -> Result<WorkspaceTransaction, DecodeError> {
    let kind = WorkspaceTransaction::KIND;
    let damaged = |e: serde_json::Error| DecodeError::Damaged { kind, reason: e.to_string() };
    let VersionOnly { version } = serde_json::from_str(data).map_err(damaged)?;
    if version == LEDGER {
        let data: DataV3 = serde_json::from_str(data).map_err(damaged)?;
        let SourceV3::Ledger = data.source;
        return Ok(WorkspaceTransaction {
            run: data.run,
            chain: data.chain,
            inputs: data.inputs,
            input_runs: data.input_runs,
            searched: data.searched,
            source: Source::Ledger,
            pipeline_file: String::new(),
            pipeline_digest: Checksum::of(&[]),
            reuse: Vec::new(),
            project: None,
            shard_by: Vec::new(),
            committed: BTreeSet::new(),
            pipeline: None,
        });
    }
    let (data, shard_by, committed) = match version {
        WHOLE => (serde_json::from_str(data).map_err(damaged)?, Vec::new(), BTreeSet::new()),
        SHARDED => {
            let read: DataV2 = serde_json::from_str(data).map_err(damaged)?;
            (read.common, read.shard_by, read.committed)
        }
        found => return Err(DecodeError::Version { kind, found, supported: LEDGER }),
    };
    let data: DataV1 = data;
    Ok(WorkspaceTransaction {
        run: data.run,
        chain: data.chain,
        inputs: data.inputs,
        searched: data.searched.unwrap_or_else(|| data.input_runs.clone()),
        input_runs: data.input_runs,
        source: Source::Graph,
        pipeline_file: data.pipeline_file,
        pipeline_digest: data.pipeline_digest,
        reuse: data.reuse,
        project: data.project,
        shard_by,
        committed,
        pipeline: None,
    })
}
