//! Making a plan: what must happen to lead from one tree to another.
//!
//! Owns the rules of what is left alone. Reads trees only; refuses to touch a file or to write anything.

use std::collections::{BTreeMap, BTreeSet};

use wfr_model::coverage::{Coverage, Skip, SkipReason};
use wfr_model::entry::{Entry, Meta, Node};
use wfr_model::plan::{Action, Conflict, Kept, KeptReason, Plan, RootChange, RootMeta, Step};
use wfr_model::{CheckpointId, Digest, FileTime, TreePath, WorkflowId};
use wfr_store::tree::{self, Difference, Finder};
use wfr_store::{Objects, ReadError};

use crate::gone::gone;
use crate::guard;

/// Groups of paths that are one file.
pub type LinkGroups = Vec<Vec<TreePath>>;

/// Where a recovery starts and what it aims at.
#[derive(Clone, Debug)]
pub struct Goal {
    /// Whose recovery.
    pub workflow: WorkflowId,
    /// The checkpoint aimed at.
    pub target: CheckpointId,
    /// The present tree.
    pub from: Digest,
    /// The checkpoint's tree.
    pub to: Digest,
    /// What the capture of the present tree does not cover: it could not be saved.
    pub from_coverage: Coverage,
    /// What the checkpoint does not cover.
    pub to_coverage: Coverage,
    /// The workspace's own directory as it is; `None`: not known.
    pub from_root: Option<RootMeta>,
    /// The same as the checkpoint has it.
    pub to_root: Option<RootMeta>,
    /// Hard links of the present tree.
    pub from_links: LinkGroups,
    /// Hard links of the checkpoint.
    pub to_links: LinkGroups,
    /// Whether modification times are part of the goal.
    pub exact_mtime: bool,
    /// Whether owners are part of the goal: only a privileged process can set them.
    pub with_owner: bool,
    /// Whether files that tools run or obey may be changed.
    pub allow_config: bool,
}

/// Makes the plan that leads to the goal.
pub fn plan(objects: &dyn Objects, goal: &Goal) -> Result<Plan, ReadError> {
    let mut planner = Planner { goal, steps: BTreeMap::new(), kept: BTreeMap::new(), conflicts: Vec::new() };
    for difference in tree::diff(objects, &goal.from, &goal.to)? {
        planner.consider(difference);
    }
    planner.relink(objects)?;
    planner.name_uncovered();
    planner.name_mounts_once();
    planner.keep_parents_of_kept();
    planner.name_gone(objects)?;
    planner.guard();
    if goal.exact_mtime {
        planner.restore_directory_times(objects)?;
    }
    Ok(planner.into_plan())
}

/// What should stand at a path instead of what does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Where.
    pub path: TreePath,
    /// What; `None`: nothing. The tree below a directory does not count.
    pub entry: Option<Entry>,
}

/// Makes the plan that gives single paths what is wished for them and leaves all others. The goal begins and ends at the
/// present tree. A directory stays as long as something in it does, and comes where something in it must be. With the hard
/// links of the tree that it leads to.
pub fn plan_wishes(objects: &dyn Objects, goal: &Goal, wishes: &[Wish]) -> Result<(Plan, LinkGroups), ReadError> {
    plan_joined(objects, goal, wishes, &[])
}

