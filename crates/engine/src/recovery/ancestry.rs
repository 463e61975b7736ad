//! The version of a path from which two later ones both come.
//!
//! Owns what counts as coming from what: a version from the one before it, and a path that was put back to an earlier
//! version (by a restore, by git, by hand) from that one. Refuses to merge.

use std::collections::{BTreeSet, HashSet};

use wfr_capture::slice::{bare, is_same};
use wfr_catalog::{ChangeSeq, CheckpointRow, ListQuery, NewPoint, PointSeq};
use wfr_model::coverage::Coverage;
use wfr_model::entry::Entry;
use wfr_model::recovery::RecoveryStatus;
use wfr_model::{CheckpointId, TreePath};
use wfr_store::Objects;
use wfr_store::tree::Finder;

use super::history::{histories, versions};
use crate::error::Failure;
use crate::ledger::Veil;
use crate::open::Open;
use crate::{manifests, recovery};

/// Where versions of paths are known from: checkpoints up to the ledger's beginning, and the ledger.
pub struct Ancestry<'a> {
    open: &'a Open,
    veil: Veil<'a>,
    before: Vec<Look<'a>>,
    target: Place,
    base: Option<Base<'a>>,
    unrecorded: Option<&'a NewPoint>,
}

/// A checkpoint that is said to be the one from which both come.
struct Base<'a> {
    tree: Finder<'a>,
    point: Option<PointSeq>,
}

/// What is known of the tree at some time before the ledger: a checkpoint, or what a recovery left.
struct Look<'a> {
    tree: Finder<'a>,
    coverage: Coverage,
    /// The only paths of which it tells.
    only: Option<BTreeSet<TreePath>>,
}

impl Look<'_> {
    /// What stood at a path; `None` where it does not tell.
    fn tells(&mut self, path: &TreePath) -> Result<Option<Option<Entry>>, Failure> {
        let is_silent = self.only.as_ref().is_some_and(|only| !only.contains(path));
        if is_silent || self.coverage.covering(path).is_some() {
            return Ok(None);
        }
        Ok(Some(self.tree.lookup(path)?.map(bare)))
    }
}

/// Where a checkpoint stands.
enum Place {
    /// Among those from before the ledger.
    Before(usize),
    /// Behind a point of it.
    Point(PointSeq),
    /// Elsewhere: it was made in another store.
    Nowhere,
}

/// What two versions have in common.
#[derive(Default)]
pub struct Common {
    /// The version from which both come; `None` where none is known, or nothing was there.
    pub base: Option<Entry>,
    /// The changes behind it.
    pub since: BTreeSet<ChangeSeq>,
}

impl<'a> Ancestry<'a> {
    /// Of the present and a checkpoint, and of another one from which both are said to come. `unrecorded` is what a look
    /// at the tree found that the ledger does not have.
    pub fn of(
        open: &'a Open,
        objects: &'a dyn Objects,
        (target, base): (&CheckpointRow, Option<&CheckpointRow>),
        unrecorded: Option<&'a NewPoint>,
    ) -> Result<Self, Failure> {
        let base = match base {
            None => None,
            Some(row) => {
                let tree = Finder::new(objects, recovery::tree_of(row)?);
                Some(Base { tree, point: open.catalog.point_of(&row.checkpoint_id)? })
            }
        };
        let (mut before, mut place) = (Vec::new(), open.catalog.point_of(&target.checkpoint_id)?.map(Place::Point));
        let foreign = foreign(open)?;
        let rows = open.catalog.list(&ListQuery::default())?;
        for row in rows.into_iter().filter(|row| row.tree.is_some() && !foreign.contains(&row.checkpoint_id)) {
            if open.catalog.point_of(&row.checkpoint_id)?.is_some() {
                break;
            }
            if row.checkpoint_id == target.checkpoint_id {
                place = Some(Place::Before(before.len()));
            }
            let tree = Finder::new(objects, recovery::tree_of(&row)?);
            before.push(Look { tree, coverage: manifests::coverage(objects, &row)?, only: None });
            before.extend(left_behind(open, objects, &row)?);
        }
        Ok(Self { open, veil: Veil::of(open)?, before, target: place.unwrap_or(Place::Nowhere), base, unrecorded })
    }

    /// The version of a path that the checkpoint's and the present one both come from.
    pub fn common(&mut self, path: &TreePath, then: &Entry, now: &Entry) -> Result<Common, Failure> {
        if let Some(Base { tree, point }) = &mut self.base {
            let (base, point) = (tree.lookup(path)?.map(bare), *point);
            return Ok(Common { base, since: self.since(path, point)? });
        }
        let (mut line, mut changes) = (Vec::new(), Vec::new());
        let mut at_target = None;
        for (number, look) in self.before.iter_mut().enumerate() {
            line.extend(look.tells(path)?);
            if matches!(self.target, Place::Before(target) if target == number) {
                at_target = line.len().checked_sub(1);
            }
        }
        let chain = self.open.catalog.chain_at(&self.veil.path(path)?.key)?;
        if let (None, Place::Point(_)) = (&chain, &self.target) {
            // Nothing was ever found there: what differs now, somebody has just done.
            at_target = Some(line.len());
            line.push(Some(bare(then.clone())));
        }
        for history in histories(self.open, &self.veil, chain.into_iter().collect(), self.unrecorded)? {
            let segments = &history.chain.segments;
            let seen = |point: PointSeq| segments.iter().filter(|segment| segment.point <= point).count();
            if let Place::Point(point) = self.target {
                at_target = Some(line.len() + seen(point));
            }
            line.extend(versions(&self.veil, &history)?);
            changes = vec![None; line.len() - segments.len()];
            changes.extend(segments.iter().map(|segment| Some(segment.change)));
        }
        line.push(Some(bare(now.clone())));
        let Some(at) = at_target.filter(|at| is_same(line[*at].as_ref(), Some(then))) else {
            return Ok(Common::default());
        };
        let (one, other) = (ancestors(&line, at), ancestors(&line, line.len() - 1));
        let base = common(&one, &other);
        let behind = |line: Vec<usize>| line.into_iter().take_while(|at| *at != base);
        let since = behind(one).chain(behind(other)).filter_map(|at| changes.get(at).copied().flatten());
        Ok(Common { since: since.collect(), base: line[base].clone() })
    }

