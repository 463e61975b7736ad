//! Operations: what each is called, takes, gives and touches; the one table of those that this build has.
//!
//! Owns the contract between definitions (`params`, `results`), handlers and front ends: a handler is an `impl` of
//! [`Perform`] for its parameters, bound by one line in [`crate::handlers`]. Refuses to know any front end.

pub(crate) mod acting;
mod definitions;
pub mod json;
pub mod keys;
pub(crate) mod places;
pub use wfr_model::plain;
mod schema;
mod strict;
pub mod words;

use std::ffi::OsString;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use wfr_model::Span;

use crate::error::{Code, Failure};
use crate::params::{Mcp, WatchTree};
use crate::response::{Answer, Outcome, Success};
use crate::session::Session;
use crate::workspace;

pub use schema::{parameters, result};

/// What an operation does to the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Changes nothing.
    Reads,
    /// Changes the store, the view or the configuration; never the workspace's other files.
    Writes,
    /// Changes the workspace's files, with consent only.
    Recovers,
}

/// What more is to be known of an operation by whoever offers it to agents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Calling it again in the same way changes nothing more.
    Repeatable,
    /// It may replace or take away what was there, beside adding to it.
    Replaces,
    /// It reaches other machines.
    Reaches,
    /// Where it changes anything it is for a person to call: it decides what wfr does, or mends wfr's own.
    ByPerson,
    /// It is of the process that a person, or a script, starts: agents are not offered it.
    OfProcess,
}

/// What a word on the command line may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// A workflow.
    Workflow,
    /// A reference to a checkpoint.
    Checkpoint,
    /// A reference to a checkpoint, or `tree`.
    CheckpointOrTree,
    /// A recovery's id.
    Recovery,
    /// A path in a tree.
    Path,
    /// A path of this machine.
    HostPath,
    /// Anything else.
    Text,
    /// A command and its words, which stand behind a `--`.
    Command,
}

/// A key that a word may stand for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Positional {
    /// The key.
    pub key: &'static str,
    /// What it may be.
    pub slot: Slot,
    /// Whether the operation needs it, by word or by key.
    pub needed: bool,
    /// Whether all further words are it.
    pub many: bool,
    /// A key and one in its object that say it as well: then it is not needed.
    pub instead: Option<(&'static str, &'static str)>,
}

impl Positional {
    /// A word that may be missing.
    pub const fn optional(key: &'static str, slot: Slot) -> Self {
        Self { key, slot, needed: false, many: false, instead: None }
    }

    /// A word, or a key, that must be there.
    pub const fn needed(key: &'static str, slot: Slot) -> Self {
        Self { key, slot, needed: true, many: false, instead: None }
    }

    /// The same, unless a key in the object of another one says it.
    pub const fn or(self, outer: &'static str, inner: &'static str) -> Self {
        Self { instead: Some((outer, inner)), ..self }
    }

    /// Any number of words.
    pub const fn many(key: &'static str, slot: Slot) -> Self {
        Self { key, slot, needed: false, many: true, instead: None }
    }

    /// A command with its words.
    pub const fn command(key: &'static str) -> Self {
        Self { key, slot: Slot::Command, needed: true, many: true, instead: None }
    }
}

/// What is fixed about an operation: everything but its handler. The documentation of the type is its help.
pub trait Definition: DeserializeOwned + JsonSchema + Default + 'static {
    /// What it gives.
    type Result: Answer + JsonSchema;
    /// Its name.
    const NAME: &'static str;
    /// Keys that words may stand for, in order. An optional workflow may stand first only.
    const POSITIONALS: &'static [Positional] = &[];
    /// What it does to the world.
    const EFFECT: Effect;
    /// Other names that are accepted and not listed.
    const ALIASES: &'static [&'static str] = &[];
    /// Calls to learn from, without the program's name.
    const EXAMPLES: &'static [&'static str] = &[];
    /// What more is to be known of it.
    const MARKS: &'static [Mark] = &[];
}

/// An operation with its handler.
pub trait Perform: Definition {
    /// Does it.
    fn perform(self, session: &mut Session) -> Result<Success<Self::Result>, Failure>;
}

/// An operation as front ends see it.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// Keys that words may stand for, in order.
    pub positionals: &'static [Positional],
    /// What it does to the world.
    pub effect: Effect,
    /// Other names that are accepted and not listed.
    pub aliases: &'static [&'static str],
    /// Calls to learn from, without the program's name.
    pub examples: &'static [&'static str],
    /// What more is to be known of it.
    pub marks: &'static [Mark],
    /// The JSON Schema of its parameters. Its description's first paragraph is the summary, the rest the help.
    pub parameters: fn() -> Value,
    /// The JSON Schema of its result.
    pub result: fn() -> Value,
    /// Checks that every key is one of its own and has a value that it may have.
    pub check: fn(&Map<String, Value>) -> Result<(), Failure>,
    /// Does it, given parameters as a JSON object.
    pub run: fn(&mut Session, Value) -> Result<Outcome, Failure>,
}

