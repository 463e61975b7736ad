//! The forms of a plan's lines: headings, items of lists, boxes, `key: value`.
//!
//! Owns how each is written, and which lines are code, comment or front matter. Refuses to know what stands where.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::super::{PhaseStatus, TaskStatus};
use crate::phase::{PhaseId, slug};

/// Words by which a heading says that it is a phase's: a plan uses the first of them that it has.
const WORDS: [&str; 4] = ["phase", "stage", "milestone", "step"];

/// A phase's name and how it stands, as its heading says.
pub type Heading = (Option<String>, Option<PhaseStatus>);

/// How a plan writes its phases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// `## Phase 2: Name`, by this word.
    Word(&'static str),
    /// `**Phase 2**`, `**Phase 2:** Name`, by this word.
    Bold(&'static str),
    /// `## 2. Name`, by headings of this level.
    Numbered(usize),
    /// Every heading is one.
    Any,
}

impl Style {
    /// The style of a plan.
    pub fn of(lines: &[(usize, Cow<'_, str>)]) -> Self {
        let headings = || lines.iter().filter_map(|(_, line)| heading(line));
        if let Some(word) = WORDS.into_iter().find(|word| headings().any(|(_, text)| phase_in(text, word).is_some())) {
            return Self::Word(word);
        }
        let bold = |word: &&str| lines.iter().any(|(_, line)| bold_phase(line, word).is_some());
        if let Some(word) = WORDS.into_iter().find(bold) {
            return Self::Bold(word);
        }
        let numbered = headings().filter(|(_, text)| numbered_phase(text).is_some()).map(|(level, _)| level);
        numbered.min().map_or(Self::Any, Self::Numbered)
    }

    /// The phase of a heading.
    pub fn phase(self, level: usize, text: &str) -> Option<(PhaseId, Heading)> {
        match self {
            Self::Word(word) => phase_in(text, word),
            Self::Numbered(of) if of == level => numbered_phase(text),
            _ => None,
        }
    }

    /// Whether a heading begins with the word of the plan's phases.
    pub fn has_word(self, text: &str) -> bool {
        let bare = text.trim_start_matches(|letter: char| !letter.is_alphanumeric());
        matches!(self, Self::Word(word) if behind(bare, word).is_some_and(|rest| rest.starts_with([' ', ':', '-'])))
    }

    /// The phase of a line that is no heading.
    pub fn phase_of_line(self, line: &str) -> Option<(PhaseId, Heading)> {
        match self {
            Self::Bold(word) => bold_phase(line, word),
            _ => None,
        }
    }
}

/// The lines that are no code, no comment and no front matter.
pub struct Lines<'t> {
    /// Each with its number, from 1. Headings that are underlined stand as those with `#` do.
    pub kept: Vec<(usize, Cow<'t, str>)>,
    /// What the front matter says.
    pub front: Map<String, Value>,
}

impl<'t> Lines<'t> {
    /// Of a plan's text.
    pub fn of(text: &'t str) -> Self {
        let mut lines = Self { kept: Vec::new(), front: Map::new() };
        let has_front = text.lines().next() == Some("---") && text.lines().skip(1).any(|line| line.trim_end() == "---");
        let (mut in_front, mut fence, mut in_comment) = (has_front, None::<&str>, false);
        for (index, line) in text.lines().enumerate() {
            let bare = line.trim();
            if in_front {
                in_front = index == 0 || bare != "---";
                lines.front.extend(key_value(bare).filter(|_| in_front && index > 0));
            } else if let Some(open) = fence {
                // A fence ends with as many marks as it began with, or more, and nothing else.
                if bare.starts_with(open) && bare.trim_start_matches(&open[..1]).is_empty() {
                    fence = None;
                }
            } else if in_comment || bare.starts_with("<!--") {
                in_comment = !bare.contains("-->");
            } else if bare.starts_with("```") || bare.starts_with("~~~") {
                let mark = &bare[..1];
                fence = Some(&bare[..bare.len() - bare.trim_start_matches(mark).len()]);
            } else {
                lines.keep(index + 1, line);
            }
        }
        lines
    }

    fn keep(&mut self, number: usize, line: &'t str) {
        let is_above = |index: usize| self.kept.len().checked_sub(index).and_then(|at| self.kept.get(at));
        let is_alone = is_above(2).is_none_or(|(_, line)| line.trim().is_empty() || heading(line).is_some());
        let title = is_above(1).filter(|(above, line)| is_alone && above + 1 == number && may_be_underlined(line));
        match (underline(line), title) {
            (Some(level), Some((at, text))) => {
                let heading = (*at, Cow::from(format!("{} {}", "#".repeat(level), text.trim())));
                self.kept.pop();
                // The underline is a line, so that numbers stay as they are.
                self.kept.extend([heading, (number, Cow::from(""))]);
            }
            _ => self.kept.push((number, Cow::from(line))),
        }
    }
}

/// The level of the heading that a line makes of the line above (`Text` and `====`, or `----`).
fn underline(line: &str) -> Option<usize> {
    let bare = line.trim_end();
    let of = |mark: &str| bare.len() > 1 && bare.trim_start_matches(mark).is_empty();
    if of("=") { Some(1) } else { of("-").then_some(2) }
}

/// Whether a line is text: neither an item, a table, a quotation or a heading, nor `key: value`, below which `---` divides.
fn may_be_underlined(line: &str) -> bool {
    let is_text = !line.trim().is_empty() && !line.starts_with([' ', '\t', '|', '>']);
    let is_other = heading(line).is_some() || Item::of(line).is_some();
    let is_phase = || WORDS.into_iter().any(|word| phase_in(line, word).is_some());
    is_text && !is_other && (key_value(line).is_none() || is_phase())
}

/// Level and text of a heading (`## Text`).
pub fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let text = line.get(level..).filter(|rest| (1..=6).contains(&level) && rest.starts_with([' ', '\t']))?;
    Some((level, text.trim().trim_end_matches('#').trim_end()))
}

/// The phase of a heading such as `Phase 2: Implementation [COMPLETED]`, its name and how it stands.
fn phase_in(text: &str, word: &str) -> Option<(PhaseId, Heading)> {
    let (text, status) = marked(text);
    let (id, after) = after_word(&text, word)?;
    Some((id, (name_of(after), status)))
}

/// What stands behind a word.
fn behind<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let begins = text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    text.get(word.len()..).filter(|_| begins)
}

/// The phase behind a word, and what follows: `Phase 2`, `Phase 2b`, `Phase 2.1`, `Phase Two`, `Phase II`. `Phased` has none.
fn after_word<'t>(text: &'t str, word: &str) -> Option<(PhaseId, &'t str)> {
    let text = text.trim_start_matches(|letter: char| !letter.is_alphanumeric());
    let rest = behind(text, word)?.trim_start_matches([' ', '_', '-', '#']);
    let spelled = || spelled_number(rest).map(|(number, after)| (PhaseId::numbered(number), after));
    let (id, after) = numeral(rest).or_else(spelled)?;
    (!after.starts_with(char::is_alphanumeric)).then_some((id, after))
}

