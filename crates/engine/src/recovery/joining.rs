//! Plans that merge a checkpoint with the present, and lose nothing of either.
//!
//! Owns what is there afterwards: what only one of them has, and of what both have the merge over the version from which
//! both come. Refuses to merge texts: that is [`wfr_recovery::replay`].

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use wfr_capture::slice::{bare, is_same};
use wfr_catalog::{CheckpointRow, NewPoint};
use wfr_model::entry::{Entry, Node};
use wfr_model::finding::{Finding, Severity};
use wfr_model::plan::{Kept, KeptReason, Plan};
use wfr_model::{Digest, TreePath};
use wfr_recovery::merge::Labels;
use wfr_recovery::plan::{Goal, LinkGroups, Wish, plan_joined};
use wfr_recovery::replay::{By, Chain, Edit, Mark, Replayed, replay_from};
use wfr_store::{Objects, content, tree};

use super::ancestry::{Ancestry, Common};
use super::clearing::{Cleared, Clearing, tell_ways};
use super::concern;
use super::decisions::{Decisions, with_text};
use super::history::NO_TREE;
use super::telling::{Sides, Teller, leave};
use super::tree_of;
use crate::error::Failure;
use crate::links;
use crate::open::Open;
use crate::params::ConflictResolution;
use crate::pathspec::PathSpecs;

const SIDES: Sides = Sides {
    kept: "present work",
    other: "the checkpoint's work",
    creations: "no version is known from which both come; `--base CHECKPOINT` names one",
    labels: Labels { ours: "the checkpoint", base: "their common version", theirs: "the present" },
};

/// What is merged.
#[derive(Clone, Debug, Default)]
pub struct Joining {
    /// Only these paths and what is below them; all where there are none.
    pub files: PathSpecs,
    /// The checkpoint from which both come; `None`: each path's history tells.
    pub base: Option<CheckpointRow>,
    /// What somebody decided beforehand.
    pub decisions: Decisions,
}

/// A plan that merges.
pub struct Joined {
    /// The plan.
    pub plan: Plan,
    /// Hard links of the tree that it leads to.
    pub links: LinkGroups,
    /// Contents that no version has: they must be stored before the plan is applied.
    pub texts: Vec<Vec<u8>>,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

/// Whether a recovery with these parameters merged.
pub fn is_merge(parameters: &Value) -> bool {
    parameters.get("restoration_mode").and_then(Value::as_str) == Some("merge")
}

/// Makes the plan. `unrecorded` is what a look at the present tree found that the ledger does not have yet; files that need
/// an object in `damaged` are left alone.
pub fn join(
    open: &Open,
    objects: &dyn Objects,
    goal: &Goal,
    (target, joining): (&CheckpointRow, &Joining),
    (unrecorded, damaged): (Option<&NewPoint>, &HashSet<Digest>),
) -> Result<Joined, Failure> {
    let mut joiner = Joiner {
        objects,
        joining,
        damaged,
        look: &|| Ancestry::of(open, objects, (target, joining.base.as_ref()), unrecorded),
        ancestry: None,
        teller: Teller::new(open, objects, SIDES, unrecorded),
        wishes: vec![],
        restored: BTreeMap::new(),
        kept: vec![],
        on_top: vec![],
        texts: vec![],
    };
    let to = tree_of(target)?;
    concern::of_trees(objects, [goal.from, to], &joining.files)?;
    let mut differing = Vec::new();
    for difference in tree::diff(objects, &goal.from, &to)? {
        let tree::Difference { path, before, after } = difference;
        differing.push(path.clone());
        if joining.files.mean(&path) && !path.is_among(&joining.decisions.ours) {
            joiner.consider(path, before, after, goal.exact_mtime)?;
        }
    }
    concern::of_merge(&joining.decisions, &differing)?;
    joiner.name_changed();
    let groups = links::of(objects, target.hard_links.as_ref())?;
    let joined = links::rejoined((objects, goal), &groups, &joiner.wishes, &joiner.restored)?;
    let clearing = Clearing { open, objects, from: goal.from, decisions: &joining.decisions };
    let Cleared { mut plan, links, findings: cleared, .. } =
        clearing.run(&mut joiner.wishes, &|wishes| plan_joined(objects, goal, wishes, &joined))?;
    tell_ways(&mut plan, &joiner.wishes);
    plan.to = NO_TREE;
    plan.kept.extend(joiner.kept);
    let mut conflicts = joiner.teller.conflicts;
    let mut findings = joiner.teller.findings;
    findings.extend(cleared);
    if joining.decisions.partial {
        findings.extend(leave(&mut conflicts));
    }
    plan.conflicts.splice(0..0, conflicts);
    Ok(Joined { plan, links, texts: joiner.texts, findings })
}

struct Joiner<'j> {
    objects: &'j dyn Objects,
    joining: &'j Joining,
    damaged: &'j HashSet<Digest>,
    /// Asked only where something must be merged.
    look: &'j dyn Fn() -> Result<Ancestry<'j>, Failure>,
    ancestry: Option<Ancestry<'j>>,
    teller: Teller<'j>,
    wishes: Vec<Wish>,
    /// Paths that become what the checkpoint has.
    restored: BTreeMap<TreePath, Entry>,
    kept: Vec<Kept>,
    /// Paths that were changed on top of what the checkpoint has.
    on_top: Vec<TreePath>,
    texts: Vec<Vec<u8>>,
}

