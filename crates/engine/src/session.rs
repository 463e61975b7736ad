//! What every operation is given by the edge: where to look, what is allowed, the clock, and whom to tell.
//!
//! Owns nothing but the passing on. The library reads no environment, no clock and no terminal of its own.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wfr_catalog::{CatalogError, NewOperation, ReferenceError};
use wfr_model::Timestamp;
pub use wfr_recovery::progress::Stage as RecoveryStage;
use wfr_store::reserve;
use wfr_store::scan::Progress;

use crate::error::{Code, Failure};
use crate::keyring::Keyring;
use crate::mint::{self, Ids};
use crate::open::{Open, OpenError};
use crate::picking::Picker;
use crate::response::Answer;
use crate::upkeep::Noted;
use crate::workspace::{self, Directories, Place};
use crate::{holding, owner};

/// How far an operation is, for whoever shows it; any thread may read it at any time.
#[derive(Debug, Default)]
pub struct Meter {
    /// The scan's own counters.
    pub scan: Progress,
    /// Bytes written by a checkout or checked by a validation.
    pub bytes: AtomicU64,
    /// The recovery's own counters.
    pub recovery: wfr_recovery::progress::Progress,
    /// Steps of a recovery done, and how many there are.
    pub steps: (AtomicUsize, AtomicUsize),
    /// Objects of a validation read, and how many there are.
    pub objects: (AtomicUsize, AtomicUsize),
    /// Entries that a scan will find if the tree is as large as the last checkpoint; 0: not known.
    pub entries_expected: AtomicU64,
    /// Bytes that a checkout will write; 0: not known.
    pub bytes_expected: AtomicU64,
}

impl Meter {
    /// Notes how many steps are done.
    pub fn step(&self, done: usize, total: usize) {
        self.steps.0.store(done, Ordering::Relaxed);
        self.steps.1.store(total, Ordering::Relaxed);
    }

    /// Begins to count the bytes of a checkout.
    pub fn expect_bytes(&self, bytes: u64) {
        self.objects.1.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.bytes_expected.store(bytes, Ordering::Relaxed);
    }
}

/// What shows the pieces of a result that has no end.
pub type OnNews = Box<dyn FnMut(&dyn Answer) -> io::Result<()> + Send + Sync>;

/// One call's surroundings.
pub struct Session {
    /// Where to look for the workspace.
    pub directories: Directories,
    /// Where the keys of encrypted stores come from.
    pub keyring: Arc<Keyring>,
    /// Whether somebody sits at a terminal who can be asked.
    pub interactive: bool,
    /// How many threads to use; at least 1.
    pub threads: usize,
    /// Set from outside to give up.
    pub abort: Arc<AtomicBool>,
    /// How long each other one is waited for who looks at the tree; `None`: until all are done.
    pub patience: Option<Duration>,
    /// How far it is.
    pub meter: Arc<Meter>,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Where this program is.
    pub program: fn() -> io::Result<PathBuf>,
    /// The environment: variables by name.
    pub variable: fn(&str) -> Option<OsString>,
    /// Who asks, for the audit trail.
    pub actor: String,
    /// Where the ids come from of what is made.
    pub ids: Ids,
    /// Where raw bytes go, for operations that give some.
    pub raw: Box<dyn Write + Send + Sync>,
    /// Where operations read from that are given `-`.
    pub input: Box<dyn Read + Send + Sync>,
    /// Given what an operation that goes on has to show, piece by piece; an error ends it.
    pub on_news: OnNews,
    /// Starts this program in a process of its own that outlives this one, on a workspace, with further words. What it prints
    /// can be read from its standard output.
    pub detach: fn(&Place, &[&str]) -> io::Result<Child>,
    /// Who chooses what is taken back, where somebody can be asked.
    pub picker: Option<Box<dyn Picker>>,
    /// Told after each step of a recovery.
    pub on_step: Box<dyn Fn(usize, usize) + Send + Sync>,
    /// Whether a workspace is opened only where its configuration can be used.
    pub needs_configuration: bool,
    /// What was learned of the workspace, for upkeep after the call.
    pub noted: Arc<Noted>,
}

impl Session {
    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// What is to be told beside the result: that the configuration cannot be used and the operation went on without it, and
    /// what else was noted.
    pub fn warnings(&self) -> Vec<String> {
        let broken = self.noted.broken().map(|why| {
            format!("{why}; until it is mended the defaults hold, also in what a safety checkpoint leaves out")
        });
        broken.into_iter().chain(self.noted.told()).collect()
    }