/// The same, where these groups of paths become one file each, whatever they are now. Each of them must be wished for, or be
/// what is wished for the others.
pub fn plan_joined(
    objects: &dyn Objects,
    goal: &Goal,
    wishes: &[Wish],
    joined: &[Vec<TreePath>],
) -> Result<(Plan, LinkGroups), ReadError> {
    let mut to_links = links_after(objects, goal, wishes)?;
    to_links.retain(|group| !group.iter().any(|path| joined.iter().any(|other| other.contains(path))));
    to_links.extend(joined.iter().cloned());
    let goal = Goal { to_links, ..goal.clone() };
    let mut planner = Planner { goal: &goal, steps: BTreeMap::new(), kept: BTreeMap::new(), conflicts: Vec::new() };
    let mut now = Finder::new(objects, goal.from);
    for wish in wishes {
        let before = now.lookup(&wish.path)?;
        planner.consider(Difference { path: wish.path.clone(), before, after: wish.entry.clone() });
    }
    planner.relink(objects)?;
    planner.keep_directories(objects)?;
    planner.keep_parents_of_kept();
    planner.guard();
    let mut plan = planner.into_plan();
    plan.root = None;
    Ok((plan, goal.to_links))
}

/// Hard links after the wishes: names stay one file where nothing else is wished for them, or the same.
fn links_after(objects: &dyn Objects, goal: &Goal, wishes: &[Wish]) -> Result<LinkGroups, ReadError> {
    let wished: BTreeMap<&TreePath, &Wish> = wishes.iter().map(|wish| (&wish.path, wish)).collect();
    let mut now = Finder::new(objects, goal.from);
    let mut groups = LinkGroups::new();
    for group in &goal.from_links {
        let mut parts: Vec<(Option<&Entry>, Vec<TreePath>)> = Vec::new();
        for path in group {
            let other = match wished.get(path) {
                None => None,
                Some(Wish { entry: None, .. }) => continue,
                Some(Wish { entry: Some(entry), .. }) => {
                    let stands = now.lookup(path)?;
                    Some(entry).filter(|entry| stands.is_none_or(|stands| change(goal, &stands, entry).is_some()))
                }
            };
            let is_alike = |(of, _): &&mut (Option<&Entry>, _)| match (*of, other) {
                (Some(one), Some(other)) => one.same_but_time(other),
                (one, other) => one.is_none() && other.is_none(),
            };
            match parts.iter_mut().find(is_alike) {
                Some((_, names)) => names.push(path.clone()),
                None => parts.push((other, vec![path.clone()])),
            }
        }
        groups.extend(parts.into_iter().map(|(_, names)| names).filter(|names| names.len() > 1));
    }
    Ok(groups)
}

/// Whether a name is that of git's own directory, or of the file that leads to one, on any file system.
fn is_git(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b".git")
}

/// The `.git` that a path is, or is below: it is left alone as a whole, and named once.
fn of_git(path: &TreePath) -> TreePath {
    let mut place = path.clone();
    while let Some(above) = place.parent().filter(|above| above.components().any(is_git)) {
        place = above;
    }
    place
}

/// A path's steps: at most one that takes away and one that puts there.
type PathSteps = Vec<Step>;

struct Planner<'g> {
    goal: &'g Goal,
    steps: BTreeMap<TreePath, PathSteps>,
    kept: BTreeMap<TreePath, KeptReason>,
    conflicts: Vec<Conflict>,
}

