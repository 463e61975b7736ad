//! Agent clients: what they say through their hooks, in one form, and how each of them is answered.
//!
//! Owns the clients' own schemas. Refuses to read files, clocks and environments, and to know what is done about what is said.

mod claude;
mod codex;
mod cursor;
mod gemini;
mod heading;
pub mod opencode;
mod said;
pub mod settings;
pub mod shell;

pub use heading::Heading;
pub use said::{Agent, Answer, Call, Does, Note, Notes, Payload, ReadError, Said, Tail, What};

/// A program in which agents work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Client {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// opencode.
    Opencode,
    /// Cursor.
    Cursor,
}

/// How the shell commands of a client come to be run by us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrapping {
    /// By a variable of its environment, which its hooks see, too.
    Variable(&'static str),
    /// By something that its hooks do not see: whether it was so is known when a command has been run.
    Hidden,
    /// Not at all.
    Nothing,
}

/// How a client marks the processes that it starts: by variables of their environment.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    /// The variable that all have.
    pub variable: &'static str,
    /// Whether that names the session.
    pub names_session: bool,
    /// The variable that has the number of the client's process, where there is one.
    pub process: Option<&'static str>,
}

impl Client {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Claude, Self::Codex, Self::Gemini, Self::Opencode, Self::Cursor];

    /// The name that people call it by on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Cursor => "cursor",
        }
    }

    /// The client of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|client| client.as_str() == name)
    }

    /// How its shell commands come to be run by us.
    pub fn wrapping(self) -> Wrapping {
        match self {
            Self::Claude => Wrapping::Variable("CLAUDE_CODE_SHELL_PREFIX"),
            Self::Gemini => Wrapping::Variable("BASH_ENV"),
            Self::Codex | Self::Opencode => Wrapping::Hidden,
            Self::Cursor => Wrapping::Nothing,
        }
    }

    /// How it marks what it starts, as Claude Code 2.1, Codex 0.169, opencode 1.18 and Gemini CLI 0.61 do; `None` where that is not
    /// known. Its program is named as it is.
    pub fn marks(self) -> Option<Marks> {
        let marks = |variable, names_session, process| Some(Marks { variable, names_session, process });
        match self {
            Self::Claude => marks("CLAUDE_CODE_SESSION_ID", true, Some("CLAUDE_PID")),
            Self::Codex => marks("CODEX_SESSION_ID", true, None),
            Self::Gemini => marks("GEMINI_CLI", false, None),
            Self::Opencode => marks("OPENCODE_PID", false, Some("OPENCODE_PID")),
            Self::Cursor => None,
        }
    }

    /// The variable by which its hooks and commands know the directory of their session, wherever they work.
    pub fn project_variable(self) -> Option<&'static str> {
        match self {
            Self::Claude => Some("CLAUDE_PROJECT_DIR"),
            Self::Gemini => Some("GEMINI_PROJECT_DIR"),
            Self::Codex | Self::Opencode | Self::Cursor => None,
        }
    }

    /// Whether it says which agent makes a call.
    pub fn names_agents(self) -> bool {
        self != Self::Gemini
    }

    /// What a hook's payload says. Fields that it does not know are passed over: clients add some with each version.
    ///
    /// Errors: it is no JSON object, or has not what every payload of the client has.
    pub fn read(self, payload: &[u8]) -> Result<Said, ReadError> {
        let payload = Payload::read(payload)?;
        match self {
            Self::Claude => claude::read(&payload),
            Self::Codex => codex::read(&payload),
            Self::Gemini => gemini::read(&payload),
            Self::Opencode => opencode::read(&payload),
            Self::Cursor => cursor::read(&payload),
        }
    }

    /// Whose a payload is of which perhaps only the beginning is there, where the client gives one to programs of the user's that it
    /// has run for a call of a tool or at the end of a turn; `None` where it is another one, or none.
    pub fn heading(self, beginning: &[u8]) -> Option<Heading> {
        match self {
            Self::Claude => {
                heading::read(beginning).filter(|heading| claude::OF_WORK.contains(&heading.event.as_str()))
            }
            Self::Codex | Self::Gemini | Self::Opencode | Self::Cursor => None,
        }
    }

    /// What the client noted of an agent, in the file of [`Agent::notes`]; `None` where it is not of a phase.
    pub fn note(self, note: &[u8]) -> Option<Note> {
        let note = Payload::read(note).ok()?;
        match self {
            Self::Claude => claude::note(&note),
            Self::Codex | Self::Gemini | Self::Opencode | Self::Cursor => None,
        }
    }

    /// What the client is to read on standard output, which is nothing where it may go on.
    pub fn answer(self, said: &Said, answer: &Answer) -> String {
        // Only what is about to be called can be denied.
        let (Answer::Deny(reason), What::CallBegins(_)) = (answer, &said.what) else { return String::new() };
        match self {
            Self::Claude | Self::Codex => claude::denied(reason),
            Self::Gemini => gemini::denied(reason),
            Self::Opencode => opencode::denied(reason),
            Self::Cursor => cursor::denied(reason),
        }
    }
}
