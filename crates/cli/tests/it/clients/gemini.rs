//! Gemini CLI: its calls in the ledger, those of its sub-agents as far as it tells of them, and nothing of its own changed.
//!
//! Owns how it is set up and read. Refuses to know how the ledger comes about.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Model, Played, Stage, client, endless, kill_and_fence};
use crate::traced::Gate;

/// What it is to be called with, and the model that it speaks to.
fn gemini(program: &Path, stage: &Stage, is_attached: bool, steps: &Value) -> (Command, Model) {
    let settings = json!({"security": {"auth": {"selectedType": "gemini-api-key"}}});
    stage.at_home(".gemini/settings.json", &settings.to_string());
    if is_attached {
        stage.attach("gemini");
    }
    let model = stage.model(steps);
    let mut command = stage.command(program);
    command.env("GOOGLE_GEMINI_BASE_URL", format!("http://127.0.0.1:{}", model.port)).env("GEMINI_API_KEY", "x");
    command.env("GEMINI_CLI_TRUST_WORKSPACE", "true").env("GEMINI_TELEMETRY_ENABLED", "false");
    command.args(["-y", "-m", "gemini-2.5-pro", "-o", "stream-json", "-p", "do it"]);
    (command, model)
}

fn run(command: &str) -> Value {
    json!(["run_shell_command", {"command": command, "description": "x"}])
}

fn write(stage: &Stage, name: &str, text: &str) -> Value {
    json!(["write_file", {"file_path": stage.at(name), "content": text}])
}

fn sub(word: &str) -> Value {
    json!(["invoke_agent", {"agent_name": "generalist", "prompt": format!("SUB {word}")}])
}

const COMPLETED: &str = "done";

fn complete() -> Value {
    json!(["complete_task", {"result": COMPLETED}])
}

/// What each tool came to, and the end, without what differs from run to run.
fn results(played: &Played, stage: &Stage) -> Vec<String> {
    let lines = played.lines.iter().filter(|line| line["type"] == "tool_result" || line["type"] == "result");
    let shown = lines.map(|line| json!([line["type"], line["status"], line["output"], line["error"]]).to_string());
    let numbers =
        |text: String| text.split("PGID: ").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect();
    shown.map(|text| numbers(text.replace(stage.world.root().to_str().unwrap(), "W"))).collect()
}

#[test]
fn calls_are_in_the_ledger_and_a_sub_agents_work_is_taken_back() {
    let Some(program) = client("gemini") else { return };
    let stage = Stage::new();
    let steps = json!({
        "main": [
            run("echo \"shell\" > shell.txt; cat shell.txt"),
            write(&stage, "a.txt", "one\ntwo\n"),
            ["replace", {"file_path": stage.at("a.txt"), "old_string": "two", "new_string": "three", "instruction": "x"}],
            sub("left"),
            sub("right"),
            run("echo last > last.txt"),
        ],
        "sub:left": [write(&stage, "left.txt", "l\n"), run("echo left > left-sh.txt"), complete()],
        "sub:right": [write(&stage, "right.txt", "r\n"), run("echo right > right-sh.txt"), complete()],
    });
    let (mut command, _model) = gemini(&program, &stage, true, &steps);
    let played = Played::by(&mut command);
    assert_eq!(played.code, Some(0), "{played:?}");
    for (file, agent, source) in [
        ("shell.txt", "main", "traced"),
        ("a.txt", "main", "declared"),
        ("left.txt", "generalist-1", "declared"),
        ("left-sh.txt", "generalist-1", "traced"),
        ("right.txt", "generalist-2", "declared"),
        ("right-sh.txt", "generalist-2", "traced"),
        ("last.txt", "main", "traced"),
    ] {
        let whose = stage.whose(file);
        assert_eq!([&whose.agent, &whose.source], [agent, source], "{file}");
    }
    stage.assert_no_trouble();

    stage.take_left_back("generalist-1", "shell\n");
}

