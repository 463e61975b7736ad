//! The restoration modes: a part of a checkpoint, change by change, and merged with the present; files and state.

use std::fs;

use serde_json::Value;

use crate::catch::{catch, caught, kill};
use crate::work::{numbered, paths};
use crate::world::{Ended, World};

impl World {
    fn tell(&self, kind: &str, task: &str) {
        self.ok(&["event", &format!(r#"{kind}:wf:1:{{"task_id":"{task}","agent_id":"{task}"}}"#)]);
    }

    /// How a task stands; `null` where it is not known.
    fn status(&self, task: &str) -> Value {
        let state = self.ok(&["get-state", "wf", "--format", "hub"]);
        let phases = state.result("workflow_state")["phases"].as_array().cloned().unwrap_or_default();
        let mut tasks = phases.iter().flat_map(|phase| phase["tasks"].as_array().cloned().unwrap_or_default());
        tasks.find(|one| one["task_id"] == task).map_or(Value::Null, |one| one["status"].clone())
    }

    fn restore(&self, checkpoint: &str, mode: &str, more: &[&str]) -> Ended {
        self.call(&[&["restore", "wf", checkpoint, "--restoration-mode", mode], more].concat())
    }

    /// The same; it must end well.
    #[track_caller]
    fn restored(&self, checkpoint: &str, mode: &str, more: &[&str]) -> Ended {
        let ended = self.restore(checkpoint, mode, more);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended
    }

    #[track_caller]
    fn is_as(&self, before: &wfr_testkit::Snapshot) {
        assert_eq!(self.timeless().differences(before), [""; 0]);
    }
}

#[test]
fn a_part_comes_back_whole_and_all_else_stays() {
    let world = World::with_lines();
    world.put("work/deep/er/x", "1");
    world.tell("TASK_STARTED", "t1");
    world.checkpoint("then");
    world.tell("TASK_COMPLETED", "t1");
    fs::remove_dir_all(world.root().join("work/deep")).unwrap();
    world.put("work/f.txt", "changed");
    let full = world.timeless();
    let refused = world.restore("then", "partial", &["--yes"]);
    assert_eq!((refused.code, refused.error()), (2, "WRONG_ARGUMENTS"));
    for named in ["--file", "--components", "workflow_state"] {
        assert!(refused.json.to_string().contains(named), "{refused:?}");
    }
    let misfit = world.refused(&["restore", "wf", "then", "--file", "work", "--yes"], 2, "WRONG_ARGUMENTS");
    assert!(misfit.json.to_string().contains("--restoration-mode partial"), "{misfit:?}");
    world.is_as(&full);
    // Of the state alone, by what is left out.
    let state = world.restored("then", "partial", &["--exclude-components", "file_system", "--yes"]);
    assert!(!state.result("components_restored").to_string().contains("file_system"), "{state:?}");
    assert_eq!((world.status("t1"), world.text("work/f.txt").as_str()), ("active".into(), "changed"));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.status("t1"), "completed");
    // Of the files alone, by path.
    let planned = world.restored("then", "partial", &["--file", "work/deep/er", "--plan"]);
    assert_eq!(paths(&planned.result("plan")["steps"]), ["work/deep", "work/deep/er", "work/deep/er/x"]);
    let digest = planned.result("plan")["digest"].as_str().unwrap().to_owned();
    world.put("work/deep", "in the way");
    let stale = world.restore("then", "partial", &["--file", "work/deep/er", "--apply", &digest]);
    assert_eq!((stale.code, stale.error()), (5, "STALE_PLAN"));
    let clash = &stale.json["result"]["plan"]["conflicts"][0];
    assert_eq!((clash["path"].as_str(), clash["code"].as_str()), (Some("work/deep"), Some("KIND_CLASH")));
    fs::remove_file(world.root().join("work/deep")).unwrap();
    world.restored("then", "partial", &["--file", "work/deep/er", "--apply", &digest]);
    assert_eq!((world.status("t1"), world.text("work/f.txt").as_str()), ("completed".into(), "changed"));
    assert_eq!(world.text("work/deep/er/x"), "1");
    // What somebody makes elsewhere of what the checkpoint has is none of the undo's business.
    world.put("work/f.txt", &numbered(&[]));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    world.put("work/f.txt", "changed");
    world.is_as(&full);
}

/// Two agents' work behind a checkpoint and a user's beside it; `early` had done its task before.
fn worked_on() -> World {
    let world = World::with_lines();
    world.tell("TASK_STARTED", "early");
    world.work("early", || world.put("work/of_early.txt", "early"));
    world.tell("TASK_COMPLETED", "early");
    world.checkpoint("then");
    for agent in ["a", "b"] {
        world.tell("TASK_STARTED", agent);
    }
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || {
        world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b")]));
        world.put("work/of_b.txt", "b");
    });
    world.tell("TASK_COMPLETED", "b");
    world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b"), (29, "by me")]));
    world.put("work/mine.txt", "mine");
    world
}

#[test]
fn what_was_done_since_goes_change_by_change() {
    let world = worked_on();
    let full = world.timeless();
    let planned = world.restored("then", "selective", &["--plan"]);
    assert_eq!(paths(&planned.result("plan")["steps"]), ["work/f.txt", "work/of_b.txt"]);
    world.is_as(&full);
    let digest = planned.result("plan")["digest"].as_str().unwrap().to_owned();
    let done = world.restored("then", "selective", &["--apply", &digest]);
    assert_eq!(done.result("rolled_back"), 2, "what was done before the checkpoint is none of it");
    assert_eq!(world.text("work/f.txt"), numbered(&[(29, "by me")]));
    assert!(!world.has("work/of_b.txt") && world.has("work/mine.txt") && world.has("work/of_early.txt"));
    assert_eq!(["a", "b", "early"].map(|task| world.status(task)), ["pending", "pending", "completed"]);
    let records = world.ok(&["recoveries", "wf"]);
    assert_eq!(records.result("recoveries")[0]["kind"], "restore");
    let again = world.restored("then", "selective", &["--yes"]);
    assert!(again.result("changed").as_array().unwrap().is_empty(), "there is nothing left to do");
    world.ok(&["undo", "--yes"]);
    world.is_as(&full);
    assert_eq!(["a", "b"].map(|task| world.status(task)), ["active", "completed"]);
}

#[test]
fn what_the_rules_keep_stays_and_conflicts_go_by_their_rule() {
    let world = worked_on();
    world.restored("then", "selective", &["--preserve-components", "successful_tasks", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(11, "by b"), (29, "by me")]));
    assert_eq!(["a", "b"].map(|task| world.status(task)), ["pending", "completed"]);
    world.ok(&["undo", "--yes"]);
    let rules = r#"{"preservation_rules":{"preserve_external_changes":false},"yes":true}"#;
    world.restored("then", "selective", &[rules]);
    assert_eq!((world.text("work/f.txt"), world.has("work/mine.txt")), (numbered(&[]), false));
    world.ok(&["undo", "--yes"]);
    let mine = numbered(&[(3, "by a and me"), (11, "by b"), (29, "by me")]);
    world.put("work/f.txt", &mine);
    let full = world.timeless();
    let refused = world.restore("then", "selective", &["--yes"]);
    assert_eq!((refused.code, refused.error()), (5, "CONFLICTS"));
    world.is_as(&full);
    world.restored("then", "selective", &["--yes", "--conflict-resolution", "current_priority"]);
    assert_eq!((world.text("work/f.txt"), world.has("work/of_b.txt")), (mine, false));
    world.ok(&["undo", "--yes"]);
    world.restored(
        "then",
        "selective",
        &["--yes", "--conflict-resolution", "checkpoint_priority", "--file", "work/f.txt"],
    );
    assert_eq!((world.text("work/f.txt"), world.has("work/of_b.txt")), (numbered(&[]), true));
    world.ok(&["undo", "--yes"]);
    world.is_as(&full);
}

