//! Our line in a file of TOML, whatever form the table has that it belongs to.
//!
//! Owns where the line may stand, and proving that all else means what it meant. Refuses to read and write files.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Text;
use super::texts::{appended, block, is_begin, is_marked, is_ours, refused, without_lines};
use crate::error::Failure;

/// The table that our line is in, and its name there.
const POLICY: &str = "shell_environment_policy";
const SET: &str = "set";
const NAME: &str = "BASH_ENV";

/// Where things stand in a text.
#[derive(Default)]
struct Places {
    policy: Option<Range<usize>>,
    set: Option<Range<usize>>,
    /// Our name, and the value.
    entry: Option<(Range<usize>, Range<usize>)>,
}

/// The text with our line. Errors: another one stands there, or none can be put in without changing something else.
pub(super) fn with(text: &Text, found: &str) -> Result<String, Failure> {
    let before = parsed(&text.place, found)?;
    let wanted = parsed(&text.place, &text.text)?.remove(NAME);
    match (value(&before), places(found).entry) {
        (Some(value), _) if Some(value) == wanted.as_ref() => return Ok(found.to_owned()),
        (Some(value), Some((_, at))) if value.as_str().is_some_and(|value| is_ours(text, value)) => {
            let mut with = found.to_owned();
            with.replace_range(at, &wanted.unwrap_or_else(|| value.clone()).to_string());
            return Ok(with);
        }
        (Some(_), _) => return Err(refused(&text.place, &format!("it sets `{NAME}` already"), "take that out")),
        (None, _) => {}
    }
    // Marks may be left, of a line that somebody took out.
    let rest = without(text, found)?;
    let is_it = |with: &String| {
        let after = with.parse::<toml::Table>().ok();
        after.is_some_and(|after| value(&after) == wanted.as_ref() && bare(after) == bare(before.clone()))
    };
    candidates(&rest, &text.text).into_iter().find(is_it).ok_or_else(|| {
        let by_hand = format!("put `{}` into `{POLICY}.{SET}` by hand", text.text);
        refused(&text.place, "it cannot be put in without changing something else", &by_hand)
    })
}

/// The text without our marks and our line, and without the table's head where that is ours and nothing else is in the table.
///
/// Errors: it is marked as having something of ours, and nobody can tell what.
pub(super) fn without(text: &Text, found: &str) -> Result<String, Failure> {
    if !is_marked(text, found) {
        return Ok(found.to_owned());
    }
    let before = parsed(&text.place, found)?;
    let is_there = value(&before).and_then(toml::Value::as_str).is_some_and(|value| is_ours(text, value));
    let entry = places(found).entry.filter(|_| is_there).map(|(name, value)| name.start..value.end);
    let expected = if is_there { bare(before) } else { emptied(before) };
    let is_it = |without: &String| without.parse::<toml::Table>().is_ok_and(|after| emptied(after) == expected);
    let both = [true, false].map(|with_head| taken_out(found, entry.clone(), with_head));
    let by_hand = || refused(&text.place, "nobody can tell what is ours in it", "take our line out by hand");
    both.into_iter().find(is_it).ok_or_else(by_hand)
}

/// The forms in which our line could be put in, the plainest first.
fn candidates(found: &str, line: &str) -> Vec<String> {
    let places = places(found);
    let inline = |place: &Option<Range<usize>>, line: &str| inserted(found, place.clone()?, line);
    let mut all: Vec<String> = heads(found, &[POLICY, SET]).map(|at| below(found, at, line)).collect();
    all.push(appended(found, &format!("{}\n{line}", head())));
    all.extend(inline(&places.set, line));
    all.extend(inline(&places.policy, &format!("{SET} = {{ {line} }}")));
    all.extend(heads(found, &[POLICY]).map(|at| below(found, at, &format!("{SET}.{line}"))));
    all.push(format!("{}{found}", block(&format!("{POLICY}.{SET}.{line}"), false)));
    all
}

fn head() -> String {
    format!("[{POLICY}.{SET}]")
}

/// Behind which places the heads of a table end, in whatever way they are written.
fn heads<'t>(found: &'t str, path: &'t [&str]) -> impl Iterator<Item = usize> + 't {
    let mut at = 0;
    let lines = found.split_inclusive('\n').map(move |line| {
        at += line.len();
        (at, line)
    });
    let is_head = |line: &str| {
        let table = line.trim().starts_with('[').then(|| line.parse::<toml::Table>().ok()).flatten();
        let named = path.iter().rev().fold(toml::Table::new(), |inner, name| {
            [((*name).to_owned(), toml::Value::Table(inner))].into_iter().collect()
        });
        table == Some(named)
    };
    lines.filter(move |(_, line)| is_head(line)).map(|(at, _)| at)
}

