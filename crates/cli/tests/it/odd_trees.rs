//! Trees that are deep, sparse, unreadable, immutable, or that lead outside: named, restored, never followed.
//!
//! Owns making them. Refuses to know how the scan meets them.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat, unlinkat};
use serde_json::{Value, json};
use wfr_testkit::{TestTree, skip};

use crate::mount::Mount;
use crate::nobody::{Nobody, give_away};
use crate::world::{Ended, World};

/// The reason for which a path is not covered; empty where it is.
fn reason(made: &Ended, path: &str) -> String {
    let paths = made.result("coverage")["paths"].as_array().unwrap().clone();
    let found = paths.iter().find(|one| one["path"] == path).map(|one| one["reason"].as_str().unwrap().to_owned());
    found.unwrap_or_default()
}

fn open_dir(at: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    openat(at, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY, Mode::empty())
}

/// The name of every directory on the way down.
const DEEP: &str = "a-directory-with-a-name-that-takes-its-share-of-a-path";

/// Walks down, making what is missing where asked to; how deep it is, and the deepest directory.
fn descend(root: &Path, make: usize) -> (usize, OwnedFd) {
    let mut at = openat(CWD, root, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
    for depth in 0.. {
        if depth < make {
            mkdirat(&at, DEEP, Mode::RWXU).unwrap();
        }
        match open_dir(&at, DEEP) {
            Ok(below) => at = below,
            Err(_) => return (depth, at),
        }
    }
    unreachable!("no tree is endless")
}

/// Removes them from the bottom: by full paths it is too deep.
fn remove_deep(root: &Path) {
    let (depth, _) = descend(root, 0);
    let mut chain = vec![openat(CWD, root, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap()];
    for _ in 0..depth {
        chain.push(open_dir(chain.last().unwrap(), DEEP).unwrap());
    }
    while let Some(at) = chain.pop() {
        let _ = unlinkat(&at, "bottom", AtFlags::empty());
        if let Some(above) = chain.last() {
            unlinkat(above, DEEP, AtFlags::REMOVEDIR).unwrap();
        }
    }
}

#[test]
fn directories_deeper_than_any_path_come_back() {
    // Many times as long as a path of the system may be; below the usual limit of open files.
    const DEPTH: usize = 700;
    let world = World::new();
    let (_, bottom) = descend(world.root(), DEPTH);
    mknodat(&bottom, "bottom", FileType::RegularFile, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let made = world.ok(&["create-checkpoint", "wf", "--name", "base"]);
    assert_eq!(made.result("coverage")["complete"], true);
    remove_deep(world.root());
    world.ok(&["restore", "wf", "base", "--yes"]);
    let (depth, bottom) = descend(world.root(), 0);
    assert_eq!(depth, DEPTH);
    rustix::fs::statat(&bottom, "bottom", AtFlags::empty()).unwrap();
    world.ok(&["undo", "--yes"]);
    assert_eq!(descend(world.root(), 0).0, 0);
}

#[test]
fn a_sparse_file_comes_back_and_one_too_large_is_named() {
    let world = World::new();
    let sparse = std::fs::File::create(world.tree.at("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    let huge = std::fs::File::create(world.tree.at("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    world.ok(&["config", "capture.file_bytes_max", "1000000000"]);
    let made = world.checkpoint("base");
    assert_eq!((reason(&made, "huge").as_str(), reason(&made, "sparse").as_str()), ("quota", ""));
    assert_eq!(made.result("coverage")["complete"], false);
    assert!(made.result("size_bytes").as_u64().unwrap() < 4_000_000, "zeros cost next to nothing");
    world.tree.write("sparse", b"short");
    world.tree.write("a.txt", b"edited");
    world.ok(&["restore", "wf", "base", "--yes"]);
    let bytes = world.tree.read("sparse");
    assert!(bytes.len() == 40 << 20 && bytes.iter().all(|byte| *byte == 0));
    assert_eq!(world.tree.at("huge").metadata().unwrap().len(), 1 << 40, "what is not covered is left alone");
}

#[test]
fn pipes_sockets_and_devices_never_block_and_are_named() {
    let world = World::new();
    world.tree.fifo("pipe");
    world.tree.socket("socket");
    let device = world.tree.at("device");
    let has_device = mknodat(CWD, &device, FileType::CharacterDevice, Mode::RUSR, rustix::fs::makedev(1, 5)).is_ok();
    let made = world.checkpoint("base");
    assert_eq!(made.result("coverage")["complete"], true, "{made:?}");
    let again = world.checkpoint("again");
    for made in [&made, &again] {
        for path in ["pipe", "socket"].into_iter().chain(has_device.then_some("device")) {
            assert_eq!(reason(made, path), "special_file", "{path}");
        }
    }
    let before = world.snapshot();
    world.tree.write("a.txt", b"edited");
    world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    before.assert_same(&world.snapshot());
    // Those that are missing by now are named as well: a restore does not make them again.
    let all: Vec<&str> = ["pipe", "socket"].into_iter().chain(has_device.then_some("device")).collect();
    all.iter().for_each(|path| std::fs::remove_file(world.tree.at(path)).unwrap());
    let elsewhere = world.data.path().join("elsewhere");
    let plan: &[&str] = &["restore", "wf", "base", "--plan"];
    let beside: &[&str] = &["restore", "wf", "base", "--plan", "--to", elsewhere.to_str().unwrap()];
    for (arguments, why) in [(plan, "gone"), (beside, "not_in_checkpoint")] {
        let planned = world.ok(arguments);
        let kept = planned.json["result"]["plan"]["kept"].as_array().unwrap_or_else(|| panic!("{planned:#?}")).clone();
        for path in &all {
            let found = kept.iter().find(|kept| kept["path"] == *path);
            assert_eq!(found.map(|kept| &kept["reason"]), Some(&json!({why: "special_file"})), "{path}");
        }
    }
}

#[test]
fn a_repository_of_any_form_is_left_alone() {
    let world = World::new();
    world.tree.write("module/.git", b"gitdir: ../.git/modules/module\n");
    world.tree.write("module/code", b"1");
    world.tree.symlink("linked/.git", b"/nowhere");
    world.tree.write("linked/code", b"1");
    world.tree.write("odd/.GIT/config", b"one elsewhere");
    let made = world.checkpoint("base");
    for path in ["module/.git", "linked/.git"] {
        assert_eq!(reason(&made, path), "excluded", "{path}");
    }
    world.tree.write("module/.git", b"gitdir: elsewhere\n");
    // Where case does not count this is a repository: it is saved, and never written in place.
    for path in ["module/code", "linked/code", "odd/.GIT/config"] {
        world.tree.write(path, b"edited");
    }
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(world.tree.read("module/.git"), b"gitdir: elsewhere\n");
    assert_eq!(world.tree.read("odd/.GIT/config"), b"edited");
    assert_eq!(world.command(&["cat", "base", "odd/.GIT/config"]).output().unwrap().stdout, b"one elsewhere");
    assert_eq!(world.tree.read("linked/code"), b"1");
}

#[test]
fn a_repository_is_described_and_its_new_commits_are_told() {
    let world = World::new();
    let (old, new) = ("1".repeat(40), "2".repeat(40));
    let line = |from: &str, to: &str, what: &str| format!("{from} {to} A <a@b> 1 +0000\t{what}\n");
    let first = line(&"0".repeat(40), &old, "commit (initial): one");
    world.tree.write("module/.git/HEAD", b"ref: refs/heads/main\n");
    world.tree.write("module/.git/refs/heads/main", old.as_bytes());
    world.tree.write("module/.git/logs/HEAD", first.as_bytes());
    world.tree.write("module/.git/MERGE_HEAD", old.as_bytes());
    world.checkpoint("base");
    let shown = world.command(&["show", "base"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&format!("module: main at {old}, merge in progress")), "{shown}");
    world.tree.write("module/.git/refs/heads/main", new.as_bytes());
    world.tree.write("module/.git/logs/HEAD", (first + &line(&old, &new, "commit: two")).as_bytes());
    world.tree.write("a.txt", b"edited");
    let plan = world.command(&["restore", "wf", "base", "--plan"]).output().unwrap();
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(plan.contains("commit: two") && plan.contains(&format!("reset --soft {old}")), "{plan}");
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(world.tree.read("module/.git/refs/heads/main"), new.as_bytes());
    for odd in ["ref: ../../../a.txt", "ref: ", "ref: /etc/passwd", "ref: a//b", "\u{0}"] {
        world.tree.write("module/.git/HEAD", odd.as_bytes());
        world.ok(&["create-checkpoint", "wf"]);
    }
}

#[test]
fn links_that_lead_outside_are_replaced_and_not_followed() {
    let outside = TestTree::new();
    outside.write("deep/c.txt", b"not wfr's");
    outside.write("file", b"not wfr's");
    let before = wfr_testkit::Snapshot::of(outside.path());
    let world = World::new();
    let base = world.snapshot();
    world.checkpoint("base");
    world.tree.remove("sub");
    std::os::unix::fs::symlink(outside.path(), world.tree.at("sub")).unwrap();
    world.tree.remove("a.txt");
    std::os::unix::fs::symlink(outside.at("file"), world.tree.at("a.txt")).unwrap();
    world.tree.remove("secret");
    std::fs::hard_link(outside.at("file"), world.tree.at("secret")).unwrap();
    let edited = world.snapshot();
    world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    base.assert_same(&world.snapshot());
    before.assert_same(&wfr_testkit::Snapshot::of(outside.path()));
    world.ok(&["undo", "--yes"]);
    let is_not_shared = |path: &[u8]| path != b"secret";
    edited.only(is_not_shared).assert_same(&world.snapshot().only(is_not_shared));
    assert_eq!(world.tree.read("secret"), b"not wfr's");
    before.assert_same(&wfr_testkit::Snapshot::of(outside.path()));
}

#[test]
fn links_over_two_hops_and_a_shared_inode_lead_nobody_outside() {
    let outside = TestTree::new();
    outside.write("file", b"not wfr's");
    let before = wfr_testkit::Snapshot::of(outside.path());
    let world = World::new();
    // In the checkpoint: a link to a link that leads outside, and a name that Windows might take for `.git`.
    world.tree.symlink("hop2", outside.path().as_os_str().as_encoded_bytes());
    world.tree.symlink("hop1", b"hop2");
    world.tree.write("git~1/config", b"a file like others\n");
    let base = world.snapshot();
    world.checkpoint("base");
    world.tree.remove("hop1");
    world.tree.write("hop1/file", b"a directory now");
    world.tree.remove("git~1");
    // In the tree: a directory that became such a link, and a file that became another name of a file outside.
    world.tree.remove("sub");
    world.tree.symlink("sub", b"hop3");
    world.tree.symlink("hop3", b"hop2");
    world.tree.remove("a.txt");
    std::fs::hard_link(outside.at("file"), world.tree.at("a.txt")).unwrap();
    world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    base.assert_same(&world.snapshot());
    before.assert_same(&wfr_testkit::Snapshot::of(outside.path()));
    world.written_out("base");
    before.assert_same(&wfr_testkit::Snapshot::of(outside.path()));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.tree.read("a.txt"), b"not wfr's");
    before.assert_same(&wfr_testkit::Snapshot::of(outside.path()));
}

#[test]
fn a_workspace_around_everybodys_stores_takes_none_of_them() {
    let home = TestTree::new();
    home.dir("data");
    home.dir("project");
    let mut world = World::unprotected(home);
    world.variables.push(("XDG_DATA_HOME", world.root().join("data")));
    world.ok(&["init"]);
    world.checkpoint("before");
    let project = world.root().join("project");
    let there = |words: &[&str]| world.ok(&[words, &["--workspace", project.to_str().unwrap()]].concat());
    world.ok(&["init", project.to_str().unwrap()]);
    there(&["create-checkpoint", "wf", "--name", "theirs"]);
    world.ok(&["restore", "wf", "before", "--yes", "--exact-mtime"]);
    let theirs = there(&["list-checkpoints"]);
    assert_eq!(theirs.result("total"), 1, "{theirs:?}");
    there(&["validate-checkpoint", "theirs", "--validation-level", "comprehensive"]);
}

#[test]
fn a_store_inside_the_workspace_is_no_part_of_its_checkpoints() {
    let world = World::unprotected(TestTree::of_every_kind());
    let before = world.snapshot();
    world.refused(&["init", "--store", "."], 2, "UNSUITABLE_PLACE");
    let made = world.ok(&["init", "--store", "inside/vault"]);
    assert_eq!(made.result("store_inside_workspace"), true);
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    world.checkpoint("second");
    world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    let is_users = |path: &[u8]| !path.starts_with(b"inside");
    before.assert_same(&world.snapshot().only(is_users));
    assert_eq!(world.names()[..2], ["base", "second"]);
    let doctor = world.ok(&["doctor"]);
    assert!(doctor.result("findings").to_string().contains("STORE_INSIDE"));
}

#[test]
fn what_is_kept_is_for_its_owner_alone() {
    let world = World::new();
    world.checkpoint("base");
    let mut pending = vec![world.vault(), world.root().join(".claude/recovery")];
    while let Some(place) = pending.pop() {
        let meta = place.symlink_metadata().unwrap();
        assert_eq!(meta.mode() & 0o077, 0, "{} is open to others", place.display());
        if meta.is_dir() {
            pending.extend(std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

/// Sets or takes the flag that lets nobody, root included, change a file; `false` where that is not possible.
fn set_immutable(path: &Path, flag: &str) -> bool {
    Command::new("chattr").arg(flag).arg(path).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_file_that_nobody_may_change_is_in_the_plan_and_refuses_the_restore() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    world.tree.write("zero", b"edited");
    let edited = world.snapshot();
    if !set_immutable(&world.tree.at("zero"), "+i") {
        return skip("no file can be made immutable here");
    }
    let planned = world.call(&["restore", "wf", "base", "--plan"]);
    let refused = world.call(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    let now = world.snapshot();
    assert!(set_immutable(&world.tree.at("zero"), "-i"));
    let conflict = &planned.result("plan")["conflicts"][0];
    assert_eq!((&conflict["path"], &conflict["code"]), (&"zero".into(), &"PERMISSION_DENIED".into()), "{planned:?}");
    assert_eq!((refused.code, refused.error()), (7, "PERMISSION_DENIED"), "{refused:?}");
    assert_eq!(world.names(), ["base"], "no safety checkpoint stays");
    edited.without_dir_mtimes().assert_same(&now.without_dir_mtimes());
    world.ok(&["doctor"]);
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(world.tree.read("zero"), b"");
}

#[test]
fn what_a_plain_user_cannot_read_is_named_and_never_overwritten() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become somebody else");
    }
    let world = World::unprotected(TestTree::of_every_kind());
    let Some(nobody) = Nobody::of(&world) else { return skip("setpriv cannot be used here") };
    world.tree.write("locked/inside", b"1");
    give_away(&world.tree.at("locked"));
    let as_user = |arguments: &[&str]| nobody.call(&world, arguments);
    as_user(&["create-checkpoint", "wf", "--name", "base"]);
    world.tree.set_mode("secret", 0o000);
    world.tree.set_mode("locked", 0o000);
    let (code, made) = as_user(&["create-checkpoint", "wf", "--name", "gaps"]);
    assert_eq!((code, &made["result"]["coverage"]["complete"]), (0, &Value::Bool(false)), "{made:#}");
    for path in ["secret", "locked"] {
        let paths = made["result"]["coverage"]["paths"].as_array().unwrap();
        let found = paths.iter().find(|one| one["path"] == path).unwrap();
        assert_eq!(found["reason"], "unreadable", "{path}");
    }
    assert_ne!(as_user(&["show", "latest-valid"]).1["result"]["checkpoint"]["name"], "gaps");
    world.tree.set_mode("locked", 0o700);
    let (_, made) = as_user(&["create-checkpoint", "wf", "--name", "one"]);
    assert_eq!(made["result"]["coverage"]["complete"], true, "{made:#}");
    assert!(made["next_steps"].to_string().contains("`secret` was not taken"), "{made:#}");
    assert_eq!(as_user(&["show", "latest-valid"]).1["result"]["checkpoint"]["name"], "one");
    let (code, planned) = as_user(&["emergency-restore", "wf", "--plan"]);
    assert_eq!((code, &planned["result"]["restored_checkpoint"]), (0, &made["result"]["checkpoint_id"]), "{planned:#}");
    world.tree.set_mode("locked", 0o000);
    world.tree.write("a.txt", b"edited");
    let before = world.snapshot();
    let (code, refused) = as_user(&["restore", "wf", "base", "--yes"]);
    assert_eq!((code, &refused["error"]["code"]), (7, &"NOT_SAVED".into()), "{refused:#}");
    let (_, planned) = as_user(&["restore", "wf", "base", "--plan"]);
    let conflicts = planned["result"]["plan"]["conflicts"].as_array().unwrap();
    let paths: Vec<_> = conflicts.iter().filter_map(|one| one["path"].as_str()).collect();
    assert_eq!(paths, ["locked", "locked/inside", "secret"]);
    assert!(conflicts.iter().all(|one| one["code"] == "NOT_SAVED"), "{conflicts:?}");
    before.assert_same(&world.snapshot());
    world.tree.write("fresh", b"new, and nobody may read it");
    world.tree.set_mode("fresh", 0o000);
    chown(world.tree.at("fresh"), Some(65_534), Some(65_534)).unwrap();
    let (code, restored) = as_user(&["restore", "wf", "gaps", "--yes"]);
    assert_eq!(code, 0, "{restored:#}");
    let kept = restored["result"]["kept"].as_array().unwrap();
    let unreadable = serde_json::json!({"uncovered": "unreadable"});
    for path in ["fresh", "secret", "locked"] {
        assert!(kept.iter().any(|one| one["path"] == path && one["reason"] == unreadable), "{path}: {kept:?}");
    }
    assert_eq!(world.tree.read("fresh"), b"new, and nobody may read it");
    assert_eq!((world.tree.read("a.txt"), world.tree.read("secret")), (b"a0\n".to_vec(), b"s0\n".to_vec()));
    assert_eq!(world.tree.read("locked/inside"), b"1");
}

#[test]
fn what_belongs_to_others_is_refused_before_anything_changes() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become somebody else");
    }
    let world = World::unprotected(TestTree::of_every_kind());
    let Some(nobody) = Nobody::of(&world) else { return skip("setpriv cannot be used here") };
    let as_user = |arguments: &[&str]| nobody.call(&world, arguments);
    world.tree.write("theirs/file", b"1");
    world.tree.set_mode("theirs", 0o777);
    as_user(&["create-checkpoint", "wf", "--name", "base"]);
    // Its mode differs; a directory of theirs with something in it is new; a file in theirs that others write is gone.
    let cases: [(&str, &dyn Fn()); 3] = [
        ("theirs", &|| world.tree.set_mode("theirs", 0o755)),
        ("new", &|| world.tree.write("new/file", b"root's")),
        ("theirs", &|| std::fs::remove_file(world.tree.at("theirs/file")).unwrap()),
    ];
    for (path, change) in cases {
        world.ok(&["restore", "wf", "base", "--exact-mtime", "--yes"]);
        change();
        world.tree.write("a.txt", b"edited");
        let (before, names) = (world.snapshot(), world.names());
        let (code, refused) = as_user(&["restore", "wf", "base", "--exact-mtime", "--yes"]);
        assert_eq!((code, &refused["error"]["code"]), (7, &"PERMISSION_DENIED".into()), "{refused:#}");
        let (_, planned) = as_user(&["restore", "wf", "base", "--exact-mtime", "--plan"]);
        assert_eq!(planned["result"]["plan"]["conflicts"][0]["code"], "PERMISSION_DENIED", "{planned:#}");
        assert_eq!(world.names(), names, "a refused restore leaves no safety checkpoint");
        assert!(refused["error"]["message"].as_str().unwrap().contains(path), "{refused:#}");
        before.assert_same(&world.snapshot());
        let (code, made) = as_user(&["create-checkpoint", "wf"]);
        assert_eq!(code, 0, "{made:#}");
    }
}

#[test]
fn a_limit_that_came_later_is_not_in_the_way() {
    let world = World::new();
    world.tree.write("large", &[7; 5_000]);
    world.checkpoint("base");
    world.ok(&["config", "capture.file_bytes_max", "1000"]);
    world.tree.write("a.txt", b"edited");
    let restored = world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(world.tree.read("a.txt"), b"a0\n");
    let kept = restored.result("kept").as_array().unwrap();
    assert!(kept.iter().any(|one| one["path"] == "large" && one["reason"]["not_saved"] == "quota"), "{kept:?}");
    // One that is known to differ would have to be written.
    world.tree.write("large", &[8; 6_000]);
    world.refused(&["restore", "wf", "base", "--yes"], 7, "NOT_SAVED");
    assert_eq!(world.tree.read("large"), [8; 6_000]);
}

#[test]
fn a_plain_user_gets_files_back_that_nobody_may_read() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become somebody else");
    }
    let world = World::unprotected(TestTree::of_every_kind());
    let Some(nobody) = Nobody::of(&world) else { return skip("setpriv cannot be used here") };
    for (path, mode) in [("shut", 0o000), ("write-only", 0o200)] {
        world.tree.write(path, b"nobody may read it");
        world.tree.set_mode(path, mode);
    }
    give_away(world.root());
    world.checkpoint("base");
    give_away(world.data.path());
    ["shut", "write-only"].into_iter().for_each(|path| std::fs::remove_file(world.tree.at(path)).unwrap());
    let (code, restored) = nobody.call(&world, &["restore", "wf", "base", "--yes"]);
    assert_eq!(code, 0, "{restored:#}");
    assert_eq!(world.tree.read("shut"), b"nobody may read it");
    assert_eq!(world.tree.at("shut").metadata().unwrap().permissions().mode() & 0o777, 0);
    assert_eq!(world.tree.at("write-only").metadata().unwrap().permissions().mode() & 0o777, 0o200);
}

/// Gives a whole tree to a user who is not root.
fn give_all_away(path: &Path) {
    assert!(std::process::Command::new("chown").args(["-R", "12345:23456"]).arg(path).status().unwrap().success());
}

/// Whatever is root's below a directory.
fn of_root(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    let found = std::process::Command::new("find").arg(path).args(["-user", "root"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(Into::into).collect()
}

#[test]
fn what_root_leaves_in_somebody_elses_store_becomes_theirs() {
    if !rustix::process::geteuid().is_root() {
        return wfr_testkit::skip("only root leaves files that others cannot read");
    }
    let world = World::new();
    give_all_away(world.data.path());
    give_all_away(world.root());
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.ok(&["doctor"]);
    assert_eq!(of_root(&world.vault()), Vec::<std::path::PathBuf>::new());
    assert_eq!(of_root(&world.root().join(".claude/recovery")), Vec::<std::path::PathBuf>::new());
    // A second name may stand anywhere: such a file stays whose it is.
    let secret = world.data.path().join("secret");
    std::fs::write(&secret, b"of root").unwrap();
    std::fs::hard_link(&secret, world.vault().join("link")).unwrap();
    std::os::unix::fs::symlink(&secret, world.vault().join("symbolic")).unwrap();
    world.checkpoint("next");
    let left: Vec<String> =
        of_root(&world.vault()).iter().map(|path| path.file_name().unwrap().to_string_lossy().into()).collect();
    assert_eq!(left.iter().filter(|name| *name != "symbolic").collect::<Vec<_>>(), ["link"]);
}

#[test]
fn nothing_is_restored_into_a_mount_point_at_which_nothing_is_mounted() {
    let world = World::new();
    let Some(mount) = Mount::new(&world.root().join("mnt"), "1m") else {
        return wfr_testkit::skip("this process may not mount");
    };
    std::fs::write(mount.at("inside"), b"on its own disk").unwrap();
    world.checkpoint("base");
    let state = world.ok(&["show", "base"]).result("checkpoint")["file_system_state"].clone();
    assert_eq!(state["mounts"], serde_json::json!(["mnt"]));
    drop(mount);
    world.tree.write("a.txt", b"edited");
    let planned = world.ok(&["restore", "wf", "base", "--plan"]);
    assert_eq!(planned.result("plan")["conflicts"][0]["code"], "MOUNT_MISSING", "{planned:?}");
    world.refused(&["restore", "wf", "base", "--yes"], 5, "MOUNT_MISSING");
    assert_eq!(std::fs::read_dir(world.root().join("mnt")).unwrap().count(), 0);
    // With the file system back there is nothing in the way; without it, one may mean it.
    let mount = Mount::new(&world.root().join("mnt"), "1m").unwrap();
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(std::fs::read(mount.at("inside")).unwrap(), b"on its own disk");
    drop(mount);
    world.tree.write("a.txt", b"edited");
    let meant = world.ok(&["restore", "wf", "base", "--yes", "--allow-unmounted"]);
    assert!(meant.result("findings").to_string().contains("MOUNT_MISSING"), "{meant:?}");
    assert_eq!(world.tree.read("mnt/inside"), b"on its own disk");
}
