//! The arguments of the process as a call: operation, words, parameters, and the flags that every operation has.
//!
//! Owns reading them and what is said of a wrong call. Refuses to know what parameters mean and to run anything.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value};
use wfr_engine::error::{Code, Failure};
use wfr_engine::operation::{self, Operation, json, keys};

use crate::command::{self, GLOBALS};
use crate::operations;
use crate::terminal::Colour;
use crate::values::Shape;

/// The flags that every operation has.
#[derive(Clone, Debug, Default)]
pub struct Global {
    /// The protected directory.
    pub workspace: Option<PathBuf>,
    /// The store.
    pub store: Option<PathBuf>,
    /// How many threads to use; at least 1.
    pub threads: Option<usize>,
    /// Whether to use colours.
    pub colour: Colour,
    /// One JSON document on standard output.
    pub json: bool,
    /// Failures only.
    pub quiet: bool,
}

/// A call that is understood.
pub struct Call {
    /// The operation.
    pub operation: &'static Operation,
    /// The flags that every operation has.
    pub global: Global,
    /// Words that are neither flags nor parameters; those after a `--` follow it.
    pub words: Vec<OsString>,
    /// Keys and values, from the JSON object and from flags.
    pub parameters: Map<String, Value>,
}

/// What the arguments ask for.
pub enum Asked {
    /// An operation.
    Call(Box<Call>),
    /// A text, and how it is to be shown.
    Text(Text, Global),
}

/// A text that was asked for: what it is, `help` or `version`, and itself.
pub type Text = (&'static str, StyledStr);

/// Arguments that are no call, with what can be known of them all the same.
pub struct Misunderstood {
    /// The operation's name, where there is one.
    pub operation: String,
    /// How the failure is to be shown.
    pub global: Global,
    /// What is wrong.
    pub failure: Failure,
}

/// Reads the arguments, without the program's name.
pub fn read(arguments: Vec<OsString>) -> Result<Asked, Box<Misunderstood>> {
    let global = glimpse(&arguments);
    let (before, name, after) = split(arguments);
    let refuse =
        |name: &str, failure| Box::new(Misunderstood { operation: name.to_owned(), global: global.clone(), failure });
    let text = |text| Asked::Text(text, global.clone());
    let Some(name) = name else { return bare(before).map(text).map_err(|failure| refuse("", failure)) };
    let name = name.to_string_lossy().into_owned();
    let about = after.iter().find(|word| !word.as_encoded_bytes().starts_with(b"-"));
    let (name, rest) = match (name.as_str(), about) {
        ("help", None) => return Ok(text(("help", command::root().render_help()))),
        ("help", Some(about)) => (about.to_string_lossy().into_owned(), vec!["--help".into()]),
        _ => (name, [before, after].concat()),
    };
    let operation = operations::find(&name).ok_or_else(|| refuse(&name, unknown_operation(&name)))?;
    match call(operation, rest).map_err(|failure| refuse(operation.name, failure))? {
        Ok(call) => Ok(Asked::Call(Box::new(call))),
        Err(found) => Ok(text(found)),
    }
}

/// How a failure is to be shown, whatever else the arguments say.
fn glimpse(arguments: &[OsString]) -> Global {
    let before_words = || arguments.iter().take_while(|argument| *argument != "--");
    let is = |flag: &str| before_words().any(|argument| argument == flag);
    let colours = [("never", Colour::Never), ("always", Colour::Always)];
    let colour = colours.iter().find(|(name, _)| is(&format!("--color={name}")));
    Global { json: is("--json"), colour: colour.map_or(Colour::Auto, |(_, colour)| *colour), ..Global::default() }
}

/// The arguments before the operation, the operation, and those after it.
fn split(arguments: Vec<OsString>) -> (Vec<OsString>, Option<OsString>, Vec<OsString>) {
    let takes_value = |argument: &OsStr| {
        let name = argument.to_str().and_then(|text| text.strip_prefix("--"));
        name.is_some_and(|name| GLOBALS.iter().any(|global| global.name == name && global.value.is_some()))
    };
    let mut before = Vec::new();
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        if !argument.as_encoded_bytes().starts_with(b"-") {
            return (before, Some(argument), rest.collect());
        }
        let with_value = takes_value(&argument);
        before.push(argument);
        if with_value {
            before.extend(rest.next());
        }
    }
    (before, None, vec![])
}

