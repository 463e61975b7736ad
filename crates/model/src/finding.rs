//! One conclusion of a check: what is wrong, where, how bad, and what to do.
//!
//! Owns the shape that `doctor` and the validations share. Refuses to check anything.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Info,
    /// Something works less well than it should.
    Warning,
    /// Something does not work.
    Error,
    /// Data is lost or at risk.
    Critical,
}

/// One conclusion.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// A stable code in capitals, such as `STORE_OBJECT_DAMAGED`.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was found, in one sentence for people, with the place.
    pub message: String,
    /// What to do next; empty where nothing need be done.
    pub fix: String,
}

impl Finding {
    /// A finding from its parts.
    pub fn new(code: &str, severity: Severity, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code: code.to_owned(), severity, message: message.into(), fix: fix.into() }
    }
}
