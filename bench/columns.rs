//! The tables of benches.

use comfy_table::{CellAlignment, Table, presets};

/// Returns an empty table with these columns.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// Returns the table as text, its columns aligned to the right from this one on.
pub(crate) fn text(mut table: Table, first: usize) -> String {
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}
