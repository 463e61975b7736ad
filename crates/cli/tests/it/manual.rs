//! The script that gets files out of a vault without `wfr`: `docs/manual-recovery.py`.
//!
//! Owns that it does. Refuses to read a vault itself.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, OFlags};
use wfr_testkit::{Prng, Snapshot, skip};

use crate::integrity::damage;
use crate::world::World;

/// Whether the script's tools are there.
fn has_tools() -> bool {
    ["python3", "zstd"]
        .iter()
        .all(|tool| Command::new(tool).arg("--version").output().is_ok_and(|o| o.status.success()))
}

fn script(arguments: &[&Path]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manual-recovery.py");
    Command::new("python3").arg(script).args(arguments).output().unwrap()
}

/// What the script promises: hard links become files of their own, pipes and sockets are left out.
fn plain(snapshot: Snapshot) -> Snapshot {
    let mut plain = snapshot.without_specials().only(|path| !path.starts_with(b".claude"));
    plain.entries.values_mut().for_each(|entry| entry.same_as = None);
    plain
}

/// A tree with files that compress, that are in chunks, and a directory in parts.
fn of_every_coding() -> (World, Vec<u8>) {
    let world = World::new();
    let noise = Prng::new(9).bytes(5_000);
    world.tree.write("noise", &noise);
    world.tree.write("text", "a line that repeats itself\n".repeat(50_000).as_bytes());
    world.tree.write("chunks", &Prng::new(10).bytes(9 << 20));
    for number in 0..3_000 {
        world.tree.write(format!("wide/{number}"), format!("{number}").as_bytes());
    }
    (world, noise)
}

#[track_caller]
fn written(vault: &Path, name: &str) -> Snapshot {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let ended = script(&[vault, Path::new(name), &out]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    plain(Snapshot::of(&out))
}

#[test]
fn the_script_brings_every_file_back_also_after_a_cleanup() {
    if !has_tools() {
        return skip("python3 and zstd are not both installed");
    }
    let (world, _) = of_every_coding();
    world.checkpoint("gone");
    world.tree.write("noise", &Prng::new(11).bytes(3 << 20));
    let first = plain(world.snapshot());
    world.ok(&["create-checkpoint", "wf", "--name", "first", "--retention-policy", "permanent"]);
    world.tree.write("a.txt", b"edited");
    world.tree.remove("wide");
    let second = plain(world.snapshot());
    world.checkpoint("second");
    let vault = world.vault();
    let listed = String::from_utf8(script(&[&vault]).stdout).unwrap();
    let names: Vec<&str> = listed.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(names, ["gone", "first", "second"]);
    first.assert_same(&written(&vault, "first"));
    second.assert_same(&written(&vault, "second"));
    // What stays is packed again, and harder.
    world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1", "--compress-archived"]);
    assert_eq!(world.names(), ["first", "second"]);
    std::fs::remove_file(vault.join("catalog.db")).unwrap();
    first.assert_same(&written(&vault, "first"));
    second.assert_same(&written(&vault, "second"));
}

#[test]
fn the_script_gives_the_top_its_mode_and_time_and_writes_paths_of_any_length() {
    if !has_tools() {
        return skip("python3 and zstd are not both installed");
    }
    let world = World::new();
    let name = "d".repeat(250);
    let mut at = rustix::fs::open(world.root(), OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..20 {
        rustix::fs::mkdirat(&at, &name, Mode::from_raw_mode(0o755)).unwrap();
        at = rustix::fs::openat(&at, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    std::fs::write(format!("/proc/self/fd/{}/deep", at.as_raw_fd()), "deep").unwrap();
    std::fs::set_permissions(world.root(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::File::open(world.root()).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    let top = world.root().metadata().unwrap();
    world.checkpoint("base");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let ended = script(&[&world.vault(), Path::new("base"), &out]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let found = out.metadata().unwrap();
    assert_eq!((found.mode(), found.mtime()), (top.mode(), 1));
    let mut at = rustix::fs::open(&out, OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..20 {
        at = rustix::fs::openat(&at, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    assert_eq!(std::fs::read(format!("/proc/self/fd/{}/deep", at.as_raw_fd())).unwrap(), b"deep");
    let again = script(&[&world.vault(), Path::new("base"), &out]);
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && told.contains("does not exist yet") && !told.contains("Traceback"), "{told}");
}

#[test]
fn the_script_names_what_is_damaged_and_writes_the_rest() {
    if !has_tools() {
        return skip("python3 and zstd are not both installed");
    }
    let (world, noise) = of_every_coding();
    let mut rest = plain(world.snapshot());
    world.checkpoint("base");
    damage(&world, &noise);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let ended = script(&[&world.vault(), Path::new("base"), &out]);
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("LOST") && told.contains("noise"), "{told}");
    rest.entries.remove(&b"noise"[..]);
    rest.assert_same(&plain(Snapshot::of(&out)));
}

#[test]
fn the_script_reads_no_encrypted_vault_and_says_so() {
    if !has_tools() {
        return skip("python3 and zstd are not both installed");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("packs")).unwrap();
    std::fs::write(dir.path().join("format.json"), r#"{"encrypted": true}"#).unwrap();
    let ended = script(&[dir.path()]);
    assert!(!ended.status.success() && String::from_utf8_lossy(&ended.stderr).contains("encrypted"));
    assert!(String::from_utf8_lossy(&script(&[Path::new("/")]).stderr).contains("is no vault"));
}

#[test]
fn the_script_ends_quietly_where_its_reader_has_enough() {
    if !has_tools() {
        return skip("python3 and zstd are not both there");
    }
    let world = World::new();
    world.checkpoint("base");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manual-recovery.py");
    // The reader is gone before anything is written.
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let mut command = Command::new("python3");
    let ended = command.arg(script).arg(world.vault()).stdout(write).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), &*told), (Some(141), ""));
}
