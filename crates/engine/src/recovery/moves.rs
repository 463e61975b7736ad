//! Files that moved: what happened to one before it got its present name belongs to its history.
//!
//! Owns what is a move: a content, or a link's target, that is gone from one path and has come to one other, by one change, found
//! by one look; the first path has nothing then, or a file that moved there in its turn. And which histories are joined by moves.
//! Refuses to follow what is only alike, and to know where a file was when: that is [`super::tracks`].

mod coming;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use wfr_catalog::{ChangeSeq, NewPoint, NewSegment, PathChain, PathKey, PointSeq, SegmentRow};
use wfr_model::entry::{Entry, Node};
use wfr_model::{ChangeId, Digest, TreePath};

use super::bringing::{Maker, Makers};
use super::history::{History, histories, is_recorded, seq_of};
use super::tracks::{Fate, Pairs, Paths, Track};
use crate::error::Failure;
use crate::ledger::{self, Veil};
use crate::open::Open;

pub use coming::{Coming, Look};

/// What becomes of a segment of a path's history that is no replay.
pub type Fates<'s> = dyn Fn(&History, &SegmentRow) -> Fate + 's;

/// What becomes of segments where nothing goes that was not taken back before.
pub fn as_it_is(part: &History, segment: &SegmentRow) -> Fate {
    if part.chain.is_cancelled(segment.change, None) { Fate::Gone } else { Fate::Stays }
}

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
}

impl Following<'_> {
    /// Joins histories of files that moved, each under the name that it has now. What is joined stands for all of its names.
    pub fn follow(&self, found: Vec<History>) -> Result<Vec<History>, Failure> {
        let mut moves = Moves::new(self.open, self.veil, self.unrecorded);
        let mut rest: BTreeMap<Vec<u8>, History> =
            found.into_iter().map(|history| (history.chain.path.key.clone(), history)).collect();
        let mut joined = Vec::with_capacity(rest.len());
        while let Some((_, first)) = rest.pop_first() {
            let group = moves.group(first, &mut rest)?;
            match group.pairs.is_empty() {
                true => joined.extend(group.parts),
                false => joined.extend(self.joined(&group, &mut moves.makers)?),
            }
        }
        joined.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(joined)
    }

    /// One history for each file that was at any of the paths that are meant.
    fn joined(&self, Group { parts, pairs, meant }: &Group, makers: &mut Makers<'_>) -> Result<Vec<History>, Failure> {
        let all: BTreeSet<ChangeSeq> =
            parts.iter().flat_map(|part| &part.chain.segments).map(|one| one.change).collect();
        let (mut brought, mut names) = (BTreeMap::new(), BTreeMap::new());
        for change in all {
            match makers.of(change)? {
                Maker::Somebody(name) => drop(names.insert(change, name.clone())),
                Maker::Recovery(Some(places)) => drop(brought.insert(change, places.numbered(parts))),
                Maker::Recovery(None) | Maker::Unknown => {}
            }
        }
        let whose = |change: ChangeSeq| names.get(&change).map(String::as_str);
        let tracks = Paths { parts, pairs, brought: &brought, whose: &whose, fate: self.fate }.tracks();
        let is_meant = |track: &&Track| track.names().iter().any(|name| meant.contains(name));
        Ok(tracks.iter().filter(is_meant).map(|track| history_of(track, parts)).collect())
    }
}

