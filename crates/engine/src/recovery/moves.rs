//! Files that moved: what happened to one before it got its present name belongs to its history.
//!
//! Owns which deletions and creations are one move: those of one change, found by one look, of equal content, and of one
//! file each; and which histories are joined by them. Refuses to follow what is only alike, and to know where a file was when:
//! that is [`super::tracks`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wfr_catalog::{ChangeSeq, NewPoint, NewSegment, PathChain, PathKey, PointSeq, SegmentRow};
use wfr_model::change::Actor;
use wfr_model::entry::Node;
use wfr_model::{ChangeId, Digest, TreePath};

use super::history::{History, histories, is_recorded, seq_of};
use super::tracks::{Fate, Pairs, Paths, Track};
use crate::error::Failure;
use crate::ledger::{self, Veil};
use crate::open::Open;

/// What becomes of a segment of a chain that is no replay.
pub type Fates<'s> = dyn Fn(&PathChain, &SegmentRow) -> Fate + 's;

/// How moves are followed.
pub struct Following<'f> {
    /// The workspace.
    pub open: &'f Open,
    /// How paths are kept.
    pub veil: &'f Veil<'f>,
    /// What a look found that the ledger does not have yet.
    pub unrecorded: Option<&'f NewPoint>,
    /// What becomes of segments.
    pub fate: &'f Fates<'f>,
    /// Paths that somebody decides on: such a one is meant for itself, unless it is where a file is and stays.
    pub is_decided: &'f dyn Fn(&TreePath) -> bool,
}

impl Following<'_> {
    /// Joins histories of files that moved, each under the name that it has now. What is joined stands for all of its names.
    pub fn follow(&self, found: Vec<History>) -> Result<Vec<History>, Failure> {
        let mut moves = Moves::new(self.open, self.veil, self.unrecorded);
        let mut rest: BTreeMap<Vec<u8>, History> =
            found.into_iter().map(|history| (history.chain.path.key.clone(), history)).collect();
        let mut joined = Vec::with_capacity(rest.len());
        while let Some((_, first)) = rest.pop_first() {
            let Group { parts, pairs, meant } = moves.group(first, &mut rest)?;
            match pairs.is_empty() {
                true => joined.extend(parts),
                false => joined.extend(self.joined(parts, &pairs, &meant)?),
            }
        }
        joined.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(joined)
    }

    /// One history for each file that was at any of the paths that are meant.
    fn joined(&self, parts: Vec<History>, pairs: &Pairs, meant: &BTreeSet<usize>) -> Result<Vec<History>, Failure> {
        let all: BTreeSet<ChangeSeq> =
            parts.iter().flat_map(|part| &part.chain.segments).map(|one| one.change).collect();
        let mut recoveries = BTreeSet::new();
        for change in all.into_iter().filter(|change| is_recorded(*change)) {
            let row = self.open.catalog.change_at(change)?;
            recoveries.extend(row.filter(|row| row.change.actor == Actor::Recovery).map(|row| row.seq));
        }
        let fate = |part: &History, row: &SegmentRow| (self.fate)(&part.chain, row);
        let paths = Paths { parts: &parts, pairs, recoveries: &recoveries, fate: &fate };
        let is_decided = |name: &usize| (self.is_decided)(&parts[*name].path);
        let is_free = |tracks: &Vec<Track>| {
            let mut names = tracks.iter().flat_map(|track| track.names().into_iter().filter(|name| *name != track.at));
            !names.any(|name| is_decided(&name))
        };
        let settled = |tracks: &Vec<Track>| is_free(tracks) && !(0..parts.len()).any(|name| is_decided(&name));
        let tracks = paths.tracks(true).filter(settled).or_else(|| paths.tracks(false).filter(is_free));
        let Some(tracks) = tracks else {
            let meant = parts.into_iter().enumerate().filter(|(name, _)| meant.contains(name));
            return Ok(meant.map(|(_, part)| part).collect());
        };
        let is_meant = |track: &&Track| track.names().iter().any(|name| meant.contains(name));
        Ok(tracks.iter().filter(is_meant).map(|track| history_of(track, &parts)).collect())
    }
}

