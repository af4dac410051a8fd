-- On repository-v1, gives: group-not-of-universe
UPDATE dimension_group SET key = 'city,moon' WHERE id = 1;
