//! Who was last about to write each path: a table that all supervisors of a workspace share.
//!
//! Owns the order in which several of them come to one path, and which call of the one before may not be done yet. Refuses to know
//! paths and changes: both are numbers here. No lock is taken, so nobody who stands still keeps anybody waiting. Where there is no
//! room for a path, nobody has it.
//!
//! The file: words of eight bytes, in the order of the machine that wrote them, since it outlives no boot that matters. 0: what it
//! is. 1: the number of writers. From `THREADS_AT` on what each thread calls, by its number: the thread in the upper half, the
//! number of its call in the lower one. From `PATHS_AT` on three words a path, at the first free place behind the one that its number
//! names: its number, 0 where there is none; the writer in the upper 24 bits, how often it changed in the others; and the writer's
//! last call there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::flight;
use crate::sys::Words;

const KIND: u64 = u64::from_le_bytes(*b"wfrwrit1");
const THREADS_AT: usize = 512;
const THREADS: usize = 1 << 12;
const PATHS_AT: usize = THREADS_AT + THREADS;
const PATHS: usize = 1 << 18;
const PATH_WORDS: usize = 3;
const WORDS: usize = PATHS_AT + PATHS * PATH_WORDS;

/// So many places are looked at for a path.
const PROBES: usize = 64;
/// The most writers.
const WRITERS_MAX: u64 = (1 << 24) - 1;
const TIMES: u32 = 40;

/// In the place of a call: there were several, and perhaps not all of them are done.
const SEVERAL: u64 = u64::MAX;

/// The table.
#[derive(Debug)]
pub struct Writers {
    words: Words,
}

/// A call that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// The thread that asks.
    pub thread: u32,
    /// Which of its calls it is: another one than the one before.
    pub number: u32,
}

impl Call {
    fn word(self) -> u64 {
        u64::from(self.thread) << 32 | u64::from(self.number)
    }
}

/// How a path came to a writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It had it already, or has it as the first one, or there is no room for it.
    Own,
    /// It was another one's.
    From {
        /// Whose.
        writer: u32,
        /// How often the path has changed hands: it counts up, by one each time.
        times: u64,
        /// Whether the call of the other one is done.
        is_done: bool,
    },
}

/// A number for a new writer, in the table at a place, which is made where there is none. Nobody else may ask at the same time. 0 where
/// there are too many.
///
/// Errors: what the system says.
pub fn enrol(place: &Path) -> io::Result<u32> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(place)?;
    let mut head = [0; 16];
    if file.metadata()?.len() < (WORDS * 8) as u64 || read(&file, &mut head)? != KIND {
        // Only what nobody uses is short: it was never told to anybody.
        file.set_len(0)?;
        file.set_len((WORDS * 8) as u64)?;
        head = [0; 16];
    }
    let writer = u64::from_ne_bytes(*head[8..].first_chunk().expect("eight bytes of sixteen")) + 1;
    if writer > WRITERS_MAX {
        return Ok(0);
    }
    file.write_all_at(&[KIND.to_ne_bytes(), writer.to_ne_bytes()].concat(), 0)?;
    Ok(u32::try_from(writer).unwrap_or(0))
}

fn read(file: &File, head: &mut [u8; 16]) -> io::Result<u64> {
    file.read_exact_at(head, 0)?;
    Ok(u64::from_ne_bytes(*head.first_chunk().expect("eight bytes of sixteen")))
}

impl Writers {
    /// The table at a place. Errors: what the system says, and `InvalidData` where it is none.
    pub fn open(place: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(place)?;
        let mut head = [0; 16];
        if file.metadata()?.len() < (WORDS * 8) as u64 || read(&file, &mut head)? != KIND {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { words: Words::map(&file, WORDS)? })
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        &self.words.all()[at]
    }

    /// A thread makes a call: all that it made before are done.
    pub fn calls(&self, call: Call) {
        self.word(THREADS_AT + call.thread as usize % THREADS).store(call.word(), SeqCst);
    }

