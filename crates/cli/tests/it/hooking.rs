//! Hooks by their payloads, without a client: who is recorded for what, what is missing or broken, and many at once.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::traced::can_trace;
use crate::world::World;

/// A session of Claude Code in a world.
pub struct Talk<'w> {
    pub world: &'w World,
    pub session: &'static str,
    pub prefix: Option<&'static str>,
    /// Where the session is at home.
    pub project: Option<PathBuf>,
}

impl<'w> Talk<'w> {
    pub fn new(world: &'w World) -> Self {
        Self { world, session: "5e55", prefix: None, project: None }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.world.command(words);
        command
            .env_remove("CLAUDE_CODE_SHELL_PREFIX")
            .env_remove("CLAUDE_PROJECT_DIR")
            .env("CLAUDE_CODE_SESSION_ID", self.session);
        command.envs(self.project.as_ref().map(|project| ("CLAUDE_PROJECT_DIR", project)));
        command.envs(self.prefix.map(|prefix| ("CLAUDE_CODE_SHELL_PREFIX", prefix)));
        command
    }

    /// A payload on its way.
    pub fn start(&self, payload: &[u8]) -> Child {
        let mut child = self.command(&["hook", "claude"]);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(payload).unwrap();
        child
    }

    /// What is answered to a payload.
    pub fn say(&self, payload: &Value) -> Output {
        self.start(payload.to_string().as_bytes()).wait_with_output().unwrap()
    }

    /// An event, with further fields, by an agent; it must be passed over in silence.
    #[track_caller]
    pub fn event(&self, event: &str, agent: Option<&str>, further: Value) {
        let output = self.say(&self.payload(event, agent, further));
        assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    }

    pub fn payload(&self, event: &str, agent: Option<&str>, further: Value) -> Value {
        let mut payload = json!({"hook_event_name": event, "session_id": self.session, "cwd": self.world.root(), "later": {"x": [1]}});
        if let Some(agent) = agent {
            payload["agent_id"] = agent.into();
            payload["agent_type"] = "general-purpose".into();
        }
        for (key, value) in further.as_object().unwrap() {
            payload[key] = value.clone();
        }
        payload
    }

    fn write(&self, file: &str, call: &str) -> Value {
        json!({"tool_name": "Write", "tool_use_id": call,
               "tool_input": {"file_path": self.world.root().join(file), "content": "new\n"}})
    }

    /// A call of the tool that writes a file, from its beginning to its end.
    #[track_caller]
    fn writes(&self, agent: Option<&str>, file: &str, call: &str) {
        self.event("PreToolUse", agent, self.write(file, call));
        fs::create_dir_all(self.world.root().join(file).parent().unwrap()).unwrap();
        fs::write(self.world.root().join(file), "new\n").unwrap();
        self.event("PostToolUse", agent, self.write(file, call));
    }

    pub fn bash(command: &str, call: &str) -> Value {
        json!({"tool_name": "Bash", "tool_use_id": call, "tool_input": {"command": command}})
    }

    /// The shell as the client starts it.
    pub fn shell(&self, command: &str) -> Command {
        let script = format!("true && eval '{}' < /dev/null && pwd -P >| /dev/null", command.replace('\'', r"'\''"));
        self.command(&["--client-shell", "claude", &script])
    }
}

