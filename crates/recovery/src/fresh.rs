//! The content of a new file on its way to the disk.
//!
//! Owns that long runs of zeros become holes: a sparse file must not fill the disk when it comes back. Refuses to know
//! what is written.

use std::fs::File;
use std::io;

use rustix::fs::SeekFrom;
use wfr_store::content::is_zero;
use wfr_store::disk;

/// Shorter pieces of zeros are written, in bytes.
const HOLE_MIN: usize = 64 << 10;

/// Zeros are looked for in pieces of this many bytes: file systems make holes of whole blocks.
const BLOCK: usize = 4 << 10;

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
        let mut rest = bytes;
        while !rest.is_empty() {
            let zeros = zeros(rest);
            let is_hole = zeros >= HOLE_MIN || (self.in_hole && zeros > 0);
            let (piece, after) = rest.split_at(if is_hole { zeros } else { before_hole(rest) });
            if !is_hole {
                if self.in_hole {
                    rustix::fs::seek(self.file, SeekFrom::Start(self.at))?;
                }
                disk::write_all(self.file, piece)?;
            }
            self.in_hole = is_hole;
            self.at += piece.len() as u64;
            rest = after;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.in_hole { disk::truncate(self.file, self.at) } else { Ok(()) }
    }
}

/// Bytes of the blocks of zeros that a text begins with.
fn zeros(bytes: &[u8]) -> usize {
    bytes.chunks(BLOCK).take_while(|block| is_zero(block)).map(<[u8]>::len).sum()
}

/// Bytes before the first run of zeros that is long enough for a hole.
fn before_hole(bytes: &[u8]) -> usize {
    let (mut at, mut run) = (0, 0);
    for block in bytes.chunks(BLOCK) {
        at += block.len();
        run = if is_zero(block) { run + block.len() } else { 0 };
        if run >= HOLE_MIN {
            return at - run;
        }
    }
    at
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
        // Zeros and texts in one piece, as a chunk has them.
        let mixed = [&zeros[..100_000], &text, &zeros[..30_000], &text, &zeros[..300_001]].concat();
        for (number, pieces) in [
            vec![&zeros, &text, &zeros, &zeros],
            vec![&text, &zeros, &text],
            vec![&mixed],
            vec![&zeros, &mixed, &mixed],
            vec![&zeros],
            vec![&text],
            vec![],
        ]
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
            assert!(file.metadata().expect("a file").blocks() * 512 < 1 << 17, "{number}");
        }
    }
}
