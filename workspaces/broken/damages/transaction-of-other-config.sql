-- On open-transaction-v1, gives: transaction-of-other-config
UPDATE artifact_transaction SET config_version = 99;
