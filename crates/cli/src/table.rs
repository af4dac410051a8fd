//! Tables for people.

use std::fmt;

use comfy_table::{CellAlignment, presets::NOTHING};

/// A table with a header; columns are aligned and nothing is cut.
#[derive(Debug)]
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// An empty table.
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING).set_header(header);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self(table)
    }

    /// Aligns columns with numbers to the right.
    pub(crate) fn numbers<const N: usize>(mut self, columns: [usize; N]) -> Self {
        for index in columns {
            if let Some(column) = self.0.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.trim_fmt())
    }
}

/// `1 dataset`, `2 datasets`.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 {
        return format!("1 {one}");
    }
    let many = match one {
        "quantum" => "quanta".to_owned(),
        "repository" => "repositories".to_owned(),
        one => format!("{one}s"),
    };
    format!("{number} {many}")
}

/// A number of bytes for people.
pub(crate) fn bytes(number: u64) -> String {
    indicatif::HumanBytes(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_without_trailing_spaces() {
        let mut table = Table::new(["task", "quanta"]).numbers([1]);
        table.row(["daily".to_owned(), "7".to_owned()]);
        table.row(["x".to_owned(), "1000".to_owned()]);
        assert_eq!(table.to_string(), "task   quanta\ndaily       7\nx        1000");
    }

    #[test]
    fn counts_have_their_plural() {
        assert_eq!(count(1, "quantum"), "1 quantum");
        assert_eq!(count(0, "quantum"), "0 quanta");
        assert_eq!(count(2, "dataset"), "2 datasets");
    }
}
