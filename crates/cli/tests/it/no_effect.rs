//! What would be taken without a word and have no effect, or one that nobody asked for, is refused.

use std::path::Path;

use wfr_testkit::TestTree;

use crate::world::World;

#[test]
fn no_archive_and_no_document_is_written_where_stores_and_views_are() {
    let world = World::new();
    world.checkpoint("base");
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t","agent_id":"a"}"#]);
    let vault = world.vault();
    let other = World::unprotected(TestTree::new());
    let far = other.data.path().join("far");
    other.ok(&["init", "--store", far.to_str().unwrap()]);
    let view = world.root().join(".claude/recovery");
    let kept = world.data.path().join("wfr/vaults");
    for dir in [&vault, &vault.join("packs"), &kept, &far.join("packs"), &view] {
        let place = dir.join("x.pack");
        for operation in ["backup-state", "export"] {
            let refused =
                world.refused(&[operation, "wf", "--output", place.to_str().unwrap()], 2, "INVALID_PARAMETER");
            assert!(refused.json.to_string().contains("wfr's own"), "{refused:?}");
        }
        assert!(!place.exists());
    }
    let elsewhere = world.data.path().join("x.archive");
    world.ok(&["backup-state", "wf", "--output", elsewhere.to_str().unwrap()]);
    world.ok(&["doctor"]);
}

#[test]
fn a_check_that_runs_nothing_is_no_check() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let restore = |more: &[&'static str]| [&["restore", "wf", "base", "--yes"], more].concat();
    for empty in ["", " \t"] {
        world.refused(&restore(&["--functional-check", empty]), 2, "INVALID_PARAMETER");
    }
    let refused = world.refused(&restore(&["--functional-check-timeout", "5s"]), 2, "WRONG_ARGUMENTS");
    assert!(refused.json.to_string().contains("--functional-check"), "{refused:?}");
    assert_eq!(world.tree.read("a.txt"), b"edited");
    world.ok(&restore(&["--functional-check", "true", "--functional-check-timeout", "5s"]));
}

#[test]
fn a_mistyped_page_makes_no_directory() {
    let world = World::new();
    let refused = world.refused(&["man", "restor"], 2, "UNKNOWN_OPERATION");
    let ways = refused.json["recovery_options"].to_string();
    assert!(ways.contains("`restore`") && ways.contains("`wfr man ./restor`"), "{ways}");
    world.refused(&["man", r#"{"directory":"nope"}"#], 2, "UNKNOWN_OPERATION");
    assert!(!world.tree.at("restor").exists() && !world.tree.at("nope").exists());
    let has_pages = |dir: &str| Path::new(&world.tree.at(dir)).join("wfr.1").exists();
    world.ok(&["man", "./restor"]);
    std::fs::create_dir(world.tree.at("there")).unwrap();
    world.ok(&["man", "there"]);
    assert!(has_pages("restor") && has_pages("there"));
}

#[test]
fn encryption_is_neither_added_to_a_store_nor_taken_from_it() {
    let mut world = World::unprotected(TestTree::new());
    let passphrase = world.data.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse\n").unwrap();
    world.variables = vec![("WFR_PASSPHRASE_FILE", passphrase)];
    world.ok(&["init", "--encrypt"]);
    let refused = world.refused(&["init", "--encrypt=false"], 5, "ALREADY_PROTECTED");
    assert!(refused.json.to_string().contains("is encrypted"), "{refused:?}");
    for again in [&["init"][..], &["init", "--encrypt"]] {
        assert_eq!(world.ok(again).result("encrypted"), true);
    }
    let plain = World::new();
    assert_eq!(plain.ok(&["init", "--encrypt=false"]).result("encrypted"), false);
    plain.refused(&["init", "--encrypt"], 5, "ALREADY_PROTECTED");
    let both =
        ["init", "--encrypt=false", "--recipients", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"];
    World::unprotected(TestTree::new()).refused(&both, 2, "WRONG_ARGUMENTS");
}
