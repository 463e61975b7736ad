//! The system calls that no safe crate offers.
//!
//! Owns all unsafe code of this crate, each piece with its proof. Refuses to decide anything.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use libc::{seccomp_notif, seccomp_notif_resp, sock_filter, sock_fprog};

/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` (`linux/seccomp.h`, since 5.19): a signal does not interrupt a call that is being
/// looked at, unless it kills.
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;

/// `SECCOMP_IOCTL_NOTIF_*` (`linux/seccomp.h`).
const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;
const IS_VALID: libc::c_ulong = 0x4008_2102;
const SET_FLAGS: libc::c_ulong = 0x4008_2104;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (since 6.6): who is asked runs on the processor of who asks.
const SYNC_WAKE_UP: u64 = 1;

/// Puts a filter over this process and all that it starts, and gives the end at which its reports arrive. `ENOSYS` or `EINVAL`
/// where the kernel cannot do that as it must be done; `EACCES` without privilege and without [`no_new_privileges`].
///
/// It allocates nothing, so it may be called between `fork` and `exec`.
pub fn install(program: &[sock_filter]) -> io::Result<OwnedFd> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW | WAIT_KILLABLE;
    let operation = libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER);
    // SAFETY: `program` and the steps that it points to live until the call returns, and the kernel only reads them.
    let fd = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives up gaining privileges by running programs, for good: only then may who has none install a filter. It allocates nothing.
pub fn no_new_privileges() -> io::Result<()> {
    // SAFETY: this option takes numbers only.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Which version of Landlock the kernel has. `ENOSYS` where it has none, `EOPNOTSUPP` where it is not switched on.
pub fn landlock_version() -> io::Result<u32> {
    const VERSION: libc::c_ulong = 1;
    let none = std::ptr::null::<c_void>();
    // SAFETY: with this flag the kernel wants no address and no size.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, VERSION) };
    u32::try_from(version).ok().filter(|version| *version > 0).ok_or_else(io::Error::last_os_error)
}

/// Rules by which these accesses to files are refused unless they are allowed. Errors: what the system says.
pub fn landlock_ruleset(refused: u64) -> io::Result<OwnedFd> {
    // SAFETY: the first field of `struct landlock_ruleset_attr` is this number, and the size says that there are no others.
    let fd = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const refused, size_of::<u64>(), 0 as libc::c_ulong)
    };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Allows accesses to what a descriptor is of, and below it. Errors: what the system says.
pub fn landlock_allow(ruleset: impl AsFd, access: u64, of: BorrowedFd<'_>) -> io::Result<()> {
    /// `struct landlock_path_beneath_attr`.
    #[repr(C, packed)]
    struct Beneath {
        access: u64,
        fd: i32,
    }
    const PATH_BENEATH: libc::c_ulong = 1;
    let rule = Beneath { access, fd: of.as_raw_fd() };
    let (ruleset, none) = (ruleset.as_fd().as_raw_fd(), 0 as libc::c_ulong);
    // SAFETY: the kernel reads one rule of this kind, which is what the address is of.
    let done = unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, PATH_BENEATH, &raw const rule, none) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts rules over this process and all that it starts, for good. `EPERM` without privilege and without [`no_new_privileges`]. It
/// allocates nothing.
pub fn landlock_restrict(ruleset: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes two numbers.
    let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0 as libc::c_ulong) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A call that waits for an answer, as the kernel writes it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Report(seccomp_notif);

impl Report {
    /// The number of the question.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The thread that asks, by its number here; 0 where it has none.
    pub fn thread(&self) -> u32 {
        self.0.pid
    }

    /// The `AUDIT_ARCH_*` number of its call.
    pub fn arch(&self) -> u32 {
        self.0.data.arch
    }

    /// The number of its call.
    pub fn number(&self) -> u32 {
        self.0.data.nr.cast_unsigned()
    }

    /// The arguments of its call.
    pub fn arguments(&self) -> [u64; 6] {
        self.0.data.args
    }
}

/// Lets who asks run on the processor of who answers, where the kernel can: thirteen times as many answers.
pub fn answer_at_once(listener: impl AsFd) {
    // SAFETY: the argument is a number, not an address. Where the kernel does not know it nothing is changed.
    unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) };
}

/// Lets a call go on as it is. `ENOENT` where who asked is gone.
pub fn go_on(listener: impl AsFd, id: u64) -> io::Result<()> {
    let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(1);
    let mut answer = seccomp_notif_resp { id, val: 0, error: 0, flags };
    // SAFETY: the kernel reads one `seccomp_notif_resp`, which is what the address is of.
    done(unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SEND, &raw mut answer) })
}

/// Whether who asked waits still: what was read of it by its number was read of it.
pub fn still_asks(listener: impl AsFd, id: u64) -> bool {
    // SAFETY: the kernel reads eight bytes, which is what the address is of.
    unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), IS_VALID, &raw const id) == 0 }
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads memory of another process, as much as is there: 0 bytes where nothing can be read.
pub fn read_memory(process: u32, address: u64, into: &mut [u8]) -> usize {
    let (Ok(process), Ok(address)) = (libc::pid_t::try_from(process), usize::try_from(address)) else { return 0 };
    let own = libc::iovec { iov_base: into.as_mut_ptr().cast::<c_void>(), iov_len: into.len() };
    let other = libc::iovec { iov_base: address as *mut c_void, iov_len: into.len() };
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`, which is ours alone meanwhile. The other address is never
    // looked at in this process.
    let read = unsafe { libc::process_vm_readv(process, &raw const own, 1, &raw const other, 1, 0) };
    usize::try_from(read).unwrap_or(0)
}

