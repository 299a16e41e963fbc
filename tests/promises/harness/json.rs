//! What a program reads of pmp-ha: each JSON is held against the schemas of `docs/json`.

use std::path::Path;

use serde_json::Value;

/// The objects that a command may print, besides those that every command may.
const OF: [(&str, &[&str]); 31] = [
    ("completions", &["completions"]),
    ("man", &["man"]),
    ("setup", &["setup"]),
    ("receive-pack", &["receive-pack"]),
    ("pack", &["pack"]),
    ("install-pack", &["install-pack"]),
    ("inspect", &["inspect"]),
    ("keygen", &["keygen"]),
    ("key", &["key", "key-check"]),
    ("start", &["service"]),
    ("stop", &["service"]),
    ("verify", &["verify", "verify-deep", "verify-deep-outline"]),
    ("doctor", &["doctor"]),
    ("support-bundle", &["support-bundle"]),
    ("monitor", &["verify"]),
    ("explain", &["explain", "codes"]),
    ("history", &["history"]),
    ("events", &["events", "availability"]),
    ("config", &["config-check", "config-show"]),
    ("alert", &["alert-test"]),
    ("repair", &["repair", "repair-return-channel"]),
    ("reconfigure", &["reconfigure"]),
    ("resume", &["resume", "settling"]),
    ("rollback", &["rollback", "settling"]),
    ("switchover", &["switchover"]),
    ("recover", &["recover", "promote"]),
    ("rejoin", &["rejoin"]),
    ("teardown", &["teardown"]),
    ("rotate", &["rotate"]),
    ("rehearse", &["rehearse", "rehearse-plan"]),
    ("lab", &["lab-up", "lab-home", "lab-sql", "lab-down"]),
];

/// The objects of every command.
const ALWAYS: [&str; 3] = ["error", "would", "plan"];

/// Fails unless stdout of a command with `--json` is one object that its schema describes. `words` is
/// the command line.
#[track_caller]
pub fn check(words: &[&str], stdout: &str) {
    let is_json = words.iter().take_while(|word| **word != "--").any(|word| *word == "--json");
    let many = ["--watch", "monitor", "may-start", "--nagios", "--help"];
    // A command that was killed has said nothing, and one that repeats says many.
    if !is_json || stdout.is_empty() || words.iter().any(|word| many.contains(word)) {
        return;
    }
    let value: Value = serde_json::from_str(stdout)
        .unwrap_or_else(|error| panic!("{words:?} prints no single JSON: {error}\n{stdout}"));
    let own = OF.iter().find(|(name, _)| words.contains(name)).map_or(&[][..], |(_, own)| own);
    let wrong: Vec<String> = own
        .iter()
        .chain(&ALWAYS)
        .filter_map(|name| complaint(name, &value).map(|why| format!("{name}: {why}")))
        .collect();
    assert!(
        wrong.len() < own.len() + ALWAYS.len(),
        "{words:?} prints what no schema of docs/json describes:\n{}\n{stdout}",
        wrong.join("\n")
    );
}

/// Why a value is not what the schema of this name describes.
pub fn complaint(name: &str, value: &Value) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/json/{name}.json"));
    let text = std::fs::read_to_string(&path).expect("a schema");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    differs(&schema, value, "").err()
}

/// Holds a value against the part of JSON Schema that `docs/json` uses. A field that is not described
/// is wrong, too, where the schema does not say that there may be more.
fn differs(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(types) = schema.get("type") {
        let types: Vec<&str> = match types {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        if !types.iter().any(|name| is_a(name, value)) {
            return Err(format!("{at} is no {types:?}: {value}"));
        }
    }
    if let Some(wanted) = schema.get("const").filter(|wanted| *wanted != value) {
        return Err(format!("{at} is {value} and not {wanted}"));
    }
    if let Some(wanted) =
        schema.get("enum").and_then(Value::as_array).filter(|wanted| !wanted.contains(value))
    {
        return Err(format!("{at} is {value}, none of {wanted:?}"));
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (place, value) in values.iter().enumerate() {
            differs(items, value, &format!("{at}[{place}]"))?;
        }
    }
    let Some(fields) = value.as_object() else { return Ok(()) };
    let described = schema.get("properties").and_then(Value::as_object);
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if !fields.contains_key(name) {
            return Err(format!("{at}.{name} is missing"));
        }
    }
    for (name, value) in fields {
        match described.and_then(|described| described.get(name)) {
            Some(schema) => differs(schema, value, &format!("{at}.{name}"))?,
            None if schema.get("type").is_none()
                || schema.get("additionalProperties") == Some(&Value::Bool(true)) => {}
            None => return Err(format!("{at}.{name} is not described")),
        }
    }
    Ok(())
}

fn is_a(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}
