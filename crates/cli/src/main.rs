//! `wfr`: the command line.
//!
//! Owns the way from arguments to an exit code. Refuses to know how anything is done: that is the engine's work.

mod answer;
mod arguments;
mod command;
mod consent;
mod content;
mod demo;
mod environment;
mod operations;
mod progress;
mod render;
mod signals;
mod terminal;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;

use arguments::{Asked, Call, Global};
use content::Content;
use environment::OnStep;
use progress::Progress;
use wfr_engine::error::Failure;
use wfr_engine::response::Outcome;
use wfr_engine::session::Session;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|word| word == demo::KILLED_RESTORE) {
        return killed_restore();
    }
    match arguments::read(arguments) {
        Ok(Asked::Text(text)) => answer::text(&text),
        Ok(Asked::Call(call)) => run(&call, Box::new(|_, _| {})),
        Err(wrong) => answer::failure(&wrong.operation, &wrong.global, &wrong.failure),
    }
}

fn run(call: &Call, on_step: OnStep) -> ExitCode {
    let content = Content::new(call.global.json);
    let session = environment::session(&call.global, &content, on_step);
    match session.and_then(|mut session| perform(call, &mut session)) {
        Ok(outcome) => answer::outcome(call, outcome, &content),
        Err(failure) => answer::failure(call.operation.name, &call.global, &failure),
    }
}

/// Does it; where only a yes is missing and somebody is there to give it, asks and does it then.
fn perform(call: &Call, session: &mut Session) -> Result<Outcome, Failure> {
    let watched = |session: &mut Session, parameters| {
        let _progress = Progress::watch(&session.meter, &call.global);
        call.operation.call(session, &call.words, parameters)
    };
    let refused = match watched(session, call.parameters.clone()) {
        Err(failure) if session.interactive && consent::is_missing(&failure) => failure,
        ended => return ended,
    };
    match consent::ask(&refused, &call.global) {
        Some(digest) => {
            let mut parameters = call.parameters.clone();
            parameters.insert("apply".to_owned(), digest);
            watched(session, parameters)
        }
        None => Err(refused),
    }
}

/// The demo's restore: this process kills itself, with the signal that nobody can catch, when half of the steps are
/// done.
fn killed_restore() -> ExitCode {
    let words = ["restore", "demo", "base", "--exact-mtime", "--yes"].map(OsString::from);
    let on_step: OnStep = Box::new(|done, all| {
        if done * 2 >= all {
            signals::kill_self();
        }
    });
    match arguments::read(words.to_vec()) {
        Ok(Asked::Call(call)) => run(&call, on_step),
        _ => answer::failure("restore", &Global::default(), &arguments::unknown_operation("restore")),
    }
}
