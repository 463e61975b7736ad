//! Claude Code: its calls, sub-agents and phased workflows in the ledger, and nothing of its own changed.
//!
//! Owns how it is set up and read. Refuses to know how the ledger comes about.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Model, Played, Stage, Whose, client, endless, kill_and_fence};
use crate::traced::Gate;

/// What it is to be called with, and the model that it speaks to.
fn claude(program: &Path, stage: &Stage, steps: &Value, more: &[&str]) -> (Command, Model) {
    let model = stage.model(steps);
    let mut command = stage.command(program);
    command.env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{}", model.port)).env("ANTHROPIC_API_KEY", "x");
    command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1").env("DISABLE_AUTOUPDATER", "1");
    command.args(["-p", "do it", "--output-format", "stream-json", "--verbose"]).args(more);
    (command, model)
}

fn attached() -> Stage {
    let stage = Stage::new();
    stage.attach("claude");
    stage
}

const ALLOWED: [&str; 4] = ["--permission-mode", "acceptEdits", "--allowedTools", "Bash,Write,Edit,Task,Workflow"];

fn bash(command: &str) -> Value {
    json!(["Bash", {"command": command, "description": "x"}])
}

fn write(stage: &Stage, name: &str, text: &str) -> Value {
    json!(["Write", {"file_path": stage.at(name), "content": text}])
}

fn edit(stage: &Stage, name: &str, old: &str, new: &str) -> Value {
    json!(["Edit", {"file_path": stage.at(name), "old_string": old, "new_string": new, "replace_all": false}])
}

fn sub(word: &str) -> Value {
    json!(["Task", {"description": word, "prompt": format!("SUB {word}"), "subagent_type": "general-purpose"}])
}

/// The result of the whole, without what differs from run to run.
fn result(played: &Played) -> Value {
    let mut last = played.lines.last().unwrap_or_else(|| panic!("nothing: {played:?}")).clone();
    let kept = ["type", "subtype", "is_error", "num_turns", "result", "permission_denials", "stop_reason"];
    last.as_object_mut().unwrap().retain(|name, _| kept.contains(&name.as_str()));
    last
}

/// A text in which the workspace has the same path in every run.
fn anywhere(text: &str, stage: &Stage) -> String {
    text.replace(stage.world.root().to_str().unwrap(), "W")
}

/// What the tools answered, in an order of their own.
fn answers(played: &Played, stage: &Stage) -> Vec<String> {
    let parts = played.lines.iter().filter_map(|line| line["message"]["content"].as_array()).flatten();
    let results = parts.filter(|part| part["type"] == "tool_result").map(Value::to_string);
    let mut answers: Vec<String> = results.map(|text| anywhere(&text, stage)).collect();
    answers.sort();
    answers
}

/// The call of a tool that a model made with certain words in it.
fn call_with(played: &Played, words: &str) -> String {
    let parts = played.lines.iter().filter_map(|line| line["message"]["content"].as_array()).flatten();
    let mut calls = parts.filter(|part| part["type"] == "tool_use");
    let call = calls.find(|part| part["input"].to_string().contains(words));
    call.unwrap_or_else(|| panic!("no call with {words}: {played:?}"))["id"].as_str().unwrap().to_owned()
}

/// What a sub-agent is called by the client, by a file that it wrote.
fn agent_of(stage: &Stage, file: &str) -> String {
    let agent = stage.whose(file).agent;
    assert!(agent.starts_with('a') && agent.len() > 10, "{agent}");
    agent
}

#[track_caller]
fn assert_whose(stage: &Stage, played: &Played, file: &str, agent: &str, (source, words): (&str, &str)) {
    let task = if agent == "main" { "" } else { agent };
    let call = call_with(played, words);
    let [agent, task, source] = [agent, task, source].map(str::to_owned);
    assert_eq!(stage.whose(file), Whose { agent, task, phase: String::new(), call, source }, "{file}");
}

