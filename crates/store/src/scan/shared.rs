//! What the workers of one scan have in common.
//!
//! Owns the ends of a scan: abort, deadline, first failure. Refuses to know what the workers do.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::cache::StatCache;
use super::fstime::Clock;
use super::task::Openings;
use super::touched::Touched;
use super::{Options, ScanError};
use crate::object::Sink;

/// What all workers share.
pub(super) struct Shared<'a> {
    pub options: &'a Options<'a>,
    pub sink: &'a dyn Sink,
    pub cache: Option<&'a StatCache>,
    /// Whether the cached names were listed under the same rules.
    pub trusts_names: bool,
    /// Whether the store holds all that it held when the cache was written.
    pub store_is_whole: bool,
    /// Whether every listing is kept in memory, to write the cache anew.
    pub keeps_listings: bool,
    pub clock: Clock,
    pub root_dev: u64,
    pub openings: &'a Openings,
    /// How many directories have a number.
    pub numbers: AtomicUsize,
    /// What may have changed; `None`: anything.
    pub touched: Option<&'a Touched>,
    wants_all: AtomicBool,
    late: AtomicBool,
    has_failed: AtomicBool,
    failure: Mutex<Option<ScanError>>,
}

impl<'a> Shared<'a> {
    /// Makes ready for a scan; the root has a number already.
    pub(super) fn new(
        options: &'a Options<'a>,
        sink: &'a dyn Sink,
        cache: Option<&'a StatCache>,
        clock: Clock,
        root_dev: u64,
        openings: &'a Openings,
    ) -> Self {
        let trusts_names = cache.is_some_and(|cache| cache.rules() == options.rules.fingerprint());
        let store_is_whole = cache.is_some_and(|cache| sink.still_holds(&cache.holdings()));
        let keeps_listings = cache.is_none_or(StatCache::is_mostly_dead);
        let touched = options.watched.and_then(|watched| watched.touched);
        Self {
            options,
            sink,
            cache,
            trusts_names,
            store_is_whole,
            keeps_listings,
            touched: touched.filter(|_| trusts_names && store_is_whole && !keeps_listings),
            wants_all: AtomicBool::new(false),
            clock,
            root_dev,
            openings,
            numbers: AtomicUsize::new(1),
            late: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    /// Notes that what is touched does not tell all: a file has a name that nobody knew of.
    pub(super) fn want_all(&self) {
        self.wants_all.store(true, Relaxed);
    }

    /// Whether the scan has to be made again, of everything.
    pub(super) fn wants_all(&self) -> bool {
        self.touched.is_some() && self.wants_all.load(Relaxed)
    }

    /// Whether the caller wants an end, or a worker failed.
    pub(super) fn is_aborted(&self) -> bool {
        self.options.abort.load(Relaxed) || self.has_failed.load(Relaxed)
    }

    /// Whether the deadline was found to have passed.
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Relaxed)
    }

    /// Looks at the clock.
    pub(super) fn check_late(&self) -> bool {
        if !self.is_late() && self.options.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.late.store(true, Relaxed);
        }
        self.is_late()
    }

    /// Ends the scan with an error, the first one told.
    pub(super) fn fail(&self, error: ScanError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.has_failed.store(true, Relaxed);
    }

    /// The error that ended the scan.
    pub(super) fn take_failure(&self) -> Option<ScanError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
