//! Contents made by hand, for paths at which work cannot be separated.
//!
//! Owns which file is meant for which path, and reading it: how much at most, and that it ends where nothing comes. Refuses to
//! know what they are for.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use wfr_model::TreePath;
use wfr_model::path::unescape;

use crate::error::{Code, Failure};
use crate::ledger::Veil;
use crate::session::Session;

/// A content has at most so many bytes.
const BYTES_MAX: u64 = 1 << 30;

/// How often it is looked whether to give up, where nothing comes.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// What a `PATH=FILE` means: which of several `=` parts the two, and whether there are escapes in FILE, follows from which file
/// is there, and of several from which path is known.
pub fn meant(session: &Session, text: &str) -> Result<(TreePath, PathBuf), Failure> {
    let wrong = || Failure::new(Code::InvalidParameter, format!("`{text}` is not PATH=FILE"));
    let mut ways: Vec<(TreePath, PathBuf)> = Vec::new();
    let mut malformed = None;
    for (at, _) in text.match_indices('=') {
        let (path, file) = (&text[..at], &text[at + 1..]);
        let raw = file.as_bytes().to_vec();
        let files = [Some(raw.clone()), unescape(file).filter(|bytes| *bytes != raw && !bytes.contains(&0))];
        let place = |bytes: Vec<u8>| session.directories.current.join(OsStr::from_bytes(&bytes));
        match path.parse::<TreePath>() {
            Ok(path) => ways.extend(files.into_iter().flatten().map(|bytes| (path.clone(), place(bytes)))),
            Err(error) => drop(malformed.get_or_insert(error)),
        }
    }
    let first = match (ways.first(), malformed) {
        (Some(first), _) => first.clone(),
        (None, Some(error)) => return Err(wrong().with_details(error.to_string())),
        (None, None) => return Err(wrong()),
    };
    let is_there = |way: &&(TreePath, PathBuf)| way.1.metadata().is_ok();
    let mut there: Vec<(TreePath, PathBuf)> = ways.iter().filter(is_there).cloned().collect();
    if there.len() > 1 {
        let known = there.iter().map(|(path, _)| is_known(session, path)).collect::<Result<Vec<bool>, Failure>>()?;
        if known.contains(&true) {
            let mut known = known.into_iter();
            there.retain(|_| known.next() == Some(true));
        }
    }
    match there.as_slice() {
        [only] => Ok(only.clone()),
        // Why it cannot be read is told where it is.
        [] if ways.iter().all(|(path, _)| *path == first.0) => Ok(first),
        [] => Err(unclear(Code::FileNotFound, format!("`{text}` names no file that is there"), &ways)),
        several => Err(unclear(Code::Ambiguous, format!("`{text}` may mean more than one file"), several)),
    }
}

/// Whether something is at a path, or ever was.
fn is_known(session: &Session, path: &TreePath) -> Result<bool, Failure> {
    let open = session.open()?;
    let is_there = open.root().join(OsStr::from_bytes(path.as_bytes())).symlink_metadata().is_ok();
    Ok(is_there || open.catalog.chain_at(&Veil::of(&open)?.path(path)?.key)?.is_some())
}

fn unclear(code: Code, message: String, ways: &[(TreePath, PathBuf)]) -> Failure {
    let ways: Vec<String> = ways.iter().map(|(path, file)| format!("`{}` for `{path}`", file.display())).collect();
    let hint = r"write `\x3d` for a `=` that belongs to PATH, and `\\` for a backslash";
    Failure::new(code, format!("{message}: {}", ways.join(", "))).with_hint(hint)
}

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
