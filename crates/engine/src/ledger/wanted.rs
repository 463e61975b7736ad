//! Looks at some paths only.
//!
//! Owns which of the differences belong to such a look: those at its paths, and what is one with them, so that no directory is
//! recorded as gone without what was in it, and nothing as there without the directories above it. Refuses to scan.

use std::collections::{BTreeMap, BTreeSet};

use wfr_capture::slice::Known;
use wfr_model::TreePath;
use wfr_model::change::Segment;
use wfr_model::entry::{Entry, Node};
use wfr_store::scan::Touched;

/// What somebody wants to have looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// These paths.
    paths: BTreeSet<TreePath>,
    /// These with all that is below them.
    below: BTreeSet<TreePath>,
}

impl Wanted {
    /// Adds a path.
    pub fn path(&mut self, path: TreePath) {
        self.paths.insert(path);
    }

    /// Adds a path with all that is below it.
    pub fn below(&mut self, path: TreePath) {
        self.below.insert(path);
    }

    /// The paths, without those that are meant with all below them.
    pub fn paths(&self) -> impl Iterator<Item = &TreePath> {
        self.paths.iter()
    }

    /// The paths that are meant with all below them.
    pub fn subtrees(&self) -> impl Iterator<Item = &TreePath> {
        self.below.iter()
    }

    /// Whether a path is among them.
    pub(super) fn has(&self, path: &TreePath) -> bool {
        self.paths.contains(path) || above(path).any(|at| self.below.contains(&at))
    }

    /// The same for a scan.
    pub(super) fn touched(&self) -> Touched {
        let mut touched = Touched::default();
        self.paths.iter().for_each(|path| touched.entry(path));
        self.below.iter().for_each(|path| touched.subtree(path));
        touched
    }

    /// What is known, without what cannot matter.
    pub(super) fn known(&self, known: &Known) -> Known {
        let all = || self.paths.iter().chain(&self.below);
        let over: BTreeSet<TreePath> = all().flat_map(above).collect();
        let matters = |path: &TreePath| over.contains(path) || above(path).any(|at| all_has(self, &at));
        let since: BTreeMap<_, _> = known.since.iter().filter(|(path, _)| matters(path)).collect();
        Known {
            tree: known.tree,
            since: since.into_iter().map(|(path, entry)| (path.clone(), entry.clone())).collect(),
        }
    }

    /// Of all differences, sorted by path, those that belong to the look.
    pub(super) fn of(&self, segments: Vec<Segment>) -> Vec<Segment> {
        let mut taken: BTreeSet<TreePath> = BTreeSet::new();
        for segment in &segments {
            // Sorted: what is above it came before.
            let is_lost = || above(&segment.path).skip(1).any(|at| taken.contains(&at) && lost(&segments, &at));
            if self.has(&segment.path) || is_lost() {
                taken.insert(segment.path.clone());
            }
        }
        let stands = |segment: &&Segment| segment.after.is_some() && taken.contains(&segment.path);
        let over: BTreeSet<TreePath> = segments.iter().filter(stands).flat_map(|one| above(&one.path)).collect();
        segments.into_iter().filter(|one| taken.contains(&one.path) || over.contains(&one.path)).collect()
    }
}

fn all_has(wanted: &Wanted, path: &TreePath) -> bool {
    wanted.paths.contains(path) || wanted.below.contains(path)
}

/// Whether there was a directory at a path, and is none any more.
fn lost(segments: &[Segment], path: &TreePath) -> bool {
    let at = segments.binary_search_by(|one| one.path.cmp(path));
    at.is_ok_and(|at| is_dir(segments[at].before.as_ref()) && !is_dir(segments[at].after.as_ref()))
}

fn is_dir(entry: Option<&Entry>) -> bool {
    entry.is_some_and(|entry| matches!(entry.node, Node::Dir(_)))
}

/// A path, and those above it but for the root.
fn above(path: &TreePath) -> impl Iterator<Item = TreePath> {
    std::iter::successors(Some(path.clone()), TreePath::parent).filter(|path| !path.is_root())
}
