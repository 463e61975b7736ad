//! Upkeep: what is due some time after a command, and is done beside the next one.
//!
//! Owns whether anything is due, and doing it: of checkpoints, and of deliveries to each sink, one process at a time. Refuses to
//! start a process: the edge does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use wfr_catalog::Catalog;
use wfr_coord::{Ended, Lock};
use wfr_model::Timestamp;
use wfr_model::coordination::Coordination;

use crate::error::Failure;
use crate::open::Open;
use crate::results::UpkeepDone;
use crate::session::Session;
use crate::workspace::Place;
use crate::{outbox, policy};

/// The lock of whoever takes the checkpoints that are due.
const LOCK: &str = "upkeep";

/// What a call learned of its workspace, for when it has ended.
#[derive(Debug, Default)]
pub struct Noted {
    workspace: OnceLock<Noticed>,
    /// Whether a checkpoint was due by time when the call began.
    was_overdue: AtomicBool,
    overdue: AtomicBool,
    broken: OnceLock<String>,
    told: Mutex<Vec<String>>,
}

/// A workspace, and what decides there on what is due.
#[derive(Debug)]
struct Noticed {
    place: Place,
    coordination: Coordination,
    interval: Option<Duration>,
}

impl Noted {
    /// Notes an open workspace, and whether a checkpoint is due by time there: a call that has ended would have to open the
    /// catalog again for that.
    pub fn note(&self, open: &Open, now: Timestamp) {
        let interval = policy::interval(&open.config);
        if self.workspace.get().is_none() {
            let _ = self.workspace.set(Noticed {
                place: open.place.clone(),
                coordination: open.config.coordination.clone(),
                interval,
            });
        }
        if interval.is_some_and(|interval| policy::is_any_overdue(&open.catalog, interval, now)) {
            self.was_overdue.store(true, Ordering::Relaxed);
        }
        if let Some(error) = &open.broken {
            let _ = self.broken.set(error.to_string());
        }
    }

    /// Why the workspace's configuration cannot be used, where a call went on without it.
    pub fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// Notes something that whoever called must be told, whatever the call was about. Once is enough.
    pub fn tell(&self, line: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains(&line) {
            told.push(line);
        }
    }

    /// What was noted so.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that a workflow's checkpoint is due by time.
    pub fn overdue(&self) {
        self.overdue.store(true, Ordering::Relaxed);
    }
}

/// The workspace in which something is due, after a call that has ended; `None` where nothing is, or where somebody
/// does it already. Where no sink is configured and no checkpoint is taken by time this looks at nothing.
///
/// A failure here concerns nobody: the next command looks again.
pub fn due(session: &Session) -> Option<Place> {
    let noticed = session.noted.workspace.get()?;
    let is_due = is_checkpoint_due(session, noticed) || is_delivery_due(session, noticed);
    is_due.then(|| noticed.place.clone())
}

fn is_checkpoint_due(session: &Session, Noticed { place, interval, .. }: &Noticed) -> bool {
    let Some(interval) = interval.filter(|_| !policy::is_tried(place, session.now())) else { return false };
    let noted = &session.noted;
    // The call itself may have taken the checkpoint.
    let is_still_overdue =
        || catalog_of(place).is_some_and(|catalog| policy::is_any_overdue(&catalog, interval, session.now()));
    let is_overdue =
        noted.overdue.load(Ordering::Relaxed) || noted.was_overdue.load(Ordering::Relaxed) && is_still_overdue();
    is_overdue && is_free(place, LOCK)
}

fn catalog_of(place: &Place) -> Option<Catalog> {
    Catalog::open(&place.vault.join("catalog.db")).ok()
}

/// Whether nobody has a lock. Whoever has it looks again when it has given it back, and so sees what this call wrote.
fn is_free(place: &Place, lock: &str) -> bool {
    matches!(Lock::take(&outbox::locks(place), lock), Ok(Some(_)))
}

fn is_delivery_due(session: &Session, Noticed { place, coordination: config, .. }: &Noticed) -> bool {
    if config.sinks.is_empty() {
        return false;
    }
    let Some(catalog) = catalog_of(place) else { return false };
    let due = wfr_coord::due(config, &catalog, session.now()).unwrap_or_default();
    // One that hangs has its own lock: the others are served beside it.
    due.iter().any(|sink| is_free(place, &wfr_coord::lock_of(&sink.name)))
}

/// Does what is due.
pub fn run(session: &Session, open: &Open) -> Result<UpkeepDone, Failure> {
    let mut done = UpkeepDone { ran: false, delivered: 0, put_aside: 0, checkpoints: vec![] };
    if let Some(lock) = Lock::take(&outbox::locks(&open.place), LOCK)? {
        done.ran = true;
        done.checkpoints.extend(policy::take_overdue(session, open)?);
        drop(lock);
    }
    let reports = outbox::keep_up(session, open);
    // What has gone out long ago harms nobody where it cannot be removed now.
    let _ = outbox::prune(open, session.now());
    done.ran |= reports.iter().any(|report| report.ended != Ended::Busy);
    done.delivered = reports.iter().map(|report| report.delivered).sum();
    done.put_aside = reports.iter().map(|report| report.put_aside).sum();
    Ok(done)
}
