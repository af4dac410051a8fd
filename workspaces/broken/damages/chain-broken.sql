-- On repository-v1, gives: chain-broken
INSERT INTO collection_child VALUES (1, 0, 2);