/// Work of `a` with a task, saved as `then` and lost again by `lose`; behind that the user works on.
fn lost(with_ledger: bool, lose: impl FnOnce(&World)) -> World {
    let world = World::with_lines();
    world.tell("TASK_STARTED", "t1");
    world.checkpoint("start");
    let work = || {
        world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by a")]));
        world.put("work/of_a.txt", "a");
    };
    if with_ledger {
        drop(world.work("a", work))
    } else {
        work()
    }
    world.tell("TASK_COMPLETED", "t1");
    world.checkpoint("then");
    lose(&world);
    world.put("work/f.txt", &numbered(&[(20, "by me")]));
    world.put("work/mine.txt", "mine");
    world.tell("TASK_STARTED", "t2");
    world.tell("TASK_COMPLETED", "t2");
    world
}

fn by_restore(world: &World) {
    world.ok(&["restore", "wf", "start", "--yes"]);
}

/// As `git checkout .` and `git clean` do.
fn by_git(world: &World) {
    world.put("work/f.txt", &numbered(&[]));
    fs::remove_file(world.root().join("work/of_a.txt")).unwrap();
}

/// The same, and somebody looks before the user works on.
fn by_git_seen(world: &World) {
    by_git(world);
    world.checkpoint("seen");
}

#[test]
fn a_merge_brings_the_checkpoint_back_and_loses_nothing_of_the_present() {
    for (with_ledger, is_by_git) in [(true, false), (true, true), (false, false), (false, true)] {
        let world = lost(with_ledger, if is_by_git { by_git_seen } else { by_restore });
        let full = world.timeless();
        let planned = world.restored("then", "merge", &["--plan"]);
        assert_eq!(paths(&planned.result("plan")["steps"]), ["work/f.txt", "work/of_a.txt"]);
        world.is_as(&full);
        let digest = planned.result("plan")["digest"].as_str().unwrap().to_owned();
        world.put("work/f.txt", &numbered(&[(20, "by me"), (30, "by me")]));
        let stale = world.restore("then", "merge", &["--apply", &digest]);
        assert_eq!((stale.code, stale.error()), (5, "STALE_PLAN"));
        world.put("work/f.txt", &numbered(&[(20, "by me")]));
        world.restored("then", "merge", &["--apply", &digest]);
        assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (11, "by a"), (20, "by me")]));
        assert!(world.has("work/of_a.txt") && world.has("work/mine.txt"));
        assert_eq!(["t1", "t2"].map(|task| world.status(task)), ["completed", "completed"]);
        world.ok(&["validate-state", "wf"]);
        let again = world.restored("then", "merge", &["--yes"]);
        assert!(again.result("changed").as_array().unwrap().is_empty(), "there is nothing left to do");
        // What is edited behind it is merged with its undo.
        let edited = world.text("work/f.txt").replace("line 30", "by me");
        world.put("work/f.txt", &edited);
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.text("work/f.txt"), numbered(&[(20, "by me"), (30, "by me")]));
        assert!(!world.has("work/of_a.txt") && world.has("work/mine.txt"));
        world.put("work/f.txt", &numbered(&[(20, "by me")]));
        world.is_as(&full);
        let t1 = if is_by_git { "completed" } else { "active" };
        assert_eq!(["t1", "t2"].map(|task| world.status(task)), [t1, "completed"]);
    }
}

