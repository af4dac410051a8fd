-- On repository-v1, gives: direct-not-regular orphan
UPDATE file_datastore_record SET uri = 'file:///etc' WHERE dataset = 1;
