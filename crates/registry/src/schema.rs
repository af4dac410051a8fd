//! The tables: names, definitions and version. What does not depend on the universe
//! is in `schema/v1.sql`.
//!
//! - `element_<name>`: columns `d_<dimension>` for the required dimensions of the
//!   element's group (the primary key), then for those it implies directly, then
//!   `m_<field>` for its metadata.
//! - `membership_<id of dimension_group>`: `dataset_type`, `collection`,
//!   `d_<dimension>` for the required dimensions, `dataset`.
//!
//! The prefixes keep a dimension called `dataset` or `collection` apart from the
//! other columns.

use std::fmt::Write as _;

use pantler_core::{
    DatastoreConfig, DimensionGroup, Element, ElementName, KeyType, MetadataType, Universe,
};
use uuid::Uuid;

use crate::{RegistryError, sqlite::Db};

/// The schema version that this program writes, and the newest that it knows.
pub const SCHEMA_VERSION: u32 = 1;

const V1: &str = include_str!("../schema/v1.sql");

/// Makes all tables, inside of a transaction that the caller commits. Returns
/// whether there was anything to do.
pub(crate) fn create(
    db: Db<'_>,
    universe: &Universe,
    config: &DatastoreConfig,
    repository: Uuid,
) -> Result<bool, RegistryError> {
    if !is_empty(db)? {
        check_registry(db)?;
        return if read_universe(db)? == *universe {
            Ok(false)
        } else {
            Err(RegistryError::OtherUniverse { path: db.path.to_owned() })
        };
    }
    db.batch(V1)?;
    for element in universe.elements() {
        db.batch(&element_table(universe, element))?;
    }
    let config = serde_json::to_string(config).expect("a plain struct serializes");
    for (name, value) in [
        ("schema_version", SCHEMA_VERSION.to_string()),
        ("universe", universe.to_json()),
        ("datastore_config", config),
        ("repository", repository.to_string()),
    ] {
        db.execute("INSERT INTO attributes (name, value) VALUES (?1, ?2)", (name, value))?;
    }
    Ok(true)
}

fn is_empty(db: Db<'_>) -> Result<bool, RegistryError> {
    let sql = "SELECT 1 FROM sqlite_master LIMIT 1";
    Ok(db.first(sql, (), |_| Ok(()))?.is_none())
}

/// Refuses a database that this program does not know how to read or write.
pub(crate) fn check_version(db: Db<'_>) -> Result<(), RegistryError> {
    let text = attribute(db, "schema_version")?;
    let found: u32 = text.parse().map_err(|e| db.corrupt(format_args!("schema version: {e}")))?;
    if found > SCHEMA_VERSION {
        return Err(RegistryError::NewerSchema { found, supported: SCHEMA_VERSION });
    }
    if found == SCHEMA_VERSION {
        Ok(())
    } else {
        Err(db.corrupt(format_args!("schema version {found} never was")))
    }
}

/// Like [`check_version`], for a database of which nothing is known yet.
pub(crate) fn check_registry(db: Db<'_>) -> Result<(), RegistryError> {
    let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'attributes'";
    if db.first(sql, (), |_| Ok(()))?.is_none() {
        return Err(RegistryError::NotARegistry { path: db.path.to_owned() });
    }
    check_version(db)
}

/// Reads an attribute, which must be there.
pub(crate) fn attribute(db: Db<'_>, name: &str) -> Result<String, RegistryError> {
    db.first("SELECT value FROM attributes WHERE name = ?1", [name], |row| row.get(0))?
        .ok_or_else(|| db.corrupt(format_args!("attribute `{name}` is missing")))
}

pub(crate) fn read_universe(db: Db<'_>) -> Result<Universe, RegistryError> {
    Universe::from_json(&attribute(db, "universe")?).map_err(|e| db.corrupt(e))
}

pub(crate) fn read_config(db: Db<'_>) -> Result<DatastoreConfig, RegistryError> {
    serde_json::from_str(&attribute(db, "datastore_config")?).map_err(|e| db.corrupt(e))
}

pub(crate) fn read_repository(db: Db<'_>) -> Result<Uuid, RegistryError> {
    attribute(db, "repository")?.parse().map_err(|e| db.corrupt(e))
}

/// The table of an element, quoted.
pub(crate) fn element(name: &ElementName) -> String {
    format!("\"element_{name}\"")
}

