//! Looking for what is needed: in parallel, and within a budget of time.
//!
//! Owns how each need is looked for. Refuses to read the value of a variable, to contact anything that was not declared, and
//! to wait for what hangs: that is `skipped`.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use wfr_model::workflow::{AgentStatus, PhaseStatus, Whole};

use super::{Declared, Need, Probed};
use crate::results::Verdict;
use crate::session::Session;
use crate::view;

/// How much of what a tool says is looked at, in bytes.
const VERSION_BYTES_MAX: usize = 4 << 10;

/// How many things are looked for at the same time.
const THREADS_MAX: usize = 16;

/// The forms of a need.
const FORMS: &str = "declare it as {\"tool\": ...}, {\"file\": ...}, {\"env\": ...}, {\"port\": ...} or {\"host\": ..., \"port\": ...}, \
    or as {\"type\": ..., \"name\": ...}; a plain text is a tool";

/// What was found for one need.
struct Found {
    status: Verdict,
    detail: String,
    version: Option<String>,
}

impl Found {
    fn new(status: Verdict, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), version: None }
    }
}

/// Needs that are being looked for.
pub struct Probing {
    declared: Vec<Declared>,
    found: Vec<Option<Found>>,
    answers: Receiver<(usize, Found)>,
    deadline: Instant,
    budget: Duration,
}

/// Begins to look for each need; all of it may take as long as the budget. With `versions` tools are asked for theirs.
/// What only the state can answer is answered from `state`.
pub fn start(
    root: &Path,
    session: &Session,
    state: Option<&Whole>,
    declared: Vec<Declared>,
    (versions, budget): (bool, Duration),
) -> Probing {
    let deadline = Instant::now() + budget;
    let found: Vec<Option<Found>> = declared.iter().map(|one| at_once(state, session.variable, one)).collect();
    let open = declared.iter().enumerate().filter(|(at, _)| found[*at].is_none());
    let queue: VecDeque<(usize, Declared)> = open.map(|(at, one)| (at, one.clone())).collect();
    let threads = queue.len().min(THREADS_MAX);
    let queue = Arc::new(Mutex::new(queue));
    let (sender, answers) = channel();
    let prober =
        Prober { root: root.to_owned(), path: (session.variable)("PATH").unwrap_or_default(), versions, deadline };
    for _ in 0..threads {
        let (queue, sender, prober) = (queue.clone(), sender.clone(), prober.clone());
        // A thread that hangs, in a name service or a file system, is left behind: nobody waits for it.
        let _ = std::thread::Builder::new().spawn(move || work(&prober, &queue, &sender));
    }
    Probing { declared, found, answers, deadline, budget }
}

fn work(prober: &Prober, queue: &Mutex<VecDeque<(usize, Declared)>>, sender: &Sender<(usize, Found)>) {
    while Instant::now() < prober.deadline {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((at, declared)) = next else { return };
        if sender.send((at, prober.find(&declared))).is_err() {
            return;
        }
    }
}

impl Probing {
    /// What was found when all of it is, or when the time is over.
    pub fn finish(mut self) -> Vec<Probed> {
        while self.found.iter().any(Option::is_none) {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let Ok((at, found)) = self.answers.recv_timeout(left) else { break };
            self.found[at] = Some(found);
        }
        let late = || Found::new(Verdict::Skipped, format!("nothing was found within {} ms", self.budget.as_millis()));
        let all = self.declared.iter().zip(self.found);
        all.map(|(declared, found)| {
            let Found { status, detail, version } = found.unwrap_or_else(late);
            // A name that was found is a tool from then on: it is missed where it is gone.
            let is_tool = declared.need == Need::Name && status == Verdict::Passed;
            let kind = if is_tool { "tool" } else { declared.need.kind() }.to_owned();
            let target = declared.need.target();
            Probed { name: declared.name.clone(), scope: declared.scope, kind, target, version, status, detail }
        })
        .collect()
    }
}

/// What needs no looking: the state and the environment are at hand.
fn at_once(state: Option<&Whole>, variable: fn(&str) -> Option<OsString>, declared: &Declared) -> Option<Found> {
    let of_state = |answer: fn(&Whole) -> Found| {
        Some(state.map_or_else(|| Found::new(Verdict::Skipped, "there is no state"), answer))
    };
    match &declared.need {
        Need::Variable => {
            // Whether it is set. Its value is nobody's business.
            let is_set = variable(&declared.name).is_some();
            Some(Found::new(Verdict::of(is_set), if is_set { "it is set" } else { "it is not set" }))
        }
        Need::PhaseOutputs => of_state(phases),
        Need::AgentPool => of_state(agents),
        Need::TaskHistory => of_state(tasks),
        Need::Word => {
            let why = "nothing says what it is: declare it as {\"type\": \"tool\", \"name\": ...}";
            Some(Found::new(Verdict::Skipped, why))
        }
        Need::Odd => Some(Found::new(Verdict::Skipped, format!("it is in no form that is understood: {FORMS}"))),
        Need::Name | Need::Tool(_) | Need::File(_) | Need::Port(..) | Need::Configuration => None,
    }
}

fn phases(state: &Whole) -> Found {
    let Some(current) = &state.head.current_phase else {
        return Found::new(Verdict::Passed, "no phase has begun");
    };
    let open = state.phases.values().find(|phase| {
        phase.phase_id < *current && !matches!(phase.status, PhaseStatus::Completed | PhaseStatus::Skipped)
    });
    match open {
        Some(phase) => Found::new(Verdict::Failed, format!("phase {} is {}", phase.phase_id, phase.status.as_str())),
        None => Found::new(Verdict::Passed, "every phase before the current one has ended"),
    }
}

