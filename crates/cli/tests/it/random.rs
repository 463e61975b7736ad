//! Random trees and edits, shrunk to the smallest that fails: there, back, back again, beside.
//!
//! Owns the sequence. Refuses to choose trees by hand: see `exact`.

use proptest::prelude::*;
use proptest::test_runner::Config;
use wfr_testkit::{Prng, TestTree, TreeShape, edit_at_random, grow};

use crate::world::World;

/// As one message: what differs, after what.
fn same(
    step: &str,
    wanted: &wfr_testkit::Snapshot,
    found: &wfr_testkit::Snapshot,
    log: &[String],
) -> Result<(), TestCaseError> {
    let differences = wanted.differences(found);
    prop_assert!(differences.is_empty(), "{step}: {differences:#?} after {log:#?}");
    Ok(())
}

fn there_and_back(seed: u64, entries: usize, edits: usize, encrypted: bool) -> Result<(), TestCaseError> {
    let mut prng = Prng::new(seed);
    let mut world = World::unprotected(TestTree::new());
    if encrypted {
        let file = world.data.path().join("passphrase");
        std::fs::write(&file, "correct horse\n").unwrap();
        world.variables = vec![("WFR_PASSPHRASE_FILE", file)];
        world.ok(&["init", "--encrypt", "--keep-unlocked"]);
    } else {
        world.ok(&["init"]);
    }
    grow(&world.tree, &mut prng, TreeShape { entries, ..TreeShape::default() });
    let before = world.snapshot();
    world.checkpoint("base");
    let log: Vec<String> = (0..edits).map(|_| edit_at_random(&world.tree, &mut prng)).collect();
    let edited = world.snapshot();
    if before.differences(&edited).is_empty() {
        // A restore that has nothing to do is none, and leaves nothing to be undone.
        prop_assert_eq!(world.call(&["restore", "wf", "base", "--yes", "--exact-mtime"]).code, 0);
        return same("restore of what is there", &before, &world.snapshot(), &log);
    }
    for (step, arguments, wanted) in [
        ("restore", &["restore", "wf", "base", "--yes", "--exact-mtime"][..], &before),
        ("undo", &["undo", "--yes"], &edited),
        ("undo of the undo", &["undo", "--yes"], &before),
        ("undo of that", &["undo", "--yes"], &edited),
    ] {
        let ended = world.call(arguments);
        prop_assert_eq!(ended.code, 0, "{}: {:?} after {:#?}", step, ended, &log);
        same(step, wanted, &world.snapshot(), &log)?;
    }
    same("restore beside", &before, &world.written_out("base"), &log)
}

proptest! {
    #![proptest_config(Config {
        cases: 8,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn a_tree_goes_and_comes_back(seed: u64, entries in 1..60_usize, edits in 0..40_usize, encrypted: bool) {
        there_and_back(seed, entries, edits, encrypted)?;
    }
}

#[test]
fn fixed_seeds_go_and_come_back() {
    for seed in 100..108 {
        there_and_back(seed, 50, 30, seed % 4 == 0).unwrap();
    }
}

/// A directory whose time went with a file of which only one undo knew.
#[test]
fn times_of_directories_go_and_come_back_by_any_number_of_undos() {
    there_and_back(3_476_945_810_118_963_665, 13, 7, false).unwrap();
}
