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

use super::{BEGUN, Briefing, DELEGATED, ENDED, LINKED, MOVED, UNPRIVILEGED, WROTE, boot, kept, path_of};

/// Programs that gain privileges by being run.
const PRIVILEGED: [&str; 8] = ["sudo", "doas", "su", "pkexec", "newuidmap", "newgidmap", "fusermount", "fusermount3"];

/// Supervises the command whose launcher is at the other end of `control`, until nobody is left. It must be called by a process
/// that has one thread.
///
/// Errors: what the system says; then the command was not launched, or goes on unseen.
pub fn supervise(control: UnixStream) -> io::Result<()> {
    let told = supervise::briefing(&control)?;
    let Briefing { root, notes, key } = serde_json::from_slice(&told)?;
    let root = path_of(root);
    let notes = Notes::open(&path_of(notes))?;
    notes.hold()?;
    notes.add(BEGUN, &boot())?;
    let cipher = key.map(|key| Cipher::new(&MasterKey::from_bytes(Zeroizing::new(key))));
    let top = rustix::fs::openat(CWD, &root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut writer = Writer { notes: &notes, cipher, top, known: HashSet::new(), is_unseen: false };
    supervise::supervise(control, &root, Some(&notes), &mut writer)?;
    notes.add(OVER, &[])
}

struct Writer<'n> {
    notes: &'n Notes,
    cipher: Option<Cipher>,
    top: OwnedFd,
    /// What is noted already, since the command began, or since it ended.
    known: HashSet<(u8, Vec<u8>)>,
    is_unseen: bool,
}

impl Writer<'_> {
    /// Adds a note, unless it is there.
    fn note(&mut self, mark: u8, what: &[u8]) {
        if !self.known.insert((mark, what.to_vec())) {
            return;
        }
        if kept(self.cipher.as_ref(), what).and_then(|what| self.notes.add(mark, &what)).is_err() {
            give_up();
        }
    }

    fn unseen(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_unseen, true) && self.notes.add_unseen(why).is_err() {
            give_up();
        }
    }

    fn at(&mut self, mark: u8, place: &Place) {
        match place {
            Place::Inside(path) => self.note(mark, path.as_bytes()),
            Place::Outside => {}
            Place::Unknown => self.unseen("nothing tells where it wrote"),
        }
    }

    /// A file of several names changes under all of them.
    fn names(&mut self, path: &TreePath) {
        if self.known.contains(&(WROTE, path.as_bytes().to_vec())) {
            return;
        }
        let place = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
        let wanted = StatxFlags::INO | StatxFlags::NLINK | StatxFlags::TYPE;
        let Ok(found) = statx(&self.top, place, AtFlags::SYMLINK_NOFOLLOW, wanted) else { return };
        let kind = rustix::fs::FileType::from_raw_mode(u32::from(found.stx_mode));
        if found.stx_nlink > 1 && kind != rustix::fs::FileType::Directory {
            let device = rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor);
            let id = [device.to_le_bytes(), found.stx_ino.to_le_bytes()].concat();
            self.note(LINKED, &id);
        }
    }
}

/// Ends this process: the keeper takes over.
fn give_up() -> ! {
    std::process::exit(1)
}

impl Witness for Writer<'_> {
    fn told(&mut self, _thread: u32, what: Told) {
        match what {
            Told::Does { effect, place } => {
                if let (Effect::Writes | Effect::Alters, Place::Inside(path)) = (effect, &place) {
                    self.names(path);
                }
                self.at(WROTE, &place);
            }
            Told::Moves { from, to } => {
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
        self.known.clear();
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
