//! JSON Schemas in the words that every client knows: one `type` a schema, no schema that is just `true`.
//!
//! Owns the rewriting. What is taken and given stays the same, but that a parameter is left out where it could be `null`.

use serde_json::{Map, Value, json};

/// Keys whose values are schemas, and those whose values hold schemas by name or in a list.
const SCHEMA: [&str; 7] = ["items", "additionalProperties", "if", "then", "else", "not", "contains"];
const SCHEMAS: [&str; 7] = ["properties", "$defs", "patternProperties", "anyOf", "oneOf", "allOf", "prefixItems"];

/// Keys that say something of a schema as a whole.
const ABOUT: [&str; 5] = ["description", "title", "default", "$schema", "$defs"];

/// The schema of parameters: what may be `null` may be left out.
pub fn of_parameters(schema: &mut Value) {
    rewrite(schema, &|schema| {
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|one| one != "null");
        }
        for key in ["anyOf", "enum"] {
            if let Some(Value::Array(list)) = schema.get_mut(key) {
                list.retain(|one| !one.is_null() && one.get("type") != Some(&"null".into()));
            }
        }
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        let single =
            schema.get("anyOf").and_then(Value::as_array).filter(|list| list.len() == 1).map(|list| list[0].clone());
        if let Some(Value::Object(single)) = single {
            schema.remove("anyOf");
            for (key, value) in single {
                schema.entry(key).or_insert(value);
            }
        }
    });
}

/// The schema of an answer, without its descriptions: clients check by it, and nobody reads it.
pub fn of_answers(schema: &mut Value) {
    rewrite(schema, &|schema| drop(schema.remove("description")));
}

/// Rewrites a schema and all within.
fn rewrite(schema: &mut Value, first: &dyn Fn(&mut Map<String, Value>)) {
    if *schema == Value::Bool(true) {
        *schema = anything();
        return;
    }
    let Some(map) = schema.as_object_mut() else { return };
    first(map);
    // Sizes of numbers are no formats of JSON Schema, and clients warn of each; the bounds stay.
    let is_size = |format: &str| format.starts_with("uint") || format.starts_with("int");
    if map.get("format").and_then(Value::as_str).is_some_and(is_size) {
        map.remove("format");
    }
    for (key, value) in map.iter_mut() {
        match (key.as_str(), value) {
            // What is free to have more keys has them as it did.
            ("additionalProperties", Value::Bool(_)) => {}
            (key, value) if SCHEMA.contains(&key) => rewrite(value, first),
            (key, Value::Object(all)) if SCHEMAS.contains(&key) => {
                all.values_mut().for_each(|value| rewrite(value, first));
            }
            (key, Value::Array(all)) if SCHEMAS.contains(&key) => {
                all.iter_mut().for_each(|value| rewrite(value, first));
            }
            _ => {}
        }
    }
    one_type(map);
    if map.keys().all(|key| ABOUT.contains(&key.as_str()))
        && let Value::Object(any) = anything()
    {
        map.extend(any);
    }
}

/// A schema with several types as one of several schemas.
fn one_type(map: &mut Map<String, Value>) {
    let types = match map.get("type") {
        Some(Value::Array(types)) => types.clone(),
        _ => return,
    };
    if let [single] = types.as_slice() {
        map.insert("type".to_owned(), single.clone());
        return;
    }
    let mut rest = Map::new();
    for key in map.keys().filter(|key| !ABOUT.contains(&key.as_str())).cloned().collect::<Vec<_>>() {
        rest.extend(map.remove(&key).map(|value| (key, value)));
    }
    let branch = |kind: &Value| {
        if kind == "null" {
            return json!({"type": "null"});
        }
        let mut rest = rest.clone();
        rest.insert("type".to_owned(), kind.clone());
        if let Some(Value::Array(values)) = rest.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        Value::Object(rest)
    };
    map.insert("anyOf".to_owned(), types.iter().map(branch).collect());
}

/// Any value.
fn anything() -> Value {
    let types = ["object", "array", "string", "number", "boolean", "null"];
    json!({"anyOf": types.map(|kind| json!({"type": kind}))})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_has_one_type_and_says_the_same() {
        let mut schema = json!({"type": "object", "additionalProperties": false, "properties": {
            "a": {"type": ["string", "null"], "format": "f", "default": null, "description": "d"},
            "b": {"type": "array", "items": true}}});
        let mut answer = schema.clone();
        of_parameters(&mut schema);
        assert_eq!(schema["properties"]["a"], json!({"type": "string", "format": "f", "description": "d"}));
        assert_eq!(schema["properties"]["b"]["items"], anything());
        of_answers(&mut answer);
        assert_eq!(
            answer["properties"]["a"],
            json!({"default": null, "anyOf": [{"type": "string", "format": "f"}, {"type": "null"}]})
        );
    }

    #[test]
    fn no_tool_has_a_schema_of_several_types_or_a_format_that_clients_warn_of() {
        fn several(value: &Value) -> bool {
            match value {
                Value::Object(map) => {
                    let format = map.get("format").and_then(Value::as_str);
                    let is_unknown = format.is_some_and(|format| format.contains("int"));
                    is_unknown || map.get("type").is_some_and(Value::is_array) || map.values().any(several)
                }
                Value::Array(list) => list.iter().any(several),
                _ => false,
            }
        }
        for offer in wfr_engine::agents::offers() {
            let tool = crate::tools::of(&offer);
            let output = tool.output_schema.expect("it has one");
            assert!(!several(&Value::Object((*tool.input_schema).clone())), "{}", tool.name);
            assert!(!several(&Value::Object((*output).clone())), "{}", tool.name);
        }
    }
}
