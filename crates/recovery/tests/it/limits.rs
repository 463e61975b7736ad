//! Deadlines: until all is done and flushed a recovery is taken back, from then on it stands.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use wfr_model::plan::Action;
use wfr_model::recovery::RecoveryStatus;
use wfr_recovery::apply::{Environment, GaveUp, PrepareError};
use wfr_recovery::checkout::{Checkout, CheckoutError};
use wfr_recovery::progress::Stage;
use wfr_testkit::TestTree;

use crate::ground::{Ground, NEVER, State};

fn two_states() -> (Ground, State, State) {
    let ground = Ground::new(TestTree::new());
    for name in ["a", "dir/b", "c"] {
        ground.tree.write(name, b"new");
    }
    let goal = ground.capture();
    for name in ["a", "dir/b", "d"] {
        ground.tree.write(name, b"old");
    }
    ground.tree.remove("c");
    let present = ground.capture();
    (ground, present, goal)
}

fn wait_until(deadline: Instant) {
    while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

#[test]
fn a_deadline_that_passes_in_any_step_takes_all_back() {
    let steps = {
        let (ground, old, new) = two_states();
        ground.plan(&old, &new).steps.len()
    };
    for last in 1..=steps {
        let (ground, old, new) = two_states();
        let store = ground.store();
        let committed =
            ground.prepare(&ground.environment(&store, &|_, _| {}), &ground.plan(&old, &new), &new).unwrap();
        let deadline = Instant::now() + Duration::from_millis(200);
        let on_step = |done: usize, _: usize| {
            if done == last {
                wait_until(deadline);
            }
        };
        let environment = Environment { deadline: Some(deadline), ..ground.environment(&store, &on_step) };
        let outcome = committed.run(&environment).unwrap();
        assert_eq!((outcome.status, &outcome.reason), (RecoveryStatus::TakenBack, &Some(GaveUp::TimedOut)), "{last}");
        committed.finish(ground.tree.path(), outcome.status).unwrap();
        old.snapshot.assert_same(&ground.snapshot());
    }
}

#[test]
fn a_deadline_that_passes_when_all_is_in_its_place_changes_nothing_any_more() {
    let (ground, old, new) = two_states();
    let store = ground.store();
    let committed = ground.prepare(&ground.environment(&store, &|_, _| {}), &ground.plan(&old, &new), &new).unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    let environment = Environment { deadline: Some(deadline), ..ground.environment(&store, &|_, _| {}) };
    // It is called when all is flushed.
    let check = |_: &[wfr_model::TreePath]| {
        wait_until(deadline);
        true
    };
    let outcome = committed.run_checked(&environment, Some(&check)).unwrap();
    assert_eq!((outcome.status, &outcome.reason), (RecoveryStatus::Done, &None));
    committed.finish(ground.tree.path(), outcome.status).unwrap();
    new.snapshot.assert_same(&ground.snapshot());
}

#[test]
fn every_stage_is_counted_to_its_end() {
    let (ground, old, new) = two_states();
    let store = ground.store();
    let plan = ground.plan(&old, &new);
    let staged = plan.steps.iter().filter(|step| matches!(step.action, Action::Create | Action::Replace)).count();
    let progress = &ground.progress;
    assert_eq!(progress.stage(), None);
    let committed = ground.prepare(&ground.environment(&store, &|_, _| {}), &plan, &new).unwrap();
    assert_eq!((progress.stage(), progress.of(Stage::Staging)), (Some(Stage::Flushing), (staged, staged)));
    let on_step = |done: usize, all: usize| {
        assert_eq!((progress.stage(), progress.of(Stage::Steps)), (Some(Stage::Steps), (done, all)));
    };
    let outcome = committed.run(&ground.environment(&store, &on_step)).unwrap();
    let (settled, steps) = (progress.of(Stage::Settling), progress.of(Stage::Steps));
    assert_eq!((progress.stage(), settled.0, settled), (Some(Stage::Settling), settled.1, steps));
    committed.finish(ground.tree.path(), outcome.status).unwrap();
}

#[test]
fn a_deadline_that_is_over_stages_nothing() {
    let (ground, old, new) = two_states();
    let store = ground.store();
    let environment = Environment { deadline: Some(Instant::now()), ..ground.environment(&store, &|_, _| {}) };
    let refused = ground.prepare(&environment, &ground.plan(&old, &new), &new);
    assert!(matches!(refused, Err(PrepareError::TimedOut)));
    old.snapshot.assert_same(&ground.snapshot());
}

#[test]
fn a_checkout_over_its_deadline_leaves_nothing() {
    let (ground, _, new) = two_states();
    let store = ground.store();
    let dest = ground.beside().join("out");
    std::fs::create_dir_all(&dest).unwrap();
    let checkout = Checkout {
        objects: &store,
        tree: new.tree,
        root: None,
        links: new.links.clone(),
        leave_out: std::collections::HashSet::new(),
        damaged: &std::collections::HashSet::new(),
        with_owner: false,
        threads: 1,
        abort: &NEVER,
        deadline: Some(Instant::now()),
        bytes_done: &AtomicU64::new(0),
    };
    assert!(matches!(checkout.run(&dest), Err(CheckoutError::TimedOut)));
    assert_eq!(std::fs::read_dir(&dest).unwrap().count(), 0);
}
