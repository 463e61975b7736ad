//! The server of the Model Context Protocol: the engine's operations as tools, over two streams.
//!
//! Owns the loop that reads messages and answers them, and how calls are run, cancelled and told of. Refuses to know what an
//! operation does, what agents may do (that is [`wfr_engine::agents`]), and the process that it runs in: where sessions come
//! from is given to it.

mod calls;
mod lines;
mod messages;
mod portable;
mod progress;
mod prompts;
mod redact;
mod resources;
mod roots;
mod server;
mod tools;
mod transport;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rmcp::ServiceExt;
use tokio_util::sync::CancellationToken;
use wfr_engine::error::Failure;
use wfr_engine::operation::Operation;
use wfr_engine::response::Answer;
use wfr_engine::session::Session;

use server::Server;
use transport::Streams;

/// How long calls that were aborted may take to end before the process ends without them. A crash is no worse.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who asks for a session, and for which workspace.
pub struct Asking {
    /// The name of the client, as it calls itself.
    pub client: String,
    /// The workspace, where the client's roots lead to one.
    pub workspace: Option<PathBuf>,
    /// Set when the call is to end.
    pub abort: Arc<AtomicBool>,
}

/// Puts bytes into a result that has a place for them.
pub type Fill = Box<dyn Fn(&mut dyn Answer) + Send>;

/// What one call is given.
pub struct Given {
    /// Its session.
    pub session: Session,
    /// Gives the bytes that the session took.
    pub fill: Fill,
}

/// What is done after each call.
pub type After = fn(&Operation, &Session);

/// What the server is given by the edge.
pub struct Surroundings {
    /// The program's version.
    pub version: &'static str,
    /// A session for one call.
    pub session: Box<dyn Fn(Asking) -> Result<Given, Failure> + Send + Sync>,
    /// Done after each call.
    pub after: After,
}

/// Ends the server from outside, from any thread.
#[derive(Clone, Default)]
pub struct Stop {
    /// Ends the loop.
    service: CancellationToken,
    /// Ends calls.
    calls: CancellationToken,
}

impl Stop {
    /// Ends it: calls are told to end, and nothing more is read.
    pub fn now(&self) {
        self.calls.cancel();
        self.service.cancel();
    }
}

/// Why the server could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system gave no thread or no clock.
    #[error("cannot begin to serve")]
    Begin(#[source] std::io::Error),
    /// The loop broke.
    #[error("the server ended: {0}")]
    Broken(String),
}

/// Serves one client until its input ends or somebody stops it. Calls that are under way then are aborted.
///
/// # Errors
/// Where the loop cannot begin or breaks; that a client goes away is none.
pub fn serve(
    surroundings: Surroundings,
    input: Box<dyn BufRead + Send>,
    output: Box<dyn Write + Send>,
    stop: &Stop,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(ServeError::Begin)?;
    let (streams, written) = Streams::begin(input, output, stop.clone()).map_err(ServeError::Begin)?;
    let server = Server::new(surroundings, streams.flow(), stop.calls.clone());
    let ended = runtime.block_on(async {
        // Who goes away before the first request, or never says anything, is served as well as can be.
        let Ok(running) = server.serve_with_ct(streams, stop.service.clone()).await else { return Ok(()) };
        running.waiting().await.map(drop).map_err(|error| ServeError::Broken(error.to_string()))
    });
    stop.now();
    runtime.shutdown_timeout(PATIENCE);
    // A client that does not read what it asked for keeps nobody from ending.
    let _ = written.recv_timeout(PATIENCE);
    ended
}
