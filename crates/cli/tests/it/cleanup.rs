//! Retention removes what no rule keeps and nothing else, also while others make checkpoints.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

use wfr_testkit::{Prng, TestTree};

use crate::mount::Mount;
use crate::nobody::{Nobody, give_away};
use crate::world::World;

#[test]
fn rules_hold_and_bytes_come_back() {
    let world = World::new();
    let mut prng = Prng::new(4);
    for name in ["one", "two", "three"] {
        world.tree.write("noise", &prng.bytes(2_000_000));
        world.checkpoint(name);
    }
    world.ok(&["create-checkpoint", "wf", "--name", "kept", "--tags", "stable", "--retention-policy", "permanent"]);
    world.tree.write("noise", &prng.bytes(2_000_000));
    world.checkpoint("last");
    let try_out = world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1", "--dry-run"]);
    assert_eq!(try_out.result("removed").as_array().unwrap().len(), 3);
    assert!(try_out.result("bytes_reclaimable").as_u64().unwrap() > 3_500_000);
    assert_eq!(world.names(), ["one", "two", "three", "kept", "last"]);
    let cleaned = world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1", "--report-cleanup"]);
    assert!(cleaned.result("bytes_freed").as_u64().unwrap() > 3_500_000, "{cleaned:?}");
    assert_eq!(cleaned.result("decisions").as_array().unwrap().len(), 5);
    assert_eq!(world.names(), ["kept", "last"]);
    for name in ["kept", "last"] {
        world.ok(&["validate-checkpoint", name, "--validation-level", "comprehensive"]);
    }
    world.snapshot().assert_same(&world.written_out("last"));
    world.ok(&["doctor"]);
}

#[test]
fn a_recovery_can_be_undone_after_a_cleanup() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("only here", b"in the safety checkpoint");
    let edited = world.snapshot();
    world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    world.ok(&["cleanup-checkpoints", "wf", r#"{"retention_policy":"last=1","preserve_critical":false}"#]);
    world.ok(&["undo", "--yes", "--exact-mtime"]);
    edited.assert_same(&world.snapshot());
}

#[test]
fn what_recoveries_hold_is_named_and_can_be_let_go() {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.checkpoint("base");
    world.tree.write("only here", &Prng::new(5).bytes(4_000_000));
    let safety = world.ok(&["restore", "wf", "base", "--yes"]).result("safety_checkpoint").clone();
    let policy = ["cleanup-checkpoints", "wf", "--retention-policy", "last=1"];
    let kept = world.ok(&policy);
    let pins = kept.result("pins").as_array().unwrap();
    assert_eq!((pins.len(), &pins[0]["checkpoint_id"]), (1, &safety), "{kept:?}");
    assert!(pins[0]["bytes"].as_u64().unwrap() > 900_000, "{kept:?}");
    assert!(kept.json["next_steps"].to_string().contains("--undoable 0"), "{kept:?}");
    let gone = world.ok(&[&policy[..], &["--undoable", "0"]].concat());
    assert_eq!((gone.result("pins"), gone.result("removed")), (&serde_json::json!([]), &serde_json::json!([safety])));
    assert!(gone.result("bytes_freed").as_u64().unwrap() > 900_000, "{gone:?}");
    world.refused(&["undo", "--yes"], 5, "NOT_UNDOABLE");
}

#[test]
fn what_was_let_go_once_is_not_looked_for_again() {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.checkpoint("base");
    world.tree.write("only here", &Prng::new(6).bytes(2_000_000));
    world.checkpoint("two");
    world.tree.write("never again", &Prng::new(7).bytes(2_000_000));
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.checkpoint("three");
    let policy = ["cleanup-checkpoints", "wf", "--retention-policy", "last=1"];
    world.ok(&[&policy[..], &["--undoable", "0"]].concat());
    world.ok(&[&policy[..], &["--dry-run"]].concat());
    assert_eq!(world.ok(&policy).result("pins"), &serde_json::json!([]));
    world.refused(&["undo", "--yes"], 5, "NOT_UNDOABLE");
    world.ok(&["doctor"]);
}

#[test]
fn the_room_for_a_full_disk_is_made_again_by_the_next_command_that_changes_something() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let reserve = world.vault().join("reserve");
    for command in [&["restore", "wf", "base", "--yes"][..], &["resume"], &["event", "TASK_STARTED:wf:1:{}"]] {
        std::fs::remove_file(&reserve).unwrap();
        world.ok(&["list-checkpoints"]);
        assert!(!reserve.exists(), "what reads writes nothing");
        world.ok(command);
        assert!(reserve.exists(), "{command:?}");
    }
    world.ok(&["doctor"]);
}

