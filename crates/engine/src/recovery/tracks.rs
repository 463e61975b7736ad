//! The ways of files through their names.
//!
//! Owns which segments at several paths are one file's, in which order, and where it was behind each: a place has one file at
//! a time, and a file one place at most. Refuses to know what a move is, and where a recovery brought a file: that is said to
//! it; and what becomes of an edit.

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{ChangeSeq, PathChain, PointSeq, SegmentRow};

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

/// Moves by the change and the point at which they were found, between paths by number. Of one such group each path is at most
/// once where a file came from, and once where one came to.
pub type Pairs = BTreeMap<(ChangeSeq, PointSeq), BTreeSet<(usize, usize)>>;

/// Which files a recovery brought to the paths at which it left something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Brought {
    /// Those that were there behind a point: it went to a tree.
    Behind(PointSeq),
    /// Those that were there before another recovery: it undid that, as a whole.
    Before(ChangeSeq),
    /// At some paths, by number, those that were there behind a point; it left all others where they were.
    Some(BTreeMap<usize, PointSeq>),
}

impl Brought {
    /// The version of a path that was there then; `None` where single paths were brought back.
    pub fn version(&self, chain: &PathChain) -> Option<usize> {
        let mut rows = chain.segments.iter();
        match self {
            Self::Behind(point) => Some(rows.take_while(|row| row.point <= *point).count()),
            Self::Before(undone) => Some(rows.position(|row| row.change == *undone).unwrap_or(chain.segments.len())),
            Self::Some(_) => None,
        }
    }
}

/// One file, or what one path had that never moved.
pub struct Track {
    /// Its segments, each with the path behind it, by number.
    pub rows: Vec<(usize, SegmentRow)>,
    /// Where it was at first.
    pub origin: usize,
    /// Where it is; of one that gave way to another file, where it would be if that had not come.
    pub at: usize,
    /// Whether it is there, or was deleted there; else another file has its place.
    pub is_there: bool,
    /// Whether it ever gave way to another one: by whom follows from what stays.
    pub gave_way: bool,
    /// Where it would be without what does not stay.
    without: usize,
    /// What brought it elsewhere, and does not stay.
    away: Option<Cause>,
    /// What made it, where that does not stay.
    made: Option<Cause>,
}

/// A change, and whether it is a replay there.
type Cause = (ChangeSeq, bool);

impl Track {
    fn new(origin: usize) -> Self {
        Self {
            rows: vec![],
            origin,
            at: origin,
            is_there: true,
            gave_way: false,
            without: origin,
            away: None,
            made: None,
        }
    }

    /// Its names, in the order in which it had them first.
    pub fn names(&self) -> Vec<usize> {
        let mut seen = BTreeSet::new();
        std::iter::once(self.origin)
            .chain(self.rows.iter().map(|(name, _)| *name))
            .filter(|name| seen.insert(*name))
            .collect()
    }

    fn is_deleted(&self) -> bool {
        self.rows.last().is_some_and(|(_, row)| row.after.is_none())
    }
}

/// What tracks are made of.
pub struct Paths<'p> {
    /// All paths between which files moved.
    pub parts: &'p [History],
    /// The moves.
    pub pairs: &'p Pairs,
    /// What recoveries brought where.
    pub brought: &'p BTreeMap<ChangeSeq, Brought>,
    /// Whose changes are; `None`: nobody's who is known.
    pub whose: &'p dyn Fn(ChangeSeq) -> Option<&'p str>,
    /// What becomes of a segment at a path.
    pub fate: &'p dyn Fn(&History, &SegmentRow) -> Fate,
}

impl<'p> Paths<'p> {
    /// The tracks. Where a file came to the place of another one, that gave way: it counts as deleted there by whoever did it.
    /// Where one of the two would not have been there but for a change that does not stay, by that.
    pub fn tracks(&self) -> Vec<Track> {
        let tracks: Vec<Track> = (0..self.parts.len()).map(Track::new).collect();
        let held = (0..tracks.len()).map(Some).collect();
        let known = vec![BTreeMap::new(); tracks.len()];
        let mut walk = Walk { paths: self, tracks, held, known, moments: BTreeMap::new() };
        for (moment, rows) in self.groups() {
            walk.step(moment, rows);
        }
        let mut tracks = walk.tracks;
        tracks.retain(|track| !track.rows.is_empty());
        for track in tracks.iter_mut().filter(|track| !track.is_there) {
            track.at = track.without;
        }
        tracks
    }

