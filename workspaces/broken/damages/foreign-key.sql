-- On repository-v1, gives: foreign-key
PRAGMA foreign_keys = OFF;
DELETE FROM element_country;
