//! The bytes of a tree object. `docs/format.md` describes them.
//!
//! Owns the encoding, which is canonical: one value has one encoding, and nothing else decodes. Refuses I/O.

use wfr_model::entry::{Content, Entry, MODE_MASK, Meta, Node, Xattr};
use wfr_model::path::check_component;
use wfr_model::{Digest, FileTime};

/// The first byte of every tree object.
const VERSION: u8 = 1;

const HAS_CHUNKS: u8 = 0x10;
const HAS_XATTRS: u8 = 0x20;

/// The longest target of a symbolic link, in bytes (Linux `PATH_MAX`).
const TARGET_BYTES_MAX: usize = 4_096;

/// One object of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Entries, sorted by name.
    Leaf(Vec<Entry>),
    /// Level (1 above leaves) and the parts below, each with the last name in it, sorted by that name.
    Branch(u8, Vec<(Digest, Vec<u8>)>),
}

/// Bytes that are no tree object, and why.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum DecodeError {
    /// A later format, or none at all.
    #[error("it has version {0}, this program reads version 1")]
    Version(u8),
    /// The bytes end too early.
    #[error("it ends in the middle of a field")]
    Truncated,
    /// A field's value is not allowed.
    #[error("{0}")]
    Field(&'static str),
    /// An entry's name is not allowed.
    #[error(transparent)]
    Name(#[from] wfr_model::path::PathError),
}

/// The bytes of a part.
pub fn encode(part: &Part) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.push(VERSION);
    match part {
        Part::Leaf(entries) => {
            out.push(0);
            put_number(&mut out, entries.len() as u64);
            entries.iter().for_each(|entry| put_entry(&mut out, entry));
        }
        Part::Branch(level, children) => {
            out.push(*level);
            put_number(&mut out, children.len() as u64);
            for (id, last) in children {
                out.extend_from_slice(&id.0);
                put_bytes(&mut out, last);
            }
        }
    }
    out
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    put_bytes(out, &entry.name);
    let (kind, flag) = match &entry.node {
        Node::File(content) => (1, if content.chunks.is_some() { HAS_CHUNKS } else { 0 }),
        Node::Dir(_) => (2, 0),
        Node::Symlink(_) => (3, 0),
        Node::Fifo => (4, 0),
        Node::Socket => (5, 0),
    };
    out.push(kind | flag | if entry.xattrs.is_empty() { 0 } else { HAS_XATTRS });
    put_number(out, u64::from(entry.meta.mode & MODE_MASK));
    put_number(out, u64::from(entry.meta.uid));
    put_number(out, u64::from(entry.meta.gid));
    let secs = entry.meta.mtime.secs;
    put_number(out, ((secs << 1) ^ (secs >> 63)) as u64);
    put_number(out, u64::from(entry.meta.mtime.nanos));
    match &entry.node {
        Node::File(content) => {
            put_number(out, content.size);
            out.extend_from_slice(&content.hash.0);
            out.extend(content.chunks.iter().flat_map(|chunks| chunks.0));
        }
        Node::Dir(id) => out.extend_from_slice(&id.0),
        Node::Symlink(target) => put_bytes(out, target),
        Node::Fifo | Node::Socket => {}
    }
    if !entry.xattrs.is_empty() {
        put_number(out, entry.xattrs.len() as u64);
        for (name, value) in &entry.xattrs {
            put_bytes(out, name);
            put_bytes(out, value);
        }
    }
}

/// LEB128: seven bits a byte, least significant first.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The part that these bytes encode. Never allocates more than a small multiple of their length.
pub fn decode(bytes: &[u8]) -> Result<Part, DecodeError> {
    let mut input = Input(bytes);
    let version = input.byte()?;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let level = input.byte()?;
    let count = input.count()?;
    let part = match level {
        0 => Part::Leaf(leaf(&mut input, count)?),
        1..=super::LEVELS_MAX => Part::Branch(level, branch(&mut input, count)?),
        _ => return Err(DecodeError::Field("its level is too high")),
    };
    if input.0.is_empty() { Ok(part) } else { Err(DecodeError::Field("bytes follow its end")) }
}

