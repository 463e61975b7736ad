//! A standard output that takes nothing: what could not be said is told by the exit code, and by standard error.
//!
//! Owns full devices and readers that go away. Refuses to know what is said.

use std::process::{Command, Output};

use crate::world::World;

/// Calls `wfr` by a shell that redirects standard output so.
fn redirected(world: &World, arguments: &[&str], redirection: &str) -> Output {
    let call = world.command(arguments);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}")]).arg(call.get_program()).args(call.get_args());
    shell.envs(call.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(world.root());
    shell.output().unwrap()
}

#[test]
fn who_cannot_be_told_gets_an_error() {
    let world = World::new();
    world.tree.write("a.txt", b"one");
    world.checkpoint("base");
    world.tree.write("a.txt", b"two");
    for arguments in [
        &["cat", "base", "a.txt"][..],
        &["list-checkpoints"],
        &["show", "base"],
        &["diff", "base"],
        &["recoveries"],
        &["doctor"],
        &["schema", "restore"],
        &["--version"],
    ] {
        for json in [&[][..], &["--json"]] {
            let arguments = [arguments, json].concat();
            let ended = redirected(&world, &arguments, ">/dev/full");
            let told = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status.code(), Some(7), "{arguments:?}: {told}");
            assert!(told.contains("Error: "), "{arguments:?}: {told}");
            // Who asks for silence gets it, and so does a reader that has enough.
            for place in [">/dev/null", "| true"] {
                let ended = redirected(&world, &arguments, place);
                assert_eq!(ended.status.code(), Some(0), "{arguments:?} {place}: {ended:?}");
                assert_eq!(ended.stderr, b"", "{arguments:?} {place}");
            }
        }
    }
    // One that was opened for reading and writing is as good, and so is a call that has nothing to say.
    assert_eq!(redirected(&world, &["cat", "base", "a.txt"], "1<>/dev/null").status.code(), Some(0));
    world.tree.write("none.txt", b"");
    world.checkpoint("second");
    assert_eq!(redirected(&world, &["cat", "second", "none.txt"], ">/dev/full").status.code(), Some(0));
}

#[test]
fn what_was_done_stays_done_where_nobody_can_be_told() {
    let world = World::new();
    let ended = redirected(&world, &["create-checkpoint", "wf", "--name", "base"], ">/dev/full");
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("what was done stays done"), "{ended:?}");
    assert_eq!(world.names(), ["base"]);
}
