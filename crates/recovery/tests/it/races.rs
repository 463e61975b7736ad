//! Users who go on working while a recovery runs: no byte of theirs is lost, nothing is followed out of the workspace.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use wfr_model::plan::KeptReason;
use wfr_recovery::apply::Outcome;
use wfr_testkit::TestTree;

use crate::ground::{Ground, State};

fn two_states(old: &[(&str, &str)], new: &[(&str, &str)]) -> (Ground, State, State) {
    let ground = Ground::new(TestTree::new());
    let write = |files: &[(&str, &str)]| files.iter().for_each(|(name, text)| ground.tree.write(name, text.as_bytes()));
    write(new);
    let goal = ground.capture();
    for (name, _) in new {
        ground.tree.remove(name);
    }
    write(old);
    let present = ground.capture();
    (ground, present, goal)
}

/// Runs a recovery; `meddle` is called between its commit point and its first step.
fn recover_while(ground: &Ground, old: &State, new: &State, meddle: impl FnOnce()) -> Outcome {
    let store = ground.store();
    let environment = ground.environment(&store, &|_, _| {});
    let committed = ground.prepare(&environment, &ground.plan(old, new), new).unwrap();
    meddle();
    let outcome = committed.run(&environment).unwrap();
    committed.finish(ground.tree.path(), outcome.status).unwrap();
    outcome
}

fn is_kept(outcome: &Outcome, path: &str) -> bool {
    outcome.report.kept.iter().any(|kept| kept.path.to_string() == path && kept.reason == KeptReason::Edited)
}

#[test]
fn an_edit_after_the_safety_checkpoint_is_kept_and_reported() {
    let (ground, old, new) = two_states(&[("a", "old"), ("b", "old")], &[("a", "new"), ("b", "new")]);
    let outcome = recover_while(&ground, &old, &new, || ground.tree.write("a", b"the user's"));
    assert_eq!(ground.tree.read("a"), b"the user's");
    assert_eq!(ground.tree.read("b"), b"new");
    assert!(is_kept(&outcome, "a"), "{outcome:?}");
}

#[test]
fn a_file_that_appears_where_one_is_to_be_made_stays() {
    let (ground, old, new) = two_states(&[("b", "old")], &[("a", "new"), ("b", "new")]);
    let outcome = recover_while(&ground, &old, &new, || ground.tree.write("a", b"the user's"));
    assert_eq!(ground.tree.read("a"), b"the user's");
    assert!(is_kept(&outcome, "a"), "{outcome:?}");
}

#[test]
fn a_file_that_is_to_go_and_was_edited_stays() {
    let (ground, old, new) = two_states(&[("a", "old"), ("b", "old")], &[("b", "new")]);
    let outcome = recover_while(&ground, &old, &new, || ground.tree.write("a", b"the user's"));
    assert_eq!(ground.tree.read("a"), b"the user's");
    assert!(is_kept(&outcome, "a"), "{outcome:?}");
}

#[test]
fn a_file_that_the_user_removed_or_renamed_is_not_brought_back_over_them() {
    let (ground, old, new) = two_states(&[("a", "old"), ("b", "old")], &[("a", "new"), ("b", "new")]);
    let outcome = recover_while(&ground, &old, &new, || {
        std::fs::rename(ground.tree.at("a"), ground.tree.at("renamed")).unwrap();
    });
    assert_eq!(ground.tree.read("renamed"), b"old");
    assert_eq!(ground.tree.read("b"), b"new");
    assert!(outcome.report.failed.is_empty(), "{outcome:?}");
}

#[test]
fn a_directory_that_is_to_go_and_got_a_file_stays_with_it() {
    let (ground, old, new) = two_states(&[("dir/a", "old"), ("b", "old")], &[("b", "old")]);
    let outcome = recover_while(&ground, &old, &new, || ground.tree.write("dir/mine", b"the user's"));
    assert_eq!(ground.tree.read("dir/mine"), b"the user's");
    assert!(!ground.tree.at("dir/a").exists());
    assert!(outcome.report.kept.iter().any(|kept| kept.reason == KeptReason::NotEmpty), "{outcome:?}");
}

#[test]
fn a_writer_that_keeps_its_file_open_loses_nothing() {
    let (ground, old, new) = two_states(&[("a", "old")], &[("a", "new")]);
    let mut writer = std::fs::OpenOptions::new().append(true).open(ground.tree.at("a")).unwrap();
    let outcome = recover_while(&ground, &old, &new, || {});
    writer.write_all(b" and more").unwrap();
    assert_eq!(ground.tree.read("a"), b"new");
    let displaced = outcome.report.displaced.first().unwrap();
    assert_eq!(ground.tree.read(displaced.kept_at.to_string()), b"old and more");
}

