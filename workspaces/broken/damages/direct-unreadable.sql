-- On repository-v1, gives: direct-unreadable orphan
UPDATE file_datastore_record SET uri = 'file:///' || hex(zeroblob(200)) WHERE dataset = 1;
