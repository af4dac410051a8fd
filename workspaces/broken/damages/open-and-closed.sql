-- On open-transaction-v1, gives: open-and-closed
INSERT INTO artifact_transaction_closed
SELECT opening_id, name, 'committed', 1 FROM artifact_transaction;
