//! JSON Schemas of parameters and results.
//!
//! Owns how they are generated. Refuses to know what a front end makes of them.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Definition;

/// The schema of an operation's parameters, without references, so that flags can be read from it as it stands.
///
/// A key that the operation needs is `required`, though a word may give it too.
pub fn parameters<P: Definition>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<P>();
    let needed = || P::POSITIONALS.iter().filter(|positional| positional.needed);
    // One that another key may say as well is needed where that one is not there.
    let either = needed().find_map(|positional| Some((positional.key, positional.instead?.0)));
    if let Some((key, instead)) = either {
        schema.insert("anyOf".to_owned(), json!([{"required": [key]}, {"required": [instead]}]));
    }
    let needed: Vec<&str> =
        needed().filter(|positional| positional.instead.is_none()).map(|positional| positional.key).collect();
    if !needed.is_empty() {
        schema.insert("required".to_owned(), json!(needed));
    }
    titled(schema, P::NAME)
}

/// The schema of an operation's result.
pub fn result<P: Definition>() -> Value {
    titled(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<P::Result>(), P::NAME)
}

/// A schema named for its operation instead of its type.
fn titled(mut schema: Schema, name: &str) -> Value {
    let fields: Option<&mut Map<String, Value>> = schema.as_object_mut();
    if let Some(fields) = fields {
        fields.insert("title".to_owned(), name.into());
    }
    schema.to_value()
}
