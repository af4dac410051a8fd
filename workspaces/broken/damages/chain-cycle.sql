-- On repository-v1, gives: chain-cycle
INSERT INTO collection VALUES (8, 'x', 'CHAINED'), (9, 'y', 'CHAINED');
INSERT INTO collection_child VALUES (8, 0, 9), (9, 0, 8);
