//! Traced commands: what their supervisors note, as the ledger reads it.
//!
//! Owns the notes' place in the vault and what each of them means. Refuses to attribute anything, and to run commands: the
//! front end does.

mod account;
mod before;
mod closing;
mod kin;
mod reading;
mod takes;
mod within;
mod witness;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use wfr_catalog::ChangeRow;
use wfr_model::change::Source;
use wfr_model::{ChangeId, TreePath};
use wfr_store::crypto::{Cipher, MasterKey};
use wfr_trace::notes::Notes;
use zeroize::Zeroizing;

use crate::error::Failure;
use crate::ledger;
use crate::open::Open;
use crate::process;

pub use before::Before;
pub use closing::{Standing, closing, closings, of, over, whom};
pub use reading::{Asked, Files, Seen, changed_at, file_at};
pub use takes::{Marks, State, chain, key_of as paths_key, looked, marks};
use within::Word;
pub use within::{ended, join};
pub use witness::{cannot_gain, supervise};

/// The key that the names in the notes are sealed with, itself sealed; where the store is encrypted.
const KEY: u8 = b'K';
/// Who starts the command: the number of its process.
const LAUNCHER: u8 = b'H';
/// The supervisor is there: the boot that it lives in.
const BEGUN: u8 = b'B';
/// A path that is about to be changed.
const WROTE: u8 = b'W';
/// A path that is about to be changed, and was changed since the change began, by somebody else: what stood there.
const BEFORE: u8 = b'S';
/// A path that another change wrote last is about to be changed: see [`takes::Take`].
const TAKEN: u8 = b'T';
/// The number of the change among those that write.
const WRITER: u8 = b'I';
/// There was a look at the tree: see [`takes::Looked`].
const LOOKED: u8 = b'V';
/// A path that something is about to be moved from or to.
const MOVED: u8 = b'M';
/// A file of several names is about to be changed: device and inode.
const LINKED: u8 = b'L';
/// A local socket is connected to: its address.
const DELEGATED: u8 = b'D';
/// A program is run that cannot gain its privileges.
const UNPRIVILEGED: u8 = b'P';
/// Its supervisor is that of the command around it: the name of that one's change.
const WITHIN: u8 = b'N';
/// A process that asked: its number, and when it started in clock ticks since boot, not sealed.
const ASKS: u8 = b'A';
/// The command itself has ended.
const ENDED: u8 = b'R';

/// What the front end needs to run a command traced.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// Where the notes are.
    pub notes: PathBuf,
    /// What the supervisor is told before all else.
    pub briefing: Vec<u8>,
    /// What the supervisor around us is told where there is one already: that the command begins,
    joins: Vec<u8>,
    /// and that it has ended.
    ended: Vec<u8>,
}

/// The same, as the supervisor reads it.
#[derive(Serialize, Deserialize)]
struct Briefing {
    root: Vec<u8>,
    notes: Vec<u8>,
    key: Option<[u8; 32]>,
    /// Paths that the command has open at its start.
    inherited: Vec<Vec<u8>>,
    /// What was changed from this on was perhaps not looked at when the change began: a time of files, in nanoseconds.
    since: i64,
    /// The table of who wrote each path last, the number of the change in it, and what the numbers of paths are made with.
    table: Vec<u8>,
    writer: u32,
    paths_key: Vec<u8>,
}

/// The right to end a change: whoever started its command is alive.
pub struct Held {
    _file: File,
}

fn dir(open: &Open) -> PathBuf {
    open.vault.dir().join("traces")
}

fn place(open: &Open, id: &ChangeId) -> PathBuf {
    dir(open).join(format!("{id}.notes"))
}

