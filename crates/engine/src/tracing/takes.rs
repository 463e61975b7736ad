//! How a path went from one traced command to another between two looks.
//!
//! Owns what a supervisor notes when its command comes to a path that another one wrote last, and the order that follows from the
//! notes of all. Refuses to take an order for known that has a gap.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::Errno;
use wfr_catalog::PointSeq;
use wfr_model::TreePath;
use wfr_store::crypto::Cipher;
use wfr_store::lease;
use wfr_store::object::hash;
use wfr_trace::notes::{self, Notes};
use wfr_trace::writers;

use super::before::{Before, as_it_is, changed_since, open_file};
use super::{LOOKED, Seen, dir};
use crate::ledger::Wanted;
use crate::open::Open;

/// The file of the table that all supervisors share.
const TABLE: &str = "writers";

/// A command came to a path that another one wrote last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Take {
    /// How often the path had changed hands by then.
    pub times: u64,
    /// Who wrote it last: the number of a writer.
    pub from: u32,
    /// What stood there.
    pub state: State,
}

/// What stood at a path that changed hands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// A file which nobody had open for writing.
    File(Before),
    /// Nothing.
    Absent,
    /// What stood there when the change began that came to it.
    Same,
    /// Something that the other one may still change, or that cannot be saved: both are mixed from here on.
    Mixed,
}

impl State {
    /// What stands at a path that another writer wrote last, whose calls are done. At most `room` bytes of it.
    pub(super) fn at(top: impl AsFd, path: &TreePath, since: i64, room: u64) -> Self {
        let top = top.as_fd();
        let place = Path::new(OsStr::from_bytes(path.as_bytes()));
        let found = match statx(top, place, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return Self::Absent,
            Err(_) => return Self::Mixed,
        };
        let Ok(file) = open_file(top, place) else { return Self::Mixed };
        if found.stx_nlink > 1 || lease::has_writer(&file) != Some(false) {
            return Self::Mixed;
        }
        let changed =
            found.stx_ctime.tv_sec.saturating_mul(1_000_000_000).saturating_add(found.stx_ctime.tv_nsec.into());
        let state = if changed < since {
            Self::Same
        } else {
            let Some(before) = changed_since(top, place, &found, since, room).filter(Before::is_whole) else {
                return Self::Mixed;
            };
            Self::File(before)
        };
        // Nobody came in between.
        if lease::has_writer(&file) == Some(false) && as_it_is(top, place, &found) { state } else { Self::Mixed }
    }

    /// Bytes of it that are saved.
    pub(super) fn saved(&self) -> u64 {
        if let Self::File(before) = self { before.saved() } else { 0 }
    }
}

const FILE: u8 = 0;
const ABSENT: u8 = 1;
const SAME: u8 = 2;

impl Take {
    /// As the notes keep it: how often, from whom, what stood there, and the path, with the file where there was one.
    pub(super) fn encode(&self, path: &[u8]) -> Vec<u8> {
        let (state, rest) = match &self.state {
            State::File(before) => (FILE, before.encode(path)),
            State::Absent => (ABSENT, path.to_vec()),
            State::Same => (SAME, path.to_vec()),
            State::Mixed => (u8::MAX, path.to_vec()),
        };
        [&self.times.to_le_bytes()[..], &self.from.to_le_bytes(), &[state], &rest].concat()
    }

    /// What the notes keep, and where; `None` where it is none.
    pub(super) fn decode(kept: &[u8]) -> Option<(TreePath, Self)> {
        let (times, rest) = kept.split_first_chunk()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (state, rest) = rest.split_first()?;
        let (path, state) = match *state {
            FILE => Before::decode(rest).map(|(path, before)| (path, State::File(before)))?,
            ABSENT => (TreePath::from_bytes(rest).ok()?, State::Absent),
            SAME => (TreePath::from_bytes(rest).ok()?, State::Same),
            _ => (TreePath::from_bytes(rest).ok()?, State::Mixed),
        };
        Some((path, Self { times: u64::from_le_bytes(*times), from: u32::from_le_bytes(*from), state }))
    }
}

