//! Every mutating system call of a recovery fails once, with four errors, and every step is the last of a process: the
//! tree is the old one or the new one, whole, and nothing is left behind.
//!
//! A process of its own, since the injection is global.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "../it/ground.rs"]
#[expect(dead_code, reason = "the other tests use more of it")]
mod ground;

mod beside_strace;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use wfr_model::recovery::RecoveryStatus;
use wfr_recovery::apply::{Committed, Environment};
use wfr_store::disk::faults;
use wfr_testkit::TestTree;

use ground::{Ground, State};

/// The injection is global: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

const EPERM: i32 = 1;
const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

/// A ground with an old state and a new one, at the old one, which has every kind of change to go through.
fn ground() -> (Ground, State, State) {
    let ground = Ground::new(TestTree::new());
    let tree = &ground.tree;
    for (name, text) in [("a", "new a"), ("b", "new b"), ("sub/c", "new c"), ("kind", "a file")] {
        tree.write(name, text.as_bytes());
    }
    tree.dir("empty");
    tree.symlink("link", b"a");
    tree.write("mode", b"mode");
    tree.set_mode("mode", 0o600);
    tree.write("pair", b"new pair");
    std::fs::hard_link(tree.at("pair"), tree.at("sub/twin")).unwrap();
    tree.set_mode("", 0o750);
    let new = ground.capture();
    tree.set_mode("", 0o700);
    tree.write("a", b"old a");
    tree.remove("b");
    tree.remove("empty");
    tree.remove("kind");
    tree.write("kind/is/a", b"directory");
    tree.remove("link");
    tree.symlink("link", b"sub");
    tree.set_mode("mode", 0o644);
    tree.write("only/old", b"goes");
    for name in ["pair", "sub/twin"] {
        tree.remove(name);
        tree.write(name, b"old and apart");
    }
    let old = ground.capture();
    (ground, old, new)
}

/// Runs and ends a recovery as far as it goes; returns how many displaced files it reports.
fn run(ground: &Ground, environment: &Environment<'_>, committed: Committed) -> usize {
    let Ok(outcome) = committed.run(environment) else { return 0 };
    let _ = committed.finish(ground.tree.path(), outcome.status);
    outcome.report.displaced.len()
}

/// The tree is one of the two states, whole.
fn assert_one_of(ground: &Ground, old: &State, new: &State, context: &str) -> &'static str {
    let (now, mode) = (ground.snapshot(), ground.root().mode);
    if new.snapshot.differences(&now).is_empty() {
        assert_eq!(mode, new.root.mode, "{context}");
        return "new";
    }
    assert_eq!(mode, old.root.mode, "{context}");
    let lines = old.snapshot.clone().without_dir_mtimes().differences(&now.clone().without_dir_mtimes());
    assert!(lines.is_empty(), "{context}: neither old {lines:#?} nor new {:#?}", new.snapshot.differences(&now));
    "old"
}

/// Nothing is left but displaced files of which the system would not say that nobody writes to them.
fn assert_clean(ground: &Ground, displaced: usize, context: &str) {
    let is_there = ground.tree.at(".wfr-staging").exists();
    assert_eq!(is_there, displaced > 0, "{context}: {displaced} displaced, staging directory there: {is_there}");
    assert!(!ground.is_committed(), "{context}: something is left in the journal");
}

#[test]
fn each_call_may_fail() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hits = 0;
    for errno in [EIO, ENOSPC, EMFILE, EPERM] {
        for number in 0.. {
            let (ground, old, new) = ground();
            let store = ground.store();
            let plan = ground.plan(&old, &new);
            let environment = ground.environment(&store, &|_, _| {});
            faults::arm(number, errno, false);
            let ended = ground.prepare(&environment, &plan, &new);
            let was_committed = ended.is_ok();
            let mut displaced = ended.map_or(0, |committed| run(&ground, &environment, committed));
            let (_, fired) = faults::disarm();
            let Some(name) = fired else { break };
            hits += 1;
            let context = format!("call {number} ({name}), errno {errno}");
            if !was_committed {
                assert!(!ground.is_committed(), "{context}: what was called off would be done later");
                let lines = old.snapshot.differences(&ground.snapshot());
                assert!(lines.is_empty(), "{context}: changed before the commit point: {lines:#?}");
            }
            displaced += ground.settle(false).iter().map(|outcome| outcome.report.displaced.len()).sum::<usize>();
            assert_one_of(&ground, &old, &new, &context);
            assert_clean(&ground, displaced, &context);
        }
    }
    assert!(hits > 200, "only {hits} faults happened");
}

