//! `wfr exec --writable`: a command that writes where it may, and nowhere else.

use std::process::Output;

use crate::injected::traced;
use crate::nobody::Nobody;
use crate::traced::can_trace;
use crate::work::paths;
use crate::world::World;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether this kernel confines at all; where it does not, that is said, and that nothing was run.
fn can_confine(world: &World) -> bool {
    let run = world.command(&["exec", "--writable", ".", "--", "true"]).output().unwrap();
    if run.status.success() {
        return true;
    }
    assert_eq!(run.status.code(), Some(125), "{run:?}");
    wfr_testkit::skip(&format!("confining: {}", said(&run)));
    false
}

#[test]
fn what_is_named_can_be_written_and_nothing_else() {
    let world = World::new();
    if !can_trace() || !can_confine(&world) {
        return;
    }
    world.put("in/old", "old");
    world.put("out/old", "old");
    world.put("single", "old");
    let outside = tempfile::tempdir().unwrap();
    let script = format!(
        "echo x > /dev/null && echo x > in/new && mv in/new in/moved && rm in/old && mkdir in/dir && echo x > single || exit 8
         echo x > out/new && exit 9; echo x >> out/old && exit 10; rm out/old 2> /dev/null && exit 11; mv in/moved out/ 2> /dev/null && exit 12
         ln in/moved out/linked 2> /dev/null && exit 13; echo x > {}/f && exit 14; mkdir out/dir 2> /dev/null && exit 15; rm single 2> /dev/null && exit 16
         sh -c 'echo x > out/deep' && exit 17; cat out/old > /dev/null || exit 18; exit 0",
        outside.path().display()
    );
    let words = ["exec", "--workflow", "wf", "--agent", "a", "--writable", "in", "single", "--", "sh", "-c", &script];
    let run = world.command(&words).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert_eq!(said(&run).matches("ermission denied").count(), 4, "{}", said(&run));
    let change = world.newest();
    assert_eq!(paths(&change["paths"]), ["in/dir", "in/moved", "in/old", "single"]);
    assert_eq!(change["source"], "traced");
    assert_eq!(world.text("out/old"), "old");
}

#[test]
fn its_streams_and_an_untraced_command_are_the_same() {
    let world = World::new();
    if !can_confine(&world) {
        return;
    }
    world.put("in/x", "x");
    let out = std::fs::File::create(world.root().join("out")).unwrap();
    let script = "echo through; echo x > in/y || exit 8; echo x > z 2> /dev/null && exit 9; exit 7";
    let words = ["exec", "--observed", "--writable", "in", "--", "sh", "-c", script];
    assert_eq!(world.command(&words).stdout(out).status().unwrap().code(), Some(7));
    assert_eq!((world.text("out"), world.has("in/y"), world.has("z")), ("through\n".to_owned(), true, false));
}

#[test]
fn also_by_who_has_no_privileges() {
    let world = World::unprotected(wfr_testkit::TestTree::of_every_kind());
    let Some(nobody) = Nobody::of(&world) else { return wfr_testkit::skip("setpriv cannot be used here") };
    if !can_confine(&World::new()) {
        return;
    }
    let script = "mkdir in/d || exit 8; mkdir d 2> /dev/null && exit 9; exit 0";
    let made = nobody.command(&world, &["exec", "--", "mkdir", "in"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let run = nobody.command(&world, &["exec", "--writable", "in", "--", "sh", "-c", script]).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
}

#[test]
fn what_cannot_be_confined_is_not_run() {
    let world = World::new();
    let words = ["exec", "--writable", "not-there", "--", "touch", "made"];
    let run = world.command(&words).output().unwrap();
    assert_eq!(run.status.code(), Some(125), "{run:?}");
    if can_confine(&world) {
        assert!(said(&run).contains("`not-there` cannot be made writable"), "{}", said(&run));
        assert!(said(&run).contains("make a new directory first"), "{}", said(&run));
    }
    assert!(!world.has("made"));
    let words = ["exec", "--writable", ".", "--", "touch", "made"];
    let Some(run) = traced(&world, &["-e", "inject=landlock_create_ruleset:error=EOPNOTSUPP"], &words) else {
        return wfr_testkit::skip("strace cannot be used here");
    };
    assert_eq!(run.status.code(), Some(125), "{run:?}");
    assert!(said(&run).contains("cannot confine") && said(&run).contains("leave `--writable` out"), "{}", said(&run));
    assert!(!world.has("made"));
    assert!(world.changes().iter().all(|change| change["ended_at"].is_string()));
}
