//! Tables: columns without lines, headings in bold.
//!
//! Owns their layout, and what is left out where a terminal is narrow. Refuses to know what is in them, but for ids.

use console::measure_text_width;

use crate::terminal::{self, HEADING, styled};

/// Columns between two cells.
const GAP: usize = 2;

/// Characters that stay of an id in any case: its kind and the time of its making.
const ID_MIN: usize = 17;

/// A table as text, a line a row. Where it does not fit a terminal, ids are cut to prefixes that tell them apart (every
/// command takes a prefix), then the `spare` columns go, the first one first; what is still too long the terminal wraps.
pub fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>, spare: &[&str]) -> String {
    laid_out(headings, rows.collect(), spare, terminal::width().map(usize::from))
}

/// The same without those of the `spare` columns in which no row has anything.
pub fn filled(headings: &[&str], rows: impl Iterator<Item = Vec<String>>, spare: &[&str]) -> String {
    let (mut headings, mut rows) = (headings.to_vec(), rows.collect::<Vec<_>>());
    for name in spare {
        if let Some(column) = headings.iter().position(|heading| heading == name)
            && rows.iter().all(|row| row[column].is_empty())
        {
            headings.remove(column);
            rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
    }
    table(&headings, rows.into_iter(), spare)
}

/// A table whose first column has dotted keys. Where it does not fit a terminal, keys that begin alike stand below what
/// they begin with.
pub fn keyed(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    grouped(headings, rows, terminal::width().map(usize::from))
}

fn grouped(headings: &[&str], rows: Vec<Vec<String>>, room: Option<usize>) -> String {
    if room.is_none_or(|room| line_width(&widths(headings, &rows)) <= room) {
        return laid_out(headings, rows, &[], room);
    }
    let first_alike = |row: &Vec<String>| rows.iter().position(|other| split_key(&other[0]).0 == split_key(&row[0]).0);
    let places: Vec<_> = rows.iter().map(first_alike).collect();
    let mut placed: Vec<_> = places.into_iter().zip(rows).collect();
    placed.sort_by_key(|(place, _)| *place);
    let mut rows: Vec<_> = placed.into_iter().map(|(_, row)| row).collect();
    let mut text = String::new();
    for group in rows.chunk_by_mut(|a, b| split_key(&a[0]).0 == split_key(&b[0]).0) {
        let above = split_key(&group[0][0]).0.to_owned();
        if !above.is_empty() {
            text.push_str(&format!("{}\n", styled(HEADING, &above)));
            group.iter_mut().for_each(|row| row[0] = format!("  {}", split_key(&row[0]).1));
        }
        let widths = widths(&vec![""; headings.len()], group);
        group.iter().for_each(|row| text.push_str(&line(row.iter().map(|cell| (cell.as_str(), cell)), &widths)));
    }
    text
}

/// What stands before the last dot of a key, and what behind it.
fn split_key(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

fn laid_out(headings: &[&str], mut rows: Vec<Vec<String>>, spare: &[&str], room: Option<usize>) -> String {
    let mut headings = headings.to_vec();
    let mut widths = widths(&headings, &rows);
    let is_too_long = |widths: &[usize]| room.is_some_and(|room| line_width(widths) > room);
    if is_too_long(&widths) {
        shorten_ids(&mut rows);
        widths = self::widths(&headings, &rows);
    }
    for name in spare {
        if is_too_long(&widths)
            && let Some(column) = headings.iter().position(|heading| heading == name)
        {
            headings.remove(column);
            widths.remove(column);
            rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
    }
    let mut text = line(headings.iter().map(|heading| (*heading, styled(HEADING, heading))), &widths);
    for row in &rows {
        text.push_str(&line(row.iter().map(|cell| (cell.as_str(), cell)), &widths));
    }
    text
}

/// One row: each cell, as it is measured and as it is shown, and the gap to the next.
fn line<'c>(cells: impl Iterator<Item = (&'c str, impl AsRef<str>)>, widths: &[usize]) -> String {
    let mut line = String::with_capacity(line_width(widths) + 1);
    let mut owed = 0;
    for ((cell, shown), width) in cells.zip(widths) {
        if !cell.is_empty() {
            line.extend(std::iter::repeat_n(' ', owed));
            line.push_str(shown.as_ref());
            owed = 0;
        }
        owed += width + GAP - shown_width(cell);
    }
    line.push('\n');
    line
}

/// The widths of the columns.
fn widths(headings: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let widest = |column: usize| rows.iter().map(|row| shown_width(&row[column])).max().unwrap_or(0);
    headings.iter().enumerate().map(|(column, heading)| widest(column).max(heading.len())).collect()
}

/// The width of the longest line.
fn line_width(widths: &[usize]) -> usize {
    widths.iter().map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// How many columns of a terminal a cell takes.
fn shown_width(cell: &str) -> usize {
    let is_plain = cell.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_plain { cell.len() } else { measure_text_width(cell) }
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
    fn columns_stand_below_each_other_and_lines_end_with_text() {
        let rows = [["x", "", "last"], ["\u{65e5}\u{672c}", "y", ""]].map(|row| row.map(str::to_owned).to_vec());
        let text = laid_out(&["A", "B", "C"], rows.to_vec(), &[], None);
        let plain: Vec<String> = text.lines().map(|line| console::strip_ansi_codes(line).into_owned()).collect();
        assert_eq!(plain, ["A     B  C", "x        last", "\u{65e5}\u{672c}  y"]);
    }

    #[test]
    fn a_spare_column_without_anything_in_it_is_left_out() {
        let rows = |last: &str| vec![["x", "", last].map(str::to_owned).to_vec()].into_iter();
        let plain = |last| console::strip_ansi_codes(&filled(&["A", "B", "C"], rows(last), &["B", "C"])).into_owned();
        assert_eq!((plain("y").as_str(), plain("").as_str()), ("A  C\nx  y\n", "A\nx\n"));
    }

    #[test]
    fn keys_that_begin_alike_stand_below_what_they_begin_with_where_room_is_short() {
        let rows =
            [["top", "x", ""], ["long.way.one", "1", "noted"], ["long.two", "2", ""], ["long.way.three", "3", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec()).to_vec();
        let plain =
            |room| console::strip_ansi_codes(&grouped(&["KEY", "VALUE", "NOTE"], rows.clone(), room)).into_owned();
        for room in [None, Some(28)] {
            assert!(plain(room).contains("\nlong.way.one    1      noted\n"), "{}", plain(room));
        }
        let narrow = "top  x\nlong.way\n  one    1  noted\n  three  3\nlong\n  two  2\n";
        assert_eq!(plain(Some(27)), narrow);
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
