//! What the stat cache remembers of one directory, as bytes.
//!
//! Owns the encoding: a head that describes the directory, then its entries sorted by name. Refuses to know files and
//! checksums. `docs/format.md` describes the bytes; all numbers are little-endian.

use std::ffi::CStr;

use rustix::fs::FileType;
use wfr_model::entry::{Content, Entry, Meta, Node, Xattr};
use wfr_model::{Digest, FileTime};

use super::stat::Stat;

/// Bytes of a head before its attributes.
pub(super) const HEAD: usize = 88;

/// Bytes of an entry before its name.
const FIXED: usize = 96;

const MAGIC: u32 = u32::from_le_bytes(*b"wfrL");

/// In a head: the time stamps may stay the same when names change. In an entry: when the content does.
pub(super) const RACY: u8 = 0x01;
/// In a head: one of the names is that of a cache tag, so the tag has to be looked at again.
pub(super) const HAS_TAG: u8 = 0x02;
/// In a head: the directory stands on another mount than its parent.
pub(super) const MOUNT: u8 = 0x04;
/// In an entry: it is not part of the tree.
pub(super) const OMITTED: u8 = 0x02;
/// In an entry: a writer had the file open when it was read.
pub(super) const WRITER: u8 = 0x04;
const OTHER_DEV: u8 = 0x08;
const IN_CHUNKS: u8 = 0x10;
/// In the entry of a directory: it says how much is below.
const SUMMED: u8 = 0x20;

/// What an entry is, as far as the cache knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    /// Something that could not be looked at.
    Unknown = 0,
    File = 1,
    Dir = 2,
    Symlink = 3,
    Fifo = 4,
    Socket = 5,
    Device = 6,
    /// Skipped for its name by a rule.
    Excluded = 7,
    /// Skipped for its name as one of wfr's own.
    Own = 8,
}

impl Kind {
    fn from_u8(number: u8) -> Option<Self> {
        use Kind as K;
        [K::Unknown, K::File, K::Dir, K::Symlink, K::Fifo, K::Socket, K::Device, K::Excluded, K::Own]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }

    fn fits(self, stat: &Stat) -> bool {
        let expected = match self {
            Self::File => FileType::RegularFile,
            Self::Symlink => FileType::Symlink,
            Self::Fifo => FileType::Fifo,
            Self::Socket => FileType::Socket,
            _ => return false,
        };
        stat.kind() == expected
    }
}

/// Where a listing lies in the cache file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Pos {
    /// Byte in the file; 0 for none.
    pub at: u64,
    /// Bytes of the listing and its checksum.
    pub len: u32,
}

impl Pos {
    pub(super) const NONE: Self = Self { at: 0, len: 0 };
}

/// How much is in a directory and below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sum {
    /// Entries that are no directories.
    pub files: u64,
    pub directories: u32,
    /// Bytes of regular files.
    pub bytes: u64,
}

impl Sum {
    fn add_directory(&mut self, below: Self) {
        self.files += below.files;
        self.directories = self.directories.saturating_add(below.directories).saturating_add(1);
        self.bytes += below.bytes;
    }

    fn add(&mut self, cached: &Cached<'_>) {
        self.files += 1;
        self.bytes += cached.bytes();
    }
}

/// The head of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head<'a> {
    pub flags: u8,
    pub dev: u64,
    pub ino: u64,
    pub mtime: FileTime,
    pub ctime: FileTime,
    /// The directory's tree.
    pub tree: Digest,
    /// Its extended attributes, as [`encode_xattrs`] gives them.
    pub xattrs: &'a [u8],
}

/// A listing that has been taken apart.
#[derive(Clone, Debug)]
pub(super) struct Listing<'a> {
    pub head: Head<'a>,
    /// All entries, one after the other.
    pub entries: &'a [u8],
}

/// Device numbers change when a file system is mounted again, so the root's is kept as 0.
pub(super) fn relative_dev(dev: u64, root: u64) -> u64 {
    if dev == root { 0 } else { dev }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were taken"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were taken"))
}

fn time_at(bytes: &[u8], secs: usize, nanos: usize) -> FileTime {
    FileTime { secs: u64_at(bytes, secs) as i64, nanos: u32_at(bytes, nanos) }
}

