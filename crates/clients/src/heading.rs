//! The beginning of a payload: whose it is, where the rest may be missing.
//!
//! Owns the reading of what was cut off. Refuses to say what happens: that takes the whole of it.

use serde_json::Value;

use crate::said::Payload;

/// Whose a hook's payload is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heading {
    /// The client's own name of the event.
    pub event: String,
    /// The session.
    pub session: String,
    /// The agent within it; `None`: the one that a person talks to.
    pub agent: Option<String>,
    /// The call of a tool that it is about, where that stands in what there is.
    pub call: Option<String>,
}

/// Reads one of a client whose fields have the names that most give them; `None` where it is none.
pub(crate) fn read(bytes: &[u8]) -> Option<Heading> {
    let payload = Payload::read(bytes).or_else(|_| Payload::read(&mended(bytes)?).map_err(|_| ())).ok()?;
    let text = |name: &str| payload.value(name).and_then(Value::as_str).map(str::to_owned);
    Some(Heading {
        event: text("hook_event_name")?,
        session: text("session_id")?,
        agent: text("agent_id"),
        call: text("tool_use_id"),
    })
}

/// An object that was cut off, with those of its fields that are whole.
fn mended(bytes: &[u8]) -> Result<Vec<u8>, ()> {
    let (mut depth, mut is_text, mut is_escaped, mut end) = (0_u32, false, false, None);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => end = Some(at),
            _ => {}
        }
    }
    let whole = bytes.get(..end.ok_or(())?).ok_or(())?;
    Ok([whole, b"}"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_is_cut_off_says_whose_it_is() {
        let whole = r#"{"session_id":"s, \"1\"","cwd":"/x","agent_id":"a1","hook_event_name":"PostToolUse","tool_input":{"content":"{,}"},"tool_use_id":"toolu_1"}"#;
        let heading = |call: Option<&str>| Heading {
            event: "PostToolUse".to_owned(),
            session: "s, \"1\"".to_owned(),
            agent: Some("a1".to_owned()),
            call: call.map(str::to_owned),
        };
        assert_eq!(read(whole.as_bytes()), Some(heading(Some("toolu_1"))));
        for cut in whole.find("tool_input").unwrap()..whole.len() {
            assert_eq!(read(&whole.as_bytes()[..cut]), Some(heading(None)), "{cut}");
        }
        for none in ["", "{", "[1,2]", r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#, "text"] {
            assert_eq!(read(none.as_bytes()), None, "{none}");
        }
    }
}
