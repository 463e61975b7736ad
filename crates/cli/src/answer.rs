//! What the process prints when it ends, and its exit code.
//!
//! Owns which stream gets what: one JSON document on standard output with `--json`; else results on standard output,
//! failures on standard error. Refuses to know how results look: see [`crate::render`].

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;
use wfr_engine::error::{Code, Failure, code_of_io};
use wfr_engine::response::{Answer, Layout, Outcome, Response, Success};
use wfr_engine::results;
use wfr_engine::session::OnNews;

use crate::arguments::{self, Global};
use crate::content::Content;
use crate::terminal::{self, Colour, ERROR, HEADING, WARN, styled, visible};
use crate::{environment, render};

/// Prints help or the version.
pub fn text((name, text): arguments::Text, global: &Global) -> ExitCode {
    let printed = if global.json {
        let result = results::Text { text: text.to_string(), files: vec![] };
        let response = Response::of_outcome(name, Success::new(result).erase(), environment::clock());
        document(|layout, out| response.write_erased(layout, out))
    } else {
        terminal::write(&mut terminal::out(global.colour), &text.ansi().to_string())
    };
    printed.map_or_else(|error| unprinted(&error), |()| ExitCode::SUCCESS)
}

/// Prints how an operation ended.
pub fn outcome(operation: &str, global: &Global, mut outcome: Outcome, content: &Content) -> ExitCode {
    content.fill(&mut *outcome.result);
    let verdict = outcome.verdict.clone();
    let response = Response::of_outcome(operation, outcome, environment::clock());
    let code = response.exit_code();
    let printed = if global.json {
        document(|layout, out| response.write_erased(layout, out))
    } else {
        let shown =
            if global.quiet { render::quiet(operation, &response) } else { render::response(operation, &response) };
        terminal::write(&mut terminal::out(global.colour), &shown)
    };
    if let Err(error) = printed {
        return unprinted(&error);
    }
    if let (Some(failure), false) = (&verdict, global.json) {
        complain(operation, failure, global);
    }
    ExitCode::from(code)
}

/// Prints why an operation failed, on a workflow where one was named.
pub fn failure(operation: &str, workflow: Option<String>, global: &Global, failure: &Failure) -> ExitCode {
    let response = Response::of_failure(operation, workflow, failure, environment::clock());
    if global.json {
        return document(|layout, out| response.write(layout, out))
            .map_or_else(|error| unprinted(&error), |()| ExitCode::from(response.exit_code()));
    }
    if let Some(result) = failure.result.as_deref().filter(|_| !global.quiet) {
        let shown = render::before_failure(operation, result);
        if let Err(error) = terminal::write(&mut terminal::out(global.colour), &shown) {
            return unprinted(&error);
        }
    }
    complain(operation, failure, global);
    ExitCode::from(response.exit_code())
}

/// Tells what an operation went on without: with `--json` in the document, else on standard error, since standard output
/// may be a file's bytes.
pub fn warned(ended: Result<Outcome, Failure>, warning: String, global: &Global) -> Result<Outcome, Failure> {
    match ended {
        Err(failure) if failure.code == Code::InvalidConfiguration => Err(failure),
        Err(failure) => Err(failure.with_option(warning)),
        Ok(mut outcome) if outcome.verdict.is_some() => {
            outcome.verdict = outcome.verdict.map(|failure| failure.with_option(warning));
            Ok(outcome)
        }
        Ok(outcome) if global.json => Ok(outcome.with_next_step(warning)),
        Ok(outcome) => {
            let line = format!("{} {}\n", styled(WARN, "Warning:"), visible(&warning));
            let _ = terminal::write(&mut terminal::err(global.colour), &line);
            Ok(outcome)
        }
    }
}

/// Names the workspace that is acted on, which is not the current directory's own: on standard error, before anything is done.
pub fn about(root: &Path, global: &Global) {
    if !global.json && !global.quiet {
        let line = format!("Workspace: {}\n", visible(&root.to_string_lossy()));
        let _ = terminal::write(&mut terminal::err(global.colour), &line);
    }
}

/// The same as a sentence.
pub fn about_elsewhere(root: &Path) -> String {
    format!("this is about the workspace {}, which the current directory is not in", root.display())
}

/// What shows the pieces of a result that goes on: with `--json` one object a line; on a terminal a status is drawn over the
/// one before.
pub fn news(operation: &'static str, global: &Global) -> OnNews {
    let global = global.clone();
    Box::new(move |piece: &dyn Answer| {
        if global.json {
            let line = format!("{}\n", piece.to_value());
            return terminal::write_or_end(&mut terminal::out(Colour::Always), &line);
        }
        let redraws = operation == "status" && terminal::is_shown();
        let begin = if redraws { terminal::CLEAR } else { "" };
        let mut shown = format!("{begin}{}", render::news(operation, piece));
        if redraws && let Some(height) = terminal::height() {
            shown = shown.split_inclusive('\n').take(usize::from(height).saturating_sub(1)).collect();
        }
        terminal::write_or_end(&mut terminal::out(global.colour), &shown)
    })
}

/// Prints the one document of a call with `--json`: indented where somebody reads it on a terminal.
fn document(write: impl FnOnce(Layout, &mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let layout = if terminal::is_shown() { Layout::Indented } else { Layout::Compact };
    // JSON escapes what acts on a terminal: there is nothing to take out.
    terminal::unless_gone(write(layout, &mut terminal::out(Colour::Always)))
}

/// JSON for people and programs: indented, with a line end.
pub fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn complain(operation: &str, failure: &Failure, global: &Global) {
    let mut lines = format!("{} {}", styled(ERROR, "Error:"), visible(&failure.message));
    if !failure.details.is_empty() {
        lines.push_str(&format!(": {}", visible(&failure.details)));
    }
    lines.push('\n');
    for way in failure.ways_on(operation) {
        lines.push_str(&format!("{} {}\n", styled(HEADING, "Hint:"), visible(&way)));
    }
    // Where standard error cannot be written either, the exit code alone must tell.
    let _ = terminal::write(&mut terminal::err(global.colour), &lines);
}

/// The result could not be printed: whoever waits for it must not take the call for done.
fn unprinted(error: &io::Error) -> ExitCode {
    let failure = Failure::new(code_of_io(error), "the result could not be written")
        .with_details(error.to_string())
        .with_hint("what was done stays done: let standard output go where it can be written, and ask again for what it would have said");
    complain("", &failure, &Global::default());
    ExitCode::from(failure.kind().exit_code())
}
