-- On repository-v1, gives: dataset-without-membership
DELETE FROM membership_1 WHERE dataset = 1;
