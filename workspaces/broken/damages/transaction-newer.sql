-- On open-transaction-v1, gives: transaction-newer
UPDATE artifact_transaction SET data = json_set(data, '$.version', 99);
