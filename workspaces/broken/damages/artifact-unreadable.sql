-- On repository-v1, gives: artifact-unreadable orphan
WITH RECURSIVE long (path, n) AS (
    SELECT 'x', 0 UNION ALL SELECT path || '/' || hex(zeroblob(100)), n + 1 FROM long WHERE n < 30
)
UPDATE file_datastore_record SET uri = (SELECT path FROM long WHERE n = 30) WHERE dataset = 1;
