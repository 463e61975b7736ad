//! Names of things: workflows, checkpoints, recoveries, packs, operations.
//!
//! Owns which texts are valid names and how an id is told apart by its prefix. Refuses to mint one: that
//! needs a clock and randomness.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that cannot be an id or a name, and why.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[error("`{text}` cannot be {} {what}: {why}", article(.what))]
pub struct ParseIdError {
    /// The text as given, shortened to 80 characters.
    pub text: String,
    /// Which id was expected.
    pub what: &'static str,
    /// The rule that it breaks.
    pub why: &'static str,
}

fn article(what: &str) -> &'static str {
    if what.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" }
}

/// The longest id or name, in bytes: with a suffix it still fits a file name.
pub const NAME_BYTES_MAX: usize = 128;

/// Checks a name that may become part of a file name: 1 to 128 bytes of `A-Z a-z 0-9 . _ -`, with a letter, a
/// digit or `_` first, so that it is never hidden, never an option and never leaves its directory.
pub fn check_name(text: &str, what: &'static str) -> Result<(), ParseIdError> {
    let refuse = |why| Err(ParseIdError { text: text.chars().take(80).collect(), what, why });
    if text.is_empty() {
        return refuse("it is empty");
    }
    if text.len() > NAME_BYTES_MAX {
        return refuse("it is longer than 128 bytes");
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return refuse("only letters, digits, `.`, `_` and `-` are allowed");
    }
    if text.starts_with(['.', '-']) {
        return refuse("it must begin with a letter, a digit or `_`");
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $prefixes:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The prefixes by which this id is told from others; empty where any name will do.
            pub const PREFIXES: &'static [&'static str] = $prefixes;

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                check_name(text, $what)?;
                if !Self::PREFIXES.is_empty() && !Self::PREFIXES.iter().any(|p| text.starts_with(p)) {
                    let text = text.chars().take(80).collect();
                    return Err(ParseIdError { text, what: $what, why: "its prefix is another one" });
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"})
            }
        }
    };
}

id!(
    /// A workflow's name, chosen by whoever runs it.
    WorkflowId, "workflow id", &[]
);
id!(
    /// A checkpoint: `ckpt_` and 32 hexadecimal digits of a UUID v7; siblings' `chkpt_` and `checkpoint_` are read too.
    CheckpointId, "checkpoint id", &["ckpt_", "chkpt_", "checkpoint_"]
);
id!(
    /// A recovery: `rec_` and 32 hexadecimal digits of a UUID v7.
    RecoveryId, "recovery id", &["rec_"]
);
id!(
    /// A change of the ledger: `chg_` and 32 hexadecimal digits of a UUID v7.
    ChangeId, "change id", &["chg_"]
);
id!(
    /// A pack file of the store: 32 hexadecimal digits of a UUID v7, which sorts by the time of making.
    PackId, "pack id", &[]
);
id!(
    /// An entry of the audit trail: `op_` and 32 hexadecimal digits of a UUID v7.
    OperationId, "operation id", &["op_"]
);
id!(
    /// An event: `evt_` and a UUID, or whatever its publisher made unique.
    EventId, "event id", &[]
);
id!(
    /// A task of a workflow, named by its orchestrator.
    TaskId, "task id", &[]
);
id!(
    /// An agent, named by its orchestrator.
    AgentId, "agent id", &[]
);
id!(
    /// A share of resources, named by who gave it.
    AllocationId, "allocation id", &[]
);
id!(
    /// A failure that was reported: `failure_` and a time and digits.
    FailureId, "failure id", &["failure_"]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_escape_are_refused() {
        for bad in ["", "../x", "%2e%2e", "--output=x", ".hidden", "a/b", "a\0b", "a\nb", &"x".repeat(129)] {
            assert!(bad.parse::<WorkflowId>().is_err(), "{bad:?}");
        }
        assert!("workflow_123".parse::<WorkflowId>().is_ok());
        assert!("rec_1".parse::<CheckpointId>().is_err());
        let said = |what| check_name("", what).unwrap_err().to_string();
        assert_eq!(
            [said("agent id"), said("name")],
            ["`` cannot be an agent id: it is empty", "`` cannot be a name: it is empty"]
        );
    }
}
