//! The content of a new file on its way to the disk.
//!
//! Owns that long runs of zeros become holes: a sparse file must not fill the disk when it comes back. Refuses to know
//! what is written.

use std::fs::File;
use std::io;

use rustix::fs::SeekFrom;
use wfr_store::disk;

/// Shorter pieces of zeros are written, in bytes.
const HOLE_MIN: usize = 64 << 10;

/// An empty file that is being written. Whoever writes must flush at the end: a hole there is made only then.
///
/// Its calls go through [`disk`], so that tests can fail them.
pub(crate) struct Fresh<'f> {
    file: &'f File,
    at: u64,
    in_hole: bool,
}

impl<'f> Fresh<'f> {
    pub(crate) fn new(file: &'f File) -> Self {
        Self { file, at: 0, in_hole: false }
    }
}

impl io::Write for Fresh<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_hole = bytes.len() >= HOLE_MIN && is_zero(bytes);
        if !is_hole {
            if self.in_hole {
                rustix::fs::seek(self.file, SeekFrom::Start(self.at))?;
            }
            disk::write_all(self.file, bytes)?;
        }
        self.in_hole = is_hole;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.in_hole { disk::truncate(self.file, self.at) } else { Ok(()) }
    }
}

/// Whether a text of at least one byte has zeros only: it begins with one, and each byte is as the one before.
fn is_zero(bytes: &[u8]) -> bool {
    bytes[0] == 0 && bytes[1..] == bytes[..bytes.len() - 1]
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn every_byte_is_there_and_long_zeros_take_no_room() {
        let dir = tempfile::tempdir().expect("a directory");
        let (zeros, text) = (vec![0; 1 << 20], vec![7; 5_000]);
        for (number, pieces) in
            [vec![&zeros, &text, &zeros, &zeros], vec![&text, &zeros, &text], vec![&zeros], vec![&text], vec![]]
                .iter()
                .enumerate()
        {
            let path = dir.path().join(number.to_string());
            let file = File::create(&path).expect("a file");
            let mut fresh = Fresh::new(&file);
            pieces.iter().for_each(|piece| fresh.write_all(piece).expect("room"));
            fresh.flush().expect("room");
            file.sync_all().expect("a flush");
            assert_eq!(
                std::fs::read(&path).expect("a file"),
                pieces.iter().flat_map(|p| p.to_vec()).collect::<Vec<u8>>()
            );
            assert!(file.metadata().expect("a file").blocks() * 512 < 1 << 19, "{number}");
        }
    }
}
