-- On repository-v1, gives: group-without-table
PRAGMA foreign_keys = OFF;
DROP TABLE membership_3;
