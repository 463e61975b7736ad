//! Claude Code's hooks, as version 2.1.330 was seen to have them.
//!
//! Owns its names of events, tools and fields. Refuses to know the ledger.

use serde_json::{Value, json};

use super::said::{Agent, Call, Does, Note, Notes, Payload, ReadError, Said, Tail, What};

/// Tools that change no file and start nothing that does.
const HARMLESS: &[&str] = &[
    "AskUserQuestion",
    "BashOutput",
    "EnterPlanMode",
    "ExitPlanMode",
    "ListMcpResourcesTool",
    "Monitor",
    "ReadMcpResourceTool",
    "SendMessage",
    "TaskGet",
    "TaskList",
    "TaskOutput",
    "TodoWrite",
    "ToolSearch",
    "WebFetch",
    "WebSearch",
    "TaskCreate",
    "TaskStop",
    "KillShell",
];

/// Events that an agent's work brings about.
pub(crate) const OF_WORK: &[&str] =
    &["PreToolUse", "PostToolUse", "PostToolUseFailure", "Stop", "StopFailure", "SubagentStop"];

pub(crate) fn read(payload: &Payload) -> Result<Said, ReadError> {
    let event = payload.needed("hook_event_name")?.to_owned();
    let what = match event.as_str() {
        "SessionStart" => What::SessionBegins,
        "SessionEnd" => What::SessionEnds,
        "Stop" | "StopFailure" => What::TurnEnds { is_quiet: is_quiet(payload) },
        "SubagentStart" => What::AgentBegins,
        "SubagentStop" => What::AgentEnds,
        "PreToolUse" => What::CallBegins(call(payload)?),
        "PostToolUse" | "PostToolUseFailure" => call_ended(payload)?,
        "TaskCreated" => What::TaskMade {
            id: payload.name("task_id").ok_or(ReadError::Lacks("task_id"))?,
            subject: payload.text("task_subject").map(str::to_owned),
        },
        "TaskCompleted" => What::TaskDone { id: payload.name("task_id").ok_or(ReadError::Lacks("task_id"))? },
        _ => What::Other,
    };
    let agent = payload.text("agent_id").map(|id| agent(id, payload));
    Ok(Said { agent, ..Said::new(payload, event, what)? })
}

/// The kind of agents that a phased workflow starts.
const OF_WORKFLOWS: &str = "workflow-subagent";

fn agent(id: &str, payload: &Payload) -> Agent {
    let kind = payload.text("agent_type");
    // Notes of such agents lie beside the session's transcript. The name of a file is made of the id.
    let is_phased = kind == Some(OF_WORKFLOWS) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let beside = payload.text("transcript_path").and_then(|path| path.strip_suffix(".jsonl")).filter(|_| is_phased);
    let notes = beside
        .map(|beside| Notes { dir: format!("{beside}/subagents/workflows"), name: format!("agent-{id}.meta.json") });
    Agent { id: id.to_owned(), kind: kind.map(str::to_owned), notes }
}

pub(crate) fn note(note: &Payload) -> Option<Note> {
    let phase = note.text("workflowPhase")?.to_owned();
    Some(Note { phase, description: note.text("description").map(str::to_owned) })
}

/// Whether nothing goes on in the background: a turn also ends while agents work that it started.
fn is_quiet(payload: &Payload) -> bool {
    payload.value("background_tasks").and_then(Value::as_array).is_none_or(Vec::is_empty)
}

fn call(payload: &Payload) -> Result<Call, ReadError> {
    Ok(Call::new(payload, does)?.perhaps_going_on(payload, "run_in_background"))
}

fn does(tool: &str, input: &Payload) -> Does {
    match tool {
        "Write" | "Edit" | "MultiEdit" | "NotebookEdit" => Does::writes(input.texts(&["file_path", "notebook_path"])),
        "Read" | "NotebookRead" => Does::Reads(input.texts(&["file_path", "notebook_path"])),
        // What they found is what was read of it: the directory says more than is true.
        "Grep" | "Glob" | "LS" => Does::Nothing,
        "Bash" => Does::runs(input.text("command")),
        "Agent" | "Task" | "Workflow" => Does::Starts(input.text("description").map(str::to_owned)),
        "TaskUpdate" if input.text("status") == Some("in_progress") => {
            input.name("taskId").map_or(Does::Nothing, Does::Takes)
        }
        "TaskUpdate" => Does::Nothing,
        _ if HARMLESS.contains(&tool) => Does::Nothing,
        _ => Does::Unknown,
    }
}

fn call_ended(payload: &Payload) -> Result<What, ReadError> {
    let response = payload.part("tool_response");
    Ok(What::CallEnds {
        call: call(payload)?,
        error: payload.text("error").map(str::to_owned),
        output: Tail::of(response.text("stdout"), response.text("stderr")),
        started: response.text("agentId").map(str::to_owned),
    })
}

/// A call is denied, in the schema that Codex took over; with any key more Codex takes an answer for none, and goes on.
pub(crate) fn denied(reason: &str) -> String {
    let denied =
        json!({"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": reason});
    json!({"hookSpecificOutput": denied}).to_string()
}
