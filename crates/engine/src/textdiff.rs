//! Comparing two texts by lines or by words.
//!
//! Owns the text of a difference. Refuses to read files and to colour anything.

use similar::{ChangeTag, TextDiff};

use crate::params::DiffFormat;

/// Files up to this many bytes are compared as text.
pub const BYTES_MAX: u64 = 4 << 20;

/// What a comparison found.
pub struct Compared {
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// The difference as text; `None` in the forms that show none.
    pub patch: Option<String>,
}

/// Compares two texts. `names` stand above a unified diff; `context` is in lines.
pub fn compare(left: &str, right: &str, format: DiffFormat, context: usize, names: &(String, String)) -> Compared {
    let lines = TextDiff::from_lines(left, right);
    let count = |tag| lines.iter_all_changes().filter(|line| line.tag() == tag).count() as u64;
    let patch = match format {
        DiffFormat::Unified => {
            Some(lines.unified_diff().context_radius(context).header(&names.0, &names.1).to_string())
        }
        DiffFormat::Word => Some(by_words(left, right)),
        DiffFormat::NameOnly | DiffFormat::Stat => None,
    };
    Compared { insertions: count(ChangeTag::Insert), deletions: count(ChangeTag::Delete), patch }
}

/// The lines in which words differ: what is gone in `[-...-]`, what is new in `{+...+}`.
fn by_words(left: &str, right: &str) -> String {
    let mut text = String::new();
    let words = TextDiff::from_words(left, right);
    for run in words.ops() {
        let of =
            |tag| words.iter_changes(run).filter(|word| word.tag() == tag).map(|word| word.value()).collect::<String>();
        text.push_str(&of(ChangeTag::Equal));
        mark(&mut text, "[-", &of(ChangeTag::Delete), "-]");
        mark(&mut text, "{+", &of(ChangeTag::Insert), "+}");
    }
    let marks = ["[-", "-]", "{+", "+}"];
    let marked = text.lines().filter(|line| marks.iter().any(|mark| line.contains(mark)));
    marked.map(|line| format!("{line}\n")).collect()
}

/// Adds a run of words between marks, which end with each line and begin again with the next: a line must show what it is
/// by itself.
fn mark(text: &mut String, begin: &str, run: &str, end: &str) {
    for line in run.split_inclusive('\n') {
        let (line, feed) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        text.push_str(&format!("{begin}{line}{end}{feed}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_words_are_marked() {
        let names = ("a/x".to_owned(), "b/x".to_owned());
        let compared = compare("one\ntwo\n", "one\n2\nthree\n", DiffFormat::Unified, 3, &names);
        assert_eq!((compared.insertions, compared.deletions), (2, 1));
        assert!(compared.patch.is_some_and(|patch| patch.starts_with("--- a/x\n+++ b/x\n@@")));
        let words = compare("a b c\nsame\n", "a x c\nsame\n", DiffFormat::Word, 3, &names).patch;
        assert_eq!(words.as_deref(), Some("a [-b-]{+x+} c\n"));
        let words = |left, right| compare(left, right, DiffFormat::Word, 3, &names).patch.unwrap();
        assert_eq!(words("one two\nx\n", "one 2 and 3\nx\ny\nz\n"), "one [-two-]{+2 and 3+}\n{+y+}\n{+z+}\n");
        assert_eq!(words("a\nb\nc\n", "a\nc\n"), "[-b-]\n");
    }
}
