-- On repository-v1, gives: artifact-overlap
UPDATE file_datastore_record SET byte_offset = 47 WHERE byte_offset = 48;