#[test]
fn calls_are_told_apart_and_one_sub_agent_is_taken_back() {
    let Some(program) = client("claude") else { return };
    let stage = attached();
    let main = [
        bash("echo shell > shell.txt; cat shell.txt"),
        write(&stage, "a.txt", "one\ntwo\n"),
        edit(&stage, "a.txt", "two", "three"),
        json!({"multi": [sub("left"), sub("right")]}),
    ];
    let steps = json!({
        "main": main,
        "sub:left": [write(&stage, "left.txt", "l\n"), bash("echo left > left-sh.txt")],
        "sub:right": [write(&stage, "right.txt", "r\n"), bash("echo right > right-sh.txt")],
    });
    let (mut command, _model) = claude(&program, &stage, &steps, &ALLOWED);
    let played = Played::by(&mut command);
    assert_eq!((played.code, &result(&played)["result"]), (Some(0), &json!("All done.")), "{played:?}");

    let (left, right) = (agent_of(&stage, "left.txt"), agent_of(&stage, "right.txt"));
    assert_ne!(left, right);
    assert_whose(&stage, &played, "shell.txt", "main", ("traced", "echo shell"));
    assert_whose(&stage, &played, "a.txt", "main", ("declared", "old_string"));
    for (agent, word) in [(&left, "left"), (&right, "right")] {
        assert_whose(&stage, &played, &format!("{word}.txt"), agent, ("declared", &format!("/{word}.txt")));
        assert_whose(&stage, &played, &format!("{word}-sh.txt"), agent, ("traced", &format!("echo {word} ")));
    }
    stage.assert_no_trouble();

    stage.take_left_back(&left, "shell\n");
}

#[test]
fn what_a_formatter_of_the_users_makes_of_a_file_goes_with_it() {
    let Some(program) = client("claude") else { return };
    let stage = attached();
    let formatter =
        "f=$(sed 's/.*\"file_path\":\"\\([^\"]*\\)\".*/\\1/'); sed -i 's/=/ = /' \"$f\"; echo formatted >> \"$f\"";
    let hook = json!({"matcher": "Write|Edit", "hooks": [{"type": "command", "command": formatter}]});
    let settings = stage.world.root().join(".claude/settings.json");
    std::fs::write(settings, json!({"hooks": {"PostToolUse": [hook]}}).to_string()).unwrap();
    let steps = json!({
        "main": [json!({"multi": [sub("left"), sub("right")]})],
        "sub:left": [write(&stage, "left.txt", "l=1\n")],
        "sub:right": [write(&stage, "right.txt", "r=1\n")],
    });
    let (mut command, _model) = claude(&program, &stage, &steps, &ALLOWED);
    let played = Played::by(&mut command);
    assert_eq!(played.code, Some(0), "{played:?}");
    for name in ["left", "right"] {
        let text = stage.world.text(&format!("{name}.txt"));
        assert_eq!(text, format!("{} = 1\nformatted\n", &name[..1]), "{played:?}");
    }
    let log = stage.world.ok(&["log"]);
    let changes = log.result("changes").as_array().unwrap();
    assert!(changes.iter().all(|change| change["actor"] != "user" || change["paths"] == json!([])), "{changes:#?}");
    let left = agent_of(&stage, "left.txt");
    let workflow = stage.world.change_at("left.txt")["workflow_id"].as_str().unwrap().to_owned();
    stage.world.ok(&["rollback", &workflow, "--agent", &left, "--yes"]);
    assert!(!stage.world.root().join("left.txt").exists());
    assert_eq!(stage.world.text("right.txt"), "r = 1\nformatted\n");
    stage.assert_no_trouble();
}

#[test]
fn servers_of_mcp_are_started_as_without_us() {
    let Some(program) = client("claude") else { return };
    let stage = attached();
    let servers = json!({"mcpServers": {"wfr": {"command": env!("CARGO_BIN_EXE_wfr"), "args": ["mcp"]}}}).to_string();
    let tool = "mcp__wfr__list-checkpoints";
    let steps = json!({"main": [bash("sleep 1"), [tool, {}]]});
    let more = ["--mcp-config", &servers, "--allowedTools", &format!("Bash,{tool}")];
    let (mut command, _model) = claude(&program, &stage, &steps, &more);
    let played = Played::by(&mut command);
    let server = played.lines.iter().map(|line| &line["mcp_servers"][0]).find(|server| server.is_object());
    assert_eq!(server.map(|server| &server["status"]), Some(&json!("connected")), "{played:?}");
    assert!(answers(&played, &stage).iter().any(|answer| answer.contains("checkpoints")), "{played:?}");
}

