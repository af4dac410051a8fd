//! Creating a workspace that a ledger fills.

use std::collections::BTreeSet;

use pantler_core::{Checksum, CollectionName, OpeningId};
use pantler_direct::DirectButler;
use pantler_registry::Reader;

use super::{LedgerTypes, LedgerWorkspace};
use crate::{
    WorkspaceError, WorkspaceTransaction,
    create::{begin, find_inputs},
    kind::Source,
};

/// What a workspace without a pipeline is for.
#[derive(Debug, Clone)]
pub struct LedgerRequest {
    /// The RUN that it makes; also its name.
    pub run: CollectionName,
    /// The chain that gets the RUN as its new head.
    pub chain: Option<CollectionName>,
    /// What is read for it, in search order; the chain gets these, too. May be empty.
    pub inputs: Vec<CollectionName>,
}

/// Opens a workspace that a ledger fills: its RUN is registered and locked, its root made.
/// `opening` is a new id, from which the ids of its datasets follow.
///
/// # Errors
/// [`WorkspaceError`]; nothing is open then, except after
/// [`RootNotMade`](pantler_direct::ButlerError::RootNotMade), which names the open transaction.
pub fn create(
    butler: &DirectButler,
    opening: OpeningId,
    request: &LedgerRequest,
) -> Result<LedgerWorkspace, WorkspaceError> {
    let LedgerRequest { run, chain, inputs } = request;
    let (searched, input_runs) = find_inputs(butler, run, chain.as_ref(), inputs)?;
    let types = butler.registry().read(Reader::dataset_types)?;
    let content = LedgerTypes::new(butler.universe(), types).encode();
    let transaction = WorkspaceTransaction {
        run: run.clone(),
        chain: chain.clone(),
        inputs: inputs.clone(),
        input_runs,
        searched,
        source: Source::Ledger,
        pipeline_file: String::new(),
        pipeline_digest: Checksum::of(&[]),
        project: None,
        pipeline: Some(content.clone()),
        reuse: Vec::new(),
        shard_by: Vec::new(),
        committed: BTreeSet::new(),
    };
    let client = begin(butler, opening, transaction, |root| LedgerTypes::write(root, &content))?;
    Ok(LedgerWorkspace::open(client)?)
}
