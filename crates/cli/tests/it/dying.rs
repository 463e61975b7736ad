//! Checkpoints, cleanups, imports and rebuilds that are killed or interrupted: what was acknowledged stays, the next
//! command needs no repair.
//!
//! Owns when each of them is caught. Refuses to know what they had done by then.

use std::path::PathBuf;
use std::process::Child;

use rustix::process::Signal;
use wfr_testkit::{Prng, Snapshot};

use crate::catch::{catch, caught, ended, kill, send};
use crate::world::World;

fn packs(world: &World) -> PathBuf {
    world.vault().join("packs")
}

/// The directory of the exported manifests.
const MANIFESTS: &str = ".claude/recovery/checkpoints/wf/manual";

/// Bytes of all packs.
fn pack_bytes(world: &World) -> u64 {
    let packs = std::fs::read_dir(packs(world));
    packs.into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

/// How much [`grown`] adds, in bytes that do not compress.
const GROWTH: u64 = 7_200_000;

/// A checkpoint `base`, then megabytes that it does not have.
fn grown() -> (World, Snapshot) {
    let world = World::new();
    world.tree.write("grown/first", b"1");
    let base = world.snapshot();
    world.checkpoint("base");
    let mut prng = Prng::new(6);
    for number in 0..GROWTH / 60_000 {
        world.tree.write(format!("grown/{number}"), &prng.bytes(60_000));
    }
    (world, base)
}

/// Starts a checkpoint and stops it when the packs have grown by so many bytes, and while some of [`GROWTH`] is still to
/// come: it may be past all that first.
fn create_stopped_at(world: &World, name: &str, bytes: u64) -> Option<Child> {
    let before = pack_bytes(world);
    let arguments = ["create-checkpoint", "wf", "--name", name];
    let child = catch(world, &arguments, &[&packs(world)], || pack_bytes(world) >= before + bytes)?;
    if pack_bytes(world) < before + GROWTH {
        return Some(child);
    }
    kill(child);
    None
}

#[track_caller]
fn assert_sound(world: &World, base: &Snapshot) {
    world.ok(&["doctor"]);
    for name in world.names() {
        world.ok(&["validate-checkpoint", "wf", &name, "--validation-level", "comprehensive"]);
    }
    base.assert_same(&world.written_out("base"));
}

#[test]
fn a_killed_checkpoint_is_not_there_and_harms_no_other() {
    for bytes in [1, 1_000_000, 5_000_000] {
        let (world, base, child) = caught(|| {
            let (world, base) = grown();
            let child = create_stopped_at(&world, "killed", bytes)?;
            Some((world, base, child))
        });
        kill(child);
        assert_eq!(world.names(), ["base"]);
        assert_sound(&world, &base);
        world.checkpoint("killed");
        world.snapshot().assert_same(&world.written_out("killed"));
        assert_sound(&world, &base);
    }
}

#[test]
fn an_interrupted_checkpoint_says_so_and_leaves_nothing() {
    let (world, base, child) = caught(|| {
        let (world, base) = grown();
        let child = create_stopped_at(&world, "interrupted", 500_000)?;
        Some((world, base, child))
    });
    send(&child, Signal::INT);
    let (status, answer) = ended(child);
    assert_eq!(status.code(), Some(130), "{answer:#}");
    assert_eq!((&answer["status"], &answer["error"]["code"]), (&"error".into(), &"INTERRUPTED".into()));
    assert_eq!(world.names(), ["base"]);
    assert_sound(&world, &base);
    world.checkpoint("again");
}

#[test]
fn a_killed_cleanup_loses_nothing_and_is_done_again() {
    for caught_at in 0..3 {
        let (world, base, child) = caught(|| {
            let (world, base) = grown();
            let mut prng = Prng::new(caught_at);
            for name in ["one", "two", "three"] {
                world.tree.write("noise", &prng.bytes(3_000_000));
                world.checkpoint(name);
            }
            world.tree.remove("noise");
            world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
            world.checkpoint("kept");
            let (before, names) = (pack_bytes(&world), pack_names(&world));
            let policy = r#"{"retention_policy": "last=1", "preserve_critical": false}"#;
            let dirs = [&*packs(&world), &world.tree.at(MANIFESTS)];
            let child = catch(&world, &["cleanup-checkpoints", "wf", policy], &dirs, || match caught_at {
                0 => !world.tree.at(MANIFESTS).join("one.ckpt").exists(),
                1 => pack_names(&world) != names,
                _ => pack_bytes(&world) < before,
            })?;
            Some((world, base, child))
        });
        kill(child);
        base.assert_same(&world.written_out("kept"));
        world.ok(&["doctor"]);
        world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1"]);
        for name in world.names() {
            world.ok(&["validate-checkpoint", "wf", &name, "--validation-level", "comprehensive"]);
        }
        base.assert_same(&world.written_out("kept"));
        world.ok(&["doctor"]);
    }
}

fn pack_names(world: &World) -> Vec<std::ffi::OsString> {
    let packs = std::fs::read_dir(packs(world));
    let mut names: Vec<_> = packs.into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_killed_import_and_a_killed_backup_leave_both_sides_whole() {
    let (from, _) = grown();
    from.checkpoint("grown");
    let archive = from.data.path().join("a.wfrarchive");
    let text = archive.to_str().unwrap();
    let child = caught(|| {
        let arguments = ["backup-state", "wf", "--output", text];
        let child = catch(&from, &arguments, &[from.data.path()], || data_grew(&from));
        if child.is_none() {
            std::fs::remove_file(&archive).unwrap();
        }
        child
    });
    kill(child);
    assert!(!archive.exists(), "an archive appears whole or not at all");
    from.ok(&["backup-state", "wf", "--output", text]);
    let (to, base, child) = caught(|| {
        let to = World::new();
        let base = to.snapshot();
        to.checkpoint("mine");
        let before = pack_bytes(&to);
        let child = catch(&to, &["import", text], &[&packs(&to)], || pack_bytes(&to) > before + 100_000)?;
        Some((to, base, child))
    });
    kill(child);
    assert_eq!(to.names(), ["mine"]);
    base.assert_same(&to.written_out("mine"));
    assert_eq!(to.ok(&["import", text]).result("imported").as_array().unwrap().len(), 2);
    from.written_out("grown").assert_same(&to.written_out("grown"));
    // What the killed one left is dropped, though the manifests of what came in since may be in it.
    to.ok(&["cleanup-checkpoints", "wf"]);
    let findings = to.ok(&["doctor"]).result("findings").to_string();
    assert!(!findings.contains("PACK_TAILS") && !findings.contains("UNCOMMITTED"), "{findings}");
    from.written_out("grown").assert_same(&to.written_out("grown"));
}

/// Whether something beside the vaults has more than a megabyte: the archive in the making.
fn data_grew(world: &World) -> bool {
    let entries = std::fs::read_dir(world.data.path()).unwrap().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).any(|meta| meta.is_file() && meta.len() > 1_000_000)
}

#[test]
fn a_killed_rebuild_is_done_again() {
    let (world, base, child) = caught(|| {
        let (world, base) = grown();
        world.checkpoint("grown");
        for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
            let _ = std::fs::remove_file(world.vault().join(name));
        }
        let vault = world.vault();
        let names = || std::fs::read_dir(&vault).unwrap().count();
        let before = names();
        let child = catch(&world, &["doctor", "--rebuild-catalog"], &[&vault], || names() > before)?;
        Some((world, base, child))
    });
    kill(child);
    world.ok(&["doctor", "--rebuild-catalog"]);
    assert_eq!(world.names(), ["base", "grown"]);
    world.snapshot().assert_same(&world.written_out("grown"));
    assert_sound(&world, &base);
}

#[test]
fn a_killed_undo_is_completed() {
    let (world, edited, child) = caught(|| {
        let (world, base) = grown();
        let edited = world.snapshot();
        world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
        base.assert_same(&world.snapshot());
        let grown = world.tree.at("grown");
        let child = catch(&world, &["undo", "--yes"], &[&grown], || grown.join("10").exists())?;
        if grown.join("99").exists() {
            ended(child);
            return None;
        }
        Some((world, edited, child))
    });
    kill(child);
    world.ok(&["resume"]);
    edited.assert_same(&world.snapshot());
    world.ok(&["doctor"]);
}
