-- Schema version 1 of the registry, SQLite. Besides these tables there is one
-- `element_<name>` for each dimension element (made with the repository) and one
-- `membership_<id>` for each row of dimension_group (made with that row); see
-- src/schema.rs. Every foreign key has an index on its child side, so that no
-- delete scans a table. Times are nanoseconds of TAI, ids outside of the database
-- are UUIDs as 16 bytes.

CREATE TABLE attributes (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: the id of a RUN is part of the keys of its artifacts and is
-- never used again, also not by a later RUN of the same name.
CREATE TABLE collection (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL
) STRICT;

CREATE TABLE collection_child (
    parent INTEGER NOT NULL REFERENCES collection (id),
    position INTEGER NOT NULL,
    child INTEGER NOT NULL REFERENCES collection (id),
    PRIMARY KEY (parent, position)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX collection_child_child ON collection_child (child, parent);

CREATE TABLE dimension_group (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE dataset_type (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    dimension_group INTEGER NOT NULL REFERENCES dimension_group (id),
    storage_class TEXT NOT NULL
) STRICT;
CREATE INDEX dataset_type_dimension_group ON dataset_type (dimension_group);

-- dataset_type is not a foreign key here, which would cost an index over all
-- datasets; each dataset's membership row has that foreign key.
CREATE TABLE dataset (
    id INTEGER PRIMARY KEY,
    uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
    dataset_type INTEGER NOT NULL,
    run INTEGER NOT NULL REFERENCES collection (id),
    ingested_at INTEGER NOT NULL
) STRICT;
CREATE INDEX dataset_run ON dataset (run);

-- byte_offset: where the dataset's bytes start in an artifact that it shares;
-- NULL if it is the whole artifact.
CREATE TABLE file_datastore_record (
    dataset INTEGER NOT NULL REFERENCES dataset (id),
    component TEXT NOT NULL,
    uri TEXT NOT NULL,
    byte_offset INTEGER CHECK (byte_offset >= 0),
    formatter TEXT NOT NULL,
    storage_class TEXT NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    checksum BLOB NOT NULL CHECK (length(checksum) = 32),
    PRIMARY KEY (dataset, component)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_datastore_record_uri ON file_datastore_record (uri);

CREATE TABLE artifact_transaction (
    name TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    owner TEXT NOT NULL,
    opening_id BLOB NOT NULL UNIQUE CHECK (length(opening_id) = 16),
    attempt INTEGER NOT NULL,
    closing TEXT,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    config_version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The manifest of many refs, cut into chunks of at most 512 KiB, each compressed
-- with zstd. Not WITHOUT ROWID: the bodies are large.
CREATE TABLE artifact_transaction_chunk (
    opening_id BLOB NOT NULL REFERENCES artifact_transaction (opening_id),
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (opening_id, seq)
) STRICT;

-- Run names, not ids: a lock may be taken on a RUN that is still to be made.
CREATE TABLE artifact_transaction_modified_run (
    run_name TEXT NOT NULL PRIMARY KEY,
    transaction_name TEXT NOT NULL REFERENCES artifact_transaction (name)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_transaction_modified_run_transaction
    ON artifact_transaction_modified_run (transaction_name);

CREATE TABLE artifact_transaction_insert_only_run (
    transaction_name TEXT NOT NULL REFERENCES artifact_transaction (name),
    run_name TEXT NOT NULL,
    PRIMARY KEY (transaction_name, run_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_transaction_insert_only_run_run
    ON artifact_transaction_insert_only_run (run_name);

CREATE TABLE artifact_transaction_input_run (
    transaction_name TEXT NOT NULL REFERENCES artifact_transaction (name),
    run_name TEXT NOT NULL,
    PRIMARY KEY (transaction_name, run_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_transaction_input_run_run ON artifact_transaction_input_run (run_name);

CREATE TABLE artifact_transaction_closed (
    opening_id BLOB NOT NULL PRIMARY KEY CHECK (length(opening_id) = 16),
    name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_transaction_closed_name ON artifact_transaction_closed (name, at);
