//! A workspace transaction as it stands in the database and in
//! `transaction.json`: version 1 is a quantum graph's, version 2 a ledger's.

use pantler_butler::transaction::{DecodeError, TransactionKind as _};
use pantler_core::{Checksum, CollectionName};
use serde::{Deserialize, Serialize};

use super::{Source, WorkspaceTransaction};

/// The newest version.
const VERSION: u32 = 2;

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
    project: Option<String>,
}

/// Programs that know version 1 only must not take a ledger for a graph that was not built.
#[derive(Serialize, Deserialize)]
struct DataV2 {
    version: u32,
    run: CollectionName,
    chain: Option<CollectionName>,
    inputs: Vec<CollectionName>,
    input_runs: Vec<CollectionName>,
    searched: Vec<CollectionName>,
    source: SourceV2,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SourceV2 {
    Ledger,
}

pub(super) fn data(workspace: &WorkspaceTransaction) -> String {
    let text = match workspace.source {
        Source::Graph => serde_json::to_string(&data_v1(workspace)),
        Source::Ledger => serde_json::to_string(&data_v2(workspace)),
    };
    text.expect("names serialize")
}

fn data_v2(workspace: &WorkspaceTransaction) -> DataV2 {
    let WorkspaceTransaction { run, chain, inputs, input_runs, searched, .. } = workspace.clone();
    DataV2 { version: 2, run, chain, inputs, input_runs, searched, source: SourceV2::Ledger }
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
        project,
        pipeline: _,
    } = workspace.clone();
    let searched = (searched != input_runs).then_some(searched);
    DataV1 {
        version: 1,
        run,
        chain,
        inputs,
        input_runs,
        searched,
        pipeline_file,
        pipeline_digest,
        project,
    }
}

pub(super) fn decode(data: &str) -> Result<WorkspaceTransaction, DecodeError> {
    let kind = WorkspaceTransaction::KIND;
    let damaged = |e: serde_json::Error| DecodeError::Damaged { kind, reason: e.to_string() };
    let VersionOnly { version } = serde_json::from_str(data).map_err(damaged)?;
    if version == 2 {
        let data: DataV2 = serde_json::from_str(data).map_err(damaged)?;
        let SourceV2::Ledger = data.source;
        return Ok(WorkspaceTransaction {
            run: data.run,
            chain: data.chain,
            inputs: data.inputs,
            input_runs: data.input_runs,
            searched: data.searched,
            source: Source::Ledger,
            pipeline_file: String::new(),
            pipeline_digest: Checksum::of(&[]),
            project: None,
            pipeline: None,
        });
    }
    if version != 1 {
        return Err(DecodeError::Version { kind, found: version, supported: VERSION });
    }
    let data: DataV1 = serde_json::from_str(data).map_err(damaged)?;
    Ok(WorkspaceTransaction {
        run: data.run,
        chain: data.chain,
        inputs: data.inputs,
        searched: data.searched.unwrap_or_else(|| data.input_runs.clone()),
        input_runs: data.input_runs,
        source: Source::Graph,
        pipeline_file: data.pipeline_file,
        pipeline_digest: data.pipeline_digest,
        project: data.project,
        pipeline: None,
    })
}
