//! Leases: files under kernel locks that say since which generation a session relies on packs.
//!
//! Owns their files, the gate that tells whether any session is alive, the turn that cleanups take, and the lock under
//! which the catalog is open. Refuses to know clocks: all of them end when their process closes them or dies.
//!
//! A session takes its lease first, then reads the generation from the catalog and tells it to the lease, and only then
//! reads which packs are live. Until it has told, it counts as older than everything.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::holders::Process;

/// The file that every session locks together with others, and cleanup alone.
const GATE: &str = "gate";

/// The file that a cleanup locks from its beginning to its end.
const TURN: &str = "turn";

/// The file that everybody locks together with others who has the catalog open, and alone who puts another in its place.
const BOOK: &str = "book";

/// Digits of a generation on disk.
const DIGITS: usize = 20;

/// One session's lease. It ends when dropped, or with the process.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    file: File,
    _gate: File,
}

impl Lease {
    /// Takes a lease in the vault's directory of leases. Waits for a cleanup that is just removing leftovers.
    pub fn begin(dir: &Path) -> io::Result<Self> {
        let gate = open_lock(dir, GATE)?;
        flock(&gate, FlockOperation::LockShared)?;
        loop {
            let unique = crate::unique::uuid().simple();
            let path = dir.join(format!("{}-{unique}", std::process::id()));
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            // Between the two calls another process may have taken it for a dead one's and removed it.
            if file.metadata()?.nlink() > 0 {
                return Ok(Self { path, file, _gate: gate });
            }
        }
    }

    /// Notes the generation that the catalog had after the lease was taken.
    pub fn rely_on(&self, generation: i64) -> io::Result<()> {
        self.file.write_all_at(format!("{generation:>DIGITS$}").as_bytes(), 0)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The generation of the oldest living lease, that of `own` aside; `None` where there is no other. One that has not told
/// its generation counts as `i64::MIN`. Leases of dead processes are removed.
pub fn oldest(dir: &Path, own: Option<&Lease>) -> io::Result<Option<i64>> {
    let mut oldest = None;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_lease = path.file_name().is_some_and(|name| name != GATE && name != TURN && name != BOOK);
        if !is_lease || own.is_some_and(|own| own.path == path) {
            continue;
        }
        if let Some(generation) = living(&path)? {
            oldest = Some(oldest.map_or(generation, |found: i64| found.min(generation)));
        }
    }
    Ok(oldest)
}

/// The generation of a lease; `None` where its process is gone.
fn living(path: &Path) -> io::Result<Option<i64>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if try_lock(&file)? {
        // Removed under its lock: a session that is about to lock it will see that it is gone.
        let _ = std::fs::remove_file(path);
        return Ok(None);
    }
    let mut digits = [0; DIGITS];
    let told = file.read_exact_at(&mut digits, 0).is_ok();
    let text = std::str::from_utf8(&digits).ok().filter(|_| told);
    Ok(Some(text.and_then(|text| text.trim().parse().ok()).unwrap_or(i64::MIN)))
}

fn open_lock(dir: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join(name))
}

/// Proof that no session is alive; none can begin while it lives.
#[derive(Debug)]
pub struct Alone {
    _gate: File,
}

/// Shuts the gate; `None` where a session is alive, the caller's own included.
pub fn alone(dir: &Path) -> io::Result<Option<Alone>> {
    let gate = open_lock(dir, GATE)?;
    Ok(try_lock(&gate)?.then_some(Alone { _gate: gate }))
}

/// Proof that no other cleanup is under way; none can begin while it lives.
#[derive(Debug)]
pub struct Turn {
    _file: File,
}

/// Takes the turn; `None` where another cleanup has it.
///
/// Two cleanups at once would delete the same packs and read what the other has just deleted.
pub fn turn(dir: &Path) -> io::Result<Option<Turn>> {
    let file = open_lock(dir, TURN)?;
    Ok(try_lock(&file)?.then_some(Turn { _file: file }))
}

/// Proof that the catalog is not exchanged for another, or, where it was taken alone, that nobody has it open.
#[derive(Debug)]
pub struct Book {
    _file: File,
}

/// Keeps the catalog from being exchanged. Waits for whoever is exchanging it.
pub fn book(dir: &Path) -> io::Result<Book> {
    let file = open_lock(dir, BOOK)?;
    loop {
        match flock(&file, FlockOperation::LockShared) {
            Err(Errno::INTR) => {}
            ended => return Ok(ended.map(|()| Book { _file: file })?),
        }
    }
}

/// The same alone; `None` where anybody has the catalog open, the caller included.
pub fn book_alone(dir: &Path) -> io::Result<Option<Book>> {
    let file = open_lock(dir, BOOK)?;
    Ok(try_lock(&file)?.then_some(Book { _file: file }))
}

/// Other processes that have the catalog open, or a session: who is in the way of what must be alone.
pub fn holders(dir: &Path) -> Vec<Process> {
    super::holders::of(&[&dir.join(BOOK), &dir.join(GATE)])
}

fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

impl Alone {
    /// Removes temporary files that a dead session left in these directories; returns how many.
    pub fn remove_temporary(&self, dirs: &[PathBuf]) -> io::Result<u64> {
        let mut removed = 0;
        for dir in dirs {
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.as_encoded_bytes();
                if name.starts_with(b".") && name.ends_with(b".tmp") && entry.file_type()?.is_file() {
                    std::fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}
