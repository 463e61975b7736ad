//! File systems mounted in the tree: nothing is written or removed on those that came after a checkpoint, and what fails on
//! one is told of it.
//!
//! Owns recoveries across mounts. Refuses to know how a plan is made.

use serde_json::{Value, json};

use crate::mount::Mount;
use crate::world::{Ended, World};

/// A checkpoint with a directory `mnt` that holds a file, over which a file system with a file of its own is mounted then.
fn covered() -> Option<(World, Mount)> {
    let world = World::new();
    world.tree.write("mnt/under", b"below the mount");
    world.tree.write("a.txt", b"first");
    let begun = world.ok(&["change", "begin", "--workflow", "wf", "--task", "t0", "--agent", "a"]);
    world.ok(&["change", "end", begun.result("token").as_str().unwrap()]);
    world.checkpoint("base");
    let mount = Mount::new(&world.root().join("mnt"), "1m")?;
    std::fs::create_dir(mount.at("deep")).unwrap();
    std::fs::write(mount.at("deep/inside"), b"on its own disk").unwrap();
    Some((world, mount))
}

fn skipped() {
    wfr_testkit::skip("this process may not mount");
}

/// What is left alone at a path, in the words of a plan or a result.
fn kept<'k>(of: &'k Value, path: &str) -> Option<&'k Value> {
    of["kept"].as_array().unwrap().iter().find(|kept| kept["path"] == path).map(|kept| &kept["reason"])
}

fn names_the_mount(ended: &Ended, of: &Value) {
    assert_eq!(kept(of, "mnt"), Some(&json!({"not_in_checkpoint": "mounted_since"})), "{ended:?}");
    assert!(of["findings"].to_string().contains("MOUNT_SINCE"), "{ended:?}");
    assert_eq!(kept(of, "mnt/deep/inside"), None, "the place is named once");
}

fn is_untouched(mount: &Mount) {
    assert_eq!(std::fs::read(mount.at("deep/inside")).unwrap(), b"on its own disk");
    assert!(!mount.at("under").exists());
}

#[test]
fn a_restore_leaves_what_was_mounted_since() {
    let Some((world, mount)) = covered() else { return skipped() };
    for more in [&[][..], &["--whole-tree"], &["--exact-mtime"]] {
        world.tree.write("a.txt", b"edited");
        let planned = world.ok(&[&["restore", "wf", "base", "--plan"], more].concat());
        let plan = planned.result("plan").clone();
        names_the_mount(&planned, &plan);
        assert!(!plan["steps"].to_string().contains("mnt"), "{planned:?}");
        let restored = world.ok(&[&["restore", "wf", "base", "--yes"], more].concat());
        names_the_mount(&restored, &restored.json["result"]);
        assert_eq!(world.tree.read("a.txt"), b"first");
        is_untouched(&mount);
    }
    // What goes away from there later does not come back: the recovery did not take it.
    std::fs::remove_file(mount.at("deep/inside")).unwrap();
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.tree.read("a.txt"), b"edited");
    assert!(!mount.at("deep/inside").exists());
    drop(mount);
    assert_eq!(world.tree.read("mnt/under"), b"below the mount");
}

#[test]
fn a_mount_point_that_the_checkpoint_has_not_stays() {
    let world = World::new();
    world.checkpoint("base");
    let Some(mount) = Mount::new(&world.root().join("new/mnt"), "1m") else { return skipped() };
    std::fs::write(mount.at("inside"), b"on its own disk").unwrap();
    world.tree.write("new/beside", b"goes");
    let restored = world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(kept(&restored.json["result"], "new"), Some(&json!("not_empty")), "{restored:?}");
    assert_eq!(std::fs::read(mount.at("inside")).unwrap(), b"on its own disk");
    assert!(!world.tree.at("new/beside").exists());
    // A checkpoint that sees it covers it.
    world.checkpoint("seen");
    std::fs::write(mount.at("inside"), b"edited").unwrap();
    world.ok(&["restore", "wf", "seen", "--yes"]);
    assert_eq!(std::fs::read(mount.at("inside")).unwrap(), b"on its own disk");
    let second = Mount::new(&world.root().join("new/mnt/second"), "1m").unwrap();
    std::fs::write(second.at("own"), b"of another disk").unwrap();
    std::fs::write(mount.at("inside"), b"edited").unwrap();
    world.ok(&["restore", "wf", "seen", "--yes"]);
    assert_eq!(std::fs::read(mount.at("inside")).unwrap(), b"on its own disk");
    assert_eq!(std::fs::read(second.at("own")).unwrap(), b"of another disk");
}

