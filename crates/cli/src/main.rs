//! `wfr`: the command line.
//!
//! Owns the way from arguments to an exit code. Refuses to know how anything is done: that is the engine's work.

mod answer;
mod arguments;
mod choosing;
mod command;
mod confining;
mod consent;
mod content;
mod demo;
mod environment;
mod executing;
mod guard;
mod hooking;
mod launcher;
mod manual;
mod operations;
mod overhearing;
mod progress;
mod render;
mod serving;
mod signals;
mod terminal;
mod upkeep;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use arguments::{Asked, Call, Global};
use content::Content;
use environment::OnStep;
use progress::Progress;
use serde_json::{Map, Value};
use wfr_engine::error::{Code, Failure, Kind};
use wfr_engine::operation::{self, Operation};
use wfr_engine::response::Outcome;
use wfr_engine::session::Session;

fn main() -> ExitCode {
    signals::outlive_large_files();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|word| word == demo::KILLED_RESTORE) {
        return killed_restore();
    }
    if arguments.first().is_some_and(|word| word == executing::SUPERVISE) {
        return executing::supervise();
    }
    if arguments.first().is_some_and(|word| word == launcher::SHELL) {
        return launcher::run(&arguments[1..]);
    }
    if arguments.first().is_some_and(|word| word == launcher::BASH) {
        return launcher::run_in_bash(&arguments[1..]);
    }
    match arguments::read(arguments) {
        Ok(Asked::Text(text, global)) => answer::text(text, &global),
        Ok(Asked::Call(call)) => run(*call, Box::new(|_, _| {})),
        Err(wrong) => refused(&wrong.operation, None, &wrong.global, &wrong.failure),
    }
}

/// Says why an operation failed, on a workflow where one was named.
fn refused(operation: &str, workflow: Option<String>, global: &Global, failure: &Failure) -> ExitCode {
    if [guard::NAME, executing::NAME].contains(&operation) {
        return guard::refused(operation, workflow, global, failure);
    }
    if operation == hooking::NAME {
        return hooking::refused(global, failure);
    }
    answer::failure(operation, workflow, global, failure)
}

fn run(call: Call, on_step: OnStep) -> ExitCode {
    let Call { operation, global, words, parameters } = call;
    let content = Content::new(global.json || (global.quiet && operation.name == "demo"));
    let prepared = environment::session(operation.name, &global, &content, on_step).and_then(|mut session| {
        let parameters = operation.bind(&mut session, &words, parameters)?;
        Ok((session, parameters))
    });
    let (mut session, parameters) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return refused(operation.name, None, &global, &failure),
    };
    // Who asks for the form that programs read gets it, by either name.
    let is_json = operation.name == "graph" && parameters.get("format").and_then(Value::as_str) == Some("json");
    let global = Global { json: global.json || is_json, ..global };
    let workflow = parameters.get("workflow_id").and_then(Value::as_str).map(str::to_owned);
    upkeep::leave_terminal(&parameters);
    // Before anybody is asked, and before anything is done.
    let elsewhere = if makes_its_own(operation) { None } else { session.elsewhere() };
    elsewhere.iter().for_each(|root| answer::about(root, &global));
    let goes_on = operation::endless(operation.name, &parameters).is_some();
    let ended = perform(operation, &mut session, &global, parameters);
    let ended = session.warnings().into_iter().fold(ended, |ended, warning| answer::warned(ended, warning, &global));
    let ended = match elsewhere.filter(|_| global.json) {
        Some(root) => answer::warned(ended, answer::about_elsewhere(&root), &global),
        None => ended,
    };
    upkeep::start_where_due(operation, &session);
    match ended {
        // All of it has been shown, piece by piece: it ended because nobody listened any more, or by a signal.
        Ok(_) if goes_on && session.abort.load(Ordering::Relaxed) => ExitCode::from(Kind::Interrupted.exit_code()),
        Ok(_) if goes_on => ExitCode::SUCCESS,
        Ok(outcome) if operation.name == guard::NAME => guard::run(outcome, &global),
        Ok(outcome) if operation.name == hooking::NAME => hooking::answer(outcome, &global),
        Ok(outcome) if operation.name == executing::NAME => executing::run(outcome, session, &global),
        Ok(outcome) => answer::outcome(operation.name, &global, outcome, &content),
        Err(failure) => refused(operation.name, workflow, &global, &failure),
    }
}

/// Whether an operation acts on a workspace that it makes or names itself.
fn makes_its_own(operation: &Operation) -> bool {
    ["init", "demo"].contains(&operation.name)
}

/// Does it; where only a yes is missing and somebody is there to give it, asks and does it then.
fn perform(
    operation: &Operation,
    session: &mut Session,
    global: &Global,
    mut parameters: Map<String, Value>,
) -> Result<Outcome, Failure> {
    let watched = |session: &mut Session, parameters: Map<String, Value>| {
        // Where questions are asked, nothing else may write on the terminal.
        let is_quiet = operation::endless(operation.name, &parameters).is_some()
            || parameters.get("interactive") == Some(&Value::Bool(true));
        let _progress = (!is_quiet).then(|| Progress::watch(&session.meter, global));
        (operation.run)(session, Value::Object(parameters))
    };
    let is_chosen = parameters.get("interactive") == Some(&Value::Bool(true));
    let mut was_asked = false;
    loop {
        let refused = match watched(session, parameters.clone()) {
            Err(failure) if session.interactive && consent::is_missing(&failure, is_chosen && was_asked) => failure,
            ended => return ended,
        };
        let Some(digest) = consent::ask(&refused, global, &session.abort) else {
            return Err(match session.abort.load(Ordering::Relaxed) {
                true => Failure::new(Code::Interrupted, "interrupted: nothing was changed"),
                // The plan has been seen.
                false => Failure { result: None, ..consent::advised(refused, is_chosen) },
            });
        };
        parameters.insert("apply".to_owned(), digest);
        was_asked = true;
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
        Ok(Asked::Call(call)) => run(*call, on_step),
        _ => answer::failure("restore", None, &Global::default(), &arguments::unknown_operation("restore")),
    }
}