fn leaf(input: &mut Input<'_>, count: usize) -> Result<Vec<Entry>, DecodeError> {
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = entry(input)?;
        if entries.last().is_some_and(|last| last.name >= entry.name) {
            return Err(DecodeError::Field("its names are not in order, or one stands twice"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn branch(input: &mut Input<'_>, count: usize) -> Result<Vec<(Digest, Vec<u8>)>, DecodeError> {
    let mut children: Vec<(Digest, Vec<u8>)> = Vec::with_capacity(count);
    for _ in 0..count {
        let id = input.digest()?;
        let last = input.bytes()?.to_vec();
        check_component(&last)?;
        if children.last().is_some_and(|before| before.1 >= last) {
            return Err(DecodeError::Field("its parts are not in order"));
        }
        children.push((id, last));
    }
    if children.is_empty() {
        return Err(DecodeError::Field("a branch has no parts"));
    }
    Ok(children)
}

fn entry(input: &mut Input<'_>) -> Result<Entry, DecodeError> {
    let name = input.bytes()?.to_vec();
    check_component(&name)?;
    let tag = input.byte()?;
    let mode = input.small("a mode has more than its 12 bits", MODE_MASK)?;
    let uid = input.small("an owner has more than 32 bits", u32::MAX)?;
    let gid = input.small("a group has more than 32 bits", u32::MAX)?;
    let zigzag = input.number()?;
    let secs = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    let nanos = input.small("a time has too many nanoseconds", 999_999_999)?;
    let node = node(input, tag & !HAS_XATTRS)?;
    let xattrs = if tag & HAS_XATTRS == 0 { vec![] } else { xattrs(input)? };
    Ok(Entry { name, meta: Meta { mode, uid, gid, mtime: FileTime { secs, nanos } }, node, xattrs })
}

fn node(input: &mut Input<'_>, tag: u8) -> Result<Node, DecodeError> {
    const FILE_IN_CHUNKS: u8 = 1 | HAS_CHUNKS;
    Ok(match tag {
        1 => Node::File(Content { size: input.number()?, hash: input.digest()?, chunks: None }),
        FILE_IN_CHUNKS => {
            Node::File(Content { size: input.number()?, hash: input.digest()?, chunks: Some(input.digest()?) })
        }
        2 => Node::Dir(input.digest()?),
        3 => {
            let target = input.bytes()?;
            if target.is_empty() || target.len() > TARGET_BYTES_MAX || target.contains(&0) {
                return Err(DecodeError::Field("a link's target is empty, too long or holds a NUL byte"));
            }
            Node::Symlink(target.to_vec())
        }
        4 => Node::Fifo,
        5 => Node::Socket,
        _ => return Err(DecodeError::Field("an entry is of no known kind")),
    })
}

fn xattrs(input: &mut Input<'_>) -> Result<Vec<Xattr>, DecodeError> {
    let count = input.count()?;
    let mut xattrs: Vec<Xattr> = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, value) = (input.bytes()?.to_vec(), input.bytes()?.to_vec());
        if name.is_empty() || name.contains(&0) || xattrs.last().is_some_and(|last| last.0 >= name) {
            return Err(DecodeError::Field("attributes are not in order, or one has no valid name"));
        }
        xattrs.push((name, value));
    }
    if xattrs.is_empty() { Err(DecodeError::Field("a list of attributes is empty")) } else { Ok(xattrs) }
}

/// The bytes that are still to be decoded.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.take(1).map(|byte| byte[0])
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 || shift > 0 && byte == 0 {
                return Err(DecodeError::Field("a number is not in its shortest form"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DecodeError::Field("a number is too long"))
    }

    /// A number of things that follow, each at least one byte long.
    fn count(&mut self) -> Result<usize, DecodeError> {
        let count = self.number()?;
        if count > self.0.len() as u64 { Err(DecodeError::Truncated) } else { Ok(count as usize) }
    }

    fn small(&mut self, why: &'static str, most: u32) -> Result<u32, DecodeError> {
        let number = self.number()?;
        u32::try_from(number).ok().filter(|n| *n <= most).ok_or(DecodeError::Field(why))
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let count = self.count()?;
        self.take(count)
    }

    fn digest(&mut self) -> Result<Digest, DecodeError> {
        self.take(32).map(|bytes| Digest(bytes.try_into().expect("32 bytes were taken")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_entry() -> impl Strategy<Value = Entry> {
        let node = prop_oneof![
            (any::<u64>(), any::<[u8; 32]>(), any::<Option<[u8; 32]>>()).prop_map(|(size, hash, chunks)| {
                Node::File(Content { size, hash: Digest(hash), chunks: chunks.map(Digest) })
            }),
            any::<[u8; 32]>().prop_map(|id| Node::Dir(Digest(id))),
            prop::collection::vec(1u8.., 1..50).prop_map(Node::Symlink),
            Just(Node::Fifo),
            Just(Node::Socket),
        ];
        let name = prop::collection::vec(1u8.., 1..20).prop_filter("a name", |n| check_component(n).is_ok());
        let xattrs = prop::collection::btree_map(prop::collection::vec(1u8.., 1..9), any::<Vec<u8>>(), 0..3);
        (name, 0..=MODE_MASK, any::<(u32, u32, i64)>(), 0u32..1_000_000_000, node, xattrs).prop_map(
            |(name, mode, (uid, gid, secs), nanos, node, xattrs)| Entry {
                name,
                meta: Meta { mode, uid, gid, mtime: FileTime { secs, nanos } },
                node,
                xattrs: xattrs.into_iter().collect(),
            },
        )
    }

    proptest! {
        #[test]
        fn round_trips(entries in prop::collection::vec(any_entry(), 0..20)) {
            let mut entries = entries;
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            entries.dedup_by(|a, b| a.name == b.name);
            let part = Part::Leaf(entries);
            prop_assert_eq!(decode(&encode(&part)), Ok(part));
        }

        #[test]
        fn what_decodes_is_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = bytes;
            bytes.splice(0..0, [VERSION, 0]);
            if let Ok(part) = decode(&bytes) {
                prop_assert_eq!(encode(&part), bytes);
            }
        }

        #[test]
        fn a_cut_is_noticed(entries in prop::collection::vec(any_entry(), 1..2), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&Part::Leaf(entries));
            prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn evil_names_are_refused() {
        for name in [&b".."[..], b".", b"", b"a/b", b"a\0", &[b'x'; 256]] {
            let entry = Entry { name: name.to_vec(), meta: Meta::default(), node: Node::Fifo, xattrs: vec![] };
            assert!(decode(&encode(&Part::Leaf(vec![entry.clone()]))).is_err());
        }
        assert_eq!(decode(&[VERSION, 0, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(DecodeError::Truncated));
        assert_eq!(decode(&[9]), Err(DecodeError::Version(9)));
    }

    #[test]
    fn a_size_is_a_number_of_64_bits() {
        let entry = |size| Entry {
            name: b"f".to_vec(),
            meta: Meta::default(),
            node: Node::File(Content { size, hash: Digest([1; 32]), chunks: None }),
            xattrs: vec![],
        };
        for size in [0, (1 << 63) - 1, u64::MAX] {
            let part = Part::Leaf(vec![entry(size)]);
            assert_eq!(decode(&encode(&part)), Ok(part));
        }
        // The size ends where the hash begins: all ten of its bytes, then one bit more than there is, and one byte more.
        let good = encode(&Part::Leaf(vec![entry(u64::MAX)]));
        let last = good.len() - 33;
        assert_eq!(good[last], 1);
        for bytes in [&[2][..], &[0x7f], &[0x81, 1], &[0x80, 0]] {
            let mut bad = good.clone();
            bad.splice(last..=last, bytes.iter().copied());
            assert!(matches!(decode(&bad), Err(DecodeError::Field(_))), "{bytes:?}");
        }
    }
}
