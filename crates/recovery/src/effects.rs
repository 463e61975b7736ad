//! What a recovery did, from its record: for the ledger, and for steps that are done again after a crash.
//!
//! Owns the reading of the record. Refuses to look at any file.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use wfr_model::TreePath;
use wfr_model::change::Segment;
use wfr_model::entry::Entry;
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

    /// What stood at each path that it has a step for, before the first of them: what must stand there when it was taken back.
    pub fn before(&self) -> BTreeMap<&TreePath, Option<&Entry>> {
        let mut found = BTreeMap::new();
        for step in &self.redo.steps {
            found.entry(&step.path).or_insert(step.before.as_ref());
        }
        found
    }

    /// The mode of the workspace's own directory before; `None` where it was not to be changed.
    pub fn root_mode_before(&self) -> Option<u32> {
        self.redo.head.root_change.map(|change| change.before.mode)
    }

    /// What the steps put in place, by device and inode.
    pub(crate) fn ours(&self) -> HashSet<(u64, u64)> {
        self.redo.steps.iter().filter_map(|step| step.staged).collect()
    }
}