/// A number in digits, with a letter or a part behind it where there is one.
fn numeral(text: &str) -> Option<(PhaseId, &str)> {
    let (plain, after) = number(text)?;
    let part = after.strip_prefix('.').map_or(0, |part| part.bytes().take_while(u8::is_ascii_digit).count());
    let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
    let more = match (part, letters) {
        (0, 1) => 1,
        (1.., _) => part + 1,
        _ => return Some((PhaseId::numbered(plain), after)),
    };
    let length = text.len() - after.len() + more;
    Some((PhaseId::named(&text[..length]).ok()??, &text[length..]))
}

/// Numbers as words, from one on.
const SPELLED: [&str; 12] =
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

/// Roman numbers, from one on.
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// A number in letters where nothing follows but a name: `Phase I/O` has none.
fn spelled_number(text: &str) -> Option<(i64, &str)> {
    let (word, after) = text.split_at(text.bytes().take_while(u8::is_ascii_alphabetic).count());
    let spelled = SPELLED.iter().position(|name| word.eq_ignore_ascii_case(name));
    let place = spelled.or_else(|| ROMAN.iter().position(|name| word == *name))?;
    ends_like_a_heading(after.trim_start_matches(['*', '_'])).then_some((place as i64 + 1, after))
}

fn number(text: &str) -> Option<(i64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, after) = text.split_at(digits);
    Some((number.parse().ok()?, after))
}

