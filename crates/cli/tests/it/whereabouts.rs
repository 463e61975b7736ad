//! Places of the environment and of the workspace that are not what they should be: told with their names, and nothing is lost.
//!
//! Owns a file in the view's place, a relative home, and a second store. Refuses to know where things are by default.

use std::path::Path;

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

#[test]
fn a_relative_home_is_refused_and_nothing_is_made_there() {
    let world = World::unprotected(TestTree::of_every_kind());
    let call = |arguments: &[&str], data: Option<&Path>| {
        let mut command = world.command(arguments);
        command.env("HOME", "home").env_remove("XDG_DATA_HOME");
        command.envs(data.map(|data| ("XDG_DATA_HOME", data)));
        ended(command.arg("--json").output().unwrap())
    };
    for data in [None, Some(Path::new("data"))] {
        let refused = call(&["init"], data);
        assert_eq!((refused.code, refused.error()), (2, "INVALID_PARAMETER"), "{refused:?}");
        assert!(refused.json.to_string().contains("HOME is `home`"), "{refused:?}");
        assert!(
            !world.tree.at("home").exists() && !world.tree.at("data").exists() && !world.tree.at(".claude").exists()
        );
    }
    let made = call(&["init"], Some(world.data.path()));
    assert!(Path::new(made.result("store").as_str().unwrap()).is_absolute(), "{made:?}");
}

#[test]
fn a_relative_store_is_the_same_one_from_everywhere() {
    let world = World::unprotected(TestTree::of_every_kind());
    world.tree.write("deep/er/file", b"1");
    let mut command = world.command(&["init", "--json"]);
    let made = ended(command.env("WFR_STORE", "../elsewhere/of-wfr").output().unwrap());
    let store = made.result("store").as_str().unwrap().to_owned();
    assert!(Path::new(&store).is_absolute() && !store.contains(".."), "{made:?}");
    // One that an earlier version wrote down as relative is so to the workspace.
    let file = world.tree.at(".claude/recovery/config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&store, "../elsewhere/of-wfr")).unwrap();
    std::fs::remove_dir_all(world.data.path().join("wfr")).unwrap();
    let mut command = world.command(&["create-checkpoint", "wf", "--name", "base", "--json"]);
    let taken = ended(command.current_dir(world.tree.at("deep/er")).output().unwrap());
    assert_eq!(taken.code, 0, "{taken:?}");
    assert_eq!(world.names(), ["base"]);
    std::fs::remove_dir_all(store).unwrap();
}

#[test]
fn a_second_store_is_refused_and_the_one_in_use_is_named() {
    let world = World::new();
    world.checkpoint("base");
    let (own, other) = (world.vault(), world.data.path().join("other"));
    for is_view_there in [true, false] {
        if !is_view_there {
            std::fs::remove_dir_all(world.tree.at(".claude")).unwrap();
        }
        let by_flag = world.command(&["init", "--json", "--store", other.to_str().unwrap()]).output().unwrap();
        let by_variable = world.command(&["init", "--json"]).env("WFR_STORE", &other).output().unwrap();
        for output in [by_flag, by_variable] {
            let refused = ended(output);
            assert_eq!((refused.code, refused.error()), (5, "ALREADY_PROTECTED"), "{refused:?}");
            assert!(refused.json.to_string().contains(own.to_str().unwrap()), "{refused:?}");
            assert!(!other.exists());
        }
    }
    // Who means another one says so, and the first stays as it is.
    let made = world.ok(&["init", "--new-store", "--store", other.to_str().unwrap()]);
    assert_eq!(made.result("existed"), false);
    assert!(own.join("catalog.db").exists());
    assert_eq!(world.ok(&["doctor"]).result("checkpoints"), 0);
}
