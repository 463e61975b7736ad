//! The engine's offers as the protocol's tools.
//!
//! Owns their titles and descriptions. Refuses to know any operation by name.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::Value;
use wfr_engine::agents::{Offer, answer_schema};
use wfr_engine::operation::Mark;

use crate::portable;

/// What is said of every tool in two steps.
const TWO_STEPS: &str = "Without `apply` it changes nothing and gives the plan with its digest; a call with `apply` set to the digest does what the plan says, where \
     the configuration lets agents do so (`agents.may_apply`), and else names the command with which a person does.";

/// What is said of what only a person may change.
const LOOKING: &str = "Over this protocol it only looks.";

/// The tool of an offer.
pub fn of(offer: &Offer) -> Tool {
    let hints = offer.hints();
    let annotations = ToolAnnotations::with_title(title(offer.operation.name))
        .read_only(hints.reads_only)
        .destructive(hints.destructive)
        .idempotent(hints.idempotent)
        .open_world(hints.open_world);
    let (mut input, mut output) = (offer.parameters.clone(), answer_schema(offer.operation));
    portable::of_parameters(&mut input);
    portable::of_answers(&mut output);
    let mut input = object(input);
    let mut description = input.get("description").and_then(Value::as_str).unwrap_or_default().replace("\n\n", "\u{1}");
    description = description.replace('\n', " ").replace('\u{1}', "\n\n");
    for more in [(offer.has_two_steps(), TWO_STEPS), (offer.operation.is(Mark::ByPerson), LOOKING)] {
        if more.0 {
            description = format!("{description}\n\n{}", more.1);
        }
    }
    input.remove("description");
    let mut tool = Tool::new(offer.operation.name, description, input);
    tool.title = Some(title(offer.operation.name));
    tool.output_schema = Some(Arc::new(object(output)));
    tool.annotations = Some(annotations);
    tool
}

/// A name as words.
fn title(name: &str) -> String {
    let words = name.replace('-', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn object(schema: Value) -> JsonObject {
    match schema {
        Value::Object(map) => map,
        _ => JsonObject::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_says_what_it_takes_and_gives() {
        for offer in wfr_engine::agents::offers() {
            let tool = of(&offer);
            assert_eq!(tool.input_schema.get("type"), Some(&"object".into()), "{}", tool.name);
            let output = tool.output_schema.expect("it has one");
            assert_eq!(output.get("type"), Some(&"object".into()), "{}", tool.name);
            assert!(tool.description.is_some_and(|text| !text.is_empty()), "{}", tool.name);
        }
        assert_eq!(title("list-checkpoints"), "List checkpoints");
    }
}
