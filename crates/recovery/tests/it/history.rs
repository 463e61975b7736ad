//! Real histories: the published versions of some crates, as chains of edits per file.
//!
//! Owns which crates these are and how a release is cut into edits. Refuses to judge replays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use imara_diff::{Algorithm, Diff, Hunk, InternedInput, Token};
use wfr_testkit::Prng;

/// Crates and versions of them, in order of release.
const CRATES: [(&str, &str); 8] = [
    (
        "anyhow",
        "1.0.20 1.0.25 1.0.28 1.0.30 1.0.32 1.0.34 1.0.36 1.0.38 1.0.40 1.0.42 1.0.44 1.0.48 1.0.50 1.0.52 1.0.56 \
         1.0.58 1.0.60 1.0.64 1.0.68 1.0.70 1.0.72 1.0.75 1.0.80 1.0.85 1.0.90 1.0.95",
    ),
    (
        "bitflags",
        "2.0.0 2.0.1 2.0.2 2.1.0 2.2.1 2.3.0 2.3.1 2.3.2 2.3.3 2.4.0 2.4.1 2.4.2 2.5.0 2.6.0 2.7.0 2.8.0 2.9.0",
    ),
    ("bytes", "1.0.0 1.0.1 1.1.0 1.2.0 1.2.1 1.3.0 1.4.0 1.5.0 1.6.1 1.7.0 1.7.1 1.7.2 1.8.0 1.9.0 1.10.0 1.10.1"),
    (
        "indexmap",
        "2.0.0 2.0.1 2.0.2 2.1.0 2.2.1 2.2.2 2.2.3 2.2.4 2.2.5 2.2.6 2.3.0 2.4.0 2.5.0 2.6.0 2.7.0 2.7.1 2.8.0 2.9.0",
    ),
    (
        "log",
        "0.4.1 0.4.2 0.4.3 0.4.4 0.4.5 0.4.6 0.4.8 0.4.11 0.4.14 0.4.15 0.4.16 0.4.17 0.4.18 0.4.19 0.4.20 0.4.21 \
         0.4.22 0.4.25 0.4.26 0.4.27",
    ),
    (
        "once_cell",
        "1.0.2 1.1.0 1.2.0 1.3.1 1.4.0 1.4.1 1.5.1 1.5.2 1.7.0 1.7.2 1.8.0 1.9.0 1.10.0 1.11.0 1.12.0 1.13.0 1.14.0 \
         1.15.0 1.16.0 1.17.0 1.18.0 1.19.0 1.20.1",
    ),
    (
        "semver",
        "1.0.0 1.0.1 1.0.2 1.0.3 1.0.4 1.0.5 1.0.6 1.0.7 1.0.9 1.0.10 1.0.11 1.0.12 1.0.13 1.0.14 1.0.15 1.0.16 1.0.17 \
         1.0.18 1.0.19 1.0.20 1.0.21 1.0.22 1.0.23 1.0.24 1.0.25 1.0.26",
    ),
    (
        "smallvec",
        "1.0.0 1.1.0 1.2.0 1.4.1 1.4.2 1.5.0 1.5.1 1.6.0 1.6.1 1.7.0 1.8.0 1.8.1 1.9.0 1.10.0 1.11.0 1.11.1 1.11.2 \
         1.12.0 1.13.1 1.13.2",
    ),
];

/// At most so many hunks are one edit.
const HUNKS_MAX: usize = 3;

/// A file's contents over time; `None` where it was not there. Neighbours differ.
pub type History = Vec<Option<Vec<u8>>>;

/// The histories of all files of all crates. `Err`: why they cannot be had.
pub fn histories() -> Result<Vec<(String, History)>, String> {
    let mut found = Vec::new();
    for ((name, _), releases) in CRATES.iter().zip(wfr_testkit::releases(&CRATES)?) {
        let paths: BTreeSet<&PathBuf> = releases.iter().flat_map(BTreeMap::keys).collect();
        for path in paths {
            let contents = releases.iter().map(|release| release.get(path));
            found.push((format!("{name}/{}", path.display()), history(contents)));
        }
    }
    Ok(found)
}

/// A file's history. What a release changes in it is cut into edits of a few hunks, as several people would make them.
fn history<'a>(contents: impl Iterator<Item = Option<&'a Vec<u8>>>) -> History {
    let (mut found, mut random) = (History::new(), Prng::new(1));
    for content in contents.map(|content| content.cloned()) {
        if let (Some(Some(before)), Some(after)) = (found.last(), &content) {
            found.extend(between(before, after, &mut random).into_iter().map(Some));
        }
        if found.last() != Some(&content) {
            found.push(content);
        }
    }
    found
}

/// Texts on the way from `before` to `after`: the hunks are made in random order, a few at a time.
fn between(before: &[u8], after: &[u8], random: &mut Prng) -> Vec<Vec<u8>> {
    let texts = (str::from_utf8(before), str::from_utf8(after));
    let (Ok(before), Ok(after)) = texts else { return Vec::new() };
    let input = InternedInput::new(before, after);
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let hunks: Vec<Hunk> = diff.hunks().collect();
    let mut is_made = vec![false; hunks.len()];
    let mut found = Vec::new();
    loop {
        for _ in 0..random.below(HUNKS_MAX) + 1 {
            let open: Vec<usize> = (0..hunks.len()).filter(|at| !is_made[*at]).collect();
            if open.len() <= 1 {
                return found;
            }
            is_made[*random.pick(&open)] = true;
        }
        let made = hunks.iter().zip(&is_made).filter(|(_, is_made)| **is_made).map(|(hunk, _)| hunk);
        found.push(with(&input, made));
    }
}

/// The text before with some of the hunks.
fn with<'a>(input: &InternedInput<&str>, hunks: impl Iterator<Item = &'a Hunk>) -> Vec<u8> {
    let text = |tokens: &[Token]| tokens.iter().map(|token| input.interner[*token]).collect::<String>();
    let (mut made, mut at) = (String::new(), 0);
    for hunk in hunks {
        made += &text(&input.before[at..hunk.before.start as usize]);
        made += &text(&input.after[hunk.after.start as usize..hunk.after.end as usize]);
        at = hunk.before.end as usize;
    }
    made += &text(&input.before[at..]);
    made.into_bytes()
}
