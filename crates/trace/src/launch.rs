//! Starting a command under the filter.
//!
//! Owns the order: the filter is over it before it runs, and it runs only when somebody answers. Refuses to know what the answers
//! are for, and to touch the command's streams, signals and terminal.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::calls::Arch;
use crate::supervise::BRIEFING_MAX;
use crate::{filter, sys};

/// A traced command.
#[derive(Debug)]
pub struct Launched {
    /// It.
    pub child: Child,
    control: UnixStream,
}

/// Why a command cannot be traced. It was not run.
#[derive(Debug)]
pub enum Refused {
    /// The command itself cannot be run: it is not there, or no program.
    Command(io::Error),
    /// The kernel does not trace as it must be done, or forbids it.
    Kernel(io::Error),
    /// The supervisor could not be started.
    Supervisor(io::Error),
}

/// So long the supervisor may take to say that it knows of the command's end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts a command under the filter, answered by `supervisor`: that program must call [`crate::supervise::supervise`] with its
/// standard input, from which it reads the briefing first. It gets no other stream.
pub fn launch(command: Command, mut supervisor: Command, briefing: &[u8]) -> Result<Launched, Refused> {
    let arches = Arch::here().ok_or_else(|| Refused::Kernel(io::ErrorKind::Unsupported.into()))?;
    let (control, other) = UnixStream::pair().map_err(Refused::Supervisor)?;
    let length = u32::try_from(briefing.len()).ok().filter(|length| *length <= BRIEFING_MAX);
    let length = length.ok_or_else(|| Refused::Supervisor(io::ErrorKind::InvalidInput.into()))?;
    (&control).write_all(&[&length.to_le_bytes(), briefing].concat()).map_err(Refused::Supervisor)?;
    // It may outlive the command: it keeps no directory busy.
    supervisor.current_dir("/");
    supervisor.stdin(OwnedFd::from(other)).stdout(Stdio::null()).stderr(Stdio::null());
    let spawned = supervisor.spawn();
    // It has the other end of the control: were it to die while we have that, too, the command would wait for it for ever.
    drop(supervisor);
    let mut supervisor = spawned.map_err(Refused::Supervisor)?;
    let started = start(command, &control, arches);
    if started.is_err() {
        // It waits for a command that does not come. When it has ended, its end of the control is closed.
        control.shutdown(std::net::Shutdown::Write).ok();
        control.set_read_timeout(Some(PATIENCE)).ok();
        (&control).read_exact(&mut [0]).ok();
    }
    // It is another process by now, which has left us.
    supervisor.try_wait().ok();
    Ok(Launched { child: started?, control })
}

fn start(mut command: Command, control: &UnixStream, arches: [Arch; 2]) -> Result<Child, Refused> {
    let program = filter::program(arches);
    let (told, tells) = io::pipe().map_err(Refused::Supervisor)?;
    let to_supervisor = control.try_clone().map_err(Refused::Supervisor)?;
    let step = move || {
        // What is said here names the step at which it ended: the error alone does not.
        let say = |step: u8| rustix::io::write(&tells, &[step]);
        say(b'k').ok();
        let listener = match sys::install(&program) {
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                sys::no_new_privileges()?;
                sys::install(&program)?
            }
            installed => installed?,
        };
        say(b's').ok();
        sys::send(to_supervisor.as_fd(), listener.as_fd())?;
        let mut answer = [0];
        match rustix::io::read(&to_supervisor, &mut answer)? {
            0 => Err(io::Error::from_raw_os_error(libc::EPIPE)),
            _ => {
                say(b'c').ok();
                Ok(())
            }
        }
    };
    sys::before_exec(&mut command, step);
    let spawned = command.spawn();
    drop(command);
    spawned.map_err(|error| {
        let mut steps = Vec::new();
        let mut told = told;
        told.read_to_end(&mut steps).ok();
        match steps.last() {
            Some(b'k') => Refused::Kernel(error),
            Some(b's') => Refused::Supervisor(error),
            _ => Refused::Command(error),
        }
    })
}

impl Launched {
    /// Says that the command itself has ended, and waits until the witness knows: all that it did is told by then. Errors: what the
    /// system says; the supervisor may be dead.
    pub fn ended(self) -> io::Result<()> {
        self.control.set_read_timeout(Some(PATIENCE))?;
        self.control.shutdown(std::net::Shutdown::Write)?;
        (&self.control).read_exact(&mut [0])
    }
}
