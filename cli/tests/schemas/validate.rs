//! A JSON value against a schema, as far as the schemas here go: a keyword that is not known is a failure. An
//! object may have no keys but those of its schema, so that a key that is not described is found; whoever reads
//! the published schemas may allow more.

use serde_json::{Map, Value};

/// What a schema may say without any bearing on a value.
const WORDS: [&str; 8] =
    ["$schema", "$defs", "title", "description", "format", "default", "example", "examples"];

/// What is wrong with `value`, with the path to it.
pub(crate) fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(schema) => schema,
        other => return Err(format!("{at}: no schema: {other}")),
    };
    for (keyword, of) in schema {
        let wrong = |what: &str| Err(format!("{at}: {what}: {of}, found {value}"));
        match keyword.as_str() {
            "$ref" => {
                let path = of.as_str().and_then(|path| path.strip_prefix('#'));
                let target = path.and_then(|path| root.pointer(path));
                check(root, target.ok_or(format!("{at}: {of} leads nowhere"))?, value, at)?;
            }
            "type" if !any(of, |kind| is_of(value, kind)) => return wrong("type"),
            "enum" if !any(of, |one| one == value) => return wrong("one of"),
            "const" if of != value => return wrong("always"),
            "minimum" if value.is_number() && value.as_f64() < of.as_f64() => {
                return wrong("at least");
            }
            "maximum" if value.is_number() && value.as_f64() > of.as_f64() => {
                return wrong("at most");
            }
            "type" | "enum" | "const" | "minimum" | "maximum" | "additionalProperties" => {}
            "anyOf" | "oneOf" => {
                let tried: Vec<_> = list(of).map(|one| check(root, one, value, at)).collect();
                if !tried.iter().any(Result::is_ok) {
                    let why: Vec<String> = tried.into_iter().filter_map(Result::err).collect();
                    return Err(why.join("\n  or "));
                }
            }
            "items" => {
                for (i, item) in list(value).enumerate() {
                    check(root, of, item, &format!("{at}[{i}]"))?;
                }
            }
            "required" => {
                let lacks = |name: &&Value| value.get(name.as_str().unwrap_or_default()).is_none();
                if let Some(name) = list(of).find(lacks).filter(|_| value.is_object()) {
                    return Err(format!("{at}: lacks {name}"));
                }
            }
            "properties" => {}
            "propertyNames" => {}
            word if WORDS.contains(&word) => {}
            other => return Err(format!("{at}: the keyword {other} is not known here")),
        }
    }
    match value {
        Value::Object(object) => keys(root, schema, object, at),
        _ => Ok(()),
    }
}

fn keys(
    root: &Value,
    schema: &Map<String, Value>,
    object: &Map<String, Value>,
    at: &str,
) -> Result<(), String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    for (name, value) in object {
        let at = format!("{at}.{name}");
        match (properties.and_then(|known| known.get(name)), others) {
            (Some(schema), _) => check(root, schema, value, &at)?,
            (None, Some(Value::Bool(false))) => return Err(format!("{at} is not described")),
            (None, Some(schema)) => check(root, schema, value, &at)?,
            (None, None) if properties.is_some() => return Err(format!("{at} is not described")),
            (None, None) => {}
        }
    }
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Of one value, or of any of a list.
fn any(of: &Value, test: impl Fn(&Value) -> bool) -> bool {
    if of.is_array() { list(of).any(test) } else { test(of) }
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap_or_default() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}
