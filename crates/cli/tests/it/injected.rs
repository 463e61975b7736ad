//! File systems that are not there, put on by strace: calls that a kernel refuses, and names that it tells.
//!
//! Owns what is refused and said then. Refuses to know which calls are made.

use std::process::{Command, Output};

use crate::world::{Ended, World, ended};

/// Calls `wfr` with something injected into its system calls; `None` where strace cannot do that here.
fn injected(world: &World, inject: &str, arguments: &[&str]) -> Option<Ended> {
    injected_with(world, &["-e", inject], arguments)
}

/// The same, with further words for strace.
fn injected_with(world: &World, inject: &[&str], arguments: &[&str]) -> Option<Ended> {
    traced(world, inject, arguments).map(ended)
}

/// The same, however it ended: it may have been killed.
pub fn traced(world: &World, inject: &[&str], arguments: &[&str]) -> Option<Output> {
    let strace = |inject: &[&str]| {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none"]).args(inject);
        command
    };
    let works = strace(inject).arg("true").output().is_ok_and(|output| output.status.success());
    if !works {
        return None;
    }
    let plain = world.command(arguments);
    let mut command = strace(inject);
    command.arg(plain.get_program()).args(plain.get_args()).arg("--json").current_dir(world.root());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(command.output().unwrap())
}

const NO_EXCHANGE: &str = "inject=renameat2:error=EINVAL";

#[test]
fn without_exchange_a_restore_in_place_is_refused_before_anything_is_staged() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let (before, root) = (world.snapshot(), world.root().to_str().unwrap().to_owned());
    let Some(refused) = injected(&world, NO_EXCHANGE, &["restore", "wf", "base", "--yes"]) else {
        return wfr_testkit::skip("strace cannot be used here");
    };
    assert_eq!((refused.code, refused.error()), (7, "UNSUPPORTED_FILE_SYSTEM"), "{refused:?}");
    let message = refused.json["error"]["message"].as_str().unwrap();
    let stat = Command::new("stat").args(["-f", "-c", "%T", &root]).output().unwrap();
    let kind = String::from_utf8(stat.stdout).unwrap();
    let is_named =
        message.contains("ext4") && kind.contains("ext") || message.contains(kind.trim()) || message.contains("0x");
    assert!(message.contains(&root) && is_named, "the place and its file system ({kind}) are named: {message}");
    before.assert_same(&world.snapshot());
    assert!(!world.tree.at(".wfr-staging").exists(), "nothing is staged");
    assert_eq!(world.names(), ["base"], "no safety checkpoint stays");
    let diagnosis = injected(&world, NO_EXCHANGE, &["doctor"]).unwrap();
    assert_eq!(diagnosis.error(), "UNHEALTHY", "{diagnosis:?}");
    let findings = diagnosis.result("findings").as_array().unwrap();
    let finding = findings.iter().find(|one| one["code"] == "FILE_SYSTEM_UNSUITABLE").unwrap();
    assert!(finding["message"].as_str().unwrap().contains(&root) && finding["fix"].to_string().contains("--to"));
    let out = world.data.path().join("out");
    let beside = injected(&world, NO_EXCHANGE, &["restore", "wf", "base", "--to", out.to_str().unwrap(), "--yes"]);
    assert_eq!(beside.unwrap().code, 0);
    assert_eq!(std::fs::read(out.join("a.txt")).unwrap(), b"a0\n");
}

/// The first field of what `statfs` gives, the magic number, as a kernel has it for a mount of NFS.
const ON_NFS: &str = "inject=statfs:poke_exit=@arg2=6969000000000000";

#[test]
fn a_store_on_a_network_is_named_by_init_and_doctor() {
    let world = World::new();
    let Some(made) = injected(&world, ON_NFS, &["init"]) else {
        return wfr_testkit::skip("this strace cannot change what calls give back");
    };
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.json["next_steps"].to_string().contains("is on nfs"), "{made:?}");
    let diagnosis = injected(&world, ON_NFS, &["doctor"]).unwrap();
    let findings = diagnosis.result("findings").as_array().unwrap();
    let finding = findings.iter().find(|one| one["code"] == "STORE_ON_NETWORK").unwrap();
    assert_eq!(finding["severity"], "warning");
    assert!(finding["message"].as_str().unwrap().contains("nfs"), "{finding}");
    assert!(!world.ok(&["doctor"]).result("findings").to_string().contains("STORE_ON_NETWORK"));
}

#[test]
fn a_catalog_that_the_disk_does_not_give_is_not_taken_for_damaged() {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.checkpoint("base");
    world.ok(&["event", r#"WORKFLOW_STARTED:wf:global:{"workflow_name": "unsealed"}"#]);
    let catalog = world.vault().join("catalog.db");
    // From the first read of it on, the second, and so on, until the new catalog has its place and its name.
    for first in (1..30).step_by(2) {
        // All of it stands in the main file then.
        world.ok(&["doctor", "--rebuild-catalog"]);
        let inject = format!("inject=read,pread64:error=EIO:when={first}+");
        let only = ["-P", catalog.to_str().unwrap(), "-e", inject.as_str()];
        let Some(ended) = injected_with(&world, &only, &["doctor", "--rebuild-catalog"]) else {
            return wfr_testkit::skip("strace cannot be used here");
        };
        assert!(ended.code == 0 || ended.error() == "IO_ERROR", "{first}: {ended:?}");
        let said = world.ok(&["events"]).json.to_string();
        assert!(said.contains("unsealed"), "{first}: what no checkpoint seals is lost: {ended:?}");
    }
}