/// The history of one file, from those of the paths at which it was.
fn history_of(track: &Track, parts: &[History]) -> History {
    let names = track.names();
    let path = |name: usize| parts[name].path.clone();
    let mut places = vec![];
    if names.len() > 1 {
        places = std::iter::once(track.origin).chain(track.rows.iter().map(|(name, _)| *name)).map(path).collect();
    }
    let chains = || names.iter().map(|name| &parts[*name].chain);
    // The newest word on a change counts, under whatever name it was said; what a recovery says at several is one word.
    let words = chains().flat_map(|chain| &chain.words).map(|(change, by, is)| ((*by, *change), *is));
    let words: BTreeMap<(ChangeSeq, ChangeSeq), bool> = words.collect();
    let chain = PathChain {
        path: parts[track.at].chain.path.clone(),
        segments: track.rows.iter().map(|(_, row)| row.clone()).collect(),
        words: words.into_iter().map(|((by, change), is)| (change, by, is)).collect(),
        reads: chains().flat_map(|chain| chain.reads.iter().cloned()).collect(),
    };
    let names = names.into_iter().filter(|name| *name != track.at).map(path).collect();
    History { path: path(track.at), chain, names, places }
}

/// The history of a file that is at a path, under the names that it had before, too: as a rollback follows it. Where none is
/// there, that of the path.
pub fn followed(open: &Open, veil: &Veil<'_>, chain: PathChain) -> Result<History, Failure> {
    let fate = |chain: &PathChain, segment: &SegmentRow| match chain.is_cancelled(segment.change, None) {
        true => Fate::Gone,
        false => Fate::Stays,
    };
    let following = Following { open, veil, unrecorded: None, fate: &fate, is_decided: &|_| false };
    let path = veil.shown(&chain.path)?;
    let found = following.follow(histories(open, veil, vec![chain.clone()], None)?)?;
    match found.into_iter().find(|history| history.path == path) {
        Some(history) => Ok(history),
        None => Ok(History { path, chain, names: vec![], places: vec![] }),
    }
}

/// The moves of some changes, whether they stay or go: each from a path to a path.
pub fn of_changes(
    open: &Open,
    veil: &Veil<'_>,
    unrecorded: Option<&NewPoint>,
    changes: &BTreeSet<ChangeSeq>,
) -> Result<Vec<(TreePath, TreePath)>, Failure> {
    let mut moves = Moves::new(open, veil, unrecorded);
    let mut found = Vec::new();
    for change in changes {
        for one in &moves.of(*change)?.moves {
            found.push((veil.shown(&one.from)?, veil.shown(&one.to)?));
        }
    }
    Ok(found)
}

