//! What one line names.

use std::sync::Arc;

use pantler_butler::request::{NewDataset, PutItem, PutRequest, StoreOptions};
use pantler_core::{CollectionName, DataId, DatasetId, DatasetType, DatasetTypeName};
use pantler_direct::{DirectButler, Puts, StoreError, read_index_line};
use pantler_registry::RegistryError;

use crate::{
    context::Context,
    error::{CommandError, Next, Status},
};

/// A line that names no dataset.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("it is not UTF-8")]
    NotText,
    #[error("{0}")]
    Syntax(String),
    #[error("it says no `type`, and --type is not given")]
    NoType,
    #[error("a part of a file cannot be put: ingest it")]
    Part,
    #[error("`file` is `-`: only `pantler put` reads content from standard input")]
    StandardInput,
    #[error("{run} has {dataset} and it is not stored: a put session only adds datasets")]
    OnlyAdds { run: CollectionName, dataset: String },
}

/// Why a line was not stored.
pub(super) enum Failure {
    /// Others may be.
    Line(CommandError),
    /// It is useless to go on, or wrong before somebody has looked.
    Session(CommandError),
}

impl Failure {
    /// The error itself.
    pub(super) fn error(&self) -> &CommandError {
        let (Self::Line(error) | Self::Session(error)) = self;
        error
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        if error.status() == Status::Failed { Self::Line(error) } else { Self::Session(error) }
    }
}

impl From<LineError> for Failure {
    fn from(error: LineError) -> Self {
        Self::Line(CommandError::failed(error))
    }
}

/// A dataset to be put.
pub(super) struct Item {
    dataset_type: Arc<DatasetType>,
    data_id: DataId,
    content: Vec<u8>,
}

impl Item {
    /// Reads a line, and the file that it names.
    pub(super) fn read(
        context: &Context,
        butler: &DirectButler,
        default_type: Option<&DatasetTypeName>,
        line: &[u8],
    ) -> Result<Self, Failure> {
        let line = std::str::from_utf8(line).map_err(|_| LineError::NotText)?;
        let row = read_index_line("", line).map_err(LineError::Syntax)?;
        if row.slice.is_some() {
            return Err(LineError::Part.into());
        }
        if row.file == "-" {
            return Err(LineError::StandardInput.into());
        }
        let name = row.dataset_type.as_ref().or(default_type).ok_or(LineError::NoType)?;
        let dataset_type = match butler.registry().known_dataset_type(name) {
            Some(known) => known,
            None => registered(butler, name)?,
        };
        let data_id = DataId::parse(butler.universe(), &dataset_type.dimensions, &row.values)
            .map_err(CommandError::failed)?;
        let content = crate::commands::put::read(context, &row.file)?;
        Ok(Self { dataset_type, data_id, content })
    }

    /// Stores it.
    pub(super) fn put(&self, puts: &Puts<'_>) -> Result<DatasetId, Failure> {
        match puts.put(&self.content, &self.dataset_type.name, &self.data_id) {
            Ok(dataset) => Ok(dataset.id),
            Err(error @ StoreError::SessionEnded { .. }) => Err(Failure::Session(error.into())),
            Err(error) => Err(CommandError::from(error).into()),
        }
    }

    /// Says what putting it into `run` would do, and does nothing.
    pub(super) fn plan(
        self,
        butler: &DirectButler,
        run: &CollectionName,
    ) -> Result<String, Failure> {
        let words = format!("{} {}", self.dataset_type.name, self.data_id);
        let dataset = NewDataset::new(self.dataset_type, self.data_id);
        let request = PutRequest {
            name: None,
            run: run.clone(),
            items: vec![PutItem { dataset, content: self.content.into() }],
            options: StoreOptions::default(),
        };
        let plan = butler.plan_put(&request).map_err(CommandError::from)?;
        if !plan.restored.is_empty() {
            let error = LineError::OnlyAdds { run: run.clone(), dataset: words };
            let put = Next::plain("`pantler put` of it, which stores it again");
            return Err(CommandError::failed(error).next(put).into());
        }
        Ok(if plan.skipped > 0 {
            format!("{words} is in {run} already, with this content")
        } else {
            format!("would store {words} in {run}")
        })
    }
}

/// A dataset type as it is registered.
pub(super) fn registered(
    butler: &DirectButler,
    name: &DatasetTypeName,
) -> Result<Arc<DatasetType>, CommandError> {
    let found = butler.registry().read(|reader| reader.dataset_type(name))?;
    Ok(found.ok_or_else(|| RegistryError::UnknownDatasetType { name: name.clone() })?)
}