fn agents(state: &Whole) -> Found {
    let can_work = |status: AgentStatus| status != AgentStatus::Failed;
    let able = state.agents.values().filter(|agent| !agent.deallocated && can_work(agent.status)).count();
    Found::new(Verdict::of(able > 0), format!("{able} of {} agents can work", state.agents.len()))
}

fn tasks(state: &Whole) -> Found {
    let counts = state.head.counts;
    let detail = format!("{} of {} tasks are completed", counts.completed, counts.total());
    Found::new(Verdict::of(counts.total() > 0), detail)
}

/// What a thread needs to look for something.
#[derive(Clone)]
struct Prober {
    root: PathBuf,
    path: OsString,
    versions: bool,
    deadline: Instant,
}

impl Prober {
    fn find(&self, declared: &Declared) -> Found {
        match &declared.need {
            Need::Tool(version) => self.tool(&declared.name, version.as_deref()),
            Need::Name => match self.tool(&declared.name, None) {
                found if found.status == Verdict::Passed => found,
                _ => Found::new(
                    Verdict::Skipped,
                    format!("it is no tool on the search path: if it is something else, {FORMS}"),
                ),
            },
            Need::File(path) => self.file(path),
            Need::Port(host, port) => port_answers(host, *port, self.deadline),
            _ => match view::load_config(&self.root) {
                Ok(_) => Found::new(Verdict::Passed, "the configuration can be read"),
                Err(error) => Found::new(Verdict::Failed, error.to_string()),
            },
        }
    }

    fn tool(&self, name: &str, wanted: Option<&str>) -> Found {
        let is_program = |path: &PathBuf| {
            std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        };
        let found = if name.contains('/') {
            Some(self.root.join(name)).filter(is_program)
        } else {
            std::env::split_paths(&self.path).map(|dir| dir.join(name)).find(is_program)
        };
        let Some(path) = found else { return Found::new(Verdict::Failed, "it is not on the search path") };
        let place = path.display().to_string();
        if !self.versions {
            return Found::new(Verdict::Passed, place);
        }
        let version = version(&path, self.deadline);
        let (status, detail) = match (&version, wanted) {
            (None, None) => (Verdict::Passed, format!("{place}; it does not say its version")),
            (Some(says), None) => (Verdict::Passed, format!("{place}: {says}")),
            (None, Some(wanted)) => (Verdict::Skipped, format!("{place} does not say whether it is {wanted}")),
            (Some(says), Some(wanted)) => {
                (Verdict::of(is_version(says, wanted)), format!("{place}: {says}; {wanted} is asked for"))
            }
        };
        Found { status, detail, version }
    }

    fn file(&self, path: &Path) -> Found {
        let at = self.root.join(path);
        match std::fs::metadata(&at) {
            Ok(_) => Found::new(Verdict::Passed, at.display().to_string()),
            Err(error) => Found::new(Verdict::Failed, format!("{}: {error}", at.display())),
        }
    }
}

/// Whether what a tool says of itself begins with a version.
fn is_version(says: &str, wanted: &str) -> bool {
    let wanted = wanted.trim_start_matches(['v', '=', '^', '~']);
    let mut words = says.split(|letter: char| letter.is_whitespace() || ",()".contains(letter));
    words.any(|word| word.trim_start_matches('v').starts_with(wanted))
}

fn port_answers(host: &str, port: u16, deadline: Instant) -> Found {
    let addresses = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(error) => return Found::new(Verdict::Failed, format!("{host} is not known: {error}")),
    };
    let mut last = format!("{host} has no address");
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Found::new(Verdict::Skipped, format!("{address} did not answer in time"));
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) => return Found::new(Verdict::Passed, format!("{address} answers")),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Found::new(Verdict::Failed, last)
}

/// The first line of what a tool says of its version; `None` where it says nothing in time.
fn version(path: &Path, deadline: Instant) -> Option<String> {
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A group of its own: what it has started ends with it.
    command.process_group(0);
    let mut child = command.spawn().ok()?;
    let said = child.stdout.take().map(|from| said_in_time(from, deadline));
    // What it has not said by now is not waited for.
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
    let said = said?;
    let text = String::from_utf8_lossy(&said);
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty())?;
    Some(line.chars().filter(|letter| !letter.is_control()).take(120).collect())
}

/// What comes until the end, the limit, or the deadline.
fn said_in_time(mut from: std::process::ChildStdout, deadline: Instant) -> Vec<u8> {
    let mut said = Vec::new();
    let mut buffer = [0; 512];
    while said.len() < VERSION_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left) else { break };
        match poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&left)) {
            Ok(0) => break,
            Err(Errno::INTR) => continue,
            Err(_) => break,
            Ok(_) => {}
        }
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_tool_that_says_nothing_in_time_says_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let tool = |name: &str, script: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("it can be written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
            path
        };
        assert_eq!(version(&tool("says", "echo 'tool 1.2'; echo more"), soon()).as_deref(), Some("tool 1.2"));
        // What it started holds the pipe open, and is ended with it.
        let at_once = || Instant::now() + Duration::from_millis(50);
        assert_eq!(version(&tool("silent", "sleep 60"), at_once()), None);
        assert_eq!(version(&tool("fails", "exit 3"), soon()), None);
        assert!(is_version("git version 2.43.0", "2.43") && !is_version("git version 2.43.0", "3"));
    }

    #[test]
    fn a_port_that_nobody_serves_does_not_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback can be bound");
        let port = listener.local_addr().expect("it is bound").port();
        assert_eq!(port_answers("127.0.0.1", port, soon()).status, Verdict::Passed);
        drop(listener);
        assert_eq!(port_answers("127.0.0.1", port, soon()).status, Verdict::Failed);
    }
}
