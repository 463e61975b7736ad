//! What stood at a path before a traced command first wrote there, where the look at its beginning may not have seen it.
//!
//! Owns its form in the notes, and how much of it is saved. Refuses to decide whose it is.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Statx, StatxFlags, openat2, statx};
use wfr_model::TreePath;
use wfr_model::entry::{Content, Entry, MODE_MASK, Meta, Node};
use wfr_model::time::FileTime;
use wfr_store::{Sink, content};

use crate::error::Failure;

/// Bytes of one file that are saved while the command waits, and of all files of one command.
const FILE_MAX: u64 = 8 << 20;
pub(super) const ALL_MAX: u64 = 64 << 20;

/// A regular file as it stood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Before {
    meta: Meta,
    /// Its content; `None` where there was too much of it.
    bytes: Option<Vec<u8>>,
}

/// What stands at a path, if that is a regular file that was changed at a time or later. At most `room` bytes of it.
pub(super) fn changed_since(top: impl AsFd, path: &Path, found: &Statx, since: i64, room: u64) -> Option<Before> {
    let changed = found.stx_ctime.tv_sec.saturating_mul(1_000_000_000).saturating_add(found.stx_ctime.tv_nsec.into());
    if changed < since || !is_regular(found) {
        return None;
    }
    let meta = Meta {
        mode: u32::from(found.stx_mode) & MODE_MASK,
        uid: found.stx_uid,
        gid: found.stx_gid,
        mtime: FileTime { secs: found.stx_mtime.tv_sec, nanos: found.stx_mtime.tv_nsec },
    };
    let fits = found.stx_size <= FILE_MAX.min(room);
    Some(Before { meta, bytes: fits.then(|| read(top, path).ok()).flatten() })
}

fn is_regular(found: &Statx) -> bool {
    rustix::fs::FileType::from_raw_mode(u32::from(found.stx_mode)) == rustix::fs::FileType::RegularFile
}

/// Opens a regular file for reading, whatever came to its place.
pub(super) fn open_file(top: impl AsFd, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let strictly = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(top, path, flags, Mode::empty(), strictly)?;
    // It may be another one by now.
    if !is_regular(&statx(&file, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file.into())
}

/// Whether a path is the file still that was found, and nothing was changed in it.
pub(super) fn as_it_is(top: impl AsFd, path: &Path, found: &Statx) -> bool {
    let now = statx(top, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
    let what = |stat: &Statx| (stat.stx_ino, stat.stx_size, stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec);
    now.is_ok_and(|now| what(&now) == what(found))
}

fn read(top: impl AsFd, path: &Path) -> io::Result<Vec<u8>> {
    let file = open_file(top, path)?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

impl Before {
    /// Whether its content is saved.
    pub(super) fn is_whole(&self) -> bool {
        self.bytes.is_some()
    }

    /// Bytes of it that are saved.
    pub(super) fn saved(&self) -> u64 {
        self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)
    }

    /// As the notes keep it: length of the path, path, mode, owner, group, time, whether the content follows, content.
    pub(super) fn encode(&self, path: &[u8]) -> Vec<u8> {
        let Meta { mode, uid, gid, mtime } = self.meta;
        let mut kept = (path.len() as u32).to_le_bytes().to_vec();
        kept.extend(path);
        kept.extend([mode, uid, gid].map(u32::to_le_bytes).concat());
        kept.extend(mtime.secs.to_le_bytes());
        kept.extend(mtime.nanos.to_le_bytes());
        kept.push(u8::from(self.bytes.is_some()));
        kept.extend(self.bytes.iter().flatten());
        kept
    }

    /// What the notes keep, and where it stood; `None` where it is none.
    pub(super) fn decode(kept: &[u8]) -> Option<(TreePath, Self)> {
        let number = |bytes: &mut &[u8]| {
            let (number, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Some(u32::from_le_bytes(*number))
        };
        let mut rest = kept;
        let length = number(&mut rest)? as usize;
        let (path, after) = rest.split_at_checked(length)?;
        rest = after;
        let (mode, uid, gid) = (number(&mut rest)?, number(&mut rest)?, number(&mut rest)?);
        let (secs, after) = rest.split_first_chunk()?;
        rest = after;
        let mtime = FileTime { secs: i64::from_le_bytes(*secs), nanos: number(&mut rest)? };
        let (has_bytes, bytes) = rest.split_first()?;
        let bytes = (*has_bytes == 1).then(|| bytes.to_vec());
        Some((TreePath::from_bytes(path).ok()?, Self { meta: Meta { mode, uid, gid, mtime }, bytes }))
    }

    /// The entry that it was, its content stored; `like` is what stood there before or after it, which has the attributes that a look
    /// cannot take in passing. `None` where its content was too much to be saved.
    pub fn entry(&self, path: &TreePath, like: Option<&Entry>, sink: &dyn Sink) -> Result<Option<Entry>, Failure> {
        let Some(bytes) = &self.bytes else { return Ok(None) };
        let found: Content = content::store(&mut &bytes[..], bytes.len() as u64, sink, &mut Vec::new()).map_err(
            |error| match error {
                content::StoreError::Write(error) => Failure::from(error),
                content::StoreError::Read(error) => error.into(),
            },
        )?;
        let xattrs = like.map(|like| like.xattrs.clone()).unwrap_or_default();
        Ok(Some(Entry { name: path.name().to_vec(), meta: self.meta, node: Node::File(found), xattrs }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_no_piece_of_it_is_taken_for_it() {
        let meta = Meta { mode: 0o640, uid: 1, gid: 2, mtime: FileTime { secs: -3, nanos: 4 } };
        for bytes in [None, Some(vec![]), Some(b"content".to_vec())] {
            let before = Before { meta, bytes };
            let kept = before.encode(b"a/b");
            assert_eq!(Before::decode(&kept), Some(("a/b".parse().unwrap(), before.clone())));
            let head = kept.len() - before.saved() as usize;
            assert!((0..head).all(|cut| Before::decode(&kept[..cut]).is_none()));
        }
    }
}