#[test]
fn what_was_changed_on_top_of_the_checkpoint_stays() {
    let world = World::with_lines();
    world.put("work/gone.txt", "x");
    world.checkpoint("then");
    world.put("work/f.txt", &numbered(&[(3, "by me")]));
    fs::remove_file(world.root().join("work/gone.txt")).unwrap();
    let planned = world.restored("then", "merge", &["--plan"]);
    assert_eq!(paths(&planned.result("plan")["steps"]), ["work/gone.txt"], "only what is not there comes");
    world.restored("then", "merge", &["--yes", "--ours", "work/gone.txt"]);
    assert!(!world.has("work/gone.txt"));
    world.restored("then", "merge", &["--yes", "--theirs", "work/f.txt"]);
    assert_eq!((world.text("work/f.txt"), world.has("work/gone.txt")), (numbered(&[]), true));
}

#[test]
fn where_both_come_from_can_be_said() {
    let world = lost(true, by_git);
    // Nobody looked in between: for all that is known, the user took the work of `a` out.
    let planned = world.restored("then", "merge", &["--plan"]);
    assert_eq!(paths(&planned.result("plan")["steps"]), ["work/of_a.txt"]);
    let finding = &planned.result("plan")["findings"][0];
    assert!(finding["code"] == "CHANGED_ON_TOP" && finding["fix"].as_str().unwrap().contains("--base"), "{finding}");
    world.restored("then", "merge", &["--base", "start", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (11, "by a"), (20, "by me")]));
    let nowhere = world.restore("then", "merge", &["--base", "nowhere", "--yes"]);
    assert_eq!((nowhere.code, nowhere.error()), (3, "CHECKPOINT_NOT_FOUND"));
}

