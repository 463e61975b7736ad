//! Processes that go on writing when their client is dead: they are found, shown, and ended before a recovery; nobody else is.

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::traced::{can_trace, signal, state, until};
use crate::world::World;

const WFR: &str = env!("CARGO_BIN_EXE_wfr");

/// Clients of agents, and all that they start: whatever of it is left ends with the test.
#[derive(Default)]
struct Clients {
    all: Vec<Child>,
    marks: Vec<String>,
}

impl Clients {
    /// Starts a client that has a shell run a script: in a session of its own, and with the variables of Claude Code.
    fn start(&mut self, world: &World, session: &str, script: &str) -> u32 {
        // Nobody else's, however many tests run at once.
        let mark = format!("WFR_TEST_MARK={}", world.data.path().display());
        let mut client = world.command::<&str>(&[]);
        let variables: Vec<_> =
            client.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        client = Command::new("sh");
        let tool = "env CLAUDE_CODE_SESSION_ID=$1 CLAUDE_PID=$$ $2 setsid sh -c \"$0\" & wait";
        client.args(["-c", tool, script, session, &mark]).current_dir(world.root()).envs(variables).process_group(0);
        client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let client = client.spawn().unwrap();
        let id = client.id();
        self.all.push(client);
        self.marks.push(mark);
        id
    }