#[test]
fn harder_compression_keeps_everything() {
    let world = World::new();
    world.tree.write("text", "a line that repeats itself\n".repeat(50_000).as_bytes());
    let words = (0..60_000u64).map(|n| format!("word {} ", n.wrapping_mul(2_654_435_761) % 4_099)).collect::<String>();
    world.tree.write("words", words.as_bytes());
    let before = world.snapshot();
    world.checkpoint("base");
    let packed = || {
        let packs = std::fs::read_dir(world.vault().join("packs")).unwrap();
        packs.map(|pack| pack.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let first = packed();
    let cleanup = ["cleanup-checkpoints", "wf", "--retention-policy", "permanent"];
    world.ok(&cleanup);
    assert_eq!(packed(), first, "nothing is packed again that is not asked for");
    let harder = world.ok(&[&cleanup[..], &["--compress-archived"]].concat());
    assert!(packed() < first, "{} bytes, and {first} before", packed());
    assert_eq!(harder.result("bytes_freed"), first - packed());
    before.assert_same(&world.written_out("base"));
    world.ok(&["validate-checkpoint", "base", "--validation-level", "comprehensive"]);
}

fn spawn(world: &World, arguments: &[String]) -> Child {
    world.command(arguments).arg("--json").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn eight_processes_at_once_all_get_their_checkpoint() {
    let world = World::new();
    world.checkpoint("base");
    let names: Vec<String> = (0..8).map(|number| format!("p{number}")).collect();
    let create = |name: &String| ["create-checkpoint", "wf", "--name", name].map(str::to_owned);
    let children: Vec<Child> = names.iter().map(|name| spawn(&world, &create(name))).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let mut listed = world.names();
    listed.sort();
    assert_eq!(listed[1..], names);
    world.ok(&["validate-checkpoint", "latest", "--validation-level", "comprehensive"]);
    world.ok(&["doctor"]);
}

#[test]
fn cleanups_beside_makers_lose_nothing_that_was_acknowledged() {
    let world = World::new();
    world.checkpoint("base");
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        world.tree.write("file", Prng::new(round).content().as_slice());
        let policy = r#"{"retention_policy":"last=1","preserve_critical":false}"#;
        let cleaners: Vec<Child> =
            (0..2).map(|_| spawn(&world, &["cleanup-checkpoints", "wf", policy].map(str::to_owned))).collect();
        let name = format!("kept-{round}");
        let create = ["create-checkpoint", "wf", "--name", &name, "--retention-policy", "permanent"];
        let mut maker = spawn(&world, &create.map(str::to_owned));
        let state = world.snapshot();
        if maker.wait().unwrap().success() {
            acknowledged.push((name, state));
        }
        for mut cleaner in cleaners {
            let _ = cleaner.wait().unwrap();
        }
    }
    assert!(!acknowledged.is_empty());
    for (name, state) in acknowledged {
        state.assert_same(&world.written_out(&name));
    }
    world.ok(&["cleanup-checkpoints", "wf"]);
    world.ok(&["doctor"]);
}

#[test]
fn cleanups_beside_restores_leave_what_these_saved() {
    let world = World::new();
    world.tree.write("file", b"base");
    world.ok(&["create-checkpoint", "wf", "--name", "base", "--retention-policy", "permanent"]);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let policy = r#"{"retention_policy":"last=1","preserve_critical":false}"#;
                world.call(&["cleanup-checkpoints", "wf", policy]);
            }
        });
        let rounds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..25 {
                let edited = format!("edited {round}");
                world.tree.write("file", edited.as_bytes());
                world.ok(&["restore", "wf", "base", "--yes", "--wait", "10s"]);
                world.ok(&["undo", "--yes", "--wait", "10s"]);
                assert_eq!(world.tree.read("file"), edited.as_bytes(), "round {round}");
            }
        }));
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        rounds.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    world.ok(&["doctor"]);
}

