//! The catalog, the view, the whole workspace are deleted: nothing that a checkpoint holds is lost.

use crate::world::World;

/// A workspace with two checkpoints, and what it looked like at each.
fn with_history() -> (World, [wfr_testkit::Snapshot; 2]) {
    let world = World::new();
    let first = world.snapshot();
    world.checkpoint("first");
    world.tree.write("a.txt", b"second\n");
    world.tree.remove("sub");
    let second = world.snapshot();
    world.checkpoint("second");
    (world, [first, second])
}

fn check(world: &World, [first, second]: &[wfr_testkit::Snapshot; 2]) {
    first.assert_same(&world.written_out("first"));
    second.assert_same(&world.written_out("second"));
    world.ok(&["restore", "wf", "first", "--yes", "--exact-mtime"]);
    first.assert_same(&world.snapshot());
    world.checkpoint("after");
    world.ok(&["validate-checkpoint", "after", "--validation-level", "comprehensive"]);
    world.ok(&["doctor"]);
}

#[test]
fn the_catalog_is_deleted() {
    let (world, states) = with_history();
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(world.vault().join(name));
    }
    world.refused(&["list-checkpoints", "wf"], 4, "CATALOG_DAMAGED");
    let rebuilt = world.ok(&["doctor", "--rebuild-catalog"]);
    assert_eq!(rebuilt.result("rebuilt"), 2);
    assert_eq!(world.names(), ["first", "second"]);
    check(&world, &states);
}

#[test]
fn the_format_file_is_lost_or_overwritten() {
    let (world, states) = with_history();
    let file = world.vault().join("format.json");
    let before = std::fs::read(&file).unwrap();
    for is_lost in [true, false] {
        if is_lost {
            std::fs::remove_file(&file).unwrap();
        } else {
            std::fs::write(&file, b"?").unwrap();
        }
        for command in [&["doctor"][..], &["list-checkpoints", "wf"], &["restore", "wf", "first", "--yes"]] {
            let told = world.refused(command, 4, "STORE_DAMAGED");
            assert!(told.json.to_string().contains("doctor --rebuild-catalog"), "{told:?}");
        }
        world.ok(&["doctor", "--rebuild-catalog"]);
        assert_eq!(std::fs::read(&file).unwrap(), before, "the catalog knows what it said");
    }
    check(&world, &states);
}

#[test]
fn the_format_file_and_the_catalog_are_lost() {
    let (world, states) = with_history();
    for name in ["format.json", "catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(world.vault().join(name));
    }
    assert_eq!(world.ok(&["doctor", "--rebuild-catalog"]).result("rebuilt"), 2);
    check(&world, &states);
}

#[test]
fn the_catalog_is_overwritten_with_noise() {
    let (world, states) = with_history();
    for name in ["catalog.db", "catalog.db-wal"] {
        std::fs::write(world.vault().join(name), wfr_testkit::Prng::new(3).bytes(40_000)).unwrap();
    }
    world.refused(&["list-checkpoints", "wf"], 4, "CATALOG_DAMAGED");
    world.ok(&["doctor", "--rebuild-catalog"]);
    check(&world, &states);
}

