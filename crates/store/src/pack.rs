//! Packs: append-only files of records.
//!
//! Owns a pack's name, its first bytes, appending under a kernel lock, and the scan that finds every record again.
//! Refuses to decide which of them is committed: it is told by [`Extent`]s.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use wfr_model::PackId;

use crate::disk;
use crate::record::{HEADER, Header, MAGIC};

/// The first bytes of a pack: name and version.
pub const PREAMBLE: [u8; 8] = *b"wfrpack\x01";

/// A pack that has grown to this many bytes is not appended to any more.
pub const PACK_BYTES_MAX: u64 = 128 << 20;

/// How far a pack is committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The pack.
    pub pack: PackId,
    /// Its committed length in bytes; what lies beyond was never acknowledged.
    pub committed: u64,
}

/// The file of a pack in the packs directory.
pub fn path(packs: &Path, id: &PackId) -> PathBuf {
    packs.join(format!("{id}.pack"))
}

/// The pack whose file has this name; `None` for other files.
pub fn id_of(file_name: &str) -> Option<PackId> {
    file_name.strip_suffix(".pack")?.parse().ok()
}

/// A pack that this process alone may append to, while the value lives.
#[derive(Debug)]
pub struct Appender {
    file: File,
    packs: PathBuf,
    id: PackId,
    /// Where the next byte goes once the buffer is written.
    written: u64,
    committed: u64,
    buffer: Vec<u8>,
    is_new: bool,
    is_synced: bool,
}

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;