#[test]
fn a_link_put_in_the_place_of_a_directory_is_not_followed() {
    let outside = TestTree::new();
    outside.write("a", b"outside");
    let (ground, old, new) = two_states(&[("dir/a", "old"), ("b", "old")], &[("dir/a", "new"), ("b", "new")]);
    recover_while(&ground, &old, &new, || {
        std::fs::rename(ground.tree.at("dir"), ground.tree.at("moved")).unwrap();
        symlink(outside.path(), ground.tree.at("dir")).unwrap();
    });
    assert_eq!(outside.read("a"), b"outside");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(ground.tree.read("moved/a"), b"old");
}

#[test]
fn a_hard_link_from_outside_is_not_written_through() {
    let outside = TestTree::new();
    let (ground, old, new) = two_states(&[("a", "old")], &[("a", "new")]);
    std::fs::hard_link(ground.tree.at("a"), outside.at("a")).unwrap();
    recover_while(&ground, &old, &new, || {});
    assert_eq!((ground.tree.read("a"), outside.read("a")), (b"new".to_vec(), b"old".to_vec()));
}

#[test]
fn giving_up_after_the_commit_point_takes_everything_back() {
    let (ground, old, new) = two_states(&[("a", "old"), ("b", "old")], &[("a", "new"), ("b", "new"), ("c", "new")]);
    let store = ground.store();
    let abort = AtomicBool::new(false);
    let give_up = |done: usize, _: usize| abort.store(done >= 2, Ordering::Relaxed);
    let environment = wfr_recovery::apply::Environment { abort: &abort, ..ground.environment(&store, &give_up) };
    let committed = ground.prepare(&environment, &ground.plan(&old, &new), &new).unwrap();
    let outcome = committed.run(&environment).unwrap();
    committed.finish(ground.tree.path(), outcome.status).unwrap();
    assert_eq!(outcome.status, wfr_model::recovery::RecoveryStatus::TakenBack);
    old.snapshot.without_dir_mtimes().assert_same(&ground.snapshot().without_dir_mtimes());
}

#[test]
fn what_somebody_wrote_into_a_restored_file_survives_its_being_taken_back() {
    let (ground, old, new) = two_states(&[("a", "old"), ("c", "old")], &[("a", "new"), ("b", "new"), ("c", "new")]);
    let store = ground.store();
    let abort = AtomicBool::new(false);
    let write_and_give_up = |done: usize, _: usize| {
        if done == 2 {
            for name in ["a", "b"] {
                assert_eq!(ground.tree.read(name), b"new");
                let mut file = std::fs::OpenOptions::new().append(true).open(ground.tree.at(name)).unwrap();
                file.write_all(format!(" and more of {name}").as_bytes()).unwrap();
            }
            abort.store(true, Ordering::Relaxed);
        }
    };
    let environment =
        wfr_recovery::apply::Environment { abort: &abort, ..ground.environment(&store, &write_and_give_up) };
    let committed = ground.prepare(&environment, &ground.plan(&old, &new), &new).unwrap();
    let outcome = committed.run(&environment).unwrap();
    committed.finish(ground.tree.path(), outcome.status).unwrap();
    let texts = ["a", "b", "c"].map(|name| String::from_utf8(ground.tree.read(name)).unwrap());
    assert_eq!(texts, ["new and more of a", "new and more of b", "old"]);
    assert!(is_kept(&outcome, "a") && is_kept(&outcome, "b") && !is_kept(&outcome, "c"), "{outcome:?}");
}

#[test]
fn an_immutable_file_does_not_wedge_the_store() {
    let (ground, old, new) = two_states(&[("a", "old"), ("b", "old")], &[("a", "new"), ("b", "new")]);
    let file = ground.tree.at("b");
    let chattr = |flag: &str| std::process::Command::new("chattr").arg(flag).arg(&file).output();
    let store = ground.store();
    let environment = ground.environment(&store, &|_, _| {});
    let committed = ground.prepare(&environment, &ground.plan(&old, &new), &new).unwrap();
    if !chattr("+i").is_ok_and(|output| output.status.success()) {
        return wfr_testkit::skip("files cannot be made immutable here");
    }
    let outcome = committed.run(&environment);
    chattr("-i").unwrap();
    ground.settle(true);
    assert_eq!(outcome.unwrap().status, wfr_model::recovery::RecoveryStatus::TakenBack);
    old.snapshot.without_dir_mtimes().assert_same(&ground.snapshot().without_dir_mtimes());
}
