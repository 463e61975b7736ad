//! The system calls that can change a tree, by architecture, and which of their arguments say where.
//!
//! Owns the numbers. Refuses to know how a filter is written and how a place is found.
//!
//! Numbers: `arch/x86/entry/syscalls/syscall_{64,32}.tbl`, `include/uapi/asm-generic/unistd.h` and `arch/arm/tools/syscall.tbl` of
//! Linux. Writes, `ftruncate`, `fallocate` and the like are not here: they need a descriptor, and that was opened.

/// An instruction set with the numbers of its calls. Programs of the second one of each pair run on the first, too, and may
/// even mix them in one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arch {
    /// 64-bit x86. Calls in the x32 form are refused.
    X86_64,
    /// 32-bit x86.
    I386,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
}

/// An argument of a call, from 0.
pub type Arg = u8;

/// Where a path is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    /// The descriptor of the directory that a relative path begins at; `None`: the working directory.
    pub dir: Option<Arg>,
    /// The address of the path.
    pub path: Arg,
}

/// Where the flags of an opening call are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flags {
    /// In an argument.
    Arg(Arg),
    /// In memory: in the first eight bytes that an argument points to.
    Memory(Arg),
    /// It creates and truncates.
    Creates,
}

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// It is.
    Always,
    /// It is not.
    Never,
    /// It is unless a bit is set in the flags in an argument: `AT_SYMLINK_NOFOLLOW`.
    Unless(Arg),
    /// It is where a bit is set there: `AT_SYMLINK_FOLLOW`.
    Where(Arg),
}

/// What a call does at a place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Effect {
    /// It opens the file for writing, or truncates it: the content may become another one.
    Writes,
    /// It changes mode, owner, times, attributes or flags.
    Alters,
    /// Something comes to be there: a directory, a link, a name.
    Makes,
    /// What is there goes.
    Removes,
}

/// What a call means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// Opens a file, for writing or not.
    Open {
        /// Which.
        at: At,
        /// How.
        flags: Flags,
    },
    /// Does something at one place.
    Do {
        /// What.
        effect: Effect,
        /// Where.
        at: At,
        /// Through a link, or to it.
        follow: Follow,
    },
    /// Moves something to where something else may be.
    Move {
        /// From there.
        from: At,
        /// There.
        to: At,
    },
    /// Gives a file a further name.
    Link {
        /// The file.
        from: At,
        /// Its new name.
        to: At,
        /// Whether it is what a link points to.
        follow: Follow,
    },
    /// Changes a file by its descriptor, but not its content.
    ByDescriptor(Arg),
    /// The same by `ioctl`, for some commands.
    Control,
    /// Opens a file by its handle.
    ByHandle,
    /// Gives a socket a name.
    Bind,
    /// Connects a socket: who serves it may do something on behalf of the caller.
    Connect,
    /// One of these two, on 32-bit machines.
    SocketCall,
    /// Mounts something or takes it away: paths mean something else from then on.
    Mounts,
    /// Takes a descriptor of another process, which may write.
    Steals,
    /// Runs a program.
    Run {
        /// Which.
        at: At,
    },
    /// Hands calls to the kernel that no filter sees. It is refused, and programs do without.
    Ring,
}

const fn at(path: Arg) -> At {
    At { dir: None, path }
}

const fn dir_at(dir: Arg) -> At {
    At { dir: Some(dir), path: dir + 1 }
}

const fn act(effect: Effect, at: At, follow: Follow) -> Call {
    Call::Do { effect, at, follow }
}

use Effect::{Alters, Makes, Removes, Writes};
use Follow::{Always, Never, Unless, Where};

