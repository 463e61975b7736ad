//! The lines of a path's versions, and which change brought which.
//!
//! Owns that each version is read once, and that lines are kept by a keyed hash. Refuses to judge what they mean.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use wfr_capture::slice::is_same;
use wfr_catalog::{ChangeSeq, PathChain};
use wfr_model::entry::Node;
use wfr_recovery::merge::{BYTES_MAX, is_binary};
use wfr_recovery::replay::{Version, from_store};
use wfr_store::{Objects, ReadError};

/// Lines that say something, without the spaces around them; `None` of what is no text, or too large.
pub type Lines = Option<Rc<HashSet<u64>>>;

/// At most so many bytes of versions are looked through for lines.
const TOGETHER_MAX: u64 = 128 << 20;

/// The lines of a path's versions.
pub struct LineSets<'l> {
    objects: &'l dyn Objects,
    versions: &'l [Version],
    /// Whose the versions are, the first one left out.
    changes: Vec<ChangeSeq>,
    are_too_large: bool,
    hasher: RandomState,
    read: RefCell<Vec<Option<Lines>>>,
    news: RefCell<News>,
}

/// What each version has that none before it had, as far as that was asked for.
#[derive(Default)]
struct News {
    seen: HashSet<u64>,
    /// By version; the first one brings nothing.
    of: Vec<HashSet<u64>>,
    /// Whether a version is no text: of those behind it nothing is known.
    has_ended: bool,
}

impl<'l> LineSets<'l> {
    /// Those of a chain's versions; nothing is read yet.
    pub fn of(objects: &'l dyn Objects, chain: &PathChain, versions: &'l [Version]) -> Self {
        let size = |version: &Version| match version.as_ref().map(|entry| &entry.node) {
            Some(Node::File(content)) => content.size,
            _ => 0,
        };
        Self {
            objects,
            versions,
            changes: chain.segments.iter().map(|one| one.change).collect(),
            are_too_large: versions.iter().map(size).sum::<u64>() > TOGETHER_MAX,
            hasher: RandomState::new(),
            read: RefCell::new(vec![None; versions.len()]),
            news: RefCell::new(News::default()),
        }
    }

    /// The lines of version `number`.
    ///
    /// Errors: what reading it says.
    pub fn at(&self, number: usize) -> Result<Lines, ReadError> {
        if let Some(known) = &self.read.borrow()[number] {
            return Ok(known.clone());
        }
        let lines = self.of_version(&self.versions[number])?;
        self.read.borrow_mut()[number] = Some(lines.clone());
        Ok(lines)
    }

    /// The lines of a version; none where nothing was there.
    ///
    /// Errors: what reading it says.
    pub fn of_version(&self, version: &Version) -> Result<Lines, ReadError> {
        let Some(entry) = version else { return Ok(Some(Rc::default())) };
        let Node::File(content) = &entry.node else { return Ok(None) };
        if content.size > BYTES_MAX {
            return Ok(None);
        }
        let text = from_store(self.objects)(content)?;
        if is_binary(&text) {
            return Ok(None);
        }
        let says_something = |line: &&[u8]| line.iter().any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(says_something);
        Ok(Some(Rc::new(lines.map(|line| self.hasher.hash_one(line)).collect())))
    }

    /// The lines that a change brought, and that no version before had; `None` where one of them is no text, or they are too
    /// large together.
    ///
    /// Errors: what reading a version says.
    pub fn brought(&self, change: ChangeSeq) -> Result<Option<HashSet<u64>>, ReadError> {
        let Some(last) = self.changes.iter().rposition(|one| *one == change) else { return Ok(None) };
        if self.are_too_large || !self.look_at_news(last + 1)? {
            return Ok(None);
        }
        let news = self.news.borrow();
        let own = self.own(change).flat_map(|at| &news.of[at + 1]);
        Ok(Some(own.copied().collect()))
    }

    /// Whether what a change did is in something that was there: any line that it brought, or, where it brought none, that all
    /// lines are gone that it took away, or that it is what the change left. `None` where that cannot be told. `now` gives the
    /// lines of what was `left`.
    ///
    /// Errors: what reading a version says.
    pub fn is_in(
        &self,
        change: ChangeSeq,
        left: &Version,
        now: impl FnOnce() -> Result<Lines, ReadError>,
    ) -> Result<Option<bool>, ReadError> {
        let is_left = || self.own(change).any(|at| is_same(self.versions[at + 1].as_ref(), left.as_ref()));
        let Some(brought) = self.brought(change)? else { return Ok(Some(is_left())) };
        let Some(now) = now()? else { return Ok(Some(is_left())) };
        if !brought.is_empty() {
            return Ok(Some(!brought.is_disjoint(&now)));
        }
        let mut taken = HashSet::new();
        for at in self.own(change) {
            let (before, after) = (self.at(at)?.unwrap_or_default(), self.at(at + 1)?.unwrap_or_default());
            taken.extend(before.difference(&after).copied());
        }
        Ok(Some(if taken.is_empty() { is_left() } else { taken.is_disjoint(&now) }))
    }

    /// The edits of a change, by number from 0.
    fn own(&self, change: ChangeSeq) -> impl Iterator<Item = usize> {
        let own = self.changes.iter().enumerate();
        own.filter(move |(_, one)| **one == change).map(|(at, _)| at)
    }

    /// Looks at what versions bring up to one of them; whether all of these are text.
    fn look_at_news(&self, number: usize) -> Result<bool, ReadError> {
        let mut news = self.news.borrow_mut();
        while news.of.len() <= number && !news.has_ended {
            let at = news.of.len();
            let Some(lines) = self.at(at)? else {
                news.has_ended = true;
                break;
            };
            let new: HashSet<u64> = lines.difference(&news.seen).copied().collect();
            news.seen.extend(&new);
            news.of.push(new);
        }
        Ok(news.of.len() > number)
    }
}
