//! How far a recovery is: what is being done, and how much of it, for whoever shows it.
//!
//! Owns the counters. Refuses to know clocks and terminals.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

/// What is being done. Each is counted by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// New files are written beside their targets.
    Staging,
    /// What was written is made durable; how long that takes nobody knows.
    Flushing,
    /// The steps are done, or taken back.
    Steps,
    /// What was displaced is looked at, and dropped or kept.
    Settling,
    /// What was changed is compared with what it was to be.
    Comparing,
}

const STAGES: [Stage; 5] = [Stage::Staging, Stage::Flushing, Stage::Steps, Stage::Settling, Stage::Comparing];

/// The counters; any thread may read them at any time.
#[derive(Debug, Default)]
pub struct Progress {
    /// The stage's place among all, from 1; 0 before the first.
    stage: AtomicU8,
    counts: [(AtomicUsize, AtomicUsize); STAGES.len()],
}

impl Progress {
    /// Begins a stage in which so much is to be done.
    pub fn begin(&self, stage: Stage, all: usize) {
        let (done, total) = &self.counts[stage as usize];
        done.store(0, Relaxed);
        total.store(all, Relaxed);
        self.stage.store(stage as u8 + 1, Relaxed);
    }

    /// Counts one that is done in a stage.
    pub fn one(&self, stage: Stage) {
        self.counts[stage as usize].0.fetch_add(1, Relaxed);
    }

    /// Nothing is being done any more.
    pub fn end(&self) {
        self.stage.store(0, Relaxed);
    }

    /// The present stage; `None` where none is.
    pub fn stage(&self) -> Option<Stage> {
        let place = usize::from(self.stage.load(Relaxed)).checked_sub(1)?;
        STAGES.get(place).copied()
    }

    /// How much of a stage is done, and how much there is of it.
    pub fn of(&self, stage: Stage) -> (usize, usize) {
        let (done, all) = &self.counts[stage as usize];
        (done.load(Relaxed), all.load(Relaxed))
    }
}