/// A call without an operation: for help or the version.
fn bare(arguments: Vec<OsString>) -> Result<Text, Failure> {
    let mut root = command::root();
    let found = matches(&mut root, arguments)?;
    Ok(found.err().unwrap_or_else(|| ("help", root.render_help())))
}

/// A call; the inner error is a text that was asked for instead.
fn call(operation: &'static Operation, arguments: Vec<OsString>) -> Result<Result<Call, Text>, Failure> {
    let mut command = command::of(operation);
    let matches = match matches(&mut command, arguments)? {
        Ok(matches) => matches,
        Err(text) => return Ok(Err(text)),
    };
    let (words, mut parameters) = words(&matches)?;
    parameters.extend(flags(operation, &matches)?);
    let global = global(&matches, &parameters);
    Ok(Ok(Call { operation, global, words, parameters }))
}

/// Matches arguments; the inner error is a text that was asked for.
fn matches(command: &mut Command, arguments: Vec<OsString>) -> Result<Result<ArgMatches, Text>, Failure> {
    let name = OsString::from("wfr");
    match command.try_get_matches_from_mut(std::iter::once(&name).chain(&arguments)) {
        Ok(matches) => Ok(Ok(matches)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp => Ok(Err(("help", error.render()))),
            ErrorKind::DisplayVersion => Ok(Err(("version", error.render()))),
            _ => Err(refusal(command, &arguments, &error)),
        },
    }
}

/// Words, and the parameters among them: a word before `--` that begins with `{`.
fn words(matches: &ArgMatches) -> Result<(Vec<OsString>, Map<String, Value>), Failure> {
    let (mut words, mut parameters) = (Vec::new(), None);
    for word in raw(matches, command::WORDS) {
        if !word.as_encoded_bytes().trim_ascii_start().starts_with(b"{") {
            words.push(word.to_owned());
            continue;
        }
        let not_text = || Failure::new(Code::InvalidJson, "the parameters are not UTF-8");
        let map = json::parse(word.to_str().ok_or_else(not_text)?)?;
        if parameters.replace(map).is_some() {
            let message = "parameters are given twice";
            return Err(Failure::new(Code::WrongArguments, message).with_hint("put them into one JSON object"));
        }
    }
    let rest = raw(matches, command::REST);
    if !rest.is_empty() {
        words.push("--".into());
        words.extend(rest.into_iter().map(OsStr::to_owned));
    }
    Ok((words, parameters.unwrap_or_default()))
}

fn raw<'m>(matches: &'m ArgMatches, id: &str) -> Vec<&'m OsStr> {
    match matches.try_get_raw(id) {
        Ok(Some(values)) => values.collect(),
        _ => vec![],
    }
}

/// The keys that flags give.
fn flags(operation: &Operation, matches: &ArgMatches) -> Result<Map<String, Value>, Failure> {
    let schema = (operation.parameters)();
    let mut given = Map::new();
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        if matches.value_source(key) == Some(ValueSource::CommandLine) {
            given.insert(key.clone(), Shape::of(property).read(&raw(matches, key))?);
        }
    }
    Ok(given)
}

fn global(matches: &ArgMatches, parameters: &Map<String, Value>) -> Global {
    let path = |name: &str| raw(matches, name).first().map(PathBuf::from);
    let is = |name: &str| !parameters.contains_key(name) && matches.get_flag(name);
    Global {
        workspace: path("workspace"),
        store: path("store"),
        threads: matches.get_one::<u16>("threads").map(|count| usize::from(*count)),
        colour: match matches.get_one::<String>("color").map(String::as_str) {
            Some("always") => Colour::Always,
            Some("never") => Colour::Never,
            _ => Colour::Auto,
        },
        json: is("json"),
        quiet: is("quiet"),
    }
}