    /// Kills a client as nothing can be refused.
    fn kill(&mut self, id: u32) {
        signal(id, "KILL");
        self.all.iter_mut().find(|child| child.id() == id).unwrap().wait().unwrap();
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for child in &mut self.all {
            let _ = child.kill();
            let _ = child.wait();
        }
        for process in self.marks.iter().flat_map(|mark| marked(mark)) {
            let _ = Command::new("kill").args(["-KILL", &process.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

/// Processes with a variable that are no `wfr`'s.
fn marked(mark: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let has = |process: &u32| {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let is_servant = line.split(|byte| *byte == 0).any(|word| word == b"--supervise-command");
        environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()) && !is_servant
    };
    all.filter(has).collect()
}

/// A command of an agent in a session, under `wfr exec`, as a shell is told it. The script has no single quotes.
fn exec(agent: &str, session: &str, script: &str) -> String {
    format!("{WFR} exec --workflow wf --agent {agent} --task {agent} --session {session} -- sh -c '{script}'")
}

/// A script that appends to a file for ever.
fn writes(file: &str) -> String {
    format!("while :; do echo {file} >> {file}; sleep 0.01; done")
}

impl World {
    fn length(&self, file: &str) -> u64 {
        fs::metadata(self.root().join(file)).map_or(0, |found| found.len())
    }

    fn until_written(&self, file: &str) {
        let before = self.length(file);
        until("it is written", || self.length(file) > before);
    }

    /// Writers, of an agent where one is named.
    fn writers(&self, agent: Option<&str>) -> Vec<Value> {
        let all = self.ok(&["status", "wf"]).result("writers").as_array().unwrap().clone();
        all.into_iter().filter(|one| agent.is_none_or(|agent| one["agent_id"] == agent)).collect()
    }

    fn pids(&self, agent: Option<&str>) -> Vec<u32> {
        self.writers(agent).iter().map(pid).collect()
    }
}

fn pid(writer: &Value) -> u32 {
    u32::try_from(writer["pid"].as_u64().unwrap()).unwrap()
}

fn lives(process: u32) -> bool {
    state(process).is_some_and(|letter| letter != 'Z')
}

fn has_finding(findings: &Value, code: &str) -> bool {
    findings.as_array().unwrap().iter().any(|finding| finding["code"] == code)
}

#[test]
fn the_orphan_of_a_killed_client_is_shown_and_ended_and_nobody_else_is() {
    if !can_trace() {
        return;
    }
    let (world, elsewhere) = (World::new(), World::new());
    world.checkpoint("begin");
    let mut clients = Clients::default();
    let a = clients.start(&world, "s-a", &exec("a", "s-a", &writes("a")));
    let b = clients.start(&world, "s-b", &exec("b", "s-b", &writes("b")));
    // Of the same session, and its client dies, too; but what it writes is not here.
    let c = clients.start(&elsewhere, "s-a", &writes("c"));
    for (file, world) in [("a", &world), ("b", &world), ("c", &elsewhere)] {
        world.until_written(file);
    }
    assert!(world.writers(None).iter().all(|one| one["orphan"] == false && one["client"] == "claude"));
    clients.kill(a);
    clients.kill(c);
    world.until_written("a");
    let shown = world.writers(Some("a"));
    assert!(
        !shown.is_empty() && shown.iter().all(|one| one["orphan"] == true && one["session_id"] == "s-a"),
        "{shown:?}"
    );
    let others = world.writers(Some("b"));
    assert!(!others.is_empty() && others.iter().all(|one| one["orphan"] == false), "{others:?}");
    let orphan = pid(&shown[0]);
    // Nothing is done to it by looking, nor by a plan.
    let refused = world.refused(&["rollback", "wf", "--agent", "a", "--yes"], 5, "CHANGE_OPEN");
    assert!(refused.json.to_string().contains("--stop-writers"), "{refused:?}");
    let plan = world.ok(&["restore", "wf", "begin", "--plan"]);
    assert!(has_finding(&plan.result("plan")["findings"], "ORPHAN_WRITES"), "{plan:?}");
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--plan", "--stop-writers"]);
    assert!(has_finding(&plan.result("plan")["findings"], "WRITER_ENDS"), "{plan:?}");
    assert_eq!(plan.result("plan")["steps"][0]["path"], "a");
    assert!(lives(orphan));
    world.until_written("a");
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--stop-writers", "--yes"]);
    let ended: Vec<u32> = done.result("stopped_writers").as_array().unwrap().iter().map(pid).collect();
    assert!(ended.contains(&orphan) && !ended.contains(&b) && ended.iter().all(|one| !lives(*one)), "{done:?}");
    assert!(!world.has("a"));
    // The others have not noticed.
    world.until_written("b");
    elsewhere.until_written("c");
    assert!(!world.has("a") && world.writers(Some("a")).is_empty());
    assert!(world.text("b").lines().all(|line| line == "b"));
    let change = world.changes().into_iter().find(|change| change["agent_id"] == "a").unwrap();
    assert!(change["ended_at"].is_string(), "{change}");
    // What it wrote last was recorded before it went.
    world.ok(&["undo", "--yes"]);
    assert!(world.has("a"));
}

#[test]
fn a_whole_restore_ends_all_that_write_here_and_its_undo_brings_all_they_wrote() {
    if !can_trace() {
        return;
    }
    let (world, elsewhere) = (World::new(), World::new());
    world.checkpoint("begin");
    let before = world.snapshot();
    let mut clients = Clients::default();
    let a = clients.start(&world, "s-a", &exec("a", "s-a", &writes("a")));
    clients.start(&world, "s-b", &exec("b", "s-b", &writes("b")));
    clients.start(&elsewhere, "s-c", &exec("c", "s-c", &writes("c")));
    for (file, world) in [("a", &world), ("b", &world), ("c", &elsewhere)] {
        world.until_written(file);
    }
    clients.kill(a);
    let done = world.ok(&["restore", "wf", "begin", "--stop-writers", "--yes"]);
    assert!(done.result("stopped_writers").as_array().unwrap().len() >= 2, "{done:?}");
    assert_eq!(world.snapshot(), before);
    assert!(world.writers(None).is_empty());
    elsewhere.until_written("c");
    assert_eq!(world.snapshot(), before);
    assert!(world.changes().iter().all(|change| change["ended_at"].is_string()));
    world.ok(&["undo", "--yes"]);
    assert!(world.has("a") && world.has("b"));
}

#[test]
fn what_goes_on_when_its_launcher_is_killed_is_an_orphan() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let mut child = world.exec("a", &writes("a")).process_group(0).spawn().unwrap();
    world.until_written("a");
    assert!(world.writers(Some("a")).iter().all(|one| one["orphan"] == false && one["client"].is_null()));
    signal(child.id(), "KILL");
    child.wait().unwrap();
    let shown = world.writers(Some("a"));
    assert!(!shown.is_empty() && shown.iter().all(|one| one["orphan"] == true), "{shown:?}");
    world.ok(&["rollback", "wf", "--agent", "a", "--stop-writers", "--yes"]);
    assert!(!world.has("a") && world.writers(None).is_empty());
}

#[test]
fn a_command_at_work_is_ended_where_its_own_agent_is_taken_back_and_whoever_waits_for_it_sees_that() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let mut child = world.exec("a", &writes("a")).process_group(0).spawn().unwrap();
    world.until_written("a");
    world.ok(&["rollback", "wf", "--agent", "a", "--stop-writers", "--yes"]);
    assert_eq!(child.wait().unwrap().signal(), Some(9), "it was not left stopped with its command");
    assert!(!world.has("a"));
    let change = world.changes().into_iter().find(|change| change["agent_id"] == "a").unwrap();
    assert_eq!(change["evidence"]["signal"], 9, "{change}");
}

#[test]
fn an_orphan_that_was_not_traced_is_found_by_the_session_of_its_client() {
    let world = World::new();
    world.checkpoint("begin");
    let mut clients = Clients::default();
    let token = world.ok(&["change", "begin", "--workflow", "wf", "--agent", "a", "--session", "s-a"]);
    assert!(token.result("change_id").is_string(), "{token:?}");
    let client = clients.start(&world, "s-a", &writes("a"));
    world.until_written("a");
    assert!(world.writers(Some("a")).iter().all(|one| one["orphan"] == false));
    clients.kill(client);
    let shown = world.writers(Some("a"));
    assert!(!shown.is_empty() && shown.iter().all(|one| one["orphan"] == true), "{shown:?}");
    world.ok(&["rollback", "wf", "--agent", "a", "--stop-writers", "--yes"]);
    assert!(!world.has("a") && world.writers(None).is_empty());
    assert!(world.changes().iter().all(|change| change["ended_at"].is_string()), "its client ends nothing any more");
}

#[test]
fn who_hides_from_its_parents_and_forgets_its_environment_is_found_by_what_it_asked() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let mut clients = Clients::default();
    let hidden = "env -i PATH=\"$PATH\" setsid sh -c \"while :; do echo h >> hidden; sleep 0.01; done\" &";
    let client = clients.start(&world, "s-a", &exec("a", "s-a", &format!("( {hidden} ); sleep 1000")));
    world.until_written("hidden");
    clients.kill(client);
    let shown = world.writers(Some("a"));
    assert!(shown.iter().any(|one| one["command"].as_str().unwrap().contains("hidden")), "{shown:?}");
    world.ok(&["rollback", "wf", "--agent", "a", "--stop-writers", "--yes"]);
    assert!(!world.has("hidden") && world.writers(None).is_empty());
}

#[test]
fn who_ignores_signals_or_is_stopped_ends_all_the_same() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let mut clients = Clients::default();
    let stops = format!("sh -c \"echo s > stopped; kill -STOP \\$\\$; {}\"", writes("stopped"));
    let client =
        clients.start(&world, "s-a", &exec("a", "s-a", &format!("trap : TERM INT HUP; {stops} & {}", writes("a"))));
    world.until_written("a");
    until("one is stopped", || world.writers(Some("a")).iter().any(|one| one["stopped"] == true));
    clients.kill(client);
    for process in world.pids(Some("a")) {
        let _ = Command::new("kill").args(["-TERM", &process.to_string()]).stderr(Stdio::null()).status();
    }
    world.until_written("a");
    world.ok(&["rollback", "wf", "--agent", "a", "--stop-writers", "--yes"]);
    assert!(!world.has("a") && !world.has("stopped") && world.writers(None).is_empty());
}