/// The clock that stamps files, in nanoseconds.
fn clock_of_files() -> i64 {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

/// Begins the notes of a change, before it is announced. What the command will have inherited open for writing is in them.
/// Whatever was changed from `since` on may be in no look: `None` where all is looked at from now on.
pub fn begin(open: &Open, id: &ChangeId, since: Option<i64>) -> Result<Tracing, Failure> {
    let since = since.unwrap_or_else(clock_of_files);
    open.unlock()?;
    match fs::DirBuilder::new().mode(0o700).create(dir(open)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let path = place(open, id);
    let (table, writer) = takes::enrol(open);
    let notes = Notes::open(&path)?;
    notes.add(WRITER, &writer.to_le_bytes())?;
    let mut key = None;
    let mut own = None;
    if let Some(cipher) = open.cipher() {
        let bytes = new_key()?;
        notes.add(KEY, &ledger::sealed(cipher, &bytes[..])?)?;
        own = Some(Cipher::new(&MasterKey::from_bytes(bytes.clone())));
        key = Some(*bytes);
    }
    let inherited = inherited(open.root())?;
    for path in &inherited {
        notes.add(WROTE, &kept(own.as_ref(), path.as_bytes())?)?;
    }
    let briefing = Briefing {
        root: open.root().as_os_str().as_bytes().to_vec(),
        notes: path.as_os_str().as_bytes().to_vec(),
        key,
        inherited: inherited.iter().map(|path| path.as_bytes().to_vec()).collect(),
        since,
        table: table.as_os_str().as_bytes().to_vec(),
        writer,
        paths_key: takes::key_of(open.cipher().map(AsRef::as_ref)),
    };
    let id = id.to_string();
    let joins = Word::Joins { id: &id, since, writer, key: briefing.key }.bytes();
    let ended = Word::Ended { id: &id }.bytes();
    let briefing = serde_json::to_vec(&briefing).expect("a briefing has string keys");
    Ok(Tracing { notes: path, briefing, joins, ended })
}

fn new_key() -> io::Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes[..])?;
    Ok(bytes)
}

/// Bytes as the notes keep them: as they are, or sealed.
fn kept(cipher: Option<&Cipher>, bytes: &[u8]) -> io::Result<Vec<u8>> {
    cipher.map_or(Ok(bytes.to_vec()), |cipher| ledger::sealed(cipher, bytes).map_err(io::Error::other))
}

/// Files of the workspace that this process was given open for writing, and hands on.
fn inherited(root: &Path) -> io::Result<Vec<TreePath>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name();
        // The descriptor of this very look is gone by now.
        let Ok(info) = fs::read_to_string(Path::new("/proc/self/fdinfo").join(&number)) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).unwrap_or(0);
        if flags & WRITABLE == 0 || flags & CLOSES_ON_EXEC != 0 {
            continue;
        }
        let Ok(target) = fs::read_link(Path::new("/proc/self/fd").join(&number)) else { continue };
        let below = target.strip_prefix(root).ok().map(|below| below.as_os_str().as_bytes().to_vec());
        found.extend(below.and_then(|below| TreePath::from_bytes(&below).ok()));
    }
    Ok(found)
}

/// `O_WRONLY`, `O_RDWR` and `O_CLOEXEC` of Linux, as `/proc` shows them.
const WRITABLE: u32 = 0o3;
const CLOSES_ON_EXEC: u32 = 0o2_000_000;

/// Says that whoever starts the command is alive, until it is dropped.
pub fn hold(notes: &Path) -> io::Result<Held> {
    let file = OpenOptions::new().read(true).write(true).open(notes)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Notes::open(notes)?.add(LAUNCHER, &std::process::id().to_le_bytes())?;
    Ok(Held { _file: file })
}

/// The processes that this one was started by, nearest first, as far as they are there.
fn ancestors() -> Vec<u32> {
    let mut found = Vec::new();
    let mut at = std::process::id();
    // The first process of all was started by number 0.
    while let Some(parent) =
        process::process(at).map(|process| process.parent).filter(|parent| *parent > 0 && !found.contains(parent))
    {
        found.push(parent);
        at = parent;
    }
    found
}

/// The open change whose traced command this process is a part of, the innermost where there are several.
pub fn around(open: &Open, opened: &[ChangeRow]) -> Result<Option<ChangeId>, Failure> {
    if opened.iter().all(|row| row.change.source != Source::Traced) {
        return Ok(None);
    }
    let ancestors = ancestors();
    let mut found: Vec<(usize, ChangeId)> = Vec::new();
    for row in opened {
        let Some(Standing { seen, left_by: None }) = of(open, row)? else { continue };
        // A number that nobody holds may be another process's by now.
        let launcher = seen.launcher.filter(|_| seen.is_held);
        let at = launcher.and_then(|launcher| ancestors.iter().position(|one| *one == launcher));
        found.extend(at.map(|at| (at, row.change.change_id.clone())));
    }
    Ok(found.into_iter().min().map(|(_, id)| id))
}

/// Notes, from whoever starts the command, that it is not seen, and why.
pub fn add_unseen(notes: &Path, why: &str) -> io::Result<()> {
    Notes::open(notes)?.add_unseen(why)
}

/// Removes the notes of a change that has ended. They are derived: where it fails nothing is lost.
pub fn forget(open: &Open, id: &ChangeId) {
    let _ = fs::remove_file(place(open, id));
    takes::clear(open);
}

/// A path that a briefing holds.
fn path_of(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// The boot that this process lives in.
fn boot() -> Vec<u8> {
    fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim_ascii().to_vec()
}