impl Appender {
    /// Makes a new pack. Its directory entry becomes durable in [`Appender::sync`].
    pub fn create(packs: &Path) -> io::Result<Self> {
        let id: PackId = crate::unique::uuid().simple().to_string().parse().map_err(io::Error::other)?;
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path(packs, &id))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let buffer = PREAMBLE.to_vec();
        Ok(Self { file, packs: packs.to_owned(), id, written: 0, committed: 0, buffer, is_new: true, is_synced: false })
    }

    /// Takes an existing pack for appending; `None` where another process has it, where it is full, or where something
    /// lies beyond its committed end, which is never written over.
    pub fn reopen(packs: &Path, extent: &Extent) -> io::Result<Option<Self>> {
        if extent.committed >= PACK_BYTES_MAX {
            return Ok(None);
        }
        let file = match OpenOptions::new().read(true).append(true).open(path(packs, &extent.pack)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Read under the lock: had another process appended since the extent was told, the length would differ.
        let length = file.metadata()?.len();
        let (packs, id) = (packs.to_owned(), extent.pack.clone());
        Ok((length == extent.committed).then(|| Self {
            file,
            packs,
            id,
            written: length,
            committed: length,
            buffer: Vec::new(),
            is_new: false,
            is_synced: false,
        }))
    }

    /// The pack's id.
    pub fn id(&self) -> &PackId {
        &self.id
    }

    /// The offset at which the next record will begin.
    pub fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Whether the pack has grown enough.
    pub fn is_full(&self) -> bool {
        self.end() >= PACK_BYTES_MAX
    }

    /// Appends a record; returns its offset.
    pub fn append(&mut self, record: &[u8]) -> io::Result<u64> {
        let offset = self.end();
        self.buffer.extend_from_slice(record);
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(offset)
    }

    /// Reads back what was appended, written out already or not.
    pub fn read_back(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        match offset.checked_sub(self.written) {
            None => self.file.read_exact_at(bytes, offset),
            Some(start) => {
                let start = start as usize;
                let held = self.buffer.get(start..start + bytes.len());
                bytes.copy_from_slice(held.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    /// Hands the buffer to the kernel. After an error the pack must be dropped.
    pub fn flush(&mut self) -> io::Result<()> {
        disk::write_all(&self.file, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes all that was appended durable, the directory entry of a new pack included. From now on the bytes stay: a
    /// catalog that failed to commit may have committed all the same.
    pub fn sync(&mut self) -> io::Result<Extent> {
        self.flush()?;
        self.is_synced = true;
        disk::sync_data(&self.file)?;
        if self.is_new {
            disk::sync_all(disk::open_dir(&self.packs)?)?;
        }
        Ok(Extent { pack: self.id.clone(), committed: self.written })
    }

    /// Gives back what was appended, synced or not. Whoever calls knows that nothing of it is committed, and that nobody will.
    pub fn withdraw(mut self) {
        self.is_synced = false;
    }
}

impl Drop for Appender {
    /// Gives back what was never synced: it belongs to nobody, and this process still has the lock.
    fn drop(&mut self) {
        if self.is_synced {
            return;
        }
        if self.is_new {
            let _ = std::fs::remove_file(path(&self.packs, &self.id));
        } else if self.file.metadata().is_ok_and(|meta| meta.len() > self.committed) {
            // The file's own length: a write that failed on a full disk left a part that `written` does not count.
            let _ = rustix::fs::ftruncate(&self.file, self.committed);
        }
    }
}

/// Drops what lies beyond a pack's committed end, unless another process has the pack; returns how many bytes that were.
/// Whoever calls knows that no session is to commit them.
pub fn cut(packs: &Path, extent: &Extent) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path(packs, &extent.pack))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(0),
        Err(error) => return Err(error.into()),
    }
    let beyond = file.metadata()?.len().saturating_sub(extent.committed);
    if beyond > 0 {
        disk::truncate(&file, extent.committed)?;
        disk::sync_all(&file)?;
    }
    Ok(beyond)
}

/// Moves what lies beyond a pack's committed end into a pack of its own, which no catalog knows, unless another process has the
/// pack; returns that one. Whoever calls knows that no session is to commit it. Where it dies halfway, both hold it.
pub fn part(packs: &Path, extent: &Extent) -> io::Result<Option<PackId>> {
    let file = OpenOptions::new().read(true).write(true).open(path(packs, &extent.pack))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut new = Appender::create(packs)?;
    let copied = copy_tail(&file, extent.committed, &mut new).and_then(|()| new.sync());
    match copied {
        Ok(moved) => {
            disk::truncate(&file, extent.committed)?;
            disk::sync_all(&file)?;
            Ok(Some(moved.pack))
        }
        Err(error) => {
            new.withdraw();
            Err(error)
        }
    }
}

fn copy_tail(file: &File, from: u64, to: &mut Appender) -> io::Result<()> {
    let (mut at, mut bytes) = (from, vec![0; BUFFER]);
    loop {
        let count = read_up_to(file, &mut bytes, at)?;
        if count == 0 {
            return Ok(());
        }
        to.append(&bytes[..count])?;
        at += count as u64;
    }
}

/// A record found by a scan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Where its header begins.
    pub offset: u64,
    /// Its header.
    pub header: Header,
}

/// A stretch of a pack that holds no readable record header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// First byte.
    pub from: u64,
    /// Byte after the last.
    pub to: u64,
}

/// Finds the headers of all records from `from` to `to`, stepping over what is damaged. Payloads are not looked at.
pub fn scan(file: &File, from: u64, to: u64) -> io::Result<(Vec<Found>, Vec<Gap>)> {
    let (mut found, mut gaps) = (Vec::new(), Vec::new());
    let mut window = Window { file, from: 0, filled: 0, bytes: [0; WINDOW] };
    let mut at = from.max(PREAMBLE.len() as u64);
    while at < to {
        let header = Header::decode(window.at(at)?).ok().filter(|header| at + header.record_len() <= to);
        if let Some(header) = header {
            found.push(Found { offset: at, header });
            at += header.record_len();
        } else {
            let next = next_header(file, at + 1, to)?;
            gaps.push(Gap { from: at, to: next });
            at = next;
        }
    }
    Ok((found, gaps))
}

/// How much is read for a header, in bytes: those of small records come by the dozen.
const WINDOW: usize = 4 << 10;

/// A part of a file that has been read.
struct Window<'f> {
    file: &'f File,
    from: u64,
    filled: usize,
    bytes: [u8; WINDOW],
}

impl Window<'_> {
    /// The bytes of the file from an offset on: enough for a header, unless the file ends before.
    fn at(&mut self, at: u64) -> io::Result<&[u8]> {
        let held = at.checked_sub(self.from).filter(|skipped| skipped + HEADER as u64 <= self.filled as u64);
        if held.is_none() {
            self.filled = read_up_to(self.file, &mut self.bytes, at)?;
            self.from = at;
        }
        let skipped = held.unwrap_or(0) as usize;
        Ok(&self.bytes[skipped..self.filled])
    }
}

