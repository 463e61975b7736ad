//! One call of an operation: on a thread of its own, told of, and given up when nobody waits for it any more.
//!
//! Owns how an outcome becomes what the protocol calls a result. Refuses to decide what agents may do.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{CallToolResult, ContentBlock, ProgressNotificationParam, ProgressToken};
use rmcp::service::RequestContext;
use serde_json::{Map, Value};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use wfr_engine::agents::Offer;
use wfr_engine::error::{Code, Failure};
use wfr_engine::response::{Outcome, Response, Success};
use wfr_engine::results::{Encoding, FileContent};
use wfr_engine::session::{Meter, Session};

use crate::{After, Given, progress, redact};

/// The time between two notifications of progress.
const BEAT: Duration = Duration::from_millis(250);

/// Answers that are longer are not given as text, too, in bytes.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// Runs something on a thread of its own; it is told to end where the client cancels the request or goes away.
pub async fn run<T: Send + 'static>(
    context: &RequestContext<RoleServer>,
    calls: &CancellationToken,
    abort: Arc<AtomicBool>,
    meter: Arc<Meter>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let token = context.meta.get_progress_token();
    let mut handle = tokio::task::spawn_blocking(work);
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut is_given_up) = (None, false);
    loop {
        tokio::select! {
            ended = &mut handle => {
                return ended.map_err(|error| Failure::new(Code::Internal, format!("the call broke: {error}")));
            }
            () = context.ct.cancelled(), if !is_given_up => is_given_up = true,
            () = calls.cancelled(), if !is_given_up => is_given_up = true,
            _ = beat.tick(), if token.is_some() && !is_given_up => {
                tell(context, token.clone(), &meter, &mut told).await;
            }
        }
        if is_given_up {
            abort.store(true, Ordering::Relaxed);
        }
    }
}

/// Tells how far it is, where it has got further.
async fn tell(
    context: &RequestContext<RoleServer>,
    token: Option<ProgressToken>,
    meter: &Meter,
    told: &mut Option<f64>,
) {
    let (done, words) = progress::of(meter);
    let Some(token) = token.filter(|_| told.is_none_or(|told| done > told)) else { return };
    *told = Some(done);
    let mut news = ProgressNotificationParam::new(token, done);
    news.message = Some(words);
    // Who does not listen any more is found out by the answer.
    let _ = context.peer.notify_progress(news).await;
}

/// Calls an offer's operation; gives its answer.
pub fn call(offer: &Offer, given: Given, parameters: Map<String, Value>, after: After) -> CallToolResult {
    let Given { mut session, fill } = given;
    let workflow = parameters.get("workflow_id").and_then(Value::as_str).map(str::to_owned);
    let ended = offer.call(&mut session, parameters).map(|mut outcome| {
        fill(&mut *outcome.result);
        without_bytes(outcome)
    });
    let ended = session.warnings().into_iter().fold(ended, |ended, warning| match ended {
        Ok(outcome) if outcome.verdict.is_none() => Ok(outcome.with_next_step(warning)),
        Ok(outcome) => Ok(outcome),
        Err(failure) => Err(failure.with_option(warning)),
    });
    let name = offer.operation.name;
    let response = match ended {
        Ok(outcome) => Response::of_outcome(name, with_value(outcome), session.now()),
        Err(failure) => Response::of_failure(name, workflow, &failure, session.now()),
    };
    after(offer.operation, &session);
    shown(response)
}

/// An answer that no session was needed for.
pub fn refused(operation: &str, failure: &Failure, session: &Session) -> CallToolResult {
    shown(Response::of_failure(operation, None, failure, session.now()))
}

/// Bytes that are no text are of no use to who reads them, and what is in them cannot be looked through.
fn without_bytes(mut outcome: Outcome) -> Outcome {
    let result: &mut dyn Any = &mut *outcome.result;
    let Some(file) = result.downcast_mut::<FileContent>() else { return outcome };
    if file.encoding != Some(Encoding::Base64) {
        return outcome;
    }
    (file.content, file.encoding) = (None, None);
    outcome.with_next_step("the file is no text: `wfr cat` on the command line gives its bytes")
}

fn with_value(outcome: Outcome) -> Success<Value> {
    Success {
        result: outcome.result.to_value(),
        workflow_id: outcome.workflow_id,
        impact: outcome.impact,
        next_steps: outcome.next_steps,
        verdict: outcome.verdict,
    }
}

/// A response as the protocol's result, without secrets.
fn shown(response: Response) -> CallToolResult {
    let mut value = serde_json::to_value(&response).unwrap_or_default();
    clean(&mut value);
    match value.get("error") {
        None => {
            let mut text = value.to_string();
            if text.len() > TEXT_BYTES_MAX {
                text = format!("the answer has {} bytes: see the structured content", text.len());
            }
            let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
            result.structured_content = Some(value);
            result
        }
        Some(error) => {
            let texts = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
            let mut lines = vec![format!("{}: {}", texts(error, "code"), texts(error, "message"))];
            lines.extend(error["details"].as_str().filter(|details| !details.is_empty()).map(str::to_owned));
            let ways = value["recovery_options"].as_array().into_iter().flatten().filter_map(Value::as_str);
            lines.extend(ways.map(|way| format!("Hint: {way}")));
            let mut result = CallToolResult::error(vec![ContentBlock::text(lines.join("\n"))]);
            result.structured_content = Some(value);
            result
        }
    }
}

/// Takes secrets out of a document, and says so in it.
fn clean(document: &mut Value) {
    let Some(told) = redact::redact(document).told() else { return };
    for list in ["next_steps", "recovery_options"] {
        if let Some(list) = document.get_mut(list).and_then(Value::as_array_mut) {
            list.push(told.into());
            return;
        }
    }
}
