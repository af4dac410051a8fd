-- On repository-v1, gives: dataset-without-membership membership-mismatch
UPDATE membership_1 SET collection = 2 WHERE dataset = 1;
