//! An `init` that is killed, and several at once: whatever was left, the next one ends with a workspace that works.
//!
//! Owns before which calls it is killed. Refuses to know what a vault looks like when it is half made.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use wfr_testkit::TestTree;

use crate::catch::{ended, spawn};
use crate::injected::traced;
use crate::world::World;

/// A pair made for these tests, of no other use.
const IDENTITY: &str = "AGE-SECRET-KEY-1H3MKGNZLUZ3ALNQD3YJ0L6N6JDTRE9PH9QSXVXRUDQXV98GXR9TSKM5WWJ";
const RECIPIENT: &str = "age1m4qnf97eetdrxccf6dkluphysfcakpdxhmt5zpvn2hxnldc923usfv9mzz";

const PLAIN: [&str; 1] = ["init"];
const ENCRYPTED: [&str; 3] = ["init", "--recipients", RECIPIENT];

/// Calls that change something, and every how many of them one is killed at: the catalog's writes are many and alike.
const CALLS: [(&str, usize); 9] = [
    ("?mkdir,mkdirat", 1),
    ("write", 1),
    ("fdatasync", 1),
    ("fsync", 2),
    ("renameat2", 1),
    ("?rename,?renameat", 1),
    ("?unlink,unlinkat", 1),
    ("fallocate", 1),
    ("pwrite64", 9),
];

fn unprotected() -> World {
    let mut world = World::unprotected(TestTree::new());
    world.tree.write("a.txt", b"a0\n");
    let identity = world.data.path().join("identity");
    std::fs::write(&identity, format!("{IDENTITY}\n")).unwrap();
    world.variables = vec![("WFR_IDENTITY_FILE", identity)];
    world
}

fn vaults(world: &World) -> Vec<PathBuf> {
    let vaults = std::fs::read_dir(world.data.path().join("wfr/vaults"));
    vaults.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// What is protected can be saved and brought back, in the one vault that there is.
#[track_caller]
fn check(world: &World, what: &str) {
    let before = world.snapshot();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited\n");
    world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    before.assert_same(&world.snapshot());
    assert_eq!(vaults(world).len(), 1, "{what}");
}

/// Kills `first` before every call that changes something, and then calls `second`; how many were killed.
fn killed_everywhere(first: &[&str], second: &[&str], is_encrypted: bool) -> Option<usize> {
    let mut count = 0;
    for (calls, step) in CALLS {
        for nth in (1..).step_by(step) {
            let world = unprotected();
            let inject = format!("inject={calls}:signal=KILL:when={nth}");
            let status = traced(&world, &["-e", &inject], &[&["--threads", "1"], first].concat())?.status;
            if status.signal() != Some(9) {
                assert!(status.success(), "{inject}: {status:?}");
                break;
            }
            count += 1;
            let mut made = world.call(second);
            if made.error() == "ALREADY_PROTECTED" && second != PLAIN {
                // The key is there: none is ever replaced, and the way on is the one that is told.
                assert!(made.json["recovery_options"].to_string().contains("leave `--recipients` out"), "{made:?}");
                made = world.call(&PLAIN);
            }
            assert_eq!(made.code, 0, "killed by {inject}: {made:?}");
            assert_eq!(made.result("encrypted"), is_encrypted, "{inject}");
            check(&world, &inject);
            world.ok(&["doctor"]);
        }
    }
    Some(count)
}

#[test]
fn one_that_was_killed_anywhere_is_completed_by_the_next() {
    let Some(count) = killed_everywhere(&PLAIN, &PLAIN, false) else {
        return wfr_testkit::skip("strace cannot be used here");
    };
    assert!(count > 30, "killed {count} times only");
}

#[test]
fn one_of_an_encrypted_store_that_was_killed_anywhere_is_completed_by_the_next() {
    let Some(count) = killed_everywhere(&ENCRYPTED, &ENCRYPTED, true) else {
        return wfr_testkit::skip("strace cannot be used here");
    };
    assert!(count > 30, "killed {count} times only");
}

#[test]
fn what_holds_nothing_yet_takes_no_decision() {
    // The format file has its name, and no catalog is there.
    let world = unprotected();
    let after_format = ["-e", "inject=fsync:signal=KILL:when=2"];
    let Some(killed) = traced(&world, &after_format, &PLAIN) else {
        return wfr_testkit::skip("strace cannot be used here");
    };
    assert_eq!(killed.status.signal(), Some(9));
    assert!(world.vault().join("format.json").exists());
    let made = world.ok(&ENCRYPTED);
    assert_eq!((made.result("encrypted"), made.result("existed")), (&true.into(), &false.into()));
    check(&world, "encrypted after all");
    world.refused(&ENCRYPTED, 5, "ALREADY_PROTECTED");
}

#[test]
fn of_several_at_once_one_makes_the_store_and_the_others_find_it() {
    for round in 0..10 {
        let world = unprotected();
        let all: Vec<_> = (0..4).map(|_| spawn(&world, &PLAIN)).collect();
        let all: Vec<_> = all.into_iter().map(ended).collect();
        assert!(all.iter().all(|(status, _)| status.success()), "{round}: {all:#?}");
        let made = all.iter().filter(|(_, answer)| answer["result"]["existed"] == false).count();
        assert_eq!(made, 1, "{round}: {all:#?}");
        check(&world, "several at once");
    }
}

#[test]
fn a_store_that_two_workspaces_want_at_once_is_given_to_one() {
    for round in 0..5 {
        let (one, mut other) = (unprotected(), unprotected());
        other.data = tempfile::tempdir().unwrap();
        let shared = tempfile::tempdir().unwrap();
        let store = shared.path().join("store");
        let arguments = ["init", "--store", store.to_str().unwrap()];
        let both = [spawn(&one, &arguments), spawn(&other, &arguments)].map(ended);
        let codes = both.each_ref().map(|(status, _)| status.code());
        assert!(matches!(codes, [Some(0), Some(5)] | [Some(5), Some(0)]), "{round}: {both:#?}");
        let refused = both.iter().find(|(status, _)| !status.success()).unwrap();
        assert_eq!(refused.1["error"]["code"], "ALREADY_PROTECTED");
        let kept = if codes[0] == Some(0) { &one } else { &other };
        kept.checkpoint("base");
    }
}

#[test]
fn a_store_that_holds_something_is_never_made_anew_and_the_hint_leads_to_it() {
    let world = unprotected();
    world.ok(&PLAIN);
    world.checkpoint("base");
    let vault = world.vault();
    std::fs::remove_dir_all(world.tree.at(".claude")).unwrap();
    std::fs::remove_dir_all(world.data.path().join("wfr/workspaces")).unwrap();
    std::fs::remove_file(vault.join("format.json")).unwrap();
    let refused = world.refused(&PLAIN, 4, "STORE_DAMAGED");
    let (root, store) = (world.root().to_str().unwrap(), vault.to_str().unwrap());
    let way = ["doctor", "--rebuild-catalog", "--workspace", root, "--store", store];
    let told = refused.json["recovery_options"].to_string();
    assert!(told.contains(&format!("`wfr {}`", way.join(" "))), "{told}");
    world.ok(&way);
    world.ok(&PLAIN);
    assert_eq!(world.names(), ["base"]);
}
