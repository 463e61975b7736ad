//! `watch`: starting, ending and showing it.
//!
//! Owns the glue, and waiting until a watch that was started answers. Refuses to watch: that is [`crate::watch`].

use std::io::Read;
use std::process::Child;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{WatchAction, WatchTree};
use crate::response::Success;
use crate::results::WatchView;
use crate::session::Session;
use crate::{outbox, watch as watching};

/// A watch that was started answers within this, or does not at all.
const START: Duration = Duration::from_secs(60);

/// A watch that was asked to end has ended by then.
const END: Duration = Duration::from_secs(10);

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(10);

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
                return Err(Failure::new(Code::Held, "the process that watches does not end"));
            }
            Ok(Success::new(view))
        }
        WatchAction::Status => Ok(Success::new(watching::state(&vault).unwrap_or_else(nobody))),
    }
}

fn nobody() -> WatchView {
    WatchView { running: false, process: None, started_at: None, directories: 0, unwatched: vec![], limited: false }
}

fn start(session: &Session, open: &Open) -> Result<Success<WatchView>, Failure> {
    if let Some(view) = watching::state(open.vault.dir()) {
        return Ok(Success::new(view).with_next_step("somebody watches already: `wfr watch stop` ends it"));
    }
    let mut child = (session.detach)(&open.place, &["watch", "run", "--detached", "--quiet"])?;
    let begun = Instant::now();
    while begun.elapsed() < START && !session.abort.load(Ordering::Relaxed) {
        if let Some(view) = watching::state(open.vault.dir()) {
            return Ok(Success::new(view));
        }
        if child.try_wait()?.is_some() {
            return Err(refused(&mut child));
        }
        std::thread::sleep(PAUSE);
    }
    Err(Failure::new(Code::Unwatchable, "the process that was started to watch does not answer"))
}

/// What the process said before it ended.
fn refused(child: &mut Child) -> Failure {
    let mut said = String::new();
    if let Some(mut stream) = child.stderr.take() {
        // Where it cannot be read, it ended all the same.
        let _ = stream.read_to_string(&mut said);
    }
    Failure::new(Code::Unwatchable, "the process that was started to watch has ended").with_details(said.trim())
}