/// The history of one file, from those of the paths at which it was.
fn history_of(track: &Track, parts: &[History]) -> History {
    let names = track.names();
    let path = |name: usize| parts[name].path.clone();
    let mut places = vec![];
    if names.len() > 1 || !track.is_there {
        places = std::iter::once(track.origin).chain(track.rows.iter().map(|(name, _)| *name)).map(path).collect();
    }
    let ends = std::iter::once(track.origin).chain(track.rows.iter().map(|(name, _)| *name));
    let here: BTreeSet<(usize, ChangeSeq)> =
        ends.zip(&track.rows).flat_map(|(from, (to, row))| [(from, row.change), (*to, row.change)]).collect();
    // The newest word on a change counts, at whichever end of its move it was said; what a recovery says at both is one word.
    let words = names.iter().flat_map(|name| parts[*name].chain.words.iter().map(|word| (*name, word)));
    let words = words.filter(|(name, (change, ..))| here.contains(&(*name, *change)));
    let words: BTreeMap<(ChangeSeq, ChangeSeq), bool> =
        words.map(|(_, (change, by, is))| ((*by, *change), *is)).collect();
    let chain = PathChain {
        path: parts[track.at].chain.path.clone(),
        segments: track.rows.iter().map(|(_, row)| row.clone()).collect(),
        words: words.into_iter().map(|((by, change), is)| (change, by, is)).collect(),
        reads: names.iter().flat_map(|name| parts[*name].chain.reads.iter().cloned()).collect(),
    };
    let names = names.into_iter().filter(|name| *name != track.at).map(path).collect();
    let Track { is_there, gave_way, .. } = *track;
    History { path: path(track.at), is_there, gave_way, chain, names, places }
}

/// The history of a file that is at a path, under the names that it had before, too: as a rollback follows it. Where none is
/// there, that of the path.
pub fn followed(open: &Open, veil: &Veil<'_>, chain: PathChain) -> Result<History, Failure> {
    let following = Following { open, veil, unrecorded: None, fate: &as_it_is };
    let path = veil.shown(&chain.path)?;
    let found = following.follow(histories(open, veil, vec![chain.clone()], None)?)?;
    let is_it = |history: &History| history.path == path && history.is_there;
    Ok(found.into_iter().find(is_it).unwrap_or_else(|| History::of(path, chain)))
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

/// A file that got another name.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Move {
    point: PointSeq,
    from: PathKey,
    to: PathKey,
}

/// What a file is known by where it moves: a link never for a file that holds its target.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Held {
    /// The content of a file.
    Content(Digest),
    /// Where a link leads.
    Target(Vec<u8>),
}

/// What was replaced, or came, or went at a path: either may be one end of a move.
struct End {
    point: PointSeq,
    path: PathKey,
    name: Vec<u8>,
    /// What is gone.
    gone: Option<Held>,
    /// What has come.
    come: Option<Held>,
    /// Whether something was there.
    was_held: bool,
    /// Whether something is there.
    is_held: bool,
    /// Whether that is a file or a link, and what it holds was not there before.
    is_coming: bool,
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
    makers: Makers<'m>,
    known: BTreeMap<ChangeSeq, OfChange>,
    left: HashMap<ChangeSeq, BTreeMap<PointSeq, Left>>,
}

