-- On repository-v1, gives: dataset-without-type foreign-key
PRAGMA foreign_keys = OFF;
DELETE FROM dataset_type WHERE name = 'readings';
