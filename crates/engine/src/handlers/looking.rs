//! Looking again and again, for as long as somebody follows.
//!
//! Owns that nothing is held between two looks: whoever must be alone in the store, as a rebuild of the catalog must, is not kept
//! waiting by somebody who only waits for news. Refuses to wait, and to know what is looked at.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Failure;
use crate::open::Open;
use crate::session::Session;
use crate::workspace::Place;

/// The catalog is looked into at least so often, whatever its files say of when they were written.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// A catalog that is looked into again and again.
pub(super) struct Looks {
    place: Place,
    seen: Stamp,
    at: Option<Instant>,
}

impl Looks {
    /// Further looks at a workspace.
    pub(super) fn after(open: Open) -> Self {
        let place = open.place.clone();
        drop(open);
        // What came since it was read is not in this stamp: the first look is due at once.
        Self { seen: Stamp::of(&place), place, at: None }
    }

    /// Whether there may be news.
    pub(super) fn is_due(&self) -> bool {
        self.at.is_none_or(|at| at.elapsed() >= LOOK_MAX) || Stamp::of(&self.place) != self.seen
    }

    /// Makes the next look due.
    pub(super) fn look_again(&mut self) {
        self.at = None;
    }

    /// Opens the workspace, looks once, and lets go of it.
    pub(super) fn once<T, E>(
        &mut self,
        session: &Session,
        look: impl FnOnce(&Open) -> Result<T, E>,
    ) -> Result<T, Failure>
    where
        Failure: From<E>,
    {
        let open = Open::at(self.place.clone(), &session.keyring)?;
        let found = look(&open);
        drop(open);
        // To open and to close it changes its files, too.
        (self.seen, self.at) = (Stamp::of(&self.place), Some(Instant::now()));
        Ok(found?)
    }
}

/// By what it is seen that somebody wrote into a catalog: which files they are, how long, and when they were written.
#[derive(PartialEq, Eq)]
struct Stamp([Option<[i64; 5]>; 2]);

impl Stamp {
    fn of(place: &Place) -> Self {
        let catalog = place.vault.join(wfr_store::vault::CATALOG_FILE);
        let mut log = catalog.clone().into_os_string();
        log.push("-wal");
        Self([stamp(&catalog), stamp(Path::new(&log))])
    }
}

fn stamp(file: &Path) -> Option<[i64; 5]> {
    let found = std::fs::metadata(file).ok()?;
    Some([
        found.dev().cast_signed(),
        found.ino().cast_signed(),
        found.size().cast_signed(),
        found.mtime(),
        found.mtime_nsec(),
    ])
}
