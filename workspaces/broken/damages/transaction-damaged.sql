-- On open-transaction-v1, gives: transaction-damaged
UPDATE artifact_transaction SET data = substr(data, 2);
