//! `hook`: what an agent client says.
//!
//! Owns the reading of it. Refuses to understand it: see [`crate::hooks`].

use std::io::Read as _;

use serde_json::json;
use wfr_clients::Client;

use super::{needed, shown};
use crate::error::{Code, Failure};
use crate::hooks::{self, trouble};
use crate::params::Hook;
use crate::process::process;
use crate::response::Success;
use crate::results::Hooked;
use crate::session::Session;

/// A longer payload is none, in bytes: a tool that writes a file says all of it, and what stood there before.
const PAYLOAD_MAX: u64 = 64 << 20;

/// The one member of the answer to a probe.
pub(crate) const ANSWERED: &str = "wfr";

/// Takes one payload.
pub fn hook(session: &mut Session, parameters: Hook) -> Result<Success<Hooked>, Failure> {
    let name = needed(parameters.client, "client")?;
    let client = client(&name)?;
    let mut payload = Vec::new();
    let read = (&mut session.input).take(PAYLOAD_MAX + 1).read_to_end(&mut payload);
    let refused = match read {
        Err(error) => Some(Failure::new(Code::Io, "the payload cannot be read").with_details(error.to_string())),
        Ok(_) if payload.len() as u64 > PAYLOAD_MAX => {
            Some(Failure::new(Code::InvalidParameter, format!("the payload is longer than {PAYLOAD_MAX} bytes")))
        }
        Ok(_) => None,
    };
    if let Some(failure) = refused {
        trouble::note(session, client, None, &failure);
        return Ok(Success::new(Hooked { answer: String::new() }));
    }
    let from = process(std::os::unix::process::parent_id()).map(|client| client.id);
    let (said, answer) = hooks::hear(session, client, &payload, from);
    let answer = match said {
        Some(said) if said.event == hooks::PROBE => probed(session),
        Some(said) => client.answer(&said, &answer),
        None => String::new(),
    };
    Ok(Success::new(Hooked { answer }))
}

/// What `doctor` is answered: where this is heard, or why it is not.
fn probed(session: &Session) -> String {
    let heard = || -> Result<String, Failure> {
        let open = session.open()?;
        // What a call changes cannot be written down without the key.
        open.unlock()?;
        Ok(shown(open.root()))
    };
    match heard() {
        Ok(workspace) => json!({ANSWERED: {"workspace": workspace}}).to_string(),
        Err(error) => json!({ANSWERED: {"error": error.to_string()}}).to_string(),
    }
}

/// The client of a name.
pub fn client(name: &str) -> Result<Client, Failure> {
    Client::named(name).ok_or_else(|| {
        let known: Vec<&str> = Client::ALL.iter().map(|client| client.as_str()).collect();
        Failure::new(Code::InvalidParameter, format!("no client `{name}` is known"))
            .with_hint(format!("clients are: {}", known.join(", ")))
    })
}
