//! What one command did, as its supervisor notes it.
//!
//! Owns what of it is worth a note, once each, and what is saved before a path is first written. Refuses to go on where a note
//! cannot be written: then the keeper lets all calls go on, and the change says so.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, StatxFlags, statx};
use wfr_model::TreePath;
use wfr_store::crypto::{Cipher, MasterKey};
use wfr_trace::notes::{Notes, OVER};
use wfr_trace::place::Place;
use wfr_trace::writers::{Call, Taken, Writers};
use zeroize::Zeroizing;

use super::before::{ALL_MAX, changed_since};
use super::takes::{State, Take, number_of};
use super::{ASKS, BEFORE, BEGUN, ENDED, LINKED, MOVED, TAKEN, WITHIN, WROTE, boot, kept};
use crate::process::{self, ProcessId};

/// Who wrote each path last, as all supervisors of a workspace know it.
pub struct Paths {
    /// The table.
    pub table: Writers,
    /// What the numbers of paths are made with.
    pub key: Vec<u8>,
}

/// Reading so many bytes takes no time to speak of.
const SHORT: u64 = 16 << 10;

/// Notes, each once.
type Noted = HashSet<(u8, Vec<u8>)>;

/// The account of a command.
pub struct Account {
    /// The text of its change's name; empty: the supervised one.
    id: Vec<u8>,
    notes: Arc<Notes>,
    cipher: Option<Cipher>,
    /// What was noted.
    known: Noted,
    /// The same since the command itself has ended.
    noted_since_end: Option<Noted>,
    /// What was changed later than this was perhaps not looked at when the change began.
    since: i64,
    /// Its number among those that write; 0: it has none.
    writer: u32,
    /// Bytes that were saved of what was there before.
    saved: u64,
    has_moved: bool,
    is_unseen: bool,
    is_over: bool,
    /// The path that was asked about last: most are asked about several times at once.
    recent: Recent,
    /// Threads that asked, and their processes.
    threads: HashSet<u32>,
    processes: HashSet<ProcessId>,
}

/// What seals the names in notes.
pub fn cipher_of(key: [u8; 32]) -> Cipher {
    Cipher::new(&MasterKey::from_bytes(Zeroizing::new(key)))
}

/// Ends this process: the keeper takes over.
fn give_up() -> ! {
    std::process::exit(1)
}

/// What is known of a path.
#[derive(Default)]
struct Recent {
    path: Vec<u8>,
    /// Its number among those of all supervisors; 0 where it was not asked for.
    number: u64,
    /// Whether all that there is to note of a write there is noted.
    is_written: bool,
}

impl Recent {
    /// That of a path.
    fn of(&mut self, path: &TreePath) -> &mut Self {
        if self.path != path.as_bytes() {
            self.path.clear();
            self.path.extend_from_slice(path.as_bytes());
            (self.number, self.is_written) = (0, false);
        }
        self
    }
}

impl Account {
    /// That of the supervised command.
    pub fn new(notes: Arc<Notes>, cipher: Option<Cipher>, since: i64, writer: u32) -> Self {
        Self {
            id: vec![],
            notes,
            cipher,
            known: HashSet::new(),
            noted_since_end: None,
            since,
            writer,
            saved: 0,
            has_moved: false,
            is_unseen: false,
            is_over: false,
            recent: Recent::default(),
            threads: HashSet::new(),
            processes: HashSet::new(),
        }
    }

    /// That of a command within the one whose notes are at `place`. `None` where it has no notes beside these that this process
    /// can have for itself.
    pub fn within(place: &Path, id: &str, since: i64, writer: u32, key: Option<[u8; 32]>) -> Option<Self> {
        let own = place.with_file_name(format!("{id}.notes"));
        if own == place || !own.exists() {
            return None;
        }
        let notes = Notes::open(&own).ok()?;
        notes.hold_at_once().ok()?;
        Some(Self { id: id.as_bytes().to_vec(), ..Self::new(Arc::new(notes), key.map(cipher_of), since, writer) })
    }

    /// Says in the notes whose supervisor this is.
    pub fn begin(&self, place: &Path) {
        let outer = place.file_stem().unwrap_or_default().as_bytes();
        if self.notes.add(BEGUN, &boot()).and_then(|()| self.notes.add(WITHIN, outer)).is_err() {
            give_up();
        }
    }

    /// Whether it is of this change.
    pub fn is_of(&self, id: &str) -> bool {
        self.id == id.as_bytes()
    }

    /// Notes who asks: whoever wants to end all that write must know them, whatever they made of their environment.
    pub fn asks(&mut self, thread: u32) {
        if !self.threads.insert(thread) {
            return;
        }
        let Some(id) = process::process_of(thread) else { return };
        if self.processes.insert(id) {
            let what = [&id.pid.to_le_bytes()[..], &id.start.to_le_bytes()].concat();
            if self.notes.add(ASKS, &what).is_err() {
                give_up();
            }
        }
    }

