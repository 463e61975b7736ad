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