/// The name behind a phase's number; `None` where there is none.
fn name_of(after: &str) -> Option<String> {
    let name = after.trim_matches(|letter: char| letter.is_whitespace() || ":.-–—*_)".contains(letter));
    (!name.is_empty()).then(|| name.to_owned())
}

/// The phase of a heading such as `2. Implementation` or `2) Implementation`.
fn numbered_phase(text: &str) -> Option<(PhaseId, Heading)> {
    let (text, status) = marked(text);
    let (number, after) = number(text.trim_start_matches('*'))?;
    let is_name = after.starts_with(['.', ')', ':']) && after[1..].starts_with([' ', '\t']);
    let name = name_of(after).filter(|_| is_name)?;
    Some((PhaseId::numbered(number), (Some(name), status)))
}

/// The phase of a line that begins in bold with it.
fn bold_phase(line: &str, word: &str) -> Option<(PhaseId, Heading)> {
    let mark = ["**", "__"].into_iter().find(|mark| line.starts_with(mark))?;
    let (bold, rest) = line[2..].trim_end().split_once(mark)?;
    let whole = format!("{bold}{rest}");
    let (_, after) = after_word(&whole, word)?;
    (rest.is_empty() || ends_like_a_heading(after)).then(|| phase_in(&whole, word)).flatten()
}

/// Whether a line begins in bold with a phase, by any word for one.
pub fn is_bold_phase(line: &str) -> bool {
    WORDS.into_iter().any(|word| bold_phase(line, word).is_some())
}

/// Whether what follows a phase's number is a name, and no sentence that goes on.
fn ends_like_a_heading(after: &str) -> bool {
    let after = after.trim_start();
    after.is_empty() || after.starts_with([':', '-', '–', '—', '.', '[', '(', '✅', '✔', '✓'])
}

/// Whether a line without any mark reads like a phase's heading.
pub fn reads_like_a_phase(line: &str) -> bool {
    let is_bare = line.starts_with(char::is_alphabetic);
    is_bare && WORDS.into_iter().any(|word| after_word(line, word).is_some_and(|(_, after)| ends_like_a_heading(after)))
}

/// Whether a heading reads like a task's: `Task 2.1: build`.
pub fn reads_like_a_task(text: &str) -> bool {
    text.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("task ")) && number_of(text).is_some()
}

/// A heading without the mark at its end that says how it stands.
pub fn marked(text: &str) -> (String, Option<PhaseStatus>) {
    let bare = text.trim().trim_matches('*').trim();
    let ticked = bare.trim_end_matches(['✅', '✔', '✓', '\u{fe0f}']).trim_end();
    if ticked.len() < bare.len() {
        return (ticked.to_owned(), Some(PhaseStatus::Completed));
    }
    let open = match bare.chars().last() {
        Some(']') => '[',
        Some(')') => '(',
        _ => return (bare.to_owned(), None),
    };
    let Some((before, word)) = bare[..bare.len() - 1].rsplit_once(open) else { return (bare.to_owned(), None) };
    let status = match slug(word).as_str() {
        "completed" | "complete" | "done" | "x" => PhaseStatus::Completed,
        "in_progress" | "active" | "started" | "wip" => PhaseStatus::InProgress,
        "pending" | "not_started" | "todo" => PhaseStatus::Pending,
        "failed" => PhaseStatus::Failed,
        "skipped" => PhaseStatus::Skipped,
        _ => return (bare.to_owned(), None),
    };
    (before.trim_end().to_owned(), Some(status))
}

/// An item of a list.
pub struct Item<'l> {
    /// How far it is indented.
    pub indent: usize,
    /// Whether it has a number.
    pub is_numbered: bool,
    /// How its box is ticked; `None` where it has none. A mark of several meanings is as good as none.
    pub status: Option<TaskStatus>,
    /// Whether the mark in its box means one thing to some and another to others.
    pub is_unclear: bool,
    /// Its words.
    pub text: &'l str,
}

