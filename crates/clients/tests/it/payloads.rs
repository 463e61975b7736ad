//! Payloads of real clients, with other names of directories, and the answers that they take.
//!
//! Owns what is read from each. Refuses to know what is done about it.

use std::path::Path;

use wfr_clients::{Agent, Answer, Client, Does, Said, What};

fn said(client: Client, name: &str) -> Said {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads").join(client.as_str());
    let bytes = std::fs::read(dir.join(name).with_extension("json")).unwrap_or_else(|error| panic!("{name}: {error}"));
    client.read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The call that is said, by its id and what it does.
#[track_caller]
fn call(client: Client, name: &str) -> (Option<String>, Does) {
    match said(client, name).what {
        What::CallBegins(call) | What::CallEnds { call, .. } => (call.id, call.does),
        other => panic!("{name}: {other:?}"),
    }
}

fn runs(command: &str) -> Does {
    Does::Runs(command.to_owned())
}

fn writes(files: &[&str]) -> Does {
    Does::Writes(files.iter().map(|file| (*file).to_owned()).collect())
}

fn starts(what: &str) -> Does {
    Does::Starts(Some(what.to_owned()))
}

fn id(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn all_payloads_are_read() {
    for client in Client::ALL {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads").join(client.as_str());
        let mut count = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name();
            let said = said(*client, name.to_str().unwrap());
            assert!(
                said.what != What::Other || said.event == "UserPromptSubmit" || said.event == "BeforeAgent",
                "{said:?}"
            );
            count += 1;
        }
        assert!(count >= 6, "{client:?}");
        assert_eq!(Client::named(client.as_str()), Some(*client));
    }
}

#[test]
fn claude_code() {
    let of = |name| call(Client::Claude, name);
    assert!(matches!(of("PreToolUse-Bash"), (Some(_), Does::Runs(_))));
    assert_eq!(of("PreToolUse-Edit").1, writes(&["/home/user/project/a.txt"]));
    assert_eq!(of("PreToolUse-Agent").1, starts("sub1"));
    let agent = said(Client::Claude, "PreToolUse-Bash-sub").agent.unwrap();
    assert_eq!((agent.kind.as_deref(), agent.notes), (Some("general-purpose"), None));
    let What::CallEnds { started, .. } = said(Client::Claude, "PostToolUse-Agent").what else { panic!("an end") };
    assert_eq!(started.as_deref(), Some("ac2dbeb39cc17a900"));
}

#[test]
fn agents_of_phased_workflows_are_noted_beside_the_transcript() {
    let payload =
        br#"{"session_id": "s", "transcript_path": "/h/s.jsonl", "hook_event_name": "SubagentStart", "agent_id": "a1",
        "agent_type": "workflow-subagent"}"#;
    let notes = Client::Claude.read(payload).unwrap().agent.unwrap().notes.unwrap();
    assert_eq!((notes.dir.as_str(), notes.name.as_str()), ("/h/s/subagents/workflows", "agent-a1.meta.json"));
    let note = br#"{"agentType": "workflow-subagent", "description": "b2", "workflowPhase": "Build", "spawnDepth": 1}"#;
    let note = Client::Claude.note(note).unwrap();
    assert_eq!((note.phase.as_str(), note.description.as_deref()), ("Build", Some("b2")));
    let elsewhere = br#"{"session_id": "s", "transcript_path": "/h/s.jsonl", "hook_event_name": "SubagentStart",
        "agent_id": "../a", "agent_type": "workflow-subagent"}"#;
    assert_eq!(Client::Claude.read(elsewhere).unwrap().agent.unwrap().notes, None);
    assert_eq!(Client::Claude.note(b"{}"), None);
}

#[test]
fn codex() {
    let of = |name| call(Client::Codex, name);
    assert_eq!(of("PreToolUse-Bash"), (id("call_0_0"), runs("echo hi; env | sort > env.txt")));
    assert_eq!(of("PreToolUse-apply_patch"), (id("call_1_0"), writes(&["a.txt"])));
    assert_eq!(of("PreToolUse-spawn_agent"), (id("call_9_0"), starts("SUB s1")));
    let sub = said(Client::Codex, "PreToolUse-apply_patch-sub").agent.map(|agent| agent.id);
    assert_eq!(sub.as_deref(), Some("01a22e8e-be94-7fb0-97b4-f33e34e78268"));
    let What::CallEnds { started, .. } = said(Client::Codex, "PostToolUse-spawn_agent").what else { panic!("an end") };
    assert_eq!(started, sub);
    assert_eq!(said(Client::Codex, "SubagentStart").what, What::AgentBegins);
}