#[test]
fn the_other_modes_leave_what_was_mounted_since() {
    let Some((world, mount)) = covered() else { return skipped() };
    let restore = |more: &[&str]| world.ok(&[&["restore", "wf", "base", "--yes"], more].concat());
    let begun = world.ok(&["change", "begin", "--workflow", "wf", "--task", "t1", "--agent", "a"]);
    world.tree.write("a.txt", b"edited");
    world.ok(&["change", "end", begun.result("token").as_str().unwrap()]);
    let rules = r#"{"preservation_rules":{"preserve_external_changes":false}}"#;
    let selective = restore(&["--restoration-mode", "selective", rules]);
    assert_eq!(world.tree.read("a.txt"), b"first", "{selective:?}");
    is_untouched(&mount);
    world.tree.remove("a.txt");
    restore(&["--restoration-mode", "merge"]);
    assert_eq!(world.tree.read("a.txt"), b"first");
    is_untouched(&mount);
    world.tree.write("a.txt", b"edited");
    world.ok(&["partial-restore", "wf", "base", "--file", "mnt", "--file", "a.txt", "--yes"]);
    assert_eq!(world.tree.read("a.txt"), b"first");
    is_untouched(&mount);
    world.tree.write("a.txt", b"edited");
    world.ok(&["emergency-restore", "wf", "--use-latest-valid-checkpoint", "--yes"]);
    is_untouched(&mount);
}

#[test]
fn a_rollback_leaves_what_was_mounted_while_the_work_went_on() {
    let world = World::new();
    world.checkpoint("base");
    let begun = world.ok(&["change", "begin", "--workflow", "wf", "--task", "t1", "--agent", "a"]);
    let token = begun.result("token").as_str().unwrap().to_owned();
    let Some(mount) = Mount::new(&world.root().join("mnt"), "1m") else { return skipped() };
    std::fs::write(mount.at("inside"), b"on its own disk").unwrap();
    world.tree.write("work.txt", b"of the agent");
    world.ok(&["change", "end", &token]);
    let ended = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(!world.tree.at("work.txt").exists());
    assert_eq!(std::fs::read(mount.at("inside")).unwrap(), b"on its own disk");
    assert_eq!(kept(&ended.json["result"], "mnt/inside"), Some(&json!({"not_in_checkpoint": "mounted_since"})));
    // Where the last checkpoint before the work saw it, the work on it goes as any other.
    world.checkpoint("seen");
    let begun = world.ok(&["change", "begin", "--workflow", "wf", "--task", "t2", "--agent", "b"]);
    let token = begun.result("token").as_str().unwrap().to_owned();
    std::fs::write(mount.at("more"), b"of the other agent").unwrap();
    world.ok(&["change", "end", &token]);
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert!(!mount.at("more").exists());
    assert!(mount.at("inside").exists());
}

/// A checkpoint that sees a file system with two files, one of which is gone since.
fn lost_on(size: &str) -> Option<(World, Mount)> {
    let world = World::new();
    let mount = Mount::new(&world.root().join("mnt"), size)?;
    std::fs::write(mount.at("lost"), [7; 300_000]).unwrap();
    std::fs::write(mount.at("small"), b"small").unwrap();
    world.checkpoint("base");
    std::fs::remove_file(mount.at("lost")).unwrap();
    std::fs::write(mount.at("small"), b"edited").unwrap();
    Some((world, mount))
}

/// What is advised first after a refusal.
fn advice(refused: &Ended) -> String {
    refused.json["recovery_options"][0].as_str().unwrap().to_owned()
}

#[test]
fn a_full_mount_below_the_root_is_the_one_to_make_room_on() {
    let Some((world, mount)) = lost_on("1m") else { return skipped() };
    mount.fill();
    let refused = world.refused(&["restore", "wf", "base", "--yes"], 7, "DISK_FULL");
    assert!(refused.json["error"]["message"].as_str().unwrap().contains("`mnt`"), "{refused:?}");
    let advice = advice(&refused);
    assert!(advice.contains("`mnt`") && !advice.contains("cleanup-checkpoints"), "{advice}");
    std::fs::remove_file(mount.at("ballast")).unwrap();
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(std::fs::read(mount.at("lost")).unwrap(), [7; 300_000]);
}

#[test]
fn a_read_only_mount_below_the_root_is_the_one_to_remount() {
    let Some((world, mount)) = lost_on("1m") else { return skipped() };
    let remount = |how: &str| {
        let options = format!("remount,{how}");
        let done = std::process::Command::new("mount").args(["-o", &options]).arg(world.root().join("mnt")).status();
        assert!(done.unwrap().success());
    };
    remount("ro");
    world.tree.write("beside.txt", b"new");
    let before = world.snapshot();
    let refused = world.refused(&["restore", "wf", "base", "--yes"], 7, "PERMISSION_DENIED");
    assert!(refused.json["error"]["message"].as_str().unwrap().contains("`mnt`"), "{refused:?}");
    let advice = advice(&refused);
    assert!(advice.contains("`mnt`") && advice.contains("remount"), "{advice}");
    assert_eq!(world.snapshot(), before);
    remount("rw");
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(std::fs::read(mount.at("small")).unwrap(), b"small");
}