#[test]
fn what_cannot_be_merged_is_shown_and_decided() {
    for with_ledger in [true, false] {
        let world = lost(with_ledger, by_restore);
        world.put("work/f.txt", &numbered(&[(3, "by me"), (20, "by me")]));
        let full = world.timeless();
        let refused = world.restore("then", "merge", &["--yes"]);
        assert_eq!((refused.code, refused.error()), (5, "CONFLICTS"), "{refused:?}");
        let conflict = &refused.json["result"]["plan"]["conflicts"][0];
        assert_eq!(conflict["path"], "work/f.txt");
        assert!(conflict["text"].as_str().unwrap().contains("<<<<<<< the checkpoint"), "{conflict}");
        if with_ledger {
            let message = conflict["message"].as_str().unwrap();
            assert!(message.contains("a, the user"), "{message}");
        }
        world.is_as(&full);
        let by_hand = world.data.path().join("by_hand");
        fs::write(&by_hand, "by hand\n").unwrap();
        let resolve = format!("work/f.txt={}", by_hand.display());
        let mine = numbered(&[(3, "by me"), (20, "by me")]);
        let theirs = numbered(&[(3, "by a"), (11, "by a")]);
        let ways: [(&[&str], &str); 6] = [
            (&["--partial"], &mine),
            (&["--conflict-resolution", "current_priority"], &mine),
            (&["--ours", "work/f.txt"], &mine),
            (&["--conflict-resolution", "checkpoint_priority"], &theirs),
            (&["--theirs", "work/f.txt"], &theirs),
            (&["--resolve", &resolve], "by hand\n"),
        ];
        for (way, wanted) in ways {
            let done = world.restored("then", "merge", &[&["--yes"], way].concat());
            let is_named = done.result("findings").to_string().contains("LEFT_AS_IT_IS");
            assert_eq!(is_named, way == ["--partial"], "{done:?}");
            assert_eq!((world.text("work/f.txt").as_str(), world.has("work/of_a.txt")), (wanted, true), "{way:?}");
            world.ok(&["undo", "--yes"]);
            world.is_as(&full);
        }
        world.refused(
            &[
                "restore",
                "wf",
                "then",
                "--restoration-mode",
                "merge",
                "--conflict-resolution",
                "merge_strategy",
                "--yes",
            ],
            5,
            "CONFLICTS",
        );
    }
}

#[test]
fn a_merge_that_fails_its_check_is_put_back() {
    let world = lost(true, by_restore);
    let full = world.timeless();
    for mode in ["merge", "selective"] {
        let failed = world.restore(
            if mode == "merge" { "then" } else { "start" },
            mode,
            &["--yes", "--functional-check", "false"],
        );
        let is_idle = failed.code == 0;
        assert!(is_idle || failed.error() == "FUNCTIONAL_CHECK_FAILED", "{mode}: {failed:?}");
        assert!(!is_idle || mode == "selective");
        world.is_as(&full);
    }
}

