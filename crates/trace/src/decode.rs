//! What a reported call is about to do, in terms of the tree.
//!
//! Owns which of its arguments are read from the caller's memory. Refuses to decide what becomes of the call: it goes on.

use crate::calls::{Arch, At, Call, Effect, Flags, Follow};
use crate::filter::WRITES;
use crate::place::{Place, Tree};
use crate::{saying, sys};

/// The longest path, with the zero at its end (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// Most paths are shorter.
const SHORT: usize = 256;

/// `AT_EMPTY_PATH` and the two about links (`linux/fcntl.h`).
const LINK_NOT_FOLLOWED: u64 = 0x100;
const LINK_FOLLOWED: u64 = 0x400;

/// `AF_UNIX`.
const LOCAL: u16 = 1;

/// What a traced program is about to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// Something at one place. It may fail, so it may come to nothing.
    Does {
        /// What.
        effect: Effect,
        /// Where.
        place: Place,
    },
    /// It moves what is at one place to another one, where something else may be.
    Moves {
        /// From there.
        from: Place,
        /// There.
        to: Place,
    },
    /// It gives what is at one place a further name.
    Links {
        /// What.
        from: Place,
        /// The name.
        to: Place,
    },
    /// It runs a program: the path as it says it.
    Runs(Vec<u8>),
    /// It talks to a process that is perhaps not traced and may do something on its behalf, at this address.
    Delegates(Vec<u8>),
    /// It says something to its supervisor: see [`saying`].
    Says(Vec<u8>),
    /// It mounts something, or takes a descriptor of another process: from here on not all is seen.
    Escapes,
}

/// What a call does; nothing where it concerns no tree at all.
pub fn told(tree: &Tree, report: &sys::Report) -> Vec<Told> {
    let Some(arch) = Arch::of_audit(report.arch()) else { return vec![] };
    let Some(call) = arch.call(report.number()) else { return vec![] };
    let mut arguments = report.arguments();
    if arch.is_narrow() {
        arguments.iter_mut().for_each(|one| *one &= u64::from(u32::MAX));
    }
    let asker = Asker { tree, thread: report.thread(), arguments };
    match call {
        Call::Open { at, flags } => asker.opens(at, flags),
        Call::Do { effect, at, follow } => vec![Told::Does { effect, place: asker.at(at, asker.follows(follow)) }],
        Call::Move { from, to } => vec![Told::Moves { from: asker.at(from, false), to: asker.at(to, false) }],
        Call::Link { from, to, follow } => {
            let from = asker.at(from, asker.follows(follow));
            vec![Told::Links { from, to: asker.at(to, false) }]
        }
        Call::ByDescriptor(arg) => vec![Told::Does { effect: Effect::Alters, place: asker.of(arg) }],
        Call::Control => vec![Told::Does { effect: Effect::Alters, place: asker.of(0) }],
        // Its handle says it to the kernel alone.
        Call::ByHandle if asker.arguments[2] & u64::from(WRITES) == 0 => vec![],
        Call::ByHandle => vec![Told::Does { effect: Effect::Writes, place: Place::Unknown }],
        Call::Bind => asker.binds(1),
        Call::Connect => asker.connects(1),
        Call::SocketCall => vec![Told::Delegates(vec![])],
        Call::Mounts | Call::Steals => vec![Told::Escapes],
        Call::Run { at } => asker.text(at.path).map(Told::Runs).into_iter().collect(),
        Call::Ring => vec![],
    }
}

/// Who asks, and with what.
struct Asker<'t> {
    tree: &'t Tree,
    thread: u32,
    arguments: [u64; 6],
}

