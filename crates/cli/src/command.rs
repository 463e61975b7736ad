//! The clap command of each operation, made from its schema when it is asked for.
//!
//! Owns how keys become flags, and what help says. Refuses to read values: that is [`crate::values`].

use std::ffi::OsString;

use clap::builder::{PossibleValue, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, Command, value_parser};
use serde_json::Value;
use wfr_engine::operation::{Operation, words};

use crate::operations;
use crate::values::Shape;

/// The id of the argument that takes all words before a `--`.
pub const WORDS: &str = "<words>";

/// The id of the argument that takes all words after a `--`.
pub const REST: &str = "<rest>";

/// How long a line of a list in help may be, in characters.
const LINE_MAX: usize = 80;

/// How parameters are given, and where more is said of them.
pub const PARAMETERS: &str = "Parameters are flags or one JSON object: `--exact-mtime` is `'{\"exact_mtime\": true}'`.\n\
     `wfr OPERATION --help` explains an operation, `wfr schema OPERATION` gives its JSON Schemas.";

const GLOBAL: &str = "Flags of every operation";

/// One flag that every operation has: its name, its letter, what stands for its value, what it does.
pub struct Global {
    /// Its name, without dashes.
    pub name: &'static str,
    /// Its letter.
    pub short: Option<char>,
    /// The placeholder of its value; `None` for a switch.
    pub value: Option<&'static str>,
    help: &'static str,
}

const fn switch(name: &'static str, short: Option<char>, help: &'static str) -> Global {
    Global { name, short, value: None, help }
}

const fn option(name: &'static str, value: &'static str, help: &'static str) -> Global {
    Global { name, short: None, value: Some(value), help }
}

/// The flags that every operation has.
pub const GLOBALS: [Global; 7] = [
    option("workspace", "DIR", "The protected directory; the nearest one upwards where it is not given"),
    option("store", "DIR", "The store; WFR_STORE, or what the workspace says, where it is not given"),
    option("threads", "N", "How many threads to use"),
    option("color", "WHEN", "Whether to use colours: auto, always or never; NO_COLOR is honoured"),
    switch("json", None, "Print one JSON document on standard output, and nothing else"),
    switch("quiet", Some('q'), "Print failures only"),
    switch("yes", Some('y'), "Do it without asking"),
];

/// The command of one operation.
pub fn of(operation: &Operation) -> Command {
    let schema = (operation.parameters)();
    let (summary, rest) = description(&schema);
    let about = if rest.is_empty() { summary.clone() } else { format!("{summary}\n\n{rest}") };
    let mut command = Command::new(operation.name)
        .about(summary)
        .long_about(about)
        .override_usage(format!("wfr {}", words::usage(operation, " ['{json}'] [--flags]")))
        .disable_help_subcommand(true)
        .after_help(examples(operation))
        .arg(Arg::new(WORDS).num_args(0..).value_parser(value_parser!(OsString)).hide(true))
        .arg(Arg::new(REST).num_args(0..).last(true).value_parser(value_parser!(OsString)).hide(true));
    let properties = schema["properties"].as_object();
    for (key, property) in properties.into_iter().flatten() {
        command = command.arg(flag(operation, key, property));
    }
    let has = |name: &str| properties.is_some_and(|properties| properties.contains_key(name));
    command.args(GLOBALS.iter().filter(|global| !has(global.name)).map(global))
}

/// The command of the whole program, with every operation: for completions and manual pages.
pub fn whole() -> Command {
    root().subcommands(operations::all().map(of))
}

/// The command of the program without its operations, but with their list in its help.
pub fn root() -> Command {
    let width = operations::all().map(|operation| operation.name.len()).max().unwrap_or(0);
    let line = |operation: &Operation| {
        let (summary, _) = description(&(operation.parameters)());
        format!("  {:width$}  {}\n", operation.name, hanging(&summary, width + 4))
    };
    let list: String = operations::all().map(line).collect();
    Command::new("wfr")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Recovery for agent workflows: checkpoints, restores, undo")
        .override_usage("wfr OPERATION [IDS...] ['{json}'] [--flags]")
        .after_help(format!("Operations:\n{list}\n{PARAMETERS}"))
        .disable_help_subcommand(true)
        .args(GLOBALS.iter().map(global))
}