#[test]
fn a_killed_merge_is_completed_with_its_state_and_can_be_undone() {
    const FILES: usize = 200;
    let name = |number: usize| format!("work/many/{number}");
    let all = |world: &World, text: &str| (0..FILES).for_each(|number| world.put(&name(number), text));
    let (world, before, child) = caught(|| {
        let world = World::with_lines();
        all(&world, "old");
        world.tell("TASK_STARTED", "t1");
        world.checkpoint("start");
        all(&world, "new");
        world.put("work/f.txt", &numbered(&[(3, "by a")]));
        world.tell("TASK_COMPLETED", "t1");
        world.checkpoint("then");
        by_restore(&world);
        world.put("work/f.txt", &numbered(&[(20, "by me")]));
        let before = world.timeless();
        let call = ["restore", "wf", "then", "--restoration-mode", "merge", "--yes"];
        let is_under_way = || (0..FILES).filter(|number| world.text(&name(*number)) == "new").count() > FILES / 4;
        let child = catch(&world, &call, &[&world.root().join("work/many")], is_under_way)?;
        let is_over = (0..FILES).all(|number| world.text(&name(number)) == "new");
        if is_over {
            kill(child);
            return None;
        }
        Some((world, before, child))
    });
    kill(child);
    let resumed = world.ok(&["resume"]);
    assert_eq!(resumed.result("resumed")[0]["recovery_status"], "done", "{resumed:?}");
    assert!((0..FILES).all(|number| world.text(&name(number)) == "new"));
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (20, "by me")]));
    assert_eq!(world.status("t1"), "completed");
    world.ok(&["undo", "--yes"]);
    world.is_as(&before);
    assert_eq!(world.status("t1"), "active");
}

#[test]
fn a_checkpoint_from_elsewhere_was_never_this_tree() {
    let elsewhere = World::with_lines();
    elsewhere.put("work/theirs.txt", "theirs");
    elsewhere.put("work/f.txt", "of theirs\n");
    elsewhere.checkpoint("older");
    elsewhere.checkpoint("theirs");
    let archive = elsewhere.data.path().join("archive").to_str().unwrap().to_owned();
    elsewhere.ok(&["backup-state", "wf", "--output", &archive]);
    let world = World::with_lines();
    world.ok(&["import", &archive, "--from", "archive"]);
    let before = world.timeless();
    // It stands behind `base` in the list, and `base` is what is here: that does not make it put back.
    let refused = world.restore("theirs", "merge", &["--yes"]);
    assert_eq!((refused.code, refused.error()), (5, "CONFLICTS"), "{refused:?}");
    let conflict = &refused.json["result"]["plan"]["conflicts"][0];
    assert!(conflict["path"] == "work/f.txt" && conflict["message"].as_str().unwrap().contains("--base"), "{conflict}");
    world.is_as(&before);
    world.restored("theirs", "merge", &["--yes", "--partial"]);
    assert_eq!((world.text("work/f.txt"), world.text("work/theirs.txt")), (numbered(&[]), "theirs".to_owned()));
    world.restored("theirs", "merge", &["--yes", "--base", "base"]);
    assert_eq!(world.text("work/f.txt"), "of theirs\n");
}

#[test]
fn a_merge_joins_names_of_one_file_again_and_parts_no_others() {
    use std::os::unix::fs::MetadataExt;
    let world = World::with_lines();
    let place = |path: &str| world.root().join(path);
    let inode = |path: &str| fs::metadata(place(path)).unwrap().ino();
    for name in ["one", "two"] {
        world.put(&format!("work/{name}"), name);
        fs::hard_link(place(&format!("work/{name}")), place(&format!("work/{name}-again"))).unwrap();
    }
    world.checkpoint("then");
    fs::remove_file(place("work/one-again")).unwrap();
    fs::remove_file(place("work/two-again")).unwrap();
    fs::hard_link(place("work/two"), place("work/two-of-mine")).unwrap();
    let full = world.timeless();
    world.restored("then", "merge", &["--yes"]);
    assert_eq!(inode("work/one"), inode("work/one-again"), "one file, as in the checkpoint");
    assert_eq!(inode("work/two"), inode("work/two-of-mine"), "what the present joined stays so");
    assert_eq!(world.text("work/two-again"), "two");
    world.ok(&["undo", "--yes"]);
    world.is_as(&full);
}
