//! Files that moved: what happened to one before it got its present name belongs to its history.
//!
//! Owns which deletions and creations are one move: those of one change, found by one look, of equal content, and of one
//! file each. Refuses to follow what is only alike, what recoveries did, and moves that are to go themselves: then each
//! name has its own history.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wfr_catalog::{ChangeSeq, NewPoint, NewSegment, PathChain, PathKey, PointSeq, SegmentRow};
use wfr_model::change::Actor;
use wfr_model::entry::Node;
use wfr_model::{ChangeId, Digest, TreePath};

use super::history::{History, histories, is_recorded, seq_of};
use crate::error::Failure;
use crate::ledger::{self, Veil};
use crate::open::Open;

/// Whether a segment of a chain stays.
pub type Stays<'s> = dyn Fn(&PathChain, &SegmentRow) -> bool + 's;

/// Joins histories of files that moved, each under its last name. What is joined stands for all of its names.
pub fn follow(
    open: &Open,
    veil: &Veil<'_>,
    found: Vec<History>,
    unrecorded: Option<&NewPoint>,
    stays: &Stays<'_>,
) -> Result<Vec<History>, Failure> {
    let mut moves = Moves { open, veil, unrecorded, stays, known: BTreeMap::new() };
    let mut joined = Vec::with_capacity(found.len());
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    for history in found {
        if !seen.contains(&history.chain.path.key) {
            joined.push(moves.whole(history, &mut seen)?);
        }
    }
    joined.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(joined)
}

/// The moves of some changes, whether they stay or go: each from a path to a path.
pub fn of_changes(
    open: &Open,
    veil: &Veil<'_>,
    unrecorded: Option<&NewPoint>,
    changes: &BTreeSet<ChangeSeq>,
) -> Result<Vec<(TreePath, TreePath)>, Failure> {
    let mut moves = Moves { open, veil, unrecorded, stays: &|_, _| true, known: BTreeMap::new() };
    let mut found = Vec::new();
    for change in changes {
        for one in moves.of(*change)? {
            found.push((veil.shown(&one.from)?, veil.shown(&one.to)?));
        }
    }
    Ok(found)
}

/// A file that got another name.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Move {
    point: PointSeq,
    from: PathKey,
    to: PathKey,
}

/// One end of a possible move.
struct End {
    point: PointSeq,
    content: Digest,
    path: PathKey,
    name: Vec<u8>,
}

struct Moves<'m> {
    open: &'m Open,
    veil: &'m Veil<'m>,
    unrecorded: Option<&'m NewPoint>,
    stays: &'m Stays<'m>,
    known: BTreeMap<ChangeSeq, Vec<Move>>,
}