fn digest_at(bytes: &[u8], at: usize) -> Digest {
    Digest(bytes[at..at + 32].try_into().expect("32 bytes were taken"))
}

impl Head<'_> {
    /// Appends the head's bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&u32::from(self.flags).to_le_bytes());
        for number in [self.dev, self.ino, self.mtime.secs as u64, self.ctime.secs as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.mtime.nanos, self.ctime.nanos, 0, self.xattrs.len() as u32] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.tree.0);
        out.extend_from_slice(self.xattrs);
    }

    /// Whether names read under these stamps are still the directory's.
    pub(super) fn is_trusted(&self, stat: &Stat, root_dev: u64, is_mount: bool) -> bool {
        self.flags & (RACY | HAS_TAG) == 0
            && (self.flags & MOUNT != 0) == is_mount
            && self.ino == stat.ino
            && self.dev == relative_dev(stat.dev, root_dev)
            && self.mtime == stat.mtime
            && self.ctime == stat.ctime
    }
}

/// Writes a directory's tree into its listing.
pub(super) fn set_tree(listing: &mut [u8], tree: &Digest) {
    listing[56..HEAD].copy_from_slice(&tree.0);
}

impl<'a> Listing<'a> {
    /// Takes a listing apart; `None` where it is none. Entries are checked as they are visited.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        if u32_at(head, 0) != MAGIC {
            return None;
        }
        let (xattrs, entries) = rest.split_at_checked(u32_at(head, 52) as usize)?;
        let head = Head {
            flags: head[4],
            dev: u64_at(head, 8),
            ino: u64_at(head, 16),
            mtime: time_at(head, 24, 40),
            ctime: time_at(head, 32, 44),
            tree: digest_at(head, 56),
            xattrs,
        };
        Some(Self { head, entries })
    }

    /// How much is in the directory and below it; `None` where something there has to be told or looked at by each scan.
    pub(super) fn sum(&self) -> Option<Sum> {
        let mut sum = (self.head.flags & (HAS_TAG | MOUNT) == 0).then(Sum::default)?;
        for cached in self.entries() {
            match cached.kind {
                Kind::Dir => sum.add_directory(cached.sum()?),
                _ if cached.is_settled() => sum.add(&cached),
                _ => return None,
            }
        }
        Some(sum)
    }

    /// Its entries in order. Ends early at bytes that are no entry, which a valid checksum rules out.
    pub(super) fn entries(&self) -> Entries<'a> {
        Entries(self.entries)
    }
}

/// The entries of a listing.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Cached<'a>;

    fn next(&mut self) -> Option<Cached<'a>> {
        let fixed: &[u8; FIXED] = self.0.first_chunk()?;
        let name_end = FIXED + fixed[2] as usize + 1;
        let end = name_end.checked_add(u32_at(fixed, 60) as usize)?;
        let raw = self.0.get(..end)?;
        let name = CStr::from_bytes_with_nul(&raw[FIXED..name_end]).ok()?;
        let kind = Kind::from_u8(fixed[0])?;
        self.0 = &self.0[end..];
        let cached = Cached { kind, flags: fixed[1], name, raw, fixed, extra: &raw[name_end..] };
        (cached.rest_at() <= cached.extra.len()).then_some(cached)
    }
}

/// One entry as the cache knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cached<'a> {
    pub kind: Kind,
    pub flags: u8,
    pub name: &'a CStr,
    /// All its bytes.
    pub raw: &'a [u8],
    fixed: &'a [u8; FIXED],
    extra: &'a [u8],
}

impl<'a> Cached<'a> {
    /// Whether it is part of the tree.
    pub(super) fn is_included(&self) -> bool {
        self.flags & OMITTED == 0
    }

    /// Whether a file, link, pipe or socket is, by its stamps, what it was when it was cached. Whether the stamps
    /// say anything is another question: see [`RACY`].
    pub(super) fn is_same(&self, stat: &Stat, root_dev: u64) -> bool {
        self.kind.fits(stat)
            && u64_at(self.fixed, 16) == stat.ino
            && time_at(self.fixed, 32, 44) == stat.ctime
            && time_at(self.fixed, 24, 40) == stat.mtime
            && u64_at(self.fixed, 8) == stat.size
            && self.meta() == stat.meta()
            && self.nlink() == stat.nlink
            && self.dev() == relative_dev(stat.dev, root_dev)
    }

