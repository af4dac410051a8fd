//! No delete scans a table.

use super::*;
use crate::datasets::{Scope, Selection};
use crate::{
    LockKind, claims, collections, dataset_changes, dataset_types, expectations, file_records,
    locks, manifest, tags,
};

#[test]
fn deletes_search_by_index() -> Tested {
    let fixture = filled();
    let raw = fixture.raw();
    let dimensions = fixture.group(&["visit", "detector"]);
    let dimensions = dimensions.required();
    let mut statements = vec![
        file_records::DISCARD.to_owned(),
        dataset_changes::FIND.to_owned(),
        dataset_changes::DELETE_DATASET.to_owned(),
        dataset_changes::DELETE_RECORDS.to_owned(),
        tags::IS_STORED.to_owned(),
        tags::find_tag(1),
        tags::insert_tag(1, dimensions),
        tags::find_in_place(1, dimensions),
        tags::delete_tag(1),
        tags::delete_members(1),
        tags::runs_of_members(1),
        tags::count_members(1),
        dataset_types::any_dataset(1),
        dataset_types::DELETE.to_owned(),
        collections::DISCARD_RUN.to_owned(),
        collections::DELETE_CHILDREN.to_owned(),
        claims::DELETE.to_owned(),
        manifest::DELETE.to_owned(),
        expectations::OF_LOCATION.to_owned(),
        expectations::COUNT_AT.to_owned(),
        expectations::IS_STORED.to_owned(),
        expectations::CHAINS_OF.to_owned(),
        expectations::ANY_OF_RUN.to_owned(),
        expectations::DELETE_COLLECTION.to_owned(),
    ];
    statements.extend(locks::DELETE.map(str::to_owned));
    let holders = [LockKind::Modified, LockKind::InsertOnly, LockKind::Input];
    statements.extend(holders.map(|kind| kind.holders().to_owned()));
    for sql in statements {
        let plan = plan(&raw, &sql)?;
        assert!(plan.iter().any(|line| line.starts_with("SEARCH")), "{sql}: {plan:?}");
        // But for a list of datasets, which is gone through from end to end.
        let is_scan = |line: &String| {
            line.starts_with("SCAN") && !line.starts_with("SCAN json_each VIRTUAL TABLE")
        };
        assert!(!plan.iter().any(is_scan), "{sql}: {plan:?}");
    }
    Ok(())
}

/// `EXPLAIN` does not show how SQLite looks for children of a deleted row: each
/// foreign key needs an index that starts with its columns.
#[test]
fn foreign_keys_have_an_index_on_the_child() -> Tested {
    let fixture = filled();
    let raw = fixture.raw();
    let list = |sql: &str| -> rusqlite::Result<Vec<String>> {
        raw.prepare(sql)?.query_map((), |row| row.get(0))?.collect()
    };
    let mut keys = 0;
    for table in list("SELECT name FROM sqlite_master WHERE type = 'table'")? {
        let mut foreign: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        let mut statement = raw.prepare(&format!(
            "SELECT id, \"from\" FROM pragma_foreign_key_list('{table}') ORDER BY id, seq"
        ))?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            foreign.entry(row.get(0)?).or_default().push(row.get(1)?);
        }
        let indexes = list(&format!("SELECT name FROM pragma_index_list('{table}')"))?;
        for columns in foreign.into_values() {
            keys += 1;
            let found = indexes.iter().any(|index| {
                let own =
                    list(&format!("SELECT name FROM pragma_index_info('{index}') ORDER BY seqno"))
                        .unwrap();
                own.starts_with(&columns)
            });
            assert!(found, "{table} {columns:?}");
        }
    }
    // Those of v1.sql, of the elements of the universe, and of two membership tables.
    assert!(keys > 15, "{keys}");
    Ok(())
}

#[test]
fn queries_search_by_index() -> Tested {
    let fixture = filled();
    let raw = fixture.raw();
    fixture.read(|reader| {
        let types = reader.types()?;
        let image = types.named(&type_name("image")).unwrap();
        let select = |scope, pairs: &[(&str, KeyValue)]| {
            let sql = Selection::new(reader, image, &constraint(pairs), scope).unwrap().sql;
            let plan = plan(&raw, &sql).unwrap();
            // The list of datasets asked for is gone through from end to end.
            let is_list = |line: &String| line.starts_with("SCAN i VIRTUAL TABLE");
            assert!(
                plan.iter().all(|line| line.starts_with("SEARCH") || is_list(line)),
                "{sql}: {plan:?}"
            );
        };
        select(Scope::All, &[]);
        select(Scope::Collection, &[]);
        select(
            Scope::Collection,
            &[("instrument", "cam".into()), ("visit", 1.into()), ("detector", 1.into())],
        );
        select(Scope::Datasets, &[]);
        select(Scope::Memberships, &[]);
        Ok::<_, RegistryError>(())
    })?;
    Ok(())
}

fn plan(raw: &rusqlite::Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    // Parameters stay unbound: the plan does not depend on them.
    let mut rows = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next()? {
        plan.push(row.get(3)?);
    }
    Ok(plan)
}
