//! A vault that lacks directories in which nothing was, as a copy easily does: each command works and makes them again.

use crate::world::World;

const DIRECTORIES: [&str; 5] = ["journal", "leases", "index", "cache", "keys"];

fn lose(world: &World, names: &[&str]) {
    names.iter().for_each(|name| std::fs::remove_dir_all(world.vault().join(name)).unwrap());
}

#[test]
fn any_command_works_without_them_and_makes_them_again() {
    let world = World::new();
    let before = world.snapshot();
    world.checkpoint("base");
    let lost: Vec<&[&str]> = DIRECTORIES.chunks(1).chain([&DIRECTORIES[..]]).collect();
    for lost in lost {
        for arguments in [
            &["doctor"][..],
            &["init"],
            &["list-checkpoints", "wf"],
            &["create-checkpoint", "wf"],
            &["validate-checkpoint", "wf", "base"],
            &["cleanup-checkpoints", "wf", "--dry-run"],
            &["restore", "wf", "base", "--yes", "--exact-mtime"],
            &["doctor", "--rebuild-catalog"],
        ] {
            world.tree.write("a.txt", b"edited");
            lose(&world, lost);
            world.ok(arguments);
            assert!(DIRECTORIES.iter().all(|name| world.vault().join(name).is_dir()), "{lost:?} {arguments:?}");
        }
        lose(&world, lost);
        let cat = world.command(&["cat", "base", "a.txt"]).output().unwrap();
        assert!(cat.status.success() && !cat.stdout.is_empty(), "{cat:?}");
        world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
        before.assert_same(&world.snapshot());
        world.ok(&["doctor"]);
    }
}

#[test]
fn a_vault_that_never_held_anything_may_lack_all_of_them() {
    let world = World::new();
    lose(&world, &DIRECTORIES);
    lose(&world, &["packs"]);
    world.ok(&["doctor"]);
    world.checkpoint("base");
    world.ok(&["validate-checkpoint", "wf", "base"]);
}