const OPEN: Call = Call::Open { at: at(0), flags: Flags::Arg(1) };
const OPENAT: Call = Call::Open { at: dir_at(0), flags: Flags::Arg(2) };
const OPENAT2: Call = Call::Open { at: dir_at(0), flags: Flags::Memory(2) };
const CREAT: Call = Call::Open { at: at(0), flags: Flags::Creates };
const TRUNCATE: Call = act(Writes, at(0), Always);
const RENAME: Call = Call::Move { from: at(0), to: at(1) };
const RENAMEAT: Call = Call::Move { from: dir_at(0), to: dir_at(2) };
const UNLINK: Call = act(Removes, at(0), Never);
const UNLINKAT: Call = act(Removes, dir_at(0), Never);
const MKDIR: Call = act(Makes, at(0), Never);
const MKDIRAT: Call = act(Makes, dir_at(0), Never);
const SYMLINK: Call = act(Makes, at(1), Never);
const SYMLINKAT: Call = act(Makes, dir_at(1), Never);
const LINK: Call = Call::Link { from: at(0), to: at(1), follow: Never };
const LINKAT: Call = Call::Link { from: dir_at(0), to: dir_at(2), follow: Where(4) };
const ALTER: Call = act(Alters, at(0), Always);
const ALTER_LINK: Call = act(Alters, at(0), Never);
const ALTER_AT: Call = act(Alters, dir_at(0), Always);
const CHMOD_AT2: Call = act(Alters, dir_at(0), Unless(3));
const CHOWN_AT: Call = act(Alters, dir_at(0), Unless(4));
const UTIMENS_AT: Call = act(Alters, dir_at(0), Unless(3));
const ATTRIBUTE_AT: Call = act(Alters, dir_at(0), Unless(2));
const FILE_ATTRIBUTES: Call = act(Alters, dir_at(0), Unless(4));
const BY_DESCRIPTOR: Call = Call::ByDescriptor(0);
const EXECVE: Call = Call::Run { at: at(0) };
const EXECVEAT: Call = Call::Run { at: dir_at(0) };

/// Calls that have one number everywhere.
const COMMON: &[(u32, Call)] = &[
    (425, Call::Ring),      // io_uring_setup
    (426, Call::Ring),      // io_uring_enter
    (427, Call::Ring),      // io_uring_register
    (428, Call::Mounts),    // open_tree
    (429, Call::Mounts),    // move_mount
    (432, Call::Mounts),    // fsmount
    (437, OPENAT2),         // openat2
    (438, Call::Steals),    // pidfd_getfd
    (442, Call::Mounts),    // mount_setattr
    (452, CHMOD_AT2),       // fchmodat2
    (463, ATTRIBUTE_AT),    // setxattrat
    (466, ATTRIBUTE_AT),    // removexattrat
    (469, FILE_ATTRIBUTES), // file_setattr
];

const X86_64: &[(u32, Call)] = &[
    (257, OPENAT),
    (2, OPEN),
    (59, EXECVE),
    (263, UNLINKAT),
    (87, UNLINK),
    (258, MKDIRAT),
    (83, MKDIR),
    (264, RENAMEAT),
    (316, RENAMEAT),
    (82, RENAME),
    (280, UTIMENS_AT),
    (16, Call::Control),
    (42, Call::Connect),
    (49, Call::Bind),
    (76, TRUNCATE),
    (84, UNLINK), // rmdir
    (85, CREAT),
    (86, LINK),
    (88, SYMLINK),
    (90, ALTER), // chmod
    (91, BY_DESCRIPTOR),
    (92, ALTER), // chown
    (93, BY_DESCRIPTOR),
    (94, ALTER_LINK), // lchown
    (132, ALTER),     // utime
    (133, MKDIR),     // mknod
    (155, Call::Mounts),
    (165, Call::Mounts),
    (166, Call::Mounts),
    (188, ALTER), // setxattr
    (189, ALTER_LINK),
    (190, BY_DESCRIPTOR),
    (197, ALTER), // removexattr
    (198, ALTER_LINK),
    (199, BY_DESCRIPTOR),
    (235, ALTER),   // utimes
    (259, MKDIRAT), // mknodat
    (260, CHOWN_AT),
    (261, ALTER_AT), // futimesat
    (265, LINKAT),
    (266, SYMLINKAT),
    (268, ALTER_AT), // fchmodat
    (304, Call::ByHandle),
    (322, EXECVEAT),
];

/// What the 32-bit tables have in common.
const OLD: &[(u32, Call)] = &[
    (5, OPEN),
    (8, CREAT),
    (9, LINK),
    (10, UNLINK),
    (11, EXECVE),
    (14, MKDIR), // mknod
    (15, ALTER), // chmod
    (16, ALTER_LINK),
    (21, Call::Mounts),
    (22, Call::Mounts),
    (30, ALTER), // utime
    (38, RENAME),
    (39, MKDIR),
    (40, UNLINK), // rmdir
    (52, Call::Mounts),
    (54, Call::Control),
    (83, SYMLINK),
    (92, TRUNCATE),
    (94, BY_DESCRIPTOR),
    (95, BY_DESCRIPTOR),
    (102, Call::SocketCall),
    (182, ALTER), // chown
    (193, TRUNCATE),
    (198, ALTER_LINK),
    (207, BY_DESCRIPTOR),
    (212, ALTER), // chown32
    (226, ALTER), // setxattr
    (227, ALTER_LINK),
    (228, BY_DESCRIPTOR),
    (235, ALTER), // removexattr
    (236, ALTER_LINK),
    (237, BY_DESCRIPTOR),
    (412, UTIMENS_AT), // utimensat_time64
];

