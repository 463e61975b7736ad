//! Tables: columns without lines, headings in bold.
//!
//! Owns their layout. Refuses to know what is in them.

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};

use crate::terminal;

/// A table as text. Cells that do not fit a terminal's width are wrapped; elsewhere every row is one line.
pub fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).enforce_styling().style_text_only();
    if let Some(width) = terminal::width() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.set_header(headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
    rows.for_each(|row| {
        table.add_row(row);
    });
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    lines
}
