//! Comparisons with what could not be read: it is neither new nor gone, and is named.
//!
//! Owns both sides of `diff` with holes in them. Refuses to know how a scan meets them.

use serde_json::{Value, json};
use wfr_testkit::{TestTree, skip};

use crate::nobody::{Nobody, give_away};
use crate::world::World;

/// A workspace of the plain user with a checkpoint `base` that saw `locked/inside`, and another, `gaps`, that could not enter
/// `locked`, which is shut.
fn shut() -> Option<(World, Nobody)> {
    let world = World::unprotected(TestTree::new());
    world.tree.write("a.txt", b"first\n");
    world.tree.write("locked/inside", b"1\n");
    let nobody = Nobody::of(&world)?;
    give_away(world.root());
    nobody.call(&world, &["create-checkpoint", "wf", "--name", "base"]);
    world.tree.set_mode("locked", 0o000);
    nobody.call(&world, &["create-checkpoint", "wf", "--name", "gaps"]);
    world.tree.write("a.txt", b"second\n");
    Some((world, nobody))
}

fn changes(shown: &Value) -> Vec<(&str, &str)> {
    let changes = shown["result"]["changes"].as_array().unwrap();
    changes.iter().map(|change| (change["path"].as_str().unwrap(), change["kind"].as_str().unwrap())).collect()
}

#[test]
fn what_one_side_could_not_read_is_neither_gone_nor_new() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become somebody else");
    }
    let Some((world, nobody)) = shut() else { return skip("setpriv cannot be used here") };
    let unlooked = |side: &str| json!({"path": "locked", "side": side, "reason": "unreadable"});
    let without_detail = |shown: &Value| {
        let mut found = shown["result"]["not_looked_at"].clone();
        for one in found.as_array_mut().unwrap() {
            assert!(one.as_object_mut().unwrap().remove("detail").is_some());
        }
        found
    };
    let (code, shown) = nobody.call(&world, &["diff", "base"]);
    assert_eq!((code, changes(&shown)), (0, vec![("a.txt", "modified")]), "{shown:#}");
    assert_eq!(without_detail(&shown), json!([unlooked("to")]));
    let (_, shown) = nobody.call(&world, &["diff", "base", "gaps"]);
    assert_eq!((changes(&shown), without_detail(&shown)), (vec![], json!([unlooked("to")])), "{shown:#}");
    let (_, shown) = nobody.call(&world, &["diff", "gaps", "base"]);
    assert_eq!((changes(&shown), without_detail(&shown)), (vec![], json!([unlooked("from")])), "{shown:#}");
    // Of what neither side looked at nothing is known, and a path below it is no slip.
    let (code, shown) = nobody.call(&world, &["diff", "gaps", "tree", "locked/inside"]);
    assert_eq!((code, changes(&shown)), (0, vec![]), "{shown:#}");
    let told = nobody.told(&world, &["diff", "base"]);
    assert!(told.contains("? locked  not looked at in tree: it cannot be read"), "{told}");
    assert!(!told.contains("D locked"), "{told}");
    let told = nobody.told(&world, &["diff", "base", "--name-only"]);
    assert!(told.contains("? locked\n"), "{told}");
    world.tree.set_mode("locked", 0o700);
    std::fs::remove_file(world.tree.at("locked/inside")).unwrap();
    let (_, shown) = nobody.call(&world, &["diff", "base"]);
    assert!(changes(&shown).contains(&("locked/inside", "removed")), "{shown:#}");
    assert_eq!(shown["result"]["not_looked_at"], json!([]));
}

#[test]
fn what_a_rule_leaves_out_of_one_side_is_not_gone() {
    let world = World::new();
    world.tree.write("cache/one", b"1");
    world.checkpoint("base");
    world.tree.write("cache/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n");
    world.ok(&["create-checkpoint", "wf", "--name", "tagged", "--accept-exclusions"]);
    let shown = world.ok(&["diff", "base", "tagged"]);
    assert_eq!(shown.result("changes"), &json!([]), "{shown:?}");
    let hidden = json!([{"path": "cache", "side": "to", "reason": "cachedir_tag"}]);
    assert_eq!(shown.result("not_looked_at"), &hidden, "{shown:?}");
}
