//! `blame`: who wrote which line of a file.
//!
//! Owns whose a line is that a recovery put back: whoever wrote it first; and which no look has found yet. Refuses to know why it
//! was put back, and which file is which: moves are followed as rollbacks follow them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use wfr_catalog::{ChangeRow, ChangeSeq, PathChain};
use wfr_model::change::{Actor, Change};
use wfr_model::entry::{Entry, Node};
use wfr_model::{Digest, TreePath};
use wfr_store::{Store, disk};

use super::changes::{never_seen, text_of};
use super::needed;
use super::put_back::{Edited, PutBack};
use crate::error::{Code, Failure};
use crate::ledger::{self, Veil};
use crate::open::Open;
use crate::params::Blame;
use crate::recovery::telling::name_of;
use crate::recovery::{UNRECORDED, followed};
use crate::response::Success;
use crate::results::{Blamed, BlamedLines};
use crate::session::Session;
use crate::{scanning, textdiff};

/// With which change each line of a text came; `None`: it was there before the ledger.
type Origins = Vec<Option<ChangeSeq>>;

/// Shows who wrote which line of a file.
pub fn blame(session: &mut Session, parameters: Blame) -> Result<Success<Blamed>, Failure> {
    let open = session.open()?;
    let path = needed(parameters.path, "path")?;
    refuse_directory(&open, &path)?;
    let veil = Veil::of(&open)?;
    let Some(chain) = open.catalog.chain_at(&veil.path(&path)?.key)? else {
        return untouched(&open, path);
    };
    let chain = followed(&open, &veil, chain)?.chain;
    let mut rows: BTreeMap<ChangeSeq, ChangeRow> = BTreeMap::new();
    for seq in chain.segments.iter().map(|segment| segment.change).collect::<BTreeSet<_>>() {
        rows.extend(open.catalog.change_at(seq)?.map(|row| (seq, row)));
    }
    let store = open.store()?;
    let entries = entries(&open, &chain)?;
    let last = entries.last().and_then(Option::as_ref);
    if last.is_some_and(|entry| matches!(entry.node, Node::Dir(_))) {
        return Err(no_lines(&path));
    }
    let now = Now::of(&open, &path)?;
    if now == Now::Gone {
        let by = chain.segments.last().filter(|_| last.is_none()).and_then(|one| rows.get(&one.change));
        return Err(removed(&path, by));
    }
    let text = text_of(&store, last)?.ok_or_else(|| no_text(&path, size(last)))?;
    let is_recovery = |seq: &ChangeSeq| rows.get(seq).is_some_and(|row| row.change.actor == Actor::Recovery);
    let last_recovery = chain.segments.iter().rposition(|one| is_recovery(&one.change)).map_or(0, |at| at + 1);
    let mut history = History {
        store: &store,
        entries: &entries,
        known: vec![],
        last: None,
        recovered: None,
        is_recovery: false,
        put_back: PutBack::default(),
    };
    for (number, change) in std::iter::once(None).chain(chain.segments.iter().map(|one| Some(one.change))).enumerate() {
        let row = change.as_ref().and_then(|change| rows.get(change));
        history.enter(number, change, row.map(|row| &row.change))?;
        if number > last_recovery {
            // Nobody comes back to it.
            history.known[number - 1] = vec![];
        }
    }
    let origins = history.known.pop().unwrap_or_default();
    Ok(told(path, (text, origins), now, &rows))
}

/// Lines with whose they are, after what was edited since the last look.
fn told(
    path: TreePath,
    (text, origins): (String, Origins),
    now: Now,
    rows: &BTreeMap<ChangeSeq, ChangeRow>,
) -> Success<Blamed> {
    match now {
        Now::Text(now) if now != text => {
            let origins = textdiff::carried(&text, &now, &origins, Some(UNRECORDED));
            let step = format!(
                "`{path}` was edited since the last look: whose that is, the next `wfr change end` or checkpoint records"
            );
            Success::new(Blamed { path, lines: blocks(&now, &origins, rows) }).with_next_step(step)
        }
        Now::Unreadable => {
            let step = format!("`{path}` cannot be read now: its lines are shown as the last look found them");
            Success::new(Blamed { path, lines: blocks(&text, &origins, rows) }).with_next_step(step)
        }
        Now::Text(_) | Now::Gone => Success::new(Blamed { path, lines: blocks(&text, &origins, rows) }),
    }
}

/// A file as it is now.
#[derive(PartialEq, Eq)]
enum Now {
    Text(String),
    Gone,
    Unreadable,
}