/// The column of a dimension, quoted.
pub(crate) fn dimension(name: &ElementName) -> String {
    format!("\"d_{name}\"")
}

/// The column of a metadata field, quoted.
pub(crate) fn metadata(name: &ElementName) -> String {
    format!("\"m_{name}\"")
}

/// The table of memberships of a dimension group.
pub(crate) fn membership(group: i64) -> String {
    format!("membership_{group}")
}

/// The dimensions that an element's table has columns for: the key, and what is
/// implied directly and not part of the key.
pub(crate) fn element_dimensions(
    universe: &Universe,
    element: &Element,
) -> (Vec<ElementName>, Vec<ElementName>) {
    let group = universe.group_of(element);
    let required = group.required().to_vec();
    let implied = element.implies.iter().filter(|name| !required.contains(name)).cloned();
    let implied = implied.collect();
    (required, implied)
}

fn element_table(universe: &Universe, element: &Element) -> String {
    let (required, implied) = element_dimensions(universe, element);
    let table = self::element(&element.name);
    let mut sql = format!("CREATE TABLE {table} (");
    for name in required.iter().chain(&implied) {
        let _ = write!(sql, "{} {} NOT NULL, ", dimension(name), key_type(universe, name));
    }
    for field in &element.metadata {
        let column_type = match field.metadata_type {
            MetadataType::Integer | MetadataType::Boolean => "INTEGER",
            MetadataType::Float => "REAL",
            MetadataType::String => "TEXT",
        };
        let null = if field.required { " NOT NULL" } else { "" };
        let _ = write!(sql, "{} {column_type}{null}, ", metadata(&field.name));
    }
    let _ = write!(sql, "PRIMARY KEY ({})", columns(&required));
    let mut indexes = String::new();
    for parent in required.iter().chain(&implied).filter(|name| **name != element.name) {
        let dimension = universe.element(parent.as_str()).expect("a dimension of the universe");
        let (key, _) = element_dimensions(universe, dimension);
        if key.iter().any(|name| !required.contains(name) && !implied.contains(name)) {
            // Its key follows from other records; the writer looks it up there.
            continue;
        }
        let parent_table = self::element(parent);
        let key_columns = columns(&key);
        // Deferred: the records of one change may come in any order.
        let _ = write!(
            sql,
            ", FOREIGN KEY ({key_columns}) REFERENCES {parent_table} ({key_columns}) DEFERRABLE INITIALLY DEFERRED"
        );
        if !required.starts_with(&key) {
            let _ = write!(
                indexes,
                "CREATE INDEX \"element_{}__{parent}\" ON {table} ({key_columns});",
                element.name
            );
        }
    }
    sql.push_str(") STRICT, WITHOUT ROWID;");
    sql + &indexes
}

/// The statements that make the membership table of a dimension group.
pub(crate) fn membership_table(universe: &Universe, id: i64, group: &DimensionGroup) -> String {
    let table = membership(id);
    let mut dimensions = String::new();
    let mut key = String::new();
    for name in group.required() {
        let _ = write!(dimensions, "{} {} NOT NULL, ", dimension(name), key_type(universe, name));
        let _ = write!(key, ", {}", dimension(name));
    }
    format!(
        "CREATE TABLE {table} (
            dataset_type INTEGER NOT NULL REFERENCES dataset_type (id),
            collection INTEGER NOT NULL,
            {dimensions}
            dataset INTEGER NOT NULL REFERENCES dataset (id),
            PRIMARY KEY (dataset_type, collection{key})
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX {table}_dataset ON {table} (dataset);"
    )
}

fn key_type(universe: &Universe, name: &ElementName) -> &'static str {
    match universe.element(name.as_str()).ok().and_then(|element| element.key) {
        Some(KeyType::Integer) => "INTEGER",
        Some(KeyType::String) | None => "TEXT",
    }
}

/// Columns of dimensions of the table `alias`, each with a comma before it.
pub(crate) fn more_columns(alias: &str, names: &[ElementName]) -> String {
    names.iter().fold(String::new(), |sql, name| sql + ", " + alias + "." + &dimension(name))
}

/// Columns of dimensions, joined by commas.
pub(crate) fn columns(names: &[ElementName]) -> String {
    names.iter().map(dimension).collect::<Vec<_>>().join(", ")
}
