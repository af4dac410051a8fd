pub(super) mod collections;
pub(super) mod dataset_types;
mod datasets;
mod provenance;
pub(super) mod records;

use crate::{context::Context, error::CommandResult};

/// Look at what a repository holds
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Query {
    Datasets(datasets::Args),
    Collections(collections::Args),
    DatasetTypes(dataset_types::Args),
    Records(records::Args),
    Provenance(provenance::Args),
}

impl Query {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        match self {
            Self::Datasets(args) => datasets::run(context, args),
            Self::Collections(args) => collections::run(context, args),
            Self::DatasetTypes(args) => dataset_types::run(context, args),
            Self::Records(args) => records::run(context, args),
            Self::Provenance(args) => provenance::run(context, args),
        }
    }
}
