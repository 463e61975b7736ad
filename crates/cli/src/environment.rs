//! What the process was given besides its arguments: directories, variables, clock, processors.
//!
//! Owns every look at the environment, and makes a session of it. Refuses to run anything.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use wfr_engine::error::{Code, Failure};
use wfr_engine::session::{Meter, Session};
use wfr_engine::workspace::Directories;
use wfr_model::Timestamp;

use crate::arguments::Global;
use crate::content::Content;
use crate::{signals, terminal};

/// More threads than this only get in each other's way.
const THREADS_MAX: usize = 64;

/// Called after each step of a recovery with the steps done and all steps.
pub type OnStep = Box<dyn Fn(usize, usize) + Send + Sync>;

/// The time now.
pub fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// A session for one call. Bytes of files go to `content`.
pub fn session(global: &Global, content: &Content, on_step: OnStep) -> Result<Session, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Session {
        directories: directories(global)?,
        interactive: !global.json && terminal::is_interactive(),
        threads: global.threads.unwrap_or(cores).clamp(1, THREADS_MAX),
        abort: signals::watch(),
        meter: Arc::new(Meter::default()),
        clock,
        actor: actor(),
        raw: Box::new(content.clone()),
        on_step,
    })
}

fn directories(global: &Global) -> Result<Directories, Failure> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let current = std::env::current_dir().map_err(|error| {
        Failure::of(Code::FileNotFound, &error)
            .with_details("the current directory is gone")
            .with_hint("change to another directory")
    })?;
    // A relative XDG_DATA_HOME is to be ignored, says its specification.
    let data = named("XDG_DATA_HOME").filter(|dir| dir.is_absolute());
    Ok(Directories {
        current,
        data: data.or_else(|| named("HOME").map(|home| home.join(".local/share"))),
        workspace: global.workspace.clone(),
        store: global.store.clone().or_else(|| named("WFR_STORE")),
    })
}

/// Who asks, for the audit trail.
fn actor() -> String {
    let name = ["WFR_ACTOR", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let name = name.unwrap_or_else(|| "unknown".to_owned());
    name.chars().filter(|letter| !letter.is_control()).take(128).collect()
}
