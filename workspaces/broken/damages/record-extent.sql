-- On repository-v1, gives: record-extent
PRAGMA ignore_check_constraints = ON;
UPDATE file_datastore_record SET size = -1 WHERE dataset = 1;
