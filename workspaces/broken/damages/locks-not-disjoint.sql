-- On open-transaction-v1, gives: locks-not-disjoint
INSERT INTO artifact_transaction_modified_run
SELECT run_name, transaction_name FROM artifact_transaction_insert_only_run;