/// The offset of the next readable header at or after `from`; `to` where there is none.
fn next_header(file: &File, from: u64, to: u64) -> io::Result<u64> {
    const STRIDE: usize = 64 << 10;
    let mut searched = vec![0; STRIDE + HEADER];
    let mut at = from;
    while at < to {
        let length = read_up_to(file, &mut searched, at)?;
        let candidates = length.min(STRIDE);
        for start in 0..candidates {
            let bytes = &searched[start..length];
            if bytes.starts_with(&MAGIC)
                && Header::decode(bytes).is_ok_and(|h| at + start as u64 + h.record_len() <= to)
            {
                return Ok(at + start as u64);
            }
        }
        if candidates < STRIDE {
            break;
        }
        at += STRIDE as u64;
    }
    Ok(to)
}

fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ObjectKind, hash};
    use crate::record::{Coding, encode};

    fn record(text: &str) -> Vec<u8> {
        encode(ObjectKind::Blob, &hash(text.as_bytes()), text.as_bytes(), Coding::default(), None).unwrap()
    }

    fn pack_of(dir: &Path, texts: &[&str]) -> Extent {
        let mut appender = Appender::create(dir).unwrap();
        for text in texts {
            appender.append(&record(text)).unwrap();
        }
        appender.sync().unwrap()
    }

    #[test]
    fn one_appender_at_a_time_and_nothing_uncommitted_stays() {
        let dir = tempfile::tempdir().unwrap();
        let extent = pack_of(dir.path(), &["one"]);
        let mut first = Appender::reopen(dir.path(), &extent).unwrap().unwrap();
        assert!(Appender::reopen(dir.path(), &extent).unwrap().is_none());
        first.append(&record("two")).unwrap();
        first.flush().unwrap();
        drop(first);
        assert_eq!(path(dir.path(), &extent.pack).metadata().unwrap().len(), extent.committed);
        drop(Appender::create(dir.path()).unwrap());
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_failed_half_way_leaves_no_tail() {
        let dir = tempfile::tempdir().unwrap();
        let extent = pack_of(dir.path(), &["one"]);
        let first = Appender::reopen(dir.path(), &extent).unwrap().unwrap();
        // What a full disk took of a buffer before it refused the rest.
        rustix::io::write(&first.file, b"a part of a buffer").unwrap();
        drop(first);
        assert_eq!(path(dir.path(), &extent.pack).metadata().unwrap().len(), extent.committed);
        assert!(Appender::reopen(dir.path(), &extent).unwrap().is_some());
    }

    #[test]
    fn what_lies_beyond_the_committed_end_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut extent = pack_of(dir.path(), &["one", "two"]);
        extent.committed -= 1;
        assert!(Appender::reopen(dir.path(), &extent).unwrap().is_none());
    }

    #[test]
    fn what_lies_beyond_the_committed_end_can_be_moved_to_a_pack_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let one = pack_of(dir.path(), &["one"]);
        let mut appender = Appender::reopen(dir.path(), &one).unwrap().unwrap();
        appender.append(&record("two")).unwrap();
        let two = appender.sync().unwrap();
        assert_eq!(part(dir.path(), &one).unwrap(), None, "it is being written");
        drop(appender);
        let moved = part(dir.path(), &one).unwrap().unwrap();
        let file = File::open(path(dir.path(), &moved)).unwrap();
        let length = file.metadata().unwrap().len();
        assert_eq!(length, PREAMBLE.len() as u64 + two.committed - one.committed);
        let (found, gaps) = scan(&file, 0, length).unwrap();
        assert_eq!((found.len(), gaps.len()), (1, 0));
        assert_eq!(found[0].header.disk_id, hash(b"two"));
        assert!(Appender::reopen(dir.path(), &one).unwrap().is_some(), "nothing is beyond its end any more");
    }

    #[test]
    fn a_scan_finds_its_way_after_any_damage() {
        let dir = tempfile::tempdir().unwrap();
        let extent = pack_of(dir.path(), &["one", "two two two", "three"]);
        let file = path(dir.path(), &extent.pack);
        let whole = std::fs::read(&file).unwrap();
        for at in PREAMBLE.len()..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x41;
            std::fs::write(&file, &bytes).unwrap();
            let (found, gaps) = scan(&File::open(&file).unwrap(), 0, extent.committed).unwrap();
            assert!(found.len() >= 2 && found.len() + gaps.len() == 3, "byte {at}: {found:?} {gaps:?}");
        }
    }
}