/// A workspace whose `mnt` is another directory, with a file in it, as a checkpoint saw it.
fn beside() -> Option<(World, tempfile::TempDir, Mount)> {
    let world = World::new();
    let disk = tempfile::tempdir().unwrap();
    std::fs::write(disk.path().join("data"), b"first").unwrap();
    std::fs::create_dir(world.root().join("mnt")).unwrap();
    let mount = Mount::bind(&world.root().join("mnt"), disk.path())?;
    world.checkpoint("base");
    Some((world, disk, mount))
}

#[test]
fn a_rollback_of_work_on_a_mount_that_is_gone_waits_for_it() {
    let Some((world, disk, mount)) = beside() else { return skipped() };
    let begun = world.ok(&["change", "begin", "--workflow", "wf", "--task", "t1", "--agent", "a"]);
    world.tree.write("a.txt", b"of the agent");
    std::fs::write(mount.at("data"), b"of the agent").unwrap();
    std::fs::write(mount.at("new"), b"of the agent").unwrap();
    world.ok(&["change", "end", begun.result("token").as_str().unwrap()]);
    drop(mount);
    let planned = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    assert_eq!(planned.result("plan")["conflicts"][0]["code"], "MOUNT_MISSING", "{planned:?}");
    world.refused(&["rollback", "wf", "--agent", "a", "--yes"], 5, "MOUNT_MISSING");
    // Nor is anything gone for those who look meanwhile, often.
    world.checkpoint("meanwhile");
    world.checkpoint("again");
    let log = world.ok(&["log"]).json.to_string();
    assert!(!log.contains("\"user\""), "nobody deleted anything: {log}");
    assert!(std::fs::read_dir(world.root().join("mnt")).unwrap().next().is_none());
    let _mount = Mount::bind(&world.root().join("mnt"), disk.path()).unwrap();
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(std::fs::read(disk.path().join("data")).unwrap(), b"first");
    assert!(!disk.path().join("new").exists());
    assert_ne!(world.tree.read("a.txt"), b"of the agent");
}

