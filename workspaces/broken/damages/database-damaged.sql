-- On open-transaction-v1, gives: database-damaged
UPDATE artifact_transaction_chunk SET body = x'28b5';
