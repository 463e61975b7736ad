//! Random trees from a seed: the same seed grows the same tree.
//!
//! Owns the generator and the mix of names, kinds, sizes, modes and times. Refuses the clock but for a first seed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::TestTree;

/// A small generator of reproducible numbers (SplitMix64: Steele, Lea and Flood, OOPSLA 2014). Not for secrets.
#[derive(Clone, Debug)]
pub struct Prng(u64);

impl Prng {
    /// A generator that always yields the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator seeded by `WFR_TEST_SEED`, or by the clock; the seed is printed, so that a failure can be had again.
    pub fn from_environment() -> Self {
        let given = std::env::var("WFR_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |age| age.as_nanos() as u64);
        let seed = given.unwrap_or_else(clock);
        eprintln!("WFR_TEST_SEED={seed}");
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, without `end`; `end` is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// True once in `times` on average.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several, which are not none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Bytes that do not compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// A file's content: often empty or short, now and then around a megabyte and above; half of it compresses.
    pub fn content(&mut self) -> Vec<u8> {
        let length = match self.below(40) {
            0 => (1 << 20) - 1 + self.below(3),
            1 => self.below(3 << 20),
            2..6 => 0,
            6..16 => self.below(64 << 10),
            _ => self.below(200),
        };
        if self.one_in(2) {
            return self.bytes(length);
        }
        let line = format!("line {}\n", self.number());
        line.bytes().cycle().take(length).collect()
    }

    /// A directory entry's name: mostly plain, sometimes with bytes that break careless code. Never empty, `.` or `..`.
    pub fn name(&mut self) -> Vec<u8> {
        let number = self.below(1000);
        match self.below(24) {
            0 => format!("-{number}").into_bytes(),
            1 => format!("a\nb{number}").into_bytes(),
            2 => format!("\u{1b}[31m{number}").into_bytes(),
            3 => [b"\xff\xfe".as_slice(), number.to_string().as_bytes()].concat(),
            4 => format!("é{number}").into_bytes(),
            5 => format!("e\u{301}{number}").into_bytes(),
            6 => format!("{number:x>255}").into_bytes(),
            7 => format!(" {number} ").into_bytes(),
            8 => format!("\\x{number}").into_bytes(),
            9 => format!(".hidden{number}").into_bytes(),
            10 => format!("File{number}").into_bytes(),
            11 => format!("file{number}").into_bytes(),
            _ => format!("n{number}").into_bytes(),
        }
    }

    /// Permission bits with which root and owner can still work on the file.
    pub fn mode(&mut self) -> u32 {
        *self.pick(&[0o644, 0o644, 0o600, 0o755, 0o444, 0o664, 0o4755, 0o2755, 0o1777])
    }

    /// A modification time: seconds, some before 1970 and after 2038, and nanoseconds.
    pub fn mtime(&mut self) -> (i64, u32) {
        let secs = match self.below(8) {
            0 => -(self.below(1 << 30) as i64),
            1 => (1 << 31) + self.below(1 << 30) as i64,
            _ => 1_500_000_000 + self.below(1 << 27) as i64,
        };
        (secs, self.below(1_000_000_000) as u32)
    }
}

/// How large a random tree grows.
#[derive(Clone, Copy, Debug)]
pub struct TreeShape {
    /// Entries of all kinds.
    pub entries: usize,
    /// Whether pipes and sockets are among them.
    pub specials: bool,
    /// Whether hard links are among them.
    pub hard_links: bool,
}

impl Default for TreeShape {
    fn default() -> Self {
        Self { entries: 40, specials: false, hard_links: true }
    }
}

/// Adds random entries to a tree; names that are taken are skipped.
#[track_caller]
pub fn grow(tree: &TestTree, prng: &mut Prng, shape: TreeShape) {
    let mut dirs = vec![PathBuf::new()];
    let mut files = Vec::new();
    for _ in 0..shape.entries {
        let path = prng.pick(&dirs).join(OsStr::from_bytes(&prng.name()));
        if tree.at(&path).symlink_metadata().is_ok() || path.components().count() > 8 {
            continue;
        }
        match prng.below(20) {
            0..5 => {
                tree.dir(&path);
                dirs.push(path);
                continue;
            }
            5..7 => tree.symlink(&path, &link_target(prng)),
            7 if shape.hard_links && !files.is_empty() => tree.hard_link(prng.pick(&files), &path),
            8 if shape.specials => tree.fifo(&path),
            _ => {
                tree.write(&path, &prng.content());
                tree.set_mode(&path, prng.mode());
                files.push(path.clone());
            }
        }
        let (secs, nanos) = prng.mtime();
        tree.set_mtime(&path, secs, nanos);
    }
    for dir in dirs.iter().skip(1).rev() {
        let (secs, nanos) = prng.mtime();
        tree.set_mode(dir, *prng.pick(&[0o755, 0o755, 0o700, 0o2775, 0o1777]));
        tree.set_mtime(dir, secs, nanos);
    }
}

/// Where a random symbolic link points: to siblings, nowhere, outside, or to itself.
pub(crate) fn link_target(prng: &mut Prng) -> Vec<u8> {
    match prng.below(5) {
        0 => b"/etc/hostname".to_vec(),
        1 => b"../..".to_vec(),
        2 => b"\xff not there".to_vec(),
        3 => vec![b'x'; 300],
        _ => prng.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Snapshot;

    #[test]
    fn the_same_seed_grows_the_same_tree() {
        let trees = [7, 7, 8].map(|seed| {
            let tree = TestTree::new();
            grow(&tree, &mut Prng::new(seed), TreeShape::default());
            Snapshot::of(tree.path())
        });
        trees[0].assert_same(&trees[1]);
        assert_ne!(trees[0], trees[2]);
        assert!(trees[0].entries.len() > 20);
    }
}
