//! Relations over codes: projection, lookup by some columns, natural join.

use crate::values::{Rows, narrow};

/// A set of rows with a dimension for each column (counted as in the universe).
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub(super) columns: Vec<usize>,
    pub(super) rows: Rows,
}

impl Relation {
    pub(super) fn new(columns: Vec<usize>) -> Self {
        let rows = Rows::new(columns.len());
        Self { columns, rows }
    }

    /// The relation without columns that holds one row: what a join starts with.
    pub(super) fn unit() -> Self {
        let mut unit = Self::new(Vec::new());
        unit.rows.push([]);
        unit
    }

    /// Where `columns` stand in this relation, which has them all.
    pub(super) fn positions(&self, columns: &[usize]) -> Vec<usize> {
        columns
            .iter()
            .map(|c| self.columns.iter().position(|own| own == c).expect("the columns are shared"))
            .collect()
    }

    /// The columns that both have.
    pub(super) fn shared(&self, other: &Self) -> Vec<usize> {
        self.columns.iter().copied().filter(|c| other.columns.contains(c)).collect()
    }

    /// Adds the rows of `other`, which has the same columns; both are sorted.
    pub(super) fn add(&mut self, other: &Self) {
        if other.rows.len() == 0 {
            return;
        }
        for row in other.rows.iter() {
            self.rows.push(row.iter().copied());
        }
        let columns = std::mem::take(&mut self.columns);
        *self = Self { columns: columns.clone(), rows: std::mem::take(&mut self.rows) }
            .project(&columns);
    }

    /// The distinct rows over `columns`, sorted.
    pub(super) fn project(&self, columns: &[usize]) -> Self {
        let positions = self.positions(columns);
        let mut all = Rows::new(columns.len());
        for row in self.rows.iter() {
            all.push(positions.iter().map(|p| row[*p]));
        }
        let mut order = sorted(&all);
        order.dedup_by(|a, b| all.row(*a as usize) == all.row(*b as usize));
        Self { columns: columns.to_vec(), rows: all.take(&order) }
    }
}

/// The rows of a relation by the values of some columns.
#[derive(Debug)]
pub(super) struct Index {
    keys: Rows,
    order: Vec<u32>,
}

impl Index {
    /// By `columns`, which `relation` has.
    pub(super) fn new(relation: &Relation, columns: &[usize]) -> Self {
        let positions = relation.positions(columns);
        let mut all = Rows::new(columns.len());
        for row in relation.rows.iter() {
            all.push(positions.iter().map(|p| row[*p]));
        }
        let order = sorted(&all);
        Self { keys: all.take(&order), order }
    }

    /// The numbers of the rows with `key`, ascending.
    pub(super) fn get(&self, key: &[u32]) -> &[u32] {
        let Some(start) = self.keys.find(key) else { return &[] };
        // Groups are mostly small: gallop to the end of this one.
        let mut step = 1;
        while start + step < self.keys.len() && self.keys.row(start + step) == key {
            step *= 2;
        }
        let (mut low, mut high) = (start + step / 2, (start + step).min(self.keys.len()));
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.keys.row(middle) == key { low = middle + 1 } else { high = middle }
        }
        &self.order[start..low]
    }
}

/// The natural join of two relations, and the rows of each that have no partner.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) joined: Relation,
    pub(super) left_alone: Vec<u32>,
    pub(super) right_alone: Vec<u32>,
}

pub(super) fn join(left: &Relation, right: &Relation) -> Join {
    let shared = left.shared(right);
    let left_key = left.positions(&shared);
    let added: Vec<usize> =
        right.columns.iter().copied().filter(|c| !left.columns.contains(c)).collect();
    let right_added = right.positions(&added);
    let index = Index::new(right, &shared);
    let mut joined = Relation::new(left.columns.iter().copied().chain(added).collect());
    let mut matched = vec![false; right.rows.len()];
    let mut left_alone = Vec::new();
    let mut key = Vec::with_capacity(shared.len());
    for (i, row) in left.rows.iter().enumerate() {
        key.clear();
        key.extend(left_key.iter().map(|p| row[*p]));
        let partners = index.get(&key);
        if partners.is_empty() {
            left_alone.push(narrow(i));
        }
        for &partner in partners {
            matched[partner as usize] = true;
            let other = right.rows.row(partner as usize);
            joined.rows.push(row.iter().copied().chain(right_added.iter().map(|p| other[*p])));
        }
    }
    let right_alone = (0..narrow(matched.len())).filter(|i| !matched[*i as usize]).collect();
    Join { joined, left_alone, right_alone }
}

/// The numbers of the rows in the order of the rows; equal rows stay in order.
pub(super) fn sorted(rows: &Rows) -> Vec<u32> {
    let mut order: Vec<u32> = (0..narrow(rows.len())).collect();
    if rows.width() > 0 {
        order.sort_by(|a, b| rows.row(*a as usize).cmp(rows.row(*b as usize)));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(columns: &[usize], rows: &[&[u32]]) -> Relation {
        let mut relation = Relation::new(columns.to_vec());
        for row in rows {
            relation.rows.push(row.iter().copied());
        }
        relation
    }

    fn rows(relation: &Relation) -> Vec<Vec<u32>> {
        relation.rows.iter().map(<[u32]>::to_vec).collect()
    }

    #[test]
    fn a_join_matches_shared_columns_and_names_the_lonely() {
        let left = relation(&[0, 1], &[&[1, 10], &[2, 20], &[3, 30]]);
        let right = relation(&[2, 1], &[&[7, 10], &[8, 10], &[9, 30], &[9, 40]]);
        let join = join(&left, &right);
        assert_eq!(join.joined.columns, [0, 1, 2]);
        assert_eq!(rows(&join.joined), [[1, 10, 7], [1, 10, 8], [3, 30, 9]]);
        assert_eq!((join.left_alone, join.right_alone), (vec![1], vec![3]));
    }

    #[test]
    fn without_shared_columns_a_join_is_a_product() {
        let product = join(&relation(&[0], &[&[1], &[2]]), &relation(&[1], &[&[5], &[6]]));
        assert_eq!(rows(&product.joined), [[1, 5], [1, 6], [2, 5], [2, 6]]);
        let unit = join(&Relation::unit(), &relation(&[], &[]));
        assert_eq!((unit.joined.rows.len(), unit.left_alone.len()), (0, 1));
    }

    #[test]
    fn an_index_finds_groups_of_any_size() {
        for size in 0..20_u32 {
            let mut relation = relation(&[0, 1], &[&[0, 99], &[9, 99]]);
            for i in 0..size {
                relation.rows.push([5, i]);
            }
            let index = Index::new(&relation, &[0]);
            assert_eq!(index.get(&[5]), (2..2 + size).collect::<Vec<_>>());
            assert_eq!(index.get(&[9]), [1]);
            assert_eq!(index.get(&[4]), [0; 0]);
        }
    }

    #[test]
    fn a_projection_is_a_sorted_set() {
        let projected = relation(&[0, 1], &[&[2, 1], &[1, 1], &[2, 3]]).project(&[0]);
        assert_eq!(rows(&projected), [[1], [2]]);
        assert_eq!(relation(&[0], &[&[2], &[1]]).project(&[]).rows.len(), 1);
    }
}