impl Asker<'_> {
    fn argument(&self, at: u8) -> u64 {
        self.arguments[usize::from(at)]
    }

    /// A descriptor in an argument; `None` for the working directory.
    fn descriptor(&self, at: u8) -> Option<i32> {
        // Only the lower half counts, and `AT_FDCWD` is negative.
        Some((self.argument(at) as u32).cast_signed()).filter(|fd| *fd != libc::AT_FDCWD)
    }

    fn follows(&self, follow: Follow) -> bool {
        match follow {
            Follow::Always => true,
            Follow::Never => false,
            Follow::Unless(at) => self.argument(at) & LINK_NOT_FOLLOWED == 0,
            Follow::Where(at) => self.argument(at) & LINK_FOLLOWED != 0,
        }
    }

    /// The text at the address in an argument; `None` where it cannot be read, or is none.
    fn text(&self, at: u8) -> Option<Vec<u8>> {
        let address = self.argument(at);
        // The next page may not be there: what is read ends with the one in which the text begins, and then goes on.
        let first = PATH_MAX - usize::try_from(address % PATH_MAX as u64).unwrap_or(0);
        let mut text = vec![0; first.min(SHORT)];
        let mut read = sys::read_memory(self.thread, address, &mut text);
        let ends = |text: &[u8]| text.iter().position(|byte| *byte == 0);
        for upto in [first, PATH_MAX] {
            if read == text.len() && read < upto && ends(&text).is_none() {
                text.resize(upto, 0);
                read += sys::read_memory(self.thread, address + read as u64, &mut text[read..]);
            }
        }
        text.truncate(ends(&text[..read])?);
        Some(text)
    }

    fn at(&self, at: At, follow: bool) -> Place {
        let dir = at.dir.map(|dir| self.descriptor(dir));
        if self.argument(at.path) == 0 {
            // No path: what the descriptor is of.
            return dir.flatten().map_or(Place::Outside, |fd| self.tree.place_of(self.thread, fd));
        }
        match (self.text(at.path), dir.flatten()) {
            (None, _) => Place::Unknown,
            (Some(path), Some(fd)) if path.is_empty() => self.tree.place_of(self.thread, fd),
            // The call fails, or it is the working directory.
            (Some(path), dir) => self.tree.place(self.thread, dir, &path, follow),
        }
    }

    fn of(&self, arg: u8) -> Place {
        let fd = self.descriptor(arg).unwrap_or(-1);
        self.tree.place_of(self.thread, fd)
    }

    fn opens(&self, at: At, flags: Flags) -> Vec<Told> {
        let flags = match flags {
            Flags::Arg(arg) => self.argument(arg),
            Flags::Creates => libc::O_CREAT as u64 | libc::O_WRONLY as u64 | libc::O_TRUNC as u64,
            Flags::Memory(arg) => {
                let mut flags = [0; 8];
                let read = sys::read_memory(self.thread, self.argument(arg), &mut flags);
                if read < flags.len() { u64::from(WRITES) } else { u64::from_ne_bytes(flags) }
            }
        };
        let has = |flag: i32| flags & u64::from(flag.cast_unsigned()) == u64::from(flag.cast_unsigned());
        if flags & u64::from(WRITES) == 0 || has(libc::O_PATH) {
            return vec![];
        }
        // A file without a name gets one by `linkat`, which is reported, too.
        if has(libc::O_TMPFILE) {
            return vec![];
        }
        let stays = has(libc::O_NOFOLLOW) || has(libc::O_CREAT) && has(libc::O_EXCL);
        vec![Told::Does { effect: Effect::Writes, place: self.at(at, !stays) }]
    }

    /// The family of the address of a socket, and what follows it.
    fn address(&self, arg: u8) -> Option<(u16, Vec<u8>)> {
        let mut address = [0; 110];
        let length = usize::try_from(self.argument(arg + 1)).unwrap_or(0).min(address.len());
        let read = sys::read_memory(self.thread, self.argument(arg), &mut address[..length]);
        let family = u16::from_ne_bytes(*address[..read].first_chunk()?);
        Some((family, address[2..read.max(2)].to_vec()))
    }

    fn binds(&self, arg: u8) -> Vec<Told> {
        match self.address(arg) {
            Some((LOCAL, address)) if !path(&address).is_empty() => {
                let place = self.tree.place(self.thread, None, path(&address), false);
                vec![Told::Does { effect: Effect::Makes, place }]
            }
            _ => vec![],
        }
    }

    fn connects(&self, arg: u8) -> Vec<Told> {
        let Some((LOCAL, address)) = self.address(arg) else { return vec![] };
        let said = saying::heard(&address).map(|word| Told::Says(word.to_vec()));
        vec![said.unwrap_or_else(|| Told::Delegates(path(&address).to_vec()))]
    }
}

/// The path in a local address; empty where it names no file.
fn path(address: &[u8]) -> &[u8] {
    address.split(|byte| *byte == 0).next().unwrap_or_default()
}
