-- On repository-v1, gives: foreign-key membership-without-dataset record-without-dataset
PRAGMA foreign_keys = OFF;
DELETE FROM dataset WHERE id = 1;
