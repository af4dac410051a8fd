-- On repository-v1, gives: chain-broken dataset-without-run foreign-key membership-mismatch
PRAGMA foreign_keys = OFF;
DELETE FROM collection WHERE name = 'specimen/raw';