#[test]
fn agents_of_a_phased_workflow_work_in_its_phases() {
    let Some(program) = client("claude") else { return };
    let stage = attached();
    let script = "export const meta={name:'p',description:'p',phases:[{title:'Plan'},{title:'Build it'}]}; phase('Plan'); \
        const a=await agent('SUB plan',{label:'plan'}); phase('Build it'); \
        const r=await parallel([()=>agent('SUB left',{label:'b1'}),()=>agent('SUB right',{label:'b2'})]); return {a,r};";
    let steps = json!({
        "main": [["Workflow", {"script": script}]],
        "sub:plan": [bash("echo plan > plan.txt")],
        "sub:left": [write(&stage, "left.txt", "l\n"), bash("echo left > left-sh.txt")],
        "sub:right": [write(&stage, "right.txt", "r\n"), bash("echo right > right-sh.txt")],
    });
    let (mut command, _model) = claude(&program, &stage, &steps, &ALLOWED);
    let played = Played::by(&mut command);
    assert_eq!(played.code, Some(0), "{played:?}");

    let files = ["plan.txt", "left.txt", "left-sh.txt", "right.txt", "right-sh.txt"];
    let whose = files.map(|file| stage.whose(file));
    assert_eq!(
        whose.each_ref().map(|one| one.phase.as_str()),
        ["Plan", "build_it", "build_it", "build_it", "build_it"]
    );
    let [plan, left, left_again, right, right_again] = whose.map(|one| one.agent);
    assert_eq!((&left, &right), (&left_again, &right_again));
    assert!(plan != left && left != right && right != plan);
    stage.assert_no_trouble();

    let workflow = stage.world.change_at("left.txt")["workflow_id"].as_str().unwrap().to_owned();
    let shown = stage.world.ok(&["status", &workflow]);
    let phase = &shown.result("workflow_status")["current_phase"];
    assert_eq!([&phase["name"], &phase["tasks_completed"]], [&json!("Build it"), &json!(2)], "{shown:?}");
    let told = stage.world.ok(&["events", &workflow]).json.to_string();
    let of_phase = ["PHASE_STARTED", "PHASE_COMPLETED"];
    for (event, phase) in of_phase.into_iter().flat_map(|event| [(event, "Plan"), (event, "build_it")]) {
        assert_eq!(told.matches(&format!("\"{event}:{workflow}:{phase}:")).count(), 1, "{event} {phase}: {told}");
    }
    stage.world.ok(&["rollback", &workflow, "--phase", "Build it", "--yes"]);
    let left: Vec<&str> = files.into_iter().filter(|name| stage.world.tree.at(name).exists()).collect();
    assert_eq!(left, ["plan.txt"]);
}

/// Plays the same in two workspaces, of which one has nothing of ours in the client's settings.
fn with_and_without(program: &Path, permissions: &Value, steps: impl Fn(&Stage) -> Value) -> [(Stage, Played); 2] {
    [true, false].map(|is_attached| {
        let stage = Stage::new();
        stage.at_home(".claude/settings.json", &json!({"permissions": permissions}).to_string());
        if is_attached {
            stage.attach("claude");
        }
        let (mut command, _model) = claude(program, &stage, &steps(&stage), &[]);
        let played = Played::by(&mut command);
        (stage, played)
    })
}