/// Memory that a process and its children share: the reports that are being looked at, each in a place of its own.
#[derive(Debug)]
pub struct Board {
    shared: NonNull<Shared>,
}

/// How many reports can be looked at at once.
pub const PLACES: usize = 9;

/// What is in it. All zero at first.
#[repr(C)]
struct Shared {
    /// When reports began to be answered unseen; 0: never.
    degraded_at: AtomicU64,
    /// How many were.
    unseen: AtomicU64,
    reports: [UnsafeCell<seccomp_notif>; PLACES],
}

// SAFETY: what threads share are atomics; each report is written and read through the one `Place` there is for it, and only its id
// is read by others: by a process that does so when all threads of this one are dead.
unsafe impl Send for Board {}
// SAFETY: see above.
unsafe impl Sync for Board {}

impl Board {
    /// A new one. Errors: what the system says.
    pub fn new() -> io::Result<Self> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of nothing, at a place that the kernel chooses.
        let place = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<Shared>(), access, kind, -1, 0) };
        if place == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Mappings begin at a page's beginning, so this is aligned; all zeros are valid for every field.
        let shared = NonNull::new(place.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Self { shared })
    }

    fn shared(&self) -> &Shared {
        // SAFETY: the mapping is as large and as aligned as this needs and lives as long as `self`.
        unsafe { self.shared.as_ref() }
    }

    /// When reports began to be answered unseen, in nanoseconds of the boot clock; 0: never.
    pub fn degraded_at(&self) -> &AtomicU64 {
        &self.shared().degraded_at
    }

    /// The places, for the threads of the one process that receives, and how many reports were answered unseen. `&mut`: nobody
    /// else has them.
    pub fn places(&mut self) -> ([Place<'_>; PLACES], &AtomicU64) {
        let shared = self.shared();
        (std::array::from_fn(|number| Place { report: &shared.reports[number] }), &shared.unseen)
    }

    /// The ids of the reports that were received last, 0 where none was.
    pub fn last_ids(&self) -> [u64; PLACES] {
        // SAFETY: eight aligned bytes each, of which only a process that is dead wrote. All numbers are valid.
        std::array::from_fn(|number| unsafe { (&raw const (*self.shared().reports[number].get()).id).read_volatile() })
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: it is the mapping that `new` made, and nobody has a reference to it any more.
        unsafe { libc::munmap(self.shared.as_ptr().cast(), size_of::<Shared>()) };
    }
}

/// Words of a file that several processes share.
#[derive(Debug)]
pub struct Words {
    start: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: what is shared is atomics.
unsafe impl Send for Words {}
// SAFETY: see above.
unsafe impl Sync for Words {}

impl Words {
    /// The first so many words of a file, which is as long. Who makes it shorter ends this process. Errors: what the system says.
    pub fn map(file: &std::fs::File, count: usize) -> io::Result<Self> {
        let (access, length) = (libc::PROT_READ | libc::PROT_WRITE, count * size_of::<AtomicU64>());
        // SAFETY: a new mapping at a place that the kernel chooses.
        let place =
            unsafe { libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, file.as_fd().as_raw_fd(), 0) };
        if place == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Mappings begin at a page's beginning, so this is aligned.
        let start = NonNull::new(place.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Self { start, count })
    }

    /// All of them.
    pub fn all(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is as long as this needs and lives as long as `self`; every word is a valid atomic, and all who share it,
        // in whatever process, use it as that.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: it is the mapping that `map` made, and nobody has a reference to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.count * size_of::<AtomicU64>()) };
    }
}