const I386: &[(u32, Call)] = &[
    (217, Call::Mounts), // pivot_root
    (271, ALTER),        // utimes
    (295, OPENAT),
    (296, MKDIRAT),
    (297, MKDIRAT), // mknodat
    (298, CHOWN_AT),
    (299, ALTER_AT), // futimesat
    (301, UNLINKAT),
    (302, RENAMEAT),
    (303, LINKAT),
    (304, SYMLINKAT),
    (306, ALTER_AT), // fchmodat
    (320, UTIMENS_AT),
    (342, Call::ByHandle),
    (353, RENAMEAT),
    (358, EXECVEAT),
    (361, Call::Bind),
    (362, Call::Connect),
];

const ARM: &[(u32, Call)] = &[
    (218, Call::Mounts), // pivot_root
    (269, ALTER),        // utimes
    (282, Call::Bind),
    (283, Call::Connect),
    (322, OPENAT),
    (323, MKDIRAT),
    (324, MKDIRAT), // mknodat
    (325, CHOWN_AT),
    (326, ALTER_AT), // futimesat
    (328, UNLINKAT),
    (329, RENAMEAT),
    (330, LINKAT),
    (331, SYMLINKAT),
    (333, ALTER_AT), // fchmodat
    (348, UTIMENS_AT),
    (371, Call::ByHandle),
    (382, RENAMEAT),
    (387, EXECVEAT),
];

const AARCH64: &[(u32, Call)] = &[
    (56, OPENAT),
    (221, EXECVE),
    (35, UNLINKAT),
    (34, MKDIRAT),
    (276, RENAMEAT),
    (38, RENAMEAT),
    (88, UTIMENS_AT),
    (29, Call::Control),
    (203, Call::Connect),
    (200, Call::Bind),
    (5, ALTER), // setxattr
    (6, ALTER_LINK),
    (7, BY_DESCRIPTOR),
    (14, ALTER), // removexattr
    (15, ALTER_LINK),
    (16, BY_DESCRIPTOR),
    (33, MKDIRAT), // mknodat
    (36, SYMLINKAT),
    (37, LINKAT),
    (39, Call::Mounts),
    (40, Call::Mounts),
    (41, Call::Mounts),
    (45, TRUNCATE),
    (52, BY_DESCRIPTOR),
    (53, ALTER_AT), // fchmodat
    (54, CHOWN_AT),
    (55, BY_DESCRIPTOR),
    (265, Call::ByHandle),
    (281, EXECVEAT),
];

/// The commands of `ioctl` that change what a file is: its flags, its project, its subvolumes (`linux/fs.h`, `linux/btrfs.h`).
pub const CONTROLS: &[u32] = &[
    0x4008_6602, // FS_IOC_SETFLAGS
    0x4004_6602, // the same of a 32-bit program
    0x401c_5820, // FS_IOC_FSSETXATTR
    0x4008_7602, // FS_IOC_SETVERSION
    0x5000_940e, // BTRFS_IOC_SUBVOL_CREATE
    0x5000_9418, // BTRFS_IOC_SUBVOL_CREATE_V2
    0x5000_9401, // BTRFS_IOC_SNAP_CREATE
    0x5000_9417, // BTRFS_IOC_SNAP_CREATE_V2
    0x5000_940f, // BTRFS_IOC_SNAP_DESTROY
    0x5000_943f, // BTRFS_IOC_SNAP_DESTROY_V2
];

impl Arch {
    /// The one of this build, and the one that its kernels run beside it; `None` where it was never made to work.
    pub const fn here() -> Option<[Self; 2]> {
        if cfg!(target_arch = "x86_64") {
            Some([Self::X86_64, Self::I386])
        } else if cfg!(target_arch = "aarch64") {
            Some([Self::Aarch64, Self::Arm])
        } else {
            None
        }
    }

    /// Its `AUDIT_ARCH_*` number (`linux/audit.h`).
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether addresses have 32 bits.
    pub const fn is_narrow(self) -> bool {
        matches!(self, Self::I386 | Self::Arm)
    }

