//! Requests of other components: each is answered once, by the operation that it names.
//!
//! Owns the way from an envelope to an operation and back, and that a repetition gets the answer that was given.
//! Refuses to allow anything that the command line does not: consent is the operation's own business.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use wfr_catalog::{CatalogError, HoldRequest, NewMessage, Owner};
use wfr_model::json;
use wfr_model::message::{Priority, Request, Response, ResponseStatus};
use wfr_model::recovery::RecoveryStatus;

use crate::error::{Code, Failure, Kind};
use crate::mint::{self, Ids};
use crate::open::Open;
use crate::operation::{self, Effect, LATER, Operation, keys};
use crate::response;
use crate::session::Session;
use crate::{holding, recovery};

/// Names by which this program is always known, whatever the configuration calls it.
const OWN_NAMES: [&str; 2] = ["workflow-recovery", "wfr"];

/// The components of the protocol whose operations this program does: whoever speaks to one of them is answered here.
const COMPONENTS: [&str; 5] =
    ["coordination-hub", "resource-manager", "workflow-status", "performance-monitor", "dependency-resolver"];

/// Operations that no request can ask for: they would answer themselves, run a command, or write into the configuration of clients.
const NOT_FOR_REQUESTS: [&str; 6] = ["request", "upkeep", "guard", "exec", "attach", "detach"];

/// The largest file that is put into an answer, in bytes.
const CONTENT_BYTES_MAX: usize = 1 << 20;

/// An answer, and the failure that it tells of.
pub struct Answer {
    /// The envelope.
    pub response: Response,
    /// Why it is an error; decides the exit code.
    pub failure: Option<Failure>,
}

/// Answers a request.
pub fn answer(session: &mut Session, fields: Map<String, Value>) -> Answer {
    let request = match Request::of(fields.clone(), session.now()) {
        Ok(request) => request,
        Err(error) => return refused(session, &fields, Failure::of(Code::InvalidRequest, &error)),
    };
    match begun(session, &request) {
        Ok(Begun::Answered(answer)) => *answer,
        Ok(Begun::New(token)) => {
            let answer = once(session, &request);
            end(session, &request, token, answer)
        }
        Err(failure) => told(session, Some(&request), Err(failure)),
    }
}

/// The answer to something that is no request, with whatever ids it has.
pub fn refused(session: &Session, fields: &Map<String, Value>, failure: Failure) -> Answer {
    let text =
        |key: &str| fields.get(key).and_then(Value::as_str).map(|text| text.chars().take(256).collect::<String>());
    let mut answer = told(session, None, Err(failure));
    answer.response.request_id = text("request_id");
    answer.response.response_to = text("request_id");
    answer.response.correlation_id = text("correlation_id");
    answer
}

/// How a request begins.
enum Begun {
    /// It was answered before.
    Answered(Box<Answer>),
    /// Nobody else answers it now, under this token.
    New(wfr_catalog::FencingToken),
}

fn begun(session: &Session, request: &Request) -> Result<Begun, Failure> {
    let open = session.open()?;
    let component = &open.config.coordination.component;
    let target = request.target_component.as_str();
    if target != component && !OWN_NAMES.contains(&target) && !COMPONENTS.contains(&target) {
        let message = format!("it is addressed to `{target}`, this is `{component}`");
        let names = COMPONENTS.join("`, `");
        return Err(Failure::new(Code::InvalidRequest, message).with_hint(format!(
            "send it there, or set `coordination.component` to the name that you use; `{names}` are answered, too"
        )));
    }
    if let Some(answer) = before(session, &open, request)? {
        return Ok(Begun::Answered(Box::new(answer)));
    }
    let owner = Owner { label: format!("answering request {}", request.request_id), ..holding::myself() };
    let hold = HoldRequest {
        key: &key_of(request),
        owner: &owner,
        reason: Some("request"),
        priority: Priority::USUAL,
        now: session.now(),
        expires_at: None,
    };
    let token = open.catalog.acquire_hold(&hold, &holding::is_alive)?;
    // Whoever had it before may have answered and given it back in between.
    match before(session, &open, request)? {
        None => Ok(Begun::New(token)),
        Some(answer) => {
            open.catalog.release_hold(&key_of(request), token)?;
            Ok(Begun::Answered(Box::new(answer)))
        }
    }
}

