//! Places of the environment and of the workspace that are not what they should be: told with their names, and nothing is lost.
//!
//! Owns a file in the view's place. Refuses to know where things are by default.

use wfr_testkit::TestTree;

use crate::world::{World, ended};

#[test]
fn a_file_in_the_place_of_the_view_is_named_and_kept() {
    for place in [".claude/recovery", ".claude"] {
        let world = World::unprotected(TestTree::of_every_kind());
        let named = world.tree.at(place);
        world.tree.write(place, b"mine");
        let refused = |call: &[&str]| {
            let refused = world.refused(call, 7, "IO_ERROR");
            let told = format!("{} {}", refused.json["error"], refused.json["recovery_options"]);
            assert!(
                told.contains("is not a directory") && told.contains("move ") && told.contains("`wfr init`"),
                "{told}"
            );
            assert!(told.contains(named.to_str().unwrap()) && !told.contains("chmod"), "{told}");
            assert_eq!(world.tree.read(place), b"mine");
        };
        refused(&["init"]);
        std::fs::remove_file(&named).unwrap();
        world.ok(&["init"]);
        world.checkpoint("base");
        std::fs::remove_dir_all(&named).unwrap();
        world.tree.write(place, b"mine");
        world.tree.write("a.txt", b"late");
        for call in [&["init"][..], &["create-checkpoint", "wf"], &["restore", "wf", "base", "--yes"], &["config"]] {
            refused(call);
        }
        let found = world.refused(&["doctor"], 1, "UNHEALTHY").result("findings").to_string();
        assert!(
            found.contains(named.to_str().unwrap()) && found.contains("move ") && !found.contains("chmod"),
            "{found}"
        );
        assert_eq!((world.names(), world.tree.read("a.txt")), (vec!["base".to_owned()], b"late".to_vec()));
        // What is advised helps.
        std::fs::rename(&named, world.tree.at("aside")).unwrap();
        world.ok(&["init"]);
        world.ok(&["doctor"]);
        assert_eq!(world.tree.read("aside"), b"mine");
        world.ok(&["restore", "wf", "base", "--yes"]);
    }
}

#[test]
fn a_file_that_is_no_view_hides_no_workspace_above_it() {
    let world = World::new();
    world.tree.write("inner/.claude", b"mine");
    let mut below = world.command(&["create-checkpoint", "wf", "--name", "base", "--json"]);
    assert_eq!(ended(below.current_dir(world.tree.at("inner")).output().unwrap()).code, 0);
}