#[test]
fn checkpoints_that_the_catalog_lost_with_its_log_are_told_and_come_back() {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.checkpoint("good");
    std::fs::remove_file(world.vault().join("catalog.db-wal")).unwrap();
    assert_eq!(world.ok(&["list-checkpoints"]).result("checkpoints"), &serde_json::json!([]));
    let finding = |code: &str| {
        let told = world.call(&["doctor"]);
        let findings = told.result("findings").as_array().unwrap().clone();
        let found = findings.into_iter().find(|finding| finding["code"] == code);
        (told.code, found.unwrap_or_else(|| panic!("{told:?}")).to_string())
    };
    let (code, told) = finding("CHECKPOINTS_UNKNOWN");
    assert_eq!(code, 1);
    assert!(told.contains("(good)") && told.contains("--rebuild-catalog"), "{told}");
    // Without the view nobody can tell whether it was acknowledged.
    let view = world.root().join(".claude/recovery/checkpoints/wf");
    std::fs::rename(&view, world.data.path().join("aside")).unwrap();
    let (code, told) = finding("CHECKPOINTS_UNCOMMITTED");
    assert!(code == 0 && told.contains("(good)"), "{told}");
    world.ok(&["doctor", "--rebuild-catalog"]);
    assert_eq!(world.names(), ["good"]);
    // What was deleted is known.
    std::fs::rename(world.data.path().join("aside"), &view).unwrap();
    let exported = view.join("manual/good.ckpt");
    let kept = std::fs::read(&exported).unwrap();
    world.checkpoint("newer");
    world.ok(&["cleanup-checkpoints", "wf", r#"{"retention_policy":"last=1","preserve_critical":false}"#]);
    assert_eq!(world.names(), ["newer"]);
    std::fs::write(&exported, kept).unwrap();
    let findings = world.ok(&["doctor"]).result("findings").to_string();
    assert!(!findings.contains("CHECKPOINTS_"), "{findings}");
}

#[test]
fn what_no_checkpoint_seals_is_told_where_the_old_catalog_is_gone_too() {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.checkpoint("base");
    let findings = |world: &World| world.ok(&["doctor", "--rebuild-catalog"]).result("findings").to_string();
    assert!(!findings(&world).contains("UNSEALED_LOST"), "there was nothing of it");
    let sinks = r#"[{"name": "log", "kind": "file", "path": "log.jsonl"}]"#;
    world.ok(&["config", "coordination.sinks", sinks]);
    world.tree.write("a.txt", b"edited");
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.ok(&["outbox", "flush"]);
    assert!(!findings(&world).contains("UNSEALED_LOST"), "the old catalog has all of it");
    assert_eq!(world.ok(&["recoveries"]).result("recoveries").as_array().map(Vec::len), Some(1));
    // Where nobody can tell how much it was, that it may have been is told.
    std::fs::remove_file(world.vault().join("catalog.db")).unwrap();
    assert!(findings(&world).contains("UNSEALED_LOST"));
}

/// Events of a workflow, the catalog's loss, and what the rebuild said of it.
fn lose_catalog_behind(world: &World, events: u32) -> String {
    for _ in 0..events {
        world.ok(&["event", "SYSTEM_STARTUP:wf:global:{}"]);
    }
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(world.vault().join(name));
    }
    world.ok(&["doctor", "--rebuild-catalog"]).result("findings").to_string()
}

fn places(listed: &crate::world::Ended) -> Vec<i64> {
    listed.result("events").as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()).collect()
}

#[test]
fn who_keeps_a_place_in_the_log_gets_what_comes_after_it_was_lost() {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    world.checkpoint("base");
    world.ok(&["event", "WORKFLOW_STARTED:other:global:{}"]);
    let mut reached = 1;
    for round in 0..2 {
        let told = lose_catalog_behind(&world, 9);
        assert!(told.contains("UNSEALED_LOST") && told.contains("events since the last checkpoint"), "{told}");
        assert!(told.contains("whole workflows") && told.contains("can send again"), "{told}");
        assert!(!told.contains("EVENTS_GAP"), "what was leapt over is no loss that is told for good: {told}");
        // A reader was ahead of all that came back.
        reached = i64::max(reached, 1) + 9;
        let said = world.ok(&["event", "WORKFLOW_PAUSED:wf:global:"]).result("first_seq").as_i64().unwrap();
        let after = world.ok(&["events", "wf", "--after", &reached.to_string()]);
        assert_eq!(places(&after), [said], "round {round}");
        assert!(said > reached && said < 1 << 53);
        reached = said;
        let seen = world.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
        assert_eq!(seen.result("findings"), &serde_json::json!([]));
        world.checkpoint(&format!("next{round}"));
    }
    // An intact catalog says how far it went, and what is gone behind a leap is told.
    world.ok(&["event", "WORKFLOW_RESUMED:wf:global:"]);
    crate::states::by_hand(&world, &format!("DELETE FROM events WHERE seq = {reached} + 1"));
    let told = world.ok(&["doctor", "--rebuild-catalog"]).result("findings").to_string();
    assert!(told.contains("EVENTS_GAP") && told.contains(&format!("{}: 1 in all", reached + 1)), "{told}");
    let next = world.ok(&["event", "WORKFLOW_PAUSED:wf:global:"]);
    assert_eq!(next.result("first_seq"), reached + 2);
}