fn key_of(request: &Request) -> String {
    format!("{}{}", holding::OF_REQUESTS, request.request_id)
}

/// What makes two requests the same, besides their id.
fn asked(request: &Request) -> Value {
    json!({"operation": request.operation, "parameters": request.parameters})
}

/// The answer that was given to this request before.
fn before(session: &Session, open: &Open, request: &Request) -> Result<Option<Answer>, Failure> {
    let Some(row) = open.catalog.answer_to(&request.request_id)? else { return Ok(None) };
    let was: Value = row.message.answers.and_then(|(_, asked)| json::stored(asked.as_bytes()).ok()).unwrap_or_default();
    if was != asked(request) {
        let message = format!("request {} was answered before, and asked for something else", request.request_id);
        return Ok(Some(told(session, Some(request), Err(Failure::new(Code::RequestIdTaken, message)))));
    }
    let response: Response =
        json::stored(row.message.body.as_bytes()).map_err(|error| Failure::of(Code::CatalogDamaged, &error))?;
    let failure = (response.status == ResponseStatus::Error).then(|| recorded_failure(&response.result));
    Ok(Some(Answer { response, failure }))
}

/// The failure that a recorded answer tells of.
fn recorded_failure(result: &Value) -> Failure {
    let text = |key: &str| result["error"][key].as_str().unwrap_or_default();
    let code = Code::ALL.iter().find(|code| code.as_str() == text("code")).copied().unwrap_or(Code::Internal);
    Failure::new(code, text("message")).with_details(text("details"))
}

/// Does what is asked for, unless that was done already and only its answer is missing: whoever began to answer died. What the
/// operation makes has ids that follow from the request.
fn once(session: &mut Session, request: &Request) -> Answer {
    let ids = match unused(session, request) {
        Ok(Once::New(ids)) => ids,
        Ok(Once::Done(result)) => return told(session, Some(request), Ok(result)),
        Err(failure) => return told(session, Some(request), Err(failure)),
    };
    let before = std::mem::replace(&mut session.ids, ids);
    let answer = done(session, request);
    session.ids = before;
    answer
}

/// Whether a request was done before.
enum Once {
    /// It was not; what it makes gets these ids.
    New(Ids),
    /// It was, and made this.
    Done(Value),
}

/// A recovery of one request is tried so often at most, where each was taken back.
const TRIES_MAX: u32 = 100;

fn unused(session: &Session, request: &Request) -> Result<Once, Failure> {
    let open = session.open()?;
    let vault = &open.vault.identity().vault_id;
    for number in 0..TRIES_MAX {
        let text = format!("{vault}\0{}\0{}\0{number}", request.request_id, asked(request));
        let ids = Ids::following(&text);
        if let Some(row) = open.catalog.operation(&ids.operation())? {
            let (id, name) = (&row.operation.result["checkpoint_id"], &row.operation.parameters["name"]);
            return Ok(Once::Done(json!({"done_before": true, "checkpoint_id": id, "name": name})));
        }
        if let Some(row) = open.catalog.change(&ids.change())? {
            let id = &row.change.change_id;
            return Ok(Once::Done(json!({"done_before": true, "change_id": id, "token": id})));
        }
        let Some(mut record) = open.catalog.recovery(&ids.recovery())? else { return Ok(Once::New(ids)) };
        // One whose end is recorded may have died before its directories had their times back.
        if record.status == RecoveryStatus::Started || recovery::is_left(&open, &record.recovery_id)? {
            recovery::finish_unfinished(session, &open)?;
            record = open.catalog.recovery(&record.recovery_id)?.unwrap_or(record);
        }
        let was_done = matches!(record.status, RecoveryStatus::Done | RecoveryStatus::Partial);
        if was_done && !recovery::owed::was_taken_back(&open, &record)? {
            let (id, status) = (&record.recovery_id, record.status);
            let by = &record.undone_by;
            return Ok(Once::Done(json!({"done_before": true, "recovery_id": id, "status": status, "undone_by": by})));
        }
    }
    Err(Failure::new(Code::RequestIdTaken, format!("request {} was taken back too often", request.request_id)))
}

