//! The redo record: everything that is needed to finish a recovery after a crash. `docs/format.md` describes the bytes.
//!
//! Owns its encoding and the files of the journal. What it reads it does not trust: sizes and paths are checked.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RenameFlags};
use serde::{Deserialize, Serialize};
use wfr_model::entry::Entry;
use wfr_model::plan::{Action, Kept, RootChange};
use wfr_model::{FileTime, RecoveryId, TreePath};
use wfr_store::tree::{Part, decode, encode};
use wfr_store::vault::write_durably;

const MAGIC: [u8; 8] = *b"wfrredo\x01";

/// Bytes before the payload: magic 8, length 8, checksum 4.
const FIXED: usize = 20;

/// What is true of the whole recovery.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) recovery: RecoveryId,
    /// The workspace's root directory, escaped as paths are.
    pub(crate) root: String,
    pub(crate) exact_mtime: bool,
    pub(crate) with_owner: bool,
    /// Whether a failed step takes the whole recovery back.
    pub(crate) take_back: bool,
    pub(crate) mounts: Vec<TreePath>,
    /// Directories that are made writable for the time, and the modes that they get back.
    pub(crate) lifted: Vec<(TreePath, u32)>,
    /// What becomes of the workspace's own directory.
    #[serde(default)]
    pub(crate) root_change: Option<RootChange>,
    /// What the plan leaves alone.
    pub(crate) kept: Vec<Kept>,
    /// Directories that are written in, and the times that they get back where the recovery is taken back.
    #[serde(default)]
    pub(crate) times: Vec<(TreePath, FileTime)>,
    /// Directories that get these times where it stands.
    #[serde(default)]
    pub(crate) last_times: Vec<(TreePath, FileTime)>,
    /// Whether it stands only once a check has passed.
    #[serde(default)]
    pub(crate) provisional: bool,
}

/// One step in the order of execution; its place in that order names its slots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RedoStep {
    pub(crate) path: TreePath,
    pub(crate) action: Action,
    pub(crate) before: Option<Entry>,
    pub(crate) after: Option<Entry>,
    pub(crate) mount: u16,
    /// Device and inode of what was staged.
    pub(crate) staged: Option<(u64, u64)>,
}

