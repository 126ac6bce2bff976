//! The JSON Schema of a file of configuration, for editors.

use serde_json::{Map, Value, json};

use super::keys::{CACHE, EXCLUSIVE, FLAGS, Key, REMOTE, RULE, TOP};

/// The schema: draft 2020-12.
pub fn schema() -> Value {
    let rule = RULE.iter().chain(FLAGS);
    let mut top = properties(TOP.iter());
    top.insert(
        "defaults".to_owned(),
        described(table(properties(FLAGS.iter())), "What holds for every command, where no rule says otherwise"),
    );
    top.insert(
        "caches".to_owned(),
        described(
            json!({
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z0-9_.-]+$"},
                "additionalProperties": table(properties(CACHE.iter().chain(REMOTE))),
            }),
            "Caches by their names; `local` is always there",
        ),
    );
    let mut rule = table(properties(rule));
    rule["required"] = json!(["match"]);
    top.insert(
        "command".to_owned(),
        described(json!({"type": "array", "items": rule}), "Rules: the first one that matches a command holds"),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fleche.toml",
        "type": "object",
        "properties": top,
        "additionalProperties": false,
    })
}

fn properties(keys: impl Iterator<Item = &'static Key>) -> Map<String, Value> {
    keys.map(|key| (key.name.to_owned(), described(key.kind.schema(), key.about))).collect()
}

fn described(mut schema: Value, about: &str) -> Value {
    schema["description"] = json!(about);
    schema
}

fn table(properties: Map<String, Value>) -> Value {
    let has = |name: &str| properties.contains_key(name);
    // `pure` can be false, and a list empty: only what holds contradicts.
    let present = |name: &str| match name {
        "pure" => json!({"properties": {"pure": {"const": true}}, "required": ["pure"]}),
        "inputs" | "outputs" => json!({"properties": {name: {"minItems": 1}}, "required": [name]}),
        _ => json!({"required": [name]}),
    };
    let pairs = EXCLUSIVE.iter().filter(|pair| pair.iter().all(|name| has(name)));
    let pairs: Vec<Value> =
        pairs.map(|[one, other]| json!({"not": {"allOf": [present(one), present(other)]}})).collect();
    let mut table = json!({"type": "object", "additionalProperties": false});
    if !pairs.is_empty() {
        table["allOf"] = json!(pairs);
    }
    table["properties"] = Value::Object(properties);
    table
}
