-- On repository-v1, gives: integrity
PRAGMA writable_schema = ON;
DELETE FROM sqlite_schema WHERE name = 'dataset_run';
