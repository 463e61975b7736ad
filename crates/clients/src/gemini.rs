//! Gemini CLI's hooks, as version 0.61.0 was seen to have them.
//!
//! Owns its names of events, tools and fields. It names neither calls nor agents: that is left out here. Refuses to know the ledger.

use serde_json::json;

use super::said::{Call, Does, Payload, ReadError, Said, Tail, What};

/// Tools that change no file and start nothing that does.
const HARMLESS: &[&str] = &[
    "activate_skill",
    "ask_user",
    "cli_help",
    "complete_task",
    "enter_plan_mode",
    "exit_plan_mode",
    "get_internal_docs",
    "glob",
    "google_web_search",
    "grep_search",
    "list_background_processes",
    "list_directory",
    "search_file_content",
    "update_topic",
    "web_fetch",
    "write_todos",
];

pub(crate) fn read(payload: &Payload) -> Result<Said, ReadError> {
    let event = payload.needed("hook_event_name")?.to_owned();
    let what = match event.as_str() {
        "SessionStart" => What::SessionBegins,
        "SessionEnd" => What::SessionEnds,
        "AfterAgent" => What::TurnEnds { is_quiet: true },
        "BeforeTool" => What::CallBegins(call(payload)?),
        "AfterTool" => call_ended(payload)?,
        _ => What::Other,
    };
    Ok(Said { agent: None, ..Said::new(payload, event, what)? })
}

fn call(payload: &Payload) -> Result<Call, ReadError> {
    let call = Call::new(payload, does)?.perhaps_going_on(payload, "is_background");
    Ok(Call { id: None, ..call })
}

fn does(tool: &str, input: &Payload) -> Does {
    match tool {
        "write_file" | "replace" => Does::writes(input.texts(&["file_path"])),
        "read_file" => Does::Reads(input.texts(&["file_path", "absolute_path"])),
        "run_shell_command" => Does::runs(input.text("command")),
        "invoke_agent" => Does::Starts(input.text("agent_name").map(str::to_owned)),
        _ if HARMLESS.contains(&tool) => Does::Nothing,
        _ => Does::Unknown,
    }
}

fn call_ended(payload: &Payload) -> Result<What, ReadError> {
    let response = payload.part("tool_response");
    let error = response.text("error").map(str::to_owned);
    let error = error.or_else(|| response.part("error").text("message").map(str::to_owned));
    Ok(What::CallEnds {
        call: call(payload)?,
        error,
        output: Tail::of(response.text("returnDisplay"), None),
        started: None,
    })
}

pub(crate) fn denied(reason: &str) -> String {
    json!({"decision": "deny", "reason": reason}).to_string()
}
