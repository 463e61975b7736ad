//! Scanning a workspace into a tree.
//!
//! Owns the walk, the rules by which things are left out, and the stat cache that makes an unchanged file cost one
//! `statx`. Refuses to know checkpoints, to write anything in the workspace, and to follow a symbolic link.
//!
//! A scan has three steps. `walk` visits directories with several threads, each in step with its listing in the
//! cache. `assemble` makes trees from the deepest directory up, only where something changed. Then the caller, once
//! what the scan stored is committed, brings the cache up to date with [`Scan::write_cache`].

mod assemble;
mod cache;
mod dirs;
mod dry;
mod entry;
mod found;
mod fstime;
mod listing;
mod names;
mod pattern;
mod progress;
mod queue;
mod read;
mod rules;
mod shared;
mod sketch;
mod stat;
mod task;
#[cfg(test)]
mod tests;
mod touched;
mod update;
mod walk;
mod xattr;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rustix::io::Errno;
use wfr_model::coverage::{Coverage, Skip};
use wfr_model::entry::Meta;
use wfr_model::{Digest, FileTime, TreePath};

pub use cache::StatCache;
pub use dirs::{Directory, directories};
pub use dry::Dry;
pub use pattern::Pattern;
pub use progress::Progress;
pub use rules::{Rules, STAGING_NAME, TAG_NAME, VIEW_NAMES};
pub use sketch::Sketch;
pub use touched::{Mark, Touched, Watched};

use crate::links;
use crate::object::{ObjectKind, Sink, WriteError};
use crate::reader::Store;
use assemble::{AssembleError, Assembled};
use found::{Found, Linked, Skipped};
use fstime::Clock;
use shared::Shared;
use task::{Anchor, Known, Openings, Task};
use touched::Touch;
use update::Keeping;

/// With more touched paths than this the cache is marked anew, even where they came to nothing.
const TOUCHED_MAX: usize = 256;

/// How to scan.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// What to leave out.
    pub rules: &'a Rules,
    /// How many threads to use, the caller's own included; at least 1.
    pub threads: usize,
    /// What is not reached by then becomes a skip; the tree of the rest is whole.
    pub deadline: Option<Instant>,
    /// Set by anyone, at any time: the scan ends with [`ScanError::Aborted`].
    pub abort: &'a AtomicBool,
    /// Where to count.
    pub progress: &'a Progress,
    /// A directory on the workspace's file system, where a nameless file may be made to read its clock. `None`: the
    /// granularity of time stamps is taken for 2 seconds.
    pub probe_dir: Option<BorrowedFd<'a>>,
    /// Whether every file is read again, whatever the cache says.
    pub paranoid: bool,
    /// What somebody says who watched the tree: only what is touched is looked at then.
    pub watched: Option<Watched<'a>>,
}

/// How much is in a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Entries that are no directories.
    pub files: u64,
    /// Directories below the root.
    pub directories: u64,
    /// Bytes of regular files, each name counted.
    pub bytes: u64,
}

/// How much was read to make a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReadCounts {
    /// Files read because the cache did not speak for them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a scan found.
#[derive(Debug)]
pub struct Scan {
    /// The root's tree; it and all below it are in the sink.
    pub tree: Digest,
    /// The root's own metadata.
    pub root_meta: Meta,
    /// The [`links`] object, where two paths or more name one file.
    pub hard_links: Option<Digest>,
    /// What was left out, and why.
    pub coverage: Coverage,
    /// How much is in the tree.
    pub counts: Counts,
    /// How much of it was read.
    pub read: ReadCounts,
    /// Directories that stand on another mount than their parents, sorted.
    pub mounts: Vec<TreePath>,
    /// Whatever in the root's file system was changed since, by its stamps, was perhaps not seen.
    pub as_of: FileTime,
    /// Whether [`Self::write_cache`] has anything to write.
    pub cache_changed: bool,
    /// Whether the root was visited.
    was_reached: bool,
    /// Whether the store held all that it held when the cache was written.
    store_was_whole: bool,
    update: update::Update,
}