/// A text in lines of at most [`LINE_MAX`] characters, the second and further ones indented.
fn hanging(text: &str, indent: usize) -> String {
    let mut shown = String::new();
    let mut column = indent;
    for word in text.split(' ') {
        if column > indent && column + 1 + word.chars().count() > LINE_MAX {
            shown.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        } else if column > indent {
            shown.push(' ');
            column += 1;
        }
        shown.push_str(word);
        column += word.chars().count();
    }
    shown
}

/// The first paragraph of a schema's description, and the others.
pub fn description(schema: &Value) -> (String, String) {
    let text = schema["description"].as_str().unwrap_or_default();
    let (first, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    (first.replace('\n', " "), rest.replace('\n', " ").replace("  ", "\n\n"))
}

/// The flag of a key.
pub fn dashed(key: &str) -> String {
    key.replace('_', "-")
}

fn global(global: &Global) -> Arg {
    let arg = Arg::new(global.name).long(global.name).help(global.help).help_heading(GLOBAL);
    let arg = if let Some(short) = global.short { arg.short(short) } else { arg };
    match global.value {
        None => arg.action(ArgAction::SetTrue),
        Some(value) if global.name == "color" => arg.value_name(value).value_parser(["auto", "always", "never"]),
        Some(value) if global.name == "threads" => arg.value_name(value).value_parser(value_parser!(u16).range(1..)),
        Some(value) => arg.value_name(value).value_parser(value_parser!(OsString)),
    }
}

fn flag(operation: &Operation, key: &str, property: &Value) -> Arg {
    let shape = Shape::of(property);
    let help = property["description"].as_str().unwrap_or_default().replace('\n', " ");
    let help = help.trim_end_matches('.');
    let is_word = operation.positionals.iter().any(|positional| positional.key == key);
    let arg = Arg::new(key.to_owned()).long(dashed(key)).help(with_default(help, property));
    let arg = if key == "yes" { arg.short('y') } else { arg };
    let arg = if is_word { arg.help_heading("Words, which may be flags too") } else { arg };
    if shape == Shape::Bool {
        let truths = ["true", "false"];
        let arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_parser(truths);
        return arg.hide_possible_values(true).value_name("BOOL");
    }
    let arg = arg.value_name(shape.placeholder(key)).value_parser(parser(&shape));
    let arg = if shape.is_list() { arg.action(ArgAction::Append) } else { arg };
    // A shell makes several words of `--paths src/*`.
    let arg = if shape.is_list() && ["paths", "reads", "writable"].contains(&key) { arg.num_args(1..) } else { arg };
    if shape.is_signed() { arg.allow_negative_numbers(true) } else { arg }
}

fn with_default(help: &str, property: &Value) -> String {
    match &property["default"] {
        Value::Bool(true) => format!("{help} [default: true]"),
        Value::Number(number) => format!("{help} [default: {number}]"),
        Value::String(text) if !text.is_empty() => format!("{help} [default: {text}]"),
        _ => help.to_owned(),
    }
}

fn parser(shape: &Shape) -> ValueParser {
    match shape.choices() {
        [] => value_parser!(OsString),
        choices => Choices(choices.to_vec()).into(),
    }
}

fn examples(operation: &Operation) -> String {
    let lines: String = operation.examples.iter().map(|example| format!("  wfr {example}\n")).collect();
    if lines.is_empty() { lines } else { format!("Examples:\n{}", lines.trim_end()) }
}

/// Shows the values of an enumeration and leaves the refusal of others to the operation, which knows more dialects.
#[derive(Clone)]
struct Choices(Vec<(String, String)>);

impl TypedValueParser for Choices {
    type Value = OsString;

    fn parse_ref(&self, _: &Command, _: Option<&Arg>, value: &std::ffi::OsStr) -> Result<OsString, clap::Error> {
        Ok(value.to_owned())
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(|(name, help)| {
            let value = PossibleValue::new(name.clone());
            if help.is_empty() { value } else { value.help(help.clone()) }
        })))
    }
}
