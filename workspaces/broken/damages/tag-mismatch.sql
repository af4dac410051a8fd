-- On repository-v1, gives: tag-mismatch
INSERT INTO collection (name, type) VALUES ('good', 'TAGGED');
INSERT INTO membership_1 SELECT 1, id, 'oslo', 1, 1 FROM collection WHERE name = 'good';
