-- On repository-v1, gives: artifact-missing orphan record-outside-run
UPDATE file_datastore_record SET uri = replace(uri, '@1/', '@9/') WHERE dataset = 1;
