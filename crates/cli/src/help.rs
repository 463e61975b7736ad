//! Help, made from the operations' definitions.
//!
//! Owns its layout. Refuses to repeat what a definition says.

use serde_json::Value;
use wfr_engine::operation::{ALL, Effect, Operation};

const GLOBAL: &str = "  --workspace DIR   the protected directory; else the nearest one upwards
  --store DIR       the store; else as the workspace says (WFR_STORE works too)
  --json            one JSON document on standard output
  --threads N       use so many threads
  --color WHEN      auto, always or never (NO_COLOR is honoured)
  -q, --quiet       print failures only
  -h, --help        this
";

/// What `wfr --help` prints.
pub fn overview() -> String {
    let mut text = String::from(
        "wfr: recovery for agent workflows\n\nUsage: wfr OPERATION [WORDS...] ['{json}'] [--flags]\n\nOperations:\n",
    );
    for operation in ALL {
        text.push_str(&format!("  {:<20} {}\n", operation.name, summary(&(operation.parameters)())));
    }
    text.push_str("  schema               Prints the JSON Schemas of an operation's parameters and result\n");
    text.push_str("  demo                 Shows the main job on a copy of real sources\n");
    text.push_str(&format!("\nFlags of every operation:\n{GLOBAL}\n`wfr OPERATION --help` says more.\n"));
    text
}

fn summary(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split("\n\n").next().unwrap_or_default().replace('\n', " ")
}

/// What `wfr OPERATION --help` prints.
pub fn of(operation: &Operation) -> String {
    let schema = (operation.parameters)();
    let words: Vec<String> = operation
        .positionals
        .iter()
        .map(|word| {
            let name = word.key.to_uppercase();
            let name = if word.many { format!("{name}...") } else { name };
            if word.needed { name } else { format!("[{name}]") }
        })
        .collect();
    let description = schema["description"].as_str().unwrap_or_default();
    let mut text = format!(
        "{description}\n\nUsage: wfr {} {}\n\nParameters, as flags or as JSON keys:\n",
        operation.name,
        words.join(" ")
    );
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let about = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        text.push_str(&format!("  --{:<28} {about}\n", key.replace('_', "-")));
        let choices: Vec<&str> = choices(property);
        if !choices.is_empty() {
            text.push_str(&format!("  {:<30} one of: {}\n", "", choices.join(", ")));
        }
    }
    text.push_str(&format!("\nFlags of every operation:\n{GLOBAL}"));
    if operation.effect == Effect::Recovers {
        text.push_str("\nIt changes files: without `--yes` or `--apply DIGEST` it prints the plan and exits with 8.\n");
    }
    if !operation.examples.is_empty() {
        text.push_str("\nExamples:\n");
        operation.examples.iter().for_each(|example| text.push_str(&format!("  wfr {example}\n")));
    }
    text
}

/// The words that a parameter may be.
fn choices(property: &Value) -> Vec<&str> {
    let listed = property["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let described = ["oneOf", "anyOf"].iter().filter_map(|key| property[*key].as_array()).flatten();
    listed.chain(described.filter_map(|one| one["const"].as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_summary_and_help_for_each_key() {
        for operation in ALL {
            let text = of(operation);
            let schema = (operation.parameters)();
            assert!(!summary(&schema).is_empty(), "{}", operation.name);
            for (key, property) in schema["properties"].as_object().unwrap() {
                assert!(text.contains(&format!("--{}", key.replace('_', "-"))), "{} {key}", operation.name);
                assert!(property["description"].is_string(), "{} {key}", operation.name);
            }
        }
    }
}
