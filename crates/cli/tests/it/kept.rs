//! A restore during which a user edits a file: the edit stands, the restore is a success and says so.
//!
//! Owns the exit code and the words of that. Refuses to know at which step the edit came.

use serde_json::json;
use wfr_testkit::Prng;

use crate::catch::{catch, caught, ended};
use crate::world::World;

const FILES: usize = 400;
const EDITED: &str = "many/7";
const EDIT: &[u8] = b"the user's own words";

/// A workspace to be restored, in which many files and one more were changed.
fn changed() -> World {
    let world = World::new();
    let mut prng = Prng::new(8);
    for number in 0..FILES {
        world.tree.write(format!("many/{number}"), &prng.bytes(2_000));
    }
    world.checkpoint("base");
    for number in 0..FILES {
        world.tree.write(format!("many/{number}"), b"changed");
    }
    world
}

#[test]
fn a_restore_that_keeps_an_edit_is_a_success_that_names_it() {
    let (world, base, child) = caught(|| {
        let world = changed();
        let base = world.written_out("base");
        let staging = world.tree.at(".wfr-staging");
        let arguments = ["restore", "wf", "base", "--yes", "--exact-mtime"];
        let child = catch(&world, &arguments, &[world.root()], || staging.exists())?;
        if world.tree.read("many/0") != b"changed" {
            ended(child);
            return None;
        }
        Some((world, base, child))
    });
    world.tree.write(EDITED, EDIT);
    let (status, answer) = ended(child);
    assert_eq!((status.code(), &answer["status"], &answer["error"]), (Some(0), &json!("success"), &json!(null)));
    let result = &answer["result"];
    assert_eq!(result["recovery_status"], "done", "{answer:#}");
    let edits: Vec<_> = result["kept"].as_array().unwrap().iter().filter(|one| one["reason"] == "edited").collect();
    assert_eq!(edits, [&json!({"path": EDITED, "reason": "edited"})]);
    let told = format!("edited meanwhile, and the edits were kept: {EDITED}");
    assert!(answer["next_steps"].as_array().unwrap().contains(&json!(told)), "{answer:#}");
    assert_eq!(world.tree.read(EDITED), EDIT);
    let but_for_it = |path: &[u8]| path != EDITED.as_bytes();
    base.only(but_for_it).assert_same(&world.snapshot().only(but_for_it));
    world.ok(&["doctor"]);
    // What was kept was not changed, so there is nothing of it to be undone.
    world.ok(&["undo", "--yes"]);
    assert_eq!((world.tree.read(EDITED), world.tree.read("many/0")), (EDIT.to_vec(), b"changed".to_vec()));
}
