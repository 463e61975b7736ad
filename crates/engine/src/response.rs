//! What an operation answers: the reference's success and error responses.
//!
//! Owns their field names. Refuses to know what a result holds and how it is shown.

use std::any::Any;
use std::fmt::Debug;
use std::io::{self, BufWriter, Write};

use serde::Serialize;
use serde_json::Value;
use wfr_model::{Timestamp, WorkflowId};

use crate::error::{Failure, Kind, Severity};

/// How much of a document is kept before it is passed on, in bytes.
const WRITE_BYTES: usize = 64 << 10;

/// What an operation changed, in the reference's words. Figures that are not known are `null`, never invented.
#[derive(Clone, PartialEq, Debug, Default, Serialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Impact {
    /// Tasks whose state changed.
    pub tasks_affected: Option<u64>,
    /// Agents that were given other tasks.
    pub agents_reassigned: Option<u64>,
    /// Files that were written, replaced or removed.
    pub files_restored: Option<u64>,
    /// How long the tree was being changed.
    pub downtime: Option<String>,
}

/// A typed success, as operations give it.
#[derive(Clone, Debug)]
pub struct Success<R> {
    /// The operation's own result.
    pub result: R,
    /// Whose workflow it was about.
    pub workflow_id: Option<WorkflowId>,
    /// What it changed.
    pub impact: Option<Impact>,
    /// What to do next.
    pub next_steps: Vec<String>,
    /// Set where the operation ran to its end and found that something is wrong: it gives the exit code, the result
    /// stands beside it.
    pub verdict: Option<Failure>,
}

impl<R> Success<R> {
    /// A success with nothing but its result.
    pub fn new(result: R) -> Self {
        Self { result, workflow_id: None, impact: None, next_steps: vec![], verdict: None }
    }

    /// The same, about a workflow.
    pub fn about(self, workflow: &WorkflowId) -> Self {
        Self { workflow_id: Some(workflow.clone()), ..self }
    }

    /// The same with what it changed.
    pub fn with_impact(self, impact: Impact) -> Self {
        Self { impact: Some(impact), ..self }
    }

    /// The same with one more thing to do next.
    pub fn with_next_step(mut self, step: impl Into<String>) -> Self {
        self.next_steps.push(step.into());
        self
    }

    /// The same with a verdict, where there is one.
    pub fn with_verdict(self, verdict: Option<Failure>) -> Self {
        Self { verdict, ..self }
    }

    /// The same with the result's type forgotten.
    pub fn erase(self) -> Outcome
    where
        R: Answer,
    {
        Success {
            result: Box::new(self.result),
            workflow_id: self.workflow_id,
            impact: self.impact,
            next_steps: self.next_steps,
            verdict: self.verdict,
        }
    }
}

/// How JSON is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Indented, for people.
    Indented,
    /// In one line, for programs.
    Compact,
}

/// A success of any operation.
pub type Outcome = Success<Box<dyn Answer>>;

/// A result of any type: shown by those who know the type, or as JSON.
pub trait Answer: Any + Debug + Send + Sync {
    /// It as JSON.
    fn to_value(&self) -> Value;

    /// Writes the document of a response with this result, piece by piece: a long list is not copied for it.
    fn write(&self, head: Response<()>, layout: Layout, out: &mut dyn Write) -> io::Result<()>;
}

impl<R: Serialize + Any + Debug + Send + Sync> Answer for R {
    fn to_value(&self) -> Value {
        value_of(self)
    }

    fn write(&self, head: Response<()>, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
        head.with_result(Some(self)).write(layout, out)
    }
}

/// Writes a result as JSON: the one way for all types, since each way costs each of them its own code.
fn write_compact(result: &impl Serialize, out: &mut dyn Write) -> serde_json::Result<()> {
    serde_json::to_writer(out, result)
}

fn value_of(result: &impl Serialize) -> Value {
    let mut text = Vec::new();
    let written = write_compact(result, &mut text).and_then(|()| wfr_model::json::stored(&text));
    written.expect("results have string keys and finite numbers only")
}

/// Whether it went well.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It did; the exit code is 0.
    Success,
    /// It did not; `error` says why.
    Error,
}

/// The document that an operation answers with. A success has no `error`; an error may have a `result`.
#[derive(Clone, PartialEq, Debug, Serialize, schemars::JsonSchema)]
pub struct Response<R = Value> {
    /// Whether it went well.
    pub status: Status,
    /// Which operation.
    pub operation: String,
    /// Whose workflow it was about; `null` where it was about none or all.
    pub workflow_id: Option<String>,
    /// When it ended.
    pub timestamp: Timestamp,
    /// The result; its schema is the operation's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<R>,
    /// What it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
    /// What to do next, on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_steps: Option<Vec<String>>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// Ways on, best first, on error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_options: Option<Vec<String>>,
    /// Whether a person is needed, on errors that wfr cannot mend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_contact: Option<EmergencyContact>,
}

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, schemars::JsonSchema)]
pub struct ErrorBody {
    /// A stable code in capitals.
    pub code: String,
    /// What happened.
    pub message: String,
    /// Causes and places.
    pub details: String,
    /// How bad it is.
    pub severity: Severity,
    /// What sort of failure it is.
    pub kind: Kind,
    /// The exit code that belongs to it.
    pub exit_code: u8,
}