#[test]
fn what_an_undo_needs_stays_with_what_was_saved() {
    let world = World::new();
    world.tree.write("file", b"1");
    world.tree.write("large", &Prng::new(1).bytes(3 << 20));
    world.checkpoint("first");
    world.tree.write("file", b"precious");
    world.tree.write("large", &Prng::new(2).bytes(3 << 20));
    let before = world.snapshot();
    world.ok(&["restore", "wf", "first", "--yes"]);
    std::fs::remove_file(world.tree.at("large")).unwrap();
    world.checkpoint("newest");
    let cleaned = world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1", "--compress-archived"]);
    assert_eq!(cleaned.result("pins").as_array().unwrap().len(), 2, "{cleaned:?}");
    // The file that was removed since stays removed.
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.tree.read("file"), b"precious");
    let gone = world.snapshot().differences(&before);
    assert!(gone.len() <= 1, "{gone:?}");
    world.ok(&["doctor"]);
}

#[test]
fn a_full_disk_whose_reserve_is_used_up_can_be_cleaned_up() {
    let world = World::unprotected(TestTree::new());
    let Some(mount) = Mount::new(&world.data.path().join("wfr"), "64m") else {
        return wfr_testkit::skip("mounting a small file system needs root");
    };
    world.ok(&["init"]);
    let mut prng = Prng::new(4);
    for name in ["one", "two", "three"] {
        world.tree.write("large", &prng.bytes(3 << 20));
        world.checkpoint(name);
    }
    world.tree.write("large", b"small now");
    world.checkpoint("last");
    std::fs::remove_file(world.vault().join("reserve")).unwrap();
    mount.fill();
    let cleaned = world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1"]);
    assert!(cleaned.result("bytes_freed").as_u64().unwrap() > 8 << 20, "{cleaned:?}");
    assert_eq!(cleaned.result("removed").as_array().unwrap().len(), 3, "{cleaned:?}");
    assert_eq!(world.names(), ["last"]);
    world.ok(&["validate-checkpoint", "last", "--validation-level", "comprehensive"]);
    world.ok(&["doctor"]);
}

#[test]
fn a_checkpoint_that_failed_on_a_full_disk_leaves_nothing_there() {
    let world = World::unprotected(TestTree::new());
    let Some(_mount) = Mount::new(&world.data.path().join("wfr"), "64m") else {
        return wfr_testkit::skip("mounting a small file system needs root");
    };
    world.ok(&["init"]);
    world.tree.write("small", b"1");
    world.checkpoint("base");
    let packs = || -> Vec<u64> {
        let entries = std::fs::read_dir(world.vault().join("packs")).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len()).collect()
    };
    let before = packs();
    world.tree.write("large", &Prng::new(4).bytes(80 << 20));
    world.refused(&["create-checkpoint", "wf"], 7, "DISK_FULL");
    assert_eq!(packs(), before);
    std::fs::remove_file(world.tree.at("large")).unwrap();
    world.checkpoint("after");
    world.ok(&["doctor"]);
}

