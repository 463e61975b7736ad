//! Whether anyone has a file open for writing.
//!
//! Owns the one system call that tells, a read lease taken and given back at once. Refuses to keep a lease.
//!
//! The kernel grants a read lease only while no descriptor and no mapping of the file can write. While it is held, which
//! is for about a microsecond here, another process that opens the file for writing waits for us to give it back; one
//! that asked not to wait gets EWOULDBLOCK.

use std::os::fd::{AsFd, AsRawFd};

/// `F_SETSIG` of `fcntl` on Linux, on every architecture (`asm-generic/fcntl.h`).
const F_SETSIG: i32 = 10;

/// Whether some process, this one included, has the file open or mapped for writing; `None` where the kernel does not
/// say: the file belongs to someone else, or the file system has no leases. `file` must be open for reading only.
pub fn has_writer(file: impl AsFd) -> Option<bool> {
    let fd = file.as_fd().as_raw_fd();
    // A holder whose lease is being broken gets a signal, SIGIO if it names no other, and that would end the process.
    // SIGURG is ignored unless someone wants it.
    if !fcntl(fd, F_SETSIG, libc::SIGURG) {
        return None;
    }
    if fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) {
        // Closing the descriptor would give it back too, so a failure here has no consequence but a longer wait.
        fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK);
        return Some(false);
    }
    (std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)).then_some(true)
}

/// Whether `fcntl` with an integer argument succeeds.
fn fcntl(fd: i32, command: i32, argument: i32) -> bool {
    // SAFETY: the three commands used here take an integer and read or write no memory of this process. The
    // descriptor is borrowed by the caller, so it is open for as long as the call lasts.
    unsafe { libc::fcntl(fd, command, argument) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};

    #[test]
    fn writers_are_noticed_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let file = File::open(&path).unwrap();
        if has_writer(&file).is_none() {
            return; // No leases on this file system.
        }
        assert_eq!(has_writer(&file), Some(false));
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(has_writer(&file), Some(true));
        drop(writer);
        assert_eq!(has_writer(&file), Some(false));
        let reader = File::open(&path).unwrap();
        assert_eq!(has_writer(&file), Some(false));
        drop(reader);
    }
}
