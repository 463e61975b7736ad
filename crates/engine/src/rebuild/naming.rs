//! Which of several checkpoints in the packs has a name that all of them had at some time.
//!
//! Owns what was known of each before, and the order that decides: a checkpoint that the old catalog had, then one that
//! the view exports, then any other; of equals the newest, and last of all what was deleted or is not whole. Refuses to read
//! packs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use wfr_catalog::{CatalogError, ListQuery, NewCheckpoint, Part};
use wfr_model::{CheckpointId, WorkflowId};

use super::old::{Old, damaged_is_none};
use crate::view;

/// How sure it is that a checkpoint has its name still.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It was deleted, or its files are not all there.
    Gone,
    /// Nobody knows of it.
    Unknown,
    /// The view exports it: it was acknowledged.
    Exported,
    /// The old catalog had it.
    Kept,
}

/// The checkpoints that were known before, with their names.
pub struct Before {
    /// Those that the old catalog had.
    kept: BTreeMap<CheckpointId, String>,
    /// Those of them that had another name than their manifest says by right: they had come back, or were imported.
    renamed: HashSet<CheckpointId>,
    /// Those that it knew to be deleted.
    deleted: HashSet<CheckpointId>,
    /// Those of them that a cleanup deleted, and no rebuild that did not find them whole, as an intact catalog tells.
    cleaned_up: HashSet<CheckpointId>,
    /// Those that the view exports and the old catalog never heard of.
    exported: BTreeMap<CheckpointId, String>,
}

impl Before {
    /// Reads the old catalog and the view. Where the former cannot be read, the view alone tells.
    pub(super) fn read(old: Option<&Old<'_>>, workspace: &Path) -> Result<Self, CatalogError> {
        let everything = ListQuery { include_deleted: true, ..ListQuery::default() };
        let listed = old.map(|old| damaged_is_none(old.catalog.list(&everything))).transpose()?.flatten();
        let (deleted, kept): (Vec<_>, Vec<_>) =
            listed.unwrap_or_default().into_iter().partition(|row| row.deleted_at.is_some());
        let is_intact = old.map_or(Ok(false), |old| old.catalog.is_sound(Part::Checkpoints))?;
        let cleaned_up = deleted.iter().filter(|row| is_intact && !row.recovered);
        let cleaned_up = cleaned_up.map(|row| row.checkpoint_id.clone()).collect();
        let deleted: HashSet<_> = deleted.into_iter().map(|row| row.checkpoint_id).collect();
        let renamed = kept.iter().filter(|row| row.recovered).map(|row| row.checkpoint_id.clone()).collect();
        let kept: BTreeMap<_, _> = kept.into_iter().map(|row| (row.checkpoint_id, row.name)).collect();
        let is_new = |id: &CheckpointId| !deleted.contains(id) && !kept.contains_key(id);
        let exported = view::exported(workspace).into_iter().filter(|one| is_new(&one.checkpoint_id));
        let exported = exported.map(|one| (one.checkpoint_id, one.name)).collect();
        Ok(Self { kept, renamed, deleted, cleaned_up, exported })
    }

    /// Those of what was found that stay deleted, however whole they are.
    pub fn cleaned_up(&self, found: &[NewCheckpoint]) -> Vec<CheckpointId> {
        let found = found.iter().map(|new| &new.checkpoint_id);
        found.filter(|id| self.cleaned_up.contains(*id)).cloned().collect()
    }

    /// Those that stood and are not found whole.
    pub fn lost(&self, found: &[NewCheckpoint], gone: &HashSet<CheckpointId>) -> Vec<Lost> {
        let whole = found.iter().map(|new| &new.checkpoint_id).filter(|id| !gone.contains(*id));
        let whole: HashSet<&CheckpointId> = whole.collect();
        let standing: BTreeMap<_, _> = self.kept.iter().chain(&self.exported).collect();
        let lost = standing.into_iter().filter(|(id, _)| !whole.contains(id));
        lost.map(|(id, name)| Lost { checkpoint_id: id.clone(), name: name.clone() }).collect()
    }

    fn of(&self, id: &CheckpointId) -> Standing {
        match id {
            id if self.kept.contains_key(id) => Standing::Kept,
            id if self.exported.contains_key(id) => Standing::Exported,
            id if self.deleted.contains(id) => Standing::Gone,
            _ => Standing::Unknown,
        }
    }

    /// The name that a checkpoint had last. Where the old catalog had no right to another one than the manifest's, it may have
    /// been rewritten.
    fn name<'b>(&'b self, new: &'b NewCheckpoint) -> &'b str {
        let renamed = self.kept.get(&new.checkpoint_id).filter(|_| self.renamed.contains(&new.checkpoint_id));
        renamed.unwrap_or(&new.name)
    }
}

/// A checkpoint that does not come back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lost {
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// What it was called.
    pub name: String,
}

/// A checkpoint that comes back under another name than it had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Renamed {
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// What it was called.
    pub from: String,
    /// What it is called now.
    pub to: String,
}

/// Gives each its name, no two of a workflow the same, and returns those that got another one than they had. Those that are
/// `gone` are not among them: nobody can name them.
pub fn settle(found: &mut [NewCheckpoint], before: &Before, gone: &HashSet<CheckpointId>) -> Vec<Renamed> {
    let standing = |new: &NewCheckpoint| match gone.contains(&new.checkpoint_id) {
        true => Standing::Gone,
        false => before.of(&new.checkpoint_id),
    };
    let mut by_right: Vec<usize> = (0..found.len()).collect();
    by_right.sort_by_key(|place| Reverse((standing(&found[*place]), *place)));
    let mut taken: HashMap<WorkflowId, HashSet<String>> = HashMap::new();
    let mut late = Vec::new();
    for place in by_right {
        let name = before.name(&found[place]).to_owned();
        if taken.entry(found[place].workflow_id.clone()).or_default().insert(name.clone()) {
            found[place].name = name;
        } else {
            late.push((place, name));
        }
    }
    let mut renamed = Vec::new();
    for (place, from) in late {
        let new = &mut found[place];
        let taken = taken.entry(new.workflow_id.clone()).or_default();
        let mut numbered = (2u64..).map(|number| format!("{from}_{number}"));
        let Some(to) = numbered.find(|name| !taken.contains(name)) else { continue };
        taken.insert(to.clone());
        new.name.clone_from(&to);
        if !gone.contains(&new.checkpoint_id) {
            renamed.push(Renamed { checkpoint_id: new.checkpoint_id.clone(), from, to });
        }
    }
    renamed
}
