//! `exec`: runs a command as a change, traced where it can be.
//!
//! Owns the command's process: how it is started, waited for and passed signals, and what becomes of its exit code. Refuses to
//! touch its streams, and to let any trouble of ours be the command's.

use std::any::Any;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode};
use std::time::Instant;

use wfr_engine::error::{Code, Failure};
use wfr_engine::handlers::executing::{self, Closed};
use wfr_engine::response::Outcome;
use wfr_engine::results::Executing;
use wfr_engine::session::Session;
use wfr_engine::tracing;
use wfr_model::change::Evidence;
use wfr_trace::Waited;
use wfr_trace::launch::{Launched, Refused, launch};

use crate::arguments::Global;
use crate::confining::Confined;
use crate::signals::PassedOn;
use crate::terminal::{self, WARN, styled, visible};
use crate::{environment, guard, signals};

/// The operation.
pub const NAME: &str = "exec";

/// The first word of a process that supervises a command.
pub const SUPERVISE: &str = "--supervise-command";

/// A command that runs.
struct Running {
    /// Its process.
    id: u32,
    /// Where it is traced, what tells its supervisor of its end.
    launched: Option<Launched>,
    /// Whether the supervisor around us sees it.
    is_within: bool,
    /// What is known of it.
    evidence: Evidence,
}

/// Runs the command that was announced, ends its change, and gives its exit code.
pub fn run(outcome: Outcome, session: Session, global: &Global) -> ExitCode {
    let result: &dyn Any = &*outcome.result;
    let Some(executing) = result.downcast_ref::<Executing>() else {
        let failure = Failure::new(Code::Internal, "`exec` gave no command");
        return guard::refused(NAME, None, global, &failure);
    };
    run_announced(executing, session, global)
}

/// Runs a command that was announced, ends its change, and gives its exit code; dies of the signal that the command died of.
pub fn run_announced(executing: &Executing, mut session: Session, global: &Global) -> ExitCode {
    if let Some((why, remedy)) = &executing.observed {
        warn(global, &format!("the command is not traced: {why}; {remedy}"));
    }
    // Until the change has ended: whoever finds that nobody holds it may end it.
    let held = executing.tracing.as_ref().map(|tracing| tracing::hold(&tracing.notes));
    let ended = guard::words(&executing.command).and_then(|words| {
        let command = Confined::new(&words, &executing.writable, &executing.change_id)?;
        Ok(run_command(&command, executing, global))
    });
    let (code, evidence) = match ended {
        Ok(ended) => ended,
        Err(failure) => (guard::refused(NAME, None, global, &failure), Evidence::default()),
    };
    session.abort = signals::watch(true);
    match executing::end(&mut session, &executing.change_id, &evidence) {
        Ok(closed) => say(&closed, evidence.degraded_since.is_some(), global),
        Err(failure) => {
            let id = &executing.change_id;
            warn(
                global,
                &format!("the command has ended, and change {id} has not: {failure}; `wfr change end {id}` ends it"),
            );
        }
    }
    // All is recorded and given back: this may not come back.
    drop((session, held));
    evidence.signal.inspect(|signal| signals::die_of(*signal));
    code
}

fn run_command(command: &Confined<'_>, executing: &Executing, global: &Global) -> (ExitCode, Evidence) {
    command.gap().inspect(|gap| warn(global, gap));
    let began = Instant::now();
    let kills = out_of_memory_kills();
    let passed_on = PassedOn::begin();
    let running = match start(command, executing, global) {
        Ok(running) => running,
        Err(error) => {
            let code = guard::not_run(NAME, command.program(), &error, global, "mend the command");
            return (code, Evidence::default());
        }
    };
    let mut passed_on = passed_on.ok();
    if let Some(passed_on) = &mut passed_on {
        passed_on.to(running.id);
    }
    let waited = wait(running.id);
    let mut evidence = running.evidence;
    evidence.duration_ms = u64::try_from(began.elapsed().as_millis()).ok();
    let code = waited.map_or(1, |waited| {
        note(&mut evidence, &waited);
        waited.status.code().unwrap_or_else(|| 128 + waited.status.signal().unwrap_or(0))
    });
    evidence.out_of_memory = kills.zip(out_of_memory_kills()).map(|(before, after)| after > before);
    if let Some(launched) = running.launched
        && launched.ended().is_err()
    {
        // The keeper says since when, where it could.
        degrade(&mut evidence, "its supervisor died");
    }
    if running.is_within && !executing.tracing.as_ref().is_some_and(tracing::ended) {
        degrade(&mut evidence, "the supervisor around it died");
    }
    (ExitCode::from(u8::try_from(code).unwrap_or(1)), evidence)
}

