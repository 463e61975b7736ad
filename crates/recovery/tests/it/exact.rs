//! A recovery gives the other state exactly, its inverse the first one, and a checkout the same beside.

use std::sync::atomic::{AtomicBool, AtomicU64};

use proptest::prelude::*;
use wfr_model::recovery::RecoveryStatus;
use wfr_recovery::apply::{OnFailure, Options, prepare};
use wfr_recovery::checkout::{Checkout, CheckoutError};
use wfr_store::object::{ObjectKind, Objects, ReadError};
use wfr_testkit::{Prng, Snapshot, TestTree, TreeShape, edit_at_random, grow};

use crate::ground::{Ground, NEVER, State, id, root_of};

fn checkout(ground: &Ground, objects: &dyn Objects, state: &State, name: &str) -> Result<Snapshot, CheckoutError> {
    let dest = ground.beside().join(name);
    std::fs::create_dir_all(&dest).unwrap();
    let bytes_done = AtomicU64::new(0);
    let checkout = Checkout {
        objects,
        tree: state.tree,
        root: Some(state.root),
        links: state.links.clone(),
        leave_out: std::collections::HashSet::new(),
        damaged: &std::collections::HashSet::new(),
        with_owner: false,
        threads: 2,
        abort: &NEVER,
        deadline: None,
        bytes_done: &bytes_done,
    };
    let written = checkout.run(&dest);
    if written.is_ok() {
        assert_eq!(root_of(&dest), state.root);
    }
    written.map(|_| Snapshot::of(&dest))
}

#[test]
fn a_checkout_that_makes_directories_only_can_be_interrupted() {
    let ground = Ground::new(TestTree::new());
    ground.tree.dir("a/b/c");
    let state = ground.capture();
    let dest = ground.beside().join("out");
    std::fs::create_dir(&dest).unwrap();
    let checkout = Checkout {
        objects: &ground.store(),
        tree: state.tree,
        root: Some(state.root),
        links: vec![],
        leave_out: std::collections::HashSet::new(),
        damaged: &std::collections::HashSet::new(),
        with_owner: false,
        threads: 1,
        abort: &AtomicBool::new(true),
        deadline: None,
        bytes_done: &AtomicU64::new(0),
    };
    assert!(matches!(checkout.run(&dest), Err(CheckoutError::Interrupted)));
    assert_eq!(std::fs::read_dir(&dest).unwrap().count(), 0, "nothing stays behind");
}

/// Differences, where the directories' own times count too.
fn differences(wanted: &Snapshot, real: &Snapshot) -> Vec<String> {
    wanted.differences(real)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back(seed: u64, edits in 1usize..30) {
        let mut prng = Prng::new(seed);
        let ground = Ground::new(TestTree::new());
        grow(&ground.tree, &mut prng, TreeShape { entries: 25, ..TreeShape::default() });
        ground.tree.set_mode("", [0o700, 0o755, 0o711][prng.below(3)]);
        let before = ground.capture();
        let edits: Vec<String> = (0..edits).map(|_| edit_at_random(&ground.tree, &mut prng)).collect();
        ground.tree.set_mode("", [0o700, 0o755][prng.below(2)]);
        let after = ground.capture();
        let outcome = ground.recover(&after, &before);
        prop_assert!(outcome.report.failed.is_empty() && outcome.report.kept.is_empty(), "{edits:#?} {outcome:?}");
        let lines = differences(&before.snapshot, &ground.snapshot());
        prop_assert!(lines.is_empty(), "there, {edits:#?}: {lines:#?}");
        prop_assert_eq!(ground.root(), before.root);
        ground.recover(&before, &after);
        let lines = differences(&after.snapshot, &ground.snapshot());
        prop_assert!(lines.is_empty(), "back, {edits:#?}: {lines:#?}");
        let beside = checkout(&ground, &ground.store(), &before, "out").unwrap();
        let lines = differences(&before.snapshot, &beside);
        prop_assert!(lines.is_empty(), "beside: {lines:#?}");
        prop_assert!(!ground.is_committed());
        prop_assert!(!ground.tree.at(".wfr-staging").exists());
    }
}

/// Objects of which one kind cannot be read.
struct Damaged<'o>(&'o dyn Objects, wfr_model::Digest);

