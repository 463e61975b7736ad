//! The supervisor's side: what it is told becomes notes.
//!
//! Owns whose of several commands it is: the one that is supervised, and those that were begun within it. Refuses to go on where
//! a note cannot be written: then the keeper lets all calls go on, and the change says so.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, statx};
use wfr_trace::calls::Effect;
use wfr_trace::decode::Told;
use wfr_trace::notes::Notes;
use wfr_trace::place::Place;
use wfr_trace::supervise::{self, Witness};
use wfr_trace::writers::Call;

use super::account::{Account, Paths, cipher_of};
use super::kin::{Kin, Whose};
use super::within::Word;
use super::{BEGUN, Briefing, DELEGATED, MOVED, UNPRIVILEGED, WROTE, boot, path_of, takes};

/// Programs that gain privileges by being run.
const PRIVILEGED: [&str; 8] = ["sudo", "doas", "su", "pkexec", "newuidmap", "newgidmap", "fusermount", "fusermount3"];

/// Supervises the command whose launcher is at the other end of `control`, until nobody is left. It must be called by a process
/// that has one thread.
///
/// Errors: what the system says; then the command was not launched, or goes on unseen.
pub fn supervise(control: UnixStream) -> io::Result<()> {
    let launcher = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get().unsigned_abs());
    // A client that stops a command ends all that it started, one by one.
    supervise::leave()?;
    let told = supervise::briefing(&control)?;
    let Briefing { root, notes: place, key, inherited, since, table, writer, paths_key } =
        serde_json::from_slice(&told)?;
    let (root, place) = (path_of(root), path_of(place));
    let notes = Arc::new(Notes::open(&place)?);
    notes.hold()?;
    notes.add(BEGUN, &boot())?;
    let top = rustix::fs::openat(CWD, &root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut own = Account::new(notes.clone(), key.map(cipher_of), since, writer);
    own.knows(WROTE, inherited);
    // Without it, what two wrote between two looks is shared.
    let paths = takes::table(&path_of(table)).map(|table| Paths { table, key: paths_key });
    let (accounts, kin, may_gain) = (vec![own], Kin::of(launcher), may_gain_privileges());
    let mut writer = Writer { place, top, accounts, kin, paths, calls: 0, may_gain };
    supervise::supervise(control, &root, Some(&notes), &mut writer)?;
    writer.accounts.iter_mut().try_for_each(Account::over)
}

struct Writer {
    /// Where the notes of the outermost command are.
    place: PathBuf,
    top: OwnedFd,
    /// Of the outermost command, and of those within it.
    accounts: Vec<Account>,
    kin: Kin,
    paths: Option<Paths>,
    /// Calls that were told.
    calls: u32,
    /// Whether what the command runs gains the privileges that it should.
    may_gain: bool,
}

impl Writer {
    /// The accounts of who asks: several where nobody knows.
    fn of(&mut self, thread: u32) -> Vec<usize> {
        match self.kin.whose(thread) {
            Whose::One(account) => vec![account],
            Whose::Unsure { began } => self.kin.candidates(began),
        }
    }

    /// What is done before paths change hands.
    fn take(&mut self, call: Call, account: usize, what: &Told, stands_back: &dyn Fn()) {
        let (Some(paths), account) = (&self.paths, &mut self.accounts[account]) else { return };
        let mut take = |place| account.take(&self.top, place, (paths, call), stands_back);
        match what {
            // It fails where anything is.
            Told::Does { effect: Effect::Makes, place } if is_there(&self.top, place) => {}
            Told::Does { place, .. } => take(place),
            Told::Moves { from, to } => [from, to].into_iter().for_each(take),
            _ => {}
        }
    }

