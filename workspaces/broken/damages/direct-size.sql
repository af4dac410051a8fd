-- On repository-v1, gives: direct-size orphan
UPDATE file_datastore_record SET uri = 'file:///etc/passwd', size = 1000000000000 WHERE dataset = 1;