fn troubles(world: &World) -> Vec<Value> {
    let text = fs::read_to_string(world.vault().join("clients/trouble.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_call_is_the_change_of_its_agent() {
    let world = World::new();
    let talk = Talk::new(&world);
    talk.event("SessionStart", None, json!({"source": "startup"}));
    talk.writes(None, "new/deep/main.txt", "toolu_1");
    talk.event("SubagentStart", Some("a1"), json!({}));
    talk.writes(Some("a1"), "sub.txt", "toolu_2");
    fs::write(world.root().join("mine.txt"), "a person's\n").unwrap();
    talk.event("SubagentStop", Some("a1"), json!({}));
    talk.event("Stop", None, json!({"background_tasks": []}));
    for (path, agent, task, call) in
        [("new/deep/main.txt", "main", Value::Null, "toolu_1"), ("sub.txt", "a1", "a1".into(), "toolu_2")]
    {
        let change = world.change_at(path);
        assert_eq!((&change["agent_id"], &change["tool_call_id"]), (&agent.into(), &call.into()), "{change}");
        assert_eq!((&change["task_id"], &change["source"]), (&task, &"declared".into()), "{change}");
        assert_eq!(
            (&change["workflow_id"], &change["session_id"]),
            (&"claude-5e55".into(), &"5e55".into()),
            "{change}"
        );
        assert!(!change["ended_at"].is_null(), "{change}");
    }
    assert_eq!(world.change_at("new")["agent_id"], "main", "the directory was made for it");
    assert_eq!(world.change_at("mine.txt")["actor"], "user");
    assert!(troubles(&world).is_empty());
    world.ok(&["rollback", "claude-5e55", "--agent", "a1", "--yes"]);
    assert!(!world.root().join("sub.txt").exists() && world.root().join("new/deep/main.txt").exists());
    assert_eq!(world.ok(&["validate-state", "claude-5e55"]).result("valid"), true);
}

#[test]
fn a_client_that_a_traced_command_started_has_its_own_calls() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let talk = Talk::new(&world);
    let said = |event: &str| talk.payload(event, None, talk.write("inner.txt", "toolu_1")).to_string();
    let wfr = env!("CARGO_BIN_EXE_wfr");
    let hook = |event: &str| format!("printf '%s' '{}' | {wfr} hook claude", said(event));
    let script = format!("echo o > outer.txt; {}; echo i > inner.txt; {}", hook("PreToolUse"), hook("PostToolUse"));
    let run = world.exec("outer", &script).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    for (path, agent, source) in [("outer.txt", "outer", "traced"), ("inner.txt", "main", "declared")] {
        let change = world.change_at(path);
        assert_eq!((&change["agent_id"], &change["source"]), (&agent.into(), &source.into()), "{change}");
        assert_eq!(change["actor"], "agent", "{change}");
    }
}

#[test]
fn what_a_person_writes_while_a_tool_writes_another_file_is_that_persons() {
    let world = World::new();
    let talk = Talk::new(&world);
    talk.event("SessionStart", None, json!({}));
    talk.event("PreToolUse", Some("a1"), talk.write("named.txt", "toolu_1"));
    world.put("mine.txt", "a person's\n");
    world.put("named.txt.tmp.1.2", "half\n");
    // Somebody else looks at all of it.
    world.work("b", || world.put("b.txt", "b\n"));
    fs::rename(world.root().join("named.txt.tmp.1.2"), world.root().join("named.txt")).unwrap();
    talk.event("PostToolUse", Some("a1"), talk.write("named.txt", "toolu_1"));
    let change = world.change_at("mine.txt");
    assert_eq!((&change["actor"], &change["candidates"]), (&"user".into(), &json!([])), "{change}");
    for path in ["named.txt", "named.txt.tmp.1.2"] {
        assert_eq!(world.change_at(path)["agent_id"], "a1", "{path}");
    }
}

#[test]
fn what_is_not_told_is_found_and_what_began_is_ended() {
    let world = World::new();
    let talk = Talk::new(&world);
    talk.event("SessionStart", None, json!({}));
    // Nobody heard of its beginning.
    fs::write(world.root().join("late.txt"), "new\n").unwrap();
    talk.event("PostToolUse", None, talk.write("late.txt", "toolu_1"));
    let change = world.change_at("late.txt");
    assert_eq!((&change["agent_id"], &change["tool_call_id"]), (&"main".into(), &"toolu_1".into()), "{change}");
    // Nobody hears of its end: it was refused, or its client lost it.
    talk.event("PreToolUse", None, talk.write("half.txt", "toolu_2"));
    talk.event(
        "PreToolUse",
        None,
        json!({"tool_name": "mcp__other__write", "tool_use_id": "toolu_3", "tool_input": {}}),
    );
    fs::write(world.root().join("half.txt"), "half\n").unwrap();
    fs::write(world.root().join("other.txt"), "by a server\n").unwrap();
    talk.event("Stop", None, json!({"background_tasks": []}));
    assert_eq!(world.change_at("other.txt")["tool_call_id"], "toolu_3");
    assert!(world.changes().iter().all(|change| !change["ended_at"].is_null()));
    assert!(troubles(&world).is_empty());
}

#[test]
fn a_session_whose_client_died_is_settled_by_the_next_one() {
    let world = World::new();
    let talk = Talk::new(&world);
    // This very process is the client of the first one, and a shell that ends is that of the second.
    let payload = Talk { session: "dead", ..Talk::new(&world) }.payload("PreToolUse", None, talk.write("x", "toolu_1"));
    let mut shell = Command::new("sh");
    let wfr = talk.command(&["hook", "claude"]);
    shell.args(["-c", "\"$0\" hook claude; true"]).arg(env!("CARGO_BIN_EXE_wfr")).current_dir(world.root());
    for (name, value) in wfr.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(payload.to_string().as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
    assert!(world.newest()["ended_at"].is_null());
    fs::write(world.root().join("x"), "half\n").unwrap();
    talk.event("SessionStart", None, json!({"source": "startup"}));
    let change = world.change_at("x");
    assert!(!change["ended_at"].is_null() && change["evidence"]["degraded_because"] == "its client died", "{change}");
}

#[test]
fn no_payload_stops_an_agent() {
    let world = World::new();
    let talk = Talk::new(&world);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let huge = talk.payload(
        "PreToolUse",
        None,
        json!({"tool_name": "Write", "tool_input": {"file_path": "x".repeat(1 << 20)}}),
    );
    for (number, bytes) in [
        b"".to_vec(),
        b"not json".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"{\"hook_event_name\":\"PreToolUse\",\"session_id\":\"5e55\"}".to_vec(),
        b"{\"hook_event_name\":7,\"session_id\":null}".to_vec(),
        deep.into_bytes(),
    ]
    .into_iter()
    .enumerate()
    {
        let output = talk.start(&bytes).wait_with_output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{number}: {output:?}");
        assert_eq!(troubles(&world).len(), number + 1, "it is noted");
    }
    for further in [
        json!({"tool_name": "Write", "tool_use_id": "t", "tool_input": {"file_path": "/etc/passwd"}}),
        json!({"tool_name": "Write", "tool_use_id": "t", "tool_input": {"file_path": "../../x"}}),
        json!({"tool_name": "Write", "tool_use_id": "t", "tool_input": {"file_path": "a\u{0}b"}}),
        json!({"tool_name": "Write", "tool_use_id": "t", "tool_input": [1]}),
        json!({"tool_name": "Write", "tool_use_id": 7}),
        json!({"tool_name": "Bash", "tool_use_id": "t", "tool_input": {"command": ""}}),
        json!({"tool_name": "Read", "tool_use_id": "t", "tool_input": {"file_path": "nowhere"}}),
    ] {
        talk.event("PreToolUse", None, further.clone());
        talk.event("PostToolUse", None, further);
    }
    assert!(talk.say(&huge).status.success());
    talk.event("Unheard", None, json!({}));
    let noted = troubles(&world).len();
    assert!(world.changes().iter().all(|change| change["paths"] == json!([])), "{:?}", world.changes());
    // Nobody attached there: it is none of our business.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut payload = talk.payload("PreToolUse", None, talk.write("x", "t"));
    payload["cwd"] = elsewhere.path().to_str().unwrap().into();
    assert!(talk.say(&payload).status.success());
    payload["cwd"] = "/nowhere/at/all".into();
    assert!(talk.say(&payload).status.success());
    assert_eq!(troubles(&world).len(), noted);
    // A client that nobody knows is no reason to refuse a call either: 2 would be one.
    assert_eq!(world.command(&["hook", "nobody"]).output().unwrap().status.code(), Some(1));
    assert_eq!(world.command(&["hook"]).output().unwrap().status.code(), Some(1));
}

#[test]
fn a_damaged_store_stops_no_agent_and_is_noted() {
    let world = World::new();
    let talk = Talk::new(&world);
    talk.event("SessionStart", None, json!({}));
    let catalog = world.vault().join("catalog.db");
    let whole = fs::read(&catalog).unwrap();
    fs::write(&catalog, b"no database at all, and longer than a header would be").unwrap();
    talk.event("PreToolUse", None, talk.write("x", "toolu_1"));
    let noted = troubles(&world);
    assert_eq!((noted.len(), &noted[0]["event"]), (1, &"PreToolUse".into()), "{noted:?}");
    // So does the shell: the command runs all the same.
    let output = talk.shell("echo ran > ran.txt; exit 7").output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(world.root().join("ran.txt").exists());
    fs::write(&catalog, whole).unwrap();
}

#[test]
fn a_command_is_traced_for_the_call_that_announced_it() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let talk = Talk { prefix: Some("/anywhere/wfr-shell -c"), ..Talk::new(&world) };
    let commands =
        ["echo 'a' > one.txt", "printf '%s' \"$PWD\" > two.txt", "echo \"it's\" > three.txt\necho > four.txt"];
    for (number, command) in commands.iter().enumerate() {
        talk.event("PreToolUse", Some("a1"), Talk::bash(command, &format!("toolu_{number}")));
        let output = talk.shell(command).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        talk.event("PostToolUse", Some("a1"), Talk::bash(command, &format!("toolu_{number}")));
    }
    for (path, call) in
        [("one.txt", "toolu_0"), ("two.txt", "toolu_1"), ("three.txt", "toolu_2"), ("four.txt", "toolu_2")]
    {
        let change = world.change_at(path);
        assert_eq!((&change["agent_id"], &change["source"]), (&"a1".into(), &"traced".into()), "{change}");
        assert_eq!(change["tool_call_id"], call);
    }
    // Typed by a person: no call announced it.
    assert!(talk.shell("echo > typed.txt").output().unwrap().status.success());
    let change = world.change_at("typed.txt");
    assert_eq!((&change["actor"], &change["session_id"]), (&"user".into(), &"5e55".into()), "{change}");
    // No command of a call: a hook, a server.
    let before = world.changes().len();
    let output = talk.command(&["--client-shell", "claude", "echo \"$0\" plain"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim().rsplit(' ').next(), Some("plain"));
    assert_eq!(world.changes().len(), before);
}

#[test]
fn how_a_call_ended_is_kept() {
    let world = World::new();
    let talk = Talk::new(&world);
    let mut call = Talk::bash("make", "toolu_1");
    talk.event("PreToolUse", Some("a1"), call.clone());
    (call["error"], call["tool_response"]) =
        ("Exit code 2".into(), json!({"stdout": "x".repeat(10_000) + "end", "stderr": "no rule"}));
    talk.event("PostToolUseFailure", Some("a1"), call);
    let events = world.ok(&["events", "claude-5e55"]);
    let events = events.result("events").as_array().unwrap();
    let ended = events.iter().find(|event| event["event_type"] == "TOOL_CALL_ENDED").unwrap();
    let data = &ended["data"];
    assert_eq!((&data["tool_call_id"], &data["error"]), (&"toolu_1".into(), &"Exit code 2".into()), "{ended}");
    assert_eq!(data["stderr_tail"], "no rule");
    let stdout = data["stdout_tail"].as_str().unwrap();
    assert!(stdout.ends_with("xend") && stdout.len() < 5_000);
}

#[test]
fn two_equal_commands_at_once_are_of_both() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let talk = Talk { prefix: Some("/anywhere/wfr-shell -c"), ..Talk::new(&world) };
    let command = "echo x >> same.txt";
    talk.event("PreToolUse", Some("a1"), Talk::bash(command, "toolu_1"));
    talk.event("PreToolUse", Some("a2"), Talk::bash(command, "toolu_2"));
    assert!(talk.shell(command).output().unwrap().status.success());
    let change = world.change_at("same.txt");
    let mut agents: Vec<&str> =
        change["candidates"].as_array().unwrap().iter().filter_map(|one| one["agent_id"].as_str()).collect();
    agents.sort_unstable();
    assert_eq!((&change["actor"], agents.as_slice()), (&"shared".into(), &["a1", "a2"][..]), "{change}");
    talk.event("PostToolUse", Some("a1"), Talk::bash(command, "toolu_1"));
    // Now there is one only.
    assert!(talk.shell(command).output().unwrap().status.success());
    assert_eq!(world.change_at("same.txt")["agent_id"], "a2");
    // One that was refused is forgotten with the agent's end.
    talk.event("PostToolUse", Some("a2"), Talk::bash(command, "toolu_2"));
    talk.event("PreToolUse", Some("a1"), Talk::bash("echo > refused.txt", "toolu_3"));
    talk.event("SubagentStop", Some("a1"), json!({}));
    talk.event("PreToolUse", Some("a2"), Talk::bash("echo > refused.txt", "toolu_4"));
    assert!(talk.shell("echo > refused.txt").output().unwrap().status.success());
    assert_eq!(world.change_at("refused.txt")["tool_call_id"], "toolu_4");
}

#[test]
fn what_an_agent_read_is_known_of_its_next_change() {
    let world = World::new();
    let talk = Talk::new(&world);
    fs::write(world.root().join("source.txt"), "to be read\n").unwrap();
    let read = json!({"tool_name": "Read", "tool_use_id": "toolu_1", "tool_input": {"file_path": "source.txt"}});
    talk.event("PreToolUse", None, read.clone());
    talk.event("PostToolUse", None, read);
    talk.writes(None, "result.txt", "toolu_2");
    // Somebody else's earlier work on what was read is what this one builds on.
    talk.event("SubagentStart", Some("a1"), json!({}));
    talk.writes(Some("a1"), "base.txt", "toolu_3");
    let read = json!({"tool_name": "Read", "tool_use_id": "toolu_4", "tool_input": {"file_path": "base.txt"}});
    talk.event("PreToolUse", None, read);
    talk.writes(None, "built.txt", "toolu_5");
    let plan = world.ok(&["rollback", "claude-5e55", "--agent", "a1", "--plan"]);
    assert!(plan.json.to_string().contains("built.txt") || plan.json.to_string().contains("main"), "{:?}", plan.json);
}

#[test]
fn a_storm_of_hooks_loses_nothing() {
    let world = World::new();
    let talk = Talk::new(&world);
    talk.event("SessionStart", None, json!({}));
    let count = 500;
    let at_once = 25;
    let names: Vec<String> = (0..count / 2).map(|number| format!("storm/f{number}.txt")).collect();
    fs::create_dir(world.root().join("storm")).unwrap();
    for event in ["PreToolUse", "PostToolUse"] {
        if event == "PostToolUse" {
            names.iter().for_each(|name| fs::write(world.root().join(name), "new\n").unwrap());
        }
        // All of them wait for the one turn; so many at a time as fit this machine.
        for part in names.chunks(at_once * 10) {
            let start = |name: &String| {
                talk.start(talk.payload(event, Some(agent(name)), talk.write(name, name)).to_string().as_bytes())
            };
            for child in part.iter().map(start).collect::<Vec<_>>() {
                let output = child.wait_with_output().unwrap();
                assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
            }
        }
    }
    assert!(troubles(&world).is_empty(), "{:?}", troubles(&world));
    let log = world.ok(&["log", "--limit", "1000"]);
    let changes = log.result("changes").as_array().unwrap();
    for name in &names {
        let of = |change: &&Value| change["paths"].as_array().unwrap().iter().any(|path| path["path"] == name.as_str());
        let found: Vec<&Value> = changes.iter().filter(of).collect();
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!((&found[0]["agent_id"], &found[0]["tool_call_id"]), (&agent(name).into(), &name.as_str().into()));
        assert!(!found[0]["ended_at"].is_null());
    }
}

fn agent(name: &str) -> &'static str {
    if name.len().is_multiple_of(2) { "a1" } else { "a2" }
}

