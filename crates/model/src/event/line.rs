//! The event line: `EVENT_TYPE:workflow_id:phase:data`.
//!
//! Owns its reading and writing. Refuses to know the envelope.

use serde_json::{Map, Value};

use super::{Draft, Event, ParseEventError, workflow};
use crate::json;
use crate::phase::PhaseId;

/// Reads a line. Data is JSON and holds colons: only the first three separate. It may be missing, with its colon; what has no
/// phase either may be any text with a colon in it, and is none.
pub(super) fn read(text: &str) -> Result<Draft, ParseEventError> {
    read_with(text, |data| Ok(json::parse_object(data)?))
}

/// The same of one that was stored, whose data may be deeper than what is taken in.
pub(super) fn read_stored(text: &str) -> Result<Draft, ParseEventError> {
    read_with(text, |data| json::stored(data.as_bytes()).map_err(|_| ParseEventError::NoForm))
}

fn read_with(
    text: &str,
    parse: impl Fn(&str) -> Result<Map<String, Value>, ParseEventError>,
) -> Result<Draft, ParseEventError> {
    let mut parts = text.splitn(4, ':');
    let (Some(name), Some(flow)) = (parts.next(), parts.next()) else {
        return Err(ParseEventError::NoForm);
    };
    let Some(phase) = parts.next() else { return Err(ParseEventError::NoPhase) };
    let mut draft = Draft::new(name.trim().parse()?, workflow(flow)?);
    draft.phase = PhaseId::named(phase)?;
    draft.data = match parts.next().map(str::trim) {
        None | Some("") => Map::new(),
        Some(data) => parse(data)?,
    };
    Ok(draft)
}

/// The line of an event.
pub(super) fn write(event: &Event) -> String {
    let data = serde_json::to_string(&event.data).unwrap_or_default();
    format!("{}:{}:{}:{data}", event.event_type, event.workflow(), event.phase_word())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn colons_in_the_data_separate_nothing() {
        let draft = read(r#"TASK_FAILED:wf_1:2:{"task_id":"t:1","failure_reason":"a: b:: c"}"#).unwrap();
        assert_eq!(draft.phase, Some(PhaseId::numbered(2)));
        assert_eq!(serde_json::Value::Object(draft.data), json!({"task_id": "t:1", "failure_reason": "a: b:: c"}));
        assert_eq!(read("workflow.started:wf_1:global:").unwrap().phase, None);
        assert_eq!(read("workflow.started:wf_1:global").unwrap().data, Map::new());
        assert_eq!(read("SYSTEM_STARTUP:global:global:{}").unwrap().workflow_id, None);
    }

    #[test]
    fn a_text_with_one_colon_is_no_event() {
        for text in ["X:1", "TASK_FAILED:wf", "workflow.started:wf_1", ":"] {
            assert!(matches!(read(text), Err(ParseEventError::NoPhase)), "{text}");
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for text in [
            "",
            ":",
            "TASK_FAILED",
            ":wf:1:{}",
            "TASK_FAILED:../x:1:{}",
            "TASK_FAILED:wf:1:text",
            "TASK_FAILED:wf:1:[]",
            "TASK_FAILED:wf:1:{",
            "TASK_FAILED:wf:../1:{}",
            "TASK_FAILED:wf:1:{\"a\":1,\"a\":2}",
            "TASK FAILED:wf:1:{}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
