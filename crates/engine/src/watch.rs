//! The watch of a workspace: a process that runs on, and what others ask it.
//!
//! Owns the socket in the vault and what is said over it. Refuses to be needed: where nobody answers, and in time, a scan looks
//! at everything.
//!
//! One line each way, as JSON. Who can open the vault can ask; nothing that is asked changes a file.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use wfr_capture::watch::{How, Seen, Watch, touched};
use wfr_coord::Lock;
use wfr_model::{Timestamp, TreePath};
use wfr_store::disk;
use wfr_store::scan::{Mark, Rules, Touched};

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::outbox;
use crate::results::WatchView;
use crate::session::Session;
use crate::{scanning, view};

/// The lock of whoever watches.
pub const LOCK: &str = "watch";

const SOCKET: &str = "watch.sock";

/// A watch that does not answer within this is passed over. It answers within it unless it has a large new directory to
/// go through.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who asks has so long to say what.
const LISTENS: Duration = Duration::from_millis(200);

/// A longer question is none, in bytes.
const QUESTION_MAX: u64 = 4 << 20;

/// How often it looks whether its store is still there.
const TICK: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
enum Question {
    /// How it is.
    State,
    /// What was touched since a mark, by the rules of the scan that wants to know.
    Since { since: Option<MarkSent>, exclude: Vec<String>, skip_cachedir_tag: bool, keep: Vec<TreePath> },
    /// To end.
    Stop,
}

/// A mark on its way.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct MarkSent {
    watch: [u8; 16],
    seq: u64,
}

impl From<Mark> for MarkSent {
    fn from(mark: Mark) -> Self {
        Self { watch: mark.watch, seq: mark.seq }
    }
}

impl From<MarkSent> for Mark {
    fn from(mark: MarkSent) -> Self {
        Self { watch: mark.watch, seq: mark.seq }
    }
}

/// What is answered to a question for what was touched.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    mark: MarkSent,
    /// `None`: anything may have been.
    touched: Option<Vec<(How, TreePath)>>,
}

/// What the watch of a workspace says.
pub struct Heard {
    /// How far it has come.
    pub mark: Mark,
    /// What was touched; `None`: anything may have been.
    pub touched: Option<Touched>,
}

/// Asks the watch what was touched since a mark. `None` where nobody watches, or does not answer in time.
pub fn since(open: &Open, mark: Option<Mark>, rules: &Rules) -> Option<Heard> {
    let exclude = rules.excluded().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let (skip_cachedir_tag, keep) = (rules.skip_cachedir_tag, rules.keep.clone());
    let question = Question::Since { since: mark.map(MarkSent::from), exclude, skip_cachedir_tag, keep };
    let told: Told = ask(open.vault.dir(), &question)?;
    let seen = told.touched.map(|seen| seen.into_iter().map(|(how, path)| Seen { path, how }).collect::<Vec<_>>());
    Some(Heard { mark: told.mark.into(), touched: seen.map(|seen| touched(&seen)) })
}

/// Whether somebody may watch a workspace: otherwise nobody need be asked.
pub fn may_answer(vault: &Path) -> bool {
    vault.join(SOCKET).exists()
}

/// How the watch of a workspace is; `None` where nobody watches, or does not answer in time.
pub fn state(vault: &Path) -> Option<WatchView> {
    ask(vault, &Question::State)
}

/// Asks the watch to end. `None` where nobody watches.
pub fn stop(vault: &Path) -> Option<WatchView> {
    ask(vault, &Question::Stop)
}

/// The process that has the watch's socket, for whoever has asked it and got no answer. `None` where there is none.
pub fn listener(vault: &Path) -> Option<i32> {
    let stream = connect(vault).ok()?;
    Some(rustix::net::sockopt::socket_peercred(&stream).ok()?.pid.as_raw_nonzero().get())
}

/// What ends a watch that does not answer.
pub fn way_to_end(vault: &Path) -> String {
    match listener(vault) {
        Some(process) => {
            format!(
                "`kill -9 {process}` ends it: process {process} does not answer; until then each look scans the tree"
            )
        }
        None => "wait until it has ended, then try again".to_owned(),
    }
}

fn ask<A: for<'de> Deserialize<'de>>(vault: &Path, question: &Question) -> Option<A> {
    let mut stream = connect(vault).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let mut line = serde_json::to_vec(question).ok()?;
    line.push(b'\n');
    stream.write_all(&line).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    serde_json::from_slice(&answer).ok()
}

/// The socket by way of its open directory: a socket's own path may have 107 bytes only.
fn socket(vault: &Path) -> io::Result<(std::os::fd::OwnedFd, PathBuf)> {
    let dir = disk::open_dir(vault)?;
    let place = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()));
    Ok((dir, place))
}

fn connect(vault: &Path) -> io::Result<UnixStream> {
    let (_dir, place) = socket(vault)?;
    UnixStream::connect(place)
}

/// A process that watches.
struct Server<'s> {
    session: &'s Session,
    listener: UnixListener,
    /// Where its socket stands, and which inode it is.
    place: (PathBuf, u64),
    watch: Watch,
    started_at: Timestamp,
    ends: bool,
}