impl Operation {
    /// The operation of a handler.
    pub const fn of<P: Perform>() -> Self {
        Self::defined::<P>(run::<P>)
    }

    /// The operation of a definition that a front end handles itself.
    pub const fn defined<P: Definition>(run: fn(&mut Session, Value) -> Result<Outcome, Failure>) -> Self {
        Self {
            name: P::NAME,
            positionals: P::POSITIONALS,
            effect: P::EFFECT,
            aliases: P::ALIASES,
            examples: P::EXAMPLES,
            marks: P::MARKS,
            parameters: parameters::<P>,
            result: result::<P>,
            check: keys::check::<P>,
            run,
        }
    }

    /// The parameters of a call with words and keys: the words become keys. Wrong keys are found before anything is
    /// opened.
    pub fn bind(
        &self,
        session: &mut Session,
        words: &[OsString],
        parameters: Map<String, Value>,
    ) -> Result<Map<String, Value>, Failure> {
        let parameters = with_moments(session, parameters);
        let parameters = places::resolved(self.parameters, parameters, session)?;
        (self.check)(&parameters)?;
        let parameters = words::bind(self, words, parameters, session)?;
        (self.check)(&parameters)?;
        Ok(parameters)
    }

    /// Whether it has a mark.
    pub fn is(&self, mark: Mark) -> bool {
        self.marks.contains(&mark)
    }

    /// Whether it is called this.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// Keys whose values may say how long ago something was: `5m` is five minutes before now.
const MOMENTS: [&str; 2] = ["since", "until"];

/// Parameters with lengths of time as the moments that they mean.
fn with_moments(session: &Session, mut parameters: Map<String, Value>) -> Map<String, Value> {
    for key in MOMENTS {
        let length = |text: &str| text.parse::<Span>().ok()?.duration();
        if let Some(length) = parameters.get(key).and_then(Value::as_str).and_then(length) {
            parameters.insert(key.to_owned(), session.now().before(length).to_string().into());
        }
    }
    parameters
}

fn moments(session: &Session, parameters: Value) -> Value {
    match parameters {
        Value::Object(parameters) => Value::Object(with_moments(session, parameters)),
        other => other,
    }
}

/// Reads the parameters, does it, and forgets the result's type.
fn run<P: Perform>(session: &mut Session, parameters: Value) -> Result<Outcome, Failure> {
    let refuse = |error: serde_json::Error| Failure::new(Code::InvalidParameter, plain::plain(&error.to_string()));
    if acting::acts(P::NAME, P::EFFECT, &parameters) {
        workspace::refuse_elsewhere(&session.directories)?;
    }
    let parameters: P = strict::from_value(moments(session, parameters)).map_err(refuse)?;
    let needs_configuration = !goes_on_without_configuration(P::NAME, P::EFFECT);
    let outer = std::mem::replace(&mut session.needs_configuration, needs_configuration);
    let ended = parameters.perform(session);
    session.needs_configuration = outer;
    // `doctor` says that it is missing.
    if ended.is_ok() && P::EFFECT != Effect::Reads && P::NAME != "doctor" {
        session.refill();
    }
    session.adopt();
    Ok(ended?.erase())
}

/// Whether an operation goes on with the defaults where the configuration cannot be used: what only looks, what says
/// what is wrong or whole, and what brings back in need. What captures or removes by the configuration does not, nor does a
/// restore without need: how strictly it checks is configured.
fn goes_on_without_configuration(name: &str, effect: Effect) -> bool {
    let named = ["doctor", "validate-checkpoint", "emergency-restore", "undo", "resume"];
    effect == Effect::Reads || named.contains(&name)
}

pub use crate::handlers::ALL;

/// By what a call goes on until somebody ends it; `None` where it ends by itself.
pub fn endless(operation: &str, parameters: &Map<String, Value>) -> Option<&'static str> {
    let runs = || parameters.get("action").and_then(Value::as_str).is_none_or(|action| action == "run");
    if operation == WatchTree::NAME && runs() {
        return Some("watch");
    }
    if operation == Mcp::NAME {
        return Some("mcp");
    }
    ["follow", "watch"].into_iter().find(|key| parameters.get(*key) == Some(&Value::Bool(true)))
}

/// The operation of that name or alias.
pub fn find(name: &str) -> Option<&'static Operation> {
    ALL.iter().find(|operation| operation.is_called(name))
}

/// Operations of the reference and of its protocol that later versions bring, each with the group it comes with.
pub const LATER: &[(&str, &str)] = &[
    ("analyze-failure", "failure analysis"),
    ("root-cause", "failure analysis"),
    ("impact-assessment", "failure analysis"),
    ("recovery-plan", "failure analysis"),
    ("create-strategy", "strategies and prevention"),
    ("update-strategy", "strategies and prevention"),
    ("test-resilience", "strategies and prevention"),
    ("monitor-health", "strategies and prevention"),
    ("run", "strategies and prevention"),
];
