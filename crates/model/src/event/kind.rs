//! What happened, in one word: the protocol's types of events, and any other that somebody sends.
//!
//! Owns the list, and how dialects (`phase_completed`, `phase.completed`, `PhaseCompleted`) become one spelling. Refuses
//! to say what a type does to a state: see [`crate::workflow::fold`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name of a type, in bytes.
const NAME_BYTES_MAX: usize = 64;

macro_rules! types {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal needs [$($field:literal),*];)*) => {
        /// The types that the protocol lists, and `WORKFLOW_STATE_UPDATED`, which it uses without listing it.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum EventType {
            $($(#[doc = $doc])* $variant,)*
        }

        impl EventType {
            /// All of them, in the protocol's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in capitals.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Fields of `data` that the protocol requires.
            pub fn required(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($field),*],)* }
            }

            fn named(name: &str) -> Option<Self> {
                Some(match name { $($name => Self::$variant,)* _ => return None })
            }
        }
    };
}

types! {
    /// A workflow came to be.
    WorkflowCreated = "WORKFLOW_CREATED" needs [];
    /// A workflow began.
    WorkflowStarted = "WORKFLOW_STARTED" needs [];
    /// A workflow was halted for a while.
    WorkflowPaused = "WORKFLOW_PAUSED" needs [];
    /// A workflow goes on.
    WorkflowResumed = "WORKFLOW_RESUMED" needs [];
    /// A workflow ended well.
    WorkflowCompleted = "WORKFLOW_COMPLETED" needs [];
    /// A workflow failed.
    WorkflowFailed = "WORKFLOW_FAILED" needs ["failure_reason", "recovery_options"];
    /// A workflow was given up.
    WorkflowCancelled = "WORKFLOW_CANCELLED" needs [];
    /// A phase began.
    PhaseStarted = "PHASE_STARTED" needs [];
    /// A phase ended well.
    PhaseCompleted = "PHASE_COMPLETED" needs [];
    /// A phase failed.
    PhaseFailed = "PHASE_FAILED" needs ["phase_id", "failure_reason", "partial_results"];
    /// A phase was left out.
    PhaseSkipped = "PHASE_SKIPPED" needs [];
    /// A phase came so far.
    PhaseProgress = "PHASE_PROGRESS" needs [];
    /// A task was given to an agent.
    TaskAssigned = "TASK_ASSIGNED" needs [];
    /// An agent began a task.
    TaskStarted = "TASK_STARTED" needs [];
    /// A task ended well.
    TaskCompleted = "TASK_COMPLETED" needs [];
    /// A task failed.
    TaskFailed = "TASK_FAILED" needs ["task_id", "agent_id", "failure_reason", "retry_count"];
    /// A task took too long.
    TaskTimeout = "TASK_TIMEOUT" needs ["task_id", "agent_id", "timeout_duration"];
    /// A task went from one agent to another.
    TaskReassigned = "TASK_REASSIGNED" needs ["task_id", "old_agent", "new_agent", "reason"];
    /// An agent joined.
    AgentAllocated = "AGENT_ALLOCATED" needs [];
    /// An agent left.
    AgentDeallocated = "AGENT_DEALLOCATED" needs [];
    /// An agent is slower or worse than it was.
    AgentPerformanceAlert = "AGENT_PERFORMANCE_ALERT" needs [];
    /// An agent made an error.
    AgentError = "AGENT_ERROR" needs ["agent_id", "error_type", "error_details"];
    /// An agent does not answer.
    AgentTimeout = "AGENT_TIMEOUT" needs ["agent_id", "timeout_duration", "last_response"];
    /// Resources were given.
    ResourceAllocated = "RESOURCE_ALLOCATED" needs [];
    /// Resources were given back.
    ResourceDeallocated = "RESOURCE_DEALLOCATED" needs [];
    /// Two want the same resource.
    ResourceConflict = "RESOURCE_CONFLICT" needs ["conflict_id", "conflicting_requests", "severity"];
    /// A resource is used more than it should be.
    ResourceThreshold = "RESOURCE_THRESHOLD" needs ["resource_type", "current_usage", "threshold"];
    /// Resources were shared out better.
    ResourceOptimized = "RESOURCE_OPTIMIZED" needs [];
    /// A component came up.
    SystemStartup = "SYSTEM_STARTUP" needs [];
    /// A component went down.
    SystemShutdown = "SYSTEM_SHUTDOWN" needs [];
    /// The machine is used more than it should be.
    SystemThreshold = "SYSTEM_THRESHOLD" needs [];
    /// A component made an error.
    SystemError = "SYSTEM_ERROR" needs [];
    /// A component is being looked after.
    SystemMaintenance = "SYSTEM_MAINTENANCE" needs [];
    /// Something went wrong.
    ErrorEncountered = "ERROR_ENCOUNTERED" needs [];
    /// A recovery began.
    RecoveryInitiated = "RECOVERY_INITIATED" needs [];
    /// A recovery ended well.
    RecoveryCompleted = "RECOVERY_COMPLETED" needs [];
    /// A recovery failed.
    RecoveryFailed = "RECOVERY_FAILED" needs [];
    /// State was set from outside.
    WorkflowStateUpdated = "WORKFLOW_STATE_UPDATED" needs [];
}

/// Names that siblings use for a listed type, besides its dialects.
const SYNONYMS: &[(&str, EventType)] = &[
    ("IMPLEMENTATION_COMPLETED", EventType::WorkflowCompleted),
    ("PHASE_COMPLETE", EventType::PhaseCompleted),
    ("TASK_COMPLETE", EventType::TaskCompleted),
    ("WORKFLOW_COMPLETE", EventType::WorkflowCompleted),
    ("WORKFLOW_CANCELED", EventType::WorkflowCancelled),
];