    /// The changes at a path behind a point; all where there is none.
    fn since(&self, path: &TreePath, point: Option<PointSeq>) -> Result<BTreeSet<ChangeSeq>, Failure> {
        let chain = self.open.catalog.chain_at(&self.veil.path(path)?.key)?;
        let histories = histories(self.open, &self.veil, chain.into_iter().collect(), self.unrecorded)?;
        let segments = histories.iter().flat_map(|history| &history.chain.segments);
        Ok(segments.filter(|one| point.is_none_or(|point| one.point > point)).map(|one| one.change).collect())
    }
}

/// Checkpoints that an import brought: they fit to none of the chain before them, and this tree never was one of theirs. Of a
/// catalog that was built again with gaps, what lies behind a gap counts as such, too, since nothing tells.
fn foreign(open: &Open) -> Result<HashSet<CheckpointId>, Failure> {
    let (mut foreign, mut before) = (HashSet::new(), None);
    for link in open.catalog.chain()? {
        if link.is_imported() {
            foreign.insert(link.checkpoint_id);
            continue;
        }
        let follows = link.predecessor == before && before.as_ref().is_none_or(|before| !foreign.contains(before));
        if link.recovered && !follows {
            foreign.insert(link.checkpoint_id.clone());
        }
        before = Some(link.checkpoint_id);
    }
    Ok(foreign)
}

/// What the recovery that a checkpoint was taken for left at the paths that it changed.
fn left_behind<'a>(open: &Open, objects: &'a dyn Objects, safety: &CheckpointRow) -> Result<Option<Look<'a>>, Failure> {
    if !safety.is_safety() {
        return Ok(None);
    }
    let Some(record) = open.catalog.recovery_saved_by(&safety.checkpoint_id)? else { return Ok(None) };
    let target = open.catalog.checkpoint(&record.target)?.and_then(|row| row.tree);
    let (Some(tree), Some(report)) = (target, record.report) else { return Ok(None) };
    if !matches!(record.status, RecoveryStatus::Done | RecoveryStatus::Partial) {
        return Ok(None);
    }
    let only = report.changed.into_iter().map(|step| step.path).collect();
    Ok(Some(Look { tree: Finder::new(objects, tree), coverage: Coverage::default(), only: Some(only) }))
}

/// The last version that is among both ancestors; the first version of all is everybody's.
fn common(one: &[usize], other: &[usize]) -> usize {
    other.iter().find(|at| one.contains(at)).copied().unwrap_or(0)
}

/// The versions that one comes from, itself first, each by the place where it first stood.
fn ancestors(line: &[Option<Entry>], at: usize) -> Vec<usize> {
    let mut found = vec![first(line, at)];
    while let Some(before) = found.last().and_then(|at| at.checked_sub(1)) {
        found.push(first(line, before));
    }
    found
}

/// Where a version first stood.
fn first(line: &[Option<Entry>], at: usize) -> usize {
    line.iter().position(|earlier| is_same(earlier.as_ref(), line[at].as_ref())).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use wfr_model::Digest;
    use wfr_model::entry::{Content, Meta, Node};

    use super::*;

    /// Versions by letters; a dot: nothing.
    fn line(text: &str) -> Vec<Option<Entry>> {
        let entry = |letter: u8| Entry {
            name: b"f".to_vec(),
            meta: Meta { mode: 0o644, ..Meta::default() },
            node: Node::File(Content { size: 1, hash: Digest([letter; 32]), chunks: None }),
            xattrs: vec![],
        };
        text.bytes().map(|letter| (letter != b'.').then(|| entry(letter))).collect()
    }

    fn base(text: &str, target: usize) -> char {
        let line = line(text);
        let at = common(&ancestors(&line, target), &ancestors(&line, line.len() - 1));
        char::from(text.as_bytes()[at])
    }

    #[test]
    fn a_version_comes_from_the_one_before_or_from_the_one_it_went_back_to() {
        assert_eq!(base("abc", 1), 'b', "what was changed since comes from the checkpoint's");
        assert_eq!(base("abcad", 1), 'a', "it was put back to the first version, and changed then");
        assert_eq!(base("abca", 1), 'a');
        assert_eq!(base("abcbd", 2), 'b');
        assert_eq!(base(".b.d", 1), '.', "it was made anew");
        assert_eq!(base("abcd", 3), 'd');
    }
}
