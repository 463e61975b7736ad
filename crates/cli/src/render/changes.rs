//! The view of differences: names, counts, hunks or words, in colour.
//!
//! Owns their layout. Refuses to compare anything: the patches are in the result.

use wfr_engine::params::DiffFormat;
use wfr_engine::results::{Change, ChangeKind, Compared, Differences, NotLookedAt};
use wfr_model::TreePath;
use wfr_model::plan::EntrySummary;

use super::{count, word};
use crate::terminal::{self, BAD, FAINT, GOOD, HEADING, PLACE, WARN, styled, visible, visible_lines};

/// The widest bar of a count, in letters.
const BAR_MAX: u64 = 40;

/// Differences, in the format that was asked for. Lines of files are left as they are where no terminal shows them:
/// a patch must stay one.
pub fn differences(result: &Differences) -> String {
    let body = if terminal::width().is_some() { visible_lines } else { str::to_owned };
    let changes: String = match result.format {
        DiffFormat::NameOnly => result.changes.iter().map(name).collect(),
        DiffFormat::Stat => stat(&result.changes),
        DiffFormat::Unified | DiffFormat::Word => {
            result.changes.iter().map(|change| whole(change, result.format, body)).collect()
        }
    };
    let unlooked = result.not_looked_at.iter().map(|one| unlooked(one, result));
    changes + &unlooked.collect::<String>()
}

/// Something that a side does not cover: nobody knows whether it differs.
fn unlooked(one: &NotLookedAt, result: &Differences) -> String {
    let path = visible(&one.path.to_string());
    let sign = styled(WARN, "?");
    if result.format == DiffFormat::NameOnly {
        return format!("{sign} {path}\n");
    }
    let side = match one.side {
        Compared::From => &result.from.name,
        Compared::To => &result.to.name,
    };
    format!("{sign} {path}  not looked at in {}: {}\n", visible(side), one.reason)
}

/// How a file's lines are written.
pub(super) type Body = fn(&str) -> String;

fn letter(kind: ChangeKind) -> String {
    let (style, letter) = match kind {
        ChangeKind::Added => (GOOD, "A"),
        ChangeKind::Modified => (WARN, "M"),
        ChangeKind::Metadata => (FAINT, "m"),
        ChangeKind::Type => (WARN, "T"),
        ChangeKind::Removed => (BAD, "D"),
    };
    styled(style, letter)
}

fn name(change: &Change) -> String {
    format!("{} {}\n", letter(change.kind), visible(&change.path.to_string()))
}

fn stat(changes: &[Change]) -> String {
    let widest = changes.iter().filter_map(lines).max().unwrap_or(0).max(1);
    let path_width = changes.iter().map(|change| visible(&change.path.to_string()).chars().count()).max().unwrap_or(0);
    let mut shown = String::new();
    for change in changes {
        let path = visible(&change.path.to_string());
        let gap = " ".repeat(path_width - path.chars().count());
        shown.push_str(&format!("{} {path}{gap} | {}\n", letter(change.kind), amount(change, widest)));
    }
    let sum = |of: fn(&Change) -> Option<u64>| changes.iter().filter_map(of).sum::<u64>();
    let (plus, minus) = (sum(|change| change.insertions), sum(|change| change.deletions));
    let number = count(changes.len() as u64, "path");
    shown.push_str(&format!("{number} changed, {}, {}\n", count(plus, "insertion"), count(minus, "deletion")));
    shown
}

fn lines(change: &Change) -> Option<u64> {
    Some(change.insertions? + change.deletions?)
}

/// The lines of a change as a number and a bar, or what is known of it else.
fn amount(change: &Change, widest: u64) -> String {
    let (Some(plus), Some(minus)) = (change.insertions, change.deletions) else {
        let bytes = |entry: &Option<EntrySummary>| entry.as_ref().and_then(|entry| entry.size);
        return match (change.binary, bytes(&change.before), bytes(&change.after)) {
            (Some(true), before, after) => format!("binary, {} -> {} bytes", shown(before), shown(after)),
            _ => note(change),
        };
    };
    let bar = |lines: u64| if widest <= BAR_MAX { lines } else { (lines * BAR_MAX).div_ceil(widest) };
    let repeat = |sign: &str, lines: u64| sign.repeat(usize::try_from(bar(lines)).unwrap_or(0));
    if plus + minus == 0 {
        return "0".to_owned();
    }
    format!("{} {}{}", plus + minus, styled(GOOD, &repeat("+", plus)), styled(BAD, &repeat("-", minus)))
}

fn shown(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "none".to_owned(), |bytes| bytes.to_string())
}

/// What happened to something that has no lines.
fn note(change: &Change) -> String {
    let kinds = [&change.before, &change.after].map(|entry| entry.as_ref().map(|entry| word(&entry.kind)));
    let modes = [&change.before, &change.after].map(|entry| entry.as_ref().map(|entry| entry.mode.as_str()));
    match (kinds, modes) {
        ([Some(before), Some(after)], _) if before != after => format!("{before} -> {after}"),
        (_, [Some(before), Some(after)]) if before != after => format!("mode {before} -> {after}{}", belongs(change)),
        _ if !belongs(change).is_empty() => belongs(change).trim_start_matches([',', ' ']).to_owned(),
        ([before, after], _) => format!("{} {}", before.or(after).unwrap_or_default(), word(&change.kind)),
    }
}

