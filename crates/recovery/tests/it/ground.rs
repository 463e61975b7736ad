//! A workspace with a store, two captured states, and the recovery from one to the other.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use tempfile::TempDir;
use wfr_model::coverage::Coverage;
use wfr_model::plan::{Plan, RootMeta};
use wfr_model::{Digest, FileTime, RecoveryId};
use wfr_recovery::apply::{self, Committed, Environment, OnFailure, Options, Outcome, PrepareError};
use wfr_recovery::plan::{Goal, LinkGroups, plan};
use wfr_store::record::Coding;
use wfr_store::scan::{self, Progress, Rules, scan};
use wfr_store::vault::{FORMAT_VERSION, Identity};
use wfr_store::{Store, Vault, disk, links};
use wfr_testkit::{Snapshot, TestTree};

/// Never set.
pub static NEVER: AtomicBool = AtomicBool::new(false);

/// A state that was captured.
#[derive(Clone)]
pub struct State {
    pub tree: Digest,
    pub coverage: Coverage,
    pub links: LinkGroups,
    pub snapshot: Snapshot,
    pub root: RootMeta,
}

/// A workspace with its store.
pub struct Ground {
    pub tree: TestTree,
    dir: TempDir,
    vault: Vault,
    extents: Mutex<Vec<wfr_store::pack::Extent>>,
    pub progress: wfr_recovery::progress::Progress,
}

impl Ground {
    pub fn new(tree: TestTree) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity { format_version: FORMAT_VERSION, vault_id: "0".repeat(32), encrypted: false };
        let vault = Vault::create(&dir.path().join("vault"), identity).unwrap();
        Self { tree, dir, vault, extents: Mutex::default(), progress: Default::default() }
    }

    pub fn store(&self) -> Store {
        Store::open(&self.vault, self.extents.lock().unwrap().clone(), None).unwrap()
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.tree.path())
    }

    /// The workspace's own directory.
    pub fn root(&self) -> RootMeta {
        root_of(self.tree.path())
    }

    /// A directory beside the workspace, on the same file system.
    pub fn beside(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Captures the tree as it is.
    pub fn capture(&self) -> State {
        let store = self.store();
        let writer = store.writer(Coding::default(), None);
        let root = disk::open_dir(self.tree.path()).unwrap();
        let (rules, progress) = (Rules::default(), Progress::default());
        let options = scan::Options {
            rules: &rules,
            threads: 2,
            deadline: None,
            abort: &NEVER,
            progress: &progress,
            probe_dir: None,
            paranoid: true,
            watched: None,
        };
        let found = scan(root.as_fd(), None, &writer, &options).unwrap();
        let links = found.hard_links.map(|id| links::read(&writer, &id).unwrap()).unwrap_or_default();
        let sealed = writer.finish().unwrap();
        let mut extents = self.extents.lock().unwrap();
        for extent in sealed.extents() {
            extents.retain(|known| known.pack != extent.pack);
            extents.push(extent.clone());
        }
        sealed.publish();
        State { tree: found.tree, coverage: found.coverage, links, snapshot: self.snapshot(), root: self.root() }
    }

    /// The plan from one state to another, with exact times.
    pub fn plan(&self, from: &State, to: &State) -> Plan {
        let goal = Goal {
            workflow: "wf".parse().unwrap(),
            target: "ckpt_1".parse().unwrap(),
            from: from.tree,
            to: to.tree,
            from_coverage: from.coverage.clone(),
            to_coverage: to.coverage.clone(),
            from_root: Some(from.root),
            to_root: Some(to.root),
            from_links: from.links.clone(),
            to_links: to.links.clone(),
            exact_mtime: true,
            with_owner: false,
            allow_config: true,
        };
        plan(&self.store(), &goal).unwrap()
    }

    pub fn environment<'e>(&'e self, store: &'e Store, on_step: &'e (dyn Fn(usize, usize) + Sync)) -> Environment<'e> {
        Environment {
            root: self.tree.path(),
            journal: Box::leak(self.vault.journal().into_boxed_path()),
            objects: store,
            threads: 1,
            abort: &NEVER,
            deadline: None,
            progress: &self.progress,
            on_step,
        }
    }

    pub fn prepare(&self, environment: &Environment<'_>, plan: &Plan, to: &State) -> Result<Committed, PrepareError> {
        let options = Options {
            recovery: id(),
            on_failure: OnFailure::TakeBack,
            with_owner: false,
            links: to.links.clone(),
            provisional: false,
        };
        apply::prepare(environment, plan, options)
    }

    /// From one state to another, whole.
    pub fn recover(&self, from: &State, to: &State) -> Outcome {
        let store = self.store();
        let environment = self.environment(&store, &|_, _| {});
        let committed = self.prepare(&environment, &self.plan(from, to), to).unwrap();
        let outcome = committed.run(&environment).unwrap();
        committed.finish(self.tree.path(), outcome.status).unwrap();
        outcome
    }

    /// What a later process does first: completes what is committed, removes what is not.
    pub fn settle(&self, take_back: bool) -> Vec<Outcome> {
        let store = self.store();
        let environment = self.environment(&store, &|_, _| {});
        let mut outcomes = Vec::new();
        for id in apply::unfinished(&self.vault.journal()).unwrap() {
            let committed = self.reopen(&id);
            let outcome = if take_back { committed.take_back(&environment) } else { committed.run(&environment) };
            let outcome = outcome.unwrap();
            committed.finish(self.tree.path(), outcome.status).unwrap();
            outcomes.push(outcome);
        }
        wfr_recovery::leftovers::clean(self.tree.path(), &|_| false).unwrap();
        outcomes
    }

    /// A recovery that has passed its commit point and has not ended.
    pub fn reopen(&self, id: &RecoveryId) -> Committed {
        apply::reopen(&self.vault.journal(), id).unwrap()
    }

    /// Whether a recovery has passed its commit point and has not ended.
    pub fn is_committed(&self) -> bool {
        !apply::unfinished(&self.vault.journal()).unwrap().is_empty()
    }
}

pub fn root_of(dir: &Path) -> RootMeta {
    let meta = dir.metadata().unwrap();
    let mtime = FileTime { secs: meta.mtime(), nanos: u32::try_from(meta.mtime_nsec()).unwrap() };
    RootMeta { mode: meta.mode() & 0o7777, mtime: Some(mtime) }
}

pub fn id() -> RecoveryId {
    "rec_0123456789abcdef0123456789abcdef".parse().unwrap()
}
