//! Messages from a stream: lines, JSON lines, one JSON document, or one JSON list.
//!
//! Owns where a message ends, and bounded memory. Refuses to record any. A line that is none is an [`Item`] that says why.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use serde_json::Value;
use wfr_model::event::{EVENT_BYTES_MAX, Message};
use wfr_model::{EventType, WorkflowId, json};

/// How much is read at once, in bytes.
const READ_BYTES: usize = 256 << 10;

/// Messages that are handed over together.
const CHUNK_MAX: usize = 512;

/// One message, or why it is none.
#[derive(Debug)]
pub struct Item {
    /// Its line, or its place in a list, from 1.
    pub line: u64,
    /// What it says.
    pub said: Result<Message, String>,
}

impl Item {
    /// The workflow whose state it sets as a whole, be it in parts.
    pub fn sets_state_of(&self) -> Option<&WorkflowId> {
        match self.said.as_ref().ok()? {
            Message::State(sync) => Some(&sync.workflow_id),
            Message::Event(draft) if draft.event_type.known() == Some(EventType::WorkflowStateUpdated) => {
                draft.workflow_id.as_ref()
            }
            _ => None,
        }
    }
}

/// Reads all messages and hands them over in chunks, each as soon as more would have to be waited for. `give` says
/// whether it wants more. Empty lines and lines that begin with `#` are passed over.
pub fn read<'r>(input: Box<dyn Read + 'r>, mut give: impl FnMut(Vec<Item>) -> bool) -> io::Result<()> {
    let mut lines = Lines::of(input);
    if !lines.next()? {
        return Ok(());
    }
    if lines.may_begin_a_document() {
        let (bytes, ended) = lines.rest(json::BYTES_MAX)?;
        if let Some(items) = ended.then(|| document(&bytes)).flatten() {
            give(items);
            return Ok(());
        }
        lines = Lines::of(Box::new(Cursor::new(bytes).chain(lines.input)));
        lines.next()?;
    }
    let mut chunk = Vec::with_capacity(CHUNK_MAX);
    loop {
        if let Some(said) = lines.said() {
            chunk.push(Item { line: lines.number, said });
        }
        let must_wait = lines.input.buffer().is_empty();
        if chunk.len() >= CHUNK_MAX || (must_wait && !chunk.is_empty()) {
            if !give(std::mem::take(&mut chunk)) {
                return Ok(());
            }
            chunk.reserve(CHUNK_MAX);
        }
        if !lines.next()? {
            break;
        }
    }
    if !chunk.is_empty() {
        give(chunk);
    }
    Ok(())
}

/// The messages of a text.
pub fn of_text(text: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let read = read(Box::new(text.as_bytes()), |chunk| {
        items.extend(chunk);
        true
    });
    debug_assert!(read.is_ok(), "memory can be read");
    items
}

/// The message that fields make.
pub fn of_fields(fields: serde_json::Map<String, Value>) -> Item {
    Item { line: 1, said: Message::of_fields(fields).map_err(|error| error.to_string()) }
}

/// A text that is one JSON object or one list of them; `None` where it is neither.
fn document(bytes: &[u8]) -> Option<Vec<Item>> {
    let text = without_mark(std::str::from_utf8(bytes).ok()?);
    let item = |(at, value): (usize, Value)| match value {
        Value::Object(fields) => Item { line: at as u64 + 1, ..of_fields(fields) },
        _ => Item { line: at as u64 + 1, said: Err("an object is expected".to_owned()) },
    };
    match json::parse_messages(text).ok()? {
        Value::Array(list) => Some(list.into_iter().enumerate().map(item).collect()),
        one @ Value::Object(_) if text.len() <= EVENT_BYTES_MAX => Some(vec![item((0, one))]),
        _ => None,
    }
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Lines of bounded length.
struct Lines<'r> {
    input: BufReader<Box<dyn Read + 'r>>,
    /// The line, without its end.
    line: Vec<u8>,
    is_too_long: bool,
    number: u64,
}

impl<'r> Lines<'r> {
    fn of(input: Box<dyn Read + 'r>) -> Self {
        let input = BufReader::with_capacity(READ_BYTES, input);
        Self { input, line: Vec::new(), is_too_long: false, number: 0 }
    }