/// Whose something is, and how many names it has, where that differs; behind a comma.
fn belongs(change: &Change) -> String {
    let owners = change.owners.as_ref().map(|[before, after]| format!(", owner {before} -> {after}"));
    let names = |paths: &[TreePath]| paths.len().max(1);
    let links = change.links.as_ref().map(|[before, after]| match (names(before), names(after)) {
        (before, after) if before == after => ", hard links with others".to_owned(),
        (before, after) => format!(", hard links {before} -> {after}"),
    });
    owners.into_iter().chain(links).collect()
}

fn whole(change: &Change, format: DiffFormat, body: Body) -> String {
    let path = visible(&change.path.to_string());
    let heading = format!("{} {}", letter(change.kind), styled(HEADING, &path));
    // Where lines are compared, nothing else says it.
    let heading = if change.patch.is_some() { format!("{heading}{}", belongs(change)) } else { heading };
    let mut text = match &change.patch {
        Some(patch) if format == DiffFormat::Word => format!("{heading}\n{}", words(patch, body)),
        Some(patch) => format!("{heading}\n{}", patch_lines(patch, body)),
        None if change.binary == Some(true) => format!("{heading}\n  {}\n", amount(change, 1)),
        None => format!("{heading}  {}{}\n", note(change), targets(change)),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Where symbolic links point.
fn targets(change: &Change) -> String {
    let target = |entry: &Option<EntrySummary>| entry.as_ref().and_then(|entry| entry.target.clone());
    match (target(&change.before), target(&change.after)) {
        (None, None) => String::new(),
        (before, after) => {
            let sides = [before, after].map(|side| side.map_or_else(|| "none".to_owned(), |side| visible(&side)));
            format!(", {}", sides.join(" -> "))
        }
    }
}

/// Hunks: the first letter of a line gives its colour.
pub(super) fn patch_lines(patch: &str, body: Body) -> String {
    patch.split_inclusive('\n').map(|line| patch_line(line, body)).collect()
}

fn patch_line(line: &str, body: Body) -> String {
    let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
    let style = match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => HEADING,
        [b'+', ..] => GOOD,
        [b'-', ..] => BAD,
        [b'@', ..] => PLACE,
        _ => return format!("{}{end}", body(line)),
    };
    format!("{}{end}", styled(style, &body(line)))
}

/// Words in `[-...-]` are gone, words in `{+...+}` are new.
fn words(patch: &str, body: Body) -> String {
    let marks = [("[-", BAD.render().to_string()), ("{+", GOOD.render().to_string())];
    let mut shown = body(patch);
    for (mark, style) in marks {
        shown = shown.replace(mark, &format!("{style}{mark}"));
    }
    for (mark, style) in [("-]", BAD), ("+}", GOOD)] {
        shown = shown.replace(mark, &format!("{mark}{}", style.render_reset()));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use wfr_model::Digest;
    use wfr_model::entry::Kind;

    fn change(path: &str, patch: Option<&str>) -> Change {
        let side = |size| {
            let hash = Some(Digest([size as u8; 32]));
            Some(EntrySummary { kind: Kind::File, mode: "0644".into(), size: Some(size), hash, target: None })
        };
        Change {
            path: path.parse().expect("a valid path"),
            kind: ChangeKind::Modified,
            before: side(1),
            after: side(2),
            owners: None,
            links: None,
            binary: Some(patch.is_none()),
            insertions: patch.map(|_| 3),
            deletions: patch.map(|_| 1),
            patch: patch.map(str::to_owned),
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn counts_have_bars_and_binary_files_say_so() {
        let text = plain(&stat(&[change("a.rs", Some("")), change("deep/b.png", None)]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "M a.rs       | 4 +++-");
        assert_eq!(lines[1], "M deep/b.png | binary, 1 -> 2 bytes");
        assert_eq!(lines[2], "2 paths changed, 3 insertions, 1 deletion");
    }

    #[test]
    fn hunks_are_coloured_and_cannot_act() {
        let text = whole(&change("a\nb", Some("@@ -1 +1 @@\n-one\x1b[2J\n+two\n")), DiffFormat::Unified, visible_lines);
        assert!(text.contains("\x1b[32m+two\x1b[0m\n"), "{text:?}");
        assert_eq!(plain(&text), "M a\\x0ab\n@@ -1 +1 @@\n-one\\x1b[2J\n+two\n");
    }

    #[test]
    fn words_are_coloured() {
        assert_eq!(plain(&words("a [-b-]{+c+}\n", visible_lines)), "a [-b-]{+c+}\n");
        assert!(words("[-b-]", visible_lines).starts_with("\x1b[31m[-b-]\x1b[0m"));
    }
}
