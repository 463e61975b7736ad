//! Comparing two texts by lines or by words.
//!
//! Owns the text of a difference: the unified form of POSIX `diff -u`, and marked words. Refuses to read files and to
//! colour anything.

use std::ops::Range;

use imara_diff::{Algorithm, Diff, Hunk, InternedInput, Token};
use wfr_model::path::unescape;

use crate::params::DiffFormat;

/// Files up to this many bytes are compared as text.
pub const BYTES_MAX: u64 = 4 << 20;

/// Bytes as a text that can be compared; `None` where they are none.
pub fn as_text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

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
    let lines = InternedInput::new(left, right);
    let mut diff = Diff::compute(Algorithm::Histogram, &lines);
    diff.postprocess_lines(&lines);
    let patch = match format {
        DiffFormat::Unified => Some(unified(&lines, &diff, context, names)),
        DiffFormat::Word => Some(by_words(left, right)),
        DiffFormat::NameOnly | DiffFormat::Stat => None,
    };
    Compared { insertions: diff.count_additions().into(), deletions: diff.count_removals().into(), patch }
}

/// Whom each line of a text is from: those that the text before had too keep theirs, others are from `newcomer`.
/// `origins` are those of the text before.
pub fn carried<T: Copy>(before: &str, after: &str, origins: &[T], newcomer: T) -> Vec<T> {
    let from = |at: Option<usize>| at.and_then(|at| origins.get(at)).copied().unwrap_or(newcomer);
    sources(before, after).into_iter().map(from).collect()
}

/// The number of the line of the text before from which each line of a text is; `None`: it is new.
pub fn sources(before: &str, after: &str) -> Vec<Option<usize>> {
    let input = InternedInput::new(before, after);
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let mut old = (0..).filter(|at| !diff.is_removed(*at));
    let line = |at: usize| {
        if diff.is_added(u32::try_from(at).unwrap_or(u32::MAX)) {
            return None;
        }
        old.next().map(|at: u32| at as usize)
    };
    (0..input.after.len()).map(line).collect()
}