/// Where one report at a time is received.
#[derive(Debug)]
pub struct Place<'b> {
    report: &'b UnsafeCell<seccomp_notif>,
}

// SAFETY: there is one for each report, see `Board::places`.
unsafe impl Send for Place<'_> {}

impl Place<'_> {
    /// Receives the next report, so that whoever else has the board can answer it if this process dies at any instruction from
    /// here on. `ENOENT` where who asked is gone, `EINTR` where a signal came.
    pub fn receive(&mut self, listener: impl AsFd) -> io::Result<Report> {
        let place = self.report.get();
        // SAFETY: the kernel wants it to be zero, and then writes one `seccomp_notif` there, which is what it is. `&mut self`: no
        // other thread uses it.
        unsafe {
            place.write(std::mem::zeroed());
            done(libc::ioctl(listener.as_fd().as_raw_fd(), RECEIVE, place))?;
            Ok(Report(place.read()))
        }
    }
}

/// Which of the two processes one is after a `fork`.
pub enum Fork {
    /// The one that was.
    Parent(OwnedFd),
    /// The new one.
    Child,
}

/// Makes a second process; the first one gets a descriptor of it. Errors: what the system says, and `EBUSY` where this process
/// has more than one thread.
pub fn fork() -> io::Result<Fork> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    // SAFETY: there is one thread, so no lock is held by another one that would not be there in the child.
    let child = unsafe { libc::fork() };
    match child {
        0 => Ok(Fork::Child),
        child if child > 0 => Ok(Fork::Parent(process(child)?)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A descriptor of a process. Errors: what the system says.
pub fn process(id: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has a closure run between `fork` and `exec` of a command.
///
/// The closure must allocate nothing and take no lock: other threads of the parent are not there to give it back.
pub fn before_exec(command: &mut std::process::Command, then: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: passed on to the callers of this function, all in this crate: `launch` installs the filter and sends a message,
    // with memory that was set aside before.
    unsafe { command.pre_exec(then) };
}

/// Closes all descriptors but the first three, which a process got from the one that started it and does not know.
///
/// It must be called before this process has opened anything, and while it has one thread.
pub fn close_inherited() {
    // SAFETY: by the contract above nobody in this process owns any of these, and nobody opens one meanwhile.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
}

/// Sends one byte and a descriptor over a socket. It allocates nothing.
pub fn send(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let fds = [fd];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    with.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(socket, &[io::IoSlice::new(b"l")], &mut with, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes a signal as a process does that knows nothing of it: dies of it, or stops until it is continued. It comes back also where
/// the kernel spares this process, as the first one of a container.
pub fn take(signal: i32) {
    // SAFETY: all zeros are a valid action, namely the default one.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    let mut before = default;
    // SAFETY: the addresses are of one action each, and one set, which is made empty before it is used. The default action runs no
    // code in this process.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        // Refused for those that nobody can catch, and so need not be put back.
        let is_caught = libc::sigaction(signal, &raw const default, &raw mut before) == 0;
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::raise(signal);
        if is_caught {
            libc::sigaction(signal, &raw const before, std::ptr::null_mut());
        }
    }
}

/// Sends a process any signal, also one without a name. Errors: what the system says.
pub fn send_signal(process: u32, signal: i32) -> io::Result<()> {
    let process = libc::pid_t::try_from(process).ok().filter(|process| *process > 0);
    let process = process.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: the call takes two numbers.
    done(unsafe { libc::kill(process, signal) })
}

/// How a child ended or stopped, and what it used.
#[derive(Clone, Copy, Debug)]
pub struct Waited {
    /// As `wait` says it.
    pub status: std::process::ExitStatus,
    /// Microseconds in its own code, and in the kernel on its behalf.
    pub user_us: u64,
    /// See above.
    pub system_us: u64,
    /// The most memory that it had at a time, in kibibytes.
    pub memory_kib: u64,
}

/// Waits until a child ends or stops. Errors: `EINTR`, `ECHILD`.
pub fn wait(child: u32) -> io::Result<Waited> {
    use std::os::unix::process::ExitStatusExt as _;
    let child = libc::pid_t::try_from(child).map_err(|_| io::Error::from_raw_os_error(libc::ECHILD))?;
    let mut status = 0;
    // SAFETY: all zeros are a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `int` and one `rusage`, which is what the addresses are of.
    let waited = unsafe { libc::wait4(child, &raw mut status, libc::WUNTRACED, &raw mut usage) };
    if waited < 0 {
        return Err(io::Error::last_os_error());
    }
    let micros = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    Ok(Waited {
        status: std::process::ExitStatus::from_raw(status),
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        memory_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    })
}