/// Does what is asked for.
fn done(session: &mut Session, request: &Request) -> Answer {
    let found = find(&request.operation);
    let ended = found.and_then(|operation| run(session, operation, request));
    told(session, Some(request), ended)
}

/// The resource manager's name for a share that is kept for later.
const RESERVE: &str = "reserve";

fn find(name: &str) -> Result<&'static Operation, Failure> {
    match operation::find(if name == RESERVE { "allocate" } else { name }) {
        Some(operation) if NOT_FOR_REQUESTS.contains(&operation.name) => {
            Err(Failure::new(Code::InvalidRequest, format!("`{name}` cannot be asked for by a request"))
                .with_hint("ask for the operation itself"))
        }
        Some(operation) => Ok(operation),
        None => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Failure {
    let shown: String = name.chars().take(80).collect();
    if let Some((_, group)) = LATER.iter().find(|(later, _)| *later == name) {
        return Failure::new(Code::NotInThisVersion, format!("`{shown}` comes with {group}"));
    }
    let failure = Failure::new(Code::UnknownOperation, format!("no operation `{shown}`"));
    let near = keys::nearest(name, operation::ALL.iter().map(|operation| operation.name));
    if near.is_empty() { failure } else { failure.with_hint(format!("did you mean `{}`?", near.join("`, `"))) }
}

/// Runs an operation: nobody is asked, raw bytes go into the result, and its time is limited unless it changes files.
fn run(session: &mut Session, operation: &Operation, request: &Request) -> Result<Value, Failure> {
    let kept = Kept::default();
    let was_interactive = std::mem::replace(&mut session.interactive, false);
    let raw = std::mem::replace(&mut session.raw, Box::new(kept.clone()));
    let limit = (operation.effect != Effect::Recovers).then(|| Duration::from_secs(request.timeout_seconds));
    let timer = limit.map(|limit| Timer::start(limit, session.abort.clone()));
    let mut asked = request.parameters.clone();
    if request.operation == RESERVE {
        asked.insert("reserve".to_owned(), true.into());
    }
    let ended = operation.bind(session, &[], asked).and_then(|parameters| {
        if let Some(key) = operation::endless(operation.name, &parameters) {
            return Err(Failure::new(Code::InvalidRequest, format!("`{key}` has no end, and an answer must have one"))
                .with_hint("ask again and again, from the last place on"));
        }
        let outcome = (operation.run)(session, Value::Object(parameters))?;
        let mut result = outcome.result.to_value();
        kept.fill(&mut result)?;
        match outcome.verdict {
            None => Ok(result),
            Some(failure) => Err(failure.with_result(result)),
        }
    });
    (session.interactive, session.raw) = (was_interactive, raw);
    match timer.map(Timer::stop) {
        Some(true) if ended.as_ref().is_err_and(|failure| failure.kind() == Kind::Interrupted) => {
            let message = format!("it did not end within {} s", request.timeout_seconds);
            Err(Failure::new(Code::TimeLimit, message).with_hint("ask with a longer `timeout_seconds`"))
        }
        _ => ended,
    }
}

/// The envelope of how something ended.
fn told(session: &Session, request: Option<&Request>, ended: Result<Value, Failure>) -> Answer {
    let now = session.now();
    let (status, result, failure) = match ended {
        Ok(result) => (ResponseStatus::Success, result, None),
        Err(failure) => {
            let name = request.map_or("request", |request| request.operation.as_str());
            let reply = response::Response::of_failure(name, None, &failure, now);
            let found = reply.result.unwrap_or_default();
            let result = json!({"error": reply.error, "recovery_options": reply.recovery_options, "found": found});
            (ResponseStatus::Error, result, Some(failure))
        }
    };
    let response = Response {
        message_type: "response".to_owned(),
        response_id: mint::response(),
        request_id: request.map(|request| request.request_id.clone()),
        correlation_id: request.map(|request| request.correlation_id.clone()),
        timestamp: now,
        status,
        result,
        response_to: request.map(|request| request.request_id.clone()),
    };
    Answer { response, failure }
}

/// Records the answer and gives the request back. Where nothing was done, and the next time it may be otherwise,
/// nothing is recorded: the same request may be made again.
fn end(session: &Session, request: &Request, token: wfr_catalog::FencingToken, answer: Answer) -> Answer {
    let kind = answer.failure.as_ref().map(Failure::kind);
    let is_passing = matches!(kind, Some(Kind::Usage | Kind::NeedsConsent | Kind::Held | Kind::Io | Kind::Interrupted))
        || answer.failure.as_ref().is_some_and(|failure| failure.code == Code::TimeLimit);
    let recorded = session.open().map_err(Failure::from).and_then(|open| {
        if !is_passing {
            record(&open, request, &answer.response)?;
        }
        open.catalog.release_hold(&key_of(request), token)?;
        Ok(())
    });
    match recorded {
        Ok(()) => answer,
        // It was done all the same; only a repetition would not know.
        Err(failure) => {
            let mut answer = answer;
            if let Value::Object(result) = &mut answer.response.result {
                result.insert("not_recorded".to_owned(), failure.to_string().into());
            }
            answer
        }
    }
}

fn record(open: &Open, request: &Request, response: &Response) -> Result<(), CatalogError> {
    open.catalog.add_messages(&[NewMessage {
        message_id: response.response_id.clone(),
        kind: "response".to_owned(),
        answers: Some((request.request_id.clone(), asked(request).to_string())),
        body: serde_json::to_string(response).unwrap_or_default(),
        at: response.timestamp,
    }])
}

/// Sets a flag when a time is over.
struct Timer {
    shared: Arc<(Mutex<bool>, Condvar)>,
    fired: Arc<AtomicBool>,
}

impl Timer {
    fn start(limit: Duration, abort: Arc<AtomicBool>) -> Self {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let fired = Arc::new(AtomicBool::new(false));
        let (inner, flag) = (shared.clone(), fired.clone());
        std::thread::spawn(move || {
            let (ended, changed) = &*inner;
            let guard = ended.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = changed.wait_timeout_while(guard, limit, |ended| !*ended);
            let (guard, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() && !*guard {
                flag.store(true, Ordering::Relaxed);
                abort.store(true, Ordering::Relaxed);
            }
        });
        Self { shared, fired }
    }

    /// Ends it; whether its time was over before.
    fn stop(self) -> bool {
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.1.notify_all();
        self.fired.load(Ordering::Relaxed)
    }
}

/// Keeps the bytes that an operation writes.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the bytes into a result that has a place for them.
    fn fill(&self, result: &mut Value) -> Result<(), Failure> {
        let bytes = self.lock();
        let Some(place) = result.get_mut("content") else { return Ok(()) };
        let text = std::str::from_utf8(&bytes).ok().filter(|text| text.len() <= CONTENT_BYTES_MAX);
        let message = "the file is no text, or longer than fits an answer";
        let text =
            text.ok_or_else(|| Failure::new(Code::InvalidRequest, message).with_hint("call `wfr cat` for it"))?;
        *place = text.into();
        result["encoding"] = "utf8".into();
        Ok(())
    }
}

impl Write for Kept {
    fn write(&mut self, new: &[u8]) -> io::Result<usize> {
        let mut kept = self.lock();
        // One byte more than fits tells that it did not.
        let room = (CONTENT_BYTES_MAX + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&new[..new.len().min(room)]);
        Ok(new.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
