//! What a hook says, whichever client's it is.
//!
//! Owns the form that all clients are brought to, and the careful reading of a payload. Refuses to know any client's names.

use serde_json::{Map, Value};

/// Why a payload cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no JSON object.
    #[error("it is no JSON object: {0}")]
    NoObject(String),
    /// Something is not there, or is of another type.
    #[error("it has no `{0}`")]
    Lacks(&'static str),
}

/// One message of a client.
#[derive(Clone, PartialEq, Debug)]
pub struct Said {
    /// The client's own name of the event.
    pub event: String,
    /// The session.
    pub session: String,
    /// The agent within it; `None`: the one that a person talks to.
    pub agent: Option<Agent>,
    /// The directory in which it works.
    pub cwd: Option<String>,
    /// What happens.
    pub what: What,
}

impl Said {
    /// What a payload says whose fields have the names that most clients give them.
    pub(crate) fn new(payload: &Payload, event: String, what: What) -> Result<Self, ReadError> {
        let kind = payload.text("agent_type").map(str::to_owned);
        Ok(Self {
            event,
            session: payload.needed("session_id")?.to_owned(),
            agent: payload.text("agent_id").map(|id| Agent { id: id.to_owned(), kind, notes: None }),
            cwd: payload.text("cwd").map(str::to_owned),
            what,
        })
    }
}

/// An agent that another one started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    /// The client's id of it.
    pub id: String,
    /// Of which kind it is.
    pub kind: Option<String>,
    /// Where the client may have noted in which phase it works.
    pub notes: Option<Notes>,
}

/// Where a client keeps a note of an agent: in a file of this name, in one of the directories below this one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notes {
    /// The directory.
    pub dir: String,
    /// The file's name.
    pub name: String,
}

/// What a client noted of an agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The heading of the phase in which it works.
    pub phase: String,
    /// What it is to do.
    pub description: Option<String>,
}

/// What happens.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// A session begins, or goes on.
    SessionBegins,
    /// A session ends.
    SessionEnds,
    /// The agent has nothing more to do for now. With `is_quiet` nothing that it started goes on.
    TurnEnds {
        /// Whether nobody works in the background.
        is_quiet: bool,
    },
    /// An agent begins that another one started.
    AgentBegins,
    /// An agent ends that another one started.
    AgentEnds,
    /// A tool is about to be called.
    CallBegins(Call),
    /// A tool was called.
    CallEnds {
        /// The call.
        call: Call,
        /// Why it failed, where it did.
        error: Option<String>,
        /// The end of what it wrote.
        output: Option<Tail>,
        /// The agent that it started.
        started: Option<String>,
    },
    /// A task was made.
    TaskMade {
        /// Its id within the session.
        id: String,
        /// What it is about.
        subject: Option<String>,
    },
    /// A task is done.
    TaskDone {
        /// Its id within the session.
        id: String,
    },
    /// Nothing that matters here.
    Other,
}

/// A call of a tool.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    /// The client's id of it; `None` where it gives none.
    pub id: Option<String>,
    /// The tool's name.
    pub tool: String,
    /// What it does.
    pub does: Does,
    /// Whether what it starts goes on when it has ended.
    pub goes_on: bool,
}

impl Call {
    /// The call of a payload whose fields have the names that most clients give them. Its work ends with it.
    pub(crate) fn new(payload: &Payload, does: impl Fn(&str, &Payload) -> Does) -> Result<Self, ReadError> {
        let tool = payload.needed("tool_name")?;
        let does = does(tool, &payload.part("tool_input"));
        Ok(Self { id: payload.name("tool_use_id"), tool: tool.to_owned(), does, goes_on: false })
    }

    /// The same, whose work goes on where a field of its input says so.
    pub(crate) fn perhaps_going_on(self, payload: &Payload, field: &str) -> Self {
        let goes_on = payload.part("tool_input").value(field) == Some(&Value::Bool(true));
        Self { goes_on, ..self }
    }
}