/// What a change left, as one look found it.
#[derive(Default)]
struct Left {
    contents: HashSet<Held>,
    /// Whether it deleted anything.
    deletes: bool,
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
        let makers = Makers::new(open, unrecorded);
        Self { open, veil, unrecorded, makers, known: BTreeMap::new(), left: HashMap::new() }
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
            if !self.may_move(one)? {
                continue;
            }
            let OfChange { moves, at } = self.of(one.change)?;
            let here = at.get(&chain.path.key).into_iter().flatten().map(|at| &moves[*at]);
            found.extend(here.filter(|here| here.point == one.point).map(|here| (one.change, here.clone())));
        }
        Ok(found)
    }

    /// Whether a segment can be one end of a move. An edit can if what was there before came elsewhere, or if something was
    /// deleted, with which a row of files that make room for each other ends.
    fn may_move(&mut self, one: &SegmentRow) -> Result<bool, Failure> {
        let (Some(before), Some(_)) = (&one.before, &one.after) else { return Ok(true) };
        if !is_recorded(one.change) || one.point == PointSeq(i64::MAX) {
            return Ok(true);
        }
        let before = content_of(self.veil, Some(before))?;
        if !self.left.contains_key(&one.change) {
            let mut left: BTreeMap<PointSeq, Left> = BTreeMap::new();
            for (point, after) in self.open.catalog.left_by(one.change)? {
                let of_look = left.entry(point).or_default();
                of_look.deletes |= after.is_empty();
                of_look.contents.extend(content_of(self.veil, Some(&after).filter(|after| !after.is_empty()))?);
            }
            self.left.insert(one.change, left);
        }
        let left = self.left.get(&one.change).and_then(|left| left.get(&one.point));
        Ok(left.is_some_and(|left| left.deletes || before.is_some_and(|before| left.contents.contains(&before))))
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

    fn find(&mut self, change: ChangeSeq) -> Result<Vec<Move>, Failure> {
        Ok(matched(&self.ends(change)?))
    }

    /// What a change replaced, made and deleted; nothing of recoveries of which is known what they brought where.
    fn ends(&mut self, change: ChangeSeq) -> Result<Vec<End>, Failure> {
        let mut ends = Vec::new();
        if is_recorded(change) {
            if let Maker::Recovery(Some(_)) = self.makers.of(change)? {
                return Ok(vec![]);
            }
            for chain in self.open.catalog.segments_of(change)? {
                for segment in &chain.segments {
                    let sides = (segment.before.as_deref(), segment.after.as_deref());
                    ends.extend(self.end(&chain.path, segment.point, sides)?);
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
                    ends.extend(self.end(path, PointSeq(i64::MAX), (before.as_deref(), after.as_deref()))?);
                }
            }
        }
        Ok(ends)
    }

    /// A segment as a possible end of a move; none where nothing went or came.
    fn end(
        &self,
        path: &PathKey,
        point: PointSeq,
        (before, after): (Option<&[u8]>, Option<&[u8]>),
    ) -> Result<Option<End>, Failure> {
        let (before, after) = (ledger::entry_of(self.veil, before)?, ledger::entry_of(self.veil, after)?);
        let (gone, come) = (content(before.as_ref()), content(after.as_ref()));
        let is_coming = after.as_ref().is_some_and(|after| {
            let is_same = before.as_ref().is_some_and(|before| before.same_content(after));
            matches!(after.node, Node::File(_) | Node::Symlink(_)) && !is_same
        });
        if gone == come && !is_coming {
            return Ok(None);
        }
        let (was_held, is_held) = (before.is_some(), after.is_some());
        let name = after.or(before).map(|entry| entry.name).unwrap_or_default();
        Ok(Some(End { point, path: path.clone(), name, gone, come, was_held, is_held, is_coming }))
    }
}

/// What a file holds that holds anything, or a link. Files that are empty are all alike: of none of them it is known which came
/// from where.
pub fn content(entry: Option<&Entry>) -> Option<Held> {
    match entry.map(|entry| &entry.node) {
        Some(Node::File(content)) if content.size > 0 => Some(Held::Content(content.hash)),
        Some(Node::Symlink(target)) => Some(Held::Target(target.clone())),
        _ => None,
    }
}

/// The same of an entry as it is kept.
pub fn content_of(veil: &Veil<'_>, kept: Option<&Vec<u8>>) -> Result<Option<Held>, Failure> {
    Ok(content(ledger::entry_of(veil, kept.map(Vec::as_slice))?.as_ref()))
}