    fn record(&mut self, thread: u32, account: usize, what: &Told, stands_back: &dyn Fn()) {
        let (top, account) = (&self.top, &mut self.accounts[account]);
        match what {
            Told::Does { effect, place } => {
                if *effect != Effect::Makes {
                    account.first(top, place, stands_back);
                }
                account.at(WROTE, place);
            }
            Told::Moves { from, to } => {
                account.first(top, from, stands_back);
                account.first(top, to, stands_back);
                account.at(MOVED, from);
                account.at(MOVED, to);
            }
            Told::Links { from, to } => {
                account.at(WROTE, from);
                account.at(WROTE, to);
            }
            Told::Runs(program) => {
                let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                let is_named = || std::str::from_utf8(name).is_ok_and(|name| PRIVILEGED.contains(&name));
                if !self.may_gain && (is_named() || gains(thread, program)) {
                    account.note(UNPRIVILEGED, name);
                }
            }
            Told::Delegates(address) => {
                // Where nobody listens, nobody does anything.
                let place = Path::new(std::ffi::OsStr::from_bytes(address));
                if place.is_relative() || place.exists() {
                    account.note(DELEGATED, address);
                }
            }
            Told::Escapes => account.unseen("it mounted something, or took a descriptor of another process"),
            Told::Says(_) => {}
        }
    }

    /// What the launcher of a command within this one says.
    fn hear(&mut self, thread: u32, said: &[u8]) {
        match Word::read(said) {
            Some(Word::Joins { id, since, writer, key }) => {
                let Some(account) = Account::within(&self.place, id, since, writer, key) else { return };
                if self.accounts.iter().any(|other| other.is_of(id))
                    || self.kin.join(thread, self.accounts.len()).is_none()
                {
                    return;
                }
                // Whoever said it looks for this.
                account.begin(&self.place);
                self.accounts.push(account);
            }
            Some(Word::Ended { id }) => {
                let Some(at) = self.accounts.iter().position(|account| account.is_of(id)) else { return };
                let nobody_is_left = !self.kin.has_members(at);
                self.accounts[at].ended(nobody_is_left);
                if nobody_is_left {
                    self.kin.leave(at);
                }
            }
            None => {}
        }
    }
}

impl Witness for Writer {
    fn told(&mut self, thread: u32, what: Told, stands_back: &dyn Fn()) {
        if let Told::Says(said) = &what {
            return self.hear(thread, said);
        }
        self.calls = self.calls.wrapping_add(1);
        let call = Call { thread, number: self.calls };
        self.paths.iter().for_each(|paths| paths.table.calls(call));
        for account in self.of(thread) {
            self.accounts[account].asks(thread);
            self.take(call, account, &what, stands_back);
            self.record(thread, account, &what, stands_back);
        }
    }

    fn ended(&mut self, unseen: u64, nobody_is_left: bool) {
        let own = &mut self.accounts[0];
        if unseen > 0 {
            own.unseen("a look took too long");
        }
        own.ended(nobody_is_left);
    }
}

/// Whether a program needs privileges that a traced command cannot gain here.
pub fn cannot_gain(program: &str) -> bool {
    PRIVILEGED.contains(&program) && !may_gain_privileges()
}

/// Whether anything is at a place.
fn is_there(top: &OwnedFd, place: &Place) -> bool {
    let Place::Inside(path) = place else { return false };
    let path = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
    statx(top, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE).is_ok()
}

/// Whether a program that a thread is about to run would be somebody else.
fn gains(thread: u32, program: &[u8]) -> bool {
    let base = if program.starts_with(b"/") { "root" } else { "cwd" };
    let path = [format!("/proc/{thread}/{base}/").as_bytes(), program].concat();
    let Ok(meta) = std::fs::metadata(path_of(path)) else { return false };
    const SET_USER: u32 = 0o4000;
    const SET_GROUP: u32 = 0o2010;
    let becomes_user = meta.mode() & SET_USER != 0 && meta.uid() != rustix::process::geteuid().as_raw();
    let becomes_group = meta.mode() & SET_GROUP == SET_GROUP && meta.gid() != rustix::process::getegid().as_raw();
    meta.is_file() && (becomes_user || becomes_group)
}

/// Whether a traced command can gain privileges: the filter was installed by who has them already.
fn may_gain_privileges() -> bool {
    const SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let has = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let has = has.and_then(|has| u64::from_str_radix(has.trim(), 16).ok()).unwrap_or(0);
    has >> SYS_ADMIN & 1 == 1
}
