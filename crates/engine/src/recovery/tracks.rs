//! The ways of files through their names.
//!
//! Owns which segments at several paths are one file's, in which order, and where it was behind each. Refuses to know what a
//! move is: that is said to it; and what becomes of an edit.

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{ChangeSeq, PointSeq, SegmentRow};

use super::history::History;

/// What becomes of a segment that is no earlier recovery's replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It stays.
    Stays,
    /// It goes now.
    Goes,
    /// It was taken back before.
    Gone,
}

/// Moves by the change and the point at which they were found, between paths by number.
pub type Pairs = BTreeMap<(ChangeSeq, PointSeq), BTreeSet<(usize, usize)>>;

/// One file, or what one path had that never moved.
pub struct Track {
    /// Its segments, each with the path behind it, by number.
    pub rows: Vec<(usize, SegmentRow)>,
    /// Where it was at first.
    pub origin: usize,
    /// Where it is.
    pub at: usize,
    /// Whether another file has come to its place since.
    is_displaced: bool,
}

impl Track {
    /// Its names, in the order in which it had them first.
    pub fn names(&self) -> Vec<usize> {
        let mut seen = BTreeSet::new();
        std::iter::once(self.origin)
            .chain(self.rows.iter().map(|(name, _)| *name))
            .filter(|name| seen.insert(*name))
            .collect()
    }
}

/// What tracks are made of.
pub struct Paths<'p> {
    /// All paths between which files moved.
    pub parts: &'p [History],
    /// The moves.
    pub pairs: &'p Pairs,
    /// Which of the changes are recoveries.
    pub recoveries: &'p BTreeSet<ChangeSeq>,
    /// What becomes of a segment at a path.
    pub fate: &'p dyn Fn(&History, &SegmentRow) -> Fate,
}

impl Paths<'_> {
    /// The tracks; `None` where something that goes is at a place to which another file moved: then each path has a history
    /// of its own. Moves that do not stay are followed only `with_going`.
    pub fn tracks(&self, with_going: bool) -> Option<Vec<Track>> {
        let mut walk = Walk { paths: self, with_going, tracks: vec![], held: vec![None; self.parts.len()] };
        for ((point, change), rows) in self.groups() {
            walk.step((change, point), rows);
        }
        let (displaced, tracks): (Vec<Track>, Vec<Track>) =
            walk.tracks.into_iter().partition(|track| track.is_displaced);
        let goes =
            |(name, row): &(usize, SegmentRow)| !row.replayed && (self.fate)(&self.parts[*name], row) == Fate::Goes;
        let has_any = displaced.iter().flat_map(|track| &track.rows).any(goes);
        (!has_any).then_some(tracks)
    }

    /// All segments, by time and by who made them.
    fn groups(&self) -> BTreeMap<(PointSeq, ChangeSeq), BTreeMap<usize, &SegmentRow>> {
        let mut groups: BTreeMap<_, BTreeMap<usize, &SegmentRow>> = BTreeMap::new();
        for (name, part) in self.parts.iter().enumerate() {
            for row in &part.chain.segments {
                groups.entry((row.point, row.change)).or_default().insert(name, row);
            }
        }
        groups
    }
}

struct Walk<'w> {
    paths: &'w Paths<'w>,
    with_going: bool,
    tracks: Vec<Track>,
    /// Which track each path holds, also one that is deleted there.
    held: Vec<Option<usize>>,
}

impl Walk<'_> {
    /// What one change did at one time.
    fn step(&mut self, by: (ChangeSeq, PointSeq), mut rows: BTreeMap<usize, &SegmentRow>) {
        for &(from, to) in self.paths.pairs.get(&by).into_iter().flatten() {
            let stays = |name: usize| rows.get(&name).is_some_and(|row| self.stays(name, row));
            if self.with_going || stays(from) && stays(to) {
                self.go((from, to), &mut rows);
            }
        }
        if self.paths.recoveries.contains(&by.0) {
            for pair in self.returns(&rows) {
                self.go(pair, &mut rows);
            }
        }
        for (name, row) in rows {
            let track = self.holder(name);
            self.tracks[track].rows.push((name, row.clone()));
        }
    }

    fn stays(&self, name: usize, row: &SegmentRow) -> bool {
        (self.paths.fate)(&self.paths.parts[name], row) == Fate::Stays
    }

    /// The track that a path holds.
    fn holder(&mut self, name: usize) -> usize {
        let next = self.tracks.len();
        let held = *self.held[name].get_or_insert(next);
        if held == next {
            self.tracks.push(Track { rows: vec![], origin: name, at: name, is_displaced: false });
        }
        held
    }

    /// A file gets another name.
    fn go(&mut self, (from, to): (usize, usize), rows: &mut BTreeMap<usize, &SegmentRow>) {
        let (Some(&gone), Some(&come)) = (rows.get(&from), rows.get(&to)) else { return };
        rows.retain(|name, _| *name != from && *name != to);
        let track = self.holder(from);
        if let Some(other) = self.held[to].replace(track) {
            self.tracks[other].is_displaced = true;
        }
        self.held[from] = None;
        // To the file it is one edit: it was there before.
        let row = SegmentRow { before: gone.before.clone(), ..come.clone() };
        self.tracks[track].rows.push((to, row));
        self.tracks[track].at = to;
    }

    /// A recovery that takes a file from where it is, and makes one where it was at another time, brings it there.
    fn returns(&self, rows: &BTreeMap<usize, &SegmentRow>) -> Vec<(usize, usize)> {
        let gone = rows.iter().filter(|(_, row)| row.after.is_none());
        let moves = gone.filter_map(|(from, _)| {
            let names = self.tracks[self.held[*from]?].names();
            let is_there = |name: &usize| rows.get(name).is_some_and(|row| row.before.is_none() && row.after.is_some());
            let mut found = names.into_iter().filter(|name| name != from && is_there(name));
            found.next().filter(|_| found.next().is_none()).map(|to| (*from, to))
        });
        moves.collect()
    }
}

