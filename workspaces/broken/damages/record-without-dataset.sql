-- On repository-v1, gives: foreign-key record-without-dataset
PRAGMA foreign_keys = OFF;
INSERT INTO file_datastore_record
SELECT 99, component, uri, byte_offset, formatter, storage_class, size, checksum
FROM file_datastore_record WHERE dataset = 1;