/// A name that is no operation: one that comes later, or one that is near.
pub fn unknown_operation(name: &str) -> Failure {
    let later = operation::LATER.iter().find(|(later, _)| *later == name);
    let names: Vec<&str> = operations::all().map(|operation| operation.name).collect();
    if let Some((_, group)) = later {
        let message = format!("`{name}` is not in this version: it comes with {group}");
        return Failure::new(Code::NotInThisVersion, message).with_hint(format!("there are {}", names.join(", ")));
    }
    let shown: String = name.chars().take(80).collect();
    let failure = Failure::new(Code::UnknownOperation, format!("there is no operation `{shown}`"));
    let underscored: Vec<String> = names.iter().map(|name| name.replace('-', "_")).collect();
    let near = keys::nearest(name, underscored.iter().map(String::as_str));
    if near.is_empty() {
        return failure;
    }
    let near: Vec<String> = near.iter().map(|name| name.replace('_', "-")).collect();
    failure.with_hint(format!("did you mean `{}`? `wfr --help` lists all", near.join("`, `")))
}

/// What clap refused, in this program's words.
fn refusal(command: &Command, arguments: &[OsString], error: &clap::Error) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let argument = text(ContextKind::InvalidArg);
    let flag = argument.split([' ', '=', '[']).next().unwrap_or_default().to_owned();
    match error.kind() {
        ErrorKind::UnknownArgument if flag.starts_with("--") => unknown_flag(command, &flag),
        ErrorKind::UnknownArgument if is_number(&flag) => {
            // Only its beginning is named to us.
            let mut given = arguments.iter().filter_map(|given| given.to_str());
            let value: String =
                given.find(|given| given.starts_with(&flag)).unwrap_or(&flag).chars().take(80).collect();
            let message = format!("`{value}` is not allowed: no value is below 0");
            let hint = format!("`wfr {} --help` says which values flags may have", command.get_name());
            Failure::new(Code::InvalidParameter, message).with_hint(hint)
        }
        ErrorKind::UnknownArgument => {
            let hint = "put paths that begin with `-` behind a `--`";
            Failure::new(Code::UnknownParameter, format!("there is no flag `{flag}`")).with_hint(hint)
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::NoEquals => {
            let value = text(ContextKind::InvalidValue);
            if value.is_empty() {
                return Failure::new(Code::InvalidParameter, format!("`{flag}` needs a value"));
            }
            let failure = Failure::new(Code::InvalidParameter, format!("`{flag}` cannot be `{value}`"));
            let valid = text(ContextKind::ValidValue);
            match flag.as_str() {
                _ if !valid.is_empty() => failure.with_hint(format!("it may be {valid}")),
                "--threads" => failure.with_hint(format!("it may be a whole number from 1 to {}", u16::MAX)),
                _ => failure,
            }
        }
        ErrorKind::ArgumentConflict => {
            Failure::new(Code::InvalidParameter, format!("`{flag}` is given more than once"))
        }
        ErrorKind::TooManyValues => Failure::new(Code::InvalidParameter, format!("`{flag}` takes no such value")),
        _ => {
            let whole = error.render().to_string();
            let first = whole.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Failure::new(Code::WrongArguments, first)
        }
    }
}