#[test]
fn while_a_recovery_runs_calls_are_denied_with_the_reason() {
    let world = World::new();
    world.checkpoint("base");
    for number in 0..200 {
        fs::write(world.root().join(format!("f{number}")), "more\n").unwrap();
    }
    let journal = world.vault().join("journal");
    let is_ready = || {
        let entries = fs::read_dir(&journal).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().ends_with(".ready"))
    };
    let recovery = crate::catch::catch(&world, &["restore", "wf", "base", "--yes"], &[&journal], is_ready);
    let Some(mut recovery) = recovery else { panic!("it ended before it could be stopped") };
    let talk = Talk::new(&world);
    let output = talk.say(&talk.payload("PreToolUse", None, talk.write("x", "toolu_1")));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let answer = &answer["hookSpecificOutput"];
    assert_eq!((&answer["permissionDecision"], &answer["hookEventName"]), (&"deny".into(), &"PreToolUse".into()));
    assert!(answer["permissionDecisionReason"].as_str().unwrap().contains("recovering"), "{answer}");
    assert!(output.status.success());
    rustix::process::kill_process(rustix::process::Pid::from_child(&recovery), rustix::process::Signal::CONT).unwrap();
    recovery.wait().unwrap();
    talk.writes(None, "x", "toolu_2");
    assert_eq!(world.change_at("x")["tool_call_id"], "toolu_2");
}