/// What a tool does to files, as far as its call tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Does {
    /// It writes these files, and no others.
    Writes(Vec<String>),
    /// It reads these files, or what is below them.
    Reads(Vec<String>),
    /// It runs a command in a shell.
    Runs(String),
    /// It starts an agent, which is to do this.
    Starts(Option<String>),
    /// A task of the session is taken up by whoever calls it.
    Takes(String),
    /// Nothing.
    Nothing,
    /// Nobody knows.
    Unknown,
}

impl Does {
    /// It writes these files; where it names none, nobody knows what it does.
    pub(crate) fn writes(files: Vec<String>) -> Self {
        if files.is_empty() { Self::Unknown } else { Self::Writes(files) }
    }

    /// It runs a command; where it names none, nobody knows what it does.
    pub(crate) fn runs(command: Option<&str>) -> Self {
        command.map_or(Self::Unknown, |command| Self::Runs(command.to_owned()))
    }
}

/// The end of what a command wrote.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tail {
    /// Of standard output.
    pub stdout: String,
    /// Of standard error.
    pub stderr: String,
}

/// Bytes of each stream that are kept.
const TAIL_BYTES: usize = 4_096;

impl Tail {
    /// The ends of two streams; `None` where both are empty.
    pub(crate) fn of(stdout: Option<&str>, stderr: Option<&str>) -> Option<Self> {
        let tail = Self { stdout: end(stdout.unwrap_or("")), stderr: end(stderr.unwrap_or("")) };
        (tail != Self::default()).then_some(tail)
    }
}

fn end(text: &str) -> String {
    let mut from = text.len().saturating_sub(TAIL_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Go on.
    Nothing,
    /// The tool must not be called, and why.
    Deny(String),
}

/// A payload, of which fields are asked for that may not be there.
#[derive(Clone, PartialEq, Debug)]
pub struct Payload(Map<String, Value>);

/// A payload in which objects and lists lie deeper in each other is refused: what reads it may use a stack.
const LEVELS_MAX: usize = 120;

impl Payload {
    /// Reads one. A mark of byte order before it is passed over, and bytes that are no text are replaced: names of files in
    /// JSON may be cut anywhere.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}');
        if depth(text) > LEVELS_MAX {
            return Err(ReadError::NoObject(format!("more than {LEVELS_MAX} levels")));
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(ReadError::NoObject("another value".to_owned())),
            Err(error) => Err(ReadError::NoObject(error.to_string())),
        }
    }

    /// A part of it, empty where there is none.
    pub(crate) fn part(&self, name: &str) -> Self {
        Self(self.0.get(name).and_then(Value::as_object).cloned().unwrap_or_default())
    }

    /// A text that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The same, which must be there.
    pub(crate) fn needed(&self, name: &'static str) -> Result<&str, ReadError> {
        self.text(name).ok_or(ReadError::Lacks(name))
    }

    /// A text or a number, as text.
    pub(crate) fn name(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A value of any type.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The files that several fields may name.
    pub(crate) fn texts(&self, names: &[&str]) -> Vec<String> {
        names.iter().filter_map(|name| self.text(name)).map(str::to_owned).collect()
    }
}

/// How deep objects and lists lie in each other, at most; brackets within texts are none.
fn depth(text: &str) -> usize {
    let (mut depth, mut most, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                most = most.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_refused() {
        for bytes in [&b""[..], b"[]", b"1", b"{", b"{\"a\":1}x", b"\xff"] {
            assert!(matches!(Payload::read(bytes), Err(ReadError::NoObject(_))), "{bytes:?}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Payload::read(deep.as_bytes()).is_err());
        assert!(Payload::read("\u{feff}{\"a\":\"[[[{{{\\\"\"}".as_bytes()).is_ok());
    }

    #[test]
    fn tails_end_on_whole_letters() {
        let long = "ä".repeat(TAIL_BYTES);
        let tail = Tail::of(Some(&long), None).unwrap();
        assert!(tail.stdout.len() <= TAIL_BYTES && tail.stdout.chars().all(|letter| letter == 'ä'));
        assert_eq!(Tail::of(Some(""), None), None);
    }
}
