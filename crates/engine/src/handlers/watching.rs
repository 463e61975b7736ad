//! `watch`: starting, ending and showing it.
//!
//! Owns the glue, and waiting until a watch that was started says so. Refuses to watch itself.

use std::io::{BufRead, BufReader};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use wfr_coord::Lock;

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{WatchAction, WatchTree};
use crate::response::Success;
use crate::results::WatchView;
use crate::session::Session;
use crate::{outbox, watch as watching};

/// A watch that was asked to end has ended by then.
const END: Duration = Duration::from_secs(10);

/// The lock of whoever starts a watch.
const STARTS: &str = "watch-start";

/// Watches, starts, stops or shows the watch.
pub fn watch(session: &mut Session, parameters: WatchTree) -> Result<Success<WatchView>, Failure> {
    let open = session.open()?;
    let vault = open.vault.dir().to_owned();
    match parameters.action {
        WatchAction::Run => {
            let mut on_news = std::mem::replace(&mut session.on_news, Box::new(|_| Ok(())));
            let ended = watching::run(session, &open, &mut |view| on_news(view));
            session.on_news = on_news;
            ended.map(Success::new)
        }
        WatchAction::Start => start(session, &open),
        WatchAction::Stop => {
            let view = watching::stop(&vault).unwrap_or_else(nobody);
            let locks = outbox::locks(&open.place);
            if locks.exists() && !wfr_coord::wait(&locks, watching::LOCK, END, &session.abort)? {
                return Err(Failure::new(Code::Held, "the process that watches does not end")
                    .with_hint(watching::way_to_end(&vault)));
            }
            Ok(Success::new(view))
        }
        WatchAction::Status => Ok(match (watching::state(&vault), watching::listener(&vault)) {
            (Some(view), _) => Success::new(view),
            (None, Some(_)) => Success::new(nobody()).with_next_step(watching::way_to_end(&vault)),
            (None, None) => Success::new(nobody()),
        }),
    }
}

fn nobody() -> WatchView {
    WatchView { running: false, process: None, started_at: None, directories: 0, unwatched: vec![], limited: false }
}

fn start(session: &Session, open: &Open) -> Result<Success<WatchView>, Failure> {
    let _turn = turn(session, open)?;
    if let Some(view) = watching::state(open.vault.dir()) {
        return Ok(Success::new(view).with_next_step("somebody watches already: `wfr watch stop` ends it"));
    }
    let mut child = (session.detach)(&open.place, &["watch", "run", "--detached", "--json"])?;
    // It tells that it has begun, or why not.
    let mut line = String::new();
    if let Some(stream) = child.stdout.take() {
        BufReader::new(stream).read_line(&mut line)?;
    }
    let told: Value = serde_json::from_str(&line).unwrap_or_default();
    match serde_json::from_value::<WatchView>(told.clone()) {
        Ok(view) => Ok(Success::new(view)),
        Err(_) => Err(refused(&told)),
    }
}

/// The turn to start a watch: of several that do so at once, all but the first find it started. `None` where that takes too
/// long: then whoever has it is to be seen.
fn turn(session: &Session, open: &Open) -> Result<Option<Lock>, Failure> {
    let locks = outbox::locks(&open.place);
    let begun = Instant::now();
    loop {
        let lock = Lock::take(&locks, STARTS)?;
        let is_over = begun.elapsed() >= END || session.abort.load(Ordering::Relaxed);
        if lock.is_some() || is_over {
            return Ok(lock);
        }
        wfr_coord::wait(&locks, STARTS, END, &session.abort)?;
    }
}

/// What the process said before it ended.
fn refused(told: &Value) -> Failure {
    let said = |key: &str| told["error"][key].as_str().unwrap_or_default().to_owned();
    let message =
        if said("message").is_empty() { "the process that was to watch has ended".to_owned() } else { said("message") };
    let hint = told["recovery_options"][0].as_str().unwrap_or_default().to_owned();
    Failure::new(Code::Unwatchable, message).with_details(said("details")).with_hint(hint)
}