#[test]
fn a_disk_that_stays_full_changes_nothing_or_is_completed_later() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hits = 0;
    for number in 0.. {
        let (ground, old, new) = ground();
        let store = ground.store();
        let plan = ground.plan(&old, &new);
        let environment = ground.environment(&store, &|_, _| {});
        faults::arm(number, ENOSPC, true);
        let ended = ground.prepare(&environment, &plan, &new);
        let mut displaced = ended.map_or(0, |committed| run(&ground, &environment, committed));
        let (_, fired) = faults::disarm();
        if fired.is_none() {
            break;
        }
        hits += 1;
        displaced += ground.settle(false).iter().map(|outcome| outcome.report.displaced.len()).sum::<usize>();
        let context = format!("all calls from {number} on");
        assert_one_of(&ground, &old, &new, &context);
        assert_clean(&ground, displaced, &context);
    }
    assert!(hits > 50, "only {hits} faults happened");
}

#[test]
fn links_that_cannot_be_read_any_more_keep_no_recovery_from_its_end() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hits = 0;
    for number in 0.. {
        let (ground, old, new) = ground();
        let store = ground.store();
        let environment = ground.environment(&store, &|_, _| {});
        let committed = ground.prepare(&environment, &ground.plan(&old, &new), &new).unwrap();
        faults::arm_all("readlink", number, EIO);
        let outcome = committed.run(&environment);
        let (_, fired) = faults::disarm();
        if fired.is_none() {
            break;
        }
        hits += 1;
        let context = format!("links from {number} on");
        let outcome = outcome.expect(&context);
        committed.finish(ground.tree.path(), outcome.status).unwrap();
        assert_clean(&ground, outcome.report.displaced.len(), &context);
        let stands = assert_one_of(&ground, &old, &new, &context);
        let is_back = outcome.status == RecoveryStatus::TakenBack;
        assert_eq!(stands, if is_back { "old" } else { "new" }, "{context}: {outcome:?}");
        assert_eq!(outcome.report.displaced.len(), 1, "{context}: the link of one of the sides is kept");
    }
    assert!(hits >= 2, "only {hits} faults happened");
}

#[test]
fn what_the_disk_does_not_take_back_is_named_and_kept_aside() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut partial = 0;
    for number in 0.. {
        let (ground, old, new) = ground();
        assert!(die_after(&ground, &old, &new, 9));
        let store = ground.store();
        let environment = ground.environment(&store, &|_, _| {});
        let committed = ground.reopen(&ground::id());
        faults::arm(number, EIO, false);
        let outcome = committed.take_back(&environment);
        let (_, fired) = faults::disarm();
        let Some(name) = fired else { break };
        let context = format!("call {number} ({name})");
        let Ok(outcome) = outcome else {
            // It has not ended: the next one does it.
            ground.settle(true);
            assert_eq!(assert_one_of(&ground, &old, &new, &context), "old");
            continue;
        };
        committed.finish(ground.tree.path(), outcome.status).unwrap();
        assert!(!ground.is_committed(), "{context}");
        let now = ground.snapshot();
        if outcome.status == RecoveryStatus::TakenBack {
            assert_eq!(assert_one_of(&ground, &old, &new, &context), "old");
            continue;
        }
        partial += 1;
        let failed: Vec<_> = outcome.report.failed.iter().map(|step| step.path.to_string()).collect();
        assert!(!failed.is_empty(), "{context}: {outcome:?}");
        for text in ["old a", "directory", "goes"] {
            let is_aside = |one: &wfr_model::recovery::Displaced| {
                std::fs::read(ground.tree.at(one.kept_at.to_string())).is_ok_and(|bytes| bytes == text.as_bytes())
            };
            let is_there = ["a", "kind/is/a", "only/old"]
                .iter()
                .any(|path| std::fs::read(ground.tree.at(path)).is_ok_and(|bytes| bytes == text.as_bytes()));
            assert!(is_there || outcome.report.displaced.iter().any(is_aside), "{context}: `{text}` is lost, {now:?}");
        }
    }
    assert!(partial >= 5, "only {partial} ended in part");
}

/// Runs a recovery whose process dies after `last` steps; `false` where it has no more than that.
fn die_after(ground: &Ground, old: &State, new: &State, last: usize) -> bool {
    let store = ground.store();
    let died = |done: usize, _: usize| assert!(done <= last, "died");
    let environment = ground.environment(&store, &died);
    let committed = ground.prepare(&environment, &ground.plan(old, new), new).unwrap();
    let ended = catch_unwind(AssertUnwindSafe(|| committed.run(&environment)));
    if let Ok(outcome) = &ended {
        committed.finish(ground.tree.path(), outcome.as_ref().unwrap().status).unwrap();
    }
    ended.is_err()
}

#[test]
fn a_process_may_die_after_any_step() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for take_back in [false, true] {
        let mut deaths = 0;
        for last in 0.. {
            let (ground, old, new) = ground();
            if !die_after(&ground, &old, &new, last) {
                break;
            }
            deaths += 1;
            assert!(ground.is_committed());
            let outcomes = ground.settle(take_back);
            assert_eq!(outcomes.len(), 1);
            let stands = assert_one_of(&ground, &old, &new, &format!("died after {last} steps, take back {take_back}"));
            assert_eq!(stands, if take_back { "old" } else { "new" });
            assert_clean(&ground, 0, "after a death");
        }
        assert!(deaths > 8, "only {deaths} deaths");
    }
}