impl Now {
    /// Refuses what is no text.
    fn of(open: &Open, path: &TreePath) -> Result<Self, Failure> {
        let Ok(root) = disk::open_dir(open.root()) else { return Ok(Self::Unreadable) };
        let place = Path::new(OsStr::from_bytes(path.as_bytes()));
        let found = disk::open_beneath(&root, place, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty());
        if let Err(error) = &found {
            let is_gone = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
            return Ok(if is_gone { Self::Gone } else { Self::Unreadable });
        }
        match scanning::read_file(open, path, textdiff::BYTES_MAX) {
            Ok(Some(bytes)) => {
                let text = textdiff::as_text(bytes);
                text.map(Self::Text).ok_or_else(|| no_text(path, None))
            }
            Ok(None) => Err(no_text(path, found.ok().and_then(|file| size_of(&file)))),
            Err(_) => Ok(Self::Unreadable),
        }
    }
}

/// There is no file any more.
fn removed(path: &TreePath, by: Option<&ChangeRow>) -> Failure {
    let message = match by.map(|row| &row.change) {
        Some(change) => format!("`{path}` was removed by {} ({})", name_of(change), change.change_id),
        None => format!("`{path}` is not there any more: it was removed since the last look"),
    };
    Failure::new(Code::PathNotFound, message).with_hint(format!("`wfr log --path {path} --patch` shows what it held"))
}

/// A file of which no change is recorded: what the ledger began with was there before.
fn untouched(open: &Open, path: TreePath) -> Result<Success<Blamed>, Failure> {
    let store = open.store()?;
    let entry = ledger::untouched(open, &store, &path)?;
    if entry.as_ref().is_some_and(|entry| matches!(entry.node, Node::Dir(_))) {
        return Err(no_lines(&path));
    }
    let is_known = entry.is_some();
    if !is_known && !ledger::is_kept(open)? {
        return Err(never_seen(&path));
    }
    let now = match Now::of(open, &path)? {
        Now::Gone if is_known => return Err(removed(&path, None)),
        Now::Gone | Now::Unreadable if !is_known => return Err(never_seen(&path)),
        now => now,
    };
    let text = text_of(&store, entry.as_ref())?.ok_or_else(|| no_text(&path, size(entry.as_ref())))?;
    let origins = vec![None; text.split_inclusive('\n').count()];
    let step = format!("no change of `{path}` is recorded: all of it was there before the ledger began");
    let is_same = matches!(&now, Now::Text(now) if *now == text);
    let success = told(path, (text, origins), now, &BTreeMap::new());
    Ok(if is_same { success.with_next_step(step) } else { success })
}

/// The size of a regular file.
fn size_of(file: &impl AsFd) -> Option<u64> {
    let stat = rustix::fs::fstat(file).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then_some(stat.st_size as u64)
}

fn size(entry: Option<&Entry>) -> Option<u64> {
    match &entry?.node {
        Node::File(content) => Some(content.size),
        _ => None,
    }
}

/// What is too large, or no text.
fn no_text(path: &TreePath, size: Option<u64>) -> Failure {
    let message = match size.filter(|size| *size > textdiff::BYTES_MAX) {
        Some(size) => {
            let max = textdiff::BYTES_MAX;
            format!("`{path}` is too large to be shown by lines: it has {size} bytes, and {max} is the most")
        }
        None => format!("`{path}` is no text file that can be shown by lines"),
    };
    Failure::new(Code::InvalidParameter, message).with_hint(format!("`wfr log --path {path}` shows who changed it"))
}

/// What stood at the path at each time, before the first change first.
fn entries(open: &Open, chain: &PathChain) -> Result<Vec<Option<Entry>>, Failure> {
    let veil = Veil::of(open)?;
    let first = chain.segments.first().and_then(|one| one.before.as_deref());
    let all = std::iter::once(first).chain(chain.segments.iter().map(|segment| segment.after.as_deref()));
    all.map(|kept| ledger::entry_of(&veil, kept)).collect()
}

/// The versions of a path, and whose their lines are.
struct History<'h> {
    store: &'h Store,
    entries: &'h [Option<Entry>],
    /// Of the versions that were entered.
    known: Vec<Origins>,
    /// The text of the last one, where it was read.
    last: Option<String>,
    /// The last version that a recovery left, before the one that is entered.
    recovered: Option<usize>,
    /// Whether a recovery left the last one.
    is_recovery: bool,
    put_back: PutBack,
}

