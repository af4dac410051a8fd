-- On open-transaction-v1, gives: transaction-unknown-kind
UPDATE artifact_transaction SET kind = 'hologram';
