//! Codex: its calls and sub-agents in the ledger, in and out of its sandbox, and nothing of its own changed.
//!
//! Owns how it is set up and read. Refuses to know how the ledger comes about.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Model, Played, Stage, Whose, client, endless, kill_and_fence};
use crate::traced::Gate;

/// What it is to be called with, and the model that it speaks to.
fn codex(program: &Path, stage: &Stage, steps: &Value, (sandbox, is_attached): (&str, bool)) -> (Command, Model) {
    let model = stage.model(steps);
    let config = format!(
        "model = \"gpt-5.5\"\nmodel_provider = \"fake\"\n[model_providers.fake]\nname = \"fake\"\nbase_url = \
         \"http://127.0.0.1:{}/v1\"\nwire_api = \"responses\"\nenv_key = \"FAKE_KEY\"\n",
        model.port
    );
    stage.at_home(".codex/config.toml", &config);
    if is_attached {
        stage.attach("codex");
    }
    let mut command = stage.command(program);
    command.env("FAKE_KEY", "x").args(["exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-hook-trust"]);
    command.args(["-s", sandbox, "-C"]).arg(stage.world.root()).arg("do it");
    (command, model)
}

const FREE: &str = "danger-full-access";

fn run(command: &str) -> Value {
    json!(["exec_command", {"cmd": command}])
}

fn patch(text: &str) -> Value {
    json!(["custom:apply_patch", format!("*** Begin Patch\n{text}*** End Patch\n")])
}

fn sub(word: &str) -> Value {
    json!(["multi_agent_v1|spawn_agent", {"message": format!("SUB {word}")}])
}

/// What the client says of each thing that it did, without what differs from run to run.
fn items(played: &Played, stage: &Stage) -> Vec<String> {
    let done = played.lines.iter().filter(|line| line["type"] == "item.completed").map(|line| line["item"].clone());
    done.map(|item| item.to_string().replace(stage.world.root().to_str().unwrap(), "W")).collect()
}

#[track_caller]
fn assert_whose(stage: &Stage, file: &str, agent: &str, (source, call): (&str, &str)) {
    let task = if agent == "main" { "" } else { agent };
    let [agent, task, source, call] = [agent, task, source, call].map(str::to_owned);
    assert_eq!(stage.whose(file), Whose { agent, task, phase: String::new(), call, source }, "{file}");
}

#[test]
fn calls_are_told_apart_and_one_sub_agent_is_taken_back() {
    let Some(program) = client("codex") else { return };
    let stage = Stage::new();
    let steps = json!({
        "main": [
            run("echo shell > shell.txt; cat shell.txt"),
            patch("*** Add File: a.txt\n+one\n+two\n"),
            patch("*** Update File: a.txt\n@@\n one\n-two\n+three\n"),
            sub("left"),
            sub("right"),
            ["multi_agent_v1|wait_agent", {"targets": [], "timeout_ms": 20_000}],
            run("until [ -e left-sh.txt ] && [ -e right-sh.txt ]; do sleep 0.05; done"),
        ],
        "sub:left": [patch("*** Add File: left.txt\n+l\n"), run("echo left > left-sh.txt")],
        "sub:right": [patch("*** Add File: right.txt\n+r\n"), run("echo right > right-sh.txt")],
    });
    let (mut command, _model) = codex(&program, &stage, &steps, (FREE, true));
    let played = Played::by(&mut command);
    assert_eq!(played.code, Some(0), "{played:?}");

    let (left, right) = (stage.whose("left.txt").agent, stage.whose("right.txt").agent);
    assert!(left.len() > 30 && right.len() > 30 && left != right, "{left} {right}");
    assert_whose(&stage, "shell.txt", "main", ("traced", "call_0_0"));
    assert_whose(&stage, "a.txt", "main", ("declared", "call_2_0"));
    for (agent, word) in [(&left, "left"), (&right, "right")] {
        let own = |file: &str| stage.whose(file);
        let (patched, run) = (own(&format!("{word}.txt")), own(&format!("{word}-sh.txt")));
        assert_eq!([&patched.agent, &patched.task, &run.agent, &run.task], [agent; 4]);
        assert_eq!([patched.source.as_str(), run.source.as_str()], ["declared", "traced"]);
        assert!(patched.call != run.call && patched.call.starts_with("call_"), "{patched:?} {run:?}");
    }
    stage.assert_no_trouble();

    stage.take_left_back(&left, "shell\n");
}

