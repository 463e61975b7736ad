//! The scenario that rivals are measured by: two agents at work on a tree with git repositories, and the whole of it
//! taken back.
//!
//! Owns the calls of its scripts, in `tests/scenario`. Refuses to know what they check.

use std::path::{Path, PathBuf};
use std::process::Command;

use wfr_testkit::{Snapshot, TestTree, skip};

use crate::world::World;

/// Runs a script on a directory; what it printed.
fn script(name: &str, dir: &Path) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenario").join(name);
    let mut command = Command::new("bash");
    for name in ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"] {
        command.env(name, "test@localhost");
    }
    let output = command.arg(path).arg(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_restore_of_the_whole_tree_answers_every_point() {
    for tool in ["bash", "git"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return skip(&format!("{tool} is not installed"));
        }
    }
    let world = World::unprotected(TestTree::new());
    let dir = world.root().join("scenario");
    script("fidelity_make.sh", &dir);
    let place = dir.to_str().unwrap();
    world.ok(&["init", place]);
    world.ok(&["create-checkpoint", "wf", "--name", "base", "--workspace", place]);
    let before = Snapshot::of(&dir);
    script("fidelity_agent_a.sh", &dir);
    script("fidelity_agent_b.sh", &dir);
    assert_ne!(Snapshot::of(&dir), before);
    world.ok(&["restore", "wf", "base", "--exact-mtime", "--yes", "--workspace", place]);
    before.assert_same(&Snapshot::of(&dir));
    let points = script("fidelity_check.sh", &dir);
    let is_wrong = |line: &&str| line.trim_end().ends_with(" N");
    let wrong: Vec<&str> = points.lines().filter(is_wrong).map(|line| line.trim_end_matches([' ', 'N'])).collect();
    // B's work went back with the rest: the whole tree was asked for.
    assert_eq!(wrong, ["B's edit KEPT", "B's new file KEPT"], "{points}");
    assert!(points.lines().count() > 12, "{points}");
}

/// What the script of an agent does, as a change of its own.
fn as_change(world: &World, place: &str, agent: &str, work: impl FnOnce()) {
    let token = begun(world, place, agent);
    work();
    world.ok(&["change", "end", &token, "--workspace", place]);
}

fn begun(world: &World, place: &str, agent: &str) -> String {
    let call = ["change", "begin", "--workflow", "wf", "--agent", agent, "--workspace", place];
    world.ok(&call).result("token").as_str().unwrap().to_owned()
}

/// The scenario with both agents' work known; what it answers once A's is taken back.
fn rolled_back(name: &str, work: impl FnOnce(&World, &Path, &str)) -> Option<(String, World)> {
    for tool in ["bash", "git"] {
        if Command::new(tool).arg("--version").output().is_err() {
            skip(&format!("{tool} is not installed"));
            return None;
        }
    }
    let world = World::unprotected(TestTree::new());
    let dir = world.root().join(name);
    script("fidelity_make.sh", &dir);
    let place = dir.to_str().unwrap().to_owned();
    world.ok(&["init", &place]);
    world.ok(&["create-checkpoint", "wf", "--name", "base", "--workspace", &place]);
    std::fs::write(dir.join("both.txt"), (0..40).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    work(&world, &dir, &place);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes", "--workspace", &place]);
    Some((script("fidelity_check.sh", &dir), world))
}

fn edit_line(dir: &Path, line: usize, text: &str) {
    let place = dir.join("both.txt");
    let lines = std::fs::read_to_string(&place).unwrap();
    let lines = lines.lines().enumerate().map(|(at, old)| format!("{}\n", if at == line { text } else { old }));
    std::fs::write(&place, lines.collect::<String>()).unwrap();
}

#[test]
fn a_rollback_of_one_agent_keeps_the_others_work_in_every_point() {
    let work = |world: &World, dir: &Path, place: &str| {
        as_change(world, place, "a", || {
            script("fidelity_agent_a.sh", dir);
            edit_line(dir, 5, "by a");
        });
        as_change(world, place, "b", || {
            script("fidelity_agent_b.sh", dir);
            edit_line(dir, 30, "by b");
        });
    };
    let Some((points, world)) = rolled_back("in_sequence", work) else { return };
    assert!(!points.contains(" N"), "{points}");
    let both = std::fs::read_to_string(world.root().join("in_sequence/both.txt")).unwrap();
    assert!(both.contains("by b") && !both.contains("by a"), "{both}");
}

#[test]
fn agents_that_take_turns_are_told_apart() {
    let work = |world: &World, dir: &Path, place: &str| {
        as_change(world, place, "b", || edit_line(dir, 20, "by b first"));
        as_change(world, place, "a", || {
            script("fidelity_agent_a.sh", dir);
        });
        as_change(world, place, "b", || {
            script("fidelity_agent_b.sh", dir);
        });
        as_change(world, place, "a", || edit_line(dir, 5, "by a"));
    };
    let Some((points, world)) = rolled_back("in_turns", work) else { return };
    assert!(!points.contains(" N"), "{points}");
    let both = std::fs::read_to_string(world.root().join("in_turns/both.txt")).unwrap();
    assert!(both.contains("by b first") && !both.contains("by a"), "{both}");
}

#[test]
fn agents_that_overlap_keep_what_is_surely_the_others() {
    let work = |world: &World, dir: &Path, place: &str| {
        let a = begun(world, place, "a");
        script("fidelity_agent_a.sh", dir);
        let b = begun(world, place, "b");
        edit_line(dir, 5, "by one of them");
        world.ok(&["change", "end", &a, "--workspace", place]);
        script("fidelity_agent_b.sh", dir);
        world.ok(&["change", "end", &b, "--workspace", place]);
    };
    let Some((points, world)) = rolled_back("overlapping", work) else { return };
    assert!(!points.contains(" N"), "{points}");
    let both = std::fs::read_to_string(world.root().join("overlapping/both.txt")).unwrap();
    assert!(both.contains("by one of them"), "nothing tells whose it is: {both}");
}
