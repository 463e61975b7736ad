//! A recovery that is stopped, killed or interrupted half way, while others and users go on.
//!
//! Owns what must hold of the tree then. Refuses to know which system call the process was in.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use wfr_testkit::{Prng, Snapshot};

use crate::catch::{catch, caught, ended, kill, send};
use crate::world::World;

const FILES: usize = 400;
const DIRS: usize = 7;

/// A tree large enough for a restore to be caught at work, edited everywhere since its checkpoint `base`.
struct Edited {
    world: World,
    base: Snapshot,
    edited: Snapshot,
}

fn file(number: usize) -> String {
    format!("many/{}/{number}", number % DIRS)
}

/// Whether a file stands as the checkpoint has it: the edits made all of them short.
fn is_long(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.len() == 2_000)
}

fn edited() -> Edited {
    let world = World::new();
    let mut prng = Prng::new(5);
    for number in 0..FILES {
        world.tree.write(file(number), &prng.bytes(2_000));
    }
    let base = world.snapshot();
    world.checkpoint("base");
    for number in 0..FILES {
        world.tree.write(file(number), format!("edited {number}").as_bytes());
    }
    let edited = world.snapshot();
    Edited { world, base, edited }
}

impl Edited {
    /// How many files are restored.
    fn restored(&self) -> usize {
        (0..FILES).filter(|number| is_long(&self.world.tree.at(file(*number)))).count()
    }

    /// Begins a restore and stops it when so many files, or some more, are restored; `None` where it was too fast.
    fn stop_after(&self, count: usize) -> Option<Child> {
        self.stop_one_after(count, &[])
    }

    /// The same of a restore that is asked for something beside.
    fn stop_one_after(&self, count: usize, more: &[&str]) -> Option<Child> {
        let mut paths: Vec<String> = (0..FILES).map(file).collect();
        paths.sort();
        // Files are restored in the order of their paths.
        let last = self.world.tree.at(&paths[count - 1]);
        let dirs: Vec<_> = (0..DIRS).map(|dir| self.world.tree.at(format!("many/{dir}"))).collect();
        let dirs: Vec<&Path> = dirs.iter().map(|dir| dir.as_path()).collect();
        let arguments = [&["restore", "wf", "base", "--yes", "--exact-mtime"], more].concat();
        let child = catch(&self.world, &arguments, &dirs, || is_long(&last))?;
        let is_half_way = self.restored() <= count.max(FILES * 3 / 4);
        if !is_half_way {
            ended(child);
            return None;
        }
        Some(child)
    }

    /// Begins a restore and stops it before it changes any file; `None` where it was too fast.
    fn stop_before(&self) -> Option<Child> {
        let staging = self.world.tree.at(".wfr-staging");
        let arguments = ["restore", "wf", "base", "--yes", "--exact-mtime"];
        let child = catch(&self.world, &arguments, &[self.world.root()], || staging.exists())?;
        if self.restored() > 0 || has_redo(&self.world) {
            ended(child);
            return None;
        }
        Some(child)
    }

    fn assert_base(&self) {
        self.base.assert_same(&self.world.snapshot());
    }
}

/// A fresh tree for each attempt: one that was too fast has restored it.
fn stopped(count: usize) -> (Edited, Child) {
    caught(|| {
        let tree = edited();
        let child = tree.stop_after(count)?;
        Some((tree, child))
    })
}

#[test]
fn a_killed_restore_is_completed_by_resume_wherever_it_was() {
    let mut prng = Prng::from_environment();
    for count in [1, 1 + prng.below(FILES - 2), 1 + prng.below(FILES - 2), FILES - 40] {
        let (tree, child) = stopped(count);
        kill(child);
        let doctor = tree.world.call(&["doctor"]);
        assert_eq!((doctor.code, doctor.error()), (1, "UNHEALTHY"), "{doctor:?}");
        let resumed = tree.world.ok(&["resume"]);
        assert_eq!(resumed.result("resumed").as_array().unwrap().len(), 1, "{resumed:?}");
        tree.assert_base();
        assert_eq!(tree.world.ok(&["resume"]).result("resumed").as_array().unwrap().len(), 0);
        tree.world.ok(&["doctor"]);
        tree.world.ok(&["undo", "--yes"]);
        tree.edited.assert_same(&tree.world.snapshot());
    }
}

#[test]
fn a_killed_restore_is_taken_back_where_that_is_asked_for() {
    let (tree, child) = stopped(FILES / 3);
    kill(child);
    tree.world.ok(&["resume", "--take-back"]);
    tree.edited.assert_same(&tree.world.snapshot());
    assert_eq!(recorded(&tree.world)["report"]["unlike_before"], json!([]), "it was compared, and is recorded");
    tree.world.ok(&["doctor"]);
    tree.world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    tree.assert_base();
}

/// The record of the newest recovery.
fn recorded(world: &World) -> Value {
    world.ok(&["recoveries", "wf", "--report-details"]).result("recoveries")[0]["record"].clone()
}