/// The text of tokens, each after a prefix. What does not end its line is followed by the mark that says so.
fn put(text: &mut String, input: &InternedInput<&str>, prefix: char, tokens: &[Token]) {
    for token in tokens {
        let line = input.interner[*token];
        text.push(prefix);
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

fn slice(tokens: &[Token], range: &Range<u32>) -> Vec<Token> {
    tokens.get(range.start as usize..range.end as usize).unwrap_or_default().to_vec()
}

/// The unified form; empty where the texts are equal.
fn unified(input: &InternedInput<&str>, diff: &Diff, context: usize, names: &(String, String)) -> String {
    let context = u32::try_from(context).unwrap_or(u32::MAX);
    let mut text = String::new();
    let mut group: Vec<Hunk> = Vec::new();
    for hunk in diff.hunks() {
        let is_near = |last: &Hunk| hunk.before.start - last.before.end <= context.saturating_mul(2);
        if !group.last().is_none_or(is_near) {
            put_group(&mut text, input, &std::mem::take(&mut group), context);
        }
        group.push(hunk);
    }
    put_group(&mut text, input, &group, context);
    if text.is_empty() { text } else { format!("--- {}\n+++ {}\n{text}", quoted(&names.0), quoted(&names.1)) }
}

/// A name above a diff, given as paths are shown. Where it would end the line, act on a terminal or be taken for another one,
/// it is quoted as git does (`core.quotePath=false`), so that what reads patches finds the file.
fn quoted(shown: &str) -> String {
    let bytes = unescape(shown).unwrap_or_else(|| shown.as_bytes().to_vec());
    let is_plain = |letter: char| !letter.is_control() && !matches!(letter, '"' | '\\') && !turns(letter);
    if std::str::from_utf8(&bytes).is_ok_and(|text| text.chars().all(is_plain)) {
        return shown.to_owned();
    }
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' | '\\' => text.extend(['\\', letter]),
                '\n' => text.push_str(r"\n"),
                '\t' => text.push_str(r"\t"),
                '\r' => text.push_str(r"\r"),
                plain if is_plain(plain) => text.push(plain),
                other => octal(&mut text, other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        octal(&mut text, chunk.invalid());
    }
    text.push('"');
    text
}

fn octal(text: &mut String, bytes: &[u8]) {
    bytes.iter().for_each(|byte| text.push_str(&format!(r"\{byte:03o}")));
}

/// Whether a letter turns the direction of writing or ends a line without being a control.
fn turns(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Hunks that share their context, under one heading.
fn put_group(text: &mut String, input: &InternedInput<&str>, group: &[Hunk], context: u32) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let before = context.min(first.before.start);
    let end = |tokens: &[Token], end: u32| end.saturating_add(context).min(u32::try_from(tokens.len()).unwrap_or(end));
    let left = first.before.start - before..end(&input.before, last.before.end);
    let right = first.after.start - before..end(&input.after, last.after.end);
    text.push_str(&format!("@@ -{} +{} @@\n", place(&left), place(&right)));
    let mut at = left.start;
    for hunk in group {
        put(text, input, ' ', &slice(&input.before, &(at..hunk.before.start)));
        put(text, input, '-', &slice(&input.before, &hunk.before));
        put(text, input, '+', &slice(&input.after, &hunk.after));
        at = hunk.before.end;
    }
    put(text, input, ' ', &slice(&input.before, &(at..left.end)));
}

/// Where lines stand: the first one and how many, which is left out where it is 1. Of none it is the line before.
fn place(range: &Range<u32>) -> String {
    match range.end - range.start {
        0 => format!("{},0", range.start),
        1 => format!("{}", range.start + 1),
        length => format!("{},{length}", range.start + 1),
    }
}

/// The lines in which words differ: what is gone in `[-...-]`, what is new in `{+...+}`.
fn by_words(left: &str, right: &str) -> String {
    let mut input: InternedInput<&str> = InternedInput::default();
    input.update_before(words(left));
    input.update_after(words(right));
    let mut diff = Diff::compute(Algorithm::Myers, &input);
    diff.postprocess_no_heuristic(&input);
    let run = |tokens: &[Token]| tokens.iter().map(|token| input.interner[*token]).collect::<String>();
    let (mut text, mut at) = (String::new(), 0);
    for hunk in diff.hunks() {
        text.push_str(&run(&slice(&input.before, &(at..hunk.before.start))));
        mark(&mut text, "[-", &run(&slice(&input.before, &hunk.before)), "-]");
        mark(&mut text, "{+", &run(&slice(&input.after, &hunk.after)), "+}");
        at = hunk.before.end;
    }
    text.push_str(&run(input.before.get(at as usize..).unwrap_or_default()));
    let marks = ["[-", "-]", "{+", "+}"];
    let marked = text.lines().filter(|line| marks.iter().any(|mark| line.contains(mark)));
    marked.map(|line| format!("{line}\n")).collect()
}

/// Words, the spaces between them, and line ends, each by itself.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let kind = |letter: char| (letter == '\n', letter.is_whitespace());
        let is_end = |letter: char| letter == '\n' || kind(letter) != kind(first);
        let length = rest.char_indices().skip(1).find(|(_, letter)| is_end(*letter)).map_or(rest.len(), |(at, _)| at);
        let (word, more) = rest.split_at(length);
        rest = more;
        Some(word)
    })
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
    use proptest::prelude::*;

    fn names() -> (String, String) {
        ("a/x".to_owned(), "b/x".to_owned())
    }

    fn patch(left: &str, right: &str, format: DiffFormat, context: usize) -> String {
        compare(left, right, format, context, &names()).patch.unwrap()
    }

    #[test]
    fn lines_are_counted_and_words_are_marked() {
        let compared = compare("one\ntwo\n", "one\n2\nthree\n", DiffFormat::Unified, 3, &names());
        assert_eq!((compared.insertions, compared.deletions), (2, 1));
        assert!(compared.patch.is_some_and(|patch| patch.starts_with("--- a/x\n+++ b/x\n@@")));
        let words = |left, right| patch(left, right, DiffFormat::Word, 3);
        assert_eq!(words("a b c\nsame\n", "a x c\nsame\n"), "a [-b-]{+x+} c\n");
        assert_eq!(words("one two\nx\n", "one 2 and 3\nx\ny\nz\n"), "one [-two-]{+2 and 3+}\n{+y+}\n{+z+}\n");
        assert_eq!(words("a\nb\nc\n", "a\nc\n"), "[-b-]\n");
    }

    #[test]
    fn the_unified_form_is_that_of_diff() {
        let unified = |left, right, context| patch(left, right, DiffFormat::Unified, context);
        let head = "--- a/x\n+++ b/x\n";
        assert_eq!(unified("a\n", "a\n", 3), "");
        assert_eq!(unified("", "a\n", 3), format!("{head}@@ -0,0 +1 @@\n+a\n"));
        assert_eq!(unified("a\nb\n", "", 3), format!("{head}@@ -1,2 +0,0 @@\n-a\n-b\n"));
        assert_eq!(
            unified("a\nb", "a\nc", 3),
            format!("{head}@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n")
        );
        assert_eq!(
            unified("1\n2\n3\n4\n5\n6\n", "1\nx\n3\n4\ny\n6\n", 1),
            format!("{head}@@ -1,6 +1,6 @@\n 1\n-2\n+x\n 3\n 4\n-5\n+y\n 6\n")
        );
        assert_eq!(
            unified("1\n2\n3\n4\n5\n6\n", "1\nx\n3\n4\ny\n6\n", 0),
            format!("{head}@@ -2 +2 @@\n-2\n+x\n@@ -5 +5 @@\n-5\n+y\n")
        );
    }

    /// What a unified diff makes of a text.
    fn apply(text: &str, patch: &str) -> String {
        let (mut lines, mut made, mut at) = (text.split_inclusive('\n'), String::new(), 0);
        let mut last = ' ';
        for line in patch.split_inclusive('\n').skip(2) {
            let (sign, rest) = line.split_at(1);
            match sign {
                "@" => {
                    let place = line.split(['-', ' ']).nth(2).unwrap();
                    let (first, count) = place.split_once(',').unwrap_or((place, "1"));
                    let first: usize = first.parse().unwrap();
                    let before = if count == "0" { first } else { first - 1 };
                    made.extend(lines.by_ref().take(before - at));
                    at = before;
                }
                " " | "-" => {
                    at += 1;
                    let had = lines.next().unwrap();
                    assert_eq!(had.trim_end_matches('\n'), rest.trim_end_matches('\n'));
                    if sign == " " {
                        made.push_str(rest);
                    }
                }
                "+" => made.push_str(rest),
                _ if last == '-' => {}
                _ => assert_eq!(made.pop(), Some('\n')),
            }
            last = sign.chars().next().unwrap();
        }
        made.extend(lines);
        made
    }

    proptest! {
        #[test]
        fn a_unified_diff_makes_the_right_of_the_left(left in "([ab]?\n|[abc]){0,30}", right in "([ab]?\n|[abc]){0,30}",
            context in 0_usize..4) {
            let made = patch(&left, &right, DiffFormat::Unified, context);
            prop_assert_eq!(if made.is_empty() { left.clone() } else { apply(&left, &made) }, right);
        }
    }

    #[test]
    fn names_that_would_act_are_quoted_as_git_does() {
        let head = |name: &str| {
            let names = ("/dev/null".to_owned(), name.to_owned());
            let patch = compare("", "x\n", DiffFormat::Unified, 3, &names).patch.unwrap();
            patch.split("\n@@").next().unwrap().strip_prefix("--- /dev/null\n+++ ").unwrap().to_owned()
        };
        assert_eq!(head("b/plain name ü.rs"), "b/plain name ü.rs");
        assert_eq!(head("b/e\x1b[31mvil\x07\n"), r#""b/e\033[31mvil\007\n""#);
        assert_eq!(head(r#"b/a"b\\c\xff"#), r#""b/a\"b\\c\377""#);
        assert_eq!(head("b/\u{202e}x"), r#""b/\342\200\256x""#);
    }
}