/// Why a scan gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The root can't be read.
    #[error("cannot read the workspace's root directory")]
    Root(#[source] io::Error),
    /// This process lacks descriptors or memory, which says nothing of the file at hand.
    #[error("cannot go on scanning the workspace")]
    Process(#[source] io::Error),
    /// The caller asked for an end.
    #[error("the scan was ended on request")]
    Aborted,
    /// The sink refused.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl ScanError {
    /// The error of a system call as one of the scan, where it is not one of the file's own.
    fn of_process(error: Errno) -> Option<Self> {
        matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOMEM).then(|| Self::Process(error.into()))
    }
}

/// Scans the directory `root` into `sink`, with what `cache` knows of it.
///
/// An id from the cache counts only where the sink holds it, so a cache that is newer or older than the store does no
/// harm; nor does one of another directory.
pub fn scan(
    root: BorrowedFd<'_>,
    cache: Option<&StatCache>,
    sink: &dyn Sink,
    options: &Options<'_>,
) -> Result<Scan, ScanError> {
    scan_at(root, cache, sink, options, Clock::read(options.probe_dir), &Openings::new())
}

fn scan_at(
    root: BorrowedFd<'_>,
    cache: Option<&StatCache>,
    sink: &dyn Sink,
    options: &Options<'_>,
    clock: Clock,
    openings: &Openings,
) -> Result<Scan, ScanError> {
    let mut cache = cache.filter(|_| !options.paranoid);
    let mut options = *options;
    // What can be in the way is each in it once.
    for _ in 0..2 {
        match scan_once(root, cache, sink, &options, clock, openings) {
            Ok(scan) => return Ok(scan),
            Err(AssembleError::Scan(error)) => return Err(error),
            Err(AssembleError::NotAll) => {
                options.watched = options.watched.map(|watched| Watched { touched: None, ..watched });
            }
            // The cache could be read at first and then not: begin again without.
            Err(AssembleError::CacheLost) => cache = None,
        }
    }
    match scan_once(root, None, sink, &options, clock, openings) {
        Ok(scan) => Ok(scan),
        Err(AssembleError::Scan(error)) => Err(error),
        Err(_) => Err(ScanError::Process(io::ErrorKind::InvalidData.into())),
    }
}

fn scan_once(
    root: BorrowedFd<'_>,
    cache: Option<&StatCache>,
    sink: &dyn Sink,
    options: &Options<'_>,
    clock: Clock,
    openings: &Openings,
) -> Result<Scan, AssembleError> {
    let refuse = |error: Errno| AssembleError::Scan(ScanError::Root(error.into()));
    let fd = task::reopen(root).map_err(refuse)?;
    let stat = stat::of(&fd).map_err(refuse)?;
    let mount = clock.mount(&fd, &stat);
    let shared = Shared::new(options, sink, cache, clock, stat.dev, openings);
    let known = cache.map(|cache| Known { included: None, pos: cache.root(), sum: None });
    let kept = rules::Kept::at_root(options.rules);
    let touch = shared.touched.map_or(Touch::All, Touched::at_root);
    let found = walk_all(&shared, Task::root(Anchor::new(fd, openings), known, mount, kept, touch));
    if let Some(error) = shared.take_failure() {
        return Err(AssembleError::Scan(error));
    }
    if shared.wants_all() {
        return Err(AssembleError::NotAll);
    }
    let Found { nodes, skips, linked, mounts, counts, read } = found;
    let Assembled { tree, root_meta, changed, live, names } = assemble::assemble(&shared, nodes)?;
    let path = |dir: usize, name: Option<&[u8]>| {
        TreePath::from_bytes(&names.path(dir, name)).expect("every name was checked when it was listed")
    };
    let coverage = to_coverage(skips, &path);
    let rules = options.rules.fingerprint();
    let mark = options.watched.map(|watched| watched.mark);
    let is_marked = cache.and_then(StatCache::mark).map(|mark| mark.watch) == mark.map(|mark| mark.watch);
    let looked_at = options.watched.and_then(|watched| watched.touched).map_or(0, Touched::len);
    let mark_differs = mark.is_some() && (!is_marked || looked_at > TOUCHED_MAX);
    let cache_changed = root_meta.is_some() && (!changed.is_empty() || !shared.trusts_names || mark_differs);
    let is_whole = shared.keeps_listings;
    // What was not visited may hold ids that were not asked for since the store lost something.
    let knows_holdings = shared.store_is_whole || coverage.gaps().next().is_none();
    let mut mounts: Vec<TreePath> = mounts.into_iter().map(|dir| path(dir, None)).collect();
    mounts.sort_unstable();
    Ok(Scan {
        tree,
        root_meta: root_meta.unwrap_or_else(|| stat.meta()),
        hard_links: put_links(sink, linked, &path)?,
        coverage,
        counts,
        read,
        mounts,
        as_of: mount.safe_before(),
        cache_changed,
        was_reached: root_meta.is_some(),
        store_was_whole: shared.store_is_whole,
        update: update::Update { base: cache.cloned(), changed, is_whole, live, rules, mark, knows_holdings },
    })
}

