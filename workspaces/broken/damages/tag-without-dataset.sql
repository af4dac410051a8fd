-- On repository-v1, gives: foreign-key tag-without-dataset
PRAGMA foreign_keys = OFF;
INSERT INTO collection (name, type) VALUES ('good', 'TAGGED');
INSERT INTO membership_1 SELECT 1, id, 'oslo', 1, 99 FROM collection WHERE name = 'good';
