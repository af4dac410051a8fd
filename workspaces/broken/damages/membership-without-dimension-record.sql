-- On repository-v1, gives: foreign-key membership-without-dimension-record
PRAGMA foreign_keys = OFF;
DELETE FROM element_month WHERE d_month = 1;