#[test]
fn where_our_program_is_gone_it_works_as_without_us() {
    let Some(program) = client("gemini") else { return };
    let stage = Stage::new();
    let steps = json!({"main": [write(&stage, "a.txt", "one\n"), run("echo shell > shell.txt")]});
    let (mut command, _model) = gemini(&program, &stage, true, &steps);
    let settings = stage.home.path().join(".gemini/settings.json");
    let text = std::fs::read_to_string(&settings).unwrap();
    let gone = text.replace(env!("CARGO_BIN_EXE_wfr"), "/nowhere/wfr");
    assert_ne!(text, gone);
    std::fs::write(&settings, gone).unwrap();
    let played = Played::by(&mut command);
    assert_eq!(played.code, Some(0), "{played:?}");
    assert_eq!([stage.world.text("a.txt"), stage.world.text("shell.txt")], ["one\n", "shell\n"], "{played:?}");
}

#[test]
fn policies_results_and_exit_codes_are_as_without_us() {
    let Some(program) = client("gemini") else { return };
    let policy =
        "[[rule]]\ntoolName = \"run_shell_command\"\ncommandPrefix = \"rm\"\ndecision = \"deny\"\npriority = 200\n";
    let runs = [true, false].map(|is_attached| {
        let program = program.clone();
        std::thread::spawn(move || {
            let stage = Stage::new();
            stage.at_home(".gemini/policies/rules.toml", policy);
            let steps = json!({"main": [
                run("echo \"an  allowed one\"; echo 'and home'"),
                run("rm base.txt"),
                run("exit 3"),
                run("echo error >&2"),
                write(&stage, "a.txt", "one\n"),
            ]});
            let (mut command, _model) = gemini(&program, &stage, is_attached, &steps);
            let played = Played::by(&mut command);
            (stage, played)
        })
    });
    let [(ours, with), (plain, without)] = runs.map(|run| run.join().unwrap());
    assert_eq!(with.code, without.code);
    assert_eq!(results(&with, &ours), results(&without, &plain));
    assert!(results(&with, &ours).len() >= 5, "{with:?}");
    assert_eq!(ours.world.snapshot().without_mtimes(), plain.world.snapshot().without_mtimes());
    assert_eq!(ours.text("base.txt"), "base\n");
    ours.assert_no_trouble();
}

#[test]
fn what_the_command_of_a_killed_client_goes_on_to_write_is_its_own_and_is_fenced() {
    let Some(program) = client("gemini") else { return };
    let stage = Stage::new();
    let gate = Gate::new();
    let (mut command, _model) = gemini(&program, &stage, true, &json!({"main": [run(&endless(&gate))]}));
    kill_and_fence(&stage, ("gemini", &mut command), &gate);
}

#[test]
fn calls_are_denied_while_a_recovery_holds_the_workspace() {
    let Some(program) = client("gemini") else { return };
    let (stage, recovery) = Stage::held();
    let steps = json!({"main": [run("echo 1 > denied.txt"), write(&stage, "denied-too.txt", "2\n")]});
    let (mut command, _model) = gemini(&program, &stage, true, &steps);
    let played = Played::by(&mut command);
    let results = results(&played, &stage);
    assert_eq!(
        results.iter().filter(|result| result.contains("wfr is recovering this workspace")).count(),
        2,
        "{results:?}"
    );
    stage.assert_denied(&["denied.txt", "denied-too.txt"], recovery);
}

#[test]
fn equal_commands_at_once_are_their_agents() {
    let Some(program) = client("gemini") else { return };
    let stage = Stage::new();
    let run = run("echo same > same-$$.txt");
    let steps = json!({"main": [{"multi": [run, run]}, {"multi": [sub("left"), sub("right")]}],
        "sub": [write(&stage, "sub.txt", "x\n"), complete()]});
    let (mut command, _model) = gemini(&program, &stage, true, &steps);
    assert_eq!(Played::by(&mut command).code, Some(0));
    let changes = stage.world.changes();
    let same = changes.iter().filter(|change| change["paths"].to_string().contains("same-")).collect::<Vec<_>>();
    assert!(
        !same.is_empty() && same.iter().all(|change| change["agent_id"] == "main" && change["source"] == "traced"),
        "{same:?}"
    );
    // Nobody can tell which of two agents at once it was.
    let agent = stage.whose("sub.txt").agent;
    assert!(agent == "several-agents" || agent.starts_with("generalist-"), "{agent}");
    stage.assert_no_trouble();
}