#[test]
fn rules_results_and_exit_codes_are_as_without_us() {
    let Some(program) = client("codex") else { return };
    let steps = json!({"main": [
        run("echo \"an  allowed one\"; echo 'and $HOME'"),
        run("rm base.txt"),
        run("exit 3"),
        run("echo error >&2"),
        patch("*** Add File: a.txt\n+one\n"),
        patch("*** Update File: a.txt\n@@\n-nowhere\n+x\n"),
    ]});
    let [(ours, with), (plain, without)] = [true, false].map(|is_attached| {
        let stage = Stage::new();
        stage.at_home(".codex/rules/default.rules", "prefix_rule(pattern=[\"rm\"], decision=\"forbidden\")\n");
        let (mut command, _model) = codex(&program, &stage, &steps, (FREE, is_attached));
        let played = Played::by(&mut command);
        (stage, played)
    });
    assert_eq!(with.code, without.code);
    assert_eq!(items(&with, &ours), items(&without, &plain));
    assert_eq!(ours.world.snapshot().without_mtimes(), plain.world.snapshot().without_mtimes());
    assert_eq!(ours.text("base.txt"), "base\n");
    ours.assert_no_trouble();
}

#[test]
fn what_a_sandbox_hides_is_found_when_the_call_ends() {
    let Some(program) = client("codex") else { return };
    let stage = Stage::far();
    let steps = json!({"main": [run("echo 1 > boxed.txt; cat boxed.txt"), patch("*** Add File: a.txt\n+one\n"), run("exit 3")]});
    let (mut command, _model) = codex(&program, &stage, &steps, ("workspace-write", true));
    let played = Played::by(&mut command);
    assert_eq!(played.code, Some(0), "{played:?}");
    let said = items(&played, &stage);
    if said.iter().any(|item| item.contains("bwrap") || item.contains("sandbox")) {
        return wfr_testkit::skip(&format!("codex: its sandbox does not work here: {said:?}"));
    }
    assert_eq!(stage.text("boxed.txt"), "1\n");
    assert_whose(&stage, "boxed.txt", "main", ("observed", "call_0_0"));
    assert_whose(&stage, "a.txt", "main", ("declared", "call_1_0"));
    assert!(said.iter().any(|item| item.contains("\"exit_code\":3")), "{said:?}");
}

#[test]
fn a_command_in_a_sandbox_beside_the_vault_is_not_traced_either() {
    let Some(program) = client("codex") else { return };
    let stage = Stage::new();
    let steps = json!({"main": [run("echo 1 > boxed.txt; cat boxed.txt")]});
    let (mut command, _model) = codex(&program, &stage, &steps, ("workspace-write", true));
    assert_eq!(Played::by(&mut command).code, Some(0));
    if !stage.world.tree.at("boxed.txt").exists() {
        return wfr_testkit::skip("codex: its sandbox does not work here");
    }
    assert_whose(&stage, "boxed.txt", "main", ("observed", "call_0_0"));
    stage.assert_no_trouble();
}

#[test]
fn what_the_command_of_a_killed_client_goes_on_to_write_is_its_own_and_is_fenced() {
    let Some(program) = client("codex") else { return };
    let stage = Stage::new();
    let gate = Gate::new();
    let script = format!("sh -c '{}'; true", endless(&gate));
    let (mut command, _model) = codex(&program, &stage, &json!({"main": [run(&script)]}), (FREE, true));
    let whose = kill_and_fence(&stage, ("codex", &mut command), &gate);
    assert!(whose.iter().all(|one| one.call == "call_0_0"), "{whose:?}");
}

#[test]
fn calls_are_denied_while_a_recovery_holds_the_workspace() {
    let Some(program) = client("codex") else { return };
    let (stage, recovery) = Stage::held();
    let steps = json!({"main": [run("echo 1 > denied.txt"), patch("*** Add File: denied-too.txt\n+2\n")]});
    let (mut command, _model) = codex(&program, &stage, &steps, (FREE, true));
    assert_eq!(Played::by(&mut command).code, Some(0));
    stage.assert_denied(&["denied.txt", "denied-too.txt"], recovery);
}

#[test]
fn equal_commands_at_once_are_told_apart() {
    let Some(program) = client("codex") else { return };
    let stage = Stage::new();
    let wait = json!(["multi_agent_v1|wait_agent", {"targets": [], "timeout_ms": 20_000}]);
    let both = "touch here-$$; until [ $(ls | grep -c ^here-) = 2 ]; do sleep 0.01; done; echo same > same-$$.txt";
    let last = run("until [ $(ls | grep -c ^same-) = 2 ]; do sleep 0.05; done");
    let steps = json!({"main": [sub("left"), sub("right"), wait, last], "sub": [run(both)]});
    let (mut command, _model) = codex(&program, &stage, &steps, (FREE, true));
    assert_eq!(Played::by(&mut command).code, Some(0));
    let changes = stage.world.changes();
    let of_two = changes.iter().filter(|change| change["paths_total"] == 2);
    let mut agents: Vec<&str> = of_two.map(|change| change["agent_id"].as_str().unwrap()).collect();
    agents.sort_unstable();
    agents.dedup();
    assert_eq!(agents.len(), 2, "{changes:?}");
    assert!(!agents.contains(&"main"));
    stage.assert_no_trouble();
}
