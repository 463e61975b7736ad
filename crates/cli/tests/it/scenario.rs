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