    /// Its device; of most entries the root's.
    fn dev(&self) -> u64 {
        if self.flags & OTHER_DEV == 0 { 0 } else { u64_at(self.extra, 0) }
    }

    /// Permissions, owner and time of modification.
    pub(super) fn meta(&self) -> Meta {
        Meta {
            mode: u32_at(self.fixed, 4),
            uid: u32_at(self.fixed, 48),
            gid: u32_at(self.fixed, 52),
            mtime: time_at(self.fixed, 24, 40),
        }
    }

    /// Of a file its hash, of a directory its tree; zeros where there is none.
    pub(super) fn id(&self) -> Digest {
        digest_at(self.fixed, 64)
    }

    /// Of a directory: where its own listing lies.
    pub(super) fn pos(&self) -> Pos {
        Pos { at: u64_at(self.fixed, 8), len: u32_at(self.fixed, 56) }
    }

    /// Of a directory: how much is below it, where that is known and nothing there needs another look.
    pub(super) fn sum(&self) -> Option<Sum> {
        let is_summed = self.kind == Kind::Dir && self.is_included() && self.flags & SUMMED != 0;
        is_summed.then(|| Sum {
            files: u64_at(self.fixed, 16),
            directories: u32_at(self.fixed, 44),
            bytes: u64_at(self.fixed, 32),
        })
    }

    /// Of a file or link: whether only an event can change what is known of it, and nothing has to be told.
    pub(super) fn is_settled(&self) -> bool {
        match self.kind {
            Kind::File => self.flags & (OMITTED | WRITER) == 0 && self.nlink() == 1,
            Kind::Symlink => self.is_included(),
            _ => false,
        }
    }

    /// How many names the file has.
    pub(super) fn nlink(&self) -> u32 {
        u32_at(self.fixed, 56)
    }

    /// Of a file: its length.
    pub(super) fn bytes(&self) -> u64 {
        if self.kind == Kind::File { u64_at(self.fixed, 8) } else { 0 }
    }

    /// Of a file: its content.
    pub(super) fn content(&self) -> Content {
        let chunks = (self.flags & IN_CHUNKS != 0).then(|| digest_at(self.extra, self.chunks_at()));
        Content { size: u64_at(self.fixed, 8), hash: self.id(), chunks }
    }

    fn chunks_at(&self) -> usize {
        if self.flags & OTHER_DEV == 0 { 0 } else { 8 }
    }

    /// What follows device and chunks: a link's target, or extended attributes.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.extra[self.rest_at()..]
    }

    fn rest_at(&self) -> usize {
        self.chunks_at() + if self.flags & IN_CHUNKS == 0 { 0 } else { 32 }
    }

    /// The entry for the tree; `None` where it is not part of it.
    pub(super) fn entry(&self) -> Option<Entry> {
        if !self.is_included() {
            return None;
        }
        let node = match self.kind {
            Kind::File => Node::File(self.content()),
            Kind::Dir => Node::Dir(self.id()),
            Kind::Symlink => Node::Symlink(self.rest().to_vec()),
            Kind::Fifo => Node::Fifo,
            Kind::Socket => Node::Socket,
            Kind::Unknown | Kind::Device | Kind::Excluded | Kind::Own => return None,
        };
        let has_xattrs = matches!(self.kind, Kind::File | Kind::Dir);
        let xattrs = if has_xattrs { decode_xattrs(self.rest()) } else { vec![] };
        Some(Entry { name: self.name.to_bytes().to_vec(), meta: self.meta(), node, xattrs })
    }
}

/// An entry that is about to be cached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh<'a> {
    pub name: &'a CStr,
    pub kind: Kind,
    /// [`RACY`], [`OMITTED`] and [`WRITER`].
    pub flags: u8,
    pub meta: Meta,
    pub ino: u64,
    /// Relative to the root's.
    pub dev: u64,
    pub ctime: FileTime,
    /// Of a directory: where its listing lies.
    pub size: u64,
    /// Of a directory: how long its listing is.
    pub nlink: u32,
    pub id: Digest,
    pub chunks: Option<Digest>,
    /// A link's target, or extended attributes.
    pub rest: &'a [u8],
}

