//! The operations of the program: the engine's, and those on the program itself.
//!
//! Owns the latter: schemas, completions, manual pages, the server for agents, the demo. Refuses to know how the engine's work.

use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;
use wfr_engine::error::{Code, Failure, code_of_io};
use wfr_engine::operation::{self, Operation};
use wfr_engine::params::{Completions, Demo, HostPath, Man, Mcp, Schema, Shell};
use wfr_engine::response::{Outcome, Success};
use wfr_engine::results::{OperationSchemas, Schemas, Text};
use wfr_engine::session::Session;

use crate::{arguments, command, demo, manual, serving};

/// Operations on the program itself: one line each.
const OWN: &[Operation] = &[
    Operation::defined::<Schema>(schema),
    Operation::defined::<Completions>(completions),
    Operation::defined::<Man>(man),
    Operation::defined::<Mcp>(serving::serve),
    Operation::defined::<Demo>(run_demo),
];

/// All operations, in the order in which they are listed.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    operation::ALL.iter().chain(OWN)
}

/// The operation of that name or alias.
pub fn find(name: &str) -> Option<&'static Operation> {
    all().find(|operation| operation.is_called(name))
}

fn read<P: serde::de::DeserializeOwned>(parameters: Value) -> Result<P, Failure> {
    serde_json::from_value(parameters)
        .map_err(|error| Failure::new(Code::InvalidParameter, operation::plain::plain(&error.to_string())))
}

fn schemas_of(operation: &Operation) -> OperationSchemas {
    OperationSchemas { parameters: (operation.parameters)(), result: (operation.result)() }
}

fn schema(_: &mut Session, parameters: Value) -> Result<Outcome, Failure> {
    let Schema { name } = read(parameters)?;
    let schemas = match name {
        None => Schemas::All(all().map(|operation| (operation.name.to_owned(), schemas_of(operation))).collect()),
        Some(name) => {
            let operation = find(&name).ok_or_else(|| arguments::unknown_operation(&name))?;
            Schemas::One(Box::new(schemas_of(operation)))
        }
    };
    Ok(Success::new(schemas).erase())
}

fn completions(_: &mut Session, parameters: Value) -> Result<Outcome, Failure> {
    use clap_complete::Shell as Known;
    let Completions { shell } = read(parameters)?;
    let shell = match shell {
        Some(Shell::Bash) => Known::Bash,
        Some(Shell::Zsh) => Known::Zsh,
        Some(Shell::Fish) => Known::Fish,
        None => return Err(Failure::new(Code::WrongArguments, "`completions` needs SHELL")),
    };
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut command::whole(), "wfr", &mut bytes);
    Ok(Success::new(Text { text: String::from_utf8_lossy(&bytes).into_owned(), files: vec![] }).erase())
}

fn man(session: &mut Session, parameters: Value) -> Result<Outcome, Failure> {
    let Man { directory } = read(parameters)?;
    let refuse = |error: io::Error| Failure::of(code_of_io(&error), &error);
    let of =
        directory.as_ref().and_then(|word| all().find(|operation| Some(operation.name) == word.as_path().to_str()));
    let text = match directory {
        Some(_) if of.is_some_and(|operation| !session.directories.current.join(operation.name).exists()) => {
            Text { text: of.map(manual::page).transpose().map_err(refuse)?.unwrap_or_default(), files: vec![] }
        }
        Some(HostPath(word)) if is_mistyped(&word, &session.directories.current) => {
            let word = HostPath::text_of(word.as_os_str());
            let way = format!("`wfr man ./{word}` writes all pages into a new directory of that name");
            return Err(arguments::unknown_operation(&word).with_option(way));
        }
        Some(HostPath(directory)) => {
            let directory = session.directories.current.join(directory);
            Text { text: String::new(), files: manual::write_all(&directory).map_err(refuse)? }
        }
        None => Text { text: manual::whole().map_err(refuse)?, files: vec![] },
    };
    Ok(Success::new(text).erase())
}

/// Whether a word is neither written as a path nor the name of a directory that is there.
fn is_mistyped(word: &Path, current: &Path) -> bool {
    !word.as_os_str().as_encoded_bytes().contains(&b'/') && !current.join(word).is_dir()
}

fn run_demo(session: &mut Session, _: Value) -> Result<Outcome, Failure> {
    let mut story = Story { out: &mut session.raw, text: String::new() };
    demo::run(&mut story, &session.abort).map_err(|error| match error {
        demo::DemoError::Interrupted { ref place, is_left } => {
            let again = "nothing of yours was touched: call `wfr demo` again for its verdict";
            let left = || format!("nothing of yours was touched: remove {} yourself", place.display());
            Failure::new(Code::Interrupted, error.to_string()).with_hint(if is_left {
                left()
            } else {
                again.to_owned()
            })
        }
        demo::DemoError::NoPlace { ref source, .. } => {
            let is_absent = source.kind() == io::ErrorKind::NotFound;
            let code = if is_absent { Code::FileNotFound } else { code_of_io(source) };
            Failure::new(code, error.to_string())
                .with_hint("let TMPDIR name a directory that is there and that you can write in, or unset it")
        }
        error => Failure::new(Code::Internal, format!("NOT VERIFIED: {error}"))
            .with_hint("please report it, with the whole output"),
    })?;
    Ok(Success::new(Text { text: story.text, files: vec![] }).erase())
}

/// Passes on what is written and keeps it for the result.
struct Story<'o> {
    out: &'o mut dyn Write,
    text: String,
}

impl Write for Story<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
