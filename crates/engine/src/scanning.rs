//! Scanning the workspace with its configuration's rules and its stat cache.
//!
//! Owns where the cache is and what is never captured. Refuses to store: the sink decides.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use wfr_catalog::{CheckpointRow, ListQuery};
use wfr_model::TreePath;
use wfr_model::coverage::{Skip, SkipReason};
use wfr_store::disk;
use wfr_store::scan::{Options, Rules, Scan, ScanError, StatCache, Touched, Watched};
use wfr_store::{Objects, Sink, Store, tree};

use crate::manifests;
use crate::open::Open;
use crate::session::Session;
use crate::watch::{self, Heard};
use crate::{view, workspace};

const CACHE: &str = "tree.stat";

/// With more touched paths than this a scan that is saved pays.
const TOUCHED_MAX: usize = 2_000;

/// A scan of so many entries takes about a millisecond.
const SMALL: u64 = 1_000;

/// How to scan this time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    /// What is not reached by then becomes a skip.
    pub deadline: Option<Instant>,
    /// Whether every file is read again.
    pub paranoid: bool,
    /// Whether a person agreed that paths captured before are skipped by a rule from now on.
    pub accept_exclusions: bool,
}

/// A rule that begins to skip directories inside one another shows them one level a scan; deeper than this is refused.
const NESTING_MAX: usize = 16;

/// Scans the workspace into a sink, over the objects that the sink is for.
///
/// What the newest checkpoint captured is captured again, even if a rule says otherwise now, unless a person agreed: an
/// agent can drop a CACHEDIR.TAG anywhere. Such paths are in the coverage as kept.
pub fn scan_workspace<S: Sink + Objects>(
    open: &Open,
    sink: &S,
    session: &Session,
    effort: Effort,
) -> Result<Scan, ScanError> {
    scan(open, sink, session, effort, None)
}

/// Scans what is named only, as far as the stat cache speaks for the rest: that may be older than what the ledger knows.
pub fn scan_paths<S: Sink + Objects>(
    open: &Open,
    sink: &S,
    session: &Session,
    named: &Touched,
) -> Result<Scan, ScanError> {
    scan(open, sink, session, Effort::default(), Some(named))
}

fn scan<S: Sink + Objects>(
    open: &Open,
    sink: &S,
    session: &Session,
    effort: Effort,
    named: Option<&Touched>,
) -> Result<Scan, ScanError> {
    if effort.accept_exclusions {
        return scan_once(open, sink, session, effort, named, vec![]);
    }
    let before = newest(open);
    let expected = before.as_ref().map_or(0, |row| row.files.total + row.files.directories);
    session.meter.entries_expected.store(expected, Ordering::Relaxed);
    let mut keep = kept(sink, before.as_ref());
    let tree = before.and_then(|row| row.tree);
    let was_captured =
        |path: &TreePath| tree.as_ref().is_some_and(|tree| matches!(tree::lookup(sink, tree, path), Ok(Some(_))));
    for _ in 0..NESTING_MAX {
        let mut scan = scan_once(open, sink, session, effort, named, keep.clone())?;
        let by_rule = |skip: &&Skip| matches!(skip.reason, SkipReason::Excluded | SkipReason::CachedirTag);
        let begun = scan.coverage.skips.iter().filter(by_rule).map(|skip| &skip.path).filter(|path| was_captured(path));
        let begun: Vec<TreePath> = begun.cloned().collect();
        if begun.is_empty() {
            keep.retain(|path| was_captured(path) && matches!(tree::lookup(sink, &scan.tree, path), Ok(Some(_))));
            scan.coverage.kept = keep;
            return Ok(scan);
        }
        keep.extend(begun);
    }
    scan_once(open, sink, session, effort, named, keep)
}

/// Paths that a checkpoint captured although a rule said otherwise.
fn kept(objects: &dyn Objects, checkpoint: Option<&CheckpointRow>) -> Vec<TreePath> {
    checkpoint.and_then(|row| manifests::coverage(objects, row).ok()).unwrap_or_default().kept
}

/// The newest checkpoint that has files.
fn newest(open: &Open) -> Option<CheckpointRow> {
    let query = ListQuery { descending: true, limit: Some(16), ..ListQuery::default() };
    open.catalog.list(&query).ok()?.into_iter().find(|row| row.tree.is_some())
}