#[test]
fn no_place_is_given_twice_however_soon_the_catalog_is_lost_again() {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    world.checkpoint("base");
    let mut last = 0;
    for round in 0..6 {
        lose_catalog_behind(&world, 1);
        let said = world.ok(&["event", "WORKFLOW_PAUSED:wf:global:"]).result("first_seq").as_i64().unwrap();
        assert!(said > last + 1, "round {round}: {said} after {last}");
        last = said;
    }
    world.ok(&["doctor"]);
}

#[test]
fn what_a_rebuild_does_not_find_again_is_told() {
    for is_catalog_gone in [false, true] {
        let (world, _) = with_history();
        let pack = std::fs::read_dir(world.vault().join("packs")).unwrap().next().unwrap().unwrap().path();
        let cut = std::fs::File::options().write(true).open(pack).unwrap();
        cut.set_len(200).unwrap();
        if is_catalog_gone {
            std::fs::remove_file(world.vault().join("catalog.db")).unwrap();
        }
        let told = world.refused(&["doctor", "--rebuild-catalog"], 1, "UNHEALTHY");
        let findings = told.result("findings").to_string();
        assert!(["CHECKPOINTS_LOST", "first", "second"].iter().all(|word| findings.contains(word)), "{findings}");
        world.checkpoint("goes-on");
        world.ok(&["validate-checkpoint", "goes-on", "--validation-level", "comprehensive"]);
        world.ok(&["doctor"]);
    }
}

#[test]
fn the_view_is_deleted() {
    let (world, states) = with_history();
    std::fs::remove_dir_all(world.root().join(".claude")).unwrap();
    assert_eq!(world.names(), ["first", "second"]);
    world.checkpoint("writes-the-view-again");
    assert!(world.root().join(".claude/recovery/checkpoints/wf/manual/first.ckpt").is_file());
    check(&world, &states);
}

#[test]
fn the_whole_workspace_is_deleted() {
    let (world, states) = with_history();
    let root = world.root().to_owned();
    std::fs::remove_dir_all(&root).unwrap();
    let out = world.data.path().join("elsewhere");
    let mut command = world.command(&["restore", "wf", "first", "--yes", "--exact-mtime", "--json"]);
    let output = command.arg("--workspace").arg(&root).current_dir(world.data.path()).output().unwrap();
    assert!(output.status.success(), "{output:?} {}", out.display());
    check(&world, &states);
}

#[test]
fn the_index_and_the_stat_cache_are_deleted() {
    let (world, states) = with_history();
    for dir in ["index", "cache"] {
        for entry in std::fs::read_dir(world.vault().join(dir)).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    check(&world, &states);
}

#[test]
fn a_rebuild_waits_for_nobody_who_has_the_catalog_open() {
    let world = World::new();
    world.checkpoint("base");
    let book = std::fs::File::open(world.vault().join("leases/book")).unwrap();
    rustix::fs::flock(&book, rustix::fs::FlockOperation::LockShared).unwrap();
    let refused = world.refused(&["doctor", "--rebuild-catalog"], 6, "CATALOG_BUSY");
    let (error, options) = (refused.json["error"].to_string(), refused.json["recovery_options"].to_string());
    let own = std::process::id();
    assert!(error.contains(&format!("process {own} (`it-")), "who is in the way is named: {error}");
    assert!(options.contains(&format!("`kill {own}`")), "{options}");
    assert_eq!(world.names(), ["base"]);
    drop(book);
    world.ok(&["doctor", "--rebuild-catalog"]);
    assert_eq!(world.names(), ["base"]);
}

#[test]
fn nothing_acknowledged_is_lost_beside_a_rebuild() {
    let world = World::new();
    world.checkpoint("base");
    for round in 0..12 {
        let name = format!("n{round}");
        let mut rebuild = world.command(&["doctor", "--rebuild-catalog", "--quiet"]);
        let mut rebuild =
            rebuild.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap();
        let created = world.call(&["create-checkpoint", "wf", "--name", &name]);
        rebuild.wait().unwrap();
        assert_eq!(created.code, 0, "{created:?}");
        assert!(world.names().contains(&name), "{name} was acknowledged and is gone");
    }
}

#[test]
fn a_moved_workspace_is_not_guessed_and_found_where_it_is_named() {
    let world = World::new();
    world.checkpoint("base");
    let vault = world.vault();
    let moved = world.data.path().join("moved");
    std::fs::rename(world.root(), &moved).unwrap();
    let elsewhere = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.current_dir("/").arg("--json").arg("--store").arg(&vault);
        let json = command.output().unwrap().stdout;
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()
    };
    let refused = elsewhere(&["create-checkpoint", "wf"]);
    assert!(refused["recovery_options"].to_string().contains("`--workspace DIR`"), "{refused:#}");
    let named = ["create-checkpoint", "wf", "--workspace", moved.to_str().unwrap()];
    assert_eq!(elsewhere(&named)["status"], "success");
    assert_eq!(elsewhere(&["create-checkpoint", "wf"])["status"], "success", "now the store knows");
    std::fs::rename(&moved, world.root()).unwrap();
}