/// The number of a path in the table; the key is the same for all of a workspace.
pub(super) fn number_of(key: &[u8], path: &[u8]) -> u64 {
    let hash = hash(&[key, path].concat());
    let number = u64::from_le_bytes(*hash.0.first_chunk().expect("a hash has 32 bytes"));
    // 0 is nothing.
    number | 1
}

/// What the numbers of paths are made with: nobody who has no key can tell paths by them.
pub fn key_of(cipher: Option<&Cipher>) -> Vec<u8> {
    cipher
        .map(|cipher| cipher.disk_id(&hash(b"numbers of paths in the table of writers")).0.to_vec())
        .unwrap_or_default()
}

/// Where the table is, and a number in it for a new change. Nobody else may begin one meanwhile. Where it cannot be had, paths that the
/// change and another one write are shared.
pub(super) fn enrol(open: &Open) -> (PathBuf, u32) {
    let place = dir(open).join(TABLE);
    if notes_in(&dir(open)).is_ok_and(|notes| notes.is_empty()) {
        // Of changes that nobody asks for any more.
        let _ = fs::remove_file(&place);
    }
    let writer = writers::enrol(&place).unwrap_or(0);
    (place, writer)
}

/// Removes the table where nobody is left who needs it. Nobody may begin a change meanwhile.
pub fn clear(open: &Open) {
    if notes_in(&dir(open)).is_ok_and(|notes| notes.is_empty()) {
        // Where it fails nothing is lost: whoever comes next does it.
        let _ = fs::remove_file(dir(open).join(TABLE));
    }
}

fn notes_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let all = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    Ok(all.into_iter().filter(|path| path.extension().is_some_and(|end| end == "notes")).collect())
}

/// How much of all notes there was before a look.
pub struct Marks(Vec<(PathBuf, u64)>);

/// What is noted by now: it is asked before a look.
pub fn marks(open: &Open) -> Marks {
    let length = |path: PathBuf| fs::metadata(&path).map_or(0, |meta| meta.len());
    let notes = notes_in(&dir(open)).unwrap_or_default();
    Marks(notes.into_iter().map(|path| (path.clone(), length(path))).collect())
}

/// Says in all notes which look there was, at what, that what was noted before it is in the ledger, and that nobody knows of what was noted
/// while it went on. Where it cannot be said, no order is taken for known.
pub fn looked(open: &Open, marks: &Marks, point: PointSeq, at: Option<&Wanted>) {
    let at = at.map(|wanted| At::of(&key_of(open.cipher().map(AsRef::as_ref)), wanted));
    for path in notes_in(&dir(open)).unwrap_or_default() {
        let before = marks.0.iter().find(|(marked, _)| *marked == path).map_or(0, |(_, length)| *length);
        let Ok(after) = fs::metadata(&path).map(|meta| meta.len()) else { continue };
        let mut what = [point.0.to_le_bytes(), before.to_le_bytes(), after.to_le_bytes()].concat();
        at.iter().for_each(|at| at.encode(&mut what));
        // A file that was removed meanwhile is not made again.
        let notes = fs::OpenOptions::new().append(true).open(&path);
        let _ = notes.and_then(|file| Notes::from(file).add(LOOKED, &what));
    }
}

/// A look that notes know of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Looked {
    /// Which.
    pub point: PointSeq,
    /// Bytes of the notes that there were before and after it.
    pub before: u64,
    /// See above.
    pub after: u64,
    /// What it looked at; `None`: everything.
    pub at: Option<At>,
}

/// What a look looked at, by the numbers of paths.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct At {
    /// Whether it looked at more than what follows: nobody knows what.
    is_vague: bool,
    paths: Vec<u64>,
    /// These with all that is below them.
    below: Vec<u64>,
}

/// So many paths are named in the note of a look: of one at more of them nobody knows which it looked at.
const NAMED_MAX: usize = 4_096;

impl At {
    fn of(key: &[u8], wanted: &Wanted) -> Self {
        let numbers = |paths: &mut dyn Iterator<Item = &TreePath>| {
            paths.take(NAMED_MAX).map(|path| number_of(key, path.as_bytes())).collect::<Vec<u64>>()
        };
        let (paths, below) = (numbers(&mut wanted.paths()), numbers(&mut wanted.subtrees()));
        Self { is_vague: paths.len().max(below.len()) >= NAMED_MAX, paths, below }
    }