#[test]
fn two_hundred_that_start_others_all_the_time_come_to_an_end() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let mut clients = Clients::default();
    let breed =
        "i=0; while [ $i -lt 200 ]; do (while :; do sh -c \"echo f >> f\"; done) & i=$((i+1)); done; echo > all; wait";
    let client = clients.start(&world, "s-a", &exec("a", "s-a", breed));
    until("all are there", || world.has("all"));
    world.until_written("f");
    clients.kill(client);
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--stop-writers", "--yes"]);
    assert!(done.result("stopped_writers").as_array().unwrap().len() >= 200);
    assert!(!world.has("f") && !world.has("all") && world.writers(None).is_empty());
}

#[test]
fn an_agent_that_calls_it_does_not_end_itself_nor_the_other_end_of_its_pipe() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let mut clients = Clients::default();
    let background = exec("a", "s-a", &writes("a")).replace('\'', "\"");
    let call = format!(
        "setsid {background} & until [ -s a ]; do sleep 0.01; done; {WFR} rollback wf --agent a --stop-writers --yes --json | cat > told; echo > done"
    );
    clients.start(&world, "s-a", &call);
    until("it goes on", || world.has("done"));
    let told: Value = serde_json::from_str(&world.text("told")).unwrap();
    assert_eq!(told["status"], "success", "{told}");
    assert!(!told["result"]["stopped_writers"].as_array().unwrap().is_empty(), "{told}");
    assert!(!world.has("a"));
}

