-- On repository-v1, gives: group-not-closed
UPDATE dimension_group SET key = 'month,city' WHERE id = 1;