    fn encode(&self, what: &mut Vec<u8>) {
        what.push(u8::from(self.is_vague));
        what.extend((self.paths.len() as u32).to_le_bytes());
        what.extend(self.paths.iter().chain(&self.below).flat_map(|number| number.to_le_bytes()));
    }

    fn decode(what: &[u8]) -> Option<Self> {
        let (is_vague, rest) = what.split_first()?;
        let (count, rest) = rest.split_first_chunk()?;
        let mut paths: Vec<u64> =
            rest.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes"))).collect();
        let below = paths.split_off((u32::from_le_bytes(*count) as usize).min(paths.len()));
        Some(Self { is_vague: *is_vague != 0, paths, below })
    }

    /// Whether it looked at a path; `None` where nobody knows.
    fn has(&self, key: &[u8], path: &TreePath) -> Option<bool> {
        let mut above = Some(path.clone());
        let is_named = self.paths.contains(&number_of(key, path.as_bytes()));
        let mut has = is_named;
        while let Some(at) = above.filter(|at| !has && !self.below.is_empty() && !at.is_root()) {
            has = self.below.contains(&number_of(key, at.as_bytes()));
            above = at.parent();
        }
        (has || !self.is_vague).then_some(has)
    }
}

impl Looked {
    pub(super) fn decode(what: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(*what.get(at..)?.first_chunk()?));
        let at = what.get(24..).filter(|rest| !rest.is_empty());
        let at = match at {
            Some(rest) => Some(At::decode(rest)?),
            None => None,
        };
        Some(Self { point: PointSeq(number(0)?.cast_signed()), before: number(8)?, after: number(16)?, at })
    }

    /// Bytes of notes before and after the last of some looks at a path; `None` where nobody knows, or another look came than the last
    /// that the notes know of.
    fn last(looks: &[Self], key: &[u8], path: &TreePath, since: Option<PointSeq>) -> Option<(u64, u64)> {
        looks.last().filter(|last| Some(last.point) == since)?;
        for look in looks.iter().rev() {
            if look.at.as_ref().map_or(Some(true), |at| at.has(key, path))? {
                return Some((look.before, look.after));
            }
        }
        Some((0, 0))
    }
}

/// Bytes of the notes before each.
pub(super) fn offsets(bytes: &[u8]) -> impl Iterator<Item = (u64, u8, &[u8])> {
    let mut at = 0;
    notes::read(bytes).map(move |(mark, what)| {
        let offset = at;
        at += (notes::HEAD + what.len()) as u64;
        (offset, mark, what)
    })
}

/// How a path went around between the last look and this one: who had it first, by the number of a writer, and who took it then, with what
/// stood there. `None` where that is not known.
pub fn chain<'s>(
    open: &[Option<&'s Seen>],
    key: &[u8],
    path: &TreePath,
    since: Option<PointSeq>,
) -> Option<(u32, Vec<(u32, &'s State)>)> {
    let mut taken = Vec::new();
    let mut earlier: Option<(u64, u32)> = None;
    for seen in open.iter().copied().flatten() {
        let takes = seen.takes.get(path).map_or(&[][..], Vec::as_slice);
        if takes.is_empty() {
            continue;
        }
        let (before, after) = Looked::last(&seen.looks, key, path, since)?;
        for (offset, take) in takes {
            match *offset {
                offset if offset >= after => taken.push((take.times, take.from, seen.writer, &take.state)),
                offset if offset >= before => return None,
                _ => earlier = earlier.max(Some((take.times, seen.writer))),
            }
        }
    }
    taken.sort_by_key(|(times, ..)| *times);
    let is_whole = taken.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1 && pair[1].1 == pair[0].2);
    let first = match (taken.first(), earlier) {
        (Some((times, ..)), Some((before, _))) if before >= *times => return None,
        (Some((_, from, ..)), _) => *from,
        (None, earlier) => earlier?.1,
    };
    is_whole.then(|| (first, taken.into_iter().map(|(_, _, by, state)| (by, state)).collect()))
}