/// A restore with a time limit that was stopped half way, and goes on when the limit is over.
fn over_its_limit(meddle: impl Fn(&Edited)) -> (Edited, Value) {
    const LIMIT: Duration = Duration::from_secs(3);
    let (tree, begun, child) = caught(|| {
        let tree = edited();
        let child = tree.stop_one_after(FILES / 3, &["--timeout", "3s"])?;
        // Its own clock runs since before.
        Some((tree, Instant::now(), child))
    });
    meddle(&tree);
    // The event that is waited for is the limit itself.
    while begun.elapsed() <= LIMIT {
        std::thread::park_timeout(LIMIT.saturating_sub(begun.elapsed()) + Duration::from_millis(1));
    }
    let (status, answer) = ended(child);
    assert_eq!((status.code(), &answer["error"]["code"]), (Some(1), &json!("TIME_LIMIT")), "{answer:#}");
    assert_eq!(answer["result"]["recovery_status"], "taken_back", "{answer:#}");
    (tree, answer)
}

#[test]
fn a_restore_over_its_time_limit_is_taken_back_compared_and_recorded() {
    let (tree, answer) = over_its_limit(|_| {});
    tree.edited.clone().without_dir_mtimes().assert_same(&tree.world.snapshot().without_dir_mtimes());
    assert_eq!(answer["result"]["validation_results"]["integrity_check"], "passed", "{answer:#}");
    let record = recorded(&tree.world);
    assert_eq!((&record["status"], &record["report"]["unlike_before"]), (&json!("taken_back"), &json!([])));
    tree.world.ok(&["doctor"]);
    tree.world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    tree.assert_base();
}

#[test]
fn what_is_not_as_it_was_when_a_restore_is_taken_back_is_named_and_recorded() {
    let last = (0..FILES).map(file).max().unwrap();
    let (tree, answer) = over_its_limit(|tree| tree.world.tree.write(&last, b"the user's"));
    assert_eq!(tree.world.tree.read(&last), b"the user's");
    assert_eq!(answer["result"]["validation_results"]["integrity_check"], "failed", "{answer:#}");
    assert!(answer["error"]["message"].as_str().unwrap().contains(&last), "{answer:#}");
    assert_eq!(answer["result"]["kept"].as_array().unwrap().last().unwrap()["path"], json!(last), "{answer:#}");
    assert_eq!(recorded(&tree.world)["report"]["unlike_before"], json!([last]));
}

#[test]
fn the_next_command_that_changes_anything_ends_a_killed_restore_first() {
    let (tree, child) = stopped(FILES / 2);
    kill(child);
    tree.world.checkpoint("next");
    tree.assert_base();
    tree.base.assert_same(&tree.world.written_out("next"));
    tree.world.ok(&["doctor"]);
}

#[test]
fn a_restore_that_staged_but_did_not_begin_changes_nothing() {
    let (tree, child) = caught(|| {
        let tree = edited();
        let child = tree.stop_before()?;
        Some((tree, child))
    });
    kill(child);
    tree.edited.assert_same(&tree.world.snapshot());
    let resumed = tree.world.ok(&["resume"]);
    assert_eq!(resumed.result("aborted").as_array().unwrap().len(), 1, "{resumed:?}");
    assert!(!tree.world.tree.at(".wfr-staging").exists(), "nothing staged stays behind");
    tree.world.ok(&["doctor"]);
    tree.world.refused(&["undo", "--yes"], 3, "RECOVERY_NOT_FOUND");
}

#[test]
fn what_has_ended_is_not_done_again() {
    let (tree, child) = stopped(FILES / 2);
    kill(child);
    let journal = tree.world.vault().join("journal");
    let record = std::fs::read_dir(&journal).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&record).unwrap();
    tree.world.ok(&["resume", "--take-back"]);
    // As a power cut could leave it: the end is recorded, the record's removal is not.
    std::fs::write(&record, bytes).unwrap();
    let doctor = tree.world.ok(&["doctor"]);
    assert!(doctor.result("findings").to_string().contains("LEFTOVERS"), "{doctor:?}");
    tree.world.tree.write(file(0), b"since");
    let now = tree.world.snapshot();
    assert_eq!(tree.world.ok(&["resume"]).result("resumed").as_array().unwrap().len(), 0);
    assert!(!has_redo(&tree.world));
    now.assert_same(&tree.world.snapshot());
    tree.world.ok(&["doctor"]);
}

fn has_redo(world: &World) -> bool {
    std::fs::read_dir(world.vault().join("journal")).is_ok_and(|mut entries| entries.next().is_some())
}

#[test]
fn while_one_restores_others_are_told_who_holds_the_workspace() {
    let (tree, child) = stopped(10);
    for arguments in [&["restore", "wf", "base", "--yes"][..], &["emergency-restore", "wf", "--yes"], &["resume"]] {
        let refused = tree.world.refused(arguments, 6, "HELD");
        assert!(refused.json["error"]["message"].as_str().unwrap().contains("restore"), "{refused:?}");
    }
    tree.world.ok(&["show", "base"]);
    tree.world.ok(&["list-checkpoints"]);
    tree.world.ok(&["cat", "base", "a.txt"]);
    let (status, answer) = ended(child);
    assert!(status.success(), "{answer:#}");
    tree.assert_base();
    tree.world.ok(&["doctor"]);
}