#[test]
fn the_paths_of_a_patch_are_those_that_it_names() {
    let read = |tool: &str, command: &str| {
        let payload = serde_json::json!({"session_id": "s", "hook_event_name": "PreToolUse", "tool_name": tool,
            "tool_use_id": "c", "tool_input": {"command": command}});
        let What::CallBegins(call) = Client::Codex.read(payload.to_string().as_bytes()).unwrap().what else {
            panic!("a call")
        };
        call.does
    };
    let patch = "*** Begin Patch\n*** Add File: new dir/a.txt\n+*** Add File: no\n*** Update File: b.txt\n*** Move to: c.txt\n@@\n-x\n\
        +y\n*** Delete File: d.txt\n*** End Patch\n";
    let files = ["new dir/a.txt", "b.txt", "c.txt", "d.txt"];
    assert_eq!(read("apply_patch", patch), writes(&files));
    assert_eq!(read("Bash", &format!("apply_patch <<'EOF'\n{patch}EOF\n")), writes(&files));
    assert_eq!(read("apply_patch", "nothing"), Does::Unknown);
    assert_eq!(read("multi_agent_v1wait_agent", "x"), Does::Nothing);
}

#[test]
fn gemini_cli() {
    let of = |name| call(Client::Gemini, name);
    assert!(matches!(of("BeforeTool-run_shell_command"), (None, Does::Runs(_))));
    assert_eq!(of("BeforeTool-write_file"), (None, writes(&["/home/user/project/a.txt"])));
    assert_eq!(of("AfterTool-replace"), (None, writes(&["/home/user/project/a.txt"])));
    assert_eq!(of("BeforeTool-invoke_agent"), (None, starts("generalist")));
    let What::CallEnds { output, error, .. } = said(Client::Gemini, "AfterTool-run_shell_command").what else {
        panic!("an end")
    };
    assert_eq!((output.unwrap().stdout.as_str(), error), ("hi sq", None));
    assert_eq!(said(Client::Gemini, "AfterAgent").what, What::TurnEnds { is_quiet: true });
}

#[test]
fn opencode() {
    let of = |name| call(Client::Opencode, name);
    assert_eq!(of("before-bash"), (id("call_1_0"), runs("echo \"hi\" 'sq' > out.txt")));
    assert_eq!(of("before-write-sub"), (id("call_2_0"), writes(&["/home/user/project/a.txt"])));
    let agent = Agent { id: "ses_dd168a2d1ffeg13S71JjXpwfuf".to_owned(), kind: id("general"), notes: None };
    assert_eq!(said(Client::Opencode, "before-write-sub").agent, Some(agent));
    let What::CallEnds { started, .. } = said(Client::Opencode, "after-task").what else { panic!("an end") };
    assert_eq!(started.as_deref(), Some("ses_dd168a251ffeFvYdxgjc7etDms"));
}

#[test]
fn cursor() {
    let of = |name| call(Client::Cursor, name);
    assert_eq!(of("preToolUse-Shell"), (id("call_x\nctc_x"), runs("echo hi > out.txt")));
    assert_eq!(of("preToolUse-Write"), (id("call_y"), writes(&["/home/user/project/a.txt"])));
    let sub = said(Client::Cursor, "subagentStart");
    assert_eq!((sub.session, sub.agent.unwrap().id), (said(Client::Cursor, "stop").session, "sub-1".to_owned()));
    assert_eq!(said(Client::Cursor, "stop").cwd.as_deref(), Some("/home/user/project"));
}

#[test]
fn a_refusal_has_the_keys_that_each_client_knows_and_no_others() {
    let deny = Answer::Deny("because".to_owned());
    for (client, begins, keys) in [
        (Client::Claude, "PreToolUse-Bash", "hookSpecificOutput"),
        (Client::Codex, "PreToolUse-Bash", "hookSpecificOutput"),
        (Client::Gemini, "BeforeTool-replace", "decision reason"),
        (Client::Opencode, "before-bash", "deny"),
        (Client::Cursor, "preToolUse-Shell", "agent_message permission user_message"),
    ] {
        let said = said(client, begins);
        assert_eq!(client.answer(&said, &Answer::Nothing), "");
        let answer: serde_json::Value = serde_json::from_str(&client.answer(&said, &deny)).unwrap();
        let mut names: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), keys, "{client:?}");
        if let Some(output) = answer.get("hookSpecificOutput") {
            let expected =
                r#"{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"because"}"#;
            assert_eq!(output, &serde_json::from_str::<serde_json::Value>(expected).unwrap());
        }
    }
    // Only what is about to be done can be refused.
    assert_eq!(Client::Codex.answer(&said(Client::Codex, "PostToolUse-Bash"), &deny), "");
}
