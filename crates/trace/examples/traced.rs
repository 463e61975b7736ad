//! Traces a command and writes what it is told to a file: `traced TREE FILE COMMAND...`.
//!
//! Owns the shape of a program that uses this crate: it is launcher and supervisor. Refuses to be of further use.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};

use wfr_trace::decode::Told;
use wfr_trace::launch::launch;
use wfr_trace::supervise::{Witness, briefing, supervise};

struct Lines(std::fs::File);

impl Witness for Lines {
    fn told(&mut self, _thread: u32, what: Told, _stands_back: &dyn Fn()) {
        writeln!(self.0, "{what:?}").ok();
    }

    fn ended(&mut self, _unseen: u64, _nobody_is_left: bool) {
        writeln!(self.0, "ended").ok();
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || arguments.next().expect("traced TREE FILE COMMAND...");
    let (tree, file, command) = (next(), next(), next());
    let rest: Vec<_> = arguments.collect();
    if command == "--supervise" {
        return serve(Path::new(&tree), Path::new(&file));
    }
    let mut supervisor = Command::new("/proc/self/exe");
    supervisor.args([&tree, &file]).arg("--supervise");
    let mut traced = Command::new(command);
    traced.args(rest);
    let launched = match launch(traced, supervisor, &[]) {
        Ok(launched) => launched,
        Err(refused) => {
            eprintln!("{refused:?}");
            return ExitCode::from(125);
        }
    };
    let waited = wfr_trace::wait(launched.child.id()).expect("the child is ours");
    if let Err(error) = launched.ended() {
        eprintln!("the supervisor: {error}");
    }
    use std::os::unix::process::ExitStatusExt as _;
    let code = waited.status.code().unwrap_or(128 + waited.status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn serve(tree: &Path, file: &Path) -> ExitCode {
    let control = io::stdin().as_fd().try_clone_to_owned().map(|fd: OwnedFd| UnixStream::from(fd));
    let lines = std::fs::OpenOptions::new().create(true).append(true).open(file);
    let served = control.and_then(|control| {
        briefing(&control)?;
        supervise(control, tree, None, &mut Lines(lines?))
    });
    match served {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
