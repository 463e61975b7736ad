//! The file in which a supervisor writes down what it is told, and which others read meanwhile.
//!
//! Owns its form: marks, each with a number of bytes behind it, that are only ever added. Refuses to know what most of them
//! mean: that is its writer's matter. Two are written by who serves: that something was not seen, and that nobody is left.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::time::{ClockId, clock_gettime};

/// From here on calls may have gone on unseen: a time in nanoseconds since 1970, eight bytes, least first, and why.
pub const UNSEEN: u8 = b'U';

/// Nobody is left who could ask.
pub const OVER: u8 = b'O';

/// Bytes of a mark before what it says: itself, and how many follow.
pub const HEAD: usize = 5;

/// Notes that are being written.
#[derive(Debug)]
pub struct Notes {
    file: File,
}

impl Notes {
    /// Those at a place, which are begun where there are none. Errors: what the system says.
    pub fn open(place: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(place)?;
        Ok(Self { file })
    }

    /// Adds one, in one piece. Errors: what the system says, a full disk among it.
    pub fn add(&self, mark: u8, what: &[u8]) -> io::Result<()> {
        let length = u32::try_from(what.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut bytes = Vec::with_capacity(HEAD + what.len());
        bytes.push(mark);
        bytes.extend(length.to_le_bytes());
        bytes.extend(what);
        (&self.file).write_all(&bytes)
    }

    /// Adds that from now on something may not have been seen, and why.
    pub fn add_unseen(&self, why: &str) -> io::Result<()> {
        let mut what = now().to_le_bytes().to_vec();
        what.extend(why.as_bytes());
        self.add(UNSEEN, &what)
    }

    /// Holds them for as long as this process lives, or until it closes them anywhere: who looks at [`are_held`] sees that.
    pub fn hold(&self) -> io::Result<()> {
        Ok(fcntl_lock(&self.file, FlockOperation::LockExclusive)?)
    }

    /// The same, without waiting for anybody: `EAGAIN` or `EACCES` where another process holds them, and does not only look.
    pub fn hold_at_once(&self) -> io::Result<()> {
        let hold = || fcntl_lock(&self.file, FlockOperation::NonBlockingLockExclusive);
        // Who looks whether they are held holds them for that moment, and who had them may be about to end.
        // Nobody tells of a lock that is given back.
        let tick = Timespec { tv_sec: 0, tv_nsec: 200_000 };
        let wait = |_: &_| {
            poll(&mut [], Some(&tick)).ok();
        };
        (0..500).find_map(|_| hold().inspect_err(wait).ok()).map_or_else(|| Ok(hold()?), Ok)
    }
}

impl From<File> for Notes {
    /// Those in a file that is open for appending.
    fn from(file: File) -> Self {
        Self { file }
    }
}

impl AsFd for Notes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether another process holds notes: their supervisor lives. Errors: what the system says.
pub fn are_held(file: &File) -> io::Result<bool> {
    match fcntl_lock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => fcntl_lock(file, FlockOperation::Unlock).map(|()| false).map_err(Into::into),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// The notes in a file's bytes, in their order; one that is not whole is not there yet.
pub fn read(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (mark, after) = rest.split_first()?;
        let (length, after) = after.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (what, after) = after.split_at_checked(length)?;
        rest = after;
        Some((*mark, what))
    })
}

/// What a note on something unseen says: since when, in nanoseconds since 1970, and why. `None` where it is none.
pub fn unseen(what: &[u8]) -> Option<(i64, &str)> {
    let (time, why) = what.split_first_chunk()?;
    Some((i64::from_le_bytes(*time), std::str::from_utf8(why).unwrap_or_default()))
}

/// What the keeper writes where the supervisor died.
const DIED: &[u8] = b"its supervisor died";

/// Adds that the supervisor is dead, without allocating; whether it could. Where not, the lock that nobody holds says it.
pub(crate) fn add_died(notes: BorrowedFd<'_>) -> bool {
    const LENGTH: usize = size_of::<i64>() + DIED.len();
    let mut bytes = [0; HEAD + LENGTH];
    bytes[0] = UNSEEN;
    bytes[1..HEAD].copy_from_slice(&(LENGTH as u32).to_le_bytes());
    bytes[HEAD..HEAD + size_of::<i64>()].copy_from_slice(&now().to_le_bytes());
    bytes[HEAD + size_of::<i64>()..].copy_from_slice(DIED);
    rustix::io::write(notes, &bytes) == Ok(bytes.len())
}

/// Adds that nobody is left, without allocating.
pub(crate) fn add_over(notes: BorrowedFd<'_>) {
    rustix::io::write(notes, &[OVER, 0, 0, 0, 0]).ok();
}

/// The time, in nanoseconds since 1970.
fn now() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_read_and_a_piece_is_nothing_yet() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("notes");
        let notes = Notes::open(&place).unwrap();
        notes.add(b'W', b"a/b").unwrap();
        notes.add_unseen("why").unwrap();
        assert!(add_died(notes.as_fd()));
        add_over(notes.as_fd());
        let bytes = std::fs::read(&place).unwrap();
        let found: Vec<(u8, &[u8])> = read(&bytes).collect();
        assert_eq!(found[0], (b'W', &b"a/b"[..]));
        assert_eq!((found[1].0, unseen(found[1].1).unwrap().1), (UNSEEN, "why"));
        assert_eq!((found[2].0, unseen(found[2].1).unwrap().1), (UNSEEN, "its supervisor died"));
        assert_eq!((found[3], found.len()), ((OVER, &b""[..]), 4));
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).count() < 4, "{cut}");
        }
    }
}