impl<'a> Fresh<'a> {
    /// An entry of which only name and kind are known, and that is not part of the tree.
    pub(super) fn omitted(name: &'a CStr, kind: Kind) -> Self {
        Self {
            name,
            kind,
            flags: OMITTED,
            meta: Meta::default(),
            ino: 0,
            dev: 0,
            ctime: FileTime::default(),
            size: 0,
            nlink: 0,
            id: Digest::ZERO,
            chunks: None,
            rest: &[],
        }
    }

    /// An entry with the stamps of `stat`.
    pub(super) fn of(name: &'a CStr, kind: Kind, stat: &Stat, root_dev: u64) -> Self {
        Self {
            flags: 0,
            meta: stat.meta(),
            ino: stat.ino,
            dev: relative_dev(stat.dev, root_dev),
            ctime: stat.ctime,
            size: stat.size,
            nlink: stat.nlink,
            ..Self::omitted(name, kind)
        }
    }

    /// A directory with its tree, its attributes, the place of its listing, and how much is below it.
    pub(super) fn dir(name: &'a CStr, meta: Meta, tree: Digest, xattrs: &'a [u8], pos: Pos, sum: Option<Sum>) -> Self {
        let rest = xattrs;
        let plain =
            Self { flags: 0, meta, size: pos.at, nlink: pos.len, id: tree, rest, ..Self::omitted(name, Kind::Dir) };
        match sum {
            None => plain,
            Some(Sum { files, directories, bytes }) => {
                let ctime = FileTime { secs: bytes as i64, nanos: directories };
                Self { flags: SUMMED, ino: files, ctime, ..plain }
            }
        }
    }

    /// Appends the entry's bytes. Names have at most 255 bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let name = self.name.to_bytes_with_nul();
        debug_assert!((2..=256).contains(&name.len()));
        let other_dev = (self.dev != 0).then_some(self.dev.to_le_bytes());
        let extra = other_dev.map_or(0, |dev| dev.len()) + self.chunks.map_or(0, |_| 32) + self.rest.len();
        let dev_flag = if other_dev.is_some() { OTHER_DEV } else { 0 };
        let chunks_flag = if self.chunks.is_some() { IN_CHUNKS } else { 0 };
        out.reserve(FIXED + name.len() + extra);
        out.extend_from_slice(&[self.kind as u8, self.flags | dev_flag | chunks_flag, (name.len() - 1) as u8, 0]);
        out.extend_from_slice(&self.meta.mode.to_le_bytes());
        for number in [self.size, self.ino, self.meta.mtime.secs as u64, self.ctime.secs as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let times = [self.meta.mtime.nanos, self.ctime.nanos];
        for number in times.into_iter().chain([self.meta.uid, self.meta.gid, self.nlink, extra as u32]) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(name);
        out.extend(other_dev.iter().flatten());
        out.extend(self.chunks.iter().flat_map(|chunks| chunks.0));
        out.extend_from_slice(self.rest);
    }
}

/// Appends an entry's bytes with some flags changed.
pub(super) fn copy_with_flags(cached: &Cached<'_>, set: u8, clear: u8, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(cached.raw);
    out[start + 1] = (cached.flags | set) & !clear;
}

/// The byte positions of the directories among a listing's entries, from the listing's first byte.
pub(super) fn dir_offsets(listing: &[u8]) -> Vec<usize> {
    let Some(parsed) = Listing::parse(listing) else { return vec![] };
    let mut at = listing.len() - parsed.entries.len();
    let mut found = Vec::new();
    for entry in parsed.entries() {
        if entry.kind == Kind::Dir {
            found.push(at);
        }
        at += entry.raw.len();
    }
    found
}

/// Writes the place of a directory's own listing into its entry, which begins at `offset`.
pub(super) fn set_pos(listing: &mut [u8], offset: usize, pos: Pos) {
    listing[offset + 8..offset + 16].copy_from_slice(&pos.at.to_le_bytes());
    listing[offset + 56..offset + 60].copy_from_slice(&pos.len.to_le_bytes());
}

