//! What a comparison did not look at: where one side could not be read, nothing is known to be new or gone.
//!
//! Owns which differences are none. Refuses to compare anything.

use std::collections::BTreeSet;

use wfr_model::TreePath;
use wfr_model::coverage::{Coverage, Skip};
use wfr_store::tree::Difference;

use crate::results::{Compared, NotLookedAt};

/// What both sides of a comparison do not cover.
pub(super) struct Unlooked {
    from: Coverage,
    to: Coverage,
    /// Skips that hide whether something differs.
    hiding: BTreeSet<(TreePath, Compared)>,
}

impl Unlooked {
    /// Of the two sides, as their coverage tells.
    pub(super) fn of(from: Coverage, to: Coverage) -> Self {
        Self { from, to, hiding: BTreeSet::new() }
    }

    /// Whether a side has nothing at the path because nobody looked there.
    pub(super) fn hides(&mut self, difference: &Difference) -> bool {
        let missing = match (&difference.before, &difference.after) {
            (None, Some(_)) => self.from.covering(&difference.path).map(|skip| (skip, Compared::From)),
            (Some(_), None) => self.to.covering(&difference.path).map(|skip| (skip, Compared::To)),
            _ => None,
        };
        self.hiding.extend(missing.map(|(skip, side)| (skip.path.clone(), side)));
        missing.is_some()
    }

    /// Whether a path is at or below something that either side skipped.
    pub(super) fn covers(&self, path: &TreePath) -> bool {
        self.from.covering(path).or(self.to.covering(path)).is_some()
    }

    /// What to name: all that hides a difference, and what should have been looked at and was not, in order.
    pub(super) fn named(&self, is_wanted: &dyn Fn(&TreePath) -> bool) -> Vec<NotLookedAt> {
        let of = |side: Compared, coverage: &Coverage| -> Vec<NotLookedAt> {
            let hides = |skip: &Skip| self.hiding.contains(&(skip.path.clone(), side));
            let is_named = |skip: &&Skip| hides(skip) || skip.reason.is_gap() && is_wanted(&skip.path);
            let line = |skip: &Skip| NotLookedAt {
                path: skip.path.clone(),
                side,
                reason: skip.reason,
                detail: skip.detail.clone(),
            };
            coverage.skips.iter().filter(is_named).map(line).collect()
        };
        let mut named = [of(Compared::From, &self.from), of(Compared::To, &self.to)].concat();
        named.sort_by(|a, b| a.path.components().cmp(b.path.components()));
        named
    }
}
