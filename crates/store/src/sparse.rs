//! Reading a file without reading its holes.
//!
//! Owns where a file's holes are. Refuses to know what is done with its bytes: they are those of any other reader.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// A file from its beginning to its end, wherever that is when it is reached. Where the file takes less room than it is
/// long, its holes are not read: they are zeros. Its position is of no meaning.
pub struct Sparse<F> {
    file: F,
    at: u64,
    /// How far the file is the same from there: bytes, or a hole.
    end: u64,
    is_hole: bool,
    /// How long it was in the beginning; holes are looked for up to there.
    size: u64,
}

impl<F: AsFd> Sparse<F> {
    /// A reader of an open file.
    pub fn new(file: F) -> Self {
        let stat = rustix::fs::fstat(&file).ok();
        let size = stat.map_or(0, |stat| stat.st_size.unsigned_abs());
        // What takes all of its room has no holes to look for.
        let is_sparse = stat.is_some_and(|stat| stat.st_blocks.unsigned_abs() < size / 512) && is_sure(&file);
        Self { file, at: 0, end: if is_sparse { 0 } else { u64::MAX }, is_hole: false, size }
    }

    /// Finds out what begins here.
    fn look(&mut self) {
        let data = match rustix::fs::seek(&self.file, SeekFrom::Data(self.at)) {
            Ok(data) => data,
            // No bytes are left.
            Err(Errno::NXIO) => self.size,
            // A file system that knows no holes has none.
            Err(_) => self.at,
        };
        self.is_hole = data > self.at && self.at < self.size;
        let end = match self.is_hole {
            true => Some(data.min(self.size)),
            false => rustix::fs::seek(&self.file, SeekFrom::Hole(self.at)).ok().filter(|_| self.at < self.size),
        };
        // Behind the end it is read on, to find out whether it has grown.
        self.end = end.filter(|end| *end > self.at).unwrap_or(u64::MAX);
    }
}

/// Whether a file stands on a file system that never takes bytes for a hole which are not on the disk yet. ZFS has done so,
/// and of FUSE nobody knows.
fn is_sure(file: impl AsFd) -> bool {
    // ext2 to ext4, XFS, Btrfs, F2FS, tmpfs (linux/magic.h).
    const SURE: [u64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];
    rustix::fs::fstatfs(file).is_ok_and(|found| SURE.contains(&(found.f_type as u64 & 0xffff_ffff)))
}

impl<F: AsFd> io::Read for Sparse<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.end {
            self.look();
        }
        let most = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..most];
        let count = if self.is_hole {
            buffer.fill(0);
            most
        } else {
            rustix::io::pread(&self.file, buffer, self.at)?
        };
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn every_byte_is_read_and_growth_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        for (number, pieces) in
            [&[][..], &[(0, 5)], &[(300_000, 70_000)], &[(0, 9), (65_536, 4_096), (1_999_999, 1)]].iter().enumerate()
        {
            for size in [2_000_000, 2_000_001] {
                let path = dir.path().join(format!("{number}-{size}"));
                let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
                file.set_len(size).unwrap();
                pieces.iter().for_each(|(at, length)| file.write_all_at(&vec![7; *length], *at).unwrap());
                let mut bytes = Vec::new();
                let mut reader = Sparse::new(&file);
                reader.read_to_end(&mut bytes).unwrap();
                assert!(bytes == std::fs::read(&path).unwrap(), "{number}, {size}");
                file.write_all_at(b"more", size).unwrap();
                assert_eq!(reader.read_to_end(&mut bytes).unwrap(), 4);
            }
        }
    }
}
