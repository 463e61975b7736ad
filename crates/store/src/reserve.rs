//! Space kept free for bad times: a file that is given up on a full disk, so that cleanup and undo still work.
//!
//! Owns that file. Refuses to decide when the disk is full enough.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::disk;

/// Bytes kept.
pub const RESERVE_BYTES: u64 = 16 << 20;

const NAME: &str = "reserve";

/// Makes the reserve in the vault's directory where it is missing, durably. `false`: the disk has no room for it now,
/// and nothing was taken.
pub fn create(vault: &Path) -> io::Result<bool> {
    if is_there(vault) {
        return Ok(true);
    }
    let path = vault.join(NAME);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    match fill(&file).and_then(|()| disk::sync_all(&file)).and_then(|()| disk::sync_all(disk::open_dir(vault)?)) {
        Ok(()) => Ok(true),
        Err(error) => {
            drop(file);
            let _ = std::fs::remove_file(&path);
            if is_full(&error) { Ok(false) } else { Err(error) }
        }
    }
}

/// Makes the reserve again where it was given up and there is room for twice as much: whoever gave it up may still need
/// what is free. `false`: it is not there.
pub fn refill(vault: &Path) -> io::Result<bool> {
    if is_there(vault) {
        return Ok(true);
    }
    if room(vault)?.0 < 2 * RESERVE_BYTES { Ok(false) } else { create(vault) }
}

/// Bytes that this process may still take of the vault's file system, and bytes that it has in all.
pub fn room(vault: &Path) -> io::Result<(u64, u64)> {
    let room = rustix::fs::statvfs(vault)?;
    Ok((room.f_bavail.saturating_mul(room.f_frsize), room.f_blocks.saturating_mul(room.f_frsize)))
}

/// Takes the blocks. Where a file system cannot reserve them they are written, with bytes that do not compress.
fn fill(file: &File) -> io::Result<()> {
    match disk::allocate(file, RESERVE_BYTES) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
        other => return other,
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(1 << 20);
    while block.len() < 1 << 20 {
        // Xorshift (G. Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend_from_slice(&state.to_le_bytes());
    }
    (0..RESERVE_BYTES >> 20).try_for_each(|_| disk::write_all(file, &block))
}

/// Whether the reserve is there, whole and really taking space.
pub fn is_there(vault: &Path) -> bool {
    std::fs::symlink_metadata(vault.join(NAME))
        .is_ok_and(|meta| meta.is_file() && meta.len() == RESERVE_BYTES && meta.blocks() * 512 >= RESERVE_BYTES)
}

/// Gives the reserve up; returns the bytes that are free now. Nothing is synced: a full disk may refuse even that.
pub fn release(vault: &Path) -> io::Result<u64> {
    let was_there = is_there(vault);
    match disk::unlink(disk::open_dir(vault)?, Path::new(NAME)) {
        Ok(()) => Ok(if was_there { RESERVE_BYTES } else { 0 }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Whether an error says that the disk, or the user's share of it, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_space_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_there(dir.path()));
        for _ in 0..2 {
            assert!(create(dir.path()).unwrap());
            assert!(is_there(dir.path()));
        }
        assert_eq!(release(dir.path()).unwrap(), RESERVE_BYTES);
        assert_eq!(release(dir.path()).unwrap(), 0);
    }

    #[test]
    fn it_is_made_again_where_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            assert!(refill(dir.path()).unwrap() && is_there(dir.path()));
        }
        release(dir.path()).unwrap();
        assert!(refill(dir.path()).unwrap() && is_there(dir.path()));
    }

    #[test]
    fn one_that_takes_no_space_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join(NAME)).unwrap().set_len(RESERVE_BYTES).unwrap();
        assert!(!is_there(dir.path()));
        assert!(create(dir.path()).unwrap());
        assert!(is_there(dir.path()));
    }

    #[test]
    fn written_blocks_do_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join(NAME)).unwrap();
        fill(&file).unwrap();
        file.sync_all().unwrap();
        assert!(is_there(dir.path()));
    }
}
