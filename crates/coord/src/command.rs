//! A command that is given one document on standard input.
//!
//! Owns its process group and its time. Refuses to know what it does.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::item::{Item, Refusal};

/// How much of what a command complains of is kept, in bytes.
const COMPLAINT_BYTES_MAX: usize = 1_000;

/// Runs a command by `sh -c` in a directory, with an item's body on standard input.
pub fn deliver(command: &str, dir: &Path, item: &Item, time_limit: Duration) -> Result<(), Refusal> {
    match run(command, dir, item, time_limit) {
        Ok(None) => Ok(()),
        Ok(Some(complaint)) => Err(Refusal(complaint)),
        Err(error) => Err(Refusal(format!("the command could not be run: {error}"))),
    }
}

/// What is wrong with how it ended; `None` where it ended with 0.
fn run(command: &str, dir: &Path, item: &Item, time_limit: Duration) -> io::Result<Option<String>> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).current_dir(dir).stdin(document(&item.body)?);
    // A group of its own: what the command has started ends with it.
    shell.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = shell.spawn()?;
    let group = Pid::from_child(&child);
    let watched = watch(&mut child, group, Instant::now() + time_limit);
    // Whatever the command left behind in its group must not outlive it.
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    let (in_time, complaint) = watched?;
    if !in_time {
        return Ok(Some(format!("no end within {} ms", time_limit.as_millis())));
    }
    if status.success() {
        return Ok(None);
    }
    let complaint = complaint.trim();
    Ok(Some(if complaint.is_empty() { status.to_string() } else { format!("{status}: {complaint}") }))
}

/// The document as a file in memory: unlike a pipe it is never waited for.
fn document(body: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("document", MemfdFlags::CLOEXEC)?);
    file.write_all(body.as_bytes())?;
    file.write_all(b"\n")?;
    file.rewind()?;
    Ok(file)
}

/// Waits for the end or the time limit, and keeps the last of what is said; whether it ended in time.
fn watch(child: &mut Child, pid: Pid, deadline: Instant) -> io::Result<(bool, String)> {
    let end = pidfd_open(pid, PidfdFlags::empty())?;
    let mut said = Vec::new();
    let mut stderr = child.stderr.take();
    if let Some(pipe) = &stderr {
        fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?;
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let (ended, spoke) = {
            let mut fds = vec![PollFd::new(&end, PollFlags::IN)];
            fds.extend(stderr.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            match poll(&mut fds, Some(&left)) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let is_ready = |at: usize| fds.get(at).is_some_and(|fd: &PollFd<'_>| !fd.revents().is_empty());
            (is_ready(0), is_ready(1))
        };
        if spoke && !listen(&mut stderr, &mut said) {
            stderr = None;
        }
        if ended || Instant::now() >= deadline {
            return Ok((ended, String::from_utf8_lossy(&said).into_owned()));
        }
    }
}

/// Reads what is there; `false` where nothing more will come.
fn listen(pipe: &mut Option<impl Read>, said: &mut Vec<u8>) -> bool {
    let Some(pipe) = pipe else { return false };
    let mut buffer = [0; 4_096];
    match pipe.read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            said.extend_from_slice(&buffer[..count]);
            let surplus = said.len().saturating_sub(COMPLAINT_BYTES_MAX);
            said.drain(..surplus);
            true
        }
        Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wfr_model::Timestamp;

    fn run(command: &str, dir: &Path, limit: Duration) -> Result<(), Refusal> {
        let body = format!("{{\"long\":\"{}\"}}", "x".repeat(200_000));
        let item = Item { id: "i".into(), name: "X".into(), workflow: None, at: Timestamp(0), body };
        deliver(command, dir, &item, limit)
    }

    #[test]
    fn it_gets_the_document_and_its_end_counts() {
        let dir = tempfile::tempdir().unwrap();
        let long = Duration::from_secs(60);
        run("cat > got", dir.path(), long).unwrap();
        assert_eq!(std::fs::metadata(dir.path().join("got")).unwrap().len(), 200_012);
        // One that reads nothing is no trouble either.
        run("exit 0", dir.path(), long).unwrap();
        let refused = run("echo no room >&2; exit 3", dir.path(), long).unwrap_err();
        assert!(refused.0.contains('3') && refused.0.ends_with("no room"), "{refused}");
        let noisy = run("yes complaint | head -c 300000 >&2; exit 1", dir.path(), long).unwrap_err();
        assert!(noisy.0.len() < 2_000, "{}", noisy.0.len());
        assert!(run("kill -9 $$", dir.path(), long).unwrap_err().0.contains("signal"));
    }

    #[test]
    fn it_and_its_children_end_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let refused =
            run("sleep 600 & echo $! > child; sleep 600", dir.path(), Duration::from_millis(2_000)).unwrap_err();
        assert!(refused.0.contains("2000 ms"), "{refused}");
        assert!(begun.elapsed() < Duration::from_secs(60));
        let child = std::fs::read_to_string(dir.path().join("child")).unwrap();
        // It was killed; when the system is done with it is the system's affair.
        let pid = child.trim().parse().ok().and_then(Pid::from_raw).unwrap();
        if let Ok(end) = pidfd_open(pid, PidfdFlags::empty()) {
            let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
            assert_eq!(poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&patience)), Ok(1), "it is gone");
        }
    }
}