/// Whether it is a number below 0 rather than a flag.
fn is_number(flag: &str) -> bool {
    flag.strip_prefix('-').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

fn unknown_flag(command: &Command, flag: &str) -> Failure {
    let known = command.get_arguments().filter_map(|arg| arg.get_long()).map(|long| long.replace('-', "_"));
    let known: Vec<String> = known.collect();
    let key = flag.trim_start_matches('-');
    let near = keys::nearest(key, known.iter().map(String::as_str));
    let shown: String = flag.chars().take(80).collect();
    let failure = Failure::new(Code::UnknownParameter, format!("`{}` has no flag `{shown}`", command.get_name()));
    let near: Vec<String> = near.iter().map(|name| format!("`--{}`", command::dashed(name))).collect();
    let all = format!("`wfr {} --help` lists all", command.get_name());
    failure.with_hint(if near.is_empty() { all } else { format!("did you mean {}? {all}", near.join(", ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str]) -> Result<Asked, Box<Misunderstood>> {
        read(arguments.iter().map(Into::into).collect())
    }

    fn called(arguments: &[&str]) -> Call {
        match asked(arguments) {
            Ok(Asked::Call(call)) => *call,
            Ok(Asked::Text((name, text), _)) => panic!("{name}: {text}"),
            Err(wrong) => panic!("{}", wrong.failure),
        }
    }

    fn refused(arguments: &[&str]) -> Failure {
        asked(arguments).err().map(|wrong| wrong.failure).unwrap_or_else(|| panic!("{arguments:?} is no error"))
    }

    #[test]
    fn flags_override_json_and_globals_stand_anywhere() {
        let call = called(&[
            "--json",
            "--workspace",
            "w",
            "create-checkpoint",
            "wf",
            r#"{"name": "a", "tags": ["x"]}"#,
            "--name",
            "b",
            "--include-file-backups=false",
            "--validate-integrity",
            "--threads=3",
        ]);
        assert_eq!(call.operation.name, "create-checkpoint");
        assert_eq!(call.words, ["wf"]);
        let expected = serde_json::json!({
            "name": "b", "tags": ["x"], "include_file_backups": false, "validate_integrity": true
        });
        assert_eq!(Value::Object(call.parameters), expected);
        assert_eq!(call.global.workspace, Some("w".into()));
        assert_eq!((call.global.json, call.global.threads), (true, Some(3)));
    }

    #[test]
    fn words_after_two_dashes_are_kept_apart() {
        let call = called(&["diff", "base", "--stat", "--", "--name", "{a}"]);
        assert_eq!(call.words, ["base", "--", "--name", "{a}"]);
        assert_eq!(call.parameters["stat"], true);
    }

    #[test]
    fn yes_is_a_parameter_where_there_is_one_and_harmless_elsewhere() {
        assert_eq!(called(&["restore", "base", "-y"]).parameters["yes"], true);
        assert!(called(&["create-checkpoint", "wf", "-y"]).parameters.is_empty());
        assert_eq!(called(&["create-checkpoint", "wf", "--phase-id", "-1"]).parameters["phase_id"], -1);
    }

    #[test]
    fn wrong_calls_have_their_codes_and_near_names() {
        let code = |arguments: &[&str]| refused(arguments).code;
        assert_eq!(code(&["analyze-failure", "wf"]), Code::NotInThisVersion);
        assert_eq!(code(&["restor"]), Code::UnknownOperation);
        assert!(refused(&["restor"]).hint.contains("`restore`"));
        assert!(refused(&["create_checkpoint"]).hint.contains("`create-checkpoint`"));
        assert_eq!(code(&["restore", "base", "--exact-time"]), Code::UnknownParameter);
        assert!(refused(&["restore", "base", "--exact-time"]).hint.contains("`--exact-mtime`"));
        assert_eq!(code(&["restore", "base", "--exact-mtime=perhaps"]), Code::InvalidParameter);
        assert_eq!(code(&["restore", "base", "--to"]), Code::InvalidParameter);
        assert_eq!(code(&["restore", "base", "--to", "a", "--to", "b"]), Code::InvalidParameter);
        assert_eq!(code(&["restore", "base", "--threads", "0"]), Code::InvalidParameter);
        assert_eq!(code(&["restore", "base", "-x"]), Code::UnknownParameter);
        assert_eq!(code(&["restore", "base", "{"]), Code::InvalidJson);
        assert_eq!(code(&["restore", "base", "{}", "{}"]), Code::WrongArguments);
    }
}
