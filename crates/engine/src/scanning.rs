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
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use wfr_model::TreePath;
use wfr_store::disk;
use wfr_store::scan::{Options, Rules, Scan, ScanError, StatCache, scan};
use wfr_store::{Sink, Store};

use crate::open::Open;
use crate::session::Session;
use crate::view;

const CACHE: &str = "tree.stat";

/// How to scan this time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    /// What is not reached by then becomes a skip.
    pub deadline: Option<Instant>,
    /// Whether every file is read again.
    pub paranoid: bool,
}

/// Scans the workspace into a sink.
pub fn scan_workspace(open: &Open, sink: &dyn Sink, session: &Session, effort: Effort) -> Result<Scan, ScanError> {
    let root = disk::open_dir(open.root()).map_err(ScanError::Root)?;
    let probe = disk::open_dir(&view::dir(open.root())).ok();
    let rules = rules(open);
    let cache = StatCache::open_with(&open.vault.cache().join(CACHE), open.cipher().cloned());
    let options = Options {
        rules: &rules,
        threads: session.threads,
        deadline: effort.deadline,
        abort: &session.abort,
        progress: &session.meter.scan,
        probe_dir: probe.as_ref().map(AsFd::as_fd),
        paranoid: effort.paranoid,
    };
    scan(root.as_fd(), cache.as_ref(), sink, &options)
}

fn rules(open: &Open) -> Rules {
    let capture = &open.config.capture;
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    Rules {
        exclude: capture.exclude.iter().map(|name| name.clone().into_bytes()).collect(),
        skip_cachedir_tag: capture.skip_cachedir_tag,
        file_bytes_max: (capture.file_bytes_max > 0).then_some(capture.file_bytes_max),
        own: [open.vault.dir().to_owned(), view::dir(open.root())].iter().filter_map(|path| identity(path)).collect(),
        keep: vec![],
    }
}

/// Keeps the stat cache for the next scan, once what this one stored is committed. It is derived: errors cost a scan.
pub fn save_cache(open: &Open, scan: &Scan, store: &Store) {
    if let Ok(dir) = disk::open_dir(&open.vault.cache()) {
        let _ = scan.write_cache_for(dir.as_fd(), Path::new(CACHE), store);
    }
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