/// A whole record.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Redo {
    pub(crate) head: Head,
    pub(crate) steps: Vec<RedoStep>,
}

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedoError {
    /// It is damaged.
    #[error("the journal's record {0} is damaged: {1}")]
    Damaged(PathBuf, &'static str),
    /// The system failed to read it.
    #[error("cannot read the journal's record {0}")]
    Io(PathBuf, #[source] io::Error),
}

const ACTIONS: [Action; 6] =
    [Action::Create, Action::Replace, Action::Delete, Action::MakeDir, Action::RemoveDir, Action::SetMeta];

impl Redo {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        put(&mut payload, &serde_json::to_vec(&self.head).expect("a head has string keys only"));
        payload.extend_from_slice(&(self.steps.len() as u64).to_le_bytes());
        for step in &self.steps {
            put(&mut payload, step.path.as_bytes());
            let action = ACTIONS.iter().position(|action| *action == step.action).unwrap_or_default();
            payload.push(action as u8);
            payload.extend_from_slice(&step.mount.to_le_bytes());
            let (dev, ino) = step.staged.unwrap_or_default();
            payload.push(u8::from(step.staged.is_some()));
            payload.extend_from_slice(&dev.to_le_bytes());
            payload.extend_from_slice(&ino.to_le_bytes());
            for entry in [&step.before, &step.after] {
                put(&mut payload, &encode(&Part::Leaf(entry.iter().cloned().collect())));
            }
        }
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        out.extend_from_slice(&payload);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let (fixed, payload) = bytes.split_at_checked(FIXED).ok_or("it is cut off")?;
        if fixed[..8] != MAGIC {
            return Err("it is no redo record of this version");
        }
        let length = u64::from_le_bytes(*fixed[8..].first_chunk().ok_or("it is cut off")?);
        let crc = u32::from_le_bytes(*fixed[16..].first_chunk().ok_or("it is cut off")?);
        if length != payload.len() as u64 || crc != crc32fast::hash(payload) {
            return Err("its checksum does not fit");
        }
        let mut input = Input(payload);
        let head: Head = serde_json::from_slice(input.bytes()?).map_err(|_| "its head does not parse")?;
        let count = input.number()?;
        if count > input.0.len() as u64 {
            return Err("it claims more steps than it has bytes");
        }
        let steps = (0..count).map(|_| step(&mut input, &head)).collect::<Result<_, _>>()?;
        if input.0.is_empty() { Ok(Self { head, steps }) } else { Err("bytes follow its end") }
    }
}

fn step(input: &mut Input<'_>, head: &Head) -> Result<RedoStep, &'static str> {
    let path = TreePath::from_bytes(input.bytes()?).map_err(|_| "a path is not allowed")?;
    let action = *ACTIONS.get(usize::from(input.take(1)?[0])).ok_or("an action is not known")?;
    let mount = u16::from_le_bytes(*input.take(2)?.first_chunk().ok_or("it is cut off")?);
    if path.is_root() || usize::from(mount) >= head.mounts.len() {
        return Err("a step has no place");
    }
    let is_staged = input.take(1)?[0] == 1;
    let identity = (input.number()?, input.number()?);
    let (before, after) = (entry(input)?, entry(input)?);
    Ok(RedoStep { path, action, before, after, mount, staged: is_staged.then_some(identity) })
}

fn entry(input: &mut Input<'_>) -> Result<Option<Entry>, &'static str> {
    match decode(input.bytes()?) {
        Ok(Part::Leaf(mut entries)) if entries.len() <= 1 => Ok(entries.pop()),
        _ => Err("an entry does not parse"),
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        Ok(u64::from_le_bytes(*self.take(8)?.first_chunk().ok_or("it is cut off")?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], &'static str> {
        let count = usize::try_from(self.number()?).map_err(|_| "a length is out of bounds")?;
        self.take(count)
    }
}

/// What a record is called until its recovery stands.
const READY: &str = ".ready";

/// What it is called from then on.
const STANDS: &str = ".stands";

fn name(id: &RecoveryId) -> String {
    format!("{id}{READY}")
}

fn name_where_it_stands(id: &RecoveryId) -> String {
    format!("{id}{STANDS}")
}

/// Writes the record: from the rename on the recovery happens. The commit point.
///
/// Where only the sync behind the rename fails, the record is taken away again: nobody may find one of a recovery that
/// was called off. Should it come back with a power cut, the caller's own record of the end tells.
pub(crate) fn write(journal: &Path, redo: &Redo) -> io::Result<()> {
    let id = &redo.head.recovery;
    write_durably(journal, &name(id), &redo.encode()).inspect_err(|_| drop(remove(journal, id, false)))
}

/// Reads a record back.
pub(crate) fn read(journal: &Path, id: &RecoveryId) -> Result<Redo, RedoError> {
    let file = journal.join(if stands(journal, id) { name_where_it_stands(id) } else { name(id) });
    let bytes = std::fs::read(&file).map_err(|error| RedoError::Io(file.clone(), error))?;
    Redo::decode(&bytes).map_err(|why| RedoError::Damaged(file, why))
}

/// Makes a recovery stand, durably: all is done, and its check has passed where there is one. What was displaced may go only
/// behind this, since without it the recovery may still be taken back. The record gets another name, for which a full disk has
/// room.
pub(crate) fn stand(journal: &Path, id: &RecoveryId) -> io::Result<()> {
    let dir = wfr_store::disk::open_dir(journal)?;
    let (ready, stands) = (name(id), name_where_it_stands(id));
    wfr_store::disk::rename(&dir, Path::new(&ready), &dir, Path::new(&stands), RenameFlags::empty())?;
    wfr_store::disk::sync_all(&dir)
}

/// Whether one stands.
pub(crate) fn stands(journal: &Path, id: &RecoveryId) -> bool {
    journal.join(name_where_it_stands(id)).exists()
}

/// What is noted beside a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Note {
    /// The recovery is taken back: what it staged may go, and nobody may do its steps again.
    Back,
    /// Its check has failed: what was displaced may go all the same, since it is taken back from its safety checkpoint. Stays
    /// behind the record until that is done.
    Failed,
    /// It has ended, and the workspace's own directory, which it may not write in by its mode, is made writable for the moment in
    /// which the staging directory goes.
    Lifted,
}

impl Note {
    const ALL: [Self; 3] = [Self::Back, Self::Failed, Self::Lifted];

    fn file(self, id: &RecoveryId) -> String {
        let word = match self {
            Self::Back => "back",
            Self::Failed => "failed",
            Self::Lifted => "lifted",
        };
        format!("{id}.{word}")
    }
}

/// Notes something of a recovery durably.
pub(crate) fn note(journal: &Path, id: &RecoveryId, note: Note) -> io::Result<()> {
    let dir = wfr_store::disk::open_dir(journal)?;
    let flags = OFlags::WRONLY | OFlags::CREATE;
    // It holds nothing, so it needs no rename to be whole.
    let file = wfr_store::disk::open_at(&dir, Path::new(&note.file(id)), flags, Mode::from_raw_mode(0o600))?;
    wfr_store::disk::sync_all(file)?;
    wfr_store::disk::sync_all(&dir)
}

/// Whether that is noted.
pub(crate) fn is_noted(journal: &Path, id: &RecoveryId, note: Note) -> bool {
    journal.join(note.file(id)).exists()
}

/// Removes a record whose recovery has ended, durably. That its check failed stays noted where asked for: somebody has to take
/// it back still.
pub(crate) fn remove(journal: &Path, id: &RecoveryId, keeps_failed: bool) -> io::Result<()> {
    let dir = wfr_store::disk::open_dir(journal)?;
    let goes = |note: &Note| is_noted(journal, id, *note) && !(keeps_failed && *note == Note::Failed);
    let notes = Note::ALL.into_iter().filter(goes).map(|note| note.file(id));
    // The notes go last: without the record none but that one means anything.
    for file in [name(id), name_where_it_stands(id)].into_iter().chain(notes) {
        match wfr_store::disk::unlink(&dir, Path::new(&file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    wfr_store::disk::sync_all(&dir)
}

/// The recoveries that passed their commit point and have not ended, oldest first.
pub(crate) fn list(journal: &Path) -> io::Result<Vec<RecoveryId>> {
    let mut found = with_suffix(journal, READY)?;
    found.extend(with_suffix(journal, STANDS)?);
    found.sort();
    Ok(found)
}

/// The recoveries that have ended and whose check failed, oldest first.
pub(crate) fn list_failed(journal: &Path) -> io::Result<Vec<RecoveryId>> {
    let mut failed = with_suffix(journal, ".failed")?;
    failed.retain(|id| !journal.join(name(id)).exists() && !stands(journal, id));
    Ok(failed)
}

fn with_suffix(journal: &Path, suffix: &str) -> io::Result<Vec<RecoveryId>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(journal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        other => other?,
    };
    for entry in entries {
        let file = entry?.file_name();
        let id = file.to_str().and_then(|file| file.strip_suffix(suffix)).and_then(|id| id.parse().ok());
        found.extend(id);
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wfr_model::entry::{Meta, Node};
    use wfr_model::plan::KeptReason;

    fn sample() -> Redo {
        let entry =
            Entry { name: b"b".to_vec(), meta: Meta::default(), node: Node::Symlink(b"x".to_vec()), xattrs: vec![] };
        let step = RedoStep {
            path: "a/b".parse().unwrap(),
            action: Action::Replace,
            before: Some(entry.clone()),
            after: Some(entry),
            mount: 0,
            staged: Some((3, 4)),
        };
        let head = Head {
            recovery: "rec_1".parse().unwrap(),
            root: "/w".into(),
            exact_mtime: true,
            with_owner: false,
            take_back: true,
            mounts: vec![TreePath::ROOT],
            lifted: vec![],
            root_change: None,
            kept: vec![Kept { path: "c".parse().unwrap(), reason: KeptReason::Special }],
            times: vec![("d".parse().unwrap(), FileTime { secs: 7, nanos: 8 })],
            last_times: vec![("d".parse().unwrap(), FileTime { secs: 9, nanos: 0 })],
            provisional: true,
        };
        let away = RedoStep { action: Action::Delete, after: None, staged: None, ..step.clone() };
        Redo { head, steps: vec![step, away] }
    }

    #[test]
    fn records_round_trip_and_damage_is_noticed() {
        let redo = sample();
        let bytes = redo.encode();
        assert_eq!(Redo::decode(&bytes), Ok(redo));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Redo::decode(&damaged).is_err(), "bit {bit}");
        }
        assert!((0..bytes.len()).all(|length| Redo::decode(&bytes[..length]).is_err()));
    }

    proptest! {
        #[test]
        fn junk_with_a_right_checksum_never_panics(payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
            bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
            bytes.extend_from_slice(&payload);
            prop_assert!(Redo::decode(&bytes).is_err());
        }
    }
}
