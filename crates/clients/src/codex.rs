//! Codex's hooks, as version 0.169.0 was seen to have them.
//!
//! Owns its names of events, tools and fields, and the paths that a patch names. Refuses to know the ledger.

use serde_json::Value;

use super::said::{Call, Does, Payload, ReadError, Said, Tail, What};

/// Tools that change no file and start nothing that does.
const HARMLESS: &[&str] = &["close_agent", "resume_agent", "send_input", "update_plan", "view_image", "wait_agent"];

pub(crate) fn read(payload: &Payload) -> Result<Said, ReadError> {
    let event = payload.needed("hook_event_name")?.to_owned();
    let what = match event.as_str() {
        "SessionStart" => What::SessionBegins,
        "SessionEnd" => What::SessionEnds,
        // Nothing says whether agents work on that were started: those have ends of their own.
        "Stop" => What::TurnEnds { is_quiet: false },
        "SubagentStart" => What::AgentBegins,
        "SubagentStop" => What::AgentEnds,
        "PreToolUse" => What::CallBegins(Call::new(payload, does)?),
        "PostToolUse" => What::CallEnds {
            call: Call::new(payload, does)?,
            error: None,
            output: Tail::of(payload.text("tool_response"), None),
            started: started(payload),
        },
        _ => What::Other,
    };
    Said::new(payload, event, what)
}

fn does(tool: &str, input: &Payload) -> Does {
    // Tools of a namespace have its name before their own, or not.
    let tool = tool.strip_prefix("multi_agent_v1").map_or(tool, |tool| tool.trim_start_matches(['|', '.', '_']));
    match (tool, input.text("command")) {
        ("apply_patch", Some(patch)) => Does::writes(patched(patch)),
        // The client does it itself, without a shell.
        ("Bash", Some(command)) if command.trim_start().starts_with("apply_patch") => Does::writes(patched(command)),
        ("Bash", Some(command)) => Does::Runs(command.to_owned()),
        ("spawn_agent", _) => Does::Starts(input.text("message").map(str::to_owned)),
        _ if HARMLESS.contains(&tool) => Does::Nothing,
        _ => Does::Unknown,
    }
}

/// The files that a patch names: those that it adds, changes and deletes, and where it moves some.
fn patched(patch: &str) -> Vec<String> {
    const HEADS: [&str; 4] = ["*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: "];
    let named = |line: &str| HEADS.iter().find_map(|head| line.trim().strip_prefix(head)).map(str::to_owned);
    patch.lines().filter_map(named).collect()
}

/// The agent that a call started: its answer is a document within a text.
fn started(payload: &Payload) -> Option<String> {
    let response: Value = serde_json::from_str(payload.text("tool_response")?).ok()?;
    let is_spawn = payload.text("tool_name").is_some_and(|tool| tool.ends_with("spawn_agent"));
    response.get("agent_id").and_then(Value::as_str).filter(|_| is_spawn).map(str::to_owned)
}