impl Joiner<'_> {
    fn consider(
        &mut self,
        path: TreePath,
        now: Option<Entry>,
        then: Option<Entry>,
        exact_mtime: bool,
    ) -> Result<(), Failure> {
        let decisions = &self.joining.decisions;
        let (is_theirs, text) = (path.is_among(&decisions.theirs), decisions.resolved.get(&path));
        if let Some(text) = text {
            let like = now.as_ref().or(then.as_ref()).filter(|entry| matches!(entry.node, Node::File(_)));
            self.texts.push(text.clone());
            let entry = Some(with_text(&path, like, text));
            self.wishes.push(Wish { path, entry });
            return Ok(());
        }
        if !is_theirs && then.is_none() {
            return Ok(());
        }
        if then.as_ref().is_some_and(|then| needs_any(self.objects, then, self.damaged)) {
            self.kept.push(Kept { path, reason: KeptReason::Damaged });
            return Ok(());
        }
        match (then, now) {
            (Some(then), Some(now)) if !is_theirs => {
                if !is_same(Some(&then), Some(&now)) {
                    return self.merge(path, then, now);
                }
                if exact_mtime {
                    self.wishes.push(Wish { path, entry: Some(then) });
                }
            }
            (then, _) => {
                self.restored.extend(then.clone().map(|entry| (path.clone(), entry)));
                self.wishes.push(Wish { path, entry: then });
            }
        }
        Ok(())
    }

    /// Names what stays because it was changed on top of what the checkpoint has.
    fn name_changed(&mut self) {
        let Some(first) = self.on_top.first() else { return };
        let more = match self.on_top.len() - 1 {
            0 => "was changed on top of what the checkpoint has, and stays".to_owned(),
            more => format!("and {more} more were changed on top of what the checkpoint has, and stay"),
        };
        let fix = "if they had been put back to what an earlier checkpoint has before, name that with `--base`";
        self.teller.findings.push(Finding::new("CHANGED_ON_TOP", Severity::Info, format!("`{first}` {more}"), fix));
    }

    /// Merges what both have.
    fn merge(&mut self, path: TreePath, then: Entry, now: Entry) -> Result<(), Failure> {
        let ancestry = match &mut self.ancestry {
            Some(ancestry) => ancestry,
            empty => empty.insert((self.look)()?),
        };
        let Common { base, since } = ancestry.common(&path, &then, &now)?;
        if is_same(base.as_ref(), Some(&then)) {
            self.on_top.push(path);
            return Ok(());
        }
        // What the checkpoint made of the common version stays; what the present made of it is done to that.
        let edits = [(Mark::Removed, base), (Mark::Kept, Some(bare(now.clone())))]
            .map(|(mark, after)| Edit { mark, by: By::Recovery, after })
            .to_vec();
        let chain = Chain { first: Some(bare(then.clone())), edits };
        let Replayed { outcome, notes } = replay_from(&chain, self.joining.decisions.unit, self.objects)?;
        let entry = match outcome.settled(&chain, &mut self.texts) {
            Ok(entry) => entry,
            Err(conflict) => match self.joining.decisions.conflicts {
                ConflictResolution::CurrentPriority => return Ok(()),
                ConflictResolution::CheckpointPriority => Some(then),
                ConflictResolution::ManualReview => return self.teller.conflict(&path, since, (&chain, &conflict)),
            },
        };
        self.teller.note(&path, (&chain, &notes));
        if !is_same(entry.as_ref(), Some(&now)) {
            self.wishes.push(Wish { path, entry });
        }
        Ok(())
    }
}

/// Whether an entry is a file that needs any of these objects.
pub fn needs_any(objects: &dyn Objects, entry: &Entry, damaged: &HashSet<Digest>) -> bool {
    let Node::File(found) = &entry.node else { return false };
    !damaged.is_empty()
        && content::chunks(objects, found).map_or(true, |chunks| chunks.iter().any(|(id, _)| damaged.contains(id)))
}
