//! Modes that somebody takes away and puts back beside other work, as a stash does: they go with whose they are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::work::numbered;
use crate::world::World;

fn mode(world: &World) -> u32 {
    fs::metadata(world.root().join("work/f.txt")).unwrap().permissions().mode() & 0o777
}

fn set_mode(world: &World, mode: u32) {
    fs::set_permissions(world.root().join("work/f.txt"), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_mode_that_a_popped_stash_brings_back_goes_with_whoever_set_it() {
    // C's edit, or one of the user's that is found with the stash.
    for is_agents in [true, false] {
        let world = World::with_lines();
        set_mode(&world, 0o644);
        world.checkpoint("plain");
        world.work("a", || set_mode(&world, 0o755));
        set_mode(&world, 0o644);
        let edited = numbered(&[(3, "since")]);
        match is_agents {
            true => drop(world.work("c", || world.put("work/f.txt", &edited))),
            false => {
                world.put("work/f.txt", &edited);
                world.checkpoint("by-the-user");
            }
        }
        set_mode(&world, 0o755);
        world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
        assert_eq!((mode(&world), world.text("work/f.txt")), (0o644, edited), "{is_agents}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(mode(&world), 0o755, "{is_agents}");
    }
}

#[test]
fn a_mode_that_somebody_else_sets_again_is_theirs() {
    let world = World::with_lines();
    set_mode(&world, 0o644);
    world.checkpoint("plain");
    world.work("a", || set_mode(&world, 0o755));
    set_mode(&world, 0o644);
    world.checkpoint("taken-away");
    world.work("c", || world.put("work/f.txt", &numbered(&[(3, "by c")])));
    world.work("d", || set_mode(&world, 0o755));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(mode(&world), 0o755);
}
