//! The supervisor's side: what it is told becomes notes.
//!
//! Owns what of it is worth a note, once each. Refuses to go on where a note cannot be written: then the keeper lets all calls go
//! on, and the change says so.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, statx};
use wfr_model::TreePath;
use wfr_store::crypto::{Cipher, MasterKey};
use wfr_trace::calls::Effect;
use wfr_trace::decode::Told;
use wfr_trace::notes::{Notes, OVER};
use wfr_trace::place::Place;
use wfr_trace::supervise::{self, Witness};
use zeroize::Zeroizing;

use super::before::{ALL_MAX, changed_since};
use super::{ASKS, BEFORE, BEGUN, Briefing, DELEGATED, ENDED, LINKED, MOVED, UNPRIVILEGED, WROTE, boot, kept, path_of};
use crate::writers::{self, ProcessId};

/// Programs that gain privileges by being run.
const PRIVILEGED: [&str; 8] = ["sudo", "doas", "su", "pkexec", "newuidmap", "newgidmap", "fusermount", "fusermount3"];

/// Supervises the command whose launcher is at the other end of `control`, until nobody is left. It must be called by a process
/// that has one thread.
///
/// Errors: what the system says; then the command was not launched, or goes on unseen.
pub fn supervise(control: UnixStream) -> io::Result<()> {
    let told = supervise::briefing(&control)?;
    let Briefing { root, notes, key, inherited, since } = serde_json::from_slice(&told)?;
    let root = path_of(root);
    let notes = Notes::open(&path_of(notes))?;
    notes.hold()?;
    notes.add(BEGUN, &boot())?;
    let cipher = key.map(|key| Cipher::new(&MasterKey::from_bytes(Zeroizing::new(key))));
    let top = rustix::fs::openat(CWD, &root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let known = inherited.into_iter().map(|path| (WROTE, path)).collect();
    let mut writer = Writer {
        notes: &notes,
        cipher,
        top,
        known,
        noted_since_end: None,
        since,
        saved: 0,
        has_moved: false,
        is_unseen: false,
        threads: HashSet::new(),
        processes: HashSet::new(),
    };
    supervise::supervise(control, &root, Some(&notes), &mut writer)?;
    notes.add(OVER, &[])
}

struct Writer<'n> {
    notes: &'n Notes,
    cipher: Option<Cipher>,
    top: OwnedFd,
    /// What was noted.
    known: HashSet<(u8, Vec<u8>)>,
    /// The same since the command itself has ended.
    noted_since_end: Option<HashSet<(u8, Vec<u8>)>>,
    /// What was changed later than this was perhaps not looked at when the change began.
    since: i64,
    /// Bytes that were saved of what was there before.
    saved: u64,
    has_moved: bool,
    is_unseen: bool,
    /// Threads that asked.
    threads: HashSet<u32>,
    /// Their processes.
    processes: HashSet<ProcessId>,
}

impl Writer<'_> {
    /// Adds a note, unless it is there.
    fn note(&mut self, mark: u8, what: &[u8]) {
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

    fn unseen(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_unseen, true) && self.notes.add_unseen(why).is_err() {
            give_up();
        }
    }

    /// Notes who asks: whoever wants to end all that write must know them, whatever they made of their environment.
    fn note_thread(&mut self, thread: u32) {
        if !self.threads.insert(thread) {
            return;
        }
        let Some(id) = writers::process_of(thread) else { return };
        if self.processes.insert(id) {
            let what = [&id.pid.to_le_bytes()[..], &id.start.to_le_bytes()].concat();
            if self.notes.add(ASKS, &what).is_err() {
                give_up();
            }
        }
    }

    fn at(&mut self, mark: u8, place: &Place) {
        match place {
            Place::Inside(path) => self.note(mark, path.as_bytes()),
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
    fn first(&mut self, place: &Place) {
        let Place::Inside(path) = place else { return };
        if self.is_known(path) {
            return;
        }
        let place = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
        let Ok(found) = statx(&self.top, place, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) else { return };
        let kind = rustix::fs::FileType::from_raw_mode(u32::from(found.stx_mode));
        if found.stx_nlink > 1 && kind != rustix::fs::FileType::Directory {
            let device = rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor);
            let id = [device.to_le_bytes(), found.stx_ino.to_le_bytes()].concat();
            if self.known.contains(&(LINKED, id.clone())) {
                return;
            }
            self.note(LINKED, &id);
        }
        let room = ALL_MAX.saturating_sub(self.saved);
        if let Some(before) = changed_since(&self.top, place, &found, self.since, room) {
            self.saved += before.saved();
            self.add(BEFORE, &before.encode(path.as_bytes()));
        }
    }
}

/// Ends this process: the keeper takes over.
fn give_up() -> ! {
    std::process::exit(1)
}

impl Witness for Writer<'_> {
    fn told(&mut self, thread: u32, what: Told) {
        self.note_thread(thread);
        match what {
            Told::Does { effect, place } => {
                if effect != Effect::Makes {
                    self.first(&place);
                }
                self.at(WROTE, &place);
            }
            Told::Moves { from, to } => {
                self.first(&from);
                self.first(&to);
                self.at(MOVED, &from);
                self.at(MOVED, &to);
            }
            Told::Links { from, to } => {
                self.at(WROTE, &from);
                self.at(WROTE, &to);
            }
            Told::Runs(program) => {
                let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                if std::str::from_utf8(name).is_ok_and(cannot_gain) {
                    self.note(UNPRIVILEGED, name);
                }
            }
            Told::Delegates(address) => {
                // Where nobody listens, nobody does anything.
                let place = Path::new(std::ffi::OsStr::from_bytes(&address));
                if place.is_relative() || place.exists() {
                    self.note(DELEGATED, &address);
                }
            }
            Told::Escapes => self.unseen("it mounted something, or took a descriptor of another process"),
        }
    }

    fn ended(&mut self, unseen: u64, nobody_is_left: bool) {
        if unseen > 0 {
            self.unseen("a look took too long");
        }
        let over = || if nobody_is_left { self.notes.add(OVER, &[]) } else { Ok(()) };
        if self.notes.add(ENDED, &[]).and_then(|()| over()).is_err() {
            give_up();
        }
        self.noted_since_end = Some(HashSet::new());
    }
}

/// Whether a program needs privileges that a traced command cannot gain here.
pub fn cannot_gain(program: &str) -> bool {
    PRIVILEGED.contains(&program) && !may_gain_privileges()
}

/// Whether a traced command can gain privileges: the filter was installed by who has them already.
fn may_gain_privileges() -> bool {
    const SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let has = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let has = has.and_then(|has| u64::from_str_radix(has.trim(), 16).ok()).unwrap_or(0);
    has >> SYS_ADMIN & 1 == 1
}