    /// Its calls, those that programs make most often first.
    pub fn calls(self) -> impl Iterator<Item = (u32, Call)> {
        let [own, old] = match self {
            Self::X86_64 => [X86_64, &[]],
            Self::I386 => [I386, OLD],
            Self::Aarch64 => [AARCH64, &[]],
            Self::Arm => [ARM, OLD],
        };
        own.iter().chain(old).chain(COMMON).copied()
    }

    /// The one with this `AUDIT_ARCH_*` number.
    pub fn of_audit(number: u32) -> Option<Self> {
        [Self::X86_64, Self::I386, Self::Aarch64, Self::Arm].into_iter().find(|arch| arch.audit() == number)
    }

    /// What a call with this number means; `None` where it changes nothing.
    pub fn call(self, number: u32) -> Option<Call> {
        self.calls().find(|(own, _)| *own == number).map(|(_, call)| call)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_call_is_there_twice() {
        for arch in [Arch::X86_64, Arch::I386, Arch::Aarch64, Arch::Arm] {
            let mut met = HashSet::new();
            assert!(arch.calls().all(|(number, _)| met.insert(number)), "{arch:?}");
            assert_eq!(Arch::of_audit(arch.audit()), Some(arch));
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_numbers_are_those_of_this_machine() {
        let named = [
            (libc::SYS_openat, OPENAT),
            (libc::SYS_open, OPEN),
            (libc::SYS_creat, CREAT),
            (libc::SYS_openat2, OPENAT2),
            (libc::SYS_truncate, TRUNCATE),
            (libc::SYS_rename, RENAME),
            (libc::SYS_renameat, RENAMEAT),
            (libc::SYS_renameat2, RENAMEAT),
            (libc::SYS_unlink, UNLINK),
            (libc::SYS_unlinkat, UNLINKAT),
            (libc::SYS_rmdir, UNLINK),
            (libc::SYS_mkdir, MKDIR),
            (libc::SYS_mkdirat, MKDIRAT),
            (libc::SYS_symlink, SYMLINK),
            (libc::SYS_symlinkat, SYMLINKAT),
            (libc::SYS_link, LINK),
            (libc::SYS_linkat, LINKAT),
            (libc::SYS_mknod, MKDIR),
            (libc::SYS_mknodat, MKDIRAT),
            (libc::SYS_chmod, ALTER),
            (libc::SYS_fchmod, BY_DESCRIPTOR),
            (libc::SYS_fchmodat, ALTER_AT),
            (libc::SYS_fchmodat2, CHMOD_AT2),
            (libc::SYS_chown, ALTER),
            (libc::SYS_fchown, BY_DESCRIPTOR),
            (libc::SYS_lchown, ALTER_LINK),
            (libc::SYS_fchownat, CHOWN_AT),
            (libc::SYS_utime, ALTER),
            (libc::SYS_utimes, ALTER),
            (libc::SYS_futimesat, ALTER_AT),
            (libc::SYS_utimensat, UTIMENS_AT),
            (libc::SYS_setxattr, ALTER),
            (libc::SYS_lsetxattr, ALTER_LINK),
            (libc::SYS_fsetxattr, BY_DESCRIPTOR),
            (libc::SYS_removexattr, ALTER),
            (libc::SYS_lremovexattr, ALTER_LINK),
            (libc::SYS_fremovexattr, BY_DESCRIPTOR),
            (libc::SYS_ioctl, Call::Control),
            (libc::SYS_open_by_handle_at, Call::ByHandle),
            (libc::SYS_bind, Call::Bind),
            (libc::SYS_connect, Call::Connect),
            (libc::SYS_mount, Call::Mounts),
            (libc::SYS_umount2, Call::Mounts),
            (libc::SYS_pivot_root, Call::Mounts),
            (libc::SYS_move_mount, Call::Mounts),
            (libc::SYS_open_tree, Call::Mounts),
            (libc::SYS_fsmount, Call::Mounts),
            (libc::SYS_mount_setattr, Call::Mounts),
            (libc::SYS_pidfd_getfd, Call::Steals),
            (libc::SYS_execve, EXECVE),
            (libc::SYS_execveat, EXECVEAT),
            (libc::SYS_io_uring_setup, Call::Ring),
            (libc::SYS_io_uring_enter, Call::Ring),
            (libc::SYS_io_uring_register, Call::Ring),
        ];
        for (number, call) in named {
            assert_eq!(Arch::X86_64.call(u32::try_from(number).unwrap()), Some(call), "{number}");
        }
        // setxattrat, removexattrat and file_setattr have no names in the C library yet.
        assert_eq!(Arch::X86_64.calls().count(), named.len() + 3);
    }
}