#[cfg(test)]
mod tests {
    use wfr_catalog::{PathChain, PathKey};
    use wfr_model::TreePath;

    use super::*;

    /// A path with what was found there: the point, which is also the change, before and after.
    fn part(path: &str, rows: &[(i64, &str, &str)]) -> History {
        let kept = |text: &str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
        let row = |(point, before, after): &(i64, &str, &str)| SegmentRow {
            point: PointSeq(*point),
            change: ChangeSeq(*point),
            replayed: *point >= 10,
            before: kept(before),
            after: kept(after),
        };
        let key = PathKey { key: path.as_bytes().to_vec(), sealed: None };
        let segments = rows.iter().map(row).collect();
        let chain = PathChain { path: key, segments, words: vec![], reads: vec![] };
        History { path: TreePath::from_bytes(path.as_bytes()).unwrap(), chain, names: vec![], places: vec![] }
    }

    /// The tracks, each as the points of its segments with the names behind them; recoveries have points from 10 on.
    fn told(parts: &[History], moves: &[(i64, usize, usize)], goes: &[i64], with_going: bool) -> Vec<String> {
        let mut pairs = Pairs::new();
        for (point, from, to) in moves {
            pairs.entry((ChangeSeq(*point), PointSeq(*point))).or_default().insert((*from, *to));
        }
        let recoveries = (10..20).map(ChangeSeq).collect();
        let fate = |_: &History, row: &SegmentRow| match goes.contains(&row.change.0) {
            true => Fate::Goes,
            false => Fate::Stays,
        };
        let paths = Paths { parts, pairs: &pairs, recoveries: &recoveries, fate: &fate };
        let Some(tracks) = paths.tracks(with_going) else { return vec!["apart".to_owned()] };
        let one = |track: Track| {
            let rows = track.rows.iter().map(|(name, row)| format!("{}{}", row.point.0, parts[*name].path));
            rows.collect::<Vec<_>>().join(" ")
        };
        tracks.into_iter().map(one).collect()
    }

    #[test]
    fn a_recovery_and_its_undo_bring_a_file_to_and_fro() {
        let f = part("f", &[(1, "x", "y"), (2, "y", ""), (10, "", "y"), (11, "y", "")]);
        let g = part("g", &[(2, "", "y"), (10, "y", ""), (11, "", "y"), (12, "y", "x")]);
        assert_eq!(told(&[f, g], &[(2, 0, 1)], &[], false), ["1f 2g 10f 11g 12g"]);
    }

    #[test]
    fn a_file_may_move_away_and_come_back() {
        let f = part("f", &[(1, "x", "y"), (2, "y", ""), (3, "", "y")]);
        let g = part("g", &[(2, "", "y"), (3, "y", "")]);
        assert_eq!(told(&[f, g], &[(2, 0, 1), (3, 1, 0)], &[], false), ["1f 2g 3f"]);
    }

    #[test]
    fn what_comes_anew_where_a_file_was_is_another_one() {
        let parts = || [part("f", &[(1, "x", "y"), (2, "y", ""), (3, "", "z")]), part("g", &[(2, "", "y")])];
        assert_eq!(told(&parts(), &[(2, 0, 1)], &[], false), ["1f 2g", "3f"]);
        assert_eq!(told(&parts(), &[(2, 0, 1)], &[2], true), ["1f 2g", "3f"]);
        assert_eq!(told(&parts(), &[(2, 0, 1)], &[2], false), ["1f 2f 3f", "2g"], "a move that goes");
    }

    #[test]
    fn what_goes_is_not_lost_where_another_file_comes() {
        let parts = || [part("f", &[(2, "y", "")]), part("g", &[(1, "x", ""), (2, "", "y")])];
        assert_eq!(told(&parts(), &[(2, 0, 1)], &[], false), ["2g"]);
        assert_eq!(told(&parts(), &[(2, 0, 1)], &[1], false), ["apart"]);
    }
}
