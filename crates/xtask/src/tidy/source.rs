//! Rust sources: how files begin, how long they are, what they must not hold.
//!
//! Owns these rules. Refuses to hold the exceptions: see [`super::ratchet`].

use super::Finding;
use super::files::{Text, Tracked};
use super::ratchet;

/// The most lines of a file.
const LINES_MAX: usize = 600;

/// What code must not hold, and what to do instead. Looked for outside comments and literals.
const IN_CODE: [(&str, &str); 8] = [
    ("todo!", "finish it"),
    ("unimplemented!", "finish it"),
    ("#[allow(", "use #[expect(lint, reason = \"...\")]"),
    ("#![allow(", "use #[expect(lint, reason = \"...\")]"),
    ("dbg!", "take it out"),
    ("thread::sleep", "wait for the event itself"),
    ("#[ignore", "a test runs or is gone"),
    ("unsafe ", "keep to safe Rust, or argue for a new entry in the list"),
];

/// What no file of any kind must hold. Written apart so that this file does not break its own rule.
const ANYWHERE: [(&str, &str); 2] =
    [(concat!("TO", "DO"), "do it, or write it into the changelog's limits"), (concat!("FIX", "ME"), "fix it")];

/// Beginnings of paths that exist on one developer's machine only.
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Users' names that examples may have.
const EXAMPLE_USERS: [&str; 3] = ["you/", "user/", "benjamin/"];

/// All breaches in all files.
pub fn check(tracked: &Tracked) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tracked.files.iter().filter(|file| file.path.file_name().is_none_or(|name| name != "Cargo.lock")) {
        found.extend(words(file, &file.text, &ANYWHERE));
        found.extend(machine_paths(file));
        if file.is_rust() {
            found.extend(opening(file));
            found.extend(length(file));
            found.extend(words(file, &file.code, &IN_CODE));
            // Tests are named for what they prove; helpers among them explain themselves.
            found.extend(if file.is_test() { Vec::new() } else { undocumented(file) });
        }
    }
    ratchet::settle(found, tracked)
}

/// Lines of `text` that hold a forbidden word.
fn words(file: &Text, text: &str, rules: &[(&str, &str)]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (word, instead) in rules.iter().filter(|(word, _)| line.contains(word)) {
            let what = format!("`{}` must not be here: {instead}", word.trim());
            found.push(Finding { file: file.path.clone(), line: number + 1, what });
        }
    }
    found
}

fn machine_paths(file: &Text) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        if MACHINE_PATHS.iter().any(|start| begins_path(line, start)) || names_a_home(line) {
            let what = "a path of one developer's machine".to_owned();
            found.push(Finding { file: file.path.clone(), line: number + 1, what });
        }
    }
    found
}

/// Whether a path in this line begins so; `src/work/` does not.
fn begins_path(line: &str, start: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back();
    line.match_indices(start).any(|(at, _)| !before(at).is_some_and(|c| c.is_alphanumeric() || "./_-}".contains(c)))
}

fn names_a_home(line: &str) -> bool {
    let mut homes = line.match_indices(concat!("/ho", "me/")).map(|(at, home)| &line[at + home.len()..]);
    homes.any(|rest| {
        rest.starts_with(|c: char| c.is_ascii_lowercase()) && !EXAMPLE_USERS.iter().any(|u| rest.starts_with(u))
    })
}

fn opening(file: &Text) -> Option<Finding> {
    let opens = file.text.lines().find(|line| !line.starts_with("#!")).is_some_and(|line| line.starts_with("//!"));
    (!opens).then(|| Finding::whole(&file.path, "must open with `//!`: what it owns, what it refuses to know"))
}

fn length(file: &Text) -> Option<Finding> {
    let lines = file.text.lines().count();
    (lines > LINES_MAX)
        .then(|| Finding::whole(&file.path, format!("{lines} lines; at most {LINES_MAX}: split it by concept")))
}

/// Public items without a doc line. rustc's `missing_docs` looks at what a crate exports; this at all that say `pub`.
fn undocumented(file: &Text) -> Vec<Finding> {
    let text: Vec<&str> = file.text.lines().map(str::trim).collect();
    let code: Vec<&str> = file.code.lines().map(str::trim).collect();
    let needs = |line: &str| line.strip_prefix("pub ").is_some_and(begins_item);
    let bare = |number: &usize| needs(code[*number]) && !is_documented(&text, *number);
    let finding = |number| Finding { file: file.path.clone(), line: number + 1, what: "no doc line".to_owned() };
    (0..code.len()).filter(bare).map(finding).collect()
}

/// Whether this begins an item of its own: fields are left to rustc, modules have their docs at their head.
fn begins_item(rest: &str) -> bool {
    let kinds = ["fn ", "struct ", "enum ", "trait ", "const ", "static ", "type ", "async ", "unsafe ", "union "];
    kinds.iter().any(|kind| rest.starts_with(kind))
}

/// Whether a doc line stands above, with nothing but attributes between.
fn is_documented(text: &[&str], item: usize) -> bool {
    let mut at = item;
    while at > 0 {
        at -= 1;
        // In a macro, the caller's docs come in as `$(#[$doc])*`.
        if ["///", "#[doc", "$(#[$doc"].iter().any(|start| text[at].starts_with(start)) {
            return true;
        }
        if text[at].ends_with(']') && !text[at].starts_with("#[") {
            at = (0..at).rev().find(|above| text[*above].starts_with("#[")).unwrap_or(0);
        } else if !text[at].starts_with("#[") {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = Text::new(path, text);
        let mut all = words(&file, &file.text, &ANYWHERE);
        all.extend(machine_paths(&file));
        all.extend(file.is_rust().then(|| opening(&file)).flatten());
        all.extend(words(&file, &file.code, &IN_CODE));
        all.extend(undocumented(&file));
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_rule_can_fail() {
        let bad = concat!("//! x\n// TO", "DO\nlet p = \"/wo", "rk/main\";\nthread::sleep(d);\npub fn f() {}\n");
        let lines: Vec<_> = found("a.rs", bad).iter().map(|l| l.split(':').nth(1).unwrap().to_owned()).collect();
        assert_eq!(lines, ["2", "3", "4", "5"]);
        assert_eq!(found("a.rs", "fn f() {}\n").len(), 1);
        assert_eq!(found("a.md", concat!("/ho", "me/alice/x")).len(), 1);
    }

    #[test]
    fn what_is_allowed_passes() {
        let good =
            "//! x\n/// Doc.\n#[derive(\n    Debug\n)]\npub struct S;\nlet s = \"dbg!\";\nlet p = \"src/work/a\";\n";
        assert_eq!(found("a.rs", good), Vec::<String>::new());
        assert_eq!(found("a.md", concat!("/ho", "me/you/x")).len(), 0);
    }
}