/// Files that came with a change, found by one look, and were not moved there.
pub fn came_with(
    (open, veil): (&Open, &Veil<'_>),
    unrecorded: Option<&NewPoint>,
    (change, point): (ChangeSeq, PointSeq),
) -> Result<Vec<TreePath>, Failure> {
    let moves = Moves::new(open, veil, unrecorded);
    let (gone, come) = moves.ends(change)?;
    let moved: BTreeSet<PathKey> = matched(&gone, &come).into_iter().map(|one| one.to).collect();
    let came = come.iter().filter(|end| end.point == point && !moved.contains(&end.path));
    came.map(|end| veil.shown(&end.path)).collect()
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

/// Paths between which files moved.
struct Group {
    parts: Vec<History>,
    pairs: Pairs,
    /// Those that were asked for, by number.
    meant: BTreeSet<usize>,
}

struct Moves<'m> {
    open: &'m Open,
    veil: &'m Veil<'m>,
    unrecorded: Option<&'m NewPoint>,
    known: BTreeMap<ChangeSeq, OfChange>,
}

/// The moves of a change.
#[derive(Default)]
struct OfChange {
    moves: Vec<Move>,
    /// Those at either end of which a path is, by the path's key.
    at: HashMap<Vec<u8>, Vec<usize>>,
}

impl<'m> Moves<'m> {
    fn new(open: &'m Open, veil: &'m Veil<'m>, unrecorded: Option<&'m NewPoint>) -> Self {
        Self { open, veil, unrecorded, known: BTreeMap::new() }
    }

    /// A history with those of all paths to and from which files moved there, taken out of the rest or loaded.
    fn group(&mut self, first: History, rest: &mut BTreeMap<Vec<u8>, History>) -> Result<Group, Failure> {
        let mut numbers = BTreeMap::from([(first.chain.path.key.clone(), 0)]);
        let mut group = Group { parts: vec![first], pairs: Pairs::new(), meant: BTreeSet::from([0]) };
        let mut at = 0;
        while at < group.parts.len() {
            for (change, Move { point, from, to }) in self.at(&group.parts[at].chain)? {
                let mut ends = [0; 2];
                for (end, path) in ends.iter_mut().zip([&from, &to]) {
                    if let Some(known) = numbers.get(&path.key) {
                        *end = *known;
                        continue;
                    }
                    *end = group.parts.len();
                    numbers.insert(path.key.clone(), *end);
                    let meant = rest.remove(&path.key);
                    group.meant.extend(meant.iter().map(|_| *end));
                    group.parts.push(meant.map_or_else(|| self.load(path), Ok)?);
                }
                group.pairs.entry((change, point)).or_default().insert((ends[0], ends[1]));
            }
            at += 1;
        }
        Ok(group)
    }

    /// The moves to and from a path.
    fn at(&mut self, chain: &PathChain) -> Result<Vec<(ChangeSeq, Move)>, Failure> {
        let mut found = Vec::new();
        for one in &chain.segments {
            if !one.replayed && one.before.is_some() != one.after.is_some() {
                let OfChange { moves, at } = self.of(one.change)?;
                let here = at.get(&chain.path.key).into_iter().flatten().map(|at| &moves[*at]);
                found.extend(here.filter(|here| here.point == one.point).map(|here| (one.change, here.clone())));
            }
        }
        Ok(found)
    }

    /// The history of a path, what a look found since included.
    fn load(&self, path: &PathKey) -> Result<History, Failure> {
        let chain = self.open.catalog.chain_at(&path.key)?;
        let fresh = || PathChain { path: path.clone(), segments: vec![], words: vec![], reads: vec![] };
        let mut found = histories(self.open, self.veil, vec![chain.unwrap_or_else(fresh)], self.unrecorded)?;
        Ok(found.pop().expect("each chain has a history"))
    }

    /// The moves of a change.
    fn of(&mut self, change: ChangeSeq) -> Result<&OfChange, Failure> {
        if !self.known.contains_key(&change) {
            let moves = self.find(change)?;
            let mut at: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
            for (number, Move { from, to, .. }) in moves.iter().enumerate() {
                [from, to].into_iter().for_each(|path| at.entry(path.key.clone()).or_default().push(number));
            }
            self.known.insert(change, OfChange { moves, at });
        }
        Ok(self.known.entry(change).or_default())
    }

    fn find(&self, change: ChangeSeq) -> Result<Vec<Move>, Failure> {
        let (gone, come) = self.ends(change)?;
        Ok(matched(&gone, &come))
    }

    /// What a change deleted and made; nothing of recoveries.
    fn ends(&self, change: ChangeSeq) -> Result<(Vec<End>, Vec<End>), Failure> {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        if is_recorded(change) {
            let row = self.open.catalog.change_at(change)?;
            if row.is_none_or(|row| row.change.actor == Actor::Recovery) {
                return Ok((vec![], vec![]));
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
        Ok((gone, come))
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
    let mut alike: BTreeMap<(PointSeq, Digest), [Vec<&End>; 2]> = BTreeMap::new();
    for (side, ends) in [gone, come].into_iter().enumerate() {
        ends.iter().for_each(|end| alike.entry((end.point, end.content)).or_default()[side].push(end));
    }
    let to = |from: &End, to: &End| Move { point: from.point, from: from.path.clone(), to: to.path.clone() };
    let mut moves = Vec::new();
    for [gone, come] in alike.into_values() {
        if let ([from], [only]) = (&gone[..], &come[..]) {
            moves.push(to(from, only));
            continue;
        }
        for from in &gone {
            let named = |ends: &[&End]| -> Vec<usize> {
                ends.iter().enumerate().filter(|(_, end)| end.name == from.name).map(|(at, _)| at).collect()
            };
            if let ([_], [only]) = (&named(&gone)[..], &named(&come)[..]) {
                moves.push(to(from, come[*only]));
            }
        }
    }
    moves
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
