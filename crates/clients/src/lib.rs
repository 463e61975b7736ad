//! Agent clients: what they say through their hooks, in one form, and how each of them is answered.
//!
//! Owns the clients' own schemas. Refuses to read files, clocks and environments, and to know what is done about what is said.

mod claude;
mod said;
pub mod settings;
pub mod shell;

pub use said::{Agent, Answer, Call, Does, Note, Notes, Payload, ReadError, Said, Tail, What};

/// A program in which agents work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Client {
    /// Claude Code.
    Claude,
}

impl Client {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Claude];

    /// The name that people call it by on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
        }
    }

    /// The client of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|client| client.as_str() == name)
    }

    /// The environment variable by which its commands can be told from those of others, where there is one.
    pub fn session_variable(self) -> Option<&'static str> {
        match self {
            Self::Claude => Some("CLAUDE_CODE_SESSION_ID"),
        }
    }

    /// What a hook's payload says. Fields that it does not know are passed over: clients add some with each version.
    ///
    /// Errors: it is no JSON object, or has not what every payload of the client has.
    pub fn read(self, payload: &[u8]) -> Result<Said, ReadError> {
        let payload = Payload::read(payload)?;
        match self {
            Self::Claude => claude::read(&payload),
        }
    }

    /// What the client noted of an agent, in the file of [`Agent::notes`]; `None` where it is not of a phase.
    pub fn note(self, note: &[u8]) -> Option<Note> {
        let note = Payload::read(note).ok()?;
        match self {
            Self::Claude => claude::note(&note),
        }
    }

    /// What the client is to read on standard output, which is nothing where it may go on.
    pub fn answer(self, said: &Said, answer: &Answer) -> String {
        match self {
            Self::Claude => claude::answer(said, answer),
        }
    }
}
