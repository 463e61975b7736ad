//! Confining what a command writes to some paths, by Landlock.
//!
//! Owns which accesses are writes, and what is always allowed. Refuses to confine half: where the kernel cannot, nobody is told that it
//! does. Not covered by Landlock, whatever its version: `chmod`, `chown`, extended attributes, times, and what was open at the start.
//!
//! `Documentation/userspace-api/landlock.rst` of Linux, versions 1 to 7.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Mode, OFlags};

use crate::sys;

/// `LANDLOCK_ACCESS_FS_*` (`linux/landlock.h`) that change a file: `WRITE_FILE`, and `TRUNCATE` from version 3 on.
const WRITE: u64 = 1 << 1;
const TRUNCATE: u64 = 1 << 14;
/// Those that change a directory: `REMOVE_DIR` to `MAKE_SYM`, and `REFER`, a move or link from another directory, from version 2 on; with
/// version 1 these are always refused.
const CHANGE_DIRECTORY: u64 = 0x1ff0;
const REFER: u64 = 1 << 13;

/// What any program may write: it keeps nothing of it.
const ALWAYS: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"];

/// What a command may write.
#[derive(Debug)]
pub struct Confinement {
    ruleset: OwnedFd,
    version: u32,
}

/// Why a command cannot be confined.
#[derive(Debug)]
pub enum Refused {
    /// The kernel has no Landlock, or it is not switched on.
    Kernel(io::Error),
    /// This path cannot be named: it is not there, or cannot be reached.
    Path(PathBuf, io::Error),
}

impl Confinement {
    /// To these paths and what is below them, besides some devices that keep nothing.
    pub fn to(writable: &[PathBuf]) -> Result<Self, Refused> {
        let version = sys::landlock_version().map_err(Refused::Kernel)?;
        let truncate = if version >= 3 { TRUNCATE } else { 0 };
        let (of_file, of_directory) = (WRITE | truncate, CHANGE_DIRECTORY | if version >= 2 { REFER } else { 0 });
        let ruleset = sys::landlock_ruleset(of_file | of_directory).map_err(Refused::Kernel)?;
        let allow = |path: &Path| {
            let open = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let is_directory = std::fs::metadata(path)?.is_dir();
            let access = of_file | if is_directory { of_directory } else { 0 };
            sys::landlock_allow(&ruleset, access, open.as_fd())
        };
        // A machine without one of them needs none.
        ALWAYS.iter().for_each(|path| drop(allow(Path::new(path))));
        for path in writable {
            allow(path).map_err(|error| Refused::Path(path.clone(), error))?;
        }
        Ok(Self { ruleset, version })
    }

    /// Whether truncating a file by its path is not confined: before version 3 (Linux 6.2).
    pub fn lets_truncate(&self) -> bool {
        self.version < 3
    }

    /// Has a command begin under it, with all that it starts. Without the right to do so while gaining privileges, it gives that up.
    /// Errors: what the system says.
    pub fn over(&self, command: &mut Command) -> io::Result<()> {
        let ruleset = self.ruleset.try_clone()?;
        sys::before_exec(command, move || match sys::landlock_restrict(ruleset.as_fd()) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                sys::no_new_privileges()?;
                sys::landlock_restrict(ruleset.as_fd())
            }
            restricted => restricted,
        });
        Ok(())
    }
}