impl History<'_> {
    /// A version as text; what is no text is as if nothing were there.
    fn text(&self, number: usize) -> Result<String, Failure> {
        Ok(text_of(self.store, self.entries[number].as_ref())?.unwrap_or_default())
    }

    fn content(&self, number: usize) -> Option<Digest> {
        match &self.entries[number].as_ref()?.node {
            Node::File(content) => Some(content.hash),
            _ => None,
        }
    }

    /// Finds out whose the lines of the next version are.
    fn enter(&mut self, number: usize, change: Option<ChangeSeq>, by: Option<&Change>) -> Result<(), Failure> {
        let is_recovery = by.is_some_and(|by| by.actor == Actor::Recovery);
        self.recovered = self.recovered.max(number.checked_sub(1).filter(|_| self.is_recovery));
        self.is_recovery = is_recovery;
        let same = |other: &usize| self.content(number).is_some() && self.content(*other) == self.content(number);
        // So does whoever checks out what a recovery had taken away.
        let is_external = by.is_some_and(|by| matches!(by.actor, Actor::User | Actor::Unknown));
        let recovered = self.recovered;
        let is_back = |same: &usize| is_recovery || is_external && recovered.is_some_and(|last| last > *same);
        if let Some(same) = (0..number).rev().find(same).filter(is_back) {
            // It was put back as it was.
            self.known.push(self.known[same].clone());
            self.last = None;
            return Ok(());
        }
        let text = self.text(number)?;
        let last = match (number.checked_sub(1), self.last.take()) {
            (Some(_), Some(last)) => last,
            (Some(before), None) => self.text(before)?,
            (None, _) => String::new(),
        };
        let known = number.checked_sub(1).map_or(&[][..], |before| &self.known[before]);
        let sources = textdiff::sources(&last, &text);
        let from = |at: &Option<usize>| at.and_then(|at| known.get(at)).copied().unwrap_or(change);
        let mut origins: Origins = sources.iter().map(from).collect();
        if is_recovery {
            self.trace(number - 1, (&text, change), &mut origins)?;
        } else if let Some(by) = by {
            let who = format!("{} in {:?}", name_of(by), by.author.workflow_id);
            let edited = Edited { by: &who, before: (&last, known), after: &text, sources: &sources };
            self.put_back.step(&edited, &mut origins);
        }
        self.known.push(origins);
        self.last = Some(text);
        Ok(())
    }

    /// Lines that a recovery merged in are of the newest version that had them at this place.
    fn trace(
        &self,
        before: usize,
        (text, recovery): (&str, Option<ChangeSeq>),
        origins: &mut Origins,
    ) -> Result<(), Failure> {
        let mut seen: BTreeSet<Digest> = self.content(before).into_iter().collect();
        for number in (0..before).rev() {
            if !origins.contains(&recovery) {
                break;
            }
            if self.content(number).is_none_or(|content| !seen.insert(content)) {
                continue;
            }
            let older = textdiff::carried(&self.text(number)?, text, &self.known[number], recovery);
            origins.iter_mut().zip(older).filter(|(now, _)| **now == recovery).for_each(|(now, then)| *now = then);
        }
        Ok(())
    }
}

/// Lines by whose they are.
fn blocks(text: &str, origins: &Origins, rows: &BTreeMap<ChangeSeq, ChangeRow>) -> Vec<BlamedLines> {
    let mut blocks: Vec<BlamedLines> = Vec::new();
    let mut last = None;
    for (number, (line, change)) in text.split_inclusive('\n').zip(origins).enumerate() {
        if last == Some(change)
            && let Some(block) = blocks.last_mut()
        {
            block.lines.push(line.to_owned());
            continue;
        }
        last = Some(change);
        let row = change.and_then(|change| rows.get(&change)).map(|row| &row.change);
        blocks.push(BlamedLines {
            first_line: number as u64 + 1,
            lines: vec![line.to_owned()],
            recorded: *change != Some(UNRECORDED),
            change_id: row.map(|change| change.change_id.clone()),
            actor: row.map(|change| change.actor),
            author: row.map(|change| change.author.clone()).unwrap_or_default(),
            candidates: row.map(|change| change.candidates.clone()).unwrap_or_default(),
            at: row.and_then(|change| change.ended_at),
        });
    }
    blocks
}

/// Refuses what is a directory now.
fn refuse_directory(open: &Open, path: &TreePath) -> Result<(), Failure> {
    if path.is_root() {
        return Err(no_lines(path));
    }
    let Ok(root) = disk::open_dir(open.root()) else { return Ok(()) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    match disk::open_beneath(&root, Path::new(OsStr::from_bytes(path.as_bytes())), flags, Mode::empty()) {
        Ok(_) => Err(no_lines(path)),
        Err(_) => Ok(()),
    }
}

fn no_lines(path: &TreePath) -> Failure {
    let shown = if path.is_root() { ".".to_owned() } else { path.to_string() };
    Failure::new(Code::InvalidParameter, format!("`{shown}` is a directory, which has no lines"))
        .with_hint(format!("`wfr log --path {shown}` shows who changed what in it"))
}
