//! Hunks beside those of `git diff`: a merge is git's only if its hunks are.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use wfr_testkit::Prng;

use super::compare::hunks;

/// Lines, kinds of lines, edits at most, rounds: from short texts to such for which the short cuts of the search are made.
const SHAPES: [(usize, usize, usize, usize); 6] = [
    (12, 3, 3, 200),
    (40, 10, 6, 200),
    (400, 60, 60, 60),
    (3000, 300, 900, 6),
    (4000, 40, 3000, 2),
    (5000, 3000, 300, 3),
];

/// Marks on the lines of both texts.
type Marks = [Vec<bool>; 2];

fn edited(before: &[u32], kinds: usize, edits: usize, random: &mut Prng) -> Vec<u32> {
    let mut text = before.to_vec();
    for _ in 0..random.below(edits) + 1 {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(4)).min(text.len());
        let fresh: Vec<u32> = (0..random.below(4)).map(|_| random.below(kinds) as u32).collect();
        text.splice(at..end, fresh);
        if random.one_in(50) {
            // A large part moves.
            let by = random.below(text.len() / 10 + 1);
            text.rotate_left(by);
        }
    }
    text
}

fn ours(before: &[u32], after: &[u32], kinds: usize) -> Marks {
    let mut marks = [vec![false; before.len()], vec![false; after.len()]];
    for hunk in hunks(before, after, kinds, &mut u64::MAX.clone()).unwrap() {
        marks[0][hunk.before].fill(true);
        marks[1][hunk.after].fill(true);
    }
    marks
}

/// The same from the text of `git diff`.
fn git(place: &Path, before: &[u32], after: &[u32]) -> Marks {
    for (name, ids) in [("before", before), ("after", after)] {
        fs::write(place.join(name), ids.iter().map(|id| format!("line {id}\n")).collect::<String>()).unwrap();
    }
    let mut git = Command::new("git");
    git.current_dir(place).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    // As `git merge-file` compares. Without any context git would compare less.
    git.args(["diff", "--no-index", "--no-indent-heuristic", "--diff-algorithm=myers", "-U1", "before", "after"]);
    let diff = String::from_utf8(git.output().unwrap().stdout).unwrap();
    let mut marks = [vec![false; before.len()], vec![false; after.len()]];
    let mut at = [0, 0];
    for line in diff.lines().skip_while(|line| !line.starts_with("@@")) {
        match line.split_at(1) {
            ("@", _) => at = places(line),
            ("-", _) => (marks[0][at[0]], at[0]) = (true, at[0] + 1),
            ("+", _) => (marks[1][at[1]], at[1]) = (true, at[1] + 1),
            _ => at = at.map(|at| at + 1),
        }
    }
    marks
}

/// The first lines that a heading `@@ -1,2 +3 @@` speaks of, from 0. Of no lines it names the one before.
fn places(heading: &str) -> [usize; 2] {
    let mut parts = heading.split(' ').skip(1);
    [(); 2].map(|()| {
        let (first, count) = parts.next().map(|part| part[1..].split_once(',').unwrap_or((&part[1..], "1"))).unwrap();
        first.parse::<usize>().unwrap() - usize::from(count != "0")
    })
}

#[test]
fn hunks_are_those_of_git() {
    if !Command::new("git").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return wfr_testkit::skip("git is not installed");
    }
    let (place, mut random) = (tempfile::tempdir().unwrap(), Prng::from_environment());
    for shape @ (lines, kinds, edits, rounds) in SHAPES {
        for round in 0..rounds {
            let before: Vec<u32> = (0..lines).map(|_| random.below(kinds) as u32).collect();
            let after = edited(&before, kinds, edits, &mut random);
            let is_same = ours(&before, &after, kinds) == git(place.path(), &before, &after);
            assert!(is_same, "{shape:?}, round {round}");
        }
    }
}