/// The type of an event: a listed one, or another, which is kept as it came and does nothing to the state.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EventName {
    /// One of the list.
    Known(EventType),
    /// Another one, in capitals.
    Other(String),
}

impl EventName {
    /// The event that keeps the protocol's `checkpoint_sync`, a message and no event of its list.
    pub const CHECKPOINT_SYNC: &str = "CHECKPOINT_SYNC";

    /// The name in capitals.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(listed) => listed.as_str(),
            Self::Other(name) => name,
        }
    }

    /// The listed type.
    pub fn known(&self) -> Option<EventType> {
        match self {
            Self::Known(listed) => Some(*listed),
            Self::Other(_) => None,
        }
    }
}

/// A text that cannot be the type of an event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` cannot be the type of an event: {why}")]
pub struct ParseEventNameError {
    /// The text, shortened to 80 characters.
    pub text: String,
    /// The rule that it breaks.
    pub why: &'static str,
}

impl FromStr for EventName {
    type Err = ParseEventNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(listed) = EventType::named(text) {
            return Ok(Self::Known(listed));
        }
        let refuse = |why| Err(ParseEventNameError { text: text.chars().take(80).collect(), why });
        if text.len() > NAME_BYTES_MAX {
            return refuse("it is longer than 64 bytes");
        }
        if !text.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return refuse("it must begin with a letter, as in TASK_FAILED");
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
            return refuse("only letters, digits, `_`, `.` and `-` are allowed");
        }
        let name = one_spelling(text);
        let synonym = SYNONYMS.iter().find(|(other, _)| *other == name).map(|(_, listed)| *listed);
        Ok(EventType::named(&name).or(synonym).map_or(Self::Other(name), Self::Known))
    }
}

/// Capitals and underscores: a dot, a hyphen, and a capital after a small letter begin a word.
fn one_spelling(text: &str) -> String {
    let mut name = String::with_capacity(text.len() + 4);
    let mut small = false;
    for letter in text.chars() {
        if small && letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(if ".-".contains(letter) { '_' } else { letter.to_ascii_uppercase() });
        small = letter.is_ascii_lowercase();
    }
    name
}

impl TryFrom<String> for EventName {
    type Error = ParseEventNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EventName> for String {
    fn from(name: EventName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl schemars::JsonSchema for EventName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_.-]{0,63}$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the protocol lists, in its order, and then what it uses without listing it.
    const LISTED: &str = "
        WORKFLOW_ CREATED STARTED PAUSED RESUMED COMPLETED FAILED CANCELLED
        PHASE_ STARTED COMPLETED FAILED SKIPPED PROGRESS
        TASK_ ASSIGNED STARTED COMPLETED FAILED TIMEOUT REASSIGNED
        AGENT_ ALLOCATED DEALLOCATED PERFORMANCE_ALERT ERROR TIMEOUT
        RESOURCE_ ALLOCATED DEALLOCATED CONFLICT THRESHOLD OPTIMIZED
        SYSTEM_ STARTUP SHUTDOWN THRESHOLD ERROR MAINTENANCE
        ERROR_ ENCOUNTERED
        RECOVERY_ INITIATED COMPLETED FAILED
        WORKFLOW_STATE_ UPDATED";

    #[test]
    fn the_list_is_the_protocols() {
        let mut names = Vec::new();
        for line in LISTED.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (stem, ends) = line.split_once(' ').unwrap();
            names.extend(ends.split(' ').map(|end| format!("{stem}{end}")));
        }
        assert_eq!(names.len(), 37 + 1);
        assert_eq!(EventType::ALL.iter().map(|listed| listed.as_str()).collect::<Vec<_>>(), names);
        for listed in EventType::ALL {
            assert_eq!(listed.as_str().parse(), Ok(EventName::Known(*listed)));
        }
    }

    #[test]
    fn what_events_of_failures_must_say_is_the_protocols() {
        let needs = |listed: EventType| listed.required().join(" ");
        let said = EventType::ALL.iter().filter(|listed| !listed.required().is_empty());
        let said: Vec<String> = said.map(|listed| format!("{} {}", listed.as_str(), needs(*listed))).collect();
        let protocol = [
            "WORKFLOW_FAILED failure_reason recovery_options",
            "PHASE_FAILED phase_id failure_reason partial_results",
            "TASK_FAILED task_id agent_id failure_reason retry_count",
            "TASK_TIMEOUT task_id agent_id timeout_duration",
            "TASK_REASSIGNED task_id old_agent new_agent reason",
            "AGENT_ERROR agent_id error_type error_details",
            "AGENT_TIMEOUT agent_id timeout_duration last_response",
            "RESOURCE_CONFLICT conflict_id conflicting_requests severity",
            "RESOURCE_THRESHOLD resource_type current_usage threshold",
        ];
        assert_eq!(said, protocol);
    }

    #[test]
    fn dialects_are_one_type() {
        let expected = Ok(EventName::Known(EventType::PhaseCompleted));
        for text in ["PHASE_COMPLETED", "phase_completed", "phase.completed", "phase-completed", "PhaseCompleted"] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        assert_eq!("build.finished".parse(), Ok(EventName::Other("BUILD_FINISHED".to_owned())));
        for bad in ["", "_X", "1X", "a b", "a:b", "ä", "../x", &"x".repeat(65)] {
            assert!(bad.parse::<EventName>().is_err(), "{bad}");
        }
    }
}
