//! What a restore does about damage, too little room, and a check that does not end: as its parameters say.
//!
//! Owns these ends. Refuses to know how damage is found.

use crate::integrity::damage;
use crate::mount::Mount;
use crate::world::World;

/// A workspace whose checkpoint `base` has a damaged file, and the bytes that it had.
fn damaged() -> (World, Vec<u8>) {
    let world = World::new();
    let noise = wfr_testkit::Prng::new(9).bytes(5_000);
    world.tree.write("noise", &noise);
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    damage(&world, &noise);
    (world, noise)
}

const CALL: [&str; 6] = ["restore", "wf", "base", "--yes", "--checksum-validation", "--error-handling"];

#[test]
fn damage_is_repaired_from_the_file_that_still_has_the_bytes() {
    let (world, noise) = damaged();
    let done = world.ok(&[&CALL[..], &["repair"]].concat());
    assert_eq!(done.result("validation_results")["integrity_check"], "passed");
    assert_eq!(world.tree.read("a.txt"), b"a0\n");
    // What was stored again is in the store, and not only in the file.
    world.tree.remove("noise");
    world.ok(&["validate-checkpoint", "base", "--validation-level", "comprehensive"]);
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(world.tree.read("noise"), noise);
}

#[test]
fn what_cannot_be_repaired_and_what_is_to_abort_changes_nothing() {
    let (world, _) = damaged();
    world.tree.write("noise", b"edited, too");
    let before = world.snapshot();
    for handling in ["repair", "abort"] {
        let call = [&CALL[..], &[handling]].concat();
        let refused = world.refused(&call, 4, "CHECKPOINT_INTEGRITY_FAILURE");
        assert!(refused.json["error"]["message"].as_str().unwrap().contains("`noise`"), "{refused:?}");
        before.assert_same(&world.snapshot());
        assert_eq!(world.names(), ["base"], "{handling}: nothing was saved, for nothing was to be changed");
    }
    // What the call says counts before what is configured.
    world.ok(&["config", "recovery_configuration.validation_settings.integrity_checking", "lenient"]);
    world.refused(&[&CALL[..], &["abort"]].concat(), 4, "CHECKPOINT_INTEGRITY_FAILURE");
    before.assert_same(&world.snapshot());
    let lenient = world.ok(&CALL[..5]);
    assert_eq!(lenient.result("kept")[0]["path"], "noise", "{lenient:?}");
    assert_eq!((world.tree.read("a.txt"), world.tree.read("noise")), (b"a0\n".to_vec(), b"edited, too".to_vec()));
}

#[test]
fn a_check_that_does_not_end_in_its_time_is_ended_and_the_tree_put_back() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let before = world.snapshot();
    let call =
        ["restore", "wf", "base", "--yes", "--functional-check", "sleep 1000", "--functional-check-timeout", "0s"];
    let refused = world.refused(&call, 1, "FUNCTIONAL_CHECK_FAILED");
    assert!(refused.json["error"]["details"].as_str().unwrap().contains("time was over"), "{refused:?}");
    assert_eq!(refused.result("recovery_status"), "taken_back");
    before.assert_same(&world.snapshot());
}

#[test]
fn a_restore_for_which_there_are_no_inodes_is_refused_before_anything_changes() {
    let world = World::new();
    let Some(mount) = Mount::new(&world.tree.at("small"), "16m,nr_inodes=40") else {
        return wfr_testkit::skip("this process may not mount");
    };
    for number in 0..20 {
        std::fs::write(mount.at(&format!("file-{number}")), number.to_string()).unwrap();
    }
    world.checkpoint("base");
    for number in 0..20 {
        std::fs::remove_file(mount.at(&format!("file-{number}"))).unwrap();
    }
    let fill = (0..).take_while(|number| std::fs::write(mount.at(&format!("other-{number}")), b"").is_ok()).count();
    assert!(fill < 40);
    let before = world.snapshot();
    let refused = world.call(&["restore", "wf", "base", "--yes"]);
    assert_eq!((refused.code, refused.error()), (7, "DISK_FULL"), "{refused:?}");
    assert!(refused.json["error"].to_string().contains("inodes"), "{refused:?}");
    before.assert_same(&world.snapshot());
    // What goes has not gone yet: each file that is staged needs one, and so does what they are staged in.
    let free = |number: usize| std::fs::remove_file(mount.at(&format!("other-{number}"))).unwrap();
    (0..24).for_each(free);
    let before = world.snapshot();
    let refused = world.refused(&["restore", "wf", "base", "--yes"], 7, "DISK_FULL");
    assert!(refused.json["error"]["message"].as_str().unwrap().contains("25 inodes"), "{refused:?}");
    before.assert_same(&world.snapshot());
    free(24);
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(std::fs::read(mount.at("file-7")).unwrap(), b"7");
}