#[test]
fn a_directory_at_the_old_path_of_a_moved_workspace_gets_a_store_of_its_own() {
    let world = World::unprotected(wfr_testkit::TestTree::new());
    let (old, new) = (world.root().join("mv1"), world.root().join("mv2"));
    let call = |dir: &std::path::Path, arguments: &[&str]| {
        let output = world.command(arguments).arg("--json").current_dir(dir).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    std::fs::create_dir(&old).unwrap();
    let made = call(&old, &["init"]);
    call(&old, &["create-checkpoint", "wf", "--name", "moved"]);
    std::fs::rename(&old, &new).unwrap();
    assert_eq!(call(&new, &["list-checkpoints"])["result"]["total"], 1);
    // It keeps its store where its view goes, too.
    std::fs::remove_dir_all(new.join(".claude")).unwrap();
    let mended = call(&new, &["init"]);
    assert_eq!((&mended["result"]["existed"], &mended["result"]["store"]), (&true.into(), &made["result"]["store"]));
    assert_eq!(call(&new, &["list-checkpoints"])["result"]["total"], 1);
    std::fs::create_dir(&old).unwrap();
    for round in 0..2 {
        let again = call(&old, &["init"]);
        assert_eq!(again["result"]["existed"], round > 0, "{again:#}");
        assert_ne!(again["result"]["store"], made["result"]["store"]);
        assert_eq!(call(&old, &["list-checkpoints"])["result"]["total"], round, "{again:#}");
        call(&old, &["create-checkpoint", "wf", "--name", "own"]);
        // It is found again when its view is gone.
        std::fs::remove_dir_all(old.join(".claude")).unwrap();
        assert_eq!(call(&old, &["list-checkpoints"])["result"]["total"], 1);
    }
    assert_eq!(call(&new, &["list-checkpoints"])["result"]["total"], 1);
}

#[test]
fn a_store_that_serves_a_workspace_is_not_given_to_another() {
    let world = World::new();
    world.checkpoint("base");
    let (vault, other) = (world.vault(), world.data.path().join("w2"));
    std::fs::create_dir(&other).unwrap();
    let asked = ["init", other.to_str().unwrap(), "--store", vault.to_str().unwrap()];
    let refused = world.refused(&asked, 5, "ALREADY_PROTECTED");
    let message = refused.json["error"]["message"].as_str().unwrap();
    assert!(message.contains(world.root().to_str().unwrap()), "{message}");
    assert!(!other.join(".claude").exists());
    // A copy names the store of another, too.
    let view = other.join(".claude/recovery");
    std::fs::create_dir_all(&view).unwrap();
    std::fs::copy(world.root().join(".claude/recovery/config.toml"), view.join("config.toml")).unwrap();
    world.refused(&asked[..2], 5, "WORKSPACE_COPIED");
    let (far, at) = (world.data.path().join("far"), other.to_str().unwrap());
    let elsewhere = ["init", at, "--store", far.to_str().unwrap()];
    for asked in
        [&elsewhere[..], &["init", at, "--store", far.to_str().unwrap(), "--new-store"], &["init", at, "--new-store"]]
    {
        let refused = world.refused(asked, 5, "WORKSPACE_COPIED");
        assert!(refused.json["recovery_options"].to_string().contains("remove `.claude/recovery`"), "{refused:?}");
    }
    std::fs::remove_dir_all(&view).unwrap();
    world.ok(&elsewhere);
    assert_eq!(world.ok(&["list-checkpoints", "--workspace", at]).result("total"), 0);
    assert_eq!(world.names(), ["base"]);
}

#[test]
fn a_rebuild_gives_a_name_to_whom_it_was_last_acknowledged_for() {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    let is_of = |world: &World, name: &str, text: &str| {
        let got = world.command(&["cat", name, "a.txt"]).output().unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&got), text, "{name}");
    };
    world.tree.write("a.txt", b"OLD");
    world.checkpoint("rel");
    world.checkpoint("mid");
    world.ok(&["cleanup-checkpoints", "wf", r#"{"retention_policy":"last=1","preserve_critical":false}"#]);
    world.tree.write("a.txt", b"NEW");
    world.checkpoint("rel");
    for is_lost in [true, false] {
        if is_lost {
            std::fs::remove_file(world.vault().join("catalog.db")).unwrap();
            let _ = std::fs::remove_file(world.vault().join("catalog.db-wal"));
        }
        let told = world.ok(&["doctor", "--rebuild-catalog"]);
        let findings = told.result("findings").to_string();
        assert_eq!(findings.contains("CHECKPOINTS_RENAMED"), is_lost, "named once, then that is its name: {findings}");
        assert!(!is_lost || findings.contains("(rel) is now rel_2"), "{findings}");
        is_of(&world, "rel", "NEW");
        is_of(&world, "rel_2", "OLD");
    }
}

#[test]
fn every_rebuild_keeps_the_catalog_of_before() {
    let world = World::new();
    world.checkpoint("base");
    (0..3).for_each(|_| drop(world.ok(&["doctor", "--rebuild-catalog"])));
    let names = std::fs::read_dir(world.vault()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let kept =
        names.filter(|name| name.contains("db.before-") && !name.ends_with("-wal") && !name.ends_with("-shm")).count();
    assert_eq!(kept, 3);
}

#[test]
fn init_writes_a_view_that_is_gone_again_with_its_manifests() {
    let world = World::new();
    world.checkpoint("base");
    let manifest = world.root().join(".claude/recovery/checkpoints/wf");
    let count = || std::fs::read_dir(&manifest).map_or(0, |kinds| kinds.flatten().count());
    let before = count();
    assert!(before > 0);
    std::fs::remove_dir_all(world.root().join(".claude")).unwrap();
    world.ok(&["init"]);
    assert_eq!(count(), before);
}

#[test]
fn a_store_that_is_away_is_not_made_anew_unless_that_is_wanted() {
    let (world, states) = with_history();
    let (vault, elsewhere) = (world.vault(), world.data.path().join("elsewhere"));
    std::fs::rename(&vault, &elsewhere).unwrap();
    for mount_point_stays in [false, true] {
        if mount_point_stays {
            std::fs::create_dir(&vault).unwrap();
        }
        for command in [&["init"][..], &["list-checkpoints"], &["create-checkpoint", "wf"]] {
            let told = world.refused(command, 3, "STORE_NOT_FOUND");
            assert!(told.json["recovery_options"].to_string().contains("--new-store"), "{told:?}");
        }
    }
    assert_eq!(std::fs::read_dir(&vault).unwrap().count(), 0, "nothing was made");
    std::fs::remove_dir(&vault).unwrap();
    std::fs::rename(&elsewhere, &vault).unwrap();
    assert_eq!(world.ok(&["init"]).result("existed"), true);
    check(&world, &states);
    // Where it was moved is said with `--store`.
    for (from, to) in [(&vault, &elsewhere), (&elsewhere, &vault)] {
        std::fs::rename(from, to).unwrap();
        world.refused(&["init"], 3, "STORE_NOT_FOUND");
        assert_eq!(world.ok(&["init", "--store", to.to_str().unwrap()]).result("existed"), true);
        world.ok(&["doctor"]);
    }
    std::fs::rename(&vault, &elsewhere).unwrap();
    world.ok(&["init", "--new-store"]);
    assert_eq!(world.ok(&["list-checkpoints"]).result("total"), 0);
    for arguments in [&["doctor"][..], &["doctor", "--rebuild-catalog"], &["doctor"]] {
        let told = world.ok(arguments).result("findings").to_string();
        assert!(!told.contains("CHECKPOINTS_"), "they are in the store of before: {told}");
    }
}