/// Watches until it is asked to end, is interrupted, or the workspace or its store is gone. `tell` is told when it has
/// begun; whatever it says ends the watch where it fails.
pub fn run(
    session: &Session,
    open: &Open,
    tell: &mut dyn FnMut(&WatchView) -> io::Result<()>,
) -> Result<WatchView, Failure> {
    let lock = Lock::take(&outbox::locks(&open.place), LOCK)?;
    let Some(_lock) = lock else {
        let failure = Failure::new(Code::Held, "another process watches this workspace already");
        return Err(match state(open.vault.dir()) {
            Some(_) => failure.with_hint("`wfr watch status` shows it, `wfr watch stop` ends it"),
            None => failure.with_hint(way_to_end(open.vault.dir())),
        });
    };
    let root = disk::open_dir(open.root())?;
    let rules = scanning::rules(open, session, vec![]);
    let watch = Watch::begin(root.as_fd(), rules, &view::dir(open.root()), id()).map_err(|error| limit(&error))?;
    if watch.blind().contains(&TreePath::ROOT) {
        return Err(cannot(&watch));
    }
    let mut server = Server {
        session,
        listener: listen(open.vault.dir())?,
        place: (open.vault.dir().join(SOCKET), 0),
        watch,
        started_at: session.now(),
        ends: false,
    };
    server.place.1 = std::fs::metadata(&server.place.0)?.ino();
    tell(&server.view())?;
    let ended = server.serve();
    if server.is_in_place() {
        let _ = std::fs::remove_file(&server.place.0);
    }
    ended?;
    Ok(WatchView { running: false, ..server.view() })
}

/// Why the system has no watch for us at all.
fn limit(error: &io::Error) -> Failure {
    let failure = Failure::of(Code::Io, error).with_details("the kernel gives no watch (inotify)");
    match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::MFILE.raw_os_error() => {
            failure.with_hint("raise fs.inotify.max_user_instances, or end other programs that watch files")
        }
        _ => failure,
    }
}

fn cannot(watch: &Watch) -> Failure {
    if watch.is_limited() {
        let message = "not even the workspace's own directory can be watched: the user's watches are used up";
        return Failure::new(Code::Unwatchable, message).with_hint("raise fs.inotify.max_user_watches with sysctl");
    }
    let message = "the workspace cannot be watched: other machines or programs may change its file system unseen";
    Failure::new(Code::Unwatchable, message)
}

fn listen(vault: &Path) -> Result<UnixListener, Failure> {
    let (_dir, place) = socket(vault)?;
    // Whoever left it there has not the lock any more.
    match std::fs::remove_file(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(&place)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn id() -> [u8; 16] {
    wfr_store::unique::uuid().into_bytes()
}

impl Server<'_> {
    fn serve(&mut self) -> Result<(), Failure> {
        // It tells when anything is mounted or unmounted, which no event of a directory does.
        let mounts = std::fs::File::open("/proc/self/mountinfo")?;
        while !self.ends && !self.session.abort.load(Ordering::Relaxed) && self.watch.is_there() {
            let events = self.watch.wakes();
            let mut waits = [
                PollFd::new(&events, PollFlags::IN),
                PollFd::new(&self.listener, PollFlags::IN),
                PollFd::new(&mounts, PollFlags::PRI),
            ];
            match poll(&mut waits, Some(&TICK)) {
                Ok(0) if !self.is_in_place() => return Ok(()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
            let [has_events, is_asked, is_mounted] = waits.map(|wait| !wait.revents().is_empty());
            if is_mounted || (has_events && !self.watch.read()?) {
                self.watch.begin_anew(None, id())?;
            }
            if is_asked {
                // Who does not ask properly gets no answer; the next one does.
                let _ = self.answer();
            }
        }
        Ok(())
    }

    /// Whether its socket is still the one that others find.
    fn is_in_place(&self) -> bool {
        std::fs::metadata(&self.place.0).is_ok_and(|found| found.ino() == self.place.1)
    }

    fn answer(&mut self) -> io::Result<()> {
        let (mut stream, _) = self.listener.accept()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(LISTENS))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new(&stream).take(QUESTION_MAX).read_line(&mut line)?;
        let answer = match serde_json::from_str(&line)? {
            Question::State => serde_json::to_vec(&self.view())?,
            Question::Stop => {
                self.ends = true;
                serde_json::to_vec(&WatchView { running: false, ..self.view() })?
            }
            Question::Since { since, exclude, skip_cachedir_tag, keep } => {
                let rules = Rules { skip_cachedir_tag, keep, ..self.watch.rules().clone() };
                let rules = rules.excluding(exclude.into_iter().map(String::into_bytes));
                serde_json::to_vec(&self.told(since.map(Mark::from), rules)?)?
            }
        };
        stream.write_all(&answer)
    }

    fn told(&mut self, since: Option<Mark>, rules: Rules) -> io::Result<Told> {
        let known = self.watch.rules();
        let is_same = known.excluded().eq(rules.excluded())
            && (known.skip_cachedir_tag, &known.keep) == (rules.skip_cachedir_tag, &rules.keep);
        if !is_same {
            self.watch.begin_anew(Some(rules), id())?;
        }
        if !self.watch.drain()? {
            self.watch.begin_anew(None, id())?;
        }
        let answer = self.watch.since(since, id());
        let touched = answer.seen.map(|seen| seen.into_iter().map(|one| (one.how, one.path)).collect());
        Ok(Told { mark: answer.mark.into(), touched })
    }

    fn view(&self) -> WatchView {
        WatchView {
            running: true,
            process: Some(std::process::id()),
            started_at: Some(self.started_at),
            directories: self.watch.directories() as u64,
            unwatched: self.watch.blind().iter().cloned().collect(),
            limited: self.watch.is_limited(),
        }
    }
}