impl Moves<'_> {
    /// A history with those of its file's other names.
    fn whole(&mut self, history: History, seen: &mut BTreeSet<Vec<u8>>) -> Result<History, Failure> {
        let mut parts = vec![history];
        let mut whole = vec![parts[0].chain.path.key.clone()];
        while let Some((earlier, is_all)) = self.before(&mut parts[0])? {
            if parts.iter().any(|part| part.path == earlier.path) {
                break;
            }
            // A name at which something came later has a history of its own besides.
            whole.extend(is_all.then(|| earlier.chain.path.key.clone()));
            parts.insert(0, earlier);
        }
        while let Some(later) = parts.last_mut().map(|last| self.after(last)).transpose()?.flatten() {
            if parts.iter().any(|part| part.path == later.path) {
                break;
            }
            whole.push(later.chain.path.key.clone());
            parts.push(later);
        }
        seen.extend(whole);
        let mut parts = parts.into_iter();
        let first = parts.next().expect("there is one to begin with");
        Ok(parts.fold(first, join))
    }

    /// The history under the name before, where a file's history begins with a move, and whether that is all that happened
    /// at that name; the later one begins there then.
    fn before(&mut self, history: &mut History) -> Result<Option<(History, bool)>, Failure> {
        for at in (0..history.chain.segments.len()).rev() {
            let segment = history.chain.segments[at].clone();
            if segment.before.is_some() || segment.after.is_none() || !(self.stays)(&history.chain, &segment) {
                continue;
            }
            let to = &history.chain.path;
            let found =
                self.of(segment.change)?.iter().find(|one| one.to == *to && one.point == segment.point).cloned();
            let Some(found) = found else { continue };
            let Some(mut earlier) = self.load(&found.from)? else { return Ok(None) };
            let is_end = |one: &SegmentRow| one.change == segment.change && one.point == segment.point;
            let Some(end) = earlier.chain.segments.iter().position(is_end) else { return Ok(None) };
            let is_all = end + 1 == earlier.chain.segments.len();
            earlier.chain.segments.truncate(end);
            history.chain.segments.drain(..at);
            return Ok(Some((earlier, is_all)));
        }
        Ok(None)
    }

    /// The history under the name behind, where a file's history ends with a move; the earlier one ends before it then.
    fn after(&mut self, history: &mut History) -> Result<Option<History>, Failure> {
        let Some(segment) = history.chain.segments.last().cloned() else { return Ok(None) };
        if segment.after.is_some() || !(self.stays)(&history.chain, &segment) {
            return Ok(None);
        }
        let from = &history.chain.path;
        let found =
            self.of(segment.change)?.iter().find(|one| one.from == *from && one.point == segment.point).cloned();
        let Some(found) = found else { return Ok(None) };
        let Some(mut later) = self.load(&found.to)? else { return Ok(None) };
        let is_begin = |one: &SegmentRow| one.change == segment.change && one.point == segment.point;
        let Some(begin) = later.chain.segments.iter().position(is_begin) else { return Ok(None) };
        if !(self.stays)(&later.chain, &later.chain.segments[begin]) {
            return Ok(None);
        }
        later.chain.segments.drain(..begin);
        history.chain.segments.pop();
        Ok(Some(later))
    }

    /// The history of a path, what a look found since included.
    fn load(&self, path: &PathKey) -> Result<Option<History>, Failure> {
        let chain = self.open.catalog.chain_at(&path.key)?;
        let fresh = || PathChain { path: path.clone(), segments: vec![], words: vec![], reads: vec![] };
        let found = histories(self.open, self.veil, vec![chain.unwrap_or_else(fresh)], self.unrecorded)?;
        Ok(found.into_iter().next())
    }

    /// The moves of a change.
    fn of(&mut self, change: ChangeSeq) -> Result<&[Move], Failure> {
        if !self.known.contains_key(&change) {
            let found = self.find(change)?;
            self.known.insert(change, found);
        }
        Ok(self.known.get(&change).map(Vec::as_slice).unwrap_or_default())
    }

    fn find(&self, change: ChangeSeq) -> Result<Vec<Move>, Failure> {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        if is_recorded(change) {
            let row = self.open.catalog.change_at(change)?;
            if row.is_none_or(|row| row.change.actor == Actor::Recovery) {
                return Ok(vec![]);
            }
            for chain in self.open.catalog.segments_of(change)? {
                for segment in &chain.segments {
                    let sides = (segment.before.as_deref(), segment.after.as_deref());
                    self.sort(&chain.path, segment.point, sides, &mut gone, &mut come)?;
                }
            }
        }
        if let Some(point) = self.unrecorded {
            let mut seqs: HashMap<&ChangeId, ChangeSeq> = HashMap::new();
            for NewSegment { path, change: id, before, after, .. } in &point.segments {
                let seq = match seqs.get(id) {
                    Some(seq) => *seq,
                    None => seq_of(self.open, point, id)?,
                };
                seqs.insert(id, seq);
                if seq == change {
                    self.sort(path, PointSeq(i64::MAX), (before.as_deref(), after.as_deref()), &mut gone, &mut come)?;
                }
            }
        }
        Ok(matched(&gone, &come))
    }

    /// Adds a segment that is one end of a possible move.
    fn sort(
        &self,
        path: &PathKey,
        point: PointSeq,
        (before, after): (Option<&[u8]>, Option<&[u8]>),
        gone: &mut Vec<End>,
        come: &mut Vec<End>,
    ) -> Result<(), Failure> {
        let (kept, ends) = match (before, after) {
            (Some(kept), None) => (kept, gone),
            (None, Some(kept)) => (kept, come),
            _ => return Ok(()),
        };
        if let Some(entry) = ledger::entry_of(self.veil, Some(kept))?
            && let Node::File(content) = entry.node
            && content.size > 0
        {
            ends.push(End { point, content: content.hash, path: path.clone(), name: entry.name });
        }
        Ok(())
    }
}

