//! Paths at which the undo of a recovery comes to what is there, though what the recovery did is not undone there.
//!
//! Owns when that is so, and how it is told: an undo that leaves something out says so. Refuses to plan anything.

use wfr_capture::slice::is_same;
use wfr_model::TreePath;
use wfr_model::entry::Entry;
use wfr_model::finding::{Finding, Severity};
use wfr_recovery::merge::Unit;
use wfr_recovery::replay::{By, Chain, Edit, Mark, Version, replay_from};
use wfr_store::{Objects, ReadError};

use super::history::History;

/// The code of the finding.
const NOT_UNDONE: &str = "NOT_UNDONE";

/// Whether a path, as it is now, still lacks what a recovery took there, or has what it brought. `own` is the recovery's segment.
///
/// Errors: what the store says.
pub fn is_left(
    objects: &dyn Objects,
    history: &History,
    own: usize,
    (versions, present): (&[Version], &Version),
) -> Result<bool, ReadError> {
    let was = history.place(own);
    if was != history.place(own + 1) && *was != history.path {
        return Ok(true);
    }
    let named = |version: &Version| version.clone().map(|entry| Entry { name: was.name().to_vec(), ..entry });
    lacks(objects, [&versions[own], &versions[own + 1], present].map(named))
}

/// Whether the last of three versions would be another one if what the second made of the first were undone there.
fn lacks(objects: &dyn Objects, [before, left, present]: [Version; 3]) -> Result<bool, ReadError> {
    let edits = [(Mark::Removed, left), (Mark::Kept, before)];
    let edits = edits.map(|(mark, after)| Edit { mark, by: By::Recovery, after }).to_vec();
    let chain = Chain { first: present, edits };
    let undone = replay_from(&chain, Unit::Lines, objects)?.outcome.settled(&chain, &mut vec![]);
    Ok(!undone.is_ok_and(|undone| is_same(undone.as_ref(), chain.first.as_ref())))
}

/// Says of a path that it stays as it is.
pub fn told(path: &TreePath) -> Finding {
    let message = format!(
        "`{path}` stays as it is: what the recovery did there is not undone, since with what was done there since it comes to the \
         same with and without it"
    );
    let fix = format!("`wfr log --path {path}` shows what was done there since");
    Finding::new(NOT_UNDONE, Severity::Warning, message, fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Shelf;

    /// Whether that is so of three texts, each with a line for a word; `-`: nothing is there, `+x word`: it is executable.
    fn is_lacking(versions: [&str; 3]) -> bool {
        let mut shelf = Shelf::default();
        let version = |words: &str| {
            let (mode, words) = words.strip_prefix("+x ").map_or((0o644, words), |words| (0o755, words));
            let mut entry = shelf.file(words);
            entry.meta.mode = mode;
            (words != "-").then_some(entry)
        };
        let versions = versions.map(version);
        lacks(&shelf, versions).unwrap()
    }

    #[test]
    fn what_was_taken_is_missing_where_it_would_come_by_the_undo() {
        let (before, left) = ("a by_a b c d e", "a b c d e");
        for present in [left, "a b c d by_d", "a by_c b c d e", "-"] {
            assert!(is_lacking([before, left, present]), "{present}");
        }
        for present in [before, "a by_a b c d by_d"] {
            assert!(!is_lacking([before, left, present]), "{present}");
        }
    }

    #[test]
    fn modes_and_files_are_looked_at_too() {
        assert!(is_lacking(["+x a", "a", "a"]) && is_lacking(["a", "-", "-"]) && is_lacking(["-", "a", "a"]));
        assert!(is_lacking(["\0a", "\0", "\0d"]));
        assert!(!is_lacking(["+x a", "a", "+x a b"]) && !is_lacking(["a", "-", "a"]) && !is_lacking(["-", "a", "-"]));
    }
}