/// The bytes of extended attributes: for each the lengths of name (2 bytes) and value (4 bytes), then both.
pub(super) fn encode_xattrs(xattrs: &[Xattr]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in xattrs {
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }
    out
}

fn decode_xattrs(mut bytes: &[u8]) -> Vec<Xattr> {
    let mut xattrs = Vec::new();
    while let Some((lengths, rest)) = bytes.split_first_chunk::<6>() {
        let name = u16::from_le_bytes([lengths[0], lengths[1]]) as usize;
        let Some((name, rest)) = rest.split_at_checked(name) else { break };
        let Some((value, rest)) = rest.split_at_checked(u32_at(lengths, 2) as usize) else { break };
        xattrs.push((name.to_vec(), value.to_vec()));
        bytes = rest;
    }
    xattrs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_xattrs() -> impl Strategy<Value = Vec<Xattr>> {
        let name = prop::collection::vec(1u8.., 1..9);
        prop::collection::btree_map(name, any::<Vec<u8>>(), 0..3).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(
            name in prop::collection::vec(1u8.., 1..=255),
            numbers in any::<(u64, u64, u64, u32, u32, u32)>(),
            times in any::<(i64, i64, u32, u32)>(),
            ids in any::<([u8; 32], Option<[u8; 32]>)>(),
            flags in 0u8..8,
            xattrs in any_xattrs(),
        ) {
            let name = std::ffi::CString::new(name).unwrap();
            let mtime = FileTime { secs: times.0, nanos: times.2 };
            let rest = encode_xattrs(&xattrs);
            let fresh = Fresh {
                name: &name,
                kind: Kind::File,
                flags,
                meta: Meta { mode: numbers.3 & 0o7777, uid: numbers.4, gid: numbers.5, mtime },
                ino: numbers.0,
                dev: numbers.1,
                ctime: FileTime { secs: times.1, nanos: times.3 },
                size: numbers.2,
                nlink: numbers.4,
                id: Digest(ids.0),
                chunks: ids.1.map(Digest),
                rest: &rest,
            };
            let head = Head { flags, dev: 1, ino: 2, mtime, ctime: fresh.ctime, tree: Digest(ids.0), xattrs: &rest };
            let mut bytes = Vec::new();
            head.encode(&mut bytes);
            fresh.encode(&mut bytes);
            fresh.encode(&mut bytes);
            let listing = Listing::parse(&bytes).unwrap();
            prop_assert_eq!(&listing.head, &head);
            let cached: Vec<Cached<'_>> = listing.entries().collect();
            prop_assert_eq!(cached.len(), 2);
            prop_assert_eq!((cached[1].name, cached[1].meta(), cached[1].dev()), (fresh.name, fresh.meta, fresh.dev));
            let content = Content { size: fresh.size, hash: fresh.id, chunks: fresh.chunks };
            let entry = cached[1].entry();
            prop_assert_eq!(entry.is_some(), flags & OMITTED == 0);
            if let Some(entry) = entry {
                prop_assert_eq!(entry.node, Node::File(content));
                prop_assert_eq!(entry.xattrs, xattrs);
            }
        }

        #[test]
        fn no_changed_byte_makes_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), target in ".{0,9}") {
            let mut bytes = Vec::new();
            let (mtime, ctime) = (FileTime::default(), FileTime::default());
            Head { flags: 0, dev: 1, ino: 2, mtime, ctime, tree: Digest::ZERO, xattrs: &[] }.encode(&mut bytes);
            let rest = target.as_bytes();
            for kind in [Kind::File, Kind::Symlink, Kind::Dir] {
                Fresh { flags: 0, rest, ..Fresh::omitted(c"name", kind) }.encode(&mut bytes);
            }
            let at = at.index(bytes.len());
            bytes[at] = byte;
            for cached in Listing::parse(&bytes).iter().flat_map(Listing::entries) {
                let _ = (cached.entry(), cached.content(), cached.dev(), cached.pos(), cached.rest());
            }
        }
    }
}