impl Planner<'_> {
    fn consider(&mut self, difference: Difference) {
        let Difference { path, before, after } = difference;
        if let Some(reason) = self.untouchable(&path, before.as_ref(), after.as_ref()) {
            // What a rule leaves out is left alone; what only cannot be saved now would be missed.
            if let KeptReason::NotSaved(skip) = reason
                && skip.is_gap()
                && !self.is_alike(&path, after.as_ref())
            {
                let message = format!("would change, and cannot be saved first: {skip}");
                self.conflicts.push(conflict(&path, "NOT_SAVED", &message));
            }
            let place = if reason == KeptReason::Git { of_git(&path) } else { path };
            self.kept.insert(place, reason);
            return;
        }
        for (action, before, after) in actions(self.goal, before, after) {
            let step = Step { path: path.clone(), action, before, after };
            // One is the rule, and room for four at each path would be most of a large plan.
            self.steps.entry(path.clone()).or_insert_with(|| Vec::with_capacity(1)).push(step);
        }
    }

    /// Whether a file that only a limit kept from being saved has the size that it had: it is not known to differ, and since
    /// it is left alone and named, it is not in the way.
    fn is_alike(&self, path: &TreePath, after: Option<&Entry>) -> bool {
        let Some(Entry { node: Node::File(then), .. }) = after else { return false };
        let skip = self.goal.from_coverage.covering(path).filter(|skip| skip.path == *path);
        skip.is_some_and(|skip| skip.reason == SkipReason::Quota && skip.bytes == Some(then.size))
    }

    /// Why a path is left alone, if it is.
    fn untouchable(&self, path: &TreePath, before: Option<&Entry>, after: Option<&Entry>) -> Option<KeptReason> {
        if let Some(skip) = self.goal.to_coverage.covering(path) {
            return Some(KeptReason::NotInCheckpoint(skip.reason));
        }
        if path.components().any(is_git) {
            return Some(KeptReason::Git);
        }
        if let Some(skip) = self.goal.from_coverage.covering(path) {
            return Some(KeptReason::NotSaved(skip.reason));
        }
        let is_special = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.node.is_special());
        (is_special(before) || is_special(after)).then_some(KeptReason::Special)
    }

    /// Replaces whole groups of hard links where the grouping differs: a link is never written through.
    fn relink(&mut self, objects: &dyn Objects) -> Result<(), ReadError> {
        let (from, to) = (by_path(&self.goal.from_links), by_path(&self.goal.to_links));
        let mut forced: BTreeSet<&TreePath> = BTreeSet::new();
        for path in from.keys().chain(to.keys()) {
            let group = to.get(path).copied();
            let is_changed = |member: &TreePath| self.steps.contains_key(member);
            let group_changes = group.is_some_and(|group| group.iter().any(is_changed));
            if from.get(path) != to.get(path) || group_changes {
                forced.insert(path);
                forced.extend(group.into_iter().flatten());
            }
        }
        let steady = self.steady(&to);
        forced.retain(|path| !steady.contains(path));
        let [mut then, mut now] = [self.goal.to, self.goal.from].map(|tree| Finder::new(objects, tree));
        for path in forced {
            let Some(after) = then.lookup(path)? else { continue };
            if self.steps.contains_key(path) && self.has_content_step(path) || self.kept.contains_key(path) {
                continue;
            }
            let before = now.lookup(path)?;
            if self.untouchable(path, before.as_ref(), Some(&after)).is_none() {
                let action = if before.is_some() { Action::Replace } else { Action::Create };
                self.steps.insert(path.clone(), vec![Step { path: path.clone(), action, before, after: Some(after) }]);
            }
        }
        Ok(())
    }

    /// Names that keep the file that they are now: of each group those of one group to come at most, of which none has a step.
    fn steady(&self, to: &BTreeMap<&TreePath, &Vec<TreePath>>) -> BTreeSet<&TreePath> {
        let mut found = BTreeSet::new();
        for group in &self.goal.from_links {
            // A name that is left alone keeps the file: all others that are to differ from it need another one.
            if group.iter().any(|path| self.kept.contains_key(path)) {
                continue;
            }
            let parts =
                group.iter().map(|path| to.get(path).map_or(std::slice::from_ref(path), |names| names.as_slice()));
            let mut firsts = parts.zip(group).filter(|(names, path)| names[0] == **path).map(|(names, _)| names);
            let is_steady = |path: &TreePath| group.binary_search(path).is_ok() && !self.steps.contains_key(path);
            let kept = firsts.find(|names| names.iter().all(is_steady));
            found.extend(
                kept.into_iter().flatten().filter_map(|path| group.binary_search(path).ok()).map(|at| &group[at]),
            );
        }
        found
    }

    fn has_content_step(&self, path: &TreePath) -> bool {
        self.steps.get(path).is_some_and(|steps| steps.iter().any(|step| step.action != Action::SetMeta))
    }

    /// Names what no difference tells of: what neither tree holds stands as it is, and what the checkpoint could not
    /// take does not come back.
    fn name_uncovered(&mut self) {
        let from = self.goal.from_coverage.skips.iter().filter(|skip| skip.reason != SkipReason::OwnFiles);
        let to = self.goal.to_coverage.skips.iter().filter(|skip| skip.reason.is_gap());
        for skip in from.chain(to) {
            self.kept.entry(skip.path.clone()).or_insert(KeptReason::Uncovered(skip.reason));
        }
        // A device is in no tree, so where it is missing now nothing else tells of it.
        let special = self.goal.to_coverage.skips.iter().filter(|skip| skip.reason == SkipReason::SpecialFile);
        for skip in special {
            self.kept.entry(skip.path.clone()).or_insert(KeptReason::NotInCheckpoint(skip.reason));
        }
    }

    /// Names what the checkpoint saw, did not take, and is not there now: nothing else tells of it, and nothing brings it back.
    fn name_gone(&mut self, objects: &dyn Objects) -> Result<(), ReadError> {
        let present = (&self.goal.from, &self.goal.from_coverage);
        let gone = gone(objects, present, &self.goal.to_coverage)?;
        self.kept.extend(gone.into_iter().map(|kept| (kept.path, kept.reason)));
        Ok(())
    }

    /// A file system that came since is named by the place at which it is mounted, whatever is on it.
    fn name_mounts_once(&mut self) {
        let is_since = |skip: &&Skip| skip.reason == SkipReason::MountedSince;
        for skip in self.goal.to_coverage.skips.iter().filter(is_since) {
            self.kept.retain(|path, _| !path.is_within(&skip.path));
            self.kept.insert(skip.path.clone(), KeptReason::NotInCheckpoint(skip.reason));
        }
    }

    /// Directories of what stays are not removed, and those of what comes are made.
    fn keep_directories(&mut self, objects: &dyn Objects) -> Result<(), ReadError> {
        let mut now = Finder::new(objects, self.goal.from);
        let coming: Vec<TreePath> =
            self.steps.iter().filter(|(_, steps)| has_after(steps)).map(|one| one.0.clone()).collect();
        for path in coming {
            self.make_way(&path, &mut now)?;
        }
        let is_removal =
            |(_, steps): &(&TreePath, &PathSteps)| steps.iter().any(|step| step.action == Action::RemoveDir);
        // The deepest first: a directory that stays keeps the one that it is in.
        let mut removed: Vec<TreePath> = self.steps.iter().filter(is_removal).map(|one| one.0.clone()).collect();
        removed.sort_by_key(|path| std::cmp::Reverse(path.depth()));
        for path in removed {
            let Some(Entry { node: Node::Dir(below), .. }) = now.lookup(&path)? else { continue };
            let goes = |name: &[u8]| self.steps.get(&path.join(name)).is_some_and(|steps| !has_after(steps));
            if tree::read(objects, &below)?.iter().all(|entry| goes(&entry.name)) {
                continue;
            }
            if self.steps.get(&path).is_some_and(|steps| steps.len() > 1) {
                let message = "a directory in which somebody keeps something stands where a file should be";
                self.conflicts.push(conflict(&path, "KIND_CLASH", message));
            }
            self.steps.remove(&path);
            self.kept.insert(path, KeptReason::NotEmpty);
        }
        Ok(())
    }

    /// Sees to it that the directories above a path are there.
    fn make_way(&mut self, path: &TreePath, now: &mut Finder<'_>) -> Result<(), ReadError> {
        let mut at = path.parent();
        while let Some(dir) = at.filter(|dir| !dir.is_root()) {
            at = dir.parent();
            let present = now.lookup(&dir)?;
            let is_there = matches!(&present, Some(entry) if matches!(entry.node, Node::Dir(_)));
            match self.steps.get(&dir) {
                Some(steps) if has_after(steps) => {
                    let is_dir = steps.iter().any(|step| matches!(step.action, Action::MakeDir | Action::SetMeta));
                    if !is_dir {
                        self.conflicts.push(conflict(
                            &dir,
                            "KIND_CLASH",
                            "a file and a directory should be here at once",
                        ));
                    }
                    return Ok(());
                }
                Some(_) if is_there => {
                    self.steps.remove(&dir);
                    self.kept.insert(dir, KeptReason::NotEmpty);
                }
                _ if is_there => return Ok(()),
                None if present.is_some() => {
                    let message = "something else stands where a directory was, and somebody keeps it";
                    self.conflicts.push(conflict(&dir, "KIND_CLASH", message));
                    return Ok(());
                }
                _ => {
                    let meta = self.like_above(path, &dir, now)?;
                    let node = Node::Dir(Digest([0; 32]));
                    let entry = Entry { name: dir.name().to_vec(), meta, node, xattrs: vec![] };
                    let step = Step { path: dir.clone(), action: Action::MakeDir, before: None, after: Some(entry) };
                    self.steps.entry(dir).or_default().push(step);
                }
            }
        }
        Ok(())
    }

    /// Metadata for a directory that nobody tells of: those of the nearest one above that is there. Of the workspace's own
    /// directory no owner is known; then it is that of what comes back.
    fn like_above(&self, path: &TreePath, dir: &TreePath, now: &mut Finder<'_>) -> Result<Meta, ReadError> {
        const BUT_STICKY: u32 = 0o2777;
        let mut at = dir.parent();
        while let Some(above) = at.filter(|above| !above.is_root()) {
            if let Some(Entry { meta, node: Node::Dir(_), .. }) = now.lookup(&above)? {
                return Ok(Meta { mode: meta.mode & BUT_STICKY, mtime: FileTime::default(), ..meta });
            }
            at = above.parent();
        }
        let comes = self.steps.get(path).and_then(|steps| steps.iter().find_map(|step| step.after.as_ref()));
        let mode = self.goal.from_root.map_or(0o755, |root| root.mode & BUT_STICKY);
        Ok(Meta { mode, mtime: FileTime::default(), ..comes.map(|entry| entry.meta).unwrap_or_default() })
    }

    /// A directory that holds something that stays is not removed; where something else should stand there, that is
    /// a conflict.
    fn keep_parents_of_kept(&mut self) {
        let mut standing: BTreeSet<TreePath> = BTreeSet::new();
        let is_own = |skip: &&Skip| skip.reason == SkipReason::OwnFiles;
        let own = self.goal.from_coverage.skips.iter().filter(is_own).map(|skip| &skip.path);
        for path in self.kept.keys().chain(own) {
            let mut at = path.parent();
            while let Some(parent) = at.filter(|parent| !parent.is_root()) {
                at = parent.parent();
                if !standing.insert(parent) {
                    break;
                }
            }
        }
        for path in standing {
            let Some(steps) = self.steps.get_mut(&path) else { continue };
            let removed = steps.iter().any(|step| step.action == Action::RemoveDir);
            if !removed {
                continue;
            }
            if steps.len() > 1 {
                let message = "a directory that holds something wfr must not remove stands where a file should be";
                self.conflicts.push(conflict(&path, "KIND_CLASH", message));
            }
            self.steps.remove(&path);
            self.kept.insert(path, KeptReason::NotEmpty);
        }
    }

    fn guard(&mut self) {
        if self.goal.allow_config {
            return;
        }
        let guarded: Vec<&TreePath> = self.steps.keys().filter(|path| guard::is_configuration(path)).collect();
        let message = "tools run or obey this file: bringing another version back needs an explicit yes";
        self.conflicts.extend(guarded.into_iter().map(|path| conflict(path, "AGENT_CONFIGURATION", message)));
    }

    /// Steps change the times of the directories they happen in; these are put back too.
    fn restore_directory_times(&mut self, objects: &dyn Objects) -> Result<(), ReadError> {
        let touched: BTreeSet<TreePath> =
            self.steps.keys().filter_map(TreePath::parent).filter(|parent| !parent.is_root()).collect();
        let mut then = Finder::new(objects, self.goal.to);
        for path in touched {
            if self.steps.contains_key(&path) {
                continue;
            }
            let entry = then.lookup(&path)?;
            if let Some(entry) = entry.filter(|entry| matches!(entry.node, Node::Dir(_))) {
                let (before, after) = (Some(entry.clone()), Some(entry));
                self.steps.insert(path.clone(), vec![Step { path, action: Action::SetMeta, before, after }]);
            }
        }
        Ok(())
    }

    fn into_plan(self) -> Plan {
        let goal = self.goal;
        let kept = self.kept.into_iter().map(|(path, reason)| Kept { path, reason }).collect();
        Plan {
            workflow: goal.workflow.clone(),
            target: goal.target.clone(),
            from: goal.from,
            to: goal.to,
            root: root_change(goal, !self.steps.is_empty()),
            times: vec![],
            steps: self.steps.into_values().flatten().collect(),
            kept,
            conflicts: self.conflicts,
            exact_mtime: goal.exact_mtime,
        }
    }
}