/// The reference's last resort.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, schemars::JsonSchema)]
pub struct EmergencyContact {
    /// Whether wfr has no way on by itself.
    pub manual_intervention_required: bool,
    /// Where the way on by hand is described.
    pub escalation_procedures: String,
}

impl<R> Response<R> {
    /// The answer of an operation that ran to its end.
    pub fn of_outcome(operation: &str, outcome: Success<R>, now: Timestamp) -> Self {
        let workflow_id = outcome.workflow_id.map(String::from);
        match outcome.verdict {
            None => Self {
                next_steps: Some(outcome.next_steps),
                // The reference's success always has it; what is not known in it is null.
                impact: Some(outcome.impact.unwrap_or_default()),
                result: Some(outcome.result),
                ..Self::empty(Status::Success, operation, workflow_id, now)
            },
            Some(failure) => Self {
                impact: outcome.impact,
                result: Some(outcome.result),
                ..Self::failed(operation, workflow_id, &failure, now)
            },
        }
    }

    fn failed(operation: &str, workflow_id: Option<String>, failure: &Failure, now: Timestamp) -> Self {
        Self {
            error: Some(ErrorBody {
                code: failure.code.to_string(),
                message: failure.message.clone(),
                details: failure.details.clone(),
                severity: failure.severity(),
                kind: failure.kind(),
                exit_code: failure.kind().exit_code(),
            }),
            recovery_options: Some(failure.ways_on(operation).collect()),
            emergency_contact: (failure.severity() == Severity::Critical).then(|| EmergencyContact {
                manual_intervention_required: true,
                escalation_procedures: "docs/manual-recovery.md".to_owned(),
            }),
            ..Self::empty(Status::Error, operation, workflow_id, now)
        }
    }

    fn empty(status: Status, operation: &str, workflow_id: Option<String>, timestamp: Timestamp) -> Self {
        Self {
            status,
            operation: operation.to_owned(),
            workflow_id,
            timestamp,
            result: None,
            impact: None,
            next_steps: None,
            error: None,
            recovery_options: None,
            emergency_contact: None,
        }
    }

    /// The same with another result.
    fn with_result<S>(self, result: Option<S>) -> Response<S> {
        Response {
            result,
            status: self.status,
            operation: self.operation,
            workflow_id: self.workflow_id,
            timestamp: self.timestamp,
            impact: self.impact,
            next_steps: self.next_steps,
            error: self.error,
            recovery_options: self.recovery_options,
            emergency_contact: self.emergency_contact,
        }
    }

    /// Writes it as JSON with a line end.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, layout: Layout, out: &mut dyn Write) -> io::Result<()>
    where
        R: Serialize,
    {
        let mut buffered = BufWriter::with_capacity(WRITE_BYTES, out);
        match layout {
            // For people, who read no long lists: all types are written out in one way only.
            Layout::Indented => write!(buffered, "{:#}", value_of(self))?,
            Layout::Compact => write_compact(self, &mut buffered)?,
        }
        buffered.write_all(b"\n")?;
        buffered.flush()
    }

    /// The exit code of a process that ends with this answer.
    pub fn exit_code(&self) -> u8 {
        self.error.as_ref().map_or(0, |error| error.exit_code)
    }
}

impl Response {
    /// The answer of an operation that failed, with what it had found out before.
    pub fn of_failure(operation: &str, workflow_id: Option<String>, failure: &Failure, now: Timestamp) -> Self {
        Self {
            result: failure.result.as_deref().map(Answer::to_value),
            ..Self::failed(operation, workflow_id, failure, now)
        }
    }
}

impl Response<Box<dyn Answer>> {
    /// Writes it as JSON, like any response.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_erased(mut self, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
        match self.result.take() {
            Some(result) => result.write(self.with_result(None), layout, out),
            None => self.with_result(None::<Value>).write(layout, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn a_verdict_makes_an_error_that_keeps_its_result() {
        let outcome = Success::new(serde_json::json!({"healthy": false}));
        let failure = Failure::new(Code::Unhealthy, "1 finding");
        let response = Response::of_outcome("doctor", outcome.with_verdict(Some(failure)), Timestamp(0));
        assert_eq!(response.exit_code(), 1);
        let json = serde_json::to_value(&response).expect("it is JSON");
        assert_eq!(json["status"], "error");
        assert_eq!(json["result"]["healthy"], false);
        assert_eq!(json["error"]["code"], "UNHEALTHY");
        assert!(json.get("next_steps").is_none());
    }

    #[test]
    fn a_failure_names_the_operation_that_explains_itself() {
        let failure = Failure::new(Code::WrongArguments, "too many");
        let response = Response::of_failure("diff", None, &failure, Timestamp(0));
        assert_eq!(response.recovery_options, Some(vec!["run `wfr diff --help` for how it is called".to_owned()]));
    }

    #[test]
    fn a_success_has_the_references_fields() {
        let response = Response::of_outcome("show", Success::new(Value::Null), Timestamp(0));
        let json = serde_json::to_value(&response).expect("it is JSON");
        let keys: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["status", "operation", "workflow_id", "timestamp", "result", "impact", "next_steps"]);
        assert_eq!(response.exit_code(), 0);
    }
}
