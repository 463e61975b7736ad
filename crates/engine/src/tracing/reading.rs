//! What the notes of a change say, to whoever looks at the tree.
//!
//! Owns what is concluded from them, and from who is alive. Refuses to trust notes whose writer died: then the change may have
//! written anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use wfr_capture::attribute::Told;
use wfr_model::change::Evidence;
use wfr_model::{ChangeId, Timestamp, TreePath};
use wfr_store::crypto::{Cipher, MasterKey};
use wfr_trace::notes::{self, OVER, UNSEEN};
use zeroize::Zeroizing;

use super::before::Before;
use super::takes::{self, Looked, Take};
use super::{
    ASKS, BEFORE, BEGUN, DELEGATED, ENDED, KEY, LAUNCHER, LINKED, LOOKED, MOVED, TAKEN, UNPRIVILEGED, WITHIN, WRITER,
    WROTE, boot, place,
};
use crate::error::Failure;
use crate::ledger::{self, Wanted};
use crate::open::Open;

/// Paths that were about to be changed.
#[derive(Clone, Debug, Default)]
struct Paths {
    wrote: BTreeSet<TreePath>,
    moved: BTreeSet<TreePath>,
    /// Files of several names: device and inode.
    linked: BTreeSet<(u64, u64)>,
}

/// Paths, and which file each of them names: device and inode.
pub type Files<'p> = BTreeMap<&'p TreePath, (u64, u64)>;

/// What the notes of a change say.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What the command did.
    own: Paths,
    /// What others did that it left running.
    left: Paths,
    /// Since when something may not have been seen, and why.
    pub unseen: Option<(Timestamp, String)>,
    /// What others left at paths since the change began, before it wrote there.
    pub before: BTreeMap<TreePath, Before>,
    /// Its number among those that write; 0: it has none.
    pub writer: u32,
    /// Paths that it came to after another one wrote them, each with how much was noted before.
    pub takes: BTreeMap<TreePath, Vec<(u64, Take)>>,
    /// The last look that there was.
    pub looks: Vec<Looked>,
    /// Local sockets that it talked to.
    pub delegated: BTreeSet<String>,
    /// Programs that could not gain their privileges.
    pub unprivileged: BTreeSet<String>,
    /// Who started the command, by the number of its process.
    pub launcher: Option<u32>,
    /// Whether its supervisor lives.
    pub lives: bool,
    /// Whether nobody is left who was seen.
    pub is_over: bool,
    /// Whether whoever started the command is alive, and will end the change.
    pub is_held: bool,
}

/// What the notes of a change say; `None` where there are none. A look at the tree must have been made before: what it found was
/// noted before it was done.
pub fn seen(open: &Open, id: &ChangeId) -> Result<Option<Seen>, Failure> {
    let mut file = match OpenOptions::new().read(true).write(true).open(place(open, id)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Before the notes are read: who is dead afterwards adds nothing that would be missed.
    let lives = notes::are_held(&file)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let mut seen = Seen { is_held: is_held(&file)?, lives, ..Seen::default() };
    let (mut has_begun, mut has_ended) = (None, false);
    let (mut cipher, mut around) = (None, None);
    for (offset, mark, what) in takes::offsets(&bytes) {
        match mark {
            WRITER => seen.writer = what.try_into().map_or(0, u32::from_le_bytes),
            LOOKED => seen.looks.extend(Looked::decode(what)),
            TAKEN => seen.note_taken(offset, &opened(cipher.as_ref(), what)?),
            KEY => cipher = key_of(open, what)?,
            BEGUN => has_begun = Some(what == boot()),
            LAUNCHER => seen.launcher = what.try_into().ok().map(u32::from_le_bytes),
            WITHIN => around = std::str::from_utf8(what).ok().and_then(|outer| outer.parse::<ChangeId>().ok()),
            ENDED => has_ended = true,
            OVER => seen.is_over = true,
            UNSEEN => seen.note_unseen(what),
            ASKS => {}
            _ => seen.note(mark, &opened(cipher.as_ref(), what)?, has_ended),
        }
    }
    let is_silent = has_begun.is_some() && !lives && !seen.is_over;
    if is_silent && seen.unseen.is_none() {
        seen.unseen = Some((modified(&file)?, "its supervisor died".to_owned()));
    }
    // What the supervisor of both did not see may have been either's.
    let around = around.filter(|outer| outer != id).map(|outer| self::seen(open, &outer)).transpose()?.flatten();
    seen.unseen = seen.unseen.or_else(|| around?.unseen);
    // After the machine was started anew nobody of before is left.
    seen.is_over |= has_begun == Some(false);
    Ok(Some(seen))
}

/// Who is traced, as far as notes tell without a key.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Processes that asked: their numbers, and when they started in clock ticks since boot.
    pub processes: Vec<(u32, u64)>,
    /// Whether whoever started the command is alive.
    pub is_held: bool,
    /// Whether nobody is left who could ask.
    pub is_over: bool,
}

/// Who is traced for a change; `None` where there are no notes of it.
pub fn asked(open: &Open, id: &ChangeId) -> Result<Option<Asked>, Failure> {
    let mut file = match File::open(place(open, id)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let mut asked = Asked { is_held: is_held(&file)?, ..Asked::default() };
    for (mark, what) in notes::read(&bytes) {
        match mark {
            ASKS => asked.processes.extend(process(what)),
            OVER => asked.is_over = true,
            BEGUN => asked.is_over |= what != boot(),
            _ => {}
        }
    }
    if asked.is_over {
        asked.processes.clear();
    }
    Ok(Some(asked))
}

fn process(what: &[u8]) -> Option<(u32, u64)> {
    let (pid, start) = what.split_first_chunk()?;
    Some((u32::from_le_bytes(*pid), u64::from_le_bytes(start.try_into().ok()?)))
}

fn modified(file: &File) -> io::Result<Timestamp> {
    let meta = file.metadata()?;
    Ok(Timestamp(meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())))
}

