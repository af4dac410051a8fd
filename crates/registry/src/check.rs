//! The registry as `pantler check` reads it: with SQL of its own, which shares
//! nothing with the code that writes the rows, so that a fault there does not hide
//! itself. Values that may be damaged are given as they stand.

use std::{collections::HashMap, fmt};

use pantler_core::{DimensionGroup, Universe};
use rusqlite::types::Value;
use uuid::Uuid;

use crate::{
    Registry, RegistryError,
    sqlite::{Db, Row},
};

/// A datastore record with what it belongs to. Columns that point nowhere are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// The artifact's key, as it stands.
    pub uri: String,
    /// Where its bytes start in a shared artifact.
    pub byte_offset: Option<i64>,
    /// Its size in bytes.
    pub size: i64,
    /// The blake3 digest of its bytes, as it stands.
    pub checksum: Vec<u8>,
    /// Which component of the dataset it is; empty for the whole.
    pub component: String,
    /// The dataset.
    pub dataset: Option<Uuid>,
    /// The name of its type.
    pub dataset_type: Option<String>,
    /// The name of its RUN.
    pub run: Option<String>,
    /// The database id of its RUN.
    pub run_id: Option<i64>,
}

/// A RUN that an open transaction locks as modified or inserts into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedRun {
    /// The RUN's database id; `None` if there is no such RUN (yet, or any more).
    pub run_id: Option<i64>,
    /// The RUN.
    pub run: String,
    /// The transaction.
    pub transaction: String,
    /// The transaction's kind.
    pub kind: String,
    /// Whether it is locked as modified.
    pub modified: bool,
}

impl LockedRun {
    /// Whether a workspace locks it, to which everything under the RUN's prefix belongs.
    pub fn is_workspace(&self) -> bool {
        self.kind == "workspace"
    }
}

/// An open transaction and its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The kind's data as JSON.
    pub data: String,
    /// Its opening.
    pub opening: Uuid,
    /// The version of the datastore configuration it was opened with.
    pub config_version: i64,
    /// The manifest: its chunks decompressed, one after the other.
    pub manifest: Vec<u8>,
}

/// Something in the rows that must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowFinding {
    /// What kind of fault it is: a stable name.
    pub code: &'static str,
    /// What it is about.
    pub subject: String,
    /// What was found.
    pub detail: String,
}

/// Reads one snapshot; given by [`Registry::check`].
pub struct CheckRows<'c> {
    db: Db<'c>,
    universe: &'c Universe,
}

impl fmt::Debug for CheckRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckRows").field("path", &self.db.path).finish_non_exhaustive()
    }
}

