-- On repository-v1, gives: orphan record-key
UPDATE file_datastore_record SET uri = '../x' WHERE dataset = 1;
