//! `guard`: after the checkpoint, the command in the place of this process.
//!
//! Owns the exit codes of a command that was not run, as `env` has them, of whatever operation. Refuses to watch the command: streams, signals
//! and terminal are its own.

use std::any::Any;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use wfr_engine::error::{Code, Failure};
use wfr_engine::response::Outcome;
use wfr_engine::results::Guarded;
use wfr_model::path::unescape;

use crate::answer;
use crate::arguments::Global;
use crate::terminal::{self, GOOD, PLACE, WARN, styled, visible};

/// The operation.
pub const NAME: &str = "guard";

/// The exit code where the command was not run because of us.
const NOT_GUARDED: u8 = 125;

/// What is said of a failure of ours; the exit code cannot be taken for one of the command's.
pub fn refused(operation: &str, workflow: Option<String>, global: &Global, failure: &Failure) -> ExitCode {
    let code = answer::failure(operation, workflow, global, failure);
    if failure.code == Code::Interrupted { code } else { ExitCode::from(NOT_GUARDED) }
}

/// Says what was taken, on standard error, and becomes the command. Comes back only where it cannot be run.
pub fn run(outcome: Outcome, global: &Global) -> ExitCode {
    let result: &dyn Any = &*outcome.result;
    let Some(guarded) = result.downcast_ref::<Guarded>() else {
        return refused(NAME, None, global, &Failure::new(Code::Internal, "`guard` gave no command"));
    };
    let words = match words(&guarded.command) {
        Ok(words) => words,
        Err(failure) => return refused(NAME, None, global, &failure),
    };
    if !global.quiet {
        let workflow = outcome.workflow_id.as_ref().map_or("", |workflow| workflow.as_str());
        // Where it cannot be said, the command is none the worse for it.
        let _ = terminal::write(&mut terminal::err(global.colour), &said(guarded, workflow));
    }
    let error = Command::new(&words[0]).args(&words[1..]).exec();
    not_run(NAME, &words[0], &error, global, "the checkpoint is taken; mend the command")
}

/// The words of a command, of which there is one at least.
pub fn words(command: &[String]) -> Result<Vec<OsString>, Failure> {
    let words = command.iter().map(|word| unescape(word).map(OsString::from_vec)).collect::<Option<Vec<_>>>();
    words.filter(|words| !words.is_empty()).ok_or_else(|| {
        let message = r"in the command, a backslash must be `\\` or `\xHH`";
        Failure::new(Code::InvalidParameter, message)
    })
}

/// What is said of a command that cannot be run.
pub fn not_run(operation: &str, program: &OsStr, error: &io::Error, global: &Global, hint: &str) -> ExitCode {
    let message = format!("`{}` cannot be run", visible(&program.to_string_lossy()));
    let failure = Failure::new(Code::WrongArguments, message).with_details(error.to_string());
    answer::failure(operation, None, global, &failure.with_hint(hint));
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

fn said(guarded: &Guarded, workflow: &str) -> String {
    let Some(name) = &guarded.name else {
        return format!("{} no checkpoint is taken: the configuration wants none\n", styled(WARN, "Unguarded:"));
    };
    let mut said = format!(
        "{} checkpoint {}; `wfr restore {workflow} {name}` takes back what follows\n",
        styled(GOOD, "Guarded:"),
        styled(PLACE, name),
    );
    if guarded.not_covered > 0 {
        let paths = guarded.not_covered;
        said.push_str(&format!("{} it does not have {paths} paths: see `wfr show {name}`\n", styled(WARN, "But:")));
    }
    said
}