    /// Reads the next line; `false` where there is none.
    fn next(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.is_too_long = false;
        self.number += 1;
        // One byte more than a line may have, and its end: a longer one is passed over piece by piece.
        let piece = EVENT_BYTES_MAX as u64 + 2;
        let mut has_begun = false;
        loop {
            let read = self.input.by_ref().take(piece).read_until(b'\n', &mut self.line)?;
            has_begun |= read > 0;
            let has_ended = read == 0 || self.line.pop_if(|byte| *byte == b'\n').is_some();
            self.is_too_long |= self.line.len() > EVENT_BYTES_MAX;
            if self.is_too_long {
                self.line.clear();
            }
            if has_ended {
                return Ok(has_begun);
            }
        }
    }

    /// What the line says; `None` where it is passed over.
    fn said(&self) -> Option<Result<Message, String>> {
        if self.is_too_long {
            return Some(Err(format!("it is longer than {EVENT_BYTES_MAX} bytes")));
        }
        let Ok(text) = std::str::from_utf8(&self.line) else { return Some(Err("it is not UTF-8".to_owned())) };
        let text = if self.number == 1 { without_mark(text) } else { text }.trim();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        Some(Message::read(text).map_err(|error| error.to_string()))
    }

    /// Whether this line is the first one of a JSON document that has several.
    fn may_begin_a_document(&self) -> bool {
        let text = std::str::from_utf8(&self.line).map(|text| without_mark(text).trim()).unwrap_or_default();
        text.starts_with('[') || (text.starts_with('{') && json::parse_messages(text).is_err())
    }

    /// The line and what follows it, up to so many bytes, and whether that is all.
    fn rest(&mut self, max: usize) -> io::Result<(Vec<u8>, bool)> {
        let mut bytes = std::mem::take(&mut self.line);
        bytes.push(b'\n');
        let room = max.saturating_sub(bytes.len()) as u64;
        self.input.by_ref().take(room).read_to_end(&mut bytes)?;
        let ended = self.input.fill_buf()?.is_empty();
        Ok((bytes, ended && !self.is_too_long))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> Vec<(u64, bool)> {
        let mut found = Vec::new();
        read(Box::new(bytes), |chunk| {
            found.extend(chunk.iter().map(|item| (item.line, item.said.is_ok())));
            true
        })
        .unwrap();
        found
    }

    #[test]
    fn all_forms_are_read() {
        let lines = "\u{feff}TASK_STARTED:wf:1:{}\r\n\n# a remark\n{\"event_type\":\"TASK_STARTED\"}\nnonsense";
        assert_eq!(told(lines.as_bytes()), [(1, true), (4, true), (5, false)]);
        assert_eq!(told(b"{\n  \"event_type\": \"TASK_STARTED\"\n}\n"), [(1, true)]);
        assert_eq!(
            told(b"[\n{\"event_type\": \"A\"}, 7, {\"event_type\": \"B\"}]"),
            [(1, true), (2, false), (3, true)]
        );
        assert_eq!(told(b"[]"), []);
        assert_eq!(told(b""), []);
    }

    #[test]
    fn a_bad_beginning_costs_its_own_line_only() {
        assert_eq!(told(b"{\"a\nTASK_STARTED:wf:1:{}\n"), [(1, false), (2, true)]);
        assert_eq!(told(b"[1\nTASK_STARTED:wf:1:{}"), [(1, false), (2, true)]);
        assert_eq!(told(b"\xff\nTASK_STARTED:wf:1:{}"), [(1, false), (2, true)]);
        let mut long = vec![b'x'; EVENT_BYTES_MAX * 3];
        long.extend_from_slice(b"\nTASK_STARTED:wf:1:{}");
        assert_eq!(told(&long), [(1, false), (2, true)]);
    }

    #[test]
    fn what_can_be_told_without_waiting_is_told() {
        let mut chunks = 0;
        let text = "TASK_STARTED:wf:1:{}\n".repeat(CHUNK_MAX * 2 + 1);
        read(Box::new(text.as_bytes()), |_| {
            chunks += 1;
            true
        })
        .unwrap();
        assert_eq!(chunks, 3);
        read(Box::new(text.as_bytes()), |_| false).unwrap();
    }
}