fn walk_all<'s>(shared: &'s Shared<'s>, root: Task<'s>) -> Found {
    let threads = shared.options.threads.clamp(1, 256);
    let queue = queue::Queue::new(threads, root);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| walk::work(shared, &queue))).collect();
        let mut found = walk::work(shared, &queue);
        for other in others {
            match other.join() {
                Ok(more) => found.merge(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    })
}

fn to_coverage(skips: Vec<Skipped>, path: &dyn Fn(usize, Option<&[u8]>) -> TreePath) -> Coverage {
    let skip = |skip: Skipped| Skip {
        path: path(skip.dir, skip.name.as_ref().map(|name| name.to_bytes())),
        reason: skip.reason,
        bytes: skip.bytes,
        detail: skip.detail,
    };
    let mut coverage = Coverage { skips: skips.into_iter().map(skip).collect(), kept: vec![] };
    coverage.sort();
    coverage
}

/// Stores which paths name the same file, where any do.
fn put_links(
    sink: &dyn Sink,
    linked: Vec<Linked>,
    path: &dyn Fn(usize, Option<&[u8]>) -> TreePath,
) -> Result<Option<Digest>, WriteError> {
    let mut files: BTreeMap<(u64, u64), Vec<TreePath>> = BTreeMap::new();
    for Linked { dev, ino, dir, name } in linked {
        files.entry((dev, ino)).or_default().push(path(dir, Some(name.to_bytes())));
    }
    let mut groups: Vec<Vec<TreePath>> = files.into_values().filter(|group| group.len() > 1).collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_unstable();
    if groups.is_empty() {
        return Ok(None);
    }
    sink.put_new(ObjectKind::Links, &links::encode(&groups)).map(Some)
}

impl Scan {
    /// Brings the stat cache `name` in `dir` up to date: the file that was given to [`scan`], or a new one. Nothing is
    /// synced, as the file can be lost. Does nothing where nothing changed or another process wrote it since. Not for
    /// an encrypted store, whose names and hashes it would show. To be called after what the scan stored was committed.
    pub fn write_cache(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        self.write(dir, name, Keeping { holdings: &[], cipher: None })
    }

    /// The same for the store that this scan went into, after the commit: sealed where the store is, and with a mark of
    /// what that holds, so that the next scan asks it once instead of once for each file. Not for a scan into [`Dry`].
    pub fn write_cache_for(&self, dir: BorrowedFd<'_>, name: &Path, store: &Store) -> io::Result<()> {
        self.write(dir, name, Keeping { holdings: &store.holdings(), cipher: store.cipher() })
    }

    fn write(&self, dir: BorrowedFd<'_>, name: &Path, keeping: Keeping<'_>) -> io::Result<()> {
        let is_marked = self.store_was_whole || keeping.holdings.is_empty();
        if !self.was_reached || (!self.cache_changed && is_marked) {
            return Ok(());
        }
        self.update.write(dir, name, keeping)
    }
}
