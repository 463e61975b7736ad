//! Cursor's hooks, as its documentation of 2026 has them; it was not run.
//!
//! Owns its names of events, tools and fields. Refuses to know the ledger.

use serde_json::{Value, json};

use super::said::{Agent, Call, Does, Payload, ReadError, Said, Tail, What};

/// Tools that change no file and start nothing that does.
const HARMLESS: &[&str] = &["Glob", "Grep", "LS", "ReadLints", "SemanticSearch", "TodoWrite", "WebFetch", "WebSearch"];

pub(crate) fn read(payload: &Payload) -> Result<Said, ReadError> {
    let event = payload.needed("hook_event_name")?.to_owned();
    let what = match event.as_str() {
        "sessionStart" => What::SessionBegins,
        "sessionEnd" => What::SessionEnds,
        "stop" => What::TurnEnds { is_quiet: true },
        "subagentStart" => What::AgentBegins,
        "subagentStop" => What::AgentEnds,
        "preToolUse" => What::CallBegins(Call::new(payload, does)?),
        "postToolUse" | "postToolUseFailure" => What::CallEnds {
            call: Call::new(payload, does)?,
            error: payload.text("error_message").map(str::to_owned),
            output: Tail::of(payload.text("tool_output"), None),
            started: None,
        },
        // What tools do is told twice, as tools and by what they do: once is enough.
        _ => What::Other,
    };
    let kind = payload.text("subagent_type").map(str::to_owned);
    let parent = payload.text("parent_conversation_id").or_else(|| payload.text("conversation_id"));
    Ok(Said {
        session: parent.or_else(|| payload.text("session_id")).ok_or(ReadError::Lacks("conversation_id"))?.to_owned(),
        agent: payload.text("subagent_id").map(|id| Agent { id: id.to_owned(), kind, notes: None }),
        cwd: payload.text("cwd").map(str::to_owned).or_else(|| root(payload)),
        event,
        what,
    })
}

/// The first directory that is worked in.
fn root(payload: &Payload) -> Option<String> {
    payload.value("workspace_roots")?.get(0).and_then(Value::as_str).map(str::to_owned)
}

fn does(tool: &str, input: &Payload) -> Does {
    const FILE: &[&str] = &["file_path", "path", "target_file"];
    match tool {
        "Write" | "StrReplace" | "Delete" | "Edit" => Does::writes(input.texts(FILE)),
        "Read" => Does::Reads(input.texts(FILE)),
        "Shell" => Does::runs(input.text("command")),
        "Task" => Does::Starts(input.text("description").map(str::to_owned)),
        _ if HARMLESS.contains(&tool) => Does::Nothing,
        _ => Does::Unknown,
    }
}

pub(crate) fn denied(reason: &str) -> String {
    json!({"permission": "deny", "user_message": reason, "agent_message": reason}).to_string()
}