/// Pairs that are one move: the only ones of a content, or the only ones of it that have the same name in their directories.
fn matched(gone: &[End], come: &[End]) -> Vec<Move> {
    let alike = |a: &End, b: &End| a.point == b.point && a.content == b.content;
    let only = |ends: &[End], is_it: &dyn Fn(&End) -> bool| {
        let mut found = ends.iter().enumerate().filter(|(_, end)| is_it(end));
        match (found.next(), found.next()) {
            (Some((at, _)), None) => Some(at),
            _ => None,
        }
    };
    let mut moves = Vec::new();
    for from in gone {
        let pair = |is_it: &dyn Fn(&End, &End) -> bool| {
            let to = &come[only(come, &|to| is_it(from, to))?];
            only(gone, &|other| is_it(other, to)).map(|_| to)
        };
        let to = pair(&alike).or_else(|| pair(&|a, b| alike(a, b) && a.name == b.name));
        moves.extend(to.map(|to| Move { point: from.point, from: from.path.clone(), to: to.path.clone() }));
    }
    moves
}

/// One history of two names.
fn join(earlier: History, later: History) -> History {
    let History { path, chain, mut names } = earlier;
    names.push(path);
    names.extend(later.names);
    let PathChain { path: key, segments, words, reads } = later.chain;
    let mut joined = PathChain { path: key, ..chain };
    joined.segments.extend(segments);
    joined.words.extend(words);
    // The newest word on a change counts, under whatever name it was said.
    joined.words.sort_by_key(|(_, by, _)| *by);
    joined.reads.extend(reads);
    History { path: later.path, chain: joined, names }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(content: u8, path: &str) -> End {
        let name = path.rsplit('/').next().unwrap().as_bytes().to_vec();
        let path = PathKey { key: path.as_bytes().to_vec(), sealed: None };
        End { point: PointSeq(1), content: Digest([content; 32]), path, name }
    }

    fn told(gone: &[End], come: &[End]) -> Vec<String> {
        let text = |path: &PathKey| String::from_utf8_lossy(&path.key).into_owned();
        matched(gone, come).iter().map(|one| format!("{}>{}", text(&one.from), text(&one.to))).collect()
    }

    #[test]
    fn only_what_is_sure_is_a_move() {
        assert_eq!(told(&[end(1, "a")], &[end(1, "b"), end(2, "c")]), ["a>b"]);
        assert_eq!(told(&[end(1, "a")], &[end(1, "b"), end(1, "c")]), [""; 0], "a copy may be either");
        assert_eq!(told(&[end(1, "a"), end(1, "b")], &[end(1, "c")]), [""; 0]);
        // A directory that moves, with two files that are alike.
        let (gone, come) = ([end(1, "d/x"), end(1, "d/y")], [end(1, "e/x"), end(1, "e/y")]);
        assert_eq!(told(&gone, &come), ["d/x>e/x", "d/y>e/y"]);
        let later = End { point: PointSeq(2), ..end(1, "b") };
        assert_eq!(told(&[end(1, "a")], &[later]), [""; 0], "another look, another time");
    }
}
