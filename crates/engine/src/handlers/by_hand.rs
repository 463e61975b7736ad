//! Contents made by hand, for paths at which work cannot be separated.
//!
//! Owns reading them: how much at most, and that it ends where nothing comes. Refuses to know what they are for.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::{Code, Failure};

/// A content has at most so many bytes.
const BYTES_MAX: u64 = 1 << 30;

/// How often it is looked whether to give up, where nothing comes.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Reads a file, or what a pipe gives until its end. Ends where it is given up from outside, or at the limit.
pub fn read(place: &Path, limit: Option<Duration>, abort: &AtomicBool) -> Result<Vec<u8>, Failure> {
    let begun = Instant::now();
    let failed = |error: io::Error| {
        let code = if error.kind() == io::ErrorKind::NotFound { Code::FileNotFound } else { Code::Io };
        Failure::new(code, format!("{} cannot be read", place.display())).with_details(error.to_string())
    };
    // A pipe that nobody has opened for writing would be waited for.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open(place).map_err(failed)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        if abort.load(Ordering::Relaxed) {
            return Err(Failure::new(Code::Interrupted, "interrupted: nothing was changed"));
        }
        if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            return Err(Failure::new(Code::TimeLimit, format!("{} gives nothing more in time", place.display()))
                .with_hint("give a file, or end the program that writes there"));
        }
        match poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&TICK)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Err(error) => return Err(failed(error.into())),
            Ok(_) => {}
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(failed(error)),
        }
        if bytes.len() as u64 > BYTES_MAX {
            let message = format!("{} has more than {BYTES_MAX} bytes", place.display());
            return Err(
                Failure::new(Code::InvalidParameter, message).with_hint("such a file is better put there by hand")
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_nothing_ends_and_what_is_endless_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, never) = (dir.path().join("pipe"), AtomicBool::new(false));
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        let late = read(&pipe, Some(Duration::from_millis(150)), &never).unwrap_err();
        assert_eq!(late.code, Code::TimeLimit);
        assert_eq!(read(&pipe, None, &AtomicBool::new(true)).unwrap_err().code, Code::Interrupted);
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::write(pipe, "by hand").unwrap()
        });
        assert_eq!(read(&pipe, None, &never).unwrap(), b"by hand");
        writer.join().unwrap();
        assert_eq!(read(&dir.path().join("none"), None, &never).unwrap_err().code, Code::FileNotFound);
        assert_eq!(read(dir.path(), None, &never).unwrap_err().code, Code::Io);
    }
}
