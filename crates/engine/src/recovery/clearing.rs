//! Plans of single paths in which what stands in the way is decided, or left as it is.
//!
//! Owns what a decision means where something of another kind stands at a path, and what `--partial` leaves out besides
//! work that cannot be separated. Refuses to plan: that is [`wfr_recovery::plan`].

use std::collections::BTreeSet;

use wfr_model::entry::{Entry, Node};
use wfr_model::finding::{Finding, Severity};
use wfr_model::plan::{Conflict, Plan};
use wfr_model::{Digest, TreePath};
use wfr_recovery::apply;
use wfr_recovery::plan::{LinkGroups, Wish};
use wfr_store::tree::{self, Finder};
use wfr_store::{Objects, ReadError};

use super::decisions::Decisions;
use super::telling;
use crate::error::Failure;
use crate::open::Open;
use crate::params::ConflictResolution;

/// The code of conflicts where something of another kind stands in the way.
pub const KIND_CLASH: &str = "KIND_CLASH";

/// Conflicts that `--partial` leaves as they are: of single paths, each of which can stay without the others.
const LEFT: [&str; 3] = [KIND_CLASH, "AGENT_CONFIGURATION", apply::DENIED];

/// Makes the plan of wishes.
type Plans<'c> = dyn Fn(&[Wish]) -> Result<(Plan, LinkGroups), ReadError> + 'c;

/// What the plans are made over.
pub struct Clearing<'c> {
    /// The workspace.
    pub open: &'c Open,
    /// Where its trees are.
    pub objects: &'c dyn Objects,
    /// The present tree.
    pub from: Digest,
    /// What somebody decided.
    pub decisions: &'c Decisions,
}

/// A plan with as little in the way as the decisions allow.
pub struct Cleared {
    /// It.
    pub plan: Plan,
    /// Hard links of the tree that it leads to.
    pub links: LinkGroups,
    /// Paths that stay as they are though something was wished for them.
    pub dropped: BTreeSet<TreePath>,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

impl Clearing<'_> {
    /// Plans, and plans again without what is to stay, and with what must go.
    pub fn run(&self, wishes: &mut Vec<Wish>, plans: &Plans<'_>) -> Result<Cleared, Failure> {
        let (mut dropped, mut named, mut emptied) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut findings = Vec::new();
        loop {
            let (mut plan, links) = plans(wishes)?;
            let mut conflicts = std::mem::take(&mut plan.conflicts);
            if self.decisions.partial && !plan.is_empty() && self.open.root().is_dir() {
                conflicts.extend(apply::denials(self.open.root(), &plan)?);
            }
            let before = (dropped.len(), emptied.len());
            for conflict in &conflicts {
                if self.wins(conflict) && emptied.insert(conflict.path.clone()) {
                    findings.extend(self.empty(&conflict.path, wishes)?);
                } else if self.stays(conflict) {
                    let paths = drop_wishes(wishes, &conflict.path);
                    if !paths.is_empty() && named.insert(conflict.path.clone()) {
                        findings.push(telling::left(conflict));
                    }
                    dropped.extend(paths);
                }
            }
            if (dropped.len(), emptied.len()) == before {
                // What is denied is told with the whole plan.
                conflicts.retain(|conflict| conflict.code != apply::DENIED);
                plan.conflicts = conflicts;
                return Ok(Cleared { plan, links, dropped, findings });
            }
        }
    }

    /// Whether what is wished for goes before what is in the way.
    fn wins(&self, conflict: &Conflict) -> bool {
        let Decisions { theirs, resolved, conflicts, .. } = self.decisions;
        let is_named = theirs.contains(&conflict.path) || resolved.contains_key(&conflict.path);
        conflict.code == KIND_CLASH && (is_named || *conflicts == ConflictResolution::CheckpointPriority)
    }

    /// Whether what is in the way stays, and what was wished for does not come about.
    fn stays(&self, conflict: &Conflict) -> bool {
        let Decisions { ours, conflicts, partial, .. } = self.decisions;
        let is_clash = conflict.code == KIND_CLASH;
        let by_rule = is_clash && (ours.contains(&conflict.path) || *conflicts == ConflictResolution::CurrentPriority);
        by_rule || *partial && LEFT.contains(&conflict.code.as_str())
    }

    /// Wishes for nothing where a directory is that must give way. Says what goes with it.
    fn empty(&self, path: &TreePath, wishes: &mut Vec<Wish>) -> Result<Option<Finding>, Failure> {
        let present = Finder::new(self.objects, self.from).lookup(path)?;
        let is_wished = wishes.iter().any(|wish| wish.path == *path);
        let Some(Entry { node: Node::Dir(below), .. }) = present.filter(|_| is_wished) else { return Ok(None) };
        let mut all = Vec::new();
        self.gather(path, &below, &mut all)?;
        let known: BTreeSet<&TreePath> = wishes.iter().filter(|one| one.entry.is_none()).map(|one| &one.path).collect();
        all.retain(|path| !known.contains(path));
        wishes.retain(|wish| wish.path == *path || wish.entry.is_none() || !wish.path.is_within(path));
        let Some(first) = all.first() else { return Ok(None) };
        let message = match all.len() - 1 {
            0 => format!("`{first}` goes, too: `{path}` becomes no directory"),
            more => format!("`{first}` and {more} more go, too: `{path}` becomes no directory"),
        };
        wishes.extend(all.into_iter().map(|path| Wish { path, entry: None }));
        Ok(Some(Finding::new("GOES_TOO", Severity::Warning, message, "look at the plan")))
    }

    fn gather(&self, dir: &TreePath, below: &Digest, all: &mut Vec<TreePath>) -> Result<(), ReadError> {
        for entry in tree::read(self.objects, below)? {
            let path = dir.join(&entry.name);
            all.push(path.clone());
            if let Node::Dir(below) = &entry.node {
                self.gather(&path, below, all)?;
            }
        }
        Ok(())
    }
}

/// Takes out what is wished for at a path, or else all that should come below it. What was taken out.
fn drop_wishes(wishes: &mut Vec<Wish>, path: &TreePath) -> Vec<TreePath> {
    let is_wished = wishes.iter().any(|wish| wish.path == *path);
    let goes = |wish: &Wish| match is_wished {
        true => wish.path == *path,
        false => wish.entry.is_some() && wish.path.is_within(path),
    };
    let paths = wishes.iter().filter(|wish| goes(wish)).map(|wish| wish.path.clone()).collect();
    wishes.retain(|wish| !goes(wish));
    paths
}

/// Says of what stands in the way what can decide it.
pub fn tell_ways(plan: &mut Plan, wishes: &[Wish]) {
    for conflict in plan.conflicts.iter_mut().filter(|conflict| conflict.code == KIND_CLASH) {
        let way = if wishes.iter().any(|wish| wish.path == conflict.path) {
            "`--ours` or `--partial` leaves it, `--theirs` or `--resolve` makes it the file, and what is in it goes"
        } else {
            "`--ours` or `--partial` leaves it, and what should be below it does not come back; or move it away"
        };
        conflict.message = format!("{}: {way}", conflict.message);
    }
}