impl<'l> Item<'l> {
    /// Of a line.
    pub fn of(line: &'l str) -> Option<Self> {
        let indent = line.chars().take_while(|c| " \t".contains(*c)).map(|c| if c == '\t' { 4 } else { 1 }).sum();
        let bare = line.trim_start_matches([' ', '\t']);
        let digits = bare.bytes().take_while(u8::is_ascii_digit).count();
        let (is_numbered, rest) = match bare.get(digits..) {
            Some(rest) if digits > 0 => (true, rest.strip_prefix(['.', ')'])?),
            _ => (false, bare.strip_prefix(['-', '*', '+'])?),
        };
        let rest = rest.strip_prefix([' ', '\t'])?.trim();
        let (mark, text) = boxed(rest).unwrap_or(("", rest));
        let status = if text == rest { None } else { ticked(mark) };
        let text = if status.is_some() { text } else { rest };
        let is_unclear = status.is_some() && UNCLEAR.contains(&mark);
        Some(Self { indent, is_numbered, status, is_unclear, text })
    }

    /// Whether it begins with a box whose mark is none.
    pub fn has_unknown_mark(&self) -> bool {
        let mark = self.text.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        self.status.is_none()
            && mark.is_some_and(|(mark, rest)| mark.chars().count() == 1 && rest.starts_with([' ', '\t']))
    }
}

/// Marks that say to some tools that a task is under way, and to others that it is cancelled, not applicable or put off.
const UNCLEAR: [&str; 3] = ["-", "~", ">"];

/// The mark in a box, and what follows that.
fn boxed(text: &str) -> Option<(&str, &str)> {
    let (mark, rest) = text.strip_prefix('[')?.split_once(']')?;
    // `[x](link)` is a link.
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some((mark, rest.trim()))
}

/// How a box with a mark is ticked; `None` where nobody uses it so.
fn ticked(mark: &str) -> Option<TaskStatus> {
    Some(match mark {
        "" | " " => TaskStatus::Pending,
        "x" | "X" | "✓" | "✔" | "✅" => TaskStatus::Completed,
        "/" => TaskStatus::Active,
        "!" => TaskStatus::Failed,
        mark if UNCLEAR.contains(&mark) => TaskStatus::Pending,
        _ => return None,
    })
}

/// The number of `Task 2.1: ...`, `2.1. ...`, `**2.1** ...`.
pub fn number_of(text: &str) -> Option<String> {
    let bare = text.trim_start_matches(['*', '`', '_']);
    let has_word = bare.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("task "));
    let bare = if has_word { bare[5..].trim_start() } else { bare };
    let length = bare.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, rest) = bare.split_at(length);
    let number = number.trim_end_matches('.');
    let is_number = number.starts_with(|first: char| first.is_ascii_digit()) && !number.contains("..");
    let ends = rest.is_empty() || rest.starts_with([':', ' ', '*', '`', ')', '_', '-']);
    (is_number && ends && (has_word || number.contains('.'))).then(|| number.replace('.', "_"))
}

/// A key in small letters and its value, of `**Key**: value`, `Key: value`, `- **Key:** value`.
pub fn key_value(line: &str) -> Option<(String, Value)> {
    let (key, value) = line.split_once(':')?;
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || " _-*`".contains(letter);
    let key = slug(key).to_owned();
    let value = value.trim_start_matches("**").trim().trim_matches('"');
    let head = line.split(':').next().unwrap_or_default();
    let fits = !key.is_empty() && key.len() <= 40 && head.chars().all(is_word) && head.split_whitespace().count() <= 4;
    (fits && !value.is_empty()).then(|| (key, Value::from(value)))
}

/// The phases that a text such as `Phase 1, Phase 2b` or `[1, 2]` names.
pub fn phases_in(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.');
    let phases = words.filter_map(|word| numeral(word).filter(|(_, after)| after.trim_matches('.').is_empty()));
    phases.map(|(id, _)| id.to_string()).collect()
}