    /// Opens the workspace that the directories point to. On a full disk not even reading works (SQLite needs room for
    /// its shared memory): then the reserve is given up.
    ///
    /// A vault serves one directory: a copy of its workspace is refused, one that was moved becomes its own.
    pub fn open(&self) -> Result<Open, OpenError> {
        let mut open = match Open::find(&self.directories, &self.keyring) {
            Err(OpenError::Catalog(CatalogError::Full { .. })) => {
                let place = workspace::locate(&self.directories)?;
                let _ = reserve::release(&place.vault);
                Open::at(place, &self.keyring)?
            }
            other => other?,
        };
        if self.needs_configuration
            && let Some(error) = open.broken.take()
        {
            return Err(error.into());
        }
        self.claim(&open)?;
        // Where it cannot be noted now, the next command does.
        let _ = open.catalog.rebase_holds(self.now());
        let _ = holding::forget_dead_requests(&open);
        // Before anything that this command does. Where it cannot be noted now, the next command does.
        let _ = wfr_coord::begin_at_the_end(&open.config.coordination, &open.catalog, self.now());
        self.noted.note(&open, self.now());
        Ok(open)
    }

    fn claim(&self, open: &Open) -> Result<(), OpenError> {
        let (known, root) = (open.catalog.identity()?.workspace, open.root());
        if known == root || workspace::is_same(&known, root) {
            return Ok(());
        }
        if let Some(original) = owner::another(open.vault.dir(), root, self.directories.data.as_deref()) {
            return Err(OpenError::Copied { root: root.to_owned(), original });
        }
        let audit = NewOperation {
            operation_id: mint::operation(),
            operation: "workspace moved".to_owned(),
            actor: self.actor.clone(),
            at: self.now(),
            workflow_id: None,
            parameters: json!({"from": known.to_string_lossy(), "to": root.to_string_lossy()}),
            inverse: None,
            result: Value::Null,
        };
        // Where it cannot be noted now, the next command does.
        if open.catalog.set_workspace(root, &audit).is_ok()
            && let Some(data) = &self.directories.data
        {
            // The new path must lead to the vault when the view is gone; the old one is free for somebody else.
            let _ = workspace::move_signpost(data, &open.place);
        }
        Ok(())
    }

    /// Does something that must work on a full disk: where it fails for lack of room, the reserve is given up and it is
    /// tried again. The reserve is made again afterwards where there is room for it.
    pub fn with_reserve<T>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        match work(self) {
            Err(failure) if failure.code == Code::DiskFull => {
                let place = workspace::locate(&self.directories)?;
                reserve::release(&place.vault)?;
                let ended = work(self);
                let _ = reserve::create(&place.vault);
                ended
            }
            ended => ended,
        }
    }

    /// The workspace that is acted on, where the current directory is not in it: whoever called must be told which it is.
    pub fn elsewhere(&self) -> Option<PathBuf> {
        workspace::elsewhere(&self.directories)
    }

    /// Gives what root has made in somebody else's store and view to their owner.
    pub fn adopt(&self) {
        if let Ok(place) = workspace::locate(&self.directories) {
            crate::adopt::adopt(&place);
        }
    }

    /// Makes the reserve again where it was given up and there is room for it now.
    pub fn refill(&self) {
        if let Ok(place) = workspace::locate(&self.directories) {
            let _ = reserve::refill(&place.vault);
        }
    }
}

impl crate::operation::words::Known for Session {
    fn has_workflow(&mut self, name: &str) -> Result<bool, Failure> {
        let Ok(workflow) = name.parse() else { return Ok(false) };
        Ok(self.open()?.catalog.has_workflow(&workflow)?)
    }

    fn has_checkpoint(&mut self, workflow: Option<&str>, reference: &str) -> Result<bool, Failure> {
        let workflow = workflow.and_then(|workflow| workflow.parse().ok());
        match self.open()?.catalog.resolve(workflow.as_ref(), reference) {
            Ok(_) | Err(ReferenceError::Ambiguous { .. }) => Ok(true),
            Err(ReferenceError::Catalog(error)) => Err(error.into()),
            Err(_) => Ok(false),
        }
    }

    fn root(&mut self) -> Result<PathBuf, Failure> {
        Ok(workspace::locate(&self.directories)?.root)
    }

    fn named_root(&self) -> Option<PathBuf> {
        self.directories.workspace.as_ref().map(|named| self.directories.current.join(named))
    }

    fn current(&self) -> &Path {
        &self.directories.current
    }
}
