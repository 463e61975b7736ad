//! How far a scan is, for whoever shows it.
//!
//! Owns two counters. Refuses to know time, rates and terminals.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters that the scan's threads add to and any other thread may read at any time.
#[derive(Debug, Default)]
pub struct Progress {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    /// Entries seen so far, directories included.
    pub fn entries(&self) -> u64 {
        self.entries.load(Relaxed)
    }

    /// Bytes of files read and hashed so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(super) fn add_entries(&self, count: u64) {
        self.entries.fetch_add(count, Relaxed);
    }

    pub(super) fn add_bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Relaxed);
    }
}