    /// These are known: notes of them were made.
    pub fn knows(&mut self, mark: u8, paths: Vec<Vec<u8>>) {
        self.known.extend(paths.into_iter().map(|path| (mark, path)));
    }

    /// The command itself has ended, and perhaps nobody is left whom it started.
    pub fn ended(&mut self, nobody_is_left: bool) {
        let over = |own: &mut Self| if nobody_is_left { own.over() } else { Ok(()) };
        if self.notes.add(ENDED, &[]).and_then(|()| over(self)).is_err() {
            give_up();
        }
        self.noted_since_end = Some(HashSet::new());
        self.recent = Recent::default();
    }

    /// Nobody is left. Errors: what the system says.
    pub fn over(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_over, true) { Ok(()) } else { self.notes.add(OVER, &[]) }
    }

    /// Adds a note, unless it is there.
    pub fn note(&mut self, mark: u8, what: &[u8]) {
        let note = (mark, what.to_vec());
        let is_new = match &mut self.noted_since_end {
            Some(noted) => noted.insert(note.clone()),
            None => !self.known.contains(&note),
        };
        self.known.insert(note);
        if !is_new {
            return;
        }
        self.has_moved |= mark == MOVED;
        self.add(mark, what);
    }

    fn add(&self, mark: u8, what: &[u8]) {
        if kept(self.cipher.as_ref(), what).and_then(|what| self.notes.add(mark, &what)).is_err() {
            give_up();
        }
    }

    /// From now on not all is seen, and why.
    pub fn unseen(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_unseen, true) && self.notes.add_unseen(why).is_err() {
            give_up();
        }
    }

    /// Adds a note of a place.
    pub fn at(&mut self, mark: u8, place: &Place) {
        match place {
            Place::Inside(path) => {
                if mark == WROTE && self.recent.of(path).is_written {
                    return;
                }
                self.note(mark, path.as_bytes());
                self.recent.of(path).is_written = mark == WROTE;
            }
            Place::Outside => {}
            Place::Unknown => self.unseen("nothing tells where it wrote"),
        }
    }

    /// Whether this command is known to have changed what is at a path, under that name.
    fn is_known(&self, path: &TreePath) -> bool {
        if self.known.contains(&(WROTE, path.as_bytes().to_vec())) {
            return true;
        }
        let mut above = Some(path.clone()).filter(|_| self.has_moved);
        while let Some(at) = above {
            if self.known.contains(&(MOVED, at.as_bytes().to_vec())) {
                return true;
            }
            above = at.parent();
        }
        false
    }

    /// What is done before a path is changed for the first time. A file of several names changes under all of them. What somebody
    /// else made of it since the change began is saved.
    pub fn first(&mut self, top: impl AsFd, place: &Place, stands_back: &dyn Fn()) {
        let Place::Inside(path) = place else { return };
        if self.recent.of(path).is_written || self.is_known(path) {
            return;
        }
        let place = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
        let Ok(found) = statx(&top, place, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) else { return };
        let kind = rustix::fs::FileType::from_raw_mode(u32::from(found.stx_mode));
        if found.stx_nlink > 1 && kind != rustix::fs::FileType::Directory {
            let device = rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor);
            let id = [device.to_le_bytes(), found.stx_ino.to_le_bytes()].concat();
            if self.known.contains(&(LINKED, id.clone())) {
                return;
            }
            self.note(LINKED, &id);
        }
        if found.stx_size > SHORT {
            stands_back();
        }
        let room = ALL_MAX.saturating_sub(self.saved);
        if let Some(before) = changed_since(&top, place, &found, self.since, room) {
            self.saved += before.saved();
            self.add(BEFORE, &before.encode(path.as_bytes()));
        }
    }

    /// What is done before a path is changed that another change wrote last: what stands there by now is saved.
    pub fn take(&mut self, top: impl AsFd, place: &Place, (paths, call): (&Paths, Call), stands_back: &dyn Fn()) {
        let Place::Inside(path) = place else { return };
        if self.writer == 0 {
            return;
        }
        let recent = self.recent.of(path);
        if recent.number == 0 {
            recent.number = number_of(&paths.key, path.as_bytes());
        }
        let number = recent.number;
        let Taken::From { writer: from, times, is_done } = paths.table.take(number, self.writer, call) else { return };
        let room = ALL_MAX.saturating_sub(self.saved);
        stands_back();
        let state = if is_done { State::at(top, path, self.since, room) } else { State::Mixed };
        self.saved += state.saved();
        self.add(TAKEN, &Take { times, from, state }.encode(path.as_bytes()));
    }
}