#[test]
fn permissions_results_and_exit_codes_are_as_without_us() {
    let Some(program) = client("claude") else { return };
    let permissions = json!({"allow": ["Bash(echo:*)", "Bash(false)", "Edit"], "deny": ["Bash(rm:*)"]});
    let steps = |stage: &Stage| {
        json!({"main": [
            bash("echo \"an  allowed one\"; echo 'and $HOME'"),
            bash("rm base.txt"),
            bash("touch nobody-said-so"),
            bash("false"),
            bash("echo error >&2"),
            write(stage, "allowed.txt", "x\n"),
            edit(stage, "allowed.txt", "nowhere", "y"),
        ]})
    };
    let [(ours, with), (plain, without)] = with_and_without(&program, &permissions, steps);
    assert_eq!(with.code, without.code);
    let all = |played: &Played, stage: &Stage| anywhere(&result(played).to_string(), stage);
    assert_eq!(all(&with, &ours), all(&without, &plain));
    assert_eq!(answers(&with, &ours), answers(&without, &plain));
    assert_eq!(ours.world.snapshot().without_mtimes(), plain.world.snapshot().without_mtimes());
    let denied = result(&with)["permission_denials"].to_string();
    assert!(denied.contains("rm base.txt") && denied.contains("touch nobody-said-so"), "{denied}");
    assert_eq!(ours.text("base.txt"), "base\n");
    ours.assert_no_trouble();
}

#[test]
fn calls_are_denied_while_a_recovery_holds_the_workspace() {
    let Some(program) = client("claude") else { return };
    let (stage, recovery) = Stage::held();
    stage.attach("claude");
    let steps = json!({"main": [bash("echo 1 > denied.txt"), write(&stage, "denied-too.txt", "2\n")]});
    let (mut command, _model) = claude(&program, &stage, &steps, &ALLOWED);
    let played = Played::by(&mut command);
    assert_eq!(played.code, Some(0), "{played:?}");
    let answers = answers(&played, &stage);
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert!(
            answer.contains("wfr is recovering this workspace") && answer.contains("\"is_error\":true"),
            "{answer}"
        );
    }
    stage.assert_denied(&["denied.txt", "denied-too.txt"], recovery);
    let (mut command, _model) = claude(&program, &stage, &steps, &ALLOWED);
    assert_eq!(Played::by(&mut command).code, Some(0));
    assert_eq!((stage.text("denied.txt").as_str(), stage.text("denied-too.txt").as_str()), ("1\n", "2\n"));
}

#[test]
fn equal_commands_at_once_are_their_agents_or_shared_by_those_who_may_have_run_them() {
    let Some(program) = client("claude") else { return };
    let stage = attached();
    // Each waits for the other, so that both run at once. Whether both were announced before the first was started is the client's
    // affair.
    let both = "touch here-$$; until [ $(ls | grep -c ^here-) = 2 ]; do sleep 0.01; done; echo same > same-$$.txt";
    let steps = json!({"main": [{"multi": [sub("left"), sub("right")]}], "sub": [bash(both)]});
    let (mut command, _model) = claude(&program, &stage, &steps, &ALLOWED);
    let played = Played::by(&mut command);
    assert_eq!(played.code, Some(0), "{played:?}");
    let changes = stage.world.changes();
    let same: Vec<&Value> = changes.iter().filter(|change| change["paths_total"] == 2).collect();
    assert!(same.len() == 2 && same.iter().all(|change| change["source"] == "traced"), "{changes:?}");
    let calls = |change: &Value| {
        let candidates = change["candidates"].as_array().unwrap().iter();
        let mut calls: Vec<Value> = candidates.map(|one| json!([one["agent_id"], one["tool_call_id"]])).collect();
        calls.sort_by_key(Value::to_string);
        calls
    };
    let candidates = [calls(same[0]), calls(same[1])];
    if same[0]["actor"] == "shared" {
        assert!(candidates[0].len() == 2 && candidates[0] == candidates[1], "{candidates:?}");
    } else {
        assert_eq!([&same[0]["actor"], &same[1]["actor"]], ["agent", "agent"]);
        assert!(same[0]["agent_id"] != same[1]["agent_id"] && same[0]["tool_call_id"] != same[1]["tool_call_id"]);
    }
    stage.assert_no_trouble();
}

#[test]
fn what_the_command_of_a_killed_client_goes_on_to_write_is_its_own_and_is_fenced() {
    let Some(program) = client("claude") else { return };
    let stage = attached();
    let gate = Gate::new();
    let steps = json!({"main": [bash(&endless(&gate))]});
    let (mut command, _model) = claude(&program, &stage, &steps, &ALLOWED);
    let whose = kill_and_fence(&stage, ("claude", &mut command), &gate);
    assert!(whose.iter().all(|one| one.call == "toolu_0000"), "{whose:?}");
    stage.assert_no_trouble();
}
