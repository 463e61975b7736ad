//! What our plugin for opencode says: version 1.18.33 calls it, and it calls us.
//!
//! Owns the plugin's text, the names of tools and of what it says. Refuses to know the ledger.

use serde_json::json;

use super::said::{Call, Does, Payload, ReadError, Said, Tail, What};

/// The plugin's text, with the places of our program and of the file that `bash` reads before it runs a command.
pub fn plugin(program: &str, bash_env: &str) -> String {
    let literal = |text: &str| serde_json::Value::from(text).to_string();
    include_str!("opencode.js").replace("@WFR@", &literal(program)).replace("@BASH_ENV@", &literal(bash_env))
}

/// Tools that change no file and start nothing that does.
const HARMLESS: &[&str] = &[
    "codesearch",
    "glob",
    "grep",
    "invalid",
    "list",
    "lsp",
    "plan_enter",
    "plan_exit",
    "question",
    "skill",
    "todoread",
    "todowrite",
    "webfetch",
    "websearch",
];

pub(crate) fn read(payload: &Payload) -> Result<Said, ReadError> {
    let event = payload.needed("hook_event_name")?.to_owned();
    let what = match event.as_str() {
        "session.created" => What::SessionBegins,
        "session.idle" => What::TurnEnds { is_quiet: true },
        "agent.created" => What::AgentBegins,
        "agent.idle" => What::AgentEnds,
        "server.disposed" => What::SessionEnds,
        "tool.execute.before" => What::CallBegins(Call::new(payload, does)?),
        "tool.execute.after" => What::CallEnds {
            call: Call::new(payload, does)?,
            error: None,
            output: Tail::of(payload.text("output"), None),
            started: payload.text("started").map(str::to_owned),
        },
        _ => What::Other,
    };
    Said::new(payload, event, what)
}

fn does(tool: &str, input: &Payload) -> Does {
    match tool {
        "write" | "edit" | "multiedit" => Does::writes(input.texts(&["filePath"])),
        "read" => Does::Reads(input.texts(&["filePath"])),
        "bash" => Does::runs(input.text("command")),
        "task" => Does::Starts(input.text("description").map(str::to_owned)),
        _ if HARMLESS.contains(&tool) => Does::Nothing,
        _ => Does::Unknown,
    }
}

pub(crate) fn denied(reason: &str) -> String {
    json!({"deny": reason}).to_string()
}
