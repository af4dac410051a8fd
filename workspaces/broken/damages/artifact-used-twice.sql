-- On repository-v1, gives: artifact-overlap artifact-used-twice orphan
UPDATE file_datastore_record
SET uri = (SELECT uri FROM file_datastore_record WHERE dataset = 2), size = 15 WHERE dataset = 1;
