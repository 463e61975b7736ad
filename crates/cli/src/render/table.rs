//! Tables: columns without lines, headings in bold.
//!
//! Owns their layout, and what is left out where a terminal is narrow. Refuses to know what is in them, but for ids.

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use console::measure_text_width;

use crate::terminal;

/// Columns between two cells.
const GAP: usize = 2;

/// Characters that stay of an id in any case: its kind and the time of its making.
const ID_MIN: usize = 17;

/// A table as text. Where it does not fit a terminal, ids are cut to prefixes that tell them apart (every command takes a
/// prefix), then the `spare` columns go, the first one first; then cells are wrapped. Elsewhere every row is one line.
pub fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>, spare: &[&str]) -> String {
    laid_out(headings, rows.collect(), spare, terminal::width().map(usize::from))
}

fn laid_out(headings: &[&str], mut rows: Vec<Vec<String>>, spare: &[&str], width: Option<usize>) -> String {
    let mut headings = headings.to_vec();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).enforce_styling().style_text_only();
    if let Some(width) = width {
        if natural(&headings, &rows) > width {
            shorten_ids(&mut rows);
        }
        for name in spare {
            if natural(&headings, &rows) > width
                && let Some(column) = headings.iter().position(|heading| heading == name)
            {
                headings.remove(column);
                rows.iter_mut().for_each(|row| drop(row.remove(column)));
            }
        }
        if natural(&headings, &rows) > width {
            let columns = u16::try_from(width).unwrap_or(u16::MAX);
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
        }
    }
    table.set_header(headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    lines
}

/// The width of the longest line where nothing is wrapped.
fn natural(headings: &[&str], rows: &[Vec<String>]) -> usize {
    let widest = |column: usize| rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or(0);
    let columns = headings.iter().enumerate().map(|(column, heading)| widest(column).max(heading.len()));
    columns.map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// Cuts all ids to one length at which they differ from each other.
fn shorten_ids(rows: &mut [Vec<String>]) {
    let mut ids: Vec<String> = rows.iter().flatten().filter(|cell| is_id(cell)).cloned().collect();
    ids.sort();
    ids.dedup();
    let shared = |pair: &[String]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    let length = ids.windows(2).map(|pair| shared(pair) + 1).max().unwrap_or(0).max(ID_MIN);
    for cell in rows.iter_mut().flatten().filter(|cell| is_id(cell)) {
        cell.truncate(length);
    }
}

fn is_id(cell: &str) -> bool {
    let hexadecimal = |rest: &str| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    ["ckpt_", "rec_"].iter().any(|kind| cell.strip_prefix(kind).is_some_and(hexadecimal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(width: Option<usize>) -> String {
        let row = |name: &str, last: &str| vec![name.to_owned(), "less".to_owned(), format!("ckpt_{:0>32}", last)];
        let rows = vec![row("first", "1f00000000000000"), row("second", "1f10000000000000")];
        laid_out(&["NAME", "SPARE", "ID"], rows, &["SPARE"], width)
    }

    #[test]
    fn a_narrow_terminal_gets_shorter_ids_then_fewer_columns_and_whole_rows() {
        let whole = format!("ckpt_{:0>32}", "1f00000000000000");
        for width in [None, Some(80)] {
            assert!(sample(width).contains(&whole) && sample(width).contains("SPARE"));
        }
        // As many characters as tell the two apart.
        let short = &whole[..24];
        let (fits, narrow) = (sample(Some(48)), sample(Some(34)));
        assert!(fits.contains(short) && !fits.contains(&whole) && fits.contains("less"), "{fits}");
        assert!(narrow.contains(short) && !narrow.contains("less"), "{narrow}");
        assert!(narrow.lines().count() == 3 && narrow.lines().all(|line| line.len() <= 34), "{narrow}");
    }
}
