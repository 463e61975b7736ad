//! Running what a client runs, to see that it answers.
//!
//! Owns the time that it is given. Refuses to know what an answer means.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Clients wait longer for their hooks.
const TIME_MAX: Duration = Duration::from_secs(20);

/// A longer answer is none, in bytes.
const ANSWER_MAX: u64 = 64 << 10;

/// Runs a program in a directory, gives it the input, and returns what it writes on standard output.
///
/// Errors: it cannot be run, takes too long, or ends with another code than 0.
pub(super) fn ask(program: &Path, words: &[&str], dir: &Path, input: &str) -> io::Result<String> {
    let mut command = Command::new(program);
    command.args(words).current_dir(dir).env("WFR_NO_UPKEEP", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let answer = answer(&mut child, input);
    if answer.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    let answer = answer?;
    if status.success() { Ok(answer) } else { Err(io::Error::other(format!("it ended with {status}"))) }
}

fn answer(child: &mut Child, input: &str) -> io::Result<String> {
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it may answer all the same.
        let _ = stdin.write_all(input.as_bytes());
    }
    let Some(mut stdout) = child.stdout.take() else { return Ok(String::new()) };
    let (until, mut bytes) = (Instant::now() + TIME_MAX, Vec::new());
    loop {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).unwrap_or_default();
        match poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer within 20 seconds")),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut piece = [0; 4_096];
        let count = stdout.read(&mut piece)?;
        bytes.extend_from_slice(&piece[..count]);
        if count == 0 || bytes.len() as u64 > ANSWER_MAX {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
