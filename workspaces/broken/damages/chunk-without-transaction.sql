-- On repository-v1, gives: chunk-without-transaction foreign-key
PRAGMA foreign_keys = OFF;
INSERT INTO artifact_transaction_chunk VALUES (zeroblob(16), 0, x'28b52ffd2000010000');
