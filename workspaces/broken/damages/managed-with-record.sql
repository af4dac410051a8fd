-- On open-transaction-v1, gives: managed-with-record
INSERT INTO file_datastore_record
SELECT id, '', 'specimen%2Fraw@1/readings/city=bergen,month=1~c3fd7239aadf2a4d02fcbf72-1.csv',
    NULL, 'text', 'Csv', 7, zeroblob(32)
FROM dataset WHERE id = 1;