/// The table as a supervisor has it.
pub(super) fn table(place: &Path) -> Option<writers::Writers> {
    writers::Writers::open(place).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn seen(writer: u32, takes: &[(u64, u64, u32, State)]) -> Seen {
        let takes = takes
            .iter()
            .map(|(offset, times, from, state)| (*offset, Take { times: *times, from: *from, state: state.clone() }));
        let looked = Looked { point: PointSeq(3), before: 100, after: 200, at: None };
        Seen::of_takes(writer, vec![looked], BTreeMap::from([(path(), takes.collect())]))
    }

    fn path() -> TreePath {
        "a/b".parse().unwrap()
    }

    fn of<'s>(open: &[&'s Seen], point: i64) -> Option<(u32, Vec<(u32, &'s State)>)> {
        chain(&open.iter().map(|seen| Some(*seen)).collect::<Vec<_>>(), b"", &path(), Some(PointSeq(point)))
    }

    #[test]
    fn an_order_is_known_where_it_has_no_gap_and_no_look_in_between() {
        let absent = &State::Absent;
        let a = seen(1, &[(10, 3, 2, State::Absent), (310, 5, 2, State::Absent)]);
        let b = seen(2, &[(5, 2, 1, State::Absent), (300, 4, 1, State::Absent), (310, 6, 1, State::Absent)]);
        assert_eq!(of(&[&a, &b], 3), Some((1, vec![(2, absent), (1, absent), (2, absent)])));
        assert_eq!(of(&[&a, &b], 4), None, "another look came");
        assert_eq!(of(&[&b], 3), None, "a gap");
        let none = seen(3, &[]);
        assert_eq!(of(&[&none], 3), None);
        let earlier = seen(1, &[(10, 3, 2, State::Absent)]);
        assert_eq!(of(&[&earlier, &none], 3), Some((1, vec![])), "it has it still");
        let meanwhile = seen(1, &[(150, 3, 2, State::Absent)]);
        assert_eq!(of(&[&meanwhile], 3), None);
    }

    #[test]
    fn a_look_elsewhere_leaves_the_order_as_it_is_known() {
        let look = |point, before, after, at| Looked { point: PointSeq(point), before, after, at };
        let named = |path: &str| {
            let mut wanted = Wanted::default();
            wanted.path(path.parse().unwrap());
            Some(At::of(b"", &wanted))
        };
        let last = |looks: &[Looked]| Looked::last(looks, b"", &path(), Some(PointSeq(5)));
        let whole = look(4, 10, 20, None);
        assert_eq!(last(&[whole.clone(), look(5, 30, 40, named("a/c"))]), Some((10, 20)));
        assert_eq!(last(&[whole.clone(), look(5, 30, 40, named("a/b"))]), Some((30, 40)));
        assert_eq!(last(&[look(5, 30, 40, named("a"))]), Some((0, 0)), "what is below is not meant");
        let mut subtree = Wanted::default();
        subtree.below("a".parse().unwrap());
        assert_eq!(last(&[look(5, 30, 40, Some(At::of(b"", &subtree)))]), Some((30, 40)));
        let mut many = Wanted::default();
        (0..=NAMED_MAX).for_each(|number| many.path(format!("z/{number}").parse().unwrap()));
        assert_eq!(last(&[whole.clone(), look(5, 30, 40, Some(At::of(b"", &many)))]), None);
        assert_eq!(last(std::slice::from_ref(&whole)), None, "another look came");
        for look in [whole, look(5, 30, 40, named("a/c")), look(5, 30, 40, Some(At::of(b"", &subtree)))] {
            let mut what = [look.point.0.to_le_bytes(), look.before.to_le_bytes(), look.after.to_le_bytes()].concat();
            look.at.iter().for_each(|at| at.encode(&mut what));
            assert_eq!(Looked::decode(&what), Some(look));
        }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        for state in [State::Absent, State::Same, State::Mixed] {
            let take = Take { times: 7, from: 3, state };
            assert_eq!(Take::decode(&take.encode(b"a/b")), Some((path(), take)));
        }
        assert_eq!(Take::decode(b"short"), None);
        assert_ne!(number_of(b"", b"a"), number_of(b"key", b"a"));
    }
}