#[test]
fn whoever_has_the_number_of_a_dead_client_by_now_is_not_taken_for_it() {
    let world = World::new();
    let mut clients = Clients::default();
    world.ok(&["change", "begin", "--workflow", "wf", "--agent", "a", "--session", "s-a"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let number = elsewhere.path().join("number");
    let tool = format!(
        "until [ -s {0} ]; do sleep 0.01; done; exec env CLAUDE_PID=$(cat {0}) sh -c \"{1}\"",
        number.display(),
        writes("a")
    );
    let client = clients.start(&world, "s-a", &tool);
    until("it is there", || !world.pids(Some("a")).is_empty());
    clients.kill(client);
    // It began later than the tool, by more than the clock of processes tells.
    std::thread::park_timeout(std::time::Duration::from_millis(50));
    let mut other = Command::new("sleep").arg("1000").current_dir(elsewhere.path()).spawn().unwrap();
    fs::write(&number, other.id().to_string()).unwrap();
    world.until_written("a");
    let shown = world.writers(Some("a"));
    assert!(!shown.is_empty() && shown.iter().all(|one| one["orphan"] == true), "{shown:?}");
    world.ok(&["rollback", "wf", "--agent", "a", "--stop-writers", "--yes"]);
    assert!(!world.has("a") && lives(other.id()));
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn who_calls_it_from_within_what_is_to_go_is_refused_before_anybody_is_ended() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let call = format!(
        "{} & other=$!; until [ -s a ]; do sleep 0.01; done; {WFR} rollback wf --agent a --stop-writers --yes --json > told; kill $other",
        writes("a")
    );
    assert_eq!(world.exec("a", &call).output().unwrap().status.code(), Some(0), "the other one was there to be killed");
    let told: Value = serde_json::from_str(&world.text("told")).unwrap();
    assert_eq!(told["error"]["code"], "CHANGE_OPEN", "{told}");
    assert!(world.has("a"));
}

#[test]
fn beside_a_workspace_nobody_is_ended() {
    let world = World::new();
    world.checkpoint("begin");
    let to = tempfile::tempdir().unwrap();
    let place = to.path().join("out");
    let place = place.to_str().unwrap();
    world.refused(&["restore", "wf", "begin", "--to", place, "--stop-writers", "--yes"], 2, "WRONG_ARGUMENTS");
}
