//! A view that a plain user cannot enter: commands say what is shut and how it is opened, and never to protect it anew.
//!
//! Owns `.claude` and `.claude/recovery` without permissions. Refuses to know what is in them.

use serde_json::Value;
use wfr_testkit::{TestTree, skip};

use crate::nobody::Nobody;
use crate::world::World;

/// All that somebody is told of a call that failed.
fn told(ended: &Value) -> String {
    format!("{} {}", ended["error"], ended["recovery_options"])
}

#[test]
fn a_shut_view_is_to_be_opened_and_not_made_anew() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become somebody else");
    }
    let world = World::unprotected(TestTree::of_every_kind());
    let Some(nobody) = Nobody::of(&world) else { return skip("setpriv cannot be used here") };
    nobody.call(&world, &["create-checkpoint", "wf", "--name", "base"]);
    let signposts = world.data.path().join("wfr/workspaces");
    for is_signposted in [true, false] {
        if !is_signposted {
            std::fs::rename(&signposts, signposts.with_extension("away")).unwrap();
        }
        for shut in [".claude", ".claude/recovery"] {
            world.tree.set_mode(shut, 0o000);
            let named = format!("{}/{shut}", world.root().display());
            for call in [&["create-checkpoint", "wf"][..], &["restore", "wf", "base", "--yes"], &["init"]] {
                let (code, ended) = nobody.call(&world, call);
                assert_eq!((code, &ended["error"]["code"]), (7, &"PERMISSION_DENIED".into()), "{call:?} {ended:#}");
                let told = told(&ended);
                assert!(told.contains(&named) && told.contains("chmod"), "{call:?} {ended:#}");
                assert!(!told.contains("wfr init"), "{call:?} {ended:#}");
            }
            let (code, listed) = nobody.call(&world, &["list-checkpoints"]);
            assert_eq!(code, if is_signposted { 0 } else { 7 }, "{listed:#}");
            let (_, doctor) = nobody.call(&world, &["doctor"]);
            let all = doctor.to_string();
            assert!(all.contains("chmod") && all.contains(&named) && !all.contains("wfr init"), "{doctor:#}");
            // Naming the store is enough to read it.
            let vault = world.vault();
            let (code, listed) = nobody.call(&world, &["list-checkpoints", "--store", vault.to_str().unwrap()]);
            assert_eq!(code, 0, "{listed:#}");
            world.tree.set_mode(shut, 0o700);
        }
    }
    let (code, _) = nobody.call(&world, &["create-checkpoint", "wf", "--name", "again"]);
    assert_eq!(code, 0);
}

#[test]
fn an_undo_behind_a_directory_that_a_restore_shut_says_how_it_is_opened() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become somebody else");
    }
    let world = World::unprotected(TestTree::new());
    world.tree.write("it's/f", b"1");
    let Some(nobody) = Nobody::of(&world) else { return skip("setpriv cannot be used here") };
    world.tree.set_mode("it's", 0o600);
    nobody.call(&world, &["create-checkpoint", "wf", "--name", "shut"]);
    world.tree.set_mode("it's", 0o755);
    nobody.call(&world, &["create-checkpoint", "wf", "--name", "open"]);
    let open = world.snapshot();
    assert_eq!(nobody.call(&world, &["restore", "wf", "shut", "--yes"]).0, 0);
    let (code, ended) = nobody.call(&world, &["undo", "--yes"]);
    assert_eq!((code, &ended["error"]["code"]), (7, &"NOT_SAVED".into()), "{ended:#}");
    let hint = ended["recovery_options"][0].as_str().unwrap();
    let command = hint.split('`').nth(1).unwrap();
    assert_eq!(command, r"chmod u+rwX -- 'it'\''s'", "{ended:#}");
    // Followed, it works.
    let done = std::process::Command::new("sh").args(["-c", command]).current_dir(world.root()).status().unwrap();
    assert!(done.success());
    assert_eq!(nobody.call(&world, &["undo", "--yes"]).0, 0);
    open.assert_same(&world.snapshot());
}
