//! What a line of the input is: a message that goes on to the protocol's loop, or something that is answered at once.
//!
//! Owns what is malformed, which ids are taken, and that nothing but a request begins a session. Refuses to answer requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::RoleServer;
use rmcp::model::{ErrorCode, ErrorData, NumberOrString};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use serde_json::{Map, Value};
use wfr_engine::operation::json;

use crate::lines::{LINE_BYTES_MAX, Line};

/// Requests that are answered at the same time, at most.
const REQUESTS_MAX: usize = 64;

/// A message that a client sends.
pub type Incoming = RxJsonRpcMessage<RoleServer>;

/// A message that the server sends.
pub type Outgoing = TxJsonRpcMessage<RoleServer>;

/// What becomes of a line.
pub enum Judged {
    /// It goes on.
    Message(Box<Incoming>),
    /// It is answered with this.
    Answer(Box<Outgoing>),
    /// Nothing.
    Nothing,
}

/// The requests that are under way; shared with those who answer them.
#[derive(Default)]
pub struct Flow {
    /// Ids, and whether their requests were cancelled: then nobody is answered.
    ids: Mutex<HashMap<NumberOrString, bool>>,
}

/// A request that is worked on.
pub struct Busy {
    flow: Arc<Flow>,
    id: NumberOrString,
}

impl Flow {
    fn ids(&self) -> MutexGuard<'_, HashMap<NumberOrString, bool>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request is worked on until what this gives is dropped.
    pub fn work_on(self: &Arc<Self>, id: &NumberOrString) -> Busy {
        Busy { flow: self.clone(), id: id.clone() }
    }

    /// Notes that a message goes out: the request that it answers is over.
    pub fn goes_out(&self, message: &Outgoing) {
        let id = match message {
            Outgoing::Response(response) => Some(&response.id),
            Outgoing::Error(error) => error.id.as_ref(),
            _ => None,
        };
        id.map(|id| self.ids().remove(id));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut ids = self.flow.ids();
        // Others are over when their answer goes out.
        if ids.get(&self.id) == Some(&true) {
            ids.remove(&self.id);
        }
    }
}

/// Judges lines, one after another.
#[derive(Default)]
pub struct Judge {
    /// The requests under way.
    pub flow: Arc<Flow>,
    /// Whether a request has begun the session.
    is_begun: bool,
}

impl Judge {
    /// What becomes of a line.
    pub fn judge(&mut self, line: Line) -> Judged {
        let bytes = match line {
            Line::TooLong => {
                let why = format!("a message may have {LINE_BYTES_MAX} bytes at most");
                return refuse(ErrorCode::INVALID_REQUEST, why, None);
            }
            Line::Whole(bytes) => bytes,
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Judged::Nothing;
        }
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return refuse(ErrorCode::PARSE_ERROR, "a message is UTF-8", None);
        };
        if text.trim_start().starts_with('[') {
            return refuse(ErrorCode::INVALID_REQUEST, "one message stands on a line: batches are not taken", None);
        }
        match json::parse_document(text) {
            Ok(fields) => self.judge_fields(fields),
            Err(why) => refuse(ErrorCode::PARSE_ERROR, why, None),
        }
    }

    fn judge_fields(&mut self, fields: Map<String, Value>) -> Judged {
        let id = match fields.get("id") {
            None => None,
            Some(id) => match serde_json::from_value::<NumberOrString>(id.clone()) {
                Ok(id) => Some(id),
                Err(_) => return refuse(ErrorCode::INVALID_REQUEST, "`id` is a text or a whole number", None),
            },
        };
        if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return refuse(ErrorCode::INVALID_REQUEST, "`jsonrpc` must be \"2.0\"", id);
        }
        let method = fields.get("method").and_then(Value::as_str).map(str::to_owned);
        let is_answer = fields.contains_key("result") || fields.contains_key("error");
        if method.is_none() && !is_answer {
            return refuse(ErrorCode::INVALID_REQUEST, "`method` is missing", id);
        }
        let message: Incoming = match serde_json::from_value(Value::Object(fields)) {
            Ok(message) => message,
            Err(_) if is_answer => return Judged::Nothing,
            Err(error) => return refuse(ErrorCode::INVALID_PARAMS, error.to_string(), id),
        };
        match (&message, method.as_deref()) {
            (Incoming::Request(request), Some(method)) => {
                if let Some((code, why)) = self.refuse_request(&request.id, method) {
                    return refuse(code, why, id);
                }
            }
            // Nobody has asked for anything yet: this is about nothing.
            _ if !self.is_begun => return Judged::Nothing,
            (Incoming::Notification(_), Some("notifications/cancelled")) => self.note_cancelled(&message),
            _ => {}
        }
        Judged::Message(Box::new(message))
    }

    /// Why a request cannot be taken; else it is noted.
    fn refuse_request(&mut self, id: &NumberOrString, method: &str) -> Option<(ErrorCode, &'static str)> {
        if method == "initialize" && self.is_begun {
            return Some((ErrorCode::INVALID_REQUEST, "the session has begun already"));
        }
        let mut ids = self.flow.ids();
        if ids.contains_key(id) {
            return Some((ErrorCode::INVALID_REQUEST, "a request of this id is under way"));
        }
        if ids.len() >= REQUESTS_MAX {
            return Some((ErrorCode::INTERNAL_ERROR, "too many requests at once: wait for answers first"));
        }
        self.is_begun |= !["ping", "server/discover"].contains(&method);
        ids.insert(id.clone(), false);
        None
    }

    fn note_cancelled(&self, message: &Incoming) {
        let Incoming::Notification(notification) = message else { return };
        let rmcp::model::ClientNotification::CancelledNotification(cancelled) = &notification.notification else {
            return;
        };
        let mut ids = self.flow.ids();
        if let Some(is_cancelled) = cancelled.params.request_id.as_ref().and_then(|id| ids.get_mut(id)) {
            *is_cancelled = true;
        }
    }
}

fn refuse(code: ErrorCode, why: impl Into<String>, id: Option<NumberOrString>) -> Judged {
    Judged::Answer(Box::new(Outgoing::error(ErrorData::new(code, why.into(), None), id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(judge: &mut Judge, text: &str) -> i32 {
        match judge.judge(Line::Whole(text.into())) {
            Judged::Answer(answer) => match *answer {
                Outgoing::Error(error) => error.error.code.0,
                other => panic!("no refusal: {other:?}"),
            },
            Judged::Message(_) => 0,
            Judged::Nothing => 1,
        }
    }

    const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

    #[test]
    fn what_is_malformed_is_refused_and_the_next_line_is_judged_by_itself() {
        let mut judge = Judge::default();
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for (text, wanted) in [
            ("{", -32700),
            (deep.as_str(), -32700),
            (r#"{"a":1,"a":2}"#, -32700),
            ("[{}]", -32600),
            (r#"{"id":1,"method":"ping"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, 1),
            ("  ", 1),
            (PING, 0),
            (PING, -32600),
        ] {
            assert_eq!(code(&mut judge, text), wanted, "{}", &text[..text.len().min(80)]);
        }
        let cut = judge.judge(Line::Whole(b"\xff".to_vec()));
        assert!(matches!(cut, Judged::Answer(_)) && matches!(judge.judge(Line::TooLong), Judged::Answer(_)));
    }

    proptest! {
        #[test]
        fn no_line_breaks_the_judge(text in r#"[{}\[\]":,0-9a-e\\ jsonrpcidmethod2.\-]{0,80}"#) {
            Judge::default().judge(Line::Whole(text.into_bytes()));
        }
    }
}