impl Objects for Damaged<'_> {
    fn get(&self, kind: ObjectKind, id: &wfr_model::Digest) -> Result<Vec<u8>, ReadError> {
        if *id == self.1 { Err(ReadError::Missing(*id)) } else { self.0.get(kind, id) }
    }

    fn has(&self, id: &wfr_model::Digest) -> bool {
        self.0.has(id)
    }

    fn still_holds(&self, holdings: &[u8]) -> bool {
        self.0.still_holds(holdings)
    }
}

#[test]
fn a_checkout_that_fails_leaves_the_directory_empty() {
    let ground = Ground::new(TestTree::of_every_kind());
    ground.tree.write("zz/last", b"this one is missing");
    let state = ground.capture();
    let store = ground.store();
    let missing = wfr_store::object::hash(b"this one is missing");
    let failed = checkout(&ground, &Damaged(&store, missing), &state, "out");
    assert!(matches!(failed, Err(CheckoutError::ReadOf { ref path, source: ReadError::Missing(id) })
        if id == missing && path.to_string() == "zz/last"));
    assert_eq!(std::fs::read_dir(ground.beside().join("out")).unwrap().count(), 0);
    let kept = ground.beside().join("kept");
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::write(kept.join("mine"), b"1").unwrap();
    assert!(matches!(checkout(&ground, &store, &state, "kept"), Err(CheckoutError::NotEmpty(_))));
    assert_eq!(std::fs::read(kept.join("mine")).unwrap(), b"1");
}

#[test]
fn one_that_never_began_leaves_the_workspaces_own_time() {
    let ground = Ground::new(TestTree::new());
    ground.tree.dir("d");
    ground.tree.write("d/a", b"one");
    let to = ground.capture();
    ground.tree.write("d/a", b"two");
    ground.tree.set_mtime("", 1_000_000_000, 7);
    let from = ground.capture();
    let store = ground.store();
    let environment = ground.environment(&store, &|_, _| {});
    let committed = ground.prepare(&environment, &ground.plan(&from, &to), &to).unwrap();
    // As where its process died just before the record was written.
    wfr_recovery::apply::forget(environment.journal, committed.recovery()).unwrap();
    drop(committed);
    wfr_recovery::leftovers::clean(ground.tree.path(), &|_| false).unwrap();
    assert_eq!(ground.root(), from.root);
}

#[test]
fn one_with_a_check_stands_only_once_that_has_ended() {
    let ground = Ground::new(TestTree::of_every_kind());
    let to = ground.capture();
    ground.tree.write("a.txt", b"edited");
    ground.tree.remove("sub");
    let from = ground.capture();
    let store = ground.store();
    let environment = ground.environment(&store, &|_, _| {});
    let options = || Options {
        recovery: id(),
        on_failure: OnFailure::TakeBack,
        with_owner: false,
        links: to.links.clone(),
        provisional: true,
    };
    let begin = || prepare(&environment, &ground.plan(&from, &to), options()).unwrap();
    // Its process dies in the check: nothing that the way back needs has gone.
    let dies = std::panic::AssertUnwindSafe(|| {
        let check = |changed: &[wfr_model::TreePath]| {
            assert!(changed.iter().any(|path| path.to_string() == "a.txt"));
            assert_eq!(differences(&to.snapshot, &ground.snapshot().only(|path| path != b".wfr-staging")), [""; 0]);
            std::panic::resume_unwind(Box::new("killed"))
        };
        begin().run_checked(&environment, Some(&check))
    });
    assert!(std::panic::catch_unwind(dies).is_err());
    assert_eq!(ground.settle(false)[0].status, RecoveryStatus::TakenBack);
    assert_eq!(differences(&from.snapshot, &ground.snapshot()), [""; 0]);
    // It dies right behind the check: how that ended is known.
    for passes in [true, false] {
        let outcome = begin().run_checked(&environment, Some(&|_| passes)).unwrap();
        assert_eq!((outcome.status, outcome.check_failed), (RecoveryStatus::Done, !passes));
        let later = &ground.settle(false)[0];
        assert_eq!((later.status, later.check_failed), (RecoveryStatus::Done, !passes));
        assert_eq!(differences(&to.snapshot, &ground.snapshot()), [""; 0]);
        ground.recover(&to, &from);
    }
    assert!(!ground.is_committed(), "no record stays behind");
    // That its check failed stays noted until whoever takes it back says that it is.
    assert_eq!(wfr_recovery::failed::list(environment.journal).unwrap(), [id()]);
    wfr_recovery::failed::forget(environment.journal, &id()).unwrap();
    assert_eq!(std::fs::read_dir(environment.journal).unwrap().count(), 0);
}
