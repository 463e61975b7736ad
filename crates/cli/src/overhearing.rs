//! What stands on standard input for the program that we become.
//!
//! Owns looking at it without taking it away. Refuses to wait for long, and to understand it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::net::{RecvFlags, recv};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};

/// So much is looked at, in bytes: as much as a pipe holds.
const BYTES_MAX: usize = 64 << 10;

/// Whoever is told something on its standard input is told it at once.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };

/// The beginning of what was written to our standard input, which stays there; nothing where that is no pipe and no socket.
pub fn beginning() -> Vec<u8> {
    let stdin = rustix::stdio::stdin();
    let kind = fstat(stdin).map(|stat| FileType::from_raw_mode(stat.st_mode));
    match kind {
        Ok(FileType::Fifo) if is_there(stdin) => of_pipe(stdin).unwrap_or_default(),
        Ok(FileType::Socket) if is_there(stdin) => of_socket(stdin).unwrap_or_default(),
        _ => vec![],
    }
}

fn is_there(stdin: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::new(&stdin, PollFlags::IN)];
    poll(&mut asked, Some(&PATIENCE)).is_ok() && asked[0].revents().contains(PollFlags::IN)
}

fn of_pipe(stdin: BorrowedFd<'_>) -> std::io::Result<Vec<u8>> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    tee(stdin, &write, BYTES_MAX, SpliceFlags::NONBLOCK)?;
    drop(write);
    let mut bytes = Vec::new();
    File::from(read).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn of_socket(stdin: BorrowedFd<'_>) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; BYTES_MAX];
    let (_, length) = recv(stdin, &mut bytes[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    bytes.truncate(length);
    Ok(bytes)
}
