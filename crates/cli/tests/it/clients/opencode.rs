//! opencode: its calls and sub-agents in the ledger, and nothing of its own changed.
//!
//! Owns how it is set up and read. It takes long to start: all is tried in one run beside a plain one. Refuses to know how the ledger
//! comes about.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Model, Played, Stage, client, endless, kill_and_fence};
use crate::traced::Gate;

/// What it is to be called with, and the model that it speaks to.
fn opencode(program: &Path, stage: &Stage, steps: &Value) -> (Command, Model) {
    let model = stage.model(steps);
    let options = json!({"baseURL": format!("http://127.0.0.1:{}/v1", model.port), "apiKey": "x"});
    let models = json!({"m1": {"name": "m1", "tool_call": true, "limit": {"context": 100_000, "output": 4_000}}});
    let config = json!({
        "autoupdate": false, "share": "disabled", "model": "fake/m1", "small_model": "fake/m1",
        "permission": {"bash": {"*": "allow", "rm *": "deny"}},
        "provider": {"fake": {"npm": "@ai-sdk/openai-compatible", "name": "fake", "options": options, "models": models}},
    });
    stage.at_home(".config/opencode/opencode.json", &config.to_string());
    let mut command = stage.command(program);
    command.args(["run", "--format", "json", "do it"]);
    (command, model)
}

fn bash(command: &str) -> Value {
    json!(["bash", {"command": command, "description": "x"}])
}

fn write(stage: &Stage, name: &str, text: &str) -> Value {
    json!(["write", {"filePath": stage.at(name), "content": text}])
}

fn sub(word: &str) -> Value {
    json!(["task", {"description": word, "prompt": format!("SUB {word}"), "subagent_type": "general"}])
}

fn steps(stage: &Stage) -> Value {
    json!({
        "main": [
            bash("echo \"a  shell\" > shell.txt; cat shell.txt; exit 3"),
            bash("rm base.txt"),
            write(stage, "a.txt", "one\ntwo\n"),
            ["edit", {"filePath": stage.at("a.txt"), "oldString": "two", "newString": "three"}],
            {"multi": [sub("left"), sub("right")]},
        ],
        "sub:left": [write(stage, "left.txt", "l\n"), bash("echo left > left-sh.txt")],
        "sub:right": [write(stage, "right.txt", "r\n"), bash("echo right > right-sh.txt")],
    })
}

/// What each tool came to, without what differs from run to run.
fn results(played: &Played, stage: &Stage) -> Vec<String> {
    let parts = played.lines.iter().filter(|line| line["type"] == "tool_use").map(|line| &line["part"]);
    let parts = parts.filter(|part| part["tool"] != "task");
    let shown = parts.map(|part| {
        let state = &part["state"];
        json!([part["tool"], state["status"], state["output"], state["error"], state["metadata"]["exit"]]).to_string()
    });
    shown.map(|text| text.replace(stage.world.root().to_str().unwrap(), "W")).collect()
}

/// Plays in a workspace of its own.
fn play(program: &Path, is_attached: bool) -> std::thread::JoinHandle<(Stage, Played)> {
    let program = program.to_owned();
    std::thread::spawn(move || {
        let stage = Stage::new();
        if is_attached {
            stage.attach("opencode");
        }
        let (mut command, _model) = opencode(&program, &stage, &steps(&stage));
        let played = Played::by(&mut command);
        (stage, played)
    })
}

/// Calls are denied while a recovery holds the workspace.
fn play_held(program: &Path) {
    let (stage, recovery) = Stage::held();
    stage.attach("opencode");
    let steps = json!({"main": [bash("echo 1 > denied.txt"), write(&stage, "denied-too.txt", "2\n")]});
    let (mut command, _model) = opencode(program, &stage, &steps);
    let results = results(&Played::by(&mut command), &stage);
    assert_eq!(
        results.iter().filter(|result| result.contains("wfr is recovering this workspace")).count(),
        2,
        "{results:?}"
    );
    stage.assert_denied(&["denied.txt", "denied-too.txt"], recovery);
}

/// What the command of a client goes on to write that was killed is its own, and it is fenced.
fn play_killed(program: &Path) {
    let (stage, gate) = (Stage::new(), Gate::new());
    stage.attach("opencode");
    // The client asks before a command names paths elsewhere, as the gate's are.
    std::fs::write(stage.world.tree.at("wait.sh"), endless(&gate)).unwrap();
    let (mut command, _model) = opencode(program, &stage, &json!({"main": [bash("sh wait.sh; true")]}));
    let whose = kill_and_fence(&stage, ("opencode", &mut command), &gate);
    assert!(whose.iter().all(|one| one.call.starts_with("call_")), "{whose:?}");
}

#[test]
fn calls_are_told_apart_one_sub_agent_is_taken_back_and_the_rest_is_as_without_us() {
    let Some(program) = client("opencode") else { return };
    let runs = [play(&program, true), play(&program, false)];
    let others = [play_held, play_killed].map(|play| {
        let program = program.clone();
        std::thread::spawn(move || play(&program))
    });
    let [(stage, with), (plain, without)] = runs.map(|run| run.join().unwrap());
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!((with.code, without.code), (Some(0), Some(0)), "{with:?}");
    assert_eq!(results(&with, &stage), results(&without, &plain));
    assert!(results(&with, &stage).len() >= 4, "{with:?}");
    assert_eq!(stage.world.snapshot().without_mtimes(), plain.world.snapshot().without_mtimes());

    let agents = ["left", "right"].map(|word| {
        let (written, run) = (stage.whose(&format!("{word}.txt")), stage.whose(&format!("{word}-sh.txt")));
        assert_eq!([&written.agent, &written.task, &run.task], [&run.agent; 3]);
        assert_eq!([written.source.as_str(), run.source.as_str()], ["declared", "traced"]);
        assert!(written.call != run.call && run.call.starts_with("call_"), "{written:?} {run:?}");
        run.agent
    });
    assert!(agents[0] != agents[1] && agents[0].starts_with("ses_"), "{agents:?}");
    for (file, source) in [("shell.txt", "traced"), ("a.txt", "declared")] {
        let whose = stage.whose(file);
        assert_eq!([&whose.agent, &whose.source], ["main", source], "{file}");
        assert!(whose.call.starts_with("call_"));
    }
    stage.assert_no_trouble();

    stage.take_left_back(&agents[0], "a  shell\n");
}
