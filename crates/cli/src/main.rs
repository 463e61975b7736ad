//! `wfr`: the command line.
//!
//! Owns the environment, the terminal and signals, and hands ready values to the engine. Refuses to know how anything
//! is done.

mod arguments;
mod demo;
mod help;
mod render;
mod signals;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arguments::{Call, Global};
use wfr_engine::error::{Code, Failure};
use wfr_engine::operation::{self, Operation};
use wfr_engine::response::{Outcome, Response};
use wfr_engine::session::{Meter, Session};
use wfr_engine::workspace::Directories;
use wfr_model::Timestamp;

fn main() -> ExitCode {
    let words: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        None | Some("help" | "--help" | "-h") => print(&help::overview()),
        Some("--version" | "-V") => print(&format!("wfr {}\n", env!("CARGO_PKG_VERSION"))),
        Some("demo") => run_demo(),
        Some("schema") => print_schema(words.get(1).and_then(|word| word.to_str())),
        Some(demo::KILLED_RESTORE) => killed_restore(),
        Some(name) => run(name, &words[1..]),
    }
}

/// Prints a text; a reader that went away is no failure.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn run_demo() -> ExitCode {
    match demo::run(&mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stdout(), "NOT VERIFIED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_schema(name: Option<&str>) -> ExitCode {
    let schemas = |operation: &Operation| serde_json::json!({"parameters": (operation.parameters)(), "result": (operation.result)()});
    let document = match name {
        None => operation::ALL.iter().map(|found| (found.name.to_owned(), schemas(found))).collect(),
        Some(name) => match operation::find(name) {
            Some(found) => schemas(found),
            None => return fail(name, &Global::default(), None, &arguments::unknown_operation(name)),
        },
    };
    print(&format!("{document:#}\n"))
}

fn run(name: &str, words: &[std::ffi::OsString]) -> ExitCode {
    let Some(operation) = operation::find(name) else {
        return fail(name, &arguments::global_of(words), None, &arguments::unknown_operation(name));
    };
    let call = match arguments::parse(operation, words) {
        Ok(call) => call,
        Err(failure) => return fail(name, &arguments::global_of(words), None, &failure),
    };
    if call.global.help {
        return print(&help::of(operation));
    }
    let mut session = match session(&call.global, Box::new(|_, _| {})) {
        Ok(session) => session,
        Err(failure) => return fail(name, &call.global, None, &failure),
    };
    perform(operation, &mut session, call)
}

fn perform(operation: &Operation, session: &mut Session, call: Call) -> ExitCode {
    let progress = render::Progress::begin(session.meter.clone(), &call.global);
    let outcome = operation.call(session, &call.words, call.parameters);
    progress.end();
    let now = session.now();
    let response = match outcome {
        Ok(outcome) => return succeed(operation, &call.global, outcome, now),
        Err(failure) => failure,
    };
    fail(operation.name, &call.global, Some(now), &response)
}

fn succeed(operation: &Operation, global: &Global, outcome: Outcome, now: Timestamp) -> ExitCode {
    let verdict = outcome.verdict.clone();
    let response = Response::of_outcome(operation.name, outcome, now);
    if global.json {
        // The bytes of a file have gone to standard output already.
        if operation.name != "cat" {
            print_json(&response);
        }
    } else if !global.quiet {
        render::show(operation.name, &response, global);
    }
    if let (Some(failure), false) = (&verdict, global.json) {
        render::failure(failure, global);
    }
    ExitCode::from(response.exit_code())
}

fn fail(name: &str, global: &Global, now: Option<Timestamp>, failure: &Failure) -> ExitCode {
    let response = Response::of_failure(name, None, failure, now.unwrap_or_else(clock));
    if global.json {
        print_json(&response);
    } else {
        if failure.code == Code::ConsentNeeded && !global.quiet {
            render::show("plan", &response, global);
        }
        render::failure(failure, global);
    }
    ExitCode::from(response.exit_code())
}

fn print_json(response: &Response) {
    let text = serde_json::to_string_pretty(response).unwrap_or_default();
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

type OnStep = Box<dyn Fn(usize, usize) + Send + Sync>;

fn session(global: &Global, on_step: OnStep) -> Result<Session, Failure> {
    let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let current = std::env::current_dir().map_err(|error| {
        Failure::of(Code::FileNotFound, &error).with_hint("the current directory is gone: change to another")
    })?;
    let data = path("XDG_DATA_HOME").or_else(|| path("HOME").map(|home| home.join(".local/share")));
    let directories = Directories {
        current,
        data,
        workspace: global.workspace.clone(),
        store: global.store.clone().or_else(|| path("WFR_STORE")),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Session {
        directories,
        interactive: false,
        threads: global.threads.unwrap_or(cores).clamp(1, 64),
        abort: signals::watch(),
        meter: Arc::new(Meter::default()),
        clock,
        actor: std::env::var("USER").unwrap_or_else(|_| "user".to_owned()),
        raw: if global.json { Box::new(std::io::sink()) } else { Box::new(std::io::stdout()) },
        on_step,
    })
}

/// The demo's restore: this process kills itself, with the signal that nobody can catch, when half of the steps are
/// done.
fn killed_restore() -> ExitCode {
    let on_step: OnStep = Box::new(|done, total| {
        if done * 2 >= total {
            signals::kill_self();
        }
    });
    let words = ["demo", "base", "--exact-mtime", "--yes"].map(Into::into);
    let (Some(operation), true) = (operation::find("restore"), !std::io::stdin().is_terminal()) else {
        return ExitCode::FAILURE;
    };
    match (session(&Global::default(), on_step), arguments::parse(operation, &words)) {
        (Ok(mut session), Ok(call)) => perform(operation, &mut session, call),
        (Err(failure), _) | (_, Err(failure)) => fail("restore", &Global::default(), None, &failure),
    }
}