fn is_held(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => flock(file, FlockOperation::Unlock).map(|()| false).map_err(Into::into),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn key_of(open: &Open, sealed: &[u8]) -> Result<Option<Cipher>, Failure> {
    open.unlock()?;
    let Some(cipher) = open.cipher() else { return Ok(None) };
    let bytes = ledger::unsealed(cipher, sealed).map_err(io::Error::other)?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| io::Error::other("a key in the notes is too short"))?;
    Ok(Some(Cipher::new(&MasterKey::from_bytes(Zeroizing::new(bytes)))))
}

fn opened(cipher: Option<&Cipher>, kept: &[u8]) -> io::Result<Vec<u8>> {
    cipher.map_or(Ok(kept.to_vec()), |cipher| ledger::unsealed(cipher, kept).map_err(io::Error::other))
}

impl Seen {
    /// Notes of nothing but who took which paths.
    #[cfg(test)]
    pub(super) fn of_takes(writer: u32, looks: Vec<Looked>, takes: BTreeMap<TreePath, Vec<(u64, Take)>>) -> Self {
        Self { writer, looks, takes, ..Self::default() }
    }

    fn note_unseen(&mut self, what: &[u8]) {
        if let Some((since, why)) = notes::unseen(what).filter(|_| self.unseen.is_none()) {
            self.unseen = Some((Timestamp(since), why.to_owned()));
        }
    }

    fn note_taken(&mut self, offset: u64, what: &[u8]) {
        if let Some((path, take)) = Take::decode(what) {
            self.takes.entry(path).or_default().push((offset, take));
        }
    }

    fn note(&mut self, mark: u8, what: &[u8], has_ended: bool) {
        let paths = if has_ended { &mut self.left } else { &mut self.own };
        let text = || String::from_utf8_lossy(what).into_owned();
        match mark {
            WROTE => paths.wrote.extend(TreePath::from_bytes(what)),
            MOVED => paths.moved.extend(TreePath::from_bytes(what)),
            LINKED => paths.linked.extend(identity(what)),
            BEFORE => self.before.extend(Before::decode(what)),
            DELEGATED => drop(self.delegated.insert(text())),
            UNPRIVILEGED => drop(self.unprivileged.insert(text())),
            // Of a later version.
            _ => {}
        }
    }

    /// What the change may have written. Of `files`, paths that changed, those are in it that name a file which was written by
    /// another name. With `is_left` the change is that of what the command left running.
    pub fn told(&self, files: &Files<'_>, is_left: bool) -> Told {
        Told { is_left, ..self.paths(&[&self.own, &self.left], files) }
    }

    /// Where it may have written: what has to be looked at when it ends. `None`: anywhere.
    pub fn wanted(&self) -> Option<Wanted> {
        if self.unseen.is_some() || !self.delegated.is_empty() || self.has_linked() {
            return None;
        }
        let mut wanted = Wanted::default();
        for part in [&self.own, &self.left] {
            part.wrote.iter().cloned().for_each(|path| wanted.path(path));
            part.moved.iter().cloned().for_each(|path| wanted.below(path));
        }
        Some(wanted)
    }

    /// What the command itself did.
    pub fn own(&self, files: &Files<'_>) -> Told {
        self.paths(&[&self.own], files)
    }

    fn paths(&self, parts: &[&Paths], files: &Files<'_>) -> Told {
        let mut told =
            Told { is_whole: self.unseen.is_none(), has_delegates: !self.delegated.is_empty(), ..Told::default() };
        for part in parts {
            told.paths.extend(part.wrote.iter().cloned());
            told.moved.extend(part.moved.iter().cloned());
            let names = files.iter().filter(|(_, file)| part.linked.contains(file));
            told.paths.extend(names.map(|(path, _)| (*path).clone()));
        }
        told
    }

    /// What is known of the command from having seen it.
    pub fn evidence(&self) -> Evidence {
        let (degraded_since, degraded_because) = self.unseen.clone().unzip();
        Evidence {
            degraded_since,
            degraded_because,
            delegated: self.delegated.iter().cloned().collect(),
            unprivileged: self.unprivileged.iter().cloned().collect(),
            ..Evidence::default()
        }
    }

    /// Whether a file was written that may have several names.
    pub fn has_written_linked(&self, file: (u64, u64)) -> bool {
        self.own.linked.contains(&file) || self.left.linked.contains(&file)
    }

    /// Whether any file of several names was written.
    pub fn has_linked(&self) -> bool {
        !self.own.linked.is_empty() || !self.left.linked.is_empty()
    }
}

fn identity(what: &[u8]) -> Option<(u64, u64)> {
    let (device, inode) = what.split_first_chunk()?;
    Some((u64::from_le_bytes(*device), u64::from_le_bytes(inode.try_into().ok()?)))
}

/// When what stands at a path was last changed, or where nothing does, the directory that it would stand in; in nanoseconds. `None`
/// where that is gone, too, or cannot be read.
pub fn changed_at(root: &Path, path: &TreePath) -> Option<i64> {
    let at = |path: &TreePath| fs::symlink_metadata(root.join(OsStr::from_bytes(path.as_bytes())));
    let meta = match at(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => at(&path.parent()?).ok()?,
        found => found.ok()?,
    };
    Some(meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec()))
}

/// Which file a path of the workspace names now; `None` where there is none.
pub fn file_at(root: &Path, path: &TreePath) -> Option<(u64, u64)> {
    let meta = fs::symlink_metadata(root.join(OsStr::from_bytes(path.as_bytes()))).ok()?;
    Some((meta.dev(), meta.ino()))
}
