//! The watch: commands that ask it see what others see, and nothing depends on it.

use std::fs;
use std::process::Command;

use serde_json::Value;
use wfr_testkit::{Prng, TestTree, edit_at_random, grow, skip};

use crate::world::World;

/// A world in which somebody watches, until it is dropped.
struct Watched(World);

impl Watched {
    fn new(tree: TestTree) -> Self {
        let world = World::unprotected(tree);
        world.ok(&["init"]);
        let view = world.ok(&["watch", "start"]);
        assert_eq!(view.result("running"), true, "{view:?}");
        Self(world)
    }

    fn process(&self) -> u32 {
        self.0.ok(&["watch", "status"]).result("process").as_u64().unwrap() as u32
    }

    fn signal(&self, process: u32, signal: &str) {
        let done = Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Where the workspace is gone, so is the watch.
        drop(self.0.command(&["watch", "stop"]).output());
    }
}

fn is_alive(process: u32) -> bool {
    // A child of ours that nobody waited for stays as a zombie.
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Whether a process ends within half a minute.
fn ends(process: u32) -> bool {
    let pid = rustix::process::Pid::from_raw(process as i32).unwrap();
    let Ok(pidfd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { return true };
    let mut wait = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
    rustix::event::poll(&mut wait, Some(&limit)) == Ok(1)
}

fn paths(result: &Value) -> Vec<String> {
    result.as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn of_several_that_start_it_at_once_all_succeed() {
    let watched = Watched::new(TestTree::of_every_kind());
    let world = &watched.0;
    for _ in 0..3 {
        world.ok(&["watch", "stop"]);
        let children: Vec<_> = (0..5)
            .map(|_| {
                let mut command = world.command(&["watch", "start", "--json"]);
                command.stdout(std::process::Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let mut processes = std::collections::BTreeSet::new();
        for child in children {
            let ended = crate::world::ended(child.wait_with_output().unwrap());
            assert_eq!(ended.code, 0, "{ended:?}");
            processes.insert(ended.result("process").as_u64().unwrap());
        }
        assert_eq!(processes.len(), 1, "one watches");
    }
}

#[test]
fn a_watch_starts_shows_itself_and_stops() {
    let watched = Watched::new(TestTree::of_every_kind());
    let world = &watched.0;
    let process = watched.process();
    let again = world.ok(&["watch", "start"]);
    assert_eq!(again.result("process"), process, "one watches already");
    let second = world.command(&["watch", "run"]).output().unwrap();
    assert_eq!(second.status.code(), Some(6), "{second:?}");
    let stopped = world.ok(&["watch", "stop"]);
    assert_eq!(stopped.result("running"), false);
    assert!(ends(process));
    assert_eq!(world.ok(&["watch", "status"]).result("running"), false);
    assert_eq!(world.ok(&["watch", "stop"]).result("running"), false, "none to stop is no error");
    assert!(!world.vault().join("watch.sock").exists());
    world.refused(&["watch", "backwards"], 2, "INVALID_PARAMETER");
}

#[test]
fn changes_are_told_apart_as_without_it() {
    let watched = Watched::new(TestTree::new());
    let world = &watched.0;
    fs::create_dir_all(world.root().join("src/deep")).unwrap();
    fs::write(world.root().join("src/deep/old"), "1\n").unwrap();
    world.checkpoint("base");
    let begin = |agent: &str| {
        let begun = world.ok(&["change", "begin", "--workflow", "wf", "--agent", agent]);
        begun.result("token").as_str().unwrap().to_owned()
    };
    let token = begin("a");
    fs::write(world.root().join("src/deep/old"), "2\n").unwrap();
    fs::create_dir_all(world.root().join("new/dirs")).unwrap();
    fs::write(world.root().join("new/dirs/file"), "x\n").unwrap();
    let ended = world.ok(&["change", "end", &token]);
    assert_eq!(paths(ended.result("paths")), ["new", "new/dirs", "new/dirs/file", "src/deep/old"]);
    // What nobody announced is the user's.
    fs::rename(world.root().join("new/dirs"), world.root().join("moved")).unwrap();
    let token = begin("b");
    fs::remove_file(world.root().join("src/deep/old")).unwrap();
    let ended = world.ok(&["change", "end", &token]);
    assert_eq!(paths(ended.result("paths")), ["src/deep/old"]);
    let log = world.ok(&["log", "--actor", "user"]);
    let user: Vec<String> = paths(&log.result("changes")[0]["paths"]);
    assert_eq!(user, ["moved", "moved/file", "new/dirs", "new/dirs/file"]);
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert_eq!(fs::read_to_string(world.root().join("src/deep/old")).unwrap(), "2\n");
    world.ok(&["undo", "--yes"]);
    assert!(!world.root().join("src/deep/old").exists());
}

#[test]
fn checkpoints_and_restores_are_exact_with_it() {
    let mut prng = Prng::from_environment();
    let tree = TestTree::new();
    grow(&tree, &mut prng, wfr_testkit::TreeShape { entries: 60, specials: false, hard_links: true });
    let watched = Watched::new(tree);
    let world = &watched.0;
    let mut kept = Vec::new();
    for round in 0..8 {
        world.checkpoint(&format!("c{round}"));
        kept.push(world.snapshot());
        for _ in 0..prng.below(4) {
            edit_at_random(&world.tree, &mut prng);
        }
    }
    for (round, snapshot) in kept.iter().enumerate().rev() {
        world.ok(&["restore", "wf", &format!("c{round}"), "--yes", "--exact-mtime", "--allow-config"]);
        snapshot.assert_same(&world.snapshot());
    }
    assert!(is_alive(watched.process()));
}

#[test]
fn a_watch_that_dies_or_hangs_is_passed_over() {
    let watched = Watched::new(TestTree::of_every_kind());
    let world = &watched.0;
    world.checkpoint("base");
    let process = watched.process();
    watched.signal(process, "-STOP");
    fs::write(world.root().join("while_it_hangs"), "1").unwrap();
    let made = world.checkpoint("hangs");
    assert_eq!(made.result("files")["added"], 1);
    let way = format!("kill -9 {process}");
    assert!(world.ok(&["watch", "status"]).json["next_steps"].to_string().contains(&way));
    let refused = world.refused(&["watch", "start"], 7, "CANNOT_WATCH");
    assert!(refused.json["recovery_options"].to_string().contains(&way), "{refused:?}");
    watched.signal(process, "-KILL");
    assert!(ends(process));
    fs::write(world.root().join("after_it_died"), "1").unwrap();
    let made = world.checkpoint("dead");
    assert_eq!(made.result("files")["added"], 1);
    assert_eq!(world.ok(&["watch", "status"]).result("running"), false);
    let view = world.ok(&["watch", "start"]);
    assert_ne!(view.result("process"), process, "what the dead one left is in nobody's way");
    fs::write(world.root().join("with_the_next"), "1").unwrap();
    assert_eq!(world.checkpoint("next").result("files")["added"], 1);
}

#[test]
fn other_rules_hold_at_once() {
    let watched = Watched::new(TestTree::new());
    let world = &watched.0;
    fs::create_dir_all(world.root().join("logs/deep")).unwrap();
    world.ok(&["config", "capture.exclude", r#"["logs"]"#]);
    fs::write(world.root().join("logs/deep/a"), "1").unwrap();
    assert_eq!(world.checkpoint("without").result("files")["total"], 0);
    world.ok(&["config", "capture.exclude", "[]"]);
    fs::write(world.root().join("logs/deep/a"), "22").unwrap();
    assert_eq!(world.checkpoint("with").result("files")["total"], 1);
    fs::write(world.root().join("logs/deep/a"), "333").unwrap();
    assert_eq!(world.checkpoint("again").result("files")["changed"], 1);
}

#[test]
fn a_watch_ends_with_its_workspace_and_with_its_store() {
    let watched = Watched::new(TestTree::new());
    let process = watched.process();
    fs::remove_dir_all(watched.0.vault()).unwrap();
    assert!(ends(process), "the store is gone");
    let watched = Watched::new(TestTree::new());
    let process = watched.process();
    fs::remove_dir_all(watched.0.root()).unwrap();
    assert!(ends(process), "the workspace is gone");
}

#[test]
fn an_encrypted_store_is_watched_too() {
    let world = World::unprotected(TestTree::new());
    let secret = world.data.path().join("passphrase");
    fs::write(&secret, "correct horse\n").unwrap();
    let mut world = world;
    world.variables.push(("WFR_PASSPHRASE_FILE", secret));
    world.ok(&["init", "--encrypt", "--keep-unlocked"]);
    world.ok(&["watch", "start"]);
    let watched = Watched(world);
    let world = &watched.0;
    fs::write(world.root().join("a"), "1").unwrap();
    world.checkpoint("base");
    let begun = world.ok(&["change", "begin", "--workflow", "wf", "--agent", "a"]);
    fs::write(world.root().join("a"), "2").unwrap();
    let ended = world.ok(&["change", "end", begun.result("token").as_str().unwrap()]);
    assert_eq!(paths(ended.result("paths")), ["a"]);
}

#[test]
fn the_systems_limit_is_told_and_nothing_is_missed() {
    let world = World::unprotected(TestTree::new());
    world.ok(&["init"]);
    for dir in 0..30 {
        fs::create_dir_all(world.root().join(format!("d{dir}/below"))).unwrap();
    }
    // The limit is the user namespace's own.
    let script = r#"echo 12 > /proc/sys/user/max_inotify_watches || exit 99
        "$0" watch start --json > "$1" || exit 98
        "$0" create-checkpoint wf --name base --json > /dev/null || exit 97
        for dir in $(seq 0 29); do echo 1 > d$dir/below/file; done
        "$0" create-checkpoint wf --name next --json > "$2"; code=$?
        "$0" watch stop > /dev/null; exit $code"#;
    let (view, made) = (world.data.path().join("view"), world.data.path().join("made"));
    let mut command = Command::new("unshare");
    let inner = world.command::<&str>(&[]);
    command.args(["--user", "--map-root-user", "sh", "-c", script]).arg(inner.get_program()).args([&view, &made]);
    command.env("XDG_DATA_HOME", world.data.path()).env("HOME", world.data.path()).current_dir(world.root());
    match command.output() {
        Err(error) => return skip(&format!("unshare cannot be run: {error}")),
        Ok(output)
            if output.status.code() == Some(99) || String::from_utf8_lossy(&output.stderr).contains("unshare") =>
        {
            return skip(&format!("no user namespace with limits of its own: {output:?}"));
        }
        Ok(output) => assert!(output.status.success(), "{output:?}"),
    }
    let json = |file| -> Value { serde_json::from_slice(&fs::read(file).unwrap()).unwrap() };
    let (view, made) = (json(&view)["result"].take(), json(&made)["result"].take());
    assert_eq!(view["limited"], true, "{view}");
    assert!(!view["unwatched"].as_array().unwrap().is_empty());
    assert_eq!(made["files"]["added"], 30, "{made}");
}