/// With our line below a table's head: the table's own lines come first in it.
fn below(found: &str, at: usize, line: &str) -> String {
    let (head, rest) = found.split_at(at);
    let joined = !head.ends_with('\n');
    format!("{head}{}{}{rest}", if joined { "\n" } else { "" }, block(line, joined))
}

/// With something more in an inline table.
fn inserted(found: &str, table: Range<usize>, what: &str) -> Option<String> {
    let inner = found[table.clone()].strip_prefix('{')?.strip_suffix('}')?;
    let (at, comma) = match inner.trim_end() {
        "" => (0, ""),
        full => (full.len(), ", "),
    };
    let (before, after) = found.split_at(table.start + 1 + at);
    Some(format!("{before}{comma}{what}{after}"))
}

/// Without our marks and the entry; with its head where that stands behind our first mark.
fn taken_out(found: &str, entry: Option<Range<usize>>, with_head: bool) -> String {
    const OURS: &str = "# wfr: this line is to go";
    let mut text = found.to_owned();
    if let Some(entry) = entry {
        let line = found[..entry.start].rfind('\n').map_or(0, |end| end + 1);
        let before = found[line..entry.start].trim();
        if ["", "set.", "shell_environment_policy.set."].contains(&before) {
            text.replace_range(line..entry.end, OURS);
        } else {
            text.replace_range(with_comma(found, entry), "");
        }
    }
    let mut is_behind_mark = false;
    let mut lines = String::new();
    for line in text.split_inclusive('\n') {
        let is_head = with_head && is_behind_mark && line.trim() == head();
        is_behind_mark = is_begin(line);
        lines.push_str(if is_head { OURS } else { line });
        lines.push_str(if is_head { "\n" } else { "" });
    }
    without_lines(&lines, |line| line.starts_with(OURS))
}

/// An entry of an inline table, with the table where that is ours, and with the comma that goes with it.
fn with_comma(found: &str, mut entry: Range<usize>) -> Range<usize> {
    const AROUND: (&str, &str) = ("set = { ", " }");
    let (before, after) = (&found[..entry.start], &found[entry.end..]);
    if before.ends_with(AROUND.0) && after.starts_with(AROUND.1) {
        entry = entry.start - AROUND.0.len()..entry.end + AROUND.1.len();
    }
    let (before, after) = (&found[..entry.start], &found[entry.end..]);
    if before.ends_with(", ") {
        return entry.start - 2..entry.end;
    }
    let comma = after.len() - after.trim_start().trim_start_matches(',').trim_start().len();
    if after.trim_start().starts_with(',') { entry.start..entry.end + comma } else { entry }
}

/// The value of our name.
fn value(table: &toml::Table) -> Option<&toml::Value> {
    table.get(POLICY)?.get(SET)?.get(NAME)
}

fn places(found: &str) -> Places {
    let mut places = Places::default();
    let Ok(document) = DeTable::parse(found) else { return places };
    let Some(policy) = document.get_ref().get(POLICY) else { return places };
    places.policy = Some(policy.span());
    let Some(set) = policy.get_ref().get(SET) else { return places };
    places.set = Some(set.span());
    let entry = set.get_ref().as_table().and_then(|set| set.iter().find(|(name, _)| name.get_ref() == NAME));
    places.entry = entry.map(|(name, value): (_, &toml::Spanned<DeValue>)| (name.span(), value.span()));
    places
}

/// A document without our name, and without our table where nothing else is in it.
fn bare(mut table: toml::Table) -> toml::Table {
    let set = table.get_mut(POLICY).and_then(|policy| policy.get_mut(SET)).and_then(toml::Value::as_table_mut);
    set.map(|set| set.remove(NAME));
    emptied(table)
}

/// A document without our table, where nothing is in it.
fn emptied(mut table: toml::Table) -> toml::Table {
    if let Some(policy) = table.get_mut(POLICY).and_then(toml::Value::as_table_mut) {
        if policy.get(SET).and_then(toml::Value::as_table).is_some_and(toml::Table::is_empty) {
            policy.remove(SET);
        }
        if policy.is_empty() {
            table.remove(POLICY);
        }
    }
    table
}

fn parsed(place: &Path, text: &str) -> Result<toml::Table, Failure> {
    text.parse().map_err(|error: toml::de::Error| {
        let why = format!("it is no TOML: {}", error.message());
        refused(place, &why, "mend it")
    })
}
