//! `mcp`: the server for agents, on this process's own streams.
//!
//! Owns that it ends by a signal, too, and that its calls get sessions. Refuses to know the protocol: see [`wfr_mcp`].

use std::io::{self, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use serde_json::Value;
use wfr_engine::error::{Code, Failure};
use wfr_engine::response::{Outcome, Success};
use wfr_engine::results::Text;
use wfr_engine::session::Session;
use wfr_mcp::{Stop, Surroundings};

use crate::environment::{self, Server};
use crate::{signals, upkeep};

/// Serves until the input ends, or a signal comes.
pub fn serve(session: &mut Session, _: Value) -> Result<Outcome, Failure> {
    let (server, stop) = (Server::of(session), Stop::default());
    let told = stop.clone();
    let broken = |error: &dyn std::error::Error| Failure::of(Code::Internal, error);
    let by = Arc::new(AtomicI32::new(0));
    let noted = by.clone();
    let tell = move |signal| {
        noted.store(signal, Ordering::Relaxed);
        told.now();
    };
    signals::tell(tell).map_err(|error| broken(&error))?;
    let surroundings = Surroundings {
        version: env!("CARGO_PKG_VERSION"),
        session: Box::new(move |asking| Ok(environment::for_agent(&server, asking))),
        after: upkeep::start_and_reap,
    };
    let (input, output) = (Box::new(BufReader::new(io::stdin())), Box::new(io::stdout()));
    wfr_mcp::serve(surroundings, input, output, &stop).map_err(|error| broken(&error))?;
    match by.load(Ordering::Relaxed) {
        0 => {}
        signal => signals::die_of(signal),
    }
    Ok(Success::new(Text { text: String::new(), files: vec![] }).erase())
}
