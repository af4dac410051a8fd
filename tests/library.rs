//! What tests of the library share: butlers on the repository of a project.

use std::{collections::BTreeMap, sync::Arc};

use camino::Utf8PathBuf;
use pantler::{
    butler::request::{IngestFile, IngestRequest, NoProgress, StoreReport},
    core::{
        CollectionName, DataId, DatasetType, DatasetTypeName, KeyValue, StorageClass,
        TransactionName, transaction::Closing,
    },
    datastore::{Datastore, Storage, testing::FailingStorage},
    direct::{CloseOptions, Closed, DirectButler, Environment, StoreError},
    registry::OpenOptions,
    workspace::{CloseNotice, WorkspaceError, close, open_butler},
};
use pantler_testkit::Project;

pub(crate) struct Quiet;

impl CloseNotice for Quiet {
    // A program that another test starts has the lock's file until it is loaded: for a
    // moment, this process waits for itself.
    fn waiting_for(&mut self, _: &str) {}
}

pub(crate) fn butler(project: &Project) -> DirectButler {
    butler_with(project, &OpenOptions::default())
}

pub(crate) fn butler_with(project: &Project, options: &OpenOptions) -> DirectButler {
    open_butler(&project.repo(), Environment::of_this_process("tester"), options).unwrap()
}

/// A butler whose database may not grow.
pub(crate) fn butler_on_full_disk(project: &Project) -> DirectButler {
    // The limit is never less than what there is.
    butler_with(project, &OpenOptions { max_page_count: Some(1), ..OpenOptions::default() })
}

/// The same storage, behind one that fails when it is told to.
pub(crate) fn failing(datastore: &Datastore) -> (Datastore, Arc<FailingStorage>) {
    let failing = Arc::new(FailingStorage::new(Arc::clone(datastore.storage())));
    let storage: Arc<dyn Storage> = Arc::<FailingStorage>::clone(&failing);
    (Datastore::with_storage(storage, datastore.config().clone()), failing)
}

pub(crate) fn collection(name: &str) -> CollectionName {
    CollectionName::new(name).unwrap()
}

pub(crate) fn close_workspace(
    butler: &DirectButler,
    name: &str,
    closing: Closing,
) -> Result<Closed, WorkspaceError> {
    close(butler, &collection(name), closing, CloseOptions::default(), &mut Quiet)
}

/// Ingests files as numbers of a toy project's items, as its own ingest would.
pub(crate) fn ingest(
    butler: &DirectButler,
    files: &[(&str, Utf8PathBuf)],
) -> Result<StoreReport, StoreError> {
    let universe = butler.universe();
    let dataset_type = Arc::new(DatasetType {
        name: DatasetTypeName::new("number").unwrap(),
        dimensions: universe.group(["item"]).unwrap(),
        storage_class: StorageClass::Text,
    });
    let files = files.iter().map(|(item, source)| {
        let values = BTreeMap::from([("item".to_owned(), KeyValue::from(*item))]);
        let data_id = DataId::new(universe, &dataset_type.dimensions, values).unwrap();
        IngestFile::one(Arc::clone(&dataset_type), data_id, source.clone())
    });
    let name = TransactionName::new("toy/raw/ingest").unwrap();
    let request = IngestRequest::new(name, collection("toy/raw"), files.collect()).registering();
    butler.ingest(&request, &NoProgress)
}

/// The files of a toy project.
pub(crate) fn files_of<'i>(project: &Project, items: &[&'i str]) -> Vec<(&'i str, Utf8PathBuf)> {
    let data = project.path().join("data");
    items.iter().map(|item| (*item, data.join(format!("{item}.txt")))).collect()
}
