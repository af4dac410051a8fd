-- On repository-v1, gives: record-checksum
PRAGMA ignore_check_constraints = ON;
UPDATE file_datastore_record SET checksum = x'00' WHERE dataset = 1;