/// What becomes of the workspace's own directory, whose time every recovery changes that has something to do.
fn root_change(goal: &Goal, has_steps: bool) -> Option<RootChange> {
    let (before, mut after) = (goal.from_root?, goal.to_root?);
    after.mtime = after.mtime.filter(|_| goal.exact_mtime);
    let is_time_due = after.mtime.is_some() && (has_steps || after.mtime != before.mtime);
    (before.mode != after.mode || is_time_due).then_some(RootChange { before, after })
}

fn has_after(steps: &PathSteps) -> bool {
    steps.iter().any(|step| step.after.is_some())
}

fn conflict(path: &TreePath, code: &str, message: &str) -> Conflict {
    Conflict::new(path, code, message)
}

fn by_path(groups: &LinkGroups) -> BTreeMap<&TreePath, &Vec<TreePath>> {
    groups.iter().flat_map(|group| group.iter().map(move |path| (path, group))).collect()
}

type Change = (Action, Option<Entry>, Option<Entry>);

/// What leads from one entry to the other.
fn actions(goal: &Goal, before: Option<Entry>, after: Option<Entry>) -> Vec<Change> {
    let is_dir = |entry: &Entry| matches!(entry.node, Node::Dir(_));
    match (before, after) {
        (Some(before), Some(after)) if is_dir(&before) == is_dir(&after) => match change(goal, &before, &after) {
            Some(action) => vec![(action, Some(before), Some(after))],
            None => vec![],
        },
        (before, after) => {
            let away = before.map(|entry| {
                let action = if is_dir(&entry) { Action::RemoveDir } else { Action::Delete };
                (action, Some(entry), None)
            });
            let there = after.map(|entry| {
                let action = if is_dir(&entry) { Action::MakeDir } else { Action::Create };
                (action, None, Some(entry))
            });
            away.into_iter().chain(there).collect()
        }
    }
}

/// The step between two directories, or between two things that are none; `None` where nothing that counts differs.
fn change(goal: &Goal, before: &Entry, after: &Entry) -> Option<Action> {
    let owner = goal.with_owner && (before.meta.uid, before.meta.gid) != (after.meta.uid, after.meta.gid);
    let time = goal.exact_mtime && before.meta.mtime != after.meta.mtime;
    if !before.same_but_time(after) || owner {
        // A file is exchanged whole even where only its mode differs: that is atomic, and no link is changed through.
        return Some(if matches!(after.node, Node::Dir(_)) { Action::SetMeta } else { Action::Replace });
    }
    time.then_some(Action::SetMeta)
}