#[test]
fn a_cleanup_beside_a_restore_takes_nothing_that_it_needs() {
    let (tree, child) = stopped(10);
    let policy = r#"{"retention_policy": "last=1", "preserve_critical": false}"#;
    let cleaned = tree.world.call(&["cleanup-checkpoints", "wf", policy]);
    assert!(matches!(cleaned.code, 0 | 6), "{cleaned:?}");
    let (status, answer) = ended(child);
    assert!(status.success(), "{answer:#}");
    tree.assert_base();
    tree.world.ok(&["undo", "--yes"]);
    tree.edited.assert_same(&tree.world.snapshot());
}

/// What a user does to the files that are not restored yet; returns the texts that must survive.
fn work(tree: &Edited) -> Vec<(String, Vec<u8>)> {
    let mut written = Vec::new();
    for number in 0..FILES {
        let path = file(number);
        let is_waiting = std::fs::read(tree.world.tree.at(&path)).is_ok_and(|bytes| bytes.starts_with(b"edited"));
        if !is_waiting {
            continue;
        }
        let text = format!("the user's own words {number}").into_bytes();
        match number % 4 {
            0 => tree.world.tree.write(&path, &text),
            1 => {
                tree.world.tree.write("swap", &text);
                std::fs::rename(tree.world.tree.at("swap"), tree.world.tree.at(&path)).unwrap();
            }
            2 => {
                tree.world.tree.remove(&path);
                tree.world.tree.write(path.clone() + "/inside", &text);
            }
            _ => continue,
        }
        written.push((if number % 4 == 2 { path + "/inside" } else { path }, text));
    }
    written
}

/// Every place in which a kept file's bytes may stand.
fn kept_aside(tree: &Edited, answer: &Value) -> Vec<Vec<u8>> {
    let displaced = answer["result"]["displaced"].as_array().cloned().unwrap_or_default();
    let places = displaced.iter().filter_map(|one| one["kept_at"].as_str());
    places.filter_map(|place| std::fs::read(tree.world.root().join(place)).ok()).collect()
}

#[test]
fn what_a_user_writes_while_a_restore_is_under_way_survives_it() {
    let (tree, child) = stopped(FILES / 4);
    let written = work(&tree);
    assert!(written.len() > 20, "enough files were waiting: {}", written.len());
    tree.world.tree.write("many/new-file", b"made meanwhile");
    let (_, answer) = ended(child);
    let aside = kept_aside(&tree, &answer);
    for (path, text) in &written {
        let is_there = std::fs::read(tree.world.tree.at(path)).is_ok_and(|bytes| bytes == *text);
        assert!(is_there || aside.contains(text), "{path} is lost: {answer:#}");
    }
    assert_eq!(tree.world.tree.read("many/new-file"), b"made meanwhile");
    let kept = answer["result"]["kept"].as_array().unwrap();
    assert!(kept.iter().any(|one| one["reason"] == "edited"), "{answer:#}");
    tree.world.ok(&["doctor"]);
    // An undo, too, takes back only what the restore did.
    tree.world.call(&["undo", "--yes"]);
    for (path, text) in &written {
        let is_there = std::fs::read(tree.world.tree.at(path)).is_ok_and(|bytes| bytes == *text);
        assert!(is_there || aside.contains(text), "{path} is lost by the undo");
    }
}

#[test]
fn what_a_user_writes_before_a_killed_restore_is_completed_survives_that_too() {
    let (tree, child) = stopped(FILES / 4);
    kill(child);
    let written = work(&tree);
    let resumed = tree.world.call(&["resume"]);
    let report = serde_json::json!({"result": resumed.result("resumed")[0]});
    let aside = kept_aside(&tree, &report);
    for (path, text) in &written {
        let is_there = std::fs::read(tree.world.tree.at(path)).is_ok_and(|bytes| bytes == *text);
        assert!(is_there || aside.contains(text), "{path} is lost: {report:#}");
    }
    tree.world.ok(&["doctor"]);
}

#[test]
fn an_interrupted_restore_leaves_the_old_tree_or_the_new_one() {
    for count in [0, 50, 200] {
        let (tree, child) = caught(|| {
            let tree = edited();
            let child = if count == 0 { tree.stop_before()? } else { tree.stop_after(count)? };
            Some((tree, child))
        });
        send(&child, Signal::INT);
        let (status, answer) = ended(child);
        let now = tree.world.snapshot();
        match status.code() {
            Some(0) => tree.assert_base(),
            Some(130) => tree.edited.clone().without_dir_mtimes().assert_same(&now.without_dir_mtimes()),
            other => panic!("{other:?} {answer:#}"),
        }
        assert_eq!(answer["status"] == "success", status.success());
        tree.world.ok(&["resume"]);
        tree.world.ok(&["doctor"]);
    }
}
