//! A workspace whose own directory has a mode by which its owner does not write in it.
//!
//! Owns what recoveries do there. Refuses to know how a directory is made writable for the moment.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use wfr_testkit::TestTree;

use crate::nobody::{Nobody, give_away};
use crate::world::World;

fn set_mode(world: &World, mode: u32) {
    std::fs::set_permissions(world.root(), Permissions::from_mode(mode)).unwrap();
}

fn mode(world: &World) -> u32 {
    std::fs::metadata(world.root()).unwrap().permissions().mode() & 0o7777
}

fn staging(world: &World) -> PathBuf {
    world.tree.at(".wfr-staging")
}

/// A checkpoint `shut` of a directory that nobody writes in, which was opened and worked in since.
fn opened_again() -> Option<(World, Nobody)> {
    let world = World::unprotected(TestTree::new());
    let nobody = Nobody::of(&world)?;
    world.tree.write("a", b"1");
    give_away(world.root());
    set_mode(&world, 0o500);
    assert_eq!(nobody.call(&world, &["create-checkpoint", "wf", "--name", "shut"]).0, 0);
    set_mode(&world, 0o755);
    world.tree.write("a", b"2");
    give_away(world.root());
    Some((world, nobody))
}

const SKIPPED: &str = "acting as a user without privileges needs root";

/// How it stands now, and that nothing is left behind.
#[track_caller]
fn assert_is(world: &World, nobody: &Nobody, content: &[u8], wanted: u32) {
    assert_eq!((world.tree.read("a").as_slice(), mode(world)), (content, wanted));
    assert!(!staging(world).exists(), "a staging directory is left");
    let (code, json) = nobody.call(world, &["doctor"]);
    assert!(code == 0 && !json.to_string().contains("LEFTOVERS"), "{json}");
}

#[test]
fn recoveries_to_it_from_it_and_in_it_leave_nothing_there() {
    let Some((world, nobody)) = opened_again() else { return wfr_testkit::skip(SKIPPED) };
    let ok = |arguments: &[&str]| {
        let (code, json) = nobody.call(&world, arguments);
        assert_eq!(code, 0, "{json}");
    };
    ok(&["restore", "wf", "shut", "--yes"]);
    assert_is(&world, &nobody, b"1", 0o500);
    ok(&["undo", "--yes"]);
    assert_is(&world, &nobody, b"2", 0o755);
    ok(&["restore", "wf", "shut", "--yes"]);
    world.tree.write("a", b"3");
    give_away(world.root());
    ok(&["restore", "wf", "shut", "--yes"]);
    assert_is(&world, &nobody, b"1", 0o500);
}

#[test]
fn one_whose_process_died_while_it_was_lifted_gets_its_mode_again() {
    let Some((world, nobody)) = opened_again() else { return wfr_testkit::skip(SKIPPED) };
    let (journal, aside) = (world.vault().join("journal"), world.data.path().join("aside"));
    std::fs::create_dir(&aside).unwrap();
    give_away(&aside);
    let keep = format!("cp '{}'/*.ready '{}'", journal.display(), aside.display());
    assert_eq!(nobody.call(&world, &["restore", "wf", "shut", "--yes", "--functional-check", &keep]).0, 0);
    let record = std::fs::read_dir(&aside).unwrap().next().unwrap().unwrap().path();
    let put_back = |is_noted: bool| {
        let ready = journal.join(record.file_name().unwrap());
        std::fs::copy(&record, &ready).unwrap();
        if is_noted {
            std::fs::write(ready.with_extension("lifted"), b"").unwrap();
        }
        give_away(&journal);
        set_mode(&world, 0o700);
        assert_eq!(nobody.call(&world, &["resume"]).0, 0);
        assert_eq!(std::fs::read_dir(&journal).unwrap().count(), 0);
        mode(&world)
    };
    assert_eq!(put_back(true), 0o500);
    // Where none had lifted it, somebody has opened it since.
    assert_eq!(put_back(false), 0o700);
}

#[test]
fn a_staging_directory_that_was_left_is_named_and_removed() {
    let Some((world, nobody)) = opened_again() else { return wfr_testkit::skip(SKIPPED) };
    std::fs::create_dir(staging(&world)).unwrap();
    std::fs::write(staging(&world).join(".gitignore"), b"*\n").unwrap();
    give_away(world.root());
    set_mode(&world, 0o500);
    let findings = nobody.call(&world, &["doctor"]).1["result"]["findings"].to_string();
    assert!(findings.contains("LEFTOVERS") && findings.contains(".wfr-staging is left"), "{findings}");
    assert_eq!(nobody.call(&world, &["resume"]).0, 0);
    assert_is(&world, &nobody, b"2", 0o500);
}