#[test]
fn an_undo_of_what_was_done_on_a_mount_that_is_gone_waits_for_it() {
    let Some((world, disk, mount)) = beside() else { return skipped() };
    std::fs::write(mount.at("data"), b"edited").unwrap();
    std::fs::write(mount.at("new"), b"new").unwrap();
    world.ok(&["restore", "wf", "base", "--yes"]);
    drop(mount);
    let planned = world.ok(&["undo", "--plan"]);
    assert_eq!(planned.result("plan")["conflicts"][0]["code"], "MOUNT_MISSING", "{planned:?}");
    world.refused(&["undo", "--yes"], 5, "MOUNT_MISSING");
    assert!(std::fs::read_dir(world.root().join("mnt")).unwrap().next().is_none());
    let mount = Mount::bind(&world.root().join("mnt"), disk.path()).unwrap();
    world.ok(&["undo", "--yes"]);
    assert_eq!(std::fs::read(disk.path().join("data")).unwrap(), b"edited");
    assert_eq!(std::fs::read(disk.path().join("new")).unwrap(), b"new");
    // Of a rollback, too; where the bare directory is meant, that is said.
    let begun = world.ok(&["change", "begin", "--workflow", "wf", "--task", "t1", "--agent", "a"]);
    std::fs::write(mount.at("data"), b"of the agent").unwrap();
    world.ok(&["change", "end", begun.result("token").as_str().unwrap()]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    drop(mount);
    world.refused(&["undo", "--yes"], 5, "MOUNT_MISSING");
    let meant = world.ok(&["undo", "--yes", "--allow-unmounted"]);
    assert!(meant.result("findings").to_string().contains("MOUNT_MISSING"), "{meant:?}");
    assert_eq!(std::fs::read(disk.path().join("data")).unwrap(), b"edited");
}

#[test]
fn a_file_that_is_mounted_over_is_left_and_the_rest_is_done() {
    let world = World::new();
    let other = tempfile::NamedTempFile::new().unwrap();
    world.tree.write("cfg.toml", b"of the checkpoint");
    world.checkpoint("base");
    let Some(_mount) = Mount::bind(&world.root().join("cfg.toml"), other.path()) else { return skipped() };
    for restore in [&["restore", "wf", "base"][..], &["emergency-restore", "wf"], &["partial-restore", "wf", "base"]] {
        std::fs::write(other.path(), b"of another disk").unwrap();
        world.tree.write("a.txt", b"edited");
        let part: &[&str] =
            if restore[0] == "partial-restore" { &["--file", "cfg.toml", "--file", "a.txt"] } else { &[] };
        let planned = world.ok(&[restore, part, &["--plan"]].concat());
        let reason = json!({"not_in_checkpoint": "mount_point"});
        assert_eq!(kept(planned.result("plan"), "cfg.toml"), Some(&reason), "{planned:?}");
        let restored = world.ok(&[restore, part, &["--yes"]].concat());
        assert_eq!(kept(&restored.json["result"], "cfg.toml"), Some(&reason), "{restored:?}");
        assert!(restored.result("findings").to_string().contains("MOUNT_OVER_FILE"), "{restored:?}");
        assert_ne!(world.tree.read("a.txt"), b"edited");
        assert_eq!(std::fs::read(other.path()).unwrap(), b"of another disk");
    }
}

#[test]
fn what_is_left_alone_is_named_where_nothing_is_to_be_done() {
    let world = World::new();
    world.tree.write("p", b"a file");
    world.checkpoint("base");
    world.tree.remove("p");
    let Some(_mount) = Mount::new(&world.root().join("p"), "1m") else { return skipped() };
    let restored = world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(restored.json["result"]["changed"], json!([]), "{restored:?}");
    names_the_mount_at(&restored, "p");
    let done = restored.json["next_steps"].to_string();
    assert!(done.contains("all but what is left alone"), "{done}");
}

fn names_the_mount_at(ended: &Ended, path: &str) {
    assert_eq!(kept(&ended.json["result"], path), Some(&json!({"not_in_checkpoint": "mounted_since"})), "{ended:?}");
}

#[test]
fn what_stands_in_the_bare_directory_below_a_mount_stays_in_need() {
    let Some((world, _disk, mount)) = beside() else { return skipped() };
    drop(mount);
    world.tree.write("mnt/own", b"never on the mount");
    world.tree.write("mnt/deep/own", b"never on the mount");
    let restored = world.ok(&["emergency-restore", "wf", "--yes"]);
    let reason = json!({"not_in_checkpoint": "not_mounted"});
    assert_eq!(kept(&restored.json["result"], "mnt/own"), Some(&reason), "{restored:?}");
    assert!(restored.result("findings").to_string().contains("MOUNT_MISSING"), "{restored:?}");
    assert_eq!(world.tree.read("mnt/own"), b"never on the mount");
    assert_eq!(world.tree.read("mnt/deep/own"), b"never on the mount");
    assert_eq!(world.tree.read("mnt/data"), b"first");
    world.ok(&["undo", "--yes"]);
    assert!(world.tree.at("mnt/own").exists() && !world.tree.at("mnt/data").exists());
}

#[test]
fn another_file_system_at_the_same_place_keeps_what_it_has() {
    let world = World::new();
    let Some(first) = Mount::new(&world.root().join("mnt"), "1m") else { return skipped() };
    std::fs::write(first.at("inside"), b"of the first").unwrap();
    let made = world.checkpoint("base");
    let shown = world.ok(&["show", made.result("checkpoint_id").as_str().unwrap()]);
    let state = &shown.result("checkpoint")["file_system_state"];
    if state["mounted_file_systems"]["mnt"].is_null() {
        return wfr_testkit::skip("this kernel gives a tmpfs no id");
    }
    std::fs::write(first.at("later"), b"goes").unwrap();
    let same = world.ok(&["restore", "wf", "base", "--yes"]);
    assert!(!same.result("findings").to_string().contains("MOUNT_OTHER"), "{same:?}");
    assert!(!first.at("later").exists());
    drop(first);
    let second = Mount::new(&world.root().join("mnt"), "1m").unwrap();
    std::fs::write(second.at("own"), b"of the second").unwrap();
    let restored = world.ok(&["restore", "wf", "base", "--yes"]);
    assert!(restored.result("findings").to_string().contains("MOUNT_OTHER"), "{restored:?}");
    names_the_mount_at(&restored, "mnt/own");
    assert_eq!(std::fs::read(second.at("own")).unwrap(), b"of the second");
    assert_eq!(std::fs::read(second.at("inside")).unwrap(), b"of the first");
}

#[test]
fn a_file_system_without_bounds_is_not_full() {
    let world = World::new();
    let Some(mount) = Mount::without_bounds(&world.root().join("mnt")) else { return skipped() };
    std::fs::write(mount.at("inside"), b"first").unwrap();
    world.checkpoint("base");
    std::fs::write(mount.at("inside"), b"edited").unwrap();
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(std::fs::read(mount.at("inside")).unwrap(), b"first");
}