/// Starts it traced, or where it cannot be, not. Errors: it cannot be run.
fn start(command: &Confined<'_>, executing: &Executing, global: &Global) -> io::Result<Running> {
    let mut evidence = Evidence::default();
    if let Some(tracing) = &executing.tracing {
        let mut supervisor = Command::new("/proc/self/exe");
        supervisor.arg(SUPERVISE);
        let why = match launch(command.command()?, supervisor, &tracing.briefing) {
            Ok(launched) => {
                let id = launched.child.id();
                return Ok(Running { id, launched: Some(launched), is_within: false, evidence });
            }
            Err(Refused::Kernel(error)) if has_tracer(&error) && tracing::join(tracing) => {
                let spawned = command.command()?.spawn();
                if spawned.is_err() {
                    tracing::ended(tracing);
                }
                return Ok(Running { id: spawned?.id(), launched: None, is_within: true, evidence });
            }
            Err(Refused::Command(error)) => return Err(error),
            Err(Refused::Kernel(error)) if has_tracer(&error) => {
                "the kernel does not let it be traced twice, and whoever traces it already does not do so for this workspace"
                    .to_owned()
            }
            Err(Refused::Kernel(error)) => format!("the kernel does not let it be traced ({error})"),
            Err(Refused::Supervisor(error)) => format!("its supervisor could not be started ({error})"),
        };
        // Before it runs: who looks at the tree meanwhile must know.
        if let Err(error) = tracing::add_unseen(&tracing.notes, &why) {
            warn(global, &format!("that the command is not traced cannot be noted: {error}"));
        }
        warn(global, &format!("the command is not traced, what it changes is found by a look: {why}"));
        degrade(&mut evidence, &why);
    }
    // Who waits for it does so by its number.
    let id = command.command()?.spawn()?.id();
    Ok(Running { id, launched: None, is_within: false, evidence })
}

/// Whether the kernel says that this process is traced already.
fn has_tracer(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error())
}

/// Waits for the command's end; stops with it where it stops. `None` where nobody can tell how it ended.
fn wait(child: u32) -> Option<Waited> {
    loop {
        match wfr_trace::wait(child) {
            Ok(waited) => match waited.status.stopped_signal() {
                Some(signal) => signals::stop_with(child, signal),
                None => return Some(waited),
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

fn note(evidence: &mut Evidence, waited: &Waited) {
    evidence.exit_code = waited.status.code();
    evidence.signal = waited.status.signal();
    evidence.user_ms = Some(waited.user_us / 1_000);
    evidence.system_ms = Some(waited.system_us / 1_000);
    evidence.memory_peak_kib = Some(waited.memory_kib);
}

fn degrade(evidence: &mut Evidence, why: &str) {
    evidence.degraded_since = Some(environment::clock());
    evidence.degraded_because = Some(why.to_owned());
}

/// How many processes of our control group the kernel has killed because memory ran out; `None` where it does not say.
fn out_of_memory_kills() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let events = std::fs::read_to_string(format!("/sys/fs/cgroup/{own}/memory.events")).ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

fn say(closed: &Closed, was_said: bool, global: &Global) {
    let evidence = &closed.evidence;
    if let Some(since) = evidence.degraded_since.filter(|_| !was_said) {
        let why = evidence.degraded_because.as_deref().unwrap_or("nobody knows why");
        warn(
            global,
            &format!("not all that the command did was seen since {since}: {why}; the rest is found by a look"),
        );
    }
    if !evidence.unprivileged.is_empty() {
        let programs = evidence.unprivileged.join("`, `");
        let message =
            format!("`{programs}` cannot gain privileges in a traced command: say `wfr exec --observed` for it");
        warn(global, &message);
    }
}

fn warn(global: &Global, message: &str) {
    if global.quiet {
        return;
    }
    let line = format!("{} {}\n", styled(WARN, "wfr:"), visible(message));
    // Where it cannot be said, the command is none the worse for it.
    let _ = terminal::write(&mut terminal::err(global.colour), &line);
}

/// The process that supervises a command: its launcher is at the other end of standard input.
pub fn supervise() -> ExitCode {
    wfr_trace::close_inherited();
    let control = io::stdin().as_fd().try_clone_to_owned().map(|fd: OwnedFd| UnixStream::from(fd));
    let served = control.and_then(|control| {
        // The keeper has a copy of it, and the launcher is to see when the supervisor is gone.
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        tracing::supervise(control)
    });
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