    /// A writer is about to write a path, which is not 0, by a call that was told by [`Self::calls`].
    pub fn take(&self, path: u64, writer: u32, call: Call) -> Taken {
        let Some(at) = self.place(path) else { return Taken::Own };
        let (last, calls) = (self.word(at + 1), self.word(at + 2));
        let mut taken = Taken::Own;
        loop {
            let found = last.load(SeqCst);
            let (before, times) = ((found >> TIMES) as u32, found & ((1 << TIMES) - 1));
            if before == writer {
                self.goes_on(calls, call);
            } else {
                let next = u64::from(writer) << TIMES | (times + 1);
                if last.compare_exchange(found, next, SeqCst, SeqCst).is_err() {
                    continue;
                }
                let other = calls.swap(call.word(), SeqCst);
                if before != 0 {
                    taken = Taken::From { writer: before, times: times + 1, is_done: self.is_done(other) };
                }
            }
            // Who took it meanwhile may not have seen this call.
            if (last.load(SeqCst) >> TIMES) as u32 == writer {
                return taken;
            }
        }
    }

    /// A further call of the same writer.
    fn goes_on(&self, calls: &AtomicU64, call: Call) {
        let other = calls.load(SeqCst);
        let are_one = other >> 32 == call.word() >> 32 || self.is_done(other);
        calls.store(if are_one { call.word() } else { SEVERAL }, SeqCst);
    }

    /// Whether a call is done for sure.
    fn is_done(&self, call: u64) -> bool {
        if call == SEVERAL {
            return false;
        }
        let thread = (call >> 32) as u32;
        let now = self.word(THREADS_AT + thread as usize % THREADS).load(SeqCst);
        (now >> 32 == call >> 32 && now != call) || !flight::may_be_calling(thread)
    }

    /// Where a path stands; `None` where there is no room.
    fn place(&self, path: u64) -> Option<usize> {
        (0..PROBES).find_map(|probe| {
            let at = PATHS_AT + (path as usize).wrapping_add(probe) % PATHS * PATH_WORDS;
            match self.word(at).compare_exchange(0, path, SeqCst, SeqCst) {
                Ok(_) => Some(at),
                Err(found) => (found == path).then_some(at),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that is not there.
    const GONE: u32 = u32::MAX - 1;

    #[test]
    fn a_path_goes_from_one_to_the_other_and_everybody_sees_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("writers");
        assert!(Writers::open(&place).is_err());
        let writers = [enrol(&place).unwrap(), enrol(&place).unwrap()];
        assert_eq!(writers, [1, 2]);
        let tables = [Writers::open(&place).unwrap(), Writers::open(&place).unwrap()];
        let mut number = 0;
        let mut take = |who: usize, path: u64| {
            number += 1;
            let call = Call { thread: GONE - who as u32, number };
            tables[who].calls(call);
            tables[who].take(path, writers[who], call)
        };
        let from = |writer, times| Taken::From { writer, times, is_done: true };
        assert_eq!([take(0, 7), take(0, 7), take(1, 8)], [Taken::Own; 3]);
        assert_eq!([take(1, 7), take(1, 7), take(0, 7), take(1, 7)], [from(1, 2), Taken::Own, from(2, 3), from(1, 4)]);
        assert_eq!(take(1, 7 + PATHS as u64), Taken::Own, "it begins at the same place");
        assert_eq!(take(0, 7 + PATHS as u64), from(2, 2));
    }

    #[test]
    fn a_call_is_done_when_its_thread_makes_another_one_or_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("writers");
        enrol(&place).unwrap();
        let table = Writers::open(&place).unwrap();
        flight::while_running(|thread| {
            let (one, other) = (Call { thread, number: 1 }, Call { thread: GONE, number: 1 });
            table.calls(one);
            assert_eq!(table.take(7, 1, one), Taken::Own);
            table.calls(other);
            // It runs: nobody can tell.
            assert_eq!(table.take(7, 2, other), Taken::From { writer: 1, times: 2, is_done: false });
            assert_eq!(table.take(7, 1, one), Taken::From { writer: 2, times: 3, is_done: true });
            table.calls(Call { number: 2, ..one });
            assert_eq!(table.take(7, 2, other), Taken::From { writer: 1, times: 4, is_done: true });
        });
    }

    #[test]
    fn where_there_is_no_room_nobody_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("writers");
        enrol(&place).unwrap();
        let table = Writers::open(&place).unwrap();
        let call = Call { thread: GONE, number: 1 };
        for path in 0..=PROBES as u64 {
            table.take(1 + path * PATHS as u64, 1, call);
        }
        assert_eq!(table.take(1 + PROBES as u64 * PATHS as u64, 2, call), Taken::Own);
        assert_ne!(table.take(1, 2, call), Taken::Own);
    }
}