#[test]
fn one_that_is_asked_back_wherever_it_died_is_whole() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut old_ones, mut new_ones) = (0, 0);
    for number in 0.. {
        let (ground, old, new) = ground();
        let store = ground.store();
        let environment = ground.environment(&store, &|_, _| {});
        let committed = ground.prepare(&environment, &ground.plan(&old, &new), &new).unwrap();
        // From that call on none does anything any more: it may be in the midst of the steps, or tidying up behind them.
        faults::arm(number, EIO, true);
        let ended = committed.run(&environment);
        let (_, fired) = faults::disarm();
        if fired.is_none() {
            break;
        }
        if ended.is_ok() || !ground.is_committed() {
            continue;
        }
        let outcomes = ground.settle(true);
        let context = format!("all calls from {number} on, then taken back");
        let stands = assert_one_of(&ground, &old, &new, &context);
        let is_back = outcomes[0].status == RecoveryStatus::TakenBack;
        assert_eq!(stands, if is_back { "old" } else { "new" }, "{context}: {:?}", outcomes[0]);
        assert!(outcomes[0].report.kept.is_empty(), "{context}: nobody edited anything: {:?}", outcomes[0]);
        *if is_back { &mut old_ones } else { &mut new_ones } += 1;
    }
    assert!(old_ones > 10 && new_ones > 5, "{old_ones} came back, {new_ones} stood");
}

/// Calls of one kind that fail for good, as opens do in a process without descriptors; it goes on with all others.
#[test]
fn one_that_runs_out_of_something_and_is_asked_back_is_whole() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut unfinished = 0;
    for name in ["open_dir", "open_at", "open_beneath", "rename", "unlink", "fsync", "syncfs", "mkdir", "rmdir"] {
        for number in 0.. {
            let (ground, old, new) = ground();
            let store = ground.store();
            let environment = ground.environment(&store, &|_, _| {});
            let committed = ground.prepare(&environment, &ground.plan(&old, &new), &new).unwrap();
            faults::arm_all(name, number, EMFILE);
            run(&ground, &environment, committed);
            let (_, fired) = faults::disarm();
            if fired.is_none() {
                break;
            }
            unfinished += u64::from(ground.is_committed());
            let outcomes = ground.settle(true);
            let context = format!("{name} from {number} on, then taken back");
            let stands = assert_one_of(&ground, &old, &new, &context);
            let is_back = outcomes.first().is_some_and(|outcome| outcome.status == RecoveryStatus::TakenBack);
            assert!(!is_back || stands == "old", "{context}: {outcomes:?}");
        }
    }
    assert!(unfinished > 20, "only {unfinished} were left unfinished");
}

#[test]
fn a_process_may_die_while_what_was_taken_back_is_tidied_up() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut old_ones, mut new_ones) = (0, 0);
    for number in 0.. {
        let (ground, old, new) = ground();
        let store = ground.store();
        let abort = AtomicBool::new(false);
        // Before the last step it gives up; from the call with that number on, none does anything any more.
        let give_up = |done: usize, all: usize| {
            if done + 1 == all {
                abort.store(true, Ordering::Relaxed);
                faults::arm(number, EIO, true);
            }
        };
        let environment = Environment { abort: &abort, ..ground.environment(&store, &give_up) };
        let committed = ground.prepare(&environment, &ground.plan(&old, &new), &new).unwrap();
        let mut displaced = run(&ground, &environment, committed);
        let (_, fired) = faults::disarm();
        if fired.is_none() {
            break;
        }
        displaced += ground.settle(false).iter().map(|outcome| outcome.report.displaced.len()).sum::<usize>();
        let context = format!("dead from call {number} on");
        match assert_one_of(&ground, &old, &new, &context) {
            "old" => old_ones += 1,
            _ => new_ones += 1,
        }
        assert_clean(&ground, displaced, &context);
    }
    assert!(old_ones > 5 && new_ones > 5, "{old_ones} were taken back, {new_ones} completed");
}

#[test]
fn a_disk_on_which_nothing_can_be_renamed_any_more_leaves_the_old_tree() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (ground, old, new) = ground();
    let store = ground.store();
    let environment = ground.environment(&store, &|_, _| {});
    let committed = ground.prepare(&environment, &ground.plan(&old, &new), &new).unwrap();
    faults::arm_all("rename", 0, EIO);
    let outcome = committed.run(&environment).unwrap();
    committed.finish(ground.tree.path(), outcome.status).unwrap();
    faults::disarm();
    assert_eq!(outcome.status, RecoveryStatus::TakenBack);
    assert_eq!(assert_one_of(&ground, &old, &new, "no rename"), "old");
    assert_clean(&ground, outcome.report.displaced.len(), "no rename");
}
