//! Groups of hard-linked paths as an object. `docs/format.md` describes the bytes.
//!
//! Owns the encoding, which is canonical: one value has one encoding, and nothing else decodes. Refuses to know inodes.

use wfr_model::{Digest, TreePath};

use crate::object::{ObjectKind, Objects, ReadError};

/// The first byte of every object of this kind.
const VERSION: u8 = 1;

/// Bytes that do not describe hard links, and why.
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
    /// A path is not allowed.
    #[error(transparent)]
    Path(#[from] wfr_model::path::PathError),
}

/// The bytes of some groups: version (1 byte), number of groups, then for each the number of its paths and each path as
/// length and bytes. Numbers have four bytes, the least significant first. Each group must hold two paths or more,
/// sorted; groups must be sorted by their first paths.
pub fn encode(groups: &[Vec<TreePath>]) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_number(&mut out, groups.len());
    for group in groups {
        put_number(&mut out, group.len());
        for path in group {
            put_number(&mut out, path.as_bytes().len());
            out.extend_from_slice(path.as_bytes());
        }
    }
    out
}

fn put_number(out: &mut Vec<u8>, number: usize) {
    let number = u32::try_from(number).expect("a workspace has fewer than 2^32 linked paths, each shorter than that");
    out.extend_from_slice(&number.to_le_bytes());
}

/// The groups that these bytes encode. Never allocates more than a small multiple of their length.
pub fn decode(bytes: &[u8]) -> Result<Vec<Vec<TreePath>>, DecodeError> {
    let (version, mut rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
    if *version != VERSION {
        return Err(DecodeError::Version(*version));
    }
    let mut groups: Vec<Vec<TreePath>> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..number(&mut rest)? {
        let group = group(&mut rest)?;
        if groups.last().is_some_and(|last| last[0] >= group[0]) {
            return Err(DecodeError::Field("its groups are not in order"));
        }
        if !group.iter().all(|path| seen.insert(path.clone())) {
            return Err(DecodeError::Field("a path stands in two groups"));
        }
        groups.push(group);
    }
    if rest.is_empty() { Ok(groups) } else { Err(DecodeError::Field("bytes follow its end")) }
}

fn group(rest: &mut &[u8]) -> Result<Vec<TreePath>, DecodeError> {
    let mut group: Vec<TreePath> = Vec::new();
    for _ in 0..number(rest)? {
        let length = number(rest)?;
        let (path, after) = rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        *rest = after;
        let path = TreePath::from_bytes(path)?;
        if path.is_root() || group.last().is_some_and(|last| *last >= path) {
            return Err(DecodeError::Field("its paths are not in order"));
        }
        group.push(path);
    }
    if group.len() < 2 { Err(DecodeError::Field("a group has fewer than two paths")) } else { Ok(group) }
}

fn number(rest: &mut &[u8]) -> Result<usize, DecodeError> {
    let (number, after) = rest.split_first_chunk::<4>().ok_or(DecodeError::Truncated)?;
    *rest = after;
    Ok(u32::from_le_bytes(*number) as usize)
}

/// The groups of hard-linked paths in the object `id`, checked.
pub fn read(objects: &dyn Objects, id: &Digest) -> Result<Vec<Vec<TreePath>>, ReadError> {
    let bytes = objects.get(ObjectKind::Links, id)?;
    decode(&bytes).map_err(|why| ReadError::Malformed { id: *id, what: "list of hard links", why: why.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn groups(paths: BTreeSet<String>, sizes: &[usize]) -> Vec<Vec<TreePath>> {
        let mut paths = paths.into_iter().map(|text| text.parse().unwrap());
        let mut groups: Vec<Vec<TreePath>> = Vec::new();
        for size in sizes {
            let group: Vec<TreePath> = paths.by_ref().take(*size).collect();
            groups.extend((group.len() > 1).then_some(group));
        }
        groups
    }

    proptest! {
        #[test]
        fn round_trips(paths in prop::collection::btree_set("[a-z]{1,4}(/[a-z]{1,4}){0,2}", 0..40),
                       sizes in prop::collection::vec(2usize..5, 0..12)) {
            let groups = groups(paths, &sizes);
            prop_assert_eq!(decode(&encode(&groups)), Ok(groups));
        }

        #[test]
        fn what_decodes_is_canonical(mut bytes in prop::collection::vec(0u8..4, 0..60)) {
            bytes.insert(0, VERSION);
            if let Ok(groups) = decode(&bytes) {
                prop_assert_eq!(encode(&groups), bytes);
            }
        }
    }

    #[test]
    fn wrong_groups_are_refused() {
        let path = |text: &str| text.parse::<TreePath>().unwrap();
        for bad in [
            vec![vec![path("a")]],
            vec![vec![path("b"), path("a")]],
            vec![vec![path("b"), path("c")], vec![path("a"), path("d")]],
            vec![vec![path("a"), path("c")], vec![path("b"), path("c")]],
        ] {
            assert!(decode(&encode(&bad)).is_err(), "{bad:?}");
        }
        let good = encode(&[vec![path("a"), path("b")]]);
        for cut in 0..good.len() {
            assert!(decode(&good[..cut]).is_err());
        }
        assert_eq!(decode(&[VERSION, 255, 255, 255, 255]), Err(DecodeError::Truncated));
    }
}
