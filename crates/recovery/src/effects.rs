//! What a recovery did, from its record: for the ledger, and for steps that are done again after a crash.
//!
//! Owns the reading of the record. Refuses to look at any file.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use wfr_model::TreePath;
use wfr_model::change::Segment;
use wfr_model::recovery::ApplyReport;

use crate::apply::Committed;

impl Committed {
    /// What it did to each path that ended as planned: what was there, and what is there now.
    pub fn effects(&self, report: &ApplyReport) -> Vec<Segment> {
        let done: BTreeSet<&TreePath> = report.changed.iter().map(|step| &step.path).collect();
        let mut found: BTreeMap<&TreePath, Segment> = BTreeMap::new();
        for step in self.redo.steps.iter().filter(|step| done.contains(&step.path)) {
            let first = || Segment { path: step.path.clone(), before: step.before.clone(), after: None };
            found.entry(&step.path).or_insert_with(first).after.clone_from(&step.after);
        }
        found.into_values().collect()
    }

    /// What the steps put in place, by device and inode.
    pub(crate) fn ours(&self) -> HashSet<(u64, u64)> {
        self.redo.steps.iter().filter_map(|step| step.staged).collect()
    }
}
