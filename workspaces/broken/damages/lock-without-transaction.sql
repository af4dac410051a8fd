-- On repository-v1, gives: foreign-key lock-without-transaction
PRAGMA foreign_keys = OFF;
INSERT INTO artifact_transaction_input_run VALUES ('gone', 'specimen/raw');