fn scan_once(
    open: &Open,
    sink: &dyn Sink,
    session: &Session,
    effort: Effort,
    named: Option<&Touched>,
    keep: Vec<TreePath>,
) -> Result<Scan, ScanError> {
    let root = disk::open_dir(open.root()).map_err(ScanError::Root)?;
    let probe = disk::open_dir(&view::dir(open.root())).ok();
    let rules = rules(open, session, keep);
    let cache = cache_of(open);
    let mark = cache.as_ref().and_then(StatCache::mark);
    let heard = match named {
        // What is found so is not kept as a stat cache: no mark is made.
        Some(named) => Some(Heard { mark: mark.unwrap_or_default(), touched: Some(named.clone()) }),
        None if effort.paranoid => None,
        None => watch::since(open, mark, &rules),
    };
    let options = Options {
        rules: &rules,
        // A few directories are visited sooner than further threads are there.
        threads: if named.is_some() { 1 } else { session.threads },
        deadline: effort.deadline,
        abort: &session.abort,
        progress: &session.meter.scan,
        probe_dir: probe.as_ref().map(AsFd::as_fd),
        paranoid: effort.paranoid,
        watched: heard.as_ref().map(|heard| Watched { mark: heard.mark, touched: heard.touched.as_ref() }),
    };
    wfr_store::scan::scan(root.as_fd(), cache.as_ref(), sink, &options)
}

fn cache_of(open: &Open) -> Option<StatCache> {
    StatCache::open_with(&open.vault.cache().join(CACHE), open.cipher().cloned())
}

/// Whether somebody watches and the stat cache is so far behind that it should be saved again.
pub fn is_cache_behind(open: &Open, objects: &dyn Objects, session: &Session) -> bool {
    if !watch::may_answer(open.vault.dir()) {
        return false;
    }
    let mark = cache_of(open).and_then(|cache| cache.mark());
    let heard = watch::since(open, mark, &rules(open, session, kept(objects, newest(open).as_ref())));
    heard.is_some_and(|heard| heard.touched.is_none_or(|touched| touched.len() > TOUCHED_MAX))
}

/// Left out are the view, the store, and the stores of all other workspaces: a restore would take them back in time.
pub fn rules(open: &Open, session: &Session, keep: Vec<TreePath>) -> Rules {
    let capture = &open.config.capture;
    let data = session.directories.data.as_deref().map(workspace::own_data);
    let own = [open.vault.dir().to_owned(), view::dir(open.root())].into_iter().chain(data);
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let rules = Rules {
        skip_cachedir_tag: capture.skip_cachedir_tag,
        file_bytes_max: (capture.file_bytes_max > 0).then_some(capture.file_bytes_max),
        own: own.filter_map(|path| identity(&path)).collect(),
        keep,
        ..Rules::default()
    };
    rules.excluding(capture.exclude.iter().map(|name| name.clone().into_bytes()))
}

/// Keeps the stat cache for the next scan, once what this one stored is committed. It is derived: errors cost a scan.
pub fn save_cache(open: &Open, scan: &Scan, store: &Store) {
    if let Ok(dir) = disk::open_dir(&open.vault.cache()) {
        let _ = scan.write_cache_for(dir.as_fd(), Path::new(CACHE), store);
    }
}

/// Whether a scan of all costs next to nothing: the tree is small, or somebody watches.
pub fn is_cheap(open: &Open) -> bool {
    let is_small = || newest(open).is_some_and(|row| row.files.total + row.files.directories <= SMALL);
    watch::may_answer(open.vault.dir()) || is_small()
}

/// Whether the stat cache can be read: without it a scan of some paths would be one of all.
pub fn has_cache(open: &Open) -> bool {
    cache_of(open).is_some()
}

/// Removes the stat cache: where even the reserve is used up, its room is needed more. The next scan reads every file.
pub fn drop_cache(open: &Open) {
    let _ = std::fs::remove_file(open.vault.cache().join(CACHE));
}

/// How many more bytes the store may grow by; `None` without a quota.
pub fn room(open: &Open, store: &Store) -> Option<u64> {
    let quota = open.config.capture.quota_bytes;
    let used: u64 = store.extents().iter().map(|extent| extent.committed).sum();
    (quota > 0).then(|| quota.saturating_sub(used))
}

/// A regular file of the workspace, reached without following a link; `None` where it is gone, is none, or has more than
/// `bytes_max` bytes.
pub fn read_file(open: &Open, path: &TreePath, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let root = disk::open_dir(open.root())?;
    let place = Path::new(OsStr::from_bytes(path.as_bytes()));
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let mut file = match disk::open_beneath(root, place, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > bytes_max {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