/// Pairs that are one move: the only ones of a content, or the only ones of it that have the same name in their directories.
/// Where a path holds something that did not move there, it was copied and edited as likely as moved.
fn matched(ends: &[End]) -> Vec<Move> {
    let mut alike: BTreeMap<(PointSeq, &Held), [Vec<&End>; 2]> = BTreeMap::new();
    for end in ends {
        for (side, content) in [&end.gone, &end.come].into_iter().enumerate() {
            content.iter().for_each(|content| alike.entry((end.point, content)).or_default()[side].push(end));
        }
    }
    let mut moves: Vec<(&End, &End)> = Vec::new();
    for [gone, come] in alike.into_values() {
        if let ([from], [to]) = (&gone[..], &come[..]) {
            moves.push((from, to));
            continue;
        }
        for from in &gone {
            let named = |ends: &[&End]| -> Vec<usize> {
                ends.iter().enumerate().filter(|(_, end)| end.name == from.name).map(|(at, _)| at).collect()
            };
            if let ([_], [only]) = (&named(&gone)[..], &named(&come)[..]) {
                moves.push((from, come[*only]));
            }
        }
    }
    loop {
        let comes: BTreeSet<(PointSeq, &PathKey)> = moves.iter().map(|(_, to)| (to.point, &to.path)).collect();
        let before = moves.len();
        moves.retain(|(from, _)| !from.is_held || comes.contains(&(from.point, &from.path)));
        if moves.len() == before {
            break;
        }
    }
    moves
        .into_iter()
        .map(|(from, to)| Move { point: from.point, from: from.path.clone(), to: to.path.clone() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path with the content that was there and that is there, 0: nothing.
    fn end(path: &str, gone: u8, come: u8) -> End {
        let name = path.rsplit('/').next().unwrap().as_bytes().to_vec();
        let path = PathKey { key: path.as_bytes().to_vec(), sealed: None };
        let content = |content: u8| (content > 0).then_some(Held::Content(Digest([content; 32])));
        End {
            point: PointSeq(1),
            path,
            name,
            gone: content(gone),
            come: content(come),
            was_held: gone > 0,
            is_held: come > 0,
            is_coming: come > 0,
        }
    }

    fn told(ends: &[End]) -> Vec<String> {
        let text = |path: &PathKey| String::from_utf8_lossy(&path.key).into_owned();
        matched(ends).iter().map(|one| format!("{}>{}", text(&one.from), text(&one.to))).collect()
    }

    #[test]
    fn only_what_is_sure_is_a_move() {
        assert_eq!(told(&[end("a", 1, 0), end("b", 0, 1), end("c", 0, 2)]), ["a>b"]);
        assert_eq!(told(&[end("a", 1, 0), end("b", 0, 1), end("c", 0, 1)]), [""; 0], "a copy may be either");
        assert_eq!(told(&[end("a", 1, 0), end("b", 1, 0), end("c", 0, 1)]), [""; 0]);
        // A directory that moves, with two files that are alike.
        let dir = [end("d/x", 1, 0), end("d/y", 1, 0), end("e/x", 0, 1), end("e/y", 0, 1)];
        assert_eq!(told(&dir), ["d/x>e/x", "d/y>e/y"]);
        let linked = |at: &str, gone: Option<&[u8]>, come: Option<&[u8]>| {
            let held = |target: Option<&[u8]>| target.map(|target| Held::Target(target.to_vec()));
            End { gone: held(gone), come: held(come), ..end(at, 0, come.map_or(0, |_| 1)) }
        };
        let target = Some([1; 32].as_slice());
        assert_eq!(told(&[linked("a", target, None), linked("b", None, target)]), ["a>b"]);
        assert_eq!(told(&[linked("a", target, None), end("b", 0, 1)]), [""; 0], "a link is no file");
        let later = End { point: PointSeq(2), ..end("b", 0, 1) };
        assert_eq!(told(&[end("a", 1, 0), later]), [""; 0], "another look, another time");
    }

    #[test]
    fn a_file_may_move_over_another_one_or_change_places_with_it() {
        assert_eq!(told(&[end("a", 1, 0), end("b", 2, 1)]), ["a>b"]);
        assert_eq!(told(&[end("a", 1, 2), end("b", 2, 1)]), ["a>b", "b>a"]);
        assert_eq!(told(&[end("a", 1, 0), end("b", 2, 1), end("c", 0, 2)]), ["a>b", "b>c"]);
        assert_eq!(told(&[end("a", 1, 3), end("b", 2, 1)]), [""; 0], "it was copied there as likely, and edited");
        assert_eq!(told(&[end("a", 1, 3), end("b", 2, 1), end("c", 0, 2)]), [""; 0]);
    }
}