    /// All segments, by time and by who made them.
    fn groups(&self) -> BTreeMap<Moment, Rows<'p>> {
        let mut groups: BTreeMap<_, Rows<'p>> = BTreeMap::new();
        for (name, part) in self.parts.iter().enumerate() {
            for row in &part.chain.segments {
                groups.entry((row.point, row.change)).or_default().insert(name, row);
            }
        }
        groups
    }
}

/// When what one change did was found.
type Moment = (PointSeq, ChangeSeq);

/// What one change did at one time, by path.
type Rows<'w> = BTreeMap<usize, &'w SegmentRow>;

struct Walk<'p, 'w> {
    paths: &'p Paths<'w>,
    tracks: Vec<Track>,
    /// Which track each path holds, also one that is deleted there.
    held: Vec<Option<usize>>,
    /// The same since some moments.
    known: Vec<BTreeMap<Moment, Option<usize>>>,
    moments: BTreeMap<ChangeSeq, Moment>,
}

impl<'w> Walk<'_, 'w> {
    /// What one change did at one time.
    fn step(&mut self, moment: Moment, mut rows: Rows<'w>) {
        let (point, change) = moment;
        self.moments.entry(change).or_insert(moment);
        let coming = match self.paths.brought.get(&change) {
            Some(brought) => self.brought(brought, &rows),
            None => self.moved(self.paths.pairs.get(&(change, point)), &rows),
        };
        let places: Vec<usize> = rows.keys().copied().collect();
        self.go(&coming, &mut rows);
        for (name, row) in rows {
            let track = self.holder(name);
            self.push(track, name, row.clone());
        }
        for name in places {
            self.known[name].insert(moment, self.held[name]);
        }
    }

    /// The track that a path holds.
    fn holder(&mut self, name: usize) -> usize {
        let next = self.tracks.len();
        let held = *self.held[name].get_or_insert(next);
        if held == next {
            self.tracks.push(Track::new(name));
        }
        held
    }

    /// Which tracks move, and where they come to. A file that somebody made and put over another one is how that was written.
    fn moved(&mut self, pairs: Option<&BTreeSet<(usize, usize)>>, rows: &Rows<'w>) -> Vec<(usize, usize)> {
        let pairs =
            || pairs.into_iter().flatten().filter(|(from, to)| rows.contains_key(from) && rows.contains_key(to));
        let left: BTreeSet<usize> = pairs().map(|(from, _)| *from).collect();
        let mut coming = Vec::new();
        for &(from, to) in pairs() {
            let track = self.holder(from);
            let is_over = rows[&to].before.is_some() && !left.contains(&to);
            if !(is_over && self.is_made_by(track, rows[&to].change)) {
                coming.push((track, to));
            }
        }
        coming
    }

    /// Whether all that a file has is of one who made it.
    fn is_made_by(&self, track: usize, change: ChangeSeq) -> bool {
        let Track { rows, .. } = &self.tracks[track];
        let whose = |change: ChangeSeq| (self.paths.whose)(change);
        let is_new = rows.first().is_some_and(|(_, row)| row.before.is_none());
        is_new && whose(change).is_some() && rows.iter().all(|(_, row)| whose(row.change) == whose(change))
    }

    /// Which tracks a recovery brought back to where they were, and where that is: such as it took from where they are, or as
    /// were nowhere.
    fn brought(&self, brought: &Brought, rows: &Rows<'w>) -> Vec<(usize, usize)> {
        let source = |name: usize| {
            let before = |moment: &Moment| self.known[name].range(..moment).next_back();
            let found = match brought {
                Brought::Behind(point) => before(&(*point, ChangeSeq(i64::MAX))),
                Brought::Before(undone) => before(self.moments.get(undone)?),
                Brought::Some(places) => before(&(*places.get(&name)?, ChangeSeq(i64::MAX))),
            };
            found.map_or(Some(name), |(_, track)| *track)
        };
        let comes = |(name, row): (&usize, &&SegmentRow)| {
            let track = row.after.as_ref().and_then(|_| source(*name))?;
            (self.held[*name] != Some(track)).then_some((track, *name))
        };
        let mut coming: Vec<(usize, usize)> = rows.iter().filter_map(comes).collect();
        loop {
            let leaves = |track: usize| {
                let Track { at, is_there, .. } = &self.tracks[track];
                let is_taken = |row: &&SegmentRow| row.after.is_none() || coming.iter().any(|(_, name)| name == at);
                !is_there || self.tracks[track].is_deleted() || rows.get(at).is_some_and(is_taken)
            };
            let stay: BTreeSet<usize> = coming.iter().map(|one| one.0).filter(|track| !leaves(*track)).collect();
            if stay.is_empty() {
                return coming;
            }
            coming.retain(|(track, _)| !stay.contains(track));
        }
    }

    /// Files get other names, all at once.
    fn go(&mut self, coming: &[(usize, usize)], rows: &mut Rows<'w>) {
        let all = rows.clone();
        let moving: BTreeSet<usize> = coming.iter().map(|(track, _)| *track).collect();
        let mut displaced = Vec::new();
        for &(track, to) in coming {
            displaced.extend(self.held[to].filter(|old| !moving.contains(old)).map(|old| (old, track, to)));
        }
        for &(track, to) in coming {
            let Track { at, is_there, rows: before, .. } = &self.tracks[track];
            let (at, is_there) = (*at, *is_there);
            // To the file it is one edit: it was there before.
            let before = match all.get(&at).filter(|_| is_there) {
                Some(gone) => gone.before.clone(),
                None => before.last().and_then(|(_, row)| row.after.clone()),
            };
            if is_there {
                rows.remove(&at);
                if self.held[at] == Some(track) {
                    self.held[at] = None;
                }
            }
            rows.remove(&to);
            self.push(track, to, SegmentRow { before, ..all[&to].clone() });
            self.held[to] = Some(track);
            (self.tracks[track].at, self.tracks[track].is_there) = (to, true);
        }
        for (old, track, to) in displaced {
            (self.tracks[old].is_there, self.tracks[old].gave_way) = (false, true);
            if all[&to].before.is_some() {
                let by = (all[&to].change, all[&to].replayed);
                let is_elsewhere = self.tracks[old].without != to;
                let cause = self.tracks[old].away.filter(|_| is_elsewhere).or(self.tracks[track].made);
                let (change, replayed) = cause.unwrap_or(by);
                self.push(old, to, SegmentRow { change, replayed, after: None, ..all[&to].clone() });
            }
        }
    }

    /// Adds a segment to a track, and what it means to it whether that stays.
    fn push(&mut self, track: usize, name: usize, row: SegmentRow) {
        let fate = (self.paths.fate)(&self.paths.parts[name], &row);
        let track = &mut self.tracks[track];
        let cause = (fate != Fate::Stays).then_some((row.change, row.replayed));
        // A replay shows what stays, and adds nothing to it; where it goes, so does what it showed.
        if !row.replayed || fate == Fate::Goes {
            if row.before.is_none() {
                track.made = cause;
            }
            if name != track.at {
                track.away = cause;
                track.without = if fate == Fate::Stays { name } else { track.without };
            }
        }
        track.rows.push((name, row));
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
        History::of(TreePath::from_bytes(path.as_bytes()).unwrap(), chain)
    }

    /// The tracks, each as the points of its segments with the names behind them; one that gave way in brackets. Recoveries have
    /// points from 10 on, and are said to have brought what they did.
    fn told(parts: &[History], moves: &[(i64, usize, usize)], goes: &[i64], brought: &[(i64, Brought)]) -> Vec<String> {
        let mut pairs = Pairs::new();
        for (point, from, to) in moves {
            pairs.entry((ChangeSeq(*point), PointSeq(*point))).or_default().insert((*from, *to));
        }
        let brought = brought.iter().map(|(change, brought)| (ChangeSeq(*change), brought.clone())).collect();
        let fate = |_: &History, row: &SegmentRow| match goes.contains(&row.change.0) {
            true => Fate::Goes,
            false => Fate::Stays,
        };
        let whose = |change: ChangeSeq| (change.0 < 10).then_some(if change.0 % 2 == 0 { "even" } else { "odd" });
        let paths = Paths { parts, pairs: &pairs, brought: &brought, whose: &whose, fate: &fate };
        let one = |track: Track| {
            let rows = track.rows.iter().map(|(name, row)| {
                let gone = if row.after.is_none() { "-" } else { "" };
                let by = if row.change.0 == row.point.0 { String::new() } else { format!(" by {}", row.change.0) };
                format!("{}{gone}{}{by}", row.point.0, parts[*name].path)
            });
            let rows = rows.collect::<Vec<_>>().join(" ");
            if track.is_there { rows } else { format!("({rows}) {}", parts[track.at].path) }
        };
        paths.tracks().into_iter().map(one).collect()
    }

    #[test]
    fn a_recovery_and_its_undo_bring_a_file_to_and_fro() {
        let f = part("f", &[(1, "x", "y"), (2, "y", ""), (10, "", "y"), (11, "y", "")]);
        let g = part("g", &[(2, "", "y"), (10, "y", ""), (11, "", "y"), (12, "y", "x")]);
        let back = |name: usize, point: i64| Brought::Some(BTreeMap::from([(name, PointSeq(point))]));
        let brought = [(10, back(0, 1)), (11, back(1, 2))];
        assert_eq!(told(&[f, g], &[(2, 0, 1)], &[], &brought), ["1f 2g 10f 11g 12g"]);
    }

    #[test]
    fn a_restore_brings_all_to_where_they_were_and_its_undo_to_where_they_were_before_it() {
        let parts = || {
            let f = part("f", &[(2, "x", "y"), (10, "y", "x"), (11, "x", "y")]);
            [f, part("g", &[(2, "y", "x"), (3, "x", "z"), (10, "z", "y"), (11, "y", "z")])]
        };
        let brought = [(10, Brought::Behind(PointSeq(1))), (11, Brought::Before(ChangeSeq(10)))];
        assert_eq!(told(&parts(), &[(2, 0, 1), (2, 1, 0)], &[], &brought), ["2g 3g 10f 11g", "2f 10g 11f"]);
    }

    #[test]
    fn what_is_brought_again_beside_a_file_that_stays_is_another_one() {
        let parts = || [part("f", &[(2, "x", ""), (10, "", "x")]), part("g", &[(2, "", "x")])];
        let brought = [(10, Brought::Behind(PointSeq(1)))];
        assert_eq!(told(&parts(), &[(2, 0, 1)], &[], &brought), ["2g", "10f"]);
    }

    #[test]
    fn a_file_may_move_away_and_come_back() {
        let f = part("f", &[(1, "x", "y"), (2, "y", ""), (3, "", "y")]);
        let g = part("g", &[(2, "", "y"), (3, "y", "")]);
        assert_eq!(told(&[f, g], &[(2, 0, 1), (3, 1, 0)], &[], &[]), ["1f 2g 3f"]);
    }

    #[test]
    fn what_comes_anew_where_a_file_was_is_another_one() {
        let parts = || [part("f", &[(1, "x", "y"), (2, "y", ""), (3, "", "z")]), part("g", &[(2, "", "y")])];
        assert_eq!(told(&parts(), &[(2, 0, 1)], &[], &[]), ["1f 2g", "3f"]);
        assert_eq!(told(&parts(), &[(2, 0, 1)], &[2], &[]), ["1f 2g", "3f"]);
    }

    #[test]
    fn files_change_places() {
        let parts = || [part("f", &[(1, "w", "x"), (2, "x", "y")]), part("g", &[(2, "y", "x"), (3, "x", "z")])];
        assert_eq!(told(&parts(), &[(2, 0, 1), (2, 1, 0)], &[], &[]), ["1f 2g 3g", "2f"]);
    }

    #[test]
    fn a_file_gives_way_to_another_one() {
        let parts = || [part("f", &[(2, "y", "")]), part("g", &[(1, "v", "x"), (2, "x", "y")])];
        assert_eq!(told(&parts(), &[(2, 0, 1)], &[], &[]), ["2g", "(1g 2-g) g"]);
    }

    #[test]
    fn a_file_that_would_not_be_there_does_not_give_way() {
        let f = || part("f", &[(1, "x", "")]);
        let h = || part("h", &[(1, "", "x"), (2, "x", "y")]);
        let parts = || [f(), h(), part("g", &[(2, "y", "")])];
        let moves = [(1, 0, 1), (2, 2, 1)];
        assert_eq!(told(&parts(), &moves, &[], &[]), ["(1h 2-h) h", "2h"]);
        assert_eq!(told(&parts(), &moves, &[1], &[]), ["(1h 2-h by 1) f", "2h"], "without its move it is elsewhere");
        // Nor one that gives way to what would not be there.
        let parts = || [part("f", &[(1, "", "x"), (2, "x", "")]), part("g", &[(2, "y", "x")])];
        assert_eq!(told(&parts(), &[(2, 0, 1)], &[], &[]), ["1f 2g", "(2-g) g"]);
        assert_eq!(told(&parts(), &[(2, 0, 1)], &[1], &[]), ["1f 2g", "(2-g by 1) g"]);
    }

    #[test]
    fn a_file_that_its_maker_puts_over_another_one_is_how_that_was_written() {
        let parts = || [part("t", &[(2, "", "x"), (4, "x", "")]), part("g", &[(1, "u", "v"), (4, "v", "x")])];
        assert_eq!(told(&parts(), &[(4, 0, 1)], &[], &[]), ["2t 4-t", "1g 4g"]);
        let parts = [part("t", &[(1, "", "x"), (4, "x", "")]), part("g", &[(2, "u", "v"), (4, "v", "x")])];
        assert_eq!(told(&parts, &[(4, 0, 1)], &[], &[]), ["1t 4g", "(2g 4-g) g"], "of somebody else");
    }
}
