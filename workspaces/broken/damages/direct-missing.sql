-- On repository-v1, gives: direct-missing orphan
UPDATE file_datastore_record SET uri = 'file:///nonexistent/readings.csv' WHERE dataset = 1;
