//! Changes of rows alone: one database transaction, or the same undone for a dry run.

use pantler_direct::DirectButler;
use pantler_registry::{RegistryError, Writer};

use crate::error::CommandError;

/// Whether to change anything.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct DryRun {
    /// Say what would be done, or why it cannot be, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl DryRun {
    /// `done`, or what would be.
    pub(crate) fn either<'t>(self, done: &'t str, would_be: &'t str) -> &'t str {
        if self.dry_run { would_be } else { done }
    }

    /// Calls `work` in a database transaction, which is undone if this is a dry run: all
    /// that the database would refuse is refused then too.
    pub(crate) fn write<T>(
        self,
        butler: &DirectButler,
        work: impl FnOnce(&Writer) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let written = butler.registry().write(|writer| {
            let value = work(writer).map_err(Undone::Failed)?;
            if self.dry_run { Err(Undone::Tried(value)) } else { Ok(value) }
        });
        match written {
            Ok(value) | Err(Undone::Tried(value)) => Ok(value),
            Err(Undone::Failed(error)) => Err(error),
        }
    }
}

/// Why a database transaction is not committed.
enum Undone<T> {
    Tried(T),
    Failed(CommandError),
}

impl<T> From<RegistryError> for Undone<T> {
    fn from(error: RegistryError) -> Self {
        Self::Failed(error.into())
    }
}
