//! The traits of `pantler::butler`: one way to reach datasets in a repository, in an open
//! workspace and in a running quantum (the latter: `exec::run::tests`).

use pantler::{
    butler::{AccessError, Butler, LimitedButler, request::RemoveRequest},
    core::{DatasetId, DatasetRef},
    direct::DirectButler,
    registry::DatasetQuery,
    workspace::Workspaces as _,
};

use crate::{
    library::{butler, collection},
    toy::toy,
};

/// What a program needs that is written for any client.
fn contents(client: &dyn LimitedButler, datasets: &[DatasetId]) -> Vec<Vec<u8>> {
    let whole = client.get_many(datasets).unwrap();
    for (dataset, whole) in datasets.iter().zip(&whole) {
        assert_eq!(&client.get(*dataset).unwrap(), whole);
        let deferred = client.get_deferred(*dataset).unwrap();
        assert_eq!(deferred.size(), whole.len() as u64);
        assert_eq!(deferred.read().unwrap(), *whole);
        assert_eq!(deferred.read_range(1, 1).unwrap(), whole[1..2]);
        let mut out = Vec::new();
        assert_eq!(deferred.copy_to(&mut out).unwrap(), deferred.size());
        assert_eq!(out, *whole);
    }
    let uris = client.get_uris(datasets).unwrap();
    assert!(uris.iter().all(|uri| uri.starts_with("file:///")), "{uris:?}");
    assert_eq!(client.stored_many(datasets).unwrap(), vec![true; datasets.len()]);
    whole
}

fn ids(butler: &DirectButler, dataset_type: &str) -> Vec<DatasetId> {
    let query = DatasetQuery {
        dataset_types: Some(vec![dataset_type.parse().unwrap()]),
        ..DatasetQuery::default()
    };
    let rows = butler.query_datasets(&query).unwrap();
    rows.into_iter().map(|row| row.dataset.id).collect()
}

#[test]
fn a_repository_is_a_butler() {
    let project = toy(&["a", "b"]);
    project.run(&[]).expect(0);
    let butler = butler(&project);
    let numbers = ids(&butler, "number");
    assert_eq!(contents(&butler, &numbers).len(), 2);

    let (row, expanded) = butler.expand_existing_dataset_refs(&numbers).unwrap().remove(0);
    assert_eq!(expanded.data_id, row.dataset.data_id);
    assert!(expanded.records.contains_key("item"), "{expanded:?}");

    // By the trait, with an id that the caller chose.
    let chosen = DatasetRef {
        id: butler.environment().new_dataset(),
        run: collection("mine"),
        ..row.dataset
    };
    LimitedButler::put(&butler, &chosen, b"31").unwrap();
    assert_eq!(LimitedButler::get(&butler, chosen.id).unwrap(), b"31");
    let request =
        RemoveRequest { name: None, datasets: vec![chosen.id], purge: false, force: false };
    Butler::remove_datasets(&butler, &request).unwrap();
    assert!(!butler.stored(chosen.id).unwrap());
    let get = LimitedButler::get(&butler, chosen.id);
    assert!(matches!(get, Err(AccessError::NotStored(id)) if id == chosen.id));
    LimitedButler::put(&butler, &chosen, b"31").unwrap();
    assert_eq!(LimitedButler::get(&butler, chosen.id).unwrap(), b"31");
    let report = butler.remove_runs(&[collection("mine")], false).unwrap().remove(0);
    assert_eq!((report.datasets, report.artifacts), (1, 1));
    let get = LimitedButler::get(&butler, chosen.id);
    assert!(matches!(get, Err(AccessError::Unknown(_))));
}

#[test]
fn an_open_workspace_is_a_limited_butler() {
    let project = toy(&["a", "b"]);
    project.run(&["--no-commit"]).expect(0);
    let butler = butler(&project);
    let open = butler.list_transactions().unwrap().remove(0);
    let name = collection(open.name.as_str());
    let client = butler.make_workspace_client(&name).unwrap();
    let graph = client.graph().unwrap();
    let reader = client.reader(&graph, std::sync::Arc::clone(butler.universe())).unwrap();
    let all: Vec<DatasetRef> = graph
        .datasets()
        .map(|index| graph.dataset(index))
        .filter(|dataset| !dataset.dataset_type.name.as_str().ends_with("_log"))
        .map(|dataset| DatasetRef {
            id: dataset.id,
            dataset_type: dataset.dataset_type,
            data_id: dataset.data_id,
            run: name.clone(),
        })
        .collect();
    assert_eq!(all.len(), 5, "two numbers, two copies, one total");
    let ids: Vec<DatasetId> = all.iter().map(|dataset| dataset.id).collect();
    assert_eq!(contents(&reader, &ids).len(), 5);
    assert!(!reader.is_writeable());
    let put = reader.put(&all[0], b"x");
    assert!(matches!(put, Err(AccessError::Refused { .. })));
    // Nothing of it is in the repository yet.
    let copy = all.iter().find(|d| d.dataset_type.name.as_str() == "copy").unwrap();
    let get = LimitedButler::get(&butler, copy.id);
    assert!(matches!(get, Err(AccessError::Unknown(_))));
    drop((reader, client));
    butler.commit_transaction(&open.name).unwrap();
    assert!(butler.stored(copy.id).unwrap());
    assert!(butler.vacuum_workspaces(true).unwrap().is_empty());
}