#[test]
fn where_nothing_is_left_to_give_up_cleanup_says_what_to_do() {
    let world = World::unprotected(TestTree::new());
    let Some(mount) = Mount::new(&world.data.path().join("wfr"), "64m") else {
        return wfr_testkit::skip("mounting a small file system needs root");
    };
    world.ok(&["init"]);
    let mut prng = Prng::new(4);
    for name in ["one", "two"] {
        world.tree.write("large", &prng.bytes(3 << 20));
        world.checkpoint(name);
    }
    std::fs::remove_file(world.vault().join("reserve")).unwrap();
    mount.fill();
    // What stays is in the one pack beside what goes, and there is no room for another.
    let refused = world.refused(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1"], 7, "DISK_FULL");
    let options = refused.json["recovery_options"].to_string();
    assert!(options.contains("on the disk of the store"), "{refused:?}");
    assert_eq!(refused.result("removed").as_array().unwrap().len(), 1, "{refused:?}");
    std::fs::remove_file(mount.at("ballast")).unwrap();
    world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1"]);
    assert_eq!(world.names(), ["two"]);
    world.ok(&["validate-checkpoint", "two", "--validation-level", "comprehensive"]);
    world.ok(&["doctor"]);
}

#[test]
fn what_a_killed_writer_left_in_a_pack_is_named_and_dropped() {
    use std::io::Write;
    let world = World::new();
    world.checkpoint("base");
    let packs = || std::fs::read_dir(world.vault().join("packs")).unwrap().map(|entry| entry.unwrap().path());
    let length = || packs().map(|pack| pack.metadata().unwrap().len()).sum::<u64>();
    let before = length();
    let mut pack = std::fs::OpenOptions::new().append(true).open(packs().next().unwrap()).unwrap();
    pack.write_all(&[7; 10_000]).unwrap();
    drop(pack);
    let tails = || {
        let findings = world.ok(&["doctor"]).result("findings").as_array().unwrap().clone();
        findings.into_iter().filter(|one| one["code"] == "PACK_TAILS").collect::<Vec<_>>()
    };
    let told = tails();
    assert!(told[0]["message"].as_str().unwrap().contains("10000 bytes") && told[0]["severity"] == "info", "{told:?}");
    world.ok(&["cleanup-checkpoints", "wf", "--yes"]);
    assert_eq!((tails().len(), length()), (0, before));
    world.tree.write("a.txt", b"more");
    world.checkpoint("next");
    world.ok(&["validate-checkpoint", "next", "--validation-level", "comprehensive"]);
}

#[test]
fn a_directory_in_the_ledger_keeps_no_cleanup_from_its_end() {
    let world = World::new();
    world.checkpoint("base");
    let begun = world.ok(&["change", "begin", "--workflow", "wf", "--task", "t", "--agent", "a"]);
    world.tree.write("made/inside", b"in a directory that is new");
    world.ok(&["change", "end", begun.result("token").as_str().unwrap()]);
    world.checkpoint("next");
    world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1", "--yes"]);
    assert_eq!(world.names(), ["next"]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(!world.tree.at("made").exists());
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.tree.read("made/inside"), b"in a directory that is new");
}

/// Three checkpoints of a user without privileges, and how they clean up; `None` where there can be no such user.
fn of_nobody() -> Option<(World, Nobody)> {
    let world = World::unprotected(TestTree::new());
    let nobody = Nobody::of(&world)?;
    for name in ["one", "two", "three"] {
        world.tree.write("file", name.as_bytes());
        give_away(world.root());
        assert_eq!(nobody.call(&world, &["create-checkpoint", "wf", "--name", name]).0, 0);
    }
    Some((world, nobody))
}

const LAST: [&str; 4] = ["cleanup-checkpoints", "wf", "--retention-policy", "last=1"];

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn where_packs_cannot_be_written_no_checkpoint_is_removed() {
    let Some((world, nobody)) = of_nobody() else {
        return wfr_testkit::skip("acting as a user without privileges needs root");
    };
    let dir = world.vault().join("packs");
    let pack = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    for (place, shut, open) in [(&dir, 0o500, 0o700), (&pack, 0o400, 0o600)] {
        set_mode(place, shut);
        let (code, json) = nobody.call(&world, &LAST);
        assert_eq!((code, &json["error"]["code"]), (7, &"PERMISSION_DENIED".into()), "{json}");
        assert!(json.to_string().contains(place.to_str().unwrap()) && json["result"].is_null(), "{json}");
        assert_eq!(world.names(), ["one", "two", "three"]);
        set_mode(place, open);
    }
    assert_eq!(nobody.call(&world, &LAST).0, 0);
    assert_eq!(world.names(), ["three"]);
}

#[test]
fn what_a_cleanup_removed_before_it_failed_is_named() {
    let Some((world, nobody)) = of_nobody() else {
        return wfr_testkit::skip("acting as a user without privileges needs root");
    };
    // A leftover that cannot be removed.
    let index = world.vault().join("index");
    std::fs::write(index.join(".left.tmp"), b"").unwrap();
    set_mode(&index, 0o500);
    let (code, json) = nobody.call(&world, &LAST);
    assert_eq!((code, &json["error"]["code"]), (7, &"PERMISSION_DENIED".into()), "{json}");
    assert_eq!(
        (json["result"]["removed"].as_array().unwrap().len(), &json["result"]["kept"]),
        (2, &1.into()),
        "{json}"
    );
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("2 checkpoints are removed") && message.contains("not all of their bytes"), "{message}");
    let ways = json["recovery_options"].to_string();
    assert!(ways.contains("`wfr cleanup-checkpoints` again") && !json.to_string().contains("nothing ack"), "{json}");
    assert_eq!(world.names(), ["three"]);
    set_mode(&index, 0o700);
    assert_eq!(nobody.call(&world, &LAST).0, 0);
}