impl Registry {
    /// Calls `f` with a reader of raw rows, for which the database does not change.
    ///
    /// # Errors
    /// Those of `f`, and what the database says.
    pub fn check<T, E: From<RegistryError>>(
        &self,
        f: impl FnOnce(&CheckRows<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.read(|reader| f(&CheckRows { db: reader.db(), universe: &reader.universe }))
    }
}

impl CheckRows<'_> {
    /// Calls `f` with each datastore record, ordered by URI and offset.
    ///
    /// # Errors
    /// Those of `f`, and what the database says.
    pub fn records<E: From<RegistryError>>(
        &self,
        mut f: impl FnMut(RecordRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = "SELECT r.uri, r.byte_offset, r.size, r.checksum, r.component,
                d.uuid, t.name, c.name, c.id
            FROM file_datastore_record AS r
            LEFT JOIN dataset AS d ON d.id = r.dataset
            LEFT JOIN dataset_type AS t ON t.id = d.dataset_type
            LEFT JOIN collection AS c ON c.id = d.run
            ORDER BY r.uri, r.byte_offset, r.dataset, r.component";
        self.db.each(sql, (), |row| {
            f(RecordRow {
                uri: row.get(0)?,
                byte_offset: row.get(1)?,
                size: row.get(2)?,
                checksum: row.get(3)?,
                component: row.get(4)?,
                dataset: row.get::<Option<[u8; 16]>>(5)?.map(Uuid::from_bytes),
                dataset_type: row.get(6)?,
                run: row.get(7)?,
                run_id: row.get(8)?,
            })
        })
    }

    /// Whether a datastore record names an artifact at `uri`.
    ///
    /// # Errors
    /// What the database says.
    pub fn names(&self, uri: &str) -> Result<bool, RegistryError> {
        let sql = "SELECT 1 FROM file_datastore_record WHERE uri = ?1 LIMIT 1";
        Ok(self.db.first(sql, [uri], |_| Ok(()))?.is_some())
    }

    /// Database id and name of every RUN.
    ///
    /// # Errors
    /// What the database says.
    pub fn runs(&self) -> Result<Vec<(i64, String)>, RegistryError> {
        let sql = "SELECT id, name FROM collection WHERE type = 'RUN'";
        self.db.all(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Calls `f` with the UUID of each dataset and the name of its RUN.
    ///
    /// # Errors
    /// What the database says.
    pub fn datasets(&self, mut f: impl FnMut(Uuid, Option<&str>)) -> Result<(), RegistryError> {
        let sql = "SELECT d.uuid, c.name FROM dataset AS d
            LEFT JOIN collection AS c ON c.id = d.run";
        self.db.each(sql, (), |row| {
            let run: Option<String> = row.get(1)?;
            f(row.uuid(0)?, run.as_deref());
            Ok::<_, RegistryError>(())
        })
    }

    /// The RUNs that open transactions modify or insert into, by name.
    ///
    /// # Errors
    /// What the database says.
    pub fn locked_runs(&self) -> Result<Vec<LockedRun>, RegistryError> {
        let sql = "SELECT l.run_name, l.transaction_name, coalesce(t.kind, ''), l.modified, c.id
            FROM (
                SELECT run_name, transaction_name, 1 AS modified FROM artifact_transaction_modified_run
                UNION ALL
                SELECT run_name, transaction_name, 0 FROM artifact_transaction_insert_only_run
            ) AS l
            LEFT JOIN artifact_transaction AS t ON t.name = l.transaction_name
            LEFT JOIN collection AS c ON c.name = l.run_name
            ORDER BY l.run_name, l.transaction_name";
        self.db.all(sql, (), |row| {
            Ok(LockedRun {
                run: row.get(0)?,
                transaction: row.get(1)?,
                kind: row.get(2)?,
                modified: row.get(3)?,
                run_id: row.get(4)?,
            })
        })
    }

    /// The open transactions with their manifests, by name.
    ///
    /// # Errors
    /// [`RegistryError::Corrupt`] for a chunk that is not whole, and what else the
    /// database says.
    pub fn open_transactions(&self) -> Result<Vec<OpenTransaction>, RegistryError> {
        let mut manifests: HashMap<Uuid, Vec<u8>> = HashMap::new();
        let sql =
            "SELECT opening_id, body FROM artifact_transaction_chunk ORDER BY opening_id, seq";
        self.db.each(sql, (), |row| {
            let body: Vec<u8> = row.get(1)?;
            let chunk = zstd::stream::decode_all(&*body)
                .map_err(|e| row.corrupt(format_args!("a chunk of a manifest: {e}")))?;
            manifests.entry(row.uuid(0)?).or_default().extend(chunk);
            Ok::<_, RegistryError>(())
        })?;
        let sql = "SELECT name, kind, data, opening_id, config_version
            FROM artifact_transaction ORDER BY name";
        self.db.all(sql, (), |row| {
            let opening = row.uuid(3)?;
            Ok(OpenTransaction {
                name: row.get(0)?,
                kind: row.get(1)?,
                data: row.get(2)?,
                opening,
                config_version: row.get(4)?,
                manifest: manifests.remove(&opening).unwrap_or_default(),
            })
        })
    }

    /// What is wrong with the rows by themselves, without a look at artifacts or
    /// into manifests.
    ///
    /// # Errors
    /// What the database says.
    pub fn findings(&self) -> Result<Vec<RowFinding>, RegistryError> {
        let mut findings = Findings { db: self.db, list: Vec::new() };
        self.integrity(&mut findings)?;
        for (code, sql) in STRUCTURE {
            findings.of(code, sql)?;
        }
        self.memberships(&mut findings)?;
        Ok(findings.list)
    }

    /// SQLite's own checks.
    fn integrity(&self, findings: &mut Findings<'_>) -> Result<(), RegistryError> {
        self.db.each("PRAGMA integrity_check", (), |row| {
            let detail: String = row.get(0)?;
            if detail != "ok" {
                findings.push("integrity", self.db.path, detail);
            }
            Ok::<_, RegistryError>(())
        })?;
        self.db.each("PRAGMA foreign_key_check", (), |row| {
            let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
            findings.push("foreign-key", table, format!("a row names one that is not in {parent}"));
            Ok::<_, RegistryError>(())
        })
    }

    /// The membership tables against dimension groups, datasets and records.
    fn memberships(&self, findings: &mut Findings<'_>) -> Result<(), RegistryError> {
        let groups = self.db.all("SELECT id, key FROM dimension_group ORDER BY id", (), |row| {
            Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
        })?;
        for (id, key) in groups {
            let exists = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
            let table = format!("membership_{id}");
            if self.db.first(exists, [&table], |_| Ok(()))?.is_none() {
                findings.push(
                    "group-without-table",
                    format!("{{{key}}}"),
                    format!("no table {table}"),
                );
                continue;
            }
            let names = key.split(',').filter(|name| !name.is_empty());
            let group = match self.universe.group(names) {
                Ok(group) if group.key() == key => group,
                Ok(group) => {
                    findings.push(
                        "group-not-closed",
                        format!("{{{key}}}"),
                        format!("it is {group}"),
                    );
                    continue;
                }
                Err(error) => {
                    findings.push("group-not-of-universe", format!("{{{key}}}"), error.to_string());
                    continue;
                }
            };
            self.memberships_of(&table, id, &group, findings)?;
        }
        Ok(())
    }

    fn memberships_of(
        &self,
        table: &str,
        id: i64,
        group: &DimensionGroup,
        findings: &mut Findings<'_>,
    ) -> Result<(), RegistryError> {
        findings.of(
            "dataset-without-membership",
            &format!(
                "SELECT d.uuid, 'it is not in its RUN ' || coalesce(c.name, d.run)
                FROM dataset AS d
                JOIN dataset_type AS t ON t.id = d.dataset_type AND t.dimension_group = {id}
                LEFT JOIN collection AS c ON c.id = d.run
                WHERE NOT EXISTS (
                    SELECT 1 FROM {table} AS m WHERE m.dataset = d.id AND m.collection = d.run
                )"
            ),
        )?;
        findings.of(
            "membership-without-dataset",
            &format!(
                "SELECT '{table}', 'dataset ' || m.dataset || ' does not exist'
                FROM {table} AS m LEFT JOIN dataset AS d ON d.id = m.dataset
                LEFT JOIN collection AS c ON c.id = m.collection
                WHERE d.id IS NULL AND c.type IS NOT 'TAGGED'"
            ),
        )?;
        findings.of(
            "tag-without-dataset",
            &format!(
                "SELECT c.name, 'it names dataset ' || m.dataset || ', which does not exist'
                FROM {table} AS m JOIN collection AS c ON c.id = m.collection AND c.type = 'TAGGED'
                LEFT JOIN dataset AS d ON d.id = m.dataset WHERE d.id IS NULL"
            ),
        )?;
        findings.of(
            "membership-mismatch",
            &format!(
                "SELECT d.uuid, 'its membership names another type or RUN'
                FROM {table} AS m JOIN dataset AS d ON d.id = m.dataset
                LEFT JOIN collection AS c ON c.id = m.collection
                WHERE m.dataset_type <> d.dataset_type OR c.id IS NULL
                    OR (c.type <> 'TAGGED' AND m.collection <> d.run)"
            ),
        )?;
        let same: Vec<_> = group
            .required()
            .iter()
            .map(|name| format!(" AND o.\"d_{name}\" = m.\"d_{name}\""))
            .collect();
        let same = same.concat();
        findings.of(
            "tag-mismatch",
            &format!(
                "SELECT d.uuid, 'it has another data ID in ' || c.name || ' than in its RUN'
                FROM {table} AS m JOIN collection AS c ON c.id = m.collection AND c.type = 'TAGGED'
                JOIN dataset AS d ON d.id = m.dataset
                WHERE EXISTS (
                    SELECT 1 FROM {table} AS r WHERE r.dataset = d.id AND r.collection = d.run
                ) AND NOT EXISTS (
                    SELECT 1 FROM {table} AS o
                    WHERE o.dataset = d.id AND o.collection = d.run{same}
                )"
            ),
        )?;
        for name in group.required() {
            let Ok(element) = self.universe.element(name.as_str()) else { continue };
            let own = self.universe.group_of(element);
            if !own.required().iter().all(|key| group.required().contains(key)) {
                // Part of the key follows from other records; those are checked.
                continue;
            }
            let same: Vec<_> =
                own.required().iter().map(|key| format!("e.\"d_{key}\" = m.\"d_{key}\"")).collect();
            findings.of(
                "membership-without-dimension-record",
                &format!(
                    "SELECT coalesce(d.uuid, m.dataset), 'no {name} record for ' || m.\"d_{name}\"
                    FROM {table} AS m LEFT JOIN dataset AS d ON d.id = m.dataset
                    WHERE NOT EXISTS (SELECT 1 FROM \"element_{name}\" AS e WHERE {})",
                    same.join(" AND ")
                ),
            )?;
        }
        Ok(())
    }
}

/// Queries for (subject, detail) of what must not be.
const STRUCTURE: [(&str, &str); 11] = [
    (
        "chain-cycle",
        "WITH RECURSIVE inside (chain, member) AS (
            SELECT parent, child FROM collection_child
            UNION
            SELECT inside.chain, c.child
            FROM inside JOIN collection_child AS c ON c.parent = inside.member
        )
        SELECT c.name, 'it contains itself' FROM inside JOIN collection AS c ON c.id = inside.chain
        WHERE inside.member = inside.chain",
    ),
    (
        "dataset-without-type",
        "SELECT d.uuid, 'dataset type ' || d.dataset_type || ' does not exist'
        FROM dataset AS d LEFT JOIN dataset_type AS t ON t.id = d.dataset_type WHERE t.id IS NULL",
    ),
    (
        "dataset-without-run",
        "SELECT d.uuid, 'its RUN is ' || coalesce(c.type || ' ' || c.name, d.run || ', which does not exist')
        FROM dataset AS d LEFT JOIN collection AS c ON c.id = d.run
        WHERE c.id IS NULL OR c.type <> 'RUN'",
    ),
    (
        "record-without-dataset",
        "SELECT r.uri, 'dataset ' || r.dataset || ' does not exist'
        FROM file_datastore_record AS r LEFT JOIN dataset AS d ON d.id = r.dataset
        WHERE d.id IS NULL",
    ),
    (
        "artifact-used-twice",
        // Datasets may share an artifact as a whole, if their records say the same of it.
        "SELECT a.uri, 'it is the whole artifact of one record, and ' || (count(*) - 1) || ' others differ'
        FROM file_datastore_record AS a WHERE instr(a.uri, '://') = 0 GROUP BY a.uri
        HAVING count(*) > 1 AND count(a.byte_offset) < count(*) AND (
            count(a.byte_offset) > 0 OR count(DISTINCT a.size) > 1 OR count(DISTINCT a.checksum) > 1
        )",
    ),
    (
        "chain-broken",
        "SELECT coalesce(p.name, l.parent), 'child ' || coalesce(c.name, l.child || ', which does not exist')
        FROM collection_child AS l
        LEFT JOIN collection AS p ON p.id = l.parent LEFT JOIN collection AS c ON c.id = l.child
        WHERE c.id IS NULL OR p.id IS NULL OR p.type <> 'CHAINED'",
    ),
    (
        "locks-not-disjoint",
        "SELECT m.run_name, 'modified by ' || m.transaction_name || ' and inserted into by ' || i.transaction_name
        FROM artifact_transaction_modified_run AS m
        JOIN artifact_transaction_insert_only_run AS i ON i.run_name = m.run_name",
    ),
    (
        "lock-without-transaction",
        "SELECT l.run_name, 'transaction ' || l.transaction_name || ' is not open' FROM (
            SELECT run_name, transaction_name FROM artifact_transaction_modified_run
            UNION ALL SELECT run_name, transaction_name FROM artifact_transaction_insert_only_run
            UNION ALL SELECT run_name, transaction_name FROM artifact_transaction_input_run
        ) AS l WHERE NOT EXISTS (
            SELECT 1 FROM artifact_transaction AS t WHERE t.name = l.transaction_name
        )",
    ),
    (
        "chunk-without-transaction",
        "SELECT DISTINCT k.opening_id, 'a manifest of no open transaction'
        FROM artifact_transaction_chunk AS k WHERE NOT EXISTS (
            SELECT 1 FROM artifact_transaction AS t WHERE t.opening_id = k.opening_id
        )",
    ),
    (
        "open-and-closed",
        "SELECT t.name, 'opening ' || hex(t.opening_id) || ' is also ' || e.outcome
        FROM artifact_transaction AS t
        JOIN artifact_transaction_closed AS e ON e.opening_id = t.opening_id",
    ),
    (
        "transaction-of-other-config",
        "SELECT t.name, 'opened with datastore configuration ' || t.config_version
        FROM artifact_transaction AS t JOIN attributes AS a ON a.name = 'datastore_config'
        WHERE t.config_version <> json_extract(a.value, '$.version')",
    ),
];

struct Findings<'c> {
    db: Db<'c>,
    list: Vec<RowFinding>,
}

impl Findings<'_> {
    fn push(&mut self, code: &'static str, subject: impl fmt::Display, detail: String) {
        self.list.push(RowFinding { code, subject: subject.to_string(), detail });
    }

    fn of(&mut self, code: &'static str, sql: &str) -> Result<(), RegistryError> {
        let text = |row: &Row<'_, '_>, column| {
            let value: Value = row.get(column)?;
            Ok::<_, RegistryError>(match value {
                Value::Text(text) => text,
                Value::Integer(number) => number.to_string(),
                Value::Blob(bytes) => Uuid::from_slice(&bytes)
                    .map_or_else(|_| format!("{bytes:?}"), |uuid| uuid.to_string()),
                other => format!("{other:?}"),
            })
        };
        let list = &mut self.list;
        self.db.each(sql, (), |row| {
            list.push(RowFinding { code, subject: text(row, 0)?, detail: text(row, 1)? });
            Ok(())
        })
    }
}
